//! What holds for any log.

use proptest::prelude::*;

use super::*;

fn words() -> impl Strategy<Value = Vec<u8>> {
    let rules = Rules::built_in().all();
    let pieces: Vec<&'static str> =
        rules.flat_map(|rule| rule.patterns.iter().map(String::as_str)).collect();
    let word = prop_oneof![
        proptest::sample::select(pieces).prop_map(|piece| piece.replace('*', "é").into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(b"\n".to_vec()),
        Just(vec![b'x'; 5000]),
    ];
    proptest::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let exit = prop_oneof![
        Just(None),
        Just(Some(Exit::Code(0))),
        Just(Some(Exit::Code(127))),
        (1..32).prop_map(|number| Some(Exit::Signal {
            number,
            name: "SIG".into(),
            core_dumped: false
        })),
    ];
    let window = proptest::option::of(any::<bool>());
    (exit, window, proptest::option::of("[a-z ]{0,9}"), any::<u64>()).prop_map(
        |(exit, had_window, stopped_by, ms)| Evidence {
            exit,
            had_window,
            stopped_by: stopped_by.map(Actor::from),
            ran_ms: Some(ms),
            ..Evidence::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic_and_every_line_of_proof_is_in_the_log(
        start in words(), end in words(), e in evidence(),
    ) {
        let diagnosis = diagnose(&Log { start: &start, end: &end }, &e);
        let (start, end) = (String::from_utf8_lossy(&start), String::from_utf8_lossy(&end));
        for proof in &diagnosis.proof {
            match proof.place {
                Place::Line(_) => prop_assert!(start.contains(proof.text.as_str()), "{:?}", proof),
                Place::LineFromEnd(_) => prop_assert!(end.contains(proof.text.as_str()), "{:?}", proof),
                Place::Evidence(_) => {}
            }
        }
        let json = serde_json::to_string(&diagnosis).unwrap();
        prop_assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), diagnosis);
    }
}
