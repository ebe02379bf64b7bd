//! Which places an engine is told to keep ready, and when.

use super::*;
use crate::place::WarmPlace;
use crate::plan::facts::{Quota, VolumeMount};
use crate::plan::remote::KeeperFile;

/// One pod and one container are kept ready.
fn desk() -> Desk {
    let mut config = config();
    let mut policy = (*config.policy).clone();
    policy.places_port = Some(6001);
    policy.warm =
        [("pod", 2), ("plain", 1)].map(|(app, count)| (app.parse().unwrap(), count)).into();
    config.policy = Arc::new(policy);
    Desk::configured(config, Remembered::default())
}

fn cluster() -> KubernetesFacts {
    let mut facts = samples::cluster();
    let pod = facts.own_pod.as_mut().unwrap();
    let mount = VolumeMount { name: "bin".into(), path: "/.deskd".into(), read_only: true };
    pod.keeper = Some(KeeperFile { mount, path: "/.deskd/deskd-keeper".into() });
    pod.volumes.insert("bin".into(), serde_json::json!({ "name": "bin", "image": {} }));
    facts
}

impl Desk {
    /// What the engine was told to keep ready since the last time.
    fn kept_warm(&mut self) -> Vec<Vec<WarmPlace>> {
        let told = self.commands().into_iter().filter_map(|(_, command)| match command {
            Command::KeepWarm(wanted) => Some(wanted),
            _ => None,
        });
        told.collect()
    }
}

fn counts(told: &[Vec<WarmPlace>]) -> Vec<Vec<(bool, u32)>> {
    let count = |place: &WarmPlace| (place.spec.pod.is_some(), place.count);
    told.iter().map(|wanted| wanted.iter().map(count).collect()).collect()
}

#[test]
fn what_is_to_be_ready_is_told_once_everything_is_known_and_again_when_that_changed() {
    let mut desk = desk();
    desk.keeper_answers(1, Vec::new());
    desk.cluster_is(cluster());
    // Whether the display answers is not known: what an earlier daemon made must not end.
    assert_eq!(desk.kept_warm(), Vec::<Vec<WarmPlace>>::new());
    desk.step(Input::Display(Box::new(display())));
    assert_eq!(counts(&desk.kept_warm()), [vec![(false, 1), (true, 2)]]);
    let mut facts = cluster();
    facts.images.push("another".into());
    desk.cluster_is(facts.clone());
    desk.step(Input::Display(Box::new(DisplayStatus::unknown(":7", 7))));
    assert_eq!(desk.kept_warm().len(), 0, "nothing new, and what passes ends nothing");
    let [namespace, name, resource, used, hard] =
        ["desktops", "cap", "pods", "3", "5"].map(str::to_owned);
    facts.quotas.push(Quota { namespace, name, resource, used, hard });
    desk.step(Input::Display(Box::new(display())));
    desk.cluster_is(facts);
    assert_eq!(desk.kept_warm().len(), 1, "the quota leaves less");
    let mut fewer = (*apps()).clone();
    fewer.remove(&AppId::like("plain"));
    desk.step(Input::Apps(Arc::new(fewer)));
    assert_eq!(counts(&desk.kept_warm()), [vec![(true, 2)]]);
}

#[test]
fn nothing_is_told_where_nothing_is_to_be_ready() {
    let mut desk = Desk::ready();
    desk.cluster_is(cluster());
    assert_eq!(desk.kept_warm(), Vec::<Vec<WarmPlace>>::new());
}
