//! `deskd check-config` and `deskd app check`: what is wrong in files, without a daemon.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{Out, Tone, printable};
use super::safe::Safe;
use crate::catalog::{self, Found};
use crate::config::{self, ConfigErrors, Env, OperatorRules};
use crate::daemon::display_config;
use deskd_core::app::document;
use deskd_core::app::{App, AppSource, DirectoryApp};
use deskd_core::exit::Exit;

/// Largest file of `app check`, in bytes; that of a directory may be smaller.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// `deskd check-config`.
pub fn config(file: &Path, env: &Env, out: &mut Out) -> Result<Exit, Failure> {
    let draft = match config::read(Some(file), env) {
        Ok(draft) => draft,
        Err(errors) if out.is_json() => {
            out.json(&problems(&errors))?;
            return Ok(Exit::Unhealthy);
        }
        Err(errors) => {
            let text = format!("{}{errors}\n", errors.report());
            out.text(&text)?;
            return Ok(Exit::Unhealthy);
        }
    };
    let rules = draft.rules_directory().map(OperatorRules::read).unwrap_or_default();
    let found = draft.apps_directory().map(directory).unwrap_or_default();
    let key = display_config(draft.display(), env).key().and_then(Result::err);
    let apps = draft.apps(env);
    let good = rules.problems.is_empty() && found.broken.is_empty();
    let exit = if good { Exit::Ok } else { Exit::Unhealthy };
    if out.is_json() {
        let of_key =
            key.map(|why| json!({ "variable": "XAUTH_KEY", "problems": [why.to_string()] }));
        let all = apps.iter().chain(found.apps.iter().map(|found| &found.app));
        let of_apps = all.filter(|app| !app.problems.is_empty()).map(warning);
        let warnings: Vec<_> = of_key.into_iter().chain(of_apps).collect();
        let (rules, mistakes) = (rules.rules.len(), rules.problems);
        out.json(&json!({ "valid": true, "apps": apps.len(), "warnings": warnings,
            "rules": rules, "mistakes_in_rules": mistakes,
            "documents": found.apps.len(), "unreadable": unreadable(&found) }))?;
        return Ok(exit);
    }
    if let Some(why) = key {
        let warning = out.toned("warning", Tone::Busy);
        out.text(warning.and(format!(": cannot use the cookie in XAUTH_KEY: {why}")))?;
    }
    for app in &apps {
        warn(file, &format!("app.{}", app.id), app, out)?;
    }
    for mistake in &rules.problems {
        let wrong = out.toned("wrong", Tone::Bad);
        out.text(wrong.and(format!(": {}", printable(mistake))))?;
    }
    print(&found, out)?;
    let documents = match found.apps.len() {
        0 => String::new(),
        count => format!(", and {count} in documents"),
    };
    out.text(format!("{}: valid, {} applications{documents}", file.display(), apps.len()))?;
    Ok(exit)
}

/// `deskd app check`.
pub fn apps(paths: &[PathBuf], out: &mut Out) -> Result<Exit, Failure> {
    let found = documents(paths);
    if out.is_json() {
        let apps: Vec<_> = found.apps.iter().map(|found| {
            json!({ "file": found.file, "app": found.app.id, "problems": found.app.problems })
        }).collect();
        out.json(&json!({ "apps": apps, "unreadable": unreadable(&found) }))?;
    } else {
        print(&found, out)?;
        let (apps, broken) = (found.apps.len(), found.broken.len());
        let files = match broken {
            0 => String::new(),
            1 => ", 1 file cannot be used".to_owned(),
            _ => format!(", {broken} files cannot be used"),
        };
        out.text(format!("{apps} applications{files}"))?;
    }
    Ok(if found.broken.is_empty() { Exit::Ok } else { Exit::Unhealthy })
}

/// The applications of files, and of all `.json` files of directories.
pub fn documents(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        let more = if path.is_dir() { directory(path) } else { document_file(path) };
        found.apps.extend(more.apps);
        found.broken.extend(more.broken);
    }
    found
}

fn directory(dir: &Path) -> Found {
    catalog::look(dir).unwrap_or_else(|error| broken(dir, format!("cannot be read: {error}")))
}

fn document_file(file: &Path) -> Found {
    let text = catalog::read_text(file, FILE_BYTES_MAX).map_err(|error| error.to_string());
    let apps = text.and_then(|text| {
        document::parse(&text, AppSource::Directory).map_err(|error| error.to_string())
    });
    match apps {
        Ok(apps) => {
            let of_file = |app| DirectoryApp { app, file: file.to_owned() };
            Found { apps: apps.into_iter().map(of_file).collect(), broken: Vec::new() }
        }
        Err(why) => broken(file, why),
    }
}

fn broken(path: &Path, why: String) -> Found {
    Found { apps: Vec::new(), broken: vec![(path.to_owned(), why)] }
}

/// What is wrong with them, and what is odd.
pub fn print(found: &Found, out: &mut Out) -> Result<(), Failure> {
    for (file, why) in &found.broken {
        let wrong = out.toned("wrong", Tone::Bad);
        let line = Safe::from(format!("{}: ", file.display()));
        out.text(line.and(wrong).and(format!(": {}", printable(why))))?;
    }
    for DirectoryApp { app, file } in &found.apps {
        warn(file, app.id.as_str(), app, out)?;
    }
    Ok(())
}

fn warn(file: &Path, name: &str, app: &App, out: &mut Out) -> Result<(), Failure> {
    for problem in &app.problems {
        let warning = out.toned("warning", Tone::Busy);
        let line = Safe::from(format!("{}: ", file.display()));
        out.text(line.and(warning).and(format!(": {name}: {}", printable(problem))))?;
    }
    Ok(())
}

fn warning(app: &App) -> Value {
    json!({ "app": app.id, "problems": app.problems })
}

/// Those that cannot be used, as JSON.
pub fn unreadable(found: &Found) -> Vec<Value> {
    found.broken.iter().map(|(file, why)| json!({ "file": file, "why": why })).collect()
}

fn problems(errors: &ConfigErrors) -> Value {
    let problem = |problem: &config::Problem| {
        let mut value =
            json!({ "key": problem.key, "what": problem.what, "remedy": problem.remedy });
        match &problem.origin {
            config::Origin::File(at) => {
                value["line"] = at.line.into();
                value["column"] = at.column.into();
            }
            config::Origin::Env(name) => value["env"] = name.as_str().into(),
        }
        value
    };
    let problems: Vec<_> = errors.problems().iter().map(problem).collect();
    match errors {
        ConfigErrors::Unreadable { .. } => json!({ "valid": false, "error": errors.report() }),
        ConfigErrors::Invalid { .. } => json!({ "valid": false, "problems": problems }),
    }
}
