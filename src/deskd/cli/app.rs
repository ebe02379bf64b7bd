//! `deskd app`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::AppCommand;
use super::client::{Ask, Client, escape, typed};
use super::failure::{Failure, note};
use super::output::{Out, printable};
use super::view;
use crate::config::{self, ConfigErrors, Env};
use crate::supervisor::AppChange;
use deskd_core::app::document;
use deskd_core::app::{App, AppSource};
use deskd_core::exit::Exit;

/// Largest file of `app add`, in bytes: the API takes less per application.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Most of a list that is sent at once, in bytes: half of what the API takes.
const PIECE_BYTES_MAX: usize = 512 << 10;

/// `deskd app ...`.
pub async fn run(
    client: &Client,
    command: AppCommand,
    env: &Env,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match command {
        AppCommand::List { query, category, file_type, all } => {
            let doing = "list applications";
            let words = Some(query.join(" ")).filter(|words| !words.is_empty());
            let path = list_path(&[
                ("q", words),
                ("category", category),
                ("file_type", file_type),
                ("all", all.then(|| "true".to_owned())),
            ]);
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
        AppCommand::Add { files } => add(client, &files, env, out).await?,
        AppCommand::Check { .. } => unreachable!("handled without a client"),
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

fn list_path(query: &[(&str, Option<String>)]) -> String {
    let given = query.iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| format!("{name}={}", escape(value)))
    });
    match given.collect::<Vec<_>>().join("&") {
        query if query.is_empty() => "/v1/apps".to_owned(),
        query => format!("/v1/apps?{query}"),
    }
}

/// All files are read before the first is sent: a broken one leaves everything as it was.
async fn add(client: &Client, files: &[PathBuf], env: &Env, out: &mut Out) -> Result<(), Failure> {
    let mut bodies = Vec::new();
    for file in files {
        let doing = format!("add the applications of {}", file.display());
        let text = read(file).map_err(|error| Failure::new(Exit::Config, &doing, error))?;
        bodies.extend(bodies_of(&text, file, env, &doing)?.into_iter().map(|body| (file, body)));
    }
    let mut answers = Vec::new();
    for (file, body) in &bodies {
        answers.extend(put(client, file, body, out).await?);
    }
    if out.is_json() { out.json(&answers) } else { Ok(()) }
}

/// Sends one body and tells what became of its applications, which it answers.
async fn put(
    client: &Client,
    file: &Path,
    body: &Value,
    out: &mut Out,
) -> Result<Vec<Value>, Failure> {
    let is_document = document::is_document(body);
    let doing = match body.get("id").and_then(Value::as_str) {
        Some(id) if !is_document => format!("add application {id}"),
        _ => format!("add the applications of {}", file.display()),
    };
    let mut ask = Ask::new(Method::PUT, "/v1/apps");
    ask.body = Some(body);
    let (status, answer): (StatusCode, Value) =
        client.json_and_status(&ask).await.map_err(|error| error.failure(&doing))?;
    let answers: Vec<(AppChange, Value)> = if is_document {
        let apps: Vec<Put> = typed(answer, &doing)?;
        apps.into_iter().map(|put| (put.change, put.app)).collect()
    } else {
        let is_new = status == StatusCode::CREATED;
        vec![(if is_new { AppChange::Added } else { AppChange::Updated }, answer)]
    };
    for (change, app) in &answers {
        let id = app.get("id").and_then(Value::as_str).unwrap_or_default();
        let change = match change {
            AppChange::Added => "added",
            AppChange::Updated => "updated",
        };
        if !out.is_json() {
            out.text(printable(&format!("{change} {id}")))?;
        }
        for problem in app.get("problems").and_then(Value::as_array).into_iter().flatten() {
            let problem = problem.as_str().unwrap_or_default();
            note(&printable(&format!("application {id}: {problem}")));
        }
    }
    Ok(answers.into_iter().map(|(_, app)| app).collect())
}

/// An application of a document, as the API answers it.
#[derive(Deserialize)]
struct Put {
    change: AppChange,
    app: Value,
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    }?;
    if read as u64 > FILE_BYTES_MAX {
        let text = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text));
    }
    Ok(text)
}

/// What is sent for a text, in parts that the API takes: JSON as it is, but a long list of images
/// in several pieces; the sections of a TOML file as `deskd run` reads them, relative to the files
/// of this container.
fn bodies_of(text: &str, file: &Path, env: &Env, doing: &str) -> Result<Vec<Value>, Failure> {
    // A TOML file may begin with a section, a JSON list with an object.
    let first = text.trim_start();
    if first.starts_with('{') || first.strip_prefix('[').is_some_and(is_list_of_objects) {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Failure::new(Exit::Config, doing, error).remedy("correct the JSON"))?;
        if !document::is_document(&value) {
            return Ok(vec![value]);
        }
        document::read(&value, AppSource::Api)
            .map_err(|error| Failure::new(Exit::Config, doing, error))?;
        return Ok(match value {
            Value::Array(images) => pieces(images),
            image => vec![image],
        });
    }
    let draft = config::parse(text, |_| None).map_err(|problems| {
        let path = Some(file.to_owned());
        Failure::report(Exit::Config, ConfigErrors::Invalid { path, problems }.report())
    })?;
    let mut apps = Vec::new();
    for app in draft.apps(env) {
        // The daemon does not see the files that these are about.
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

fn is_list_of_objects(rest: &str) -> bool {
    rest.trim_start().starts_with(['{', ']'])
}

/// Lists of images that are each about at most [`PIECE_BYTES_MAX`] as JSON.
fn pieces(images: Vec<Value>) -> Vec<Value> {
    let mut pieces: Vec<Vec<Value>> = Vec::new();
    let mut room = 0;
    for image in images {
        let bytes = image.to_string().len();
        if bytes > room || pieces.is_empty() {
            pieces.push(Vec::new());
            room = PIECE_BYTES_MAX;
        }
        room = room.saturating_sub(bytes);
        if let Some(piece) = pieces.last_mut() {
            piece.push(image);
        }
    }
    pieces.into_iter().map(Value::Array).collect()
}
