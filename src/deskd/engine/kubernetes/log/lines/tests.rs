//! Any split of the bytes, any points of reconnection and any restarts of the daemon give the same
//! output as one stream.

use proptest::prelude::*;

use super::*;

/// What a container wrote: when (nanoseconds), and the line.
type Written = Vec<(u64, Vec<u8>)>;

const START_NS: u64 = 1_795_498_226_900_000_000;

fn stamp(ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
    format!("{time:.9}")
}

/// The answer of kubelet. An unfinished last line has no end.
fn served(written: &Written, unfinished: bool, since: Option<&str>) -> Vec<u8> {
    let since: Option<jiff::Timestamp> = since.map(|since| since.parse().unwrap());
    let mut text = Vec::new();
    for (ns, line) in written {
        let time = jiff::Timestamp::from_nanosecond(i128::from(*ns)).unwrap();
        if since.is_none_or(|since| time >= since) {
            text.extend_from_slice(format!("{time:.9} ").as_bytes());
            text.extend_from_slice(line);
            text.push(b'\n');
        }
    }
    if unfinished && !text.is_empty() {
        text.pop();
    }
    text
}

/// As the supervisor reads it from the log store's records.
fn mark(stored: &[LogLine]) -> LogMark {
    let mut mark = LogMark::default();
    for line in stored {
        if line.time != mark.time {
            mark = LogMark { time: line.time.clone(), ..LogMark::default() };
        }
        if line.ends_line {
            (mark.lines_at_time, mark.partial_bytes) = (mark.lines_at_time + 1, 0);
        } else {
            mark.partial_bytes += line.bytes.len() as u64;
        }
    }
    mark
}

fn text(stored: &[LogLine]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in stored {
        text.extend_from_slice(&line.bytes);
        if line.ends_line {
            text.push(b'\n');
        }
    }
    text
}

fn written() -> impl Strategy<Value = Written> {
    // Often the same time, sometimes the next second; some lines are longer than a piece.
    let step = prop_oneof![Just(0u64), Just(1), 0..300_000_000u64, Just(1_500_000_000)];
    let line = prop_oneof![
        8 => prop::collection::vec(any::<u8>().prop_filter("no newline", |b| *b != b'\n'), 0..12),
        1 => (PIECE_BYTES_MAX - 2..3 * PIECE_BYTES_MAX).prop_map(|len| vec![b'x'; len]),
    ];
    prop::collection::vec((step, line), 1..12).prop_map(|steps| {
        let mut now = START_NS;
        steps
            .into_iter()
            .map(|(step, line)| {
                now += step;
                (now, line)
            })
            .collect()
    })
}

/// One connection: how much of the answer arrives, in pieces of which size, and whether the daemon
/// starts anew after it.
fn cut() -> impl Strategy<Value = (prop::sample::Index, usize, bool)> {
    let size = prop_oneof![1..60usize, Just(PIECE_BYTES_MAX / 2), Just(1 << 20)];
    (any::<prop::sample::Index>(), size, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..Default::default() })]
    #[test]
    fn any_split_and_any_reconnects_give_the_same_output_as_one_stream(
        written in written(),
        unfinished: bool,
        cuts in prop::collection::vec(cut(), 0..8),
    ) {
        let mut stored = Vec::new();
        let mut lines = Lines::new(LogMark::default());
        for (at, size, restart) in &cuts {
            let since = lines.begin();
            let answer = served(&written, unfinished, since.as_deref());
            let arrives = at.index(answer.len() + 1);
            for chunk in answer[..arrives].chunks(*size) {
                lines.push(chunk, &mut stored);
            }
            if *restart {
                lines = Lines::new(mark(&stored));
            }
        }
        let since = lines.begin();
        lines.push(&served(&written, unfinished, since.as_deref()), &mut stored);
        lines.finish(&mut stored);
        let mut expected: Vec<u8> = written.iter().flat_map(|(_, line)| [line, &b"\n"[..]].concat()).collect();
        if unfinished {
            expected.pop();
        }
        prop_assert_eq!(text(&stored), expected);
        let mut again = Lines::new(mark(&stored));
        let since = again.begin();
        let before = stored.len();
        again.push(&served(&written, unfinished, since.as_deref()), &mut stored);
        again.finish(&mut stored);
        prop_assert_eq!(stored.len(), before, "everything was stored already");
    }
}

#[test]
fn times_become_utc_of_thirty_bytes() {
    let mut lines = Lines::new(LogMark::default());
    let mut out = Vec::new();
    lines.begin();
    lines.push(b"2026-11-24T06:30:26.1+01:00 hello\n2026-11-24T05:30:27Z \n", &mut out);
    let times: Vec<_> = out.iter().map(|line| line.time.as_str()).collect();
    assert_eq!(times, ["2026-11-24T05:30:26.100000000Z", "2026-11-24T05:30:27.000000000Z"]);
    assert_eq!(out[0].bytes, b"hello");
    assert!(out[1].bytes.is_empty() && out[1].ends_line);
}

#[test]
fn a_stream_is_resumed_from_the_second_of_the_last_line() {
    let mut lines = Lines::new(LogMark::default());
    assert_eq!(lines.begin(), None);
    lines.push(format!("{} a\n", stamp(START_NS)).as_bytes(), &mut Vec::new());
    assert_eq!(lines.begin().as_deref(), Some("2026-11-24T05:30:26Z"));
}

#[test]
fn kubelet_s_own_words_are_not_output() {
    let mut lines = Lines::new(LogMark::default());
    let mut out = Vec::new();
    lines.begin();
    lines.push(b"unable to retrieve container logs for containerd://abc\n", &mut out);
    assert!(out.is_empty());
    assert_eq!(
        lines.words().as_deref(),
        Some("unable to retrieve container logs for containerd://abc")
    );
}

#[test]
fn the_end_of_a_line_that_began_before_the_resumed_second_is_not_stored_twice() {
    let mark = LogMark { time: stamp(START_NS), lines_at_time: 1, partial_bytes: 0 };
    let mut lines = Lines::new(mark);
    let mut out = Vec::new();
    lines.begin();
    let text = format!("rest of a long line\n{} a\n{} b\n", stamp(START_NS), stamp(START_NS + 1));
    lines.push(text.as_bytes(), &mut out);
    assert_eq!(text_of(&out), "b\n");
    assert_eq!(lines.words(), None);
}

fn text_of(stored: &[LogLine]) -> String {
    String::from_utf8(text(stored)).unwrap()
}
