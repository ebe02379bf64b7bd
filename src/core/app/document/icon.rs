//! `oc.icondata`: an icon in base64, as a `data:` URL that browsers show.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest icon, in bytes of base64: every list of applications carries them all.
pub(super) const ICON_BASE64_BYTES_MAX: usize = 256 << 10;

/// The `data:` URL, or what is wrong as the end of a sentence.
pub(super) fn data_url(text: &str) -> Result<String, String> {
    // Some are `data:` URLs already, some have the line breaks of `base64`.
    let data = text.rsplit_once("base64,").map_or(text, |(_, data)| data);
    let data: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if data.len() > ICON_BASE64_BYTES_MAX {
        return Err(format!(
            "is larger than {} KiB, so the application has no icon",
            ICON_BASE64_BYTES_MAX >> 10
        ));
    }
    let bytes = STANDARD
        .decode(&data)
        .map_err(|error| format!("is not base64 ({error}), so the application has no icon"))?;
    let kind = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        "image/png"
    } else if memchr::memmem::find(&bytes, b"<svg").is_some() {
        "image/svg+xml"
    } else {
        return Err("is neither SVG nor PNG, so the application has no icon".to_owned());
    };
    Ok(format!("data:{kind};base64,{data}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_can_show_is_an_icon() {
        let svg = STANDARD.encode("<?xml version=\"1.0\"?><svg/>");
        let url = format!("data:image/svg+xml;base64,{svg}");
        let (head, tail) = svg.split_at(8);
        for same in [svg.clone(), url.clone(), format!("{head}\n{tail}\n")] {
            assert_eq!(data_url(&same), Ok(url.clone()));
        }
        let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n...");
        assert!(data_url(&png).unwrap().starts_with("data:image/png;"));
        for (bad, word) in [
            ("PHN2Zy8[...]".to_owned(), "not base64"),
            (STANDARD.encode("<html>"), "neither SVG"),
            ("A".repeat(ICON_BASE64_BYTES_MAX + 1), "larger"),
        ] {
            assert!(data_url(&bad).unwrap_err().contains(word), "{bad:.20}");
        }
    }
}
