//! Whether a container can be a place: with a keeper as its first process, so that later launches of its
//! image need no container of their own.

use std::net::{IpAddr, SocketAddr};

use super::ask::Ask;
use super::facts::{OwnPod, Way};
use super::remote::{ContainerPlan, KeeperFile, PodPlace, PodPlan};
use super::{class, pod};
use crate::app::container::ContainerApp;
use crate::kubernetes::LABEL_NETWORK;
use crate::place::PlaceSpec;
use crate::text;
use crate::text::Text;

/// The keeper that is to be there, and the sentence about it. Neither: places are switched off.
pub(super) fn of(
    ask: &Ask<'_>,
    container: &ContainerPlan,
    pod: &OwnPod,
) -> (Option<KeeperFile>, Option<Text>) {
    if !ask.facts.policy.places {
        return (None, None);
    }
    let why = match &pod.keeper {
        _ if container.argv.is_empty() => {
            text!(
                "its document does not say which command its image runs, so only the runtime can start it"
            )
        }
        _ if pod.shares_processes => {
            text!(
                "the pod's containers share their processes, so a keeper could not protect itself"
            )
        }
        None => {
            text!(
                "no volume of the pod brings deskd's keeper: add deskd to the pod as \
             container/inject/policy.yaml does"
            )
        }
        Some(keeper) => {
            let said =
                text!("a keeper starts it in a container that all programs of its image share");
            return (Some(keeper.clone()), Some(said));
        }
    };
    (None, Some(text!("it gets a container of its own: {why}", why)))
}

/// The same of an application pod. Nothing is said where no port is configured.
pub(super) fn of_pod(
    ask: &Ask<'_>,
    container: &ContainerApp,
    plan: &PodPlan,
    own: &OwnPod,
) -> (Option<PodPlace>, Option<Text>) {
    let policy = &ask.facts.policy;
    let Some(port) = policy.places_port else { return (None, None) };
    let address = own.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    let brought = own.keeper.as_ref().and_then(|keeper| {
        let volume = own.volumes.get(&keeper.mount.name)?;
        Some((keeper.clone(), volume.clone()))
    });
    let why = match (brought, address) {
        _ if plan.container.argv.is_empty() => {
            text!("its document does not say which command its image runs, so only the runtime can start it")
                .to_owned()
        }
        _ if !plan.ports.is_empty() || plan.probe.is_some() => {
            text!("its ports and its probe are of one program")
        }
        _ if plan.deadline_s.is_some() => text!("its deadline is of one program"),
        _ if pod::elsewhere(ask, container) => {
            text!("its image is for another architecture than deskd's")
        }
        (None, _) => text!("no volume of the desktop's pod brings deskd's keeper: add deskd to the pod as \
             container/inject/policy.yaml does"),
        (_, None) => text!("the desktop's pod has no address yet"),
        (Some((keeper, volume)), Some(address)) => match &ask.facts.kubernetes.way {
            Way::Barred { port } => text!("{what}: {remedy}", what = barred(*port), remedy = admit(*port)),
            Way::Closed(why) => Text::words(why),
            Way::Untried | Way::Works => {
                let linger_s = class::name_of(container, policy)
                    .and_then(|name| policy.classes.get(name)?.linger_s)
                    .unwrap_or(policy.linger_s);
                let daemon = SocketAddr::new(address, port);
                let place = PodPlace { keeper, volume, daemon, linger_s };
                return (Some(place), Some(lingers(linger_s)));
            }
        },
    };
    (None, Some(text!("its pod has no keeper and ends with it: {why}", why)))
}

/// Whether a pod is there that takes it: one that exists takes nothing more of a quota.
pub(super) fn waits_for(plan: &PodPlan, ask: &Ask<'_>) -> bool {
    let mut waiting = ask.facts.kubernetes.places.iter().filter_map(|place| place.spec.as_deref());
    let Some(first) = waiting.next() else { return false };
    let spec = PlaceSpec::of_pod(plan);
    std::iter::once(first).chain(waiting).any(|waits| Some(waits) == spec.as_ref())
}

fn lingers(linger_s: u32) -> Text {
    match linger_s {
        0 => text!("a keeper starts it in its pod, which ends with it"),
        _ => text!(
            "a keeper starts it in its pod, which waits {linger_s} s for the next launch of the \
             same image, class and user",
            linger_s
        ),
    }
}

/// That no keeper comes through.
#[must_use]
pub fn barred(port: u16) -> Text {
    text!("keepers in application pods cannot reach deskd on TCP port {port}", port)
}

/// What lets them through.
#[must_use]
pub fn admit(port: u16) -> Text {
    text!(
        "allow TCP port {port} in the network policies, as ingress of the desktop's pods from \
         pods with the label {label}: \"true\", and as egress of those",
        port,
        label = LABEL_NETWORK
    )
}
