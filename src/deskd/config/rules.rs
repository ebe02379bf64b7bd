//! An operator's own rules: every `*.toml` of a directory, in the order of their names.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use deskd_core::why::Rules;
use deskd_core::why::rule::Rule;
use deskd_core::why::rules;

/// Files of rules that are read.
const FILES_MAX: usize = 64;
/// Largest file of rules, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a directory of rules has.
#[derive(Debug, Default)]
pub struct OperatorRules {
    /// The rules of the files that have no mistake.
    pub rules: Vec<Rule>,
    /// Every mistake, as `FILE:LINE: what is wrong`.
    pub problems: Vec<String>,
}

impl OperatorRules {
    /// Reads the directory.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let mut all = Self::default();
        match files(directory) {
            Ok(files) => {
                if files.len() > FILES_MAX {
                    let (dir, many) = (directory.display(), files.len());
                    let what = format!("{dir}: {many} files, of which {FILES_MAX} are read");
                    all.problems.push(what);
                }
                files.iter().take(FILES_MAX).for_each(|file| all.add(file));
            }
            Err(error) => {
                all.problems.push(format!("{}: cannot be read: {error}", directory.display()));
            }
        }
        all
    }

    fn add(&mut self, file: &Path) {
        let name = file.display();
        let text = match text(file) {
            Ok(text) => text,
            Err(why) => return self.problems.push(format!("{name}: {why}")),
        };
        let rules = match rules::read(&text) {
            Ok(rules) => rules,
            Err(problems) => {
                let told = problems.iter().map(|it| format!("{name}:{}: {}", it.line, it.what));
                return self.problems.extend(told);
            }
        };
        let taken: BTreeSet<&str> =
            Rules::built_in().all().chain(&self.rules).map(|rule| rule.id.as_str()).collect();
        let (known, new): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| taken.contains(rule.id.as_str()));
        let told = known.iter().map(|rule| {
            let line = text.lines().position(|line| line.contains(&format!("\"{}\"", rule.id)));
            let line = line.map_or(1, |line| line + 1);
            format!(
                "{name}:{line}: another rule is called `{}`: give it a name of its own",
                rule.id
            )
        });
        self.problems.extend(told);
        self.rules.extend(new);
    }
}

fn files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn text(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = std::fs::File::open(file)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(bytes) if bytes as u64 > FILE_BYTES_MAX => {
            Err(format!("is larger than {FILE_BYTES_MAX} bytes: split it"))
        }
        Ok(_) => Ok(text),
    }
}
