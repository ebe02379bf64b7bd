//! Tasks, applications and the desktop as people read them.

use std::collections::{BTreeMap, BTreeSet};

use super::failure::Failure;
use super::output::{Cell, Out, Tone, ago, rfc3339, span};
use crate::cli::safe::Safe;
use crate::supervisor::Desktop;
use deskd_core::app::container::{ContainerApp, HomeNeed};
use deskd_core::app::{App, AppSource};
use deskd_core::kubernetes::ObjectRef;
use deskd_core::plan::facts::PlaceFacts;
use deskd_core::task::{Exit, Task, TaskState};
use deskd_core::text::Text;
use deskd_core::why::reason::Explanation;
use deskd_core::why::{Applied, Diagnosis};

/// One word about a state, and its colour.
fn state(task: &Task) -> Cell {
    let failed = task.exit.as_ref().is_some_and(Exit::is_failure) && !is_stopped(task);
    let tone = match task.state {
        TaskState::Running => Tone::Good,
        TaskState::Planned | TaskState::Starting | TaskState::Stopping => Tone::Busy,
        TaskState::Ended if failed => Tone::Bad,
        TaskState::Ended => Tone::Dim,
    };
    Cell::toned(task.state.as_str(), tone)
}

/// It was asked to end, so a signal is what it should have ended by.
fn is_stopped(task: &Task) -> bool {
    !task.stop_steps.is_empty()
}

/// Said of tasks while the Kubernetes API is away.
const STALE: &str = "the Kubernetes API does not answer: this may be out of date";

fn window(task: &Task) -> String {
    task.first_window_ms.map_or_else(|| "-".into(), |ms| format!("{ms} ms"))
}

/// Who started it, if it was not deskd, and how it ended or what it waits for, in a few words.
fn remark(task: &Task, now_ms: i64) -> String {
    let parts = [task.mark().unwrap_or_default(), ending(task, now_ms)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

fn ending(task: &Task, now_ms: i64) -> String {
    match (task.state, &task.exit) {
        (TaskState::Planned, _) => match task.next_run_at {
            Some(at) => {
                let left = u64::try_from(at - now_ms).unwrap_or(0);
                format!("restarts in {}", span(left))
            }
            None => String::new(),
        },
        (TaskState::Ended, Some(exit)) => {
            let how = task.cause.as_ref().map_or_else(|| exit.sentence(), Explanation::sentence);
            // In a cluster only the end of its output is not read yet.
            let lingers = task.leftovers && !task.engine.is_in_cluster();
            if lingers { format!("{how}; processes that it started run on") } else { how.into() }
        }
        (TaskState::Starting | TaskState::Stopping, _) if task.waiting.is_some() => waits_for(task),
        _ if task.stale => STALE.to_owned(),
        _ => cause(task),
    }
}

fn cause(task: &Task) -> String {
    task.cause.as_ref().map(|why| why.sentence().into()).unwrap_or_default()
}

fn waits_for(task: &Task) -> String {
    task.waiting.as_ref().map(|why| why.sentence().into()).unwrap_or_default()
}

/// The table of `task list`.
pub fn tasks(tasks: &[Task], now_ms: i64, out: &mut Out) -> Result<(), Failure> {
    let row = |task: &Task| {
        vec![
            task.id.as_str().into(),
            state(task),
            task.engine.as_str().into(),
            task.pid.map_or_else(|| "-".into(), |pid| pid.to_string()).into(),
            ago(task.started_at.unwrap_or(task.created_at), now_ms).into(),
            window(task).into(),
            remark(task, now_ms).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = tasks.iter().map(row).collect();
    out.table(&["TASK", "STATE", "ENGINE", "PID", "STARTED", "WINDOW", "REMARK"], &rows)
}

/// Everything of `task show`.
pub fn task(task: &Task, places: &[PlaceFacts], now_ms: i64, out: &mut Out) -> Result<(), Failure> {
    let at = |at: Option<i64>| {
        at.map(|at| format!("{} ({})", rfc3339(at), ago(at, now_ms))).unwrap_or_default()
    };
    let rusage = task.rusage.map(|used| {
        let cpu_ms = (used.user_us + used.system_us) / 1000;
        format!("{} CPU, peak memory {} KiB", span(cpu_ms), used.max_rss_kib)
    });
    let windows = match task.first_window_ms {
        Some(ms) => format!("{} now, the first after {ms} ms", task.windows),
        None => String::new(),
    };
    let remedied = task.remedied.as_deref();
    out.fields(&[
        ("task", task.id.to_string()),
        ("application", format!("{} ({})", task.display_name, task.app)),
        ("origin", task.mark().unwrap_or_default()),
        ("no stop", task.no_stop.as_ref().map(|why| why.sentence.to_string()).unwrap_or_default()),
        ("state", task.state.as_str().to_owned()),
        ("ended by", task.exit.as_ref().map(|exit| exit.sentence().into()).unwrap_or_default()),
        ("cause", cause(task)),
        (
            "diagnosis",
            task.diagnosis.as_deref().map(|found| sentence(task, found)).unwrap_or_default(),
        ),
        ("proof", task.diagnosis.as_deref().map(proof).unwrap_or_default()),
        ("advice", task.diagnosis.as_deref().map(|d| d.advice.to_string()).unwrap_or_default()),
        ("deskd can", task.diagnosis.as_deref().and_then(|d| offer(task, d)).unwrap_or_default()),
        ("remedy", remedied.map(done).unwrap_or_default()),
        ("because", remedied.map(|it| whole(&it.diagnosis)).unwrap_or_default()),
        ("engine", format!("{}: {}", task.engine.as_str(), joined(&task.reasons))),
        ("command", shell_words::join(&task.command)),
        ("program", shell_words::join(&task.program)),
        ("waiting for", waits_for(task)),
        ("object", task.object.as_ref().map(object).unwrap_or_default()),
        ("place", place_of(task, places)),
        ("node", task.node.clone().unwrap_or_default()),
        ("stale", if task.stale { STALE.to_owned() } else { String::new() }),
        ("pid", task.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        ("created", at(Some(task.created_at))),
        ("started", at(task.started_at)),
        ("ended", at(task.ended_at)),
        ("next run", at(task.next_run_at)),
        ("runs", task.runs.to_string()),
        ("windows", windows),
        ("used", rusage.unwrap_or_default()),
        ("stop", lines(task.stop_steps.iter().map(|step| (step.at, step.detail.as_str())))),
        ("history", lines(task.history.iter().map(|entry| (entry.at, entry.what.as_str())))),
    ])
}

fn joined(texts: &[Text]) -> String {
    Text::joined(texts.iter().cloned(), "; ").into()
}

/// Unless it is the cause already.
fn sentence(task: &Task, found: &Diagnosis) -> String {
    let told = found.cause.is_none() || found.sentence == cause(task);
    if told { String::new() } else { found.sentence.to_string() }
}

/// What deskd would do, and how to ask for it.
fn offer(task: &Task, found: &Diagnosis) -> Option<String> {
    let proposal = found.remedy.as_ref()?;
    Some(format!("{}: run `deskd task remedy {}`", proposal.sentence, task.id))
}

fn done(it: &Applied) -> String {
    format!("{}, {}: {}", rfc3339(it.at), it.by, it.sentence())
}

/// The failure that a remedy was applied for.
fn whole(found: &Diagnosis) -> String {
    let parts = [found.sentence.to_string(), proof(found), found.advice.to_string()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The lines and facts that show why.
fn proof(diagnosis: &Diagnosis) -> String {
    diagnosis.proof.iter().map(|proof| proof.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// As `kubectl` names things.
fn object(object: &ObjectRef) -> String {
    format!("container {} of pod {}/{}", object.container, object.namespace, object.pod)
}

/// The place that it shares with others or takes over from them, and since when that is there.
fn place_of(task: &Task, places: &[PlaceFacts]) -> String {
    let found = places.iter().find(|place| task.object.as_ref() == Some(&place.object));
    let there = |place: &PlaceFacts| {
        let since = place.keeper_since?;
        Some(format!("{}, keeper there since {}", place.image, rfc3339(since)))
    };
    found.and_then(there).unwrap_or_default()
}

fn lines<'a>(entries: impl Iterator<Item = (i64, &'a str)>) -> String {
    entries.map(|(at, what)| format!("{}  {what}", rfc3339(at))).collect::<Vec<_>>().join("\n")
}

/// The table of `app list`.
pub fn apps(apps: &[App], out: &mut Out) -> Result<(), Failure> {
    let row = |app: &App| {
        let problems = match app.problems.as_slice() {
            [] => "".into(),
            [only] => Cell::toned(only, Tone::Bad),
            [first, rest @ ..] => {
                Cell::toned(&format!("{first} (and {} more)", rest.len()), Tone::Bad)
            }
        };
        vec![app.id.as_str().into(), (&app.display_name).into(), source(app).into(), problems]
    };
    let rows: Vec<Vec<Cell>> = apps.iter().map(row).collect();
    out.table(&["APP", "NAME", "FROM", "PROBLEM"], &rows)
}

fn source(app: &App) -> &'static str {
    match app.source {
        AppSource::Config => "config",
        AppSource::Api => "api",
        AppSource::Directory => "directory",
    }
}

/// Everything of `app show`.
pub fn app(app: &App, out: &mut Out) -> Result<(), Failure> {
    let env: Vec<_> = app.local.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    out.fields(&[
        ("app", app.id.to_string()),
        ("name", app.display_name.clone()),
        ("from", source(app).to_owned()),
        ("problems", app.problems.join("\n")),
        ("image", app.container.as_ref().map(|container| image(container)).unwrap_or_default()),
        ("command", command(app)),
        ("image's command", image_command(app)),
        ("directory", app.local.cwd.clone().unwrap_or_default()),
        ("environment", env.join("\n")),
        ("needs display", yes_no(app.needs_display)),
        ("icon", app.icon.clone().map(|icon| short(&icon)).unwrap_or_default()),
        ("keywords", app.keywords.join(", ")),
        ("categories", app.categories.join(", ")),
        ("file types", file_types(app)),
        ("opened by default", default_application(app)),
        ("WM_CLASS", app.wm_class.clone().unwrap_or_default()),
    ])
}

/// The program and its arguments.
fn command(app: &App) -> String {
    let program = app.container.as_ref().map(|container| &container.program);
    let program = program.filter(|program| !program.is_empty());
    shell_words::join(program.unwrap_or(&app.local.command))
}

fn image_command(app: &App) -> String {
    app.container.as_ref().map(|it| shell_words::join(&it.image_command)).unwrap_or_default()
}

fn default_application(app: &App) -> String {
    if app.default_application { "its file types".to_owned() } else { String::new() }
}

fn file_types(app: &App) -> String {
    let extensions = app.file_extensions.iter().map(|extension| format!(".{extension}"));
    extensions.chain(app.mime_types.iter().cloned()).collect::<Vec<_>>().join(", ")
}

/// The image and what its document asks for.
fn image(container: &ContainerApp) -> String {
    let said = [
        container.engine.map(|engine| format!("engine {}", engine.as_str())),
        container.execute_class.as_ref().map(|class| format!("class {class}")),
        (container.home == HomeNeed::Private).then(|| "a home of its own".to_owned()),
        container.size_bytes.map(|bytes| format!("{} MiB", bytes >> 20)),
        container.architecture.clone(),
    ];
    let said: Vec<_> = said.into_iter().flatten().collect();
    match said.join(", ") {
        said if said.is_empty() => container.image.clone(),
        said => format!("{} ({said})", container.image),
    }
}

/// A `data:` URL is nothing to read.
fn short(icon: &str) -> String {
    match icon.split_once(',') {
        Some((kind, data)) if kind.starts_with("data:") => format!("{kind}, {} bytes", data.len()),
        _ => icon.to_owned(),
    }
}

/// The checks of the desktop; those that nothing depends on are marked.
pub fn desktop(desktop: &Desktop, out: &mut Out) -> Result<(), Failure> {
    out.text(super::output::printable(&desktop.sentence))?;
    for check in &desktop.checks {
        let (mark, tone) = match (check.ok, check.required) {
            (true, _) => ("ok", Tone::Good),
            (false, true) => ("failed", Tone::Bad),
            (false, false) => ("failed, not required", Tone::Busy),
        };
        let detail = super::output::printable(&check.detail);
        let mark = out.toned(mark, tone);
        let line = Safe::from(format!("  {} ", check.name));
        out.text(line.and(mark).and(format!(": {detail}")))?;
    }
    for (image, count) in ready(&desktop.kubernetes.places) {
        let pods = if count == 1 { "pod is" } else { "pods are" };
        out.text(super::output::printable(&format!("  {count} {pods} kept ready of {image}")))?;
    }
    Ok(())
}

/// Pods that wait for a launch, by image.
fn ready(places: &[PlaceFacts]) -> BTreeMap<&str, usize> {
    let mut images = BTreeMap::new();
    for place in places.iter().filter(|place| place.warm && place.idle) {
        *images.entry(place.image.as_str()).or_default() += 1;
    }
    images
}

/// One line about a task, for event streams.
pub fn task_line(task: &Task) -> String {
    let mut words: Vec<&str> = vec![task.state.as_str()];
    let pid = task.pid.map(|pid| format!("pid {pid}"));
    let windows = task.first_window_ms.map(|ms| format!("first window after {ms} ms"));
    let exit = task.exit.as_ref().filter(|_| task.state == TaskState::Ended);
    let exit = exit.map(|exit| exit.sentence().to_string());
    let cause = task.cause.as_ref().map(|why| why.sentence().to_string());
    let extra: BTreeSet<_> = [pid, windows, exit, cause].into_iter().flatten().collect();
    words.extend(extra.iter().map(String::as_str));
    super::output::printable(&format!("task {} {}", task.id, words.join(", ")))
}
