//! Decodes what applications write into window properties: any bytes. Pure.

/// Characters of a title, class or instance that are kept.
pub(super) const TEXT_CHARS_MAX: usize = 256;
/// Bytes of a text property that are read: [`TEXT_CHARS_MAX`] of the longest UTF-8 characters.
pub(super) const TEXT_BYTES_MAX: u32 = 1024;

/// A UTF8_STRING property.
pub(super) fn utf8(bytes: &[u8]) -> String {
    tidy(String::from_utf8_lossy(bytes).chars())
}

/// A STRING property (ISO 8859-1), or a COMPOUND_TEXT one, which starts out as the same.
pub(super) fn latin1(bytes: &[u8]) -> String {
    tidy(bytes.iter().copied().map(char::from))
}

/// WM_CLASS: instance and class, each ended by a NUL (ICCCM 4.1.2.5).
pub(super) fn wm_class(bytes: &[u8]) -> (String, String) {
    let mut parts = bytes.split(|byte| *byte == 0).map(latin1);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Up to the first NUL, control characters as spaces, limited.
fn tidy(chars: impl Iterator<Item = char>) -> String {
    chars
        .take_while(|c| *c != '\0')
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_decoded_by_their_type_and_lossily() {
        assert_eq!(utf8("Übung – 日本".as_bytes()), "Übung – 日本");
        assert_eq!(utf8(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(latin1(b"caf\xe9"), "café");
    }

    #[test]
    fn control_characters_and_excess_length_do_not_get_through() {
        assert_eq!(utf8(b"a\x1b[31m\nb\0hidden"), "a [31m b");
        assert_eq!(utf8("é".repeat(1000).as_bytes()).chars().count(), TEXT_CHARS_MAX);
    }

    #[test]
    fn wm_class_is_two_strings_and_may_be_broken() {
        let strings = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(wm_class(b"xterm\0XTerm\0"), strings("xterm", "XTerm"));
        assert_eq!(wm_class(b"xterm"), strings("xterm", ""));
        assert_eq!(wm_class(b""), strings("", ""));
    }
}
