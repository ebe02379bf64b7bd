//! Who may be the daemon of a place, and who cannot keep it away.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use deskd_core::wire::proof::{ANSWER_BYTES, Key};

use crate::support::place::Place;
use crate::support::wait;

/// How long a keeper may take to cut a connection: for hangs.
const CUT: std::time::Duration = wait::PATIENCE;

/// Everything that is heard until the connection is cut.
fn heard(mut stream: &UnixStream) -> usize {
    let (start, mut bytes, mut heard) = (Instant::now(), [0; 4096], 0);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(count) => heard += count,
        }
    }
    assert!(start.elapsed() < CUT, "it is not cut");
    heard
}

#[test]
fn who_has_not_the_key_hears_random_bytes_alone() {
    let place = Place::start();
    let other = Key::new([7; 32]);
    assert!(!Place::prove(&place.dial().expect("a connection"), &other));
    for said in [
        &[0; ANSWER_BYTES][..],
        b"\x13\0\0\0{\"hello\":{\"version\":3}}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ] {
        let mut stream = place.dial().expect("a connection");
        stream.write_all(said).expect("it is taken");
        assert_eq!(heard(&stream), 32, "the challenge");
    }
    assert!(Place::prove(&place.dial().expect("a connection"), &place.key));
}

#[test]
fn an_answer_heard_in_one_connection_is_of_no_use_in_another() {
    let place = Place::start();
    let (mut one, mut other) = (place.dial().expect("one"), place.dial().expect("another"));
    let mut challenge = [0; 32];
    one.read_exact(&mut challenge).expect("a challenge");
    let answer = place.key.answer(&challenge, &[9; 32]);
    other.write_all(&answer).expect("it is taken");
    assert_eq!(heard(&other), 32);
    one.write_all(&answer).expect("it is taken");
    one.read_exact(&mut [0; 32]).expect("the keeper's proof");
}

#[test]
fn who_says_nothing_is_cut_and_however_many_there_are_the_daemon_comes_in() {
    let place = Place::start();
    let silent: Vec<_> = (0..100).map(|_| place.dial().expect("a connection")).collect();
    let (mut client, _) = place.connect();
    client.spawn(crate::support::keeper::request("app-00001", &["true"])).expect("a start");
    for stream in &silent {
        assert_eq!(heard(stream), 32);
    }
    // Whose connection is proved is not cut.
    client.tree_gone("app-00001");
}
