//! `docs/security.md`: each claim names a test, and the tests are there.

use std::path::Path;

/// Claims that the page makes at least.
const CLAIMS_MIN: usize = 25;

/// What stands between backticks, as `file::name`.
fn named(page: &str) -> Vec<(&str, &str)> {
    let quoted = page.split('`').skip(1).step_by(2);
    let is_name = |word: &str| {
        !word.is_empty()
            && word.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
    };
    let names = quoted.filter_map(|word| word.split_once("::"));
    names.filter(|(file, test)| is_name(file) && is_name(test)).collect()
}

/// Why a test is not there.
fn missing((file, test): &(&str, &str)) -> Option<String> {
    let path = Path::new(env!("DESKD_ROOT")).join(format!("tests/it/{file}.rs"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let is_there = text.split("#[test]").skip(1).any(|rest| {
        let function = rest.lines().find_map(|line| line.strip_prefix("fn "));
        function.is_some_and(|it| it.starts_with(&format!("{test}(")))
    });
    (!is_there).then(|| format!("{file}::{test}"))
}

#[test]
fn the_security_page_names_tests_that_exist() {
    let page =
        std::fs::read_to_string(Path::new(env!("DESKD_ROOT")).join("docs/security.md")).unwrap();
    let named = named(&page);
    assert!(named.len() >= CLAIMS_MIN, "{} claims: {named:?}", named.len());
    let missing: Vec<String> = named.iter().filter_map(missing).collect();
    assert_eq!(missing, [""; 0], "no such test");
    assert!(missing_is_noticed());
}

fn missing_is_noticed() -> bool {
    missing(&("wall", "no_such_test")).is_some() && missing(&("no_such_file", "x")).is_some()
}
