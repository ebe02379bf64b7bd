//! `deskd ocrun`: what a desktop's menu entries and its file manager call. abcdesktop's goes through
//! the user's browser, and is lost without one; this asks the daemon.

use serde_json::Value;

use super::client::{Client, typed};
use super::failure::Failure;
use super::output::Out;
use super::task;
use deskd_core::app::App;
use deskd_core::app::pick::{self, PickError};
use deskd_core::exit::Exit;
use deskd_core::plan::LaunchSpec;

/// `ocrun NAME [FILE...]`, `ocrun PATH`, `ocrun --mime TYPE FILE...`.
#[derive(Debug)]
pub struct Request {
    /// A name of the application, or the first file.
    pub target: String,
    /// What it opens.
    pub files: Vec<String>,
    /// The media type of the files: `target` is one.
    pub mime: Option<String>,
}

/// Finds the application and launches it; the task's id on stdout.
pub async fn run(client: &Client, request: Request, out: &mut Out) -> Result<Exit, Failure> {
    let doing = format!("run {}", request.target);
    let answer: Value = client.get("/v1/apps").await.map_err(|error| error.failure(&doing))?;
    let apps: Vec<App> = typed(answer, &doing)?;
    let (app, args) = chosen(&apps, request).map_err(|error| {
        let exit = match error {
            PickError::None(_) => Exit::NotFound,
            PickError::Several { .. } => Exit::Refused,
        };
        let failure = Failure::new(exit, &doing, error);
        failure.remedy("run `deskd app list` to see the ids and what each opens")
    })?;
    let spec = LaunchSpec { args, ..LaunchSpec::default() };
    task::launch(client, &app.id, &spec, None, out).await
}

/// A whole path that no application's program has is a file to open.
fn chosen(apps: &[App], request: Request) -> Result<(&App, Vec<String>), PickError> {
    let Request { target, files, mime } = request;
    let by_name = match &mime {
        Some(_) => Err(PickError::None(target.clone())),
        None => pick::named(apps, &target),
    };
    let is_file = mime.is_some() || target.starts_with('/') || target.starts_with("file://");
    match by_name {
        Ok(app) => Ok((app, files)),
        Err(PickError::None(_)) if is_file => {
            let app = pick::opening(apps, mime.as_deref(), &target)?;
            Ok((app, std::iter::once(target).chain(files).collect()))
        }
        Err(error) => Err(error),
    }
}
