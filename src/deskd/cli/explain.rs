//! `deskd explain`: the plan a launch would have, for people.

mod offline;

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::{Client, escape, typed};
use super::failure::Failure;
use super::output::{Out, Tone, printable};
use crate::cli::safe::Safe;
use deskd_core::app::container::AppProbe;
use deskd_core::env_var::{EnvSource, EnvVar};
use deskd_core::exit::Exit;
use deskd_core::id::AppId;
use deskd_core::plan::facts::VolumeMount;
use deskd_core::plan::remote::{ContainerPlan, CookieCopy};
use deskd_core::plan::{EphemeralPlan, LaunchSpec, LocalPlan, Plan, PodPlan, Rejected, Work};
use deskd_core::policy::Toleration;

pub use offline::{Request as OfflineRequest, explain as offline};

/// Lines `name value`; those without a value are not printed.
type Fields = Vec<(&'static str, String)>;

/// Asks for the plan and prints it.
pub async fn explain(
    client: &Client,
    app: &AppId,
    spec: &LaunchSpec,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let doing = format!("plan a launch of {app}");
    let args = spec.args.iter().map(|arg| format!("arg={}", escape(arg)));
    let engine = spec.engine.map(|engine| format!("engine={}", engine.as_str()));
    let query = args.chain(engine).collect::<Vec<_>>().join("&");
    let path = format!("/v1/apps/{app}/plan?{query}");
    let answer: Value = client.get(&path).await.map_err(|error| error.failure(&doing))?;
    if out.is_json() {
        out.json(&answer)?;
    } else {
        print(app, &typed(answer, &doing)?, out)?;
    }
    Ok(Exit::Ok)
}

fn print(app: &AppId, plan: &Plan, out: &mut Out) -> Result<(), Failure> {
    let engine = out.toned(plan.engine.as_str(), Tone::Good);
    let line = Safe::from(format!("{app} would run as "));
    out.text(line.and(engine).and(format!(", {}:", plan.engine.phrase())))?;
    for reason in &plan.reasons {
        out.text(format!("  - {}", printable(reason)))?;
    }
    for Rejected { engine, why } in &plan.rejected {
        out.text(format!("not {}: {}", engine.as_str(), printable(why)))?;
    }
    out.text("")?;
    out.fields(&match &plan.work {
        Work::Local(local) => of_local(local),
        Work::EphemeralContainer(ephemeral) => of_ephemeral(ephemeral),
        Work::PodApplication(pod) => of_pod(pod),
    })
}

fn of_local(plan: &LocalPlan) -> Fields {
    vec![
        ("command", shell_words::join(&plan.argv)),
        ("directory", plan.program.cwd.clone().unwrap_or_default()),
        ("environment", of_environment(plan)),
    ]
}

/// What is the application's own; the rest is the daemon's, and long.
fn of_environment(plan: &LocalPlan) -> String {
    let own = |name: &str| {
        matches!(name, "DISPLAY" | "XAUTHORITY") || plan.program.env.contains_key(name)
    };
    let (own, inherited): (Vec<_>, Vec<_>) =
        plan.env.iter().cloned().partition(|var| own(&var.name));
    match inherited.len() {
        0 => env(&own),
        count => format!("{}\ninherited: {count}", env(&own)).trim().to_owned(),
    }
}

fn of_ephemeral(plan: &EphemeralPlan) -> Fields {
    let target = plan.target_container.as_deref().unwrap_or_default();
    let mut fields = vec![("pod", format!("{}/{}, beside `{target}`", plan.namespace, plan.pod))];
    fields.extend(of_container(&plan.container));
    let made = plan.prepare.iter().map(|made| {
        let root = made.root.trim_end_matches('/');
        format!("{root}/{}, of user {} alone ({})", made.path, made.uid, made.variable)
    });
    let copied = plan.cookie.iter().map(|CookieCopy { from, directory }| {
        let root = directory.root.trim_end_matches('/');
        format!("{root}/{}/{}, a copy of {from}", directory.path, CookieCopy::NAME)
    });
    fields.push(("prepared", lines(made.chain(copied))));
    fields.push(("grace", plan.grace_s.map(grace).unwrap_or_default()));
    fields
}

fn of_pod(plan: &PodPlan) -> Fields {
    let owner = plan.owner.as_ref().map(|owner| format!("{}, and ends with it", owner.name));
    let mut fields =
        vec![("namespace", plan.namespace.clone()), ("belongs to", owner.unwrap_or_default())];
    fields.extend(of_container(&plan.container));
    let maker = plan.cookie.as_ref();
    let maker = maker.map(|maker| format!("{} ({})", shell_words::join(&maker.argv), maker.image));
    fields.extend([
        ("runs before", maker.unwrap_or_default()),
        ("requests", pairs(&plan.requests)),
        ("limits", pairs(&plan.limits)),
        ("node", pairs(&plan.node_selector)),
        ("preferred node", plan.preferred_node.clone().unwrap_or_default()),
        ("tolerates", lines(plan.tolerations.iter().map(toleration))),
        ("runtime class", plan.runtime_class.clone().unwrap_or_default()),
        ("ports", lines(plan.ports.iter().map(|p| format!("{}/{}", p.port, p.protocol)))),
        ("probe", plan.probe.as_ref().map(probe).unwrap_or_default()),
        ("pull secrets", plan.pull_secrets.join(" ")),
        ("annotations", pairs(&plan.annotations)),
        ("labels", pairs(&plan.labels)),
        ("grace", grace(plan.grace_s)),
        ("deadline", plan.deadline_s.map(|s| format!("{s} s")).unwrap_or_default()),
    ]);
    fields
}

fn grace(seconds: u32) -> String {
    format!("{seconds} s between SIGTERM and SIGKILL")
}

fn of_container(plan: &ContainerPlan) -> Fields {
    let command = match plan.argv.as_slice() {
        [] => "the image's own".to_owned(),
        argv => shell_words::join(argv),
    };
    let mount = |mount: &VolumeMount| {
        let read_only = if mount.read_only { ", read-only" } else { "" };
        format!("{} ({}{read_only})", mount.path, mount.name)
    };
    vec![
        ("image", format!("{} (pulled: {:?})", plan.image, plan.pull_policy)),
        ("command", command),
        ("program", shell_words::join(plan.program_words())),
        ("directory", plan.cwd.clone().unwrap_or_default()),
        ("user", format!("{}:{}", plan.run_as.uid, plan.run_as.gid)),
        ("environment", env(&plan.env)),
        ("mounts", lines(plan.mounts.iter().map(mount))),
    ]
}

fn toleration(toleration: &Toleration) -> String {
    let key = toleration.key.as_deref().unwrap_or("every taint");
    let value = toleration.value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
    let effect = toleration.effect.as_ref().map(|effect| format!(":{effect}"));
    format!("{key}{value}{}", effect.unwrap_or_default())
}

fn probe(probe: &AppProbe) -> String {
    match probe {
        AppProbe::HttpGet { path, port } => format!("GET {path} on port {port}"),
        AppProbe::Tcp { port } => format!("a connection to port {port}"),
    }
}

/// Each variable on one line, with where it comes from; what kubelet fills in has no value yet.
fn env(env: &[EnvVar]) -> String {
    lines(env.iter().map(|EnvVar { name, value, from }| match from {
        EnvSource::Field(_) => format!("{name}  ({from})"),
        _ => format!("{name}={}  ({from})", printable(value)),
    }))
}

fn pairs(pairs: &BTreeMap<String, String>) -> String {
    lines(pairs.iter().map(|(name, value)| format!("{name}={value}")))
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}
