//! A keeper in a pod of its own: it goes to its daemon, whoever else is on the way, and a program that
//! is to run first does not wait for ever.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;

use deskd_core::task::Exit;
use deskd_core::wire::channel::GREETING_BYTES;
use deskd_core::wire::{FromKeeper, SpawnRequest, ToKeeper};
use nix::sys::signal::Signal;

use crate::support::far::Far;
use crate::support::keeper::request;
use crate::support::place::{Place, Setup, Taken, new_key};
use crate::support::{proc, wait};

const APP: &str = "app-00001";

fn sh(script: &str) -> SpawnRequest {
    let mut request = request(APP, &["/bin/sh", "-c", script]);
    request.env = vec![("OF_PLAN".into(), "yes".into())];
    request
}

/// A place whose daemon is `far`, with a program that is to run first.
fn start(far: &Far, first: Option<SpawnRequest>, options: &[&'static str]) -> Place {
    let (env, options) = (vec![("OF_IMAGE", "yes")], options.to_vec());
    let daemon = Some(far.address());
    Setup { env, options, daemon, first, ..Setup::default() }.start_with(&far.key)
}

#[test]
fn a_daemon_that_is_far_starts_stops_and_reads_programs_as_one_that_is_near() {
    let far = Far::listen();
    let _place = start(&far, Some(sh("echo not asked for")), &[]);
    let (mut client, welcome, _way) = far.connect();
    assert_eq!(welcome.tasks, []);
    client
        .spawn(sh("echo $OF_IMAGE $OF_PLAN; env | grep -c DESKD_PLACE; exit 3"))
        .expect("a start");
    let taken = Taken::default().rest(&mut client, &APP.parse().expect("an id"));
    assert_eq!(taken.text(), "yes yes\n0\n");
    assert_eq!(client.exited(APP).exit, Exit::Code(3));
}

#[test]
fn output_and_end_wait_for_the_way_to_be_there_again_and_nothing_comes_twice() {
    let far = Far::listen();
    let place = start(&far, None, &[]);
    let (mut first, _, way) = far.connect();
    let lines = 40_000;
    first.spawn(sh(&format!("seq {lines}; touch done; exit 3"))).expect("a start");
    let id = APP.parse().expect("an id");
    let mut taken = Taken::default();
    taken.more(&mut first, &id);
    first.send(&ToKeeper::ReadLog { task: id.clone(), from: taken.next });
    way.cut();
    wait::until("it ends alone", || place.dir().join("done").exists().then_some(()));
    let mut rounds = 0;
    while !taken.over {
        let (mut next, welcome, way) = far.connect();
        assert_eq!(welcome.task(APP).id.run, 1);
        taken.more(&mut next, &id);
        way.cut();
        rounds += 1;
    }
    assert!(rounds > 1, "it is more than one message");
    let expected: String = (1..=lines).map(|line| format!("{line}\n")).collect();
    assert!(taken.text() == expected && taken.missing == 0);
}

#[test]
fn a_program_whose_keeper_reaches_nobody_runs_as_it_would_without_one() {
    let far = Far::listen();
    let first = sh("echo $OF_IMAGE $OF_PLAN $DESKD_TASK_ID $$; env | grep -c DESKD_PLACE; \
         grep SigBlk /proc/self/status; echo wrong >&2; exit 5");
    let refusing = Setup {
        env: vec![("OF_IMAGE", "yes")],
        options: vec!["--alone-ms", "300"],
        daemon: Some(([127, 0, 0, 1], 1).into()),
        first: Some(first.clone()),
        ..Setup::default()
    }
    .start_with(&far.key);
    // It takes connections, and says nothing.
    let silent = start(&far, Some(first), &["--alone-ms", "300"]);
    for mut place in [refusing, silent] {
        assert_eq!(place.has_ended(), Some(5));
        let expected = "yes yes app-00001 1\n0\nSigBlk:\t0000000000000000\n";
        assert_eq!(place.stdout(), expected);
        assert!(place.stderr().contains("starts without a keeper"), "{}", place.stderr());
        assert!(place.stderr().ends_with("wrong\n"));
    }
}

#[test]
fn who_has_not_the_key_hears_nothing_and_does_not_get_the_program() {
    let far = Far::listen();
    let mut place = start(&far, Some(sh("exit 6")), &["--alone-ms", "1500"]);
    let mut attempts = 0;
    let poser = new_key();
    while attempts < 3 {
        let mut stream = far.accept();
        let mut heard = Vec::new();
        stream.write_all(&[9; 32]).expect("it is taken");
        let mut greeting = [0; GREETING_BYTES];
        stream.read_exact(&mut greeting).expect("a greeting");
        let proof = [String::from(poser.clone()).into_bytes(), vec![0; 32]].concat();
        stream.write_all(&proof[..32]).expect("it is taken");
        let _ = stream.read_to_end(&mut heard);
        assert_eq!(heard, b"");
        attempts += 1;
    }
    assert_eq!(place.has_ended(), Some(6), "as without a keeper");
    assert!(place.stderr().contains("is not this place's deskd"), "{}", place.stderr());
}

#[test]
fn what_was_recorded_is_of_no_use_in_another_connection() {
    let far = Far::listen();
    let place = start(&far, None, &[]);
    // One on the way passes on what a daemon said to the keeper, and keeps it.
    let mut first = far.accept();
    let half = deskd_core::wire::channel::Half::new([3; 32]);
    let mut greeting = [0; GREETING_BYTES];
    first.write_all(half.public()).expect("it is taken");
    first.read_exact(&mut greeting).expect("a greeting");
    let (proof, mut channel) = half.admit(&far.key, &greeting).expect("the keeper");
    let mut said = Vec::new();
    let hello = ToKeeper::Hello { version: deskd_core::wire::VERSION, oldest: None };
    let mut plain = Vec::new();
    deskd_core::wire::frame::encode(&hello, &mut plain).expect("a message");
    let spawn = ToKeeper::Spawn(Box::new(sh("touch ran")));
    deskd_core::wire::frame::encode(&spawn, &mut plain).expect("a message");
    channel.sealer.seal(&plain, &mut said).expect("records");
    first.write_all(&proof).expect("it is taken");
    first.shutdown(Shutdown::Both).expect("it is cut");
    // The same challenge and everything after it, to another connection of the same keeper.
    let mut second = far.accept();
    second.write_all(half.public()).expect("it is taken");
    second.read_exact(&mut greeting).expect("a greeting");
    second.write_all(&[&proof[..], &said].concat()).expect("it is taken");
    let mut heard = Vec::new();
    let _ = second.read_to_end(&mut heard);
    assert_eq!(heard, b"");
    // The daemon itself is understood all the same, and a record that is changed ends its connection.
    let third = far.accept();
    let mut channel = Far::prove(&third, &far.key).expect("it believes");
    let mut sealed = Vec::new();
    channel.sealer.seal(&plain, &mut sealed).expect("records");
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    (&third).write_all(&sealed).expect("it is taken");
    let _ = (&third).read_to_end(&mut heard);
    assert_eq!(heard, b"");
    let (mut client, welcome, _way) = far.connect();
    assert_eq!(welcome.tasks, []);
    assert!(!place.dir().join("ran").exists());
    client.spawn(sh("exit 1")).expect("a start");
    client.exited(APP);
}

#[test]
fn a_container_that_is_to_end_before_its_daemon_came_ends() {
    let far = Far::listen();
    let first = sh("exit 6");
    let mut place = start(&far, Some(first), &["--alone-ms", "600000"]);
    let _silent = far.accept();
    place.signal(Signal::SIGTERM);
    assert_eq!(place.has_ended(), Some(0));
}

#[test]
fn a_connected_place_that_is_idle_does_not_wake_up() {
    let far = Far::listen();
    let place = start(&far, None, &[]);
    let (mut client, _, _way) = far.connect();
    client.spawn(sh("echo hello")).expect("a start");
    client.tree_gone(APP);
    assert_eq!(proc::wakeups(place.pid(), std::time::Duration::from_secs(3)), 0);
    client.spawn(request("app-00002", &["true"])).expect("a start");
    client.wait("its end", |message| matches!(message, FromKeeper::Exited { .. }).then_some(()));
}
