//! Which command a container runs: the image's own, as its packager tested it, or the program that
//! its document names.
//!
//! abcdesktop's images start their program themselves: their command is a script that prepares the
//! session and ends with
//!
//! ```text
//!  "${APP}" ${ARGS} "${APPARGS}" 2>&1 | tee ...
//! ```
//!
//! (`composer/appli-docker-entrypoint.sh` of oc.template, 2.0 to 3.2). So `ARGS` are split at blanks
//! and their wildcards expanded, without quotes, and `APPARGS` is one argument, whatever is in it.
//! pyos gives the label `oc.args` as `ARGS`, and what the user opens as `APPARGS`
//! (`oc/od/orchestrator.py`, `get_env_for_appinstance`).

use super::UnplannableCode;
use super::ask::{Ask, Blocker};
use crate::app::container::{ContainerApp, EntryPoint};
use crate::env_var::{EnvSource, EnvVar};
use crate::kubernetes::PROGRAM_VARIABLE;
use crate::text;
use crate::text::Text;

/// `oc.args`, for the image's own command.
const ARGS: &str = "ARGS";
/// What the user opens, for the image's own command.
const APPARGS: &str = "APPARGS";

/// What is run, and what it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// argv; empty: the image's own, which the document does not tell.
    pub(super) argv: Vec<String>,
    /// It is the image's own command.
    pub(super) entry_point: bool,
    /// The program that it is all about, if the document names it.
    pub(super) program: Option<String>,
    /// What the image's own command starts the program with; empty otherwise: `argv` has it.
    pub(super) arguments: Vec<String>,
    /// Variables by which the image's own command learns all that.
    pub(super) variables: Vec<EnvVar>,
    /// Which command it is and who chose it, in a sentence.
    pub(super) reason: Text,
}

/// The command of `container`; the remedy for a failure is asked first, then the operator, then
/// the document.
pub(super) fn of(ask: &Ask<'_>, container: &ContainerApp) -> Result<Command, Blocker> {
    let (entry_point, chooser) = chosen(ask, container);
    let mut command = Command {
        argv: container.image_command.clone(),
        entry_point: entry_point == EntryPoint::Image,
        program: container.program.first().cloned(),
        reason: reason(container, entry_point, chooser),
        ..Command::default()
    };
    match (entry_point, &command.program) {
        (EntryPoint::Program, _) => {
            command.argv = container.program.iter().chain(ask.args()).cloned().collect();
        }
        (EntryPoint::Image, Some(program)) => {
            let (args, opened) = texts(ask, container)?;
            command.arguments = args.split_whitespace().map(ToOwned::to_owned).collect();
            command.arguments.extend(opened.clone());
            command.variables = variables(ask, program, args, opened);
        }
        // An ordinary image: it is given arguments as `docker run IMAGE ARGUMENTS` gives them.
        (EntryPoint::Image, None) => {
            if command.argv.is_empty() && ask.args().next().is_some() {
                return Err(Blocker::now(
                    UnplannableCode::CannotBePlaced,
                    text!(
                        "its document does not say which command the image runs, so no arguments can \
                     be added: launch it without arguments, or add oc.path to the document"
                    ),
                ));
            }
            command.argv.extend(ask.args().cloned());
        }
    }
    Ok(command)
}

/// For the image's own command.
fn variables(ask: &Ask<'_>, program: &str, args: String, opened: Option<String>) -> Vec<EnvVar> {
    let label = |name: &str| EnvSource::DocumentLabel(name.to_owned());
    let mut variables = vec![EnvVar::new(PROGRAM_VARIABLE, program, label("oc.path"))];
    variables.extend(opened.map(|opened| EnvVar::new(APPARGS, opened, EnvSource::Launch)));
    if !args.is_empty() {
        let from = match (ask.launch.change.args.is_empty(), ask.launch.args.len()) {
            (false, _) => EnvSource::Remedy,
            (true, 0 | 1) => label("oc.args"),
            (true, _) => EnvSource::Launch,
        };
        variables.push(EnvVar::new(ARGS, args, from));
    }
    variables
}

/// Who chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chooser {
    Remedy,
    Operator,
    Document,
    Nobody,
}

fn chosen(ask: &Ask<'_>, container: &ContainerApp) -> (EntryPoint, Chooser) {
    let wanted = (ask.launch.change.entrypoint.map(|it| (it, Chooser::Remedy)))
        .or_else(|| ask.facts.policy.entrypoint.map(|it| (it, Chooser::Operator)))
        .or_else(|| container.entrypoint.map(|it| (it, Chooser::Document)));
    let otherwise = match container.image_command.is_empty() {
        false => EntryPoint::Image,
        true => EntryPoint::Program,
    };
    match wanted.unwrap_or((otherwise, Chooser::Nobody)) {
        (EntryPoint::Program, chooser) if container.program.is_empty() => {
            (EntryPoint::Image, chooser)
        }
        chosen => chosen,
    }
}

fn reason(container: &ContainerApp, entry_point: EntryPoint, chooser: Chooser) -> Text {
    let asked = match chooser {
        Chooser::Remedy => text!(" (the remedy for its failure)"),
        Chooser::Operator => text!(" (entrypoint in [kubernetes])"),
        Chooser::Document => text!(" (label io.deskd.entrypoint)"),
        Chooser::Nobody => Text::default(),
    };
    match entry_point {
        EntryPoint::Program if chooser == Chooser::Nobody => {
            text!(
                "its program runs directly: its document does not say which command the image runs"
            )
        }
        EntryPoint::Program => text!("its program runs directly{asked}", asked),
        EntryPoint::Image if container.program.is_empty() => {
            text!("its image's own command runs: its document names no program (oc.path)")
        }
        EntryPoint::Image => {
            text!("its image's own command runs and starts its program{asked}", asked)
        }
    }
}

/// `ARGS` and `APPARGS`. The last argument of the launch is given as it is; what is before it, and
/// the switches of a remedy, go into `ARGS`.
fn texts(ask: &Ask<'_>, container: &ContainerApp) -> Result<(String, Option<String>), Blocker> {
    let (opened, before) = match ask.launch.args.split_last() {
        Some((last, before)) => (Some(last), before),
        None => (None, &[][..]),
    };
    let mut args = container.args.clone().unwrap_or_default();
    for word in ask.launch.change.args.iter().chain(before) {
        if !survives_splitting(word) {
            return Err(unsafe_argument(word));
        }
        if !args.is_empty() {
            args.push(' ');
        }
        args.push_str(word);
    }
    match opened {
        Some(opened) if opened.is_empty() => Err(unsafe_argument(opened)),
        opened => Ok((args, opened.cloned())),
    }
}

/// Whether a shell that expands it without quotes makes this one word of it (POSIX 2.6.5, 2.6.6).
fn survives_splitting(word: &str) -> bool {
    !word.is_empty()
        && !word.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '*' | '?' | '[' | '\\'))
}

fn unsafe_argument(word: &str) -> Blocker {
    let why = text!(
        "its image's own command splits its arguments at spaces (ARGS) and keeps only the last one \
         whole (APPARGS), so it cannot receive `{word}`: launch it with one argument, or let its \
         program run directly (label io.deskd.entrypoint = \"program\")",
        word = word.escape_debug().to_string()
    );
    Blocker::now(UnplannableCode::CannotBePlaced, why)
}
