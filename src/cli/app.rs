//! `deskd app`.

use std::io::Read as _;
use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};

use super::args::AppCommand;
use super::client::{Ask, Client, escape, typed};
use super::failure::{Failure, note};
use super::output::{Out, printable};
use super::view;
use crate::config::{self, ConfigErrors, Env};
use crate::domain::app::{App, AppSource};
use crate::exit::Exit;

/// Largest file of `app add`, in bytes: the API takes less per application.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// `deskd app ...`.
pub async fn run(
    client: &Client,
    command: AppCommand,
    env: &Env,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match command {
        AppCommand::List { query } => {
            let doing = "list applications";
            let path = match query.join(" ") {
                words if words.is_empty() => "/v1/apps".to_owned(),
                words => format!("/v1/apps?q={}", escape(&words)),
            };
            let answer: Value = client.get(&path).await.map_err(|error| error.failure(doing))?;
            if out.is_json() {
                out.json(&answer)?
            } else {
                view::apps(&typed::<Vec<App>>(answer, doing)?, out)?
            }
        }
        AppCommand::Show { app } => {
            let doing = format!("show application {app}");
            let path = format!("/v1/apps/{app}");
            let answer: Value = client.get(&path).await.map_err(|error| error.failure(&doing))?;
            if out.is_json() {
                out.json(&answer)?
            } else {
                view::app(&typed(answer, &doing)?, out)?
            }
        }
        AppCommand::Add { file } => add(client, &file, env, out).await?,
        AppCommand::Pull { apps, no_wait } => {
            return super::pull::run(client, &apps, !no_wait, out).await;
        }
        AppCommand::Remove { apps } => {
            for app in &apps {
                let ask = Ask::new(Method::DELETE, format!("/v1/apps/{app}"));
                let removed: Result<Value, _> = client.json(&ask).await;
                removed.map_err(|error| error.failure(&format!("remove application {app}")))?;
            }
        }
    }
    Ok(Exit::Ok)
}

async fn add(client: &Client, file: &Path, env: &Env, out: &mut Out) -> Result<(), Failure> {
    let doing = format!("add the applications of {}", file.display());
    let text = read(file).map_err(|error| Failure::new(Exit::Config, &doing, error))?;
    let mut answers = Vec::new();
    for app in documents(&text, file, env, &doing)? {
        let id = app.get("id").and_then(Value::as_str).unwrap_or("without an id").to_owned();
        let mut ask = Ask::new(Method::PUT, "/v1/apps");
        ask.body = Some(&app);
        let answer: Value = client
            .json(&ask)
            .await
            .map_err(|error| error.failure(&format!("add application {id}")))?;
        if !out.is_json() {
            out.text(&printable(&id))?;
        }
        answers.push(answer);
    }
    if out.is_json() { out.json(&answers) } else { Ok(()) }
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    }?;
    if read as u64 > FILE_BYTES_MAX {
        let text = format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text));
    }
    Ok(text)
}

/// JSON goes to the daemon as it is; the sections of a TOML file are read as `deskd run` reads
/// them, relative to the files of this container.
fn documents(text: &str, file: &Path, env: &Env, doing: &str) -> Result<Vec<Value>, Failure> {
    if text.trim_start().starts_with('{') {
        let app = serde_json::from_str(text)
            .map_err(|error| Failure::new(Exit::Config, doing, error).remedy("correct the JSON"))?;
        return Ok(vec![app]);
    }
    let draft = config::parse(text, |_| None).map_err(|problems| {
        let path = Some(file.to_owned());
        Failure::report(Exit::Config, ConfigErrors::Invalid { path, problems }.report())
    })?;
    let mut apps = Vec::new();
    for app in draft.apps(env) {
        for problem in &app.problems {
            note(&printable(&format!("application {}: {problem}", app.id)));
        }
        apps.push(json!(App { source: AppSource::Api, ..app }));
    }
    if apps.is_empty() {
        return Err(Failure::new(Exit::Config, doing, "it has no section [app.NAME]"));
    }
    Ok(apps)
}
