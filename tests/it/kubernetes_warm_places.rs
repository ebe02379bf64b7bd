//! Pods that are made before anybody asks, on a real API server, with real keepers.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use deskd::engine::kubernetes::{Command, Verb};
use deskd_core::kubernetes::ObjectRef;
use deskd_core::place::{Leeway, Life, PlaceSpec, WarmPlace};
use deskd_core::plan::EngineKind;
use deskd_core::plan::facts::PlaceFacts;
use deskd_core::task::Exit;
use serde_json::json;

use crate::support::kube_engine::{KubeEngine, run, running};
use crate::support::pod_places::{World, stop};
use crate::support::wait;

/// Keeps that many pods ready in which `World::sh` runs.
fn keep(world: &World, engine: &KubeEngine, count: u32, leeway: Leeway) {
    let plan = engine.pod_plan_with(world.sh("true", 0));
    let spec = PlaceSpec::of_pod(&plan).unwrap();
    let app = "game".parse().unwrap();
    engine.tell(Command::KeepWarm(vec![WarmPlace { app, spec, count, leeway }]));
}

/// The places that are told of, once this is so of them.
fn places(engine: &KubeEngine, what: &str, so: impl Fn(&[PlaceFacts]) -> bool) -> Vec<PlaceFacts> {
    let facts = engine.until_facts(what, |facts| so(&facts.places));
    facts.places
}

fn objects(places: &[PlaceFacts]) -> Vec<ObjectRef> {
    places.iter().map(|place| place.object.clone()).collect()
}

fn ready(places: &[PlaceFacts]) -> usize {
    places.iter().filter(|place| place.idle && place.warm && place.state == Life::Up).count()
}

#[test]
fn pods_are_there_before_anybody_asks_and_one_that_is_used_is_replaced() {
    let Some(world) = World::start_warm("warm") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    keep(&world, &engine, 2, Leeway::More(16));
    let asked = places(&engine, "two are asked for", |all| all.len() == 2);
    assert!(asked.iter().all(|place| place.engine == EngineKind::PodApplication));
    let pod = world.pod(&asked[0].object);
    let labels = &pod["metadata"]["labels"];
    assert_eq!(
        (&labels["deskd.io/task"], &labels["deskd.io/run"]),
        (&labels["deskd.io/place"], &json!("0"))
    );
    assert!(!pod["spec"]["containers"][0]["env"].to_string().contains("DESKD_PLACE_FIRST"));
    let _pods: Vec<_> = objects(&asked).iter().map(|object| world.start_pod(object)).collect();
    let there = places(&engine, "their keepers came", |all| ready(all) == 2);
    assert!(there.iter().all(|place| place.keeper_since.is_some_and(|at| at > 0)));
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 2);

    let one = run("game-0a1b1");
    engine.launch_pod(&one, world.sh("echo $DESKD_TASK_ID $DESKD_RUN; exec sleep 1000", 0));
    engine.until_observed(&one, "it runs in one of them", running);
    let next = places(&engine, "another is asked for", |all| all.len() == 3);
    let object = objects(&next).into_iter().find(|it| !objects(&there).contains(it)).unwrap();
    let _next = world.start_pod(&object);
    places(&engine, "it is ready", |all| ready(all) == 2);
    // More than two are idle then, and nothing is to linger.
    stop(&engine, &one);
    assert!(matches!(engine.end_of(&one).0, Exit::Signal { number: 15, .. }));
    assert_eq!(engine.output_of(&one), "game-0a1b1 1\n");
    wait::until("one of them is deleted", || (world.pods() == 2).then_some(()));
    // And when none is to be there any more.
    engine.tell(Command::KeepWarm(vec![]));
    wait::until("all are deleted", || (world.pods() == 0).then_some(()));
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 3);
}

#[test]
fn a_later_daemon_keeps_them_and_makes_none_besides() {
    let Some(world) = World::start_warm("warm-again") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    keep(&world, &engine, 1, Leeway::More(16));
    let asked = places(&engine, "one is asked for", |all| all.len() == 1);
    let _pod = world.start_pod(&asked[0].object);
    places(&engine, "its keeper came", |all| ready(all) == 1);
    drop(engine);

    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    // Before it is told which are wanted.
    places(&engine, "its keeper came again", |all| ready(all) == 1);
    keep(&world, &engine, 1, Leeway::More(16));
    let one = run("game-0a1b1");
    engine.launch_pod(&one, world.sh("exit 3", 0));
    assert_eq!(engine.end_of(&one).0, Exit::Code(3));
    let object = engine.until_accepted_at(&one);
    assert_eq!(object, asked[0].object);
    drop(engine);

    // A daemon whose record is lost can use none of those that were made since.
    std::fs::remove_file(world.record()).unwrap();
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    wait::until("they are deleted", || (world.pods() == 0).then_some(()));
}

#[test]
fn a_pod_that_dies_at_once_is_asked_for_again_after_ever_longer_pauses() {
    let Some(world) = World::start_warm("warm-dies") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    keep(&world, &engine, 1, Leeway::More(16));
    let began = std::time::Instant::now();
    let mut ended = Vec::new();
    while ended.len() < 4 {
        let fresh =
            |all: &[PlaceFacts]| objects(all).into_iter().find(|object| !ended.contains(object));
        let all = places(&engine, "one is asked for", |all| fresh(all).is_some());
        let object = fresh(&all).unwrap();
        let _pod = world.start_pod(&object);
        let is_ready =
            |all: &[PlaceFacts]| all.iter().any(|it| it.object == object && it.state == Life::Up);
        places(&engine, "its keeper came", is_ready);
        let end = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        world.set_state(&object, "Failed", &end);
        ended.push(object);
    }
    // After 1 s, 2 s and 4 s.
    assert!(began.elapsed() >= Duration::from_secs(7));
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 4);
    // A fifth may be there by now.
    wait::until("those that ended are deleted", || (world.pods() <= 1).then_some(()));
}

#[test]
fn when_the_desktop_ends_they_are_deleted_whether_or_not_their_keepers_came() {
    let Some(world) = World::start_warm("warm-logout") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    keep(&world, &engine, 2, Leeway::More(16));
    let asked = places(&engine, "two are asked for", |all| all.len() == 2);
    let _pod = world.start_pod(&asked[0].object);
    places(&engine, "one keeper came", |all| ready(all) == 1);
    world.log_out();
    places(&engine, "no place is left", <[PlaceFacts]>::is_empty);
    wait::until("nor its pod", || (world.pods() == 0).then_some(()));
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 2, "none is made anew");
}

#[test]
fn a_full_quota_gives_up_one_that_nobody_uses() {
    let Some(world) = World::start_warm("warm-quota") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    keep(&world, &engine, 3, Leeway::More(2));
    let asked = places(&engine, "two are asked for", |all| all.len() == 2);
    let _pods: Vec<_> = objects(&asked).iter().map(|object| world.start_pod(object)).collect();
    places(&engine, "their keepers came", |all| ready(all) == 2);
    assert_eq!(world.pods(), 2, "the third would be the last that fits");
    keep(&world, &engine, 3, Leeway::Full);
    wait::until("one of them is deleted", || (world.pods() == 1).then_some(()));
    keep(&world, &engine, 3, Leeway::More(0));
    places(&engine, "the other is kept", |all| ready(all) == 1);
}
