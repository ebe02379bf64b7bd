//! Kubernetes, as far as the running daemon knows it.

use super::{Finding, State, finding};
use crate::cli::doctor::examined::{Examined, Port};
use deskd_core::plan::KubernetesFacts;
use deskd_core::plan::facts::{ApiState, Right, Way};
use deskd_core::plan::place;
use deskd_core::why::Cause;
use deskd_core::why::rules::advice;

pub(super) fn findings(examined: &Examined) -> Vec<Finding> {
    match (&examined.cluster, &examined.api) {
        (Some(cluster), _) => known(cluster),
        (None, Port::Elsewhere(_)) => vec![finding(
            "Kubernetes",
            State::Remark,
            "deskd of another container knows it",
            "look there: `deskd doctor` in deskd's container",
            "kubectl exec DESKTOP -c deskd -- deskd doctor",
        )],
        (None, _) => vec![finding(
            "Kubernetes",
            State::Remark,
            "deskd does not run, so its rights in the cluster are not known",
            "start deskd: `deskd run`",
            "deskd health",
        )],
    }
}

fn known(cluster: &KubernetesFacts) -> Vec<Finding> {
    let (state, sentence) = match &cluster.api {
        ApiState::Off(why) => (State::Remark, format!("not used: {why}")),
        ApiState::Unknown => (State::Remark, "the API has not answered yet".to_owned()),
        ApiState::Away(why) => (State::Wrong, format!("the API does not answer: {why}")),
        ApiState::Answers => {
            let (all, allowed) = (cluster.rights.len(), allowed(cluster).count());
            (State::Works, format!("the API answers; {allowed} of {all} rights are granted"))
        }
    };
    let change = match &cluster.api {
        ApiState::Off(_) => {
            "it is only needed for applications in containers: [kubernetes] engines in deskd's configuration \
             (container/kubernetes.toml)"
        }
        _ => advice(Cause::ApiAway),
    };
    let mut all = vec![finding(
        "Kubernetes",
        state,
        sentence,
        change,
        "deskd health; kubectl get --raw /readyz",
    )];
    let denied = cluster.rights.iter().filter(|right| !right.allowed);
    all.extend(denied.map(|right| missing(right, cluster)));
    all.extend(way(&cluster.way));
    all
}

/// Whether keepers in application pods get through, where that matters.
fn way(way: &Way) -> Option<Finding> {
    let (sentence, change) = match way {
        Way::Untried | Way::Works => return None,
        Way::Barred { port } => (place::barred(*port).into(), place::admit(*port).into()),
        Way::Closed(why) => {
            let change = "choose another places_port in [kubernetes], and restart deskd";
            (why.clone(), change.to_owned())
        }
    };
    let how = "kubectl get networkpolicies --all-namespaces; deskd explain APP";
    Some(finding("pods as places", State::Wrong, sentence, change, how))
}

fn allowed(cluster: &KubernetesFacts) -> impl Iterator<Item = &Right> {
    cluster.rights.iter().filter(|right| right.allowed)
}

fn missing(right: &Right, cluster: &KubernetesFacts) -> Finding {
    let home = cluster.own_pod.as_ref().map_or("NAMESPACE", |pod| pod.namespace.as_str());
    let file = Right::manifest(&right.namespace);
    let scope = match right.namespace.as_str() {
        "" => String::new(),
        name => format!(" --namespace {name}"),
    };
    // A right that no engine needs only makes explanations better.
    let state = if right.engine.is_some() { State::Wrong } else { State::Remark };
    let (verb, resource) = (&right.verb, &right.resource);
    finding(
        "Kubernetes right",
        state,
        right.sentence.clone(),
        format!(
            "kubectl apply -f {file}, which grants it to service account deskd; the desktop pod needs \
             that account (serviceAccountName) and its token"
        ),
        format!(
            "kubectl auth can-i {verb} {resource}{scope} --as system:serviceaccount:{home}:deskd"
        ),
    )
}
