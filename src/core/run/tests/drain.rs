//! The shutdown.

use super::*;
use crate::kubernetes::ObjectRef;
use crate::place::Life;
use crate::plan::facts::{ApiState, PlaceFacts};
use crate::wire::Drain;

const DRAIN: Drain = Drain { deadline: 30_000, hurry: false };

/// The cluster with as many idle pods of deskd, and with the desktop's own being deleted or not.
fn cluster(terminating: bool, pods: usize) -> KubernetesFacts {
    let mut facts = samples::cluster();
    facts.own_pod.as_mut().unwrap().terminating = terminating;
    let place = |number: usize| PlaceFacts {
        name: format!("place-0000{number}").parse().unwrap(),
        image: "game:1".into(),
        engine: EngineKind::PodApplication,
        object: ObjectRef {
            namespace: "desktops".into(),
            pod: format!("p{number}"),
            container: "app".into(),
        },
        state: Life::Up,
        keeper_since: Some(1),
        idle: true,
        warm: true,
        spec: None,
    };
    facts.places = (0..pods).map(place).collect();
    facts
}

impl Desk {
    fn drain(&mut self, drain: Drain) {
        self.step(Input::Engine(Event::Draining(drain)));
    }

    fn running_pod(&mut self) -> TaskId {
        let pod = self.launch("pod");
        let what = Observation::Running { at: 1, pid: None, node: None };
        self.observed(&run(&pod, 1), EngineKind::PodApplication, what);
        self.commands();
        pod
    }

    /// Whether the keeper was told since the last time that nothing is left.
    fn is_drained(&mut self) -> bool {
        self.commands().contains(&(Link::Keeper, Command::Drained))
    }
}

#[test]
fn processes_are_stopped_before_the_deadline_and_pods_live_on() {
    let mut desk = Desk::ready();
    let (process, pod) = (desk.running("local"), desk.running_pod());
    desk.drain(Drain { deadline: 3_000, hurry: false });
    assert_eq!(desk.stops(), [(Link::Keeper, run(&process, 1), Duration::from_secs(2))]);
    desk.ended(&run(&process, 1), 0);
    // Whether the pod of the desktop ends with it is not known yet.
    assert!(!desk.is_drained());
    desk.wait_until_due();
    assert!(desk.is_drained());
    assert_eq!(desk.state(&pod), Some(TaskState::Running));
    desk.ask_for("local");
    let refused = desk.answers();
    assert!(matches!(&refused[..], [Answer::Launch(Err(_))]), "{refused:?}");
    desk.cluster_answers();
    assert!(!desk.is_drained(), "once is enough");
}

#[test]
fn where_no_pod_is_there_nothing_is_waited_for() {
    for api in [ApiState::Answers, ApiState::Away("no route".into())] {
        let mut desk = Desk::ready();
        desk.cluster_is(KubernetesFacts { api, ..cluster(false, 0) });
        desk.drain(DRAIN);
        assert!(desk.is_drained());
    }
}

#[test]
fn news_that_the_desktop_ends_stop_its_pods_although_they_come_late() {
    let mut desk = Desk::ready();
    let (pod, elsewhere) = (desk.running_pod(), desk.running("local"));
    desk.drain(DRAIN);
    assert_eq!(desk.stops().len(), 1);
    desk.cluster_is(cluster(true, 0));
    let stops = desk.stops();
    assert!(matches!(&stops[..], [(Link::Cluster, of, _)] if *of == run(&pod, 1)), "{stops:?}");
    desk.cluster_is(cluster(true, 0));
    assert_eq!(desk.stops(), [], "once");
    desk.ended(&run(&elsewhere, 1), 0);
    assert!(!desk.is_drained());
    desk.ended(&run(&pod, 1), 0);
    assert!(desk.is_drained());
}

#[test]
fn idle_pods_of_a_desktop_that_ends_are_waited_for_unless_nobody_can_delete_them() {
    for away in [false, true] {
        let mut desk = Desk::ready();
        desk.cluster_is(cluster(true, 2));
        desk.drain(DRAIN);
        desk.cluster_is(cluster(true, 1));
        assert!(!desk.is_drained());
        if away {
            let api = ApiState::Away("no route".into());
            desk.cluster_is(KubernetesFacts { api, ..cluster(true, 1) });
        } else {
            desk.cluster_is(cluster(true, 0));
        }
        assert!(desk.is_drained());
    }
}

#[test]
fn a_hurried_shutdown_waits_for_no_news() {
    let mut desk = Desk::ready();
    desk.cluster_is(cluster(false, 1));
    desk.drain(DRAIN);
    assert!(!desk.is_drained());
    desk.drain(Drain { hurry: true, ..DRAIN });
    assert!(desk.is_drained());
}
