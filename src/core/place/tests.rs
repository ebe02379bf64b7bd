//! What happens to places, and what follows.

use std::time::Duration;

use super::*;
use proptest::prelude::*;

fn spec(image: &str) -> PlaceSpec {
    let mount = VolumeMount { name: "deskd-bin".into(), path: "/d".into(), read_only: true };
    PlaceSpec {
        image: image.into(),
        pull_policy: PullPolicy::IfNotPresent,
        run_as: RunAs { uid: 1, gid: 1, groups: vec![] },
        mounts: vec![],
        fields: vec![],
        keeper: KeeperFile { mount, path: "/d/deskd-keeper".into() },
        pod: None,
    }
}

/// Of an application pod.
fn pod(image: &str) -> PlaceSpec {
    let none = serde_json::json!([]);
    let map = serde_json::json!({});
    let keeper = spec(image).keeper;
    let plan = serde_json::json!({
        "namespace": "a", "owner": null, "labels": { LABEL_APP: "game" }, "annotations": map,
        "container": {
            "image": image, "pull_policy": "IfNotPresent", "argv": ["game"], "cwd": "/games",
            "env": [
                { "name": "DISPLAY", "value": "10.0.0.1:0", "from": "display" },
                { "name": "XAUTH_KEY", "value": "0a", "from": "display" },
            ],
            "run_as": { "uid": 1, "gid": 1, "groups": [] }, "mounts": none,
        },
        "volumes": none, "requests": map, "limits": map, "node_selector": map,
        "preferred_node": null, "tolerations": none, "runtime_class": null, "ports": none,
        "probe": null, "pull_secrets": none, "grace_s": 30, "deadline_s": null,
        "place": {
            "keeper": keeper, "volume": { "name": "d" }, "daemon": "10.0.0.1:6001",
            "linger_s": 60,
        },
    });
    PlaceSpec::of_pod(&serde_json::from_value(plan).unwrap()).unwrap()
}

#[test]
fn a_pod_is_for_one_program_at_a_time_and_for_the_next_once_nothing_of_it_is_left() {
    let mut places = Places::default();
    assert_eq!(places.launch(&run(1), pod("a"), || id(1)), Some(Launch::Make(id(1))));
    assert_eq!(places.launch(&run(2), pod("a"), || id(2)), Some(Launch::Make(id(2))));
    assert_eq!(places.up(&id(1), []).ask, [run(1)]);
    places.there(&run(1));
    assert!(!places.is_idle_pod(&id(1)));
    places.over(&run(1));
    // Told late, it changes nothing.
    places.there(&run(1));
    assert!(places.is_idle_pod(&id(1)));
    assert_eq!(places.launch(&run(3), pod("b"), || id(3)), Some(Launch::Make(id(3))));
    assert_eq!(places.launch(&run(4), pod("a"), || id(4)), Some(Launch::Ask(id(1))));
    let last = Last { run: run(4), there: false };
    assert_eq!(places.last(&id(1)), Some(&last));
    places.there(&run(4));
    assert_eq!(places.known_there().collect::<Vec<_>>(), [&run(4)]);
    assert_eq!(places.launch(&run(5), pod("a"), || id(5)), Some(Launch::Make(id(5))));
}

#[test]
fn nothing_is_launched_in_a_pod_that_ends_or_of_which_nobody_knows_what_runs_there() {
    let mut places = Places::default();
    places.remember(id(1), pod("a"), Some(Last { run: run(1), there: false }));
    assert_eq!(places.known_there().count(), 0);
    assert_eq!(places.launch(&run(2), pod("a"), || id(2)), Some(Launch::Make(id(2))));
    // The one for which it was made may not have arrived.
    assert_eq!(places.launch(&run(1), pod("a"), || id(3)), Some(Launch::Wait(id(1))));
    places.up(&id(2), []);
    places.forget(&run(2));
    assert!(places.is_idle_pod(&id(2)));
    places.end(&id(2));
    places.lost(&id(2));
    places.up(&id(2), []);
    assert_eq!(places.life(&id(2)), Some(Life::Ending));
    assert_eq!(places.launch(&run(4), pod("a"), || id(4)), Some(Launch::Make(id(4))));
}

#[test]
fn what_is_of_one_program_makes_no_other_pod_and_what_is_of_the_pod_does() {
    let shape = *pod("a").pod.unwrap();
    let names: Vec<_> = shape.container.env.iter().map(|var| var.name.as_str()).collect();
    assert!(names.is_empty() && shape.container.argv.is_empty() && shape.labels.is_empty());
    assert_eq!(pod("a").linger_s(), Some(60));
    let with_cookie = |key: &str| {
        let mut plan = shape.clone();
        let mount = spec("a").keeper.mount;
        plan.cookie = Some(CookieMaker { image: "d".into(), argv: vec![], mount });
        let var = |name, value| EnvVar::new(name, value, EnvSource::Display);
        plan.container.env = vec![var("XAUTH_KEY", key), var("DISPLAY", key)];
        PlaceSpec::of_pod(&plan)
    };
    assert_ne!(with_cookie("0a"), with_cookie("0b"), "its file is made once");
    let mut larger = shape.clone();
    larger.limits.insert("memory".into(), "2Gi".into());
    assert_ne!(PlaceSpec::of_pod(&larger), Some(pod("a")));
}

fn id(number: u32) -> TaskId {
    format!("place-{number:05x}").parse().unwrap()
}

fn run(number: u32) -> RunId {
    RunId { task: format!("app-{number:05x}").parse().unwrap(), run: 1 }
}

#[test]
fn the_first_launch_makes_a_place_and_those_that_come_meanwhile_go_with_it() {
    let mut places = Places::default();
    assert_eq!(places.launch(&run(1), spec("a"), || id(1)), Some(Launch::Make(id(1))));
    assert_eq!(places.launch(&run(2), spec("a"), || id(2)), Some(Launch::Wait(id(1))));
    assert_eq!(places.launch(&run(3), spec("b"), || id(3)), Some(Launch::Make(id(3))));
    assert_eq!(places.up(&id(1), []).ask, [run(1), run(2)]);
    assert_eq!(places.launch(&run(4), spec("a"), || id(4)), Some(Launch::Ask(id(1))));
    // The answers to 2 and 4 were lost with the connection.
    places.there(&run(1));
    places.lost(&id(1));
    assert_eq!(places.launch(&run(5), spec("a"), || id(5)), Some(Launch::Wait(id(1))));
    assert_eq!(places.up(&id(1), [run(1), run(2)]).ask, [run(4), run(5)]);
    assert_eq!(places.of(&run(2)), Some((&id(1), Stage::There)));
}

#[test]
fn after_a_place_died_the_next_launch_makes_another() {
    let mut places = Places::default();
    places.launch(&run(1), spec("a"), || id(1));
    places.up(&id(1), []);
    places.there(&run(1));
    places.launch(&run(2), spec("a"), || id(2));
    assert_eq!(places.dead(&id(1)), [(run(1), Stage::There), (run(2), Stage::Asked)]);
    assert_eq!(places.dead(&id(1)), []);
    assert_eq!(places.launch(&run(3), spec("a"), || id(3)), Some(Launch::Make(id(3))));
}

#[test]
fn the_places_of_an_earlier_daemon_are_away_until_they_answer() {
    let mut places = Places::default();
    places.remember(id(1), spec("a"), None);
    places.keep(&id(1), run(6));
    assert_eq!(places.away().count(), 1);
    let missing = Answered { ask: vec![], missing: vec![run(6)] };
    assert_eq!(places.up(&id(1), [run(7)]), missing);
    assert_eq!(places.away().count(), 0);
    assert_eq!(places.of(&run(7)), Some((&id(1), Stage::There)));
}

#[test]
fn a_run_is_replaced_by_a_later_one_of_its_task_at_the_same_place() {
    let mut places = Places::default();
    let run = |task: &str, run| RunId { task: task.parse().unwrap(), run };
    places.remember(id(1), spec("a"), None);
    places.remember(id(2), spec("b"), None);
    places.keep(&id(1), run("app-00001", 2));
    places.keep(&id(1), run("other-00001", 3));
    places.keep(&id(2), run("app-00001", 4));
    assert!(!places.is_replaced(&run("app-00001", 2)));
    places.keep(&id(1), run("app-00001", 3));
    assert!(places.is_replaced(&run("app-00001", 2)));
    assert!(!places.is_replaced(&run("app-00001", 3)));
}

#[test]
fn there_are_not_more_than_the_limit() {
    let mut places = Places::default();
    for number in 0..PLACES_MAX as u32 {
        places.launch(&run(number), spec(&number.to_string()), || id(number));
    }
    assert_eq!(places.launch(&run(999), spec("another"), || id(999)), None);
    assert_eq!(places.launch(&run(998), spec("7"), || id(998)), Some(Launch::Wait(id(7))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever happens to places, no spec has two that live, and every run that was launched and
    /// not forgotten is in one or was told of by a death.
    #[test]
    fn no_launch_is_lost_and_no_place_is_made_twice(steps in prop::collection::vec((0..6_u8, 0..4_u32), 0..80)) {
        let (mut places, mut next, mut open) = (Places::default(), 0, Vec::new());
        for (step, number) in steps {
            let known: Vec<TaskId> = places.iter().map(|(id, _)| id.clone()).collect();
            let some = known.get(number as usize % known.len().max(1)).cloned();
            match (step, some) {
                (0 | 1, _) => {
                    next += 1;
                    let made = places.launch(&run(next), spec(&number.to_string()), || id(next));
                    prop_assert!(made.is_some());
                    open.push(run(next));
                }
                (2, Some(id)) => places.up(&id, Vec::from_iter(places.runs(&id).filter(|it| it.1 == Stage::There).map(|it| it.0.clone()))).ask.iter().for_each(|run| places.there(run)),
                (3, Some(id)) => places.lost(&id),
                (4, Some(id)) => {
                    let dead = places.dead(&id);
                    open.retain(|run| !dead.iter().any(|(of, _)| of == run));
                }
                _ => {}
            }
            let mut specs: Vec<_> = places.iter().map(|(_, spec)| spec.image.clone()).collect();
            specs.sort();
            let count = specs.len();
            specs.dedup();
            prop_assert_eq!(specs.len(), count);
            prop_assert!(open.iter().all(|run| places.of(run).is_some()));
        }
    }
}

fn wants(spec: PlaceSpec, count: u32, leeway: Leeway) -> WarmPlace {
    WarmPlace { app: crate::id::AppId::like("game"), spec, count, leeway }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Makes what is to be made, and says how many.
fn make(places: &mut Places, at: Duration, next: &mut u32) -> usize {
    let made = places.to_make(at, |_| true);
    for (_, spec) in &made {
        *next += 1;
        places.make(id(*next), spec.clone());
    }
    made.len()
}

#[test]
fn places_are_made_before_anybody_asks_and_a_launch_that_takes_one_makes_room_for_another() {
    let (mut places, mut next) = (Places::default(), 0);
    places.keep_warm(vec![wants(pod("a"), 2, Leeway::More(16))]);
    assert_eq!(make(&mut places, secs(0), &mut next), 2);
    assert_eq!(make(&mut places, secs(0), &mut next), 0);
    // Whose keeper has not come may never come: a launch has a pod of its own.
    assert_eq!(places.launch(&run(1), pod("a"), || id(90)), Some(Launch::Make(id(90))));
    places.up(&id(1), []);
    assert_eq!(places.launch(&run(2), pod("a"), || id(91)), Some(Launch::Ask(id(1))));
    assert_eq!(make(&mut places, secs(1), &mut next), 1);
    places.up(&id(2), []);
    places.up(&id(3), []);
    places.there(&run(2));
    places.over(&run(2));
    // Three are idle, and two are kept.
    let kept = [1, 2, 3].map(|number| places.is_kept(&id(number)));
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 2);
    assert_eq!(make(&mut places, secs(2), &mut next), 0);
    places.keep_warm(vec![]);
    assert!((1..=3).all(|number| !places.is_kept(&id(number))));
}

#[test]
fn a_place_that_ends_before_it_was_of_use_is_made_again_after_a_pause_that_doubles() {
    let (mut places, mut next, mut at) = (Places::default(), 0, secs(0));
    places.keep_warm(vec![wants(pod("a"), 3, Leeway::More(16))]);
    assert_eq!(make(&mut places, at, &mut next), 3);
    for number in 1..=3 {
        places.dead(&id(number));
    }
    let mut pauses = Vec::new();
    for _ in 0..12 {
        assert_eq!(make(&mut places, at, &mut next), 0);
        let due = places.to_make_at(at).unwrap();
        pauses.push((due - at).as_secs());
        at = due;
        // One after the other, however many are missing.
        assert_eq!(make(&mut places, at, &mut next), 1);
        assert_eq!(make(&mut places, at, &mut next), 0);
        places.up(&id(next), []);
        places.dead(&id(next));
        // What is known of attempts outlives a change of the rest.
        places.keep_warm(vec![wants(pod("a"), 2, Leeway::More(15))]);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    at = places
        .to_make_at(at)
        .or_else(|| {
            make(&mut places, at, &mut next);
            places.to_make_at(at)
        })
        .unwrap();
    assert_eq!(make(&mut places, at, &mut next), 1);
    places.up(&id(next), []);
    places.launch(&run(1), pod("a"), || id(99));
    places.there(&run(1));
    assert_eq!(make(&mut places, at, &mut next), 2, "it proved to be of use");
}

#[test]
fn an_ephemeral_place_is_made_once_and_not_again_if_it_ends_unused() {
    let (mut places, mut next) = (Places::default(), 0);
    places.keep_warm(vec![wants(spec("a"), 1, Leeway::More(16))]);
    assert_eq!(make(&mut places, secs(0), &mut next), 1);
    assert_eq!(places.launch(&run(1), spec("a"), || id(90)), Some(Launch::Wait(id(1))));
    assert_eq!(make(&mut places, secs(1), &mut next), 0, "all its programs run in one");
    places.forget(&run(1));
    places.dead(&id(1));
    assert_eq!(make(&mut places, secs(1), &mut next), 1, "a launch showed that it is wanted");
    places.dead(&id(2));
    assert_eq!(make(&mut places, secs(9999), &mut next), 0, "its entry stays in the pod");
    assert_eq!(places.to_make_at(secs(9999)), None);
}

#[test]
fn the_last_of_a_quota_is_a_launchs() {
    let (mut places, mut next) = (Places::default(), 0);
    places.keep_warm(vec![wants(pod("a"), 3, Leeway::More(1))]);
    assert_eq!(make(&mut places, secs(0), &mut next), 1);
    assert_eq!(make(&mut places, secs(0), &mut next), 0, "until the quota is read again");
    places.up(&id(1), []);
    places.keep_warm(vec![wants(pod("a"), 3, Leeway::More(2))]);
    assert_eq!(make(&mut places, secs(0), &mut next), 2);
    assert_eq!(places.to_give_up(), []);
    places.keep_warm(vec![wants(pod("a"), 3, Leeway::Full)]);
    assert_eq!(places.to_give_up(), [id(1)]);
    places.end(&id(1));
    places.up(&id(2), []);
    assert_eq!(places.to_give_up(), [], "until the quota is read again");
    assert_eq!(make(&mut places, secs(0), &mut next), 0);
}

#[test]
fn until_it_is_known_what_is_to_be_there_nothing_that_waits_ends() {
    let mut places = Places::default();
    places.expect_warm();
    places.remember(id(1), pod("a"), None);
    places.up(&id(1), []);
    assert!(places.is_kept(&id(1)));
    places.keep_warm(vec![wants(pod("b"), 1, Leeway::More(16))]);
    assert!(!places.is_kept(&id(1)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever happens, no more are idle than are wanted but those that were used, none is made beyond
    /// what a quota leaves, and pods that die at once are made ever more rarely.
    #[test]
    fn there_are_never_more_than_are_wanted(count in 0..4_u32, leeway in 0..6_u32, steps in prop::collection::vec((0..8_u8, 0..8_usize), 0..120)) {
        let (mut places, mut next, mut at, mut runs) = (Places::default(), 0, secs(0), 0);
        let (mut left, mut unused) = (leeway, 0_u32);
        places.keep_warm(vec![wants(pod("a"), count, Leeway::More(leeway))]);
        for (step, number) in steps {
            let known: Vec<TaskId> = places.iter().map(|(id, _)| id.clone()).collect();
            let some = known.get(number % known.len().max(1)).cloned();
            match (step, some) {
                (0, _) => at += secs(1 << number),
                (1, Some(id)) => drop(places.up(&id, Vec::from_iter(places.runs(&id).map(|it| it.0.clone())))),
                (2, Some(id)) => places.lost(&id),
                (3 | 4, Some(id)) => {
                    unused += u32::from(places.last(&id).is_none());
                    places.dead(&id);
                }
                (5, _) => {
                    runs += 1;
                    next += 1;
                    places.launch(&run(runs), pod("a"), || id(next));
                }
                (6, Some(id)) => {
                    let of: Vec<RunId> = places.runs(&id).map(|it| it.0.clone()).collect();
                    of.iter().for_each(|run| places.over(run));
                }
                _ => {}
            }
            let made = u32::try_from(make(&mut places, at, &mut next)).unwrap();
            left = left.checked_sub(made).expect("within the quota");
            let fresh = |id: &&TaskId| places.last(id).is_none();
            let idle = places.iter().map(|(id, _)| id).filter(fresh).count();
            prop_assert!(idle as u32 <= count);
            prop_assert!(unused == 0 || places.to_make_at(at).is_none_or(|due| due > at));
        }
    }
}
