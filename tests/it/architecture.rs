//! What no compiler and no lint checks of the repository: short files that say what they are, no
//! test that is switched off, a fixed top level. Who may use whom is in the crates' `Cargo.toml`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

/// Longest file without its tests, in lines.
const FILE_LINES_MAX: usize = 500;
/// Everything at the top of the repository that does not begin with a dot.
const TOP_LEVEL: [&str; 12] = [
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "container",
    "docs",
    "rust-toolchain.toml",
    "src",
    "systemd",
    "tests",
];

fn root() -> &'static Path {
    Path::new(env!("DESKD_ROOT"))
}

/// Every text file below `dir`.
fn files(dir: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut open = vec![root().join(dir)];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                files.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    files
}

/// Every Rust file below `dir`, with its text.
pub(crate) fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let mut files = files(dir);
    files.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(!files.is_empty(), "no Rust files below {dir}");
    files
}

/// What is wrong with a file of `src` or `tests`.
fn problems(text: &str) -> Vec<String> {
    let later = concat!("FIX", "ME");
    let ignored = concat!("#[", "ignore");
    let lines = text.lines().take_while(|line| *line != "mod tests {").count();
    let mut found = Vec::new();
    if lines > FILE_LINES_MAX {
        found.push(format!("{lines} lines without tests, at most {FILE_LINES_MAX}"));
    }
    if !text.starts_with("//!") {
        found.push("does not begin with `//!` and what the file is".into());
    }
    for word in [later, ignored] {
        if text.contains(word) {
            found.push(format!("has `{word}`"));
        }
    }
    found
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let all = [sources("src"), sources("tests")].concat();
    let complaints: Vec<_> = all
        .iter()
        .flat_map(|(name, text)| {
            problems(text).into_iter().map(move |problem| format!("{}: {problem}", name.display()))
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_check_of_files_can_fail() {
    let long = format!("//! Long.\n{}mod tests {{\n", "\n".repeat(FILE_LINES_MAX));
    assert_eq!(problems(&long).len(), 1);
    assert_eq!(problems(concat!("fn f() {} // FIX", "ME")).len(), 2);
    assert_eq!(problems(concat!("//! x\n#[", "ignore]\nfn f() {}")).len(), 1);
    let tested = format!("//! Short.\nmod tests {{\n{}", "\n".repeat(FILE_LINES_MAX));
    assert!(problems(&tested).is_empty());
}

#[test]
fn the_top_level_is_fixed() {
    let unexpected: Vec<_> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "not in the list of top-level entries: {unexpected:?}");
}

/// The paths between backticks that begin at the top level and name a file or directory; `{a,b}` stands
/// for each of both.
fn paths(text: &str) -> Vec<String> {
    let words = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_path = |word: &&str| {
        let top = word.split_once('/').map(|(top, _)| top);
        let placeholder = |part: &str| !part.is_empty() && part == part.to_ascii_uppercase();
        TOP_LEVEL.iter().any(|known| top == Some(known))
            && !word.contains(|letter: char| letter.is_whitespace() || "*<$".contains(letter))
            && !word.split('/').any(placeholder)
    };
    let each = |word: &str| match word.split_once('{').zip(word.split_once('}')) {
        Some(((before, _), (inside, after))) => {
            let names = inside[before.len() + 1..].split(',');
            names.map(|name| format!("{before}{name}{after}")).collect()
        }
        None => vec![word.to_owned()],
    };
    words.filter(is_path).flat_map(each).collect()
}

/// The manifests that words of programs and of other manifests send their reader to.
#[test]
fn manifests_that_messages_name_are_there() {
    let ends = |letter: char| !(letter.is_alphanumeric() || "/._-".contains(letter));
    let (mut named, mut missing) = (0, Vec::new());
    for (file, text) in ["src", "container", "systemd"].into_iter().flat_map(files) {
        for word in text.split(ends).filter(|word| word.starts_with("container/")) {
            let path = word.trim_end_matches('.');
            if path.contains('.') {
                named += 1;
                if !root().join(path).exists() {
                    missing.push(format!("{}: {path}", file.display()));
                }
            }
        }
    }
    assert!(named > 0 && missing.is_empty(), "of {named} are not there: {missing:#?}");
}

#[test]
fn what_the_guides_point_to_is_there() {
    assert_eq!(
        paths("`src/{a,b}.rs` and `make x`, `docs/*.md`\n`tests/NAME/x`, `tests/it`"),
        ["src/a.rs", "src/b.rs", "tests/it"]
    );
    for guide in ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/testing.md"] {
        let text = std::fs::read_to_string(root().join(guide)).unwrap();
        let missing: Vec<_> =
            paths(&text).into_iter().filter(|path| !root().join(path).exists()).collect();
        assert!(missing.is_empty(), "{guide} names what is not there: {missing:?}");
    }
}
