//! Manifests as text: YAML with one document or several; JSON is YAML too.
//!
//! kubectl reads YAML 1.1 (`0440` is octal, `yes` is true), so that is how it is read here.

use serde_json::Value;

/// Every document, without empty ones; the error says where it is.
pub fn read(text: &str) -> Result<Vec<Value>, String> {
    let mut options = serde_saphyr::Options::default();
    options.legacy_octal_numbers = true;
    // The error says itself where it is.
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| format!("it is not valid YAML: {}", error.without_snippet()))?;
    match documents.iter().position(|document| !document.is_object() && !document.is_null()) {
        Some(at) => Err(format!("document {} in it is not a Kubernetes object", at + 1)),
        None => Ok(documents.into_iter().filter(|document| !document.is_null()).collect()),
    }
}

/// The documents, each but the first after a line `---`.
pub fn write(documents: &[Value]) -> String {
    // Values that came from JSON can always be written.
    serde_saphyr::to_string_multiple(documents).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_kubectl_reads_it() {
        let documents =
            read("---\nmode: 0440\nrate: 10\non: yes\n---\n# nothing\n---\n{\"a\": [1, \"2\"]}\n")
                .unwrap();
        assert_eq!(
            documents,
            [
                serde_json::json!({ "mode": 288, "rate": 10, "on": true }),
                serde_json::json!({ "a": [1, "2"] }),
            ]
        );
    }

    #[test]
    fn what_looks_like_something_else_in_any_yaml_is_quoted() {
        let tricky = [
            "true",
            "yes",
            "on",
            "n",
            "y",
            "null",
            "~",
            "0440",
            "1e3",
            "12345678",
            "0x1f",
            "1_000",
            "12:30:45",
            "2026-11-26",
            ".5",
            "a: b",
            "a #b",
            "- a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "",
            " a ",
            "a\nb\n",
            "tab\tbed",
            "\u{1}",
            "{{x}}",
            "[x]",
            "'",
            "\"",
            "\\",
            "=",
            "<<",
            "0b1",
            "1.0",
            "+1",
            "-",
            "?",
            ".inf",
            "NaN",
        ];
        let written = write(&[serde_json::json!({ "list": tricky.to_vec() })]);
        assert_eq!(
            read(&written).unwrap()[0]["list"],
            serde_json::json!(tricky.to_vec()),
            "{written}"
        );
        insta::assert_snapshot!(written);
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let error = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.contains("at line 3, column 2"), "{error}");
        let error = read("a: 1\n---\njust text\n").unwrap_err();
        assert_eq!(error, "document 2 in it is not a Kubernetes object");
    }
}
