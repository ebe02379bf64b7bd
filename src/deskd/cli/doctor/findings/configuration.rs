//! Whose configuration was examined.

use super::{Finding, State};
use crate::cli::doctor::examined::{Examined, Port};
use crate::cli::doctor::subject::ToldBy;

pub(super) fn finding(examined: &Examined) -> Finding {
    let (file, has_errors, told_by) = &examined.configuration;
    let file = file.as_ref().map(|file| file.display().to_string());
    let source = file.as_deref().unwrap_or("no file, only the environment");
    let (state, sentence) = match told_by {
        ToldBy::Daemon if *has_errors => (
            State::Wrong,
            format!(
                "the running daemon does not use its configuration file {source}: it has errors"
            ),
        ),
        ToldBy::Daemon => (State::Works, format!("the running daemon's ({source})")),
        ToldBy::File => (State::Works, format!("that of {source}, as you asked")),
        ToldBy::NoDaemon(_) if matches!(examined.api, Port::Elsewhere(_)) => {
            (State::Works, "deskd runs in another container; this one's environment".to_owned())
        }
        ToldBy::NoDaemon(why) => (
            State::Remark,
            format!("no daemon tells which one it uses ({why}), so this is about {source}"),
        ),
    };
    let change = match told_by {
        ToldBy::Daemon => "correct the file and restart deskd",
        _ => "start deskd (`deskd run`), or name its socket with --socket",
    };
    let command = match (told_by, &file) {
        (ToldBy::NoDaemon(_), _) | (_, None) => "deskd health".to_owned(),
        (_, Some(file)) => format!("deskd check-config {file}"),
    };
    super::finding("configuration", state, sentence, change, command)
}
