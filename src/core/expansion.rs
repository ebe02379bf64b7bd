//! Kubernetes's own language in `command`, `args` and values of variables: `$(NAME)` is replaced by a
//! variable, `$$` is a dollar sign (`third_party/forked/golang/expansion/expand.go` of k8s.io/kubernetes).
//! What deskd hands over is text, so it is quoted for that language; what a desktop's pod says is read in it.

/// `text` so that Kubernetes makes `text` of it. Every dollar sign is doubled: one alone would do for
/// some, but the byte after it is copied as a character of its own, which breaks what is not ASCII.
#[must_use]
pub fn quoted(text: &str) -> String {
    text.replace('$', "$$")
}

/// What Kubernetes makes of `text`; a reference to something that is not defined stays as it is.
pub fn expand(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            after
        } else if let Some((name, after)) =
            after.strip_prefix('(').and_then(|reference| reference.split_once(')'))
        {
            match value_of(name) {
                Some(value) => expanded.push_str(&value),
                None => expanded.extend(["$(", name, ")"]),
            }
            after
        } else {
            expanded.push('$');
            after
        };
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_and_escapes_are_read_as_kubernetes_reads_them() {
        // From the table of `expand_test.go`.
        for (text, expected) in [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$(VAR_A)-1", "A-1"),
            ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"),
            ("$$(VAR_A)", "$(VAR_A)"),
            ("f000-$$VAR_A", "f000-$VAR_A"),
            ("foo\\$(VAR_C)bar", "foo\\Cbar"),
            ("$(VAR_A", "$(VAR_A"),
            ("$VAR_A)", "$VAR_A)"),
            ("$$$$$$$(VAR_A)", "$$$A"),
            ("$$$$$$(VAR_A)", "$$$(VAR_A)"),
            ("$(VAR_DNE)", "$(VAR_DNE)"),
            ("$()", "$()"),
            ("$$$$$$$(BAD_REF)", "$$$$(BAD_REF)"),
            ("$?", "$?"),
            ("$", "$"),
            ("$$", "$"),
            ("", ""),
        ] {
            let value = |name: &str| match name {
                "VAR_A" | "VAR_B" | "VAR_C" => name.strip_prefix("VAR_").map(str::to_owned),
                _ => None,
            };
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn what_is_quoted_arrives_as_it_was(text in "[$()HOMEä \\\\]{0,24}") {
            let anything = |_: &str| Some("replaced".to_owned());
            prop_assert_eq!(expand(&quoted(&text), anything), text);
        }
    }
}
