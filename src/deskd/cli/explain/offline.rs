//! `deskd explain --offline`: what deskd would make of the applications of documents on a desktop
//! where everything works, without a daemon.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::api::shown_plan;
use crate::cli::check;
use crate::cli::failure::Failure;
use crate::cli::output::{Out, Tone, printable};
use crate::cli::safe::Safe;
use crate::config::{self, Env};
use crate::supervisor::architecture;
use deskd_core::app::DirectoryApp;
use deskd_core::exit::Exit;
use deskd_core::id::AppId;
use deskd_core::plan::assumed::{self, ASSUMPTIONS};
use deskd_core::plan::{LaunchSpec, Plan, Rejected, Unplannable, plan};

/// Which documents, judged by which configuration.
#[derive(Debug)]
pub struct Request {
    /// Files, or directories of them.
    pub documents: Vec<PathBuf>,
    /// One application of them; absent: all.
    pub app: Option<AppId>,
    /// The configuration file; absent: the one that a daemon would read here.
    pub config: Option<PathBuf>,
    /// The launch.
    pub spec: LaunchSpec,
}

/// Judges each application; [`Exit::Unhealthy`] when one could not run or a document is none.
pub fn explain(request: &Request, env: &Env, out: &mut Out) -> Result<Exit, Failure> {
    let draft = config::read(request.config.as_deref(), env)
        .map_err(|errors| Failure::report(Exit::Config, errors.report()))?;
    let (policy, pod) = (draft.policy(), draft.pod());
    let facts = assumed::facts(&policy, pod, &draft.display().name, architecture());
    let mut found = check::documents(&request.documents);
    if let Some(id) = &request.app {
        found.apps.retain(|found| found.app.id == *id);
        if found.apps.is_empty() {
            let doing = format!("judge {id}");
            let failure = Failure::new(Exit::NotFound, &doing, "no document has this application");
            return Err(failure.remedy("run `deskd app check PATH...` to see what they have"));
        }
    }
    let judged: Vec<_> = found
        .apps
        .iter()
        .map(|found| (found, plan(&found.app, &request.spec, &facts).map(shown_plan)))
        .collect();
    if out.is_json() {
        let apps: Vec<_> = judged.iter().map(|(found, plan)| value(found, plan)).collect();
        out.json(&json!({ "assumed": ASSUMPTIONS, "apps": apps,
            "unreadable": check::unreadable(&found) }))?;
    } else {
        out.text(format!("assumed: {ASSUMPTIONS}"))?;
        check::print(&found, out)?;
        for (found, plan) in &judged {
            out.text("")?;
            print(&found.file, &found.app.id, plan, out)?;
        }
    }
    let well = found.broken.is_empty() && judged.iter().all(|(_, plan)| plan.is_ok());
    Ok(if well { Exit::Ok } else { Exit::Unhealthy })
}

fn value(found: &DirectoryApp, plan: &Result<Plan, Unplannable>) -> serde_json::Value {
    let mut value = json!({ "file": found.file, "app": found.app.id,
        "problems": found.app.problems });
    match plan {
        Ok(plan) => value["plan"] = json!(plan),
        Err(refusal) => value["refused"] = json!(refusal),
    }
    value
}

fn print(
    file: &Path,
    app: &AppId,
    plan: &Result<Plan, Unplannable>,
    out: &mut Out,
) -> Result<(), Failure> {
    match plan {
        Ok(plan) => super::print(app, plan, out),
        Err(refusal) => {
            let no = out.toned("could not run", Tone::Bad);
            let line = Safe::from(format!("{}: {app} ", file.display()));
            out.text(line.and(no).and(format!(": {}", printable(&refusal.sentence))))?;
            for Rejected { engine, why } in &refusal.rejected {
                out.text(format!("not {}: {}", engine.as_str(), printable(why)))?;
            }
            Ok(())
        }
    }
}
