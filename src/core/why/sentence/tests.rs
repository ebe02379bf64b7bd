//! Sentences name the thing and what to do.

use proptest::prelude::*;

use super::super::reason::*;

#[test]
fn the_scheduler_s_words_become_a_sentence_that_names_the_missing_resource() {
    let sentence = |words: &str| {
        Waiting { reason: WaitReason::Unschedulable, words: Some(words.to_owned()) }.sentence()
    };
    let gpu = sentence(
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, \
         preemption: 0/1 nodes are available: 1 No preemption victims found.",
    );
    assert!(
        gpu.starts_with("no node can take it: not enough nvidia.com/gpu is free. The"),
        "{gpu}"
    );
    let both = sentence(
        "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory. preemption: x",
    );
    assert!(both.contains("not enough cpu and memory is free."), "{both}");
    let taint = sentence("0/1 nodes are available: 1 node(s) had untolerated taint {gpu: true}.");
    assert!(taint.contains("a taint keeps it away (node(s) had untolerated taint"), "{taint}");
}

#[test]
fn a_start_error_is_told_without_the_runtime_s_story() {
    let words = "failed to create containerd task: OCI runtime create failed: runc create failed: \
                 unable to start container process: exec: \"/nope\": stat /nope: no such file or \
                 directory: unknown";
    let ended = Ended { reason: EndReason::StartError, words: Some(words.to_owned()) };
    let told = "its program cannot be started: \"/nope\": stat /nope: no such file or directory";
    assert_eq!(ended.sentence(), told);
}

#[test]
fn a_full_pod_is_explained_with_both_remedies() {
    let why = crate::room::NoRoom::Entries(400);
    let sentence = Refused::from(RefusalReason::PodFull { pod: "anna".into(), why }).sentence();
    for words in ["pod anna", "400 ephemeral containers", "pod anew", "--engine pod_application"] {
        assert!(sentence.contains(words), "{sentence}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn what_an_earlier_release_said_is_said_as_it_was(words in ".{0,80}") {
        prop_assert_eq!(Waiting::from(words.clone()).sentence(), words.clone());
        prop_assert_eq!(Refused::from(words.clone()).sentence(), words.clone());
        prop_assert_eq!(LostReason::Told(words.clone()).sentence(), words.clone());
        prop_assert_eq!(Explanation::Told(words.clone()).sentence(), words);
    }
}
