//! A text reads in English whatever it is made from, and in another language as far as there is one.

use super::*;

fn nested() -> Text {
    let node = text!("the node {node}", node = "n1");
    Text::joined(
        [text!("{node} evicted its pod{said}", node, said = ": {node}"), Text::words("b")],
        "; ",
    )
    .capitalized()
}

#[test]
fn a_text_reads_as_its_template_with_its_values() {
    assert_eq!(nested(), "The node n1 evicted its pod: {node}; b");
    assert_eq!(text!("{a} of {b}, not {c}", a = 3_u32, b = "{a}"), "3 of {a}, not {c}");
    assert_eq!(serde_json::to_value(nested()).unwrap(), nested().as_str());
}

#[test]
fn each_part_is_translated_and_other_people_s_words_are_not() {
    let french = nested().in_language(Language::French).into_owned();
    assert_eq!(french, "Le nœud n1 a évincé son pod: {node}; b");
    assert_eq!(nested().in_language(Language::English), nested().as_str());
    for language in Language::ALL {
        assert_eq!(Text::words("Logs").in_language(language), "Logs");
    }
}

#[test]
fn the_journal_keeps_what_a_text_is_made_from() {
    let line = serde_json::to_string(&nested().recorded()).unwrap();
    let read: Option<Recorded> = serde_json::from_str(&line).unwrap();
    let again = Text::from(read.unwrap());
    assert_eq!(again, nested());
    let french = |text: &Text| text.in_language(Language::French).into_owned();
    assert_eq!(french(&again), french(&nested()));
    assert_eq!(text!("as it is").recorded(), None);
}
