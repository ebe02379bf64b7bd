//! The sentences of reported reasons: made here, once, where one is shown. No code reads them.

use crate::text;
use crate::text::Text;

mod end;
mod refuse;
mod wait;

/// `the node n1`, or of one that is not known `its node`.
fn the_node(node: Option<&str>) -> Text {
    node.map_or_else(|| text!("its node"), |node| text!("the node {node}", node))
}

/// The cluster's words behind a colon, if there are any.
fn behind(words: Option<&str>) -> Text {
    let words = words.map(|words| words.trim().trim_end_matches([' ', ':'])).unwrap_or_default();
    Text::words(if words.is_empty() { String::new() } else { format!(": {words}") })
}

/// The words, or that there are none.
fn or_no_reason(words: Option<&str>) -> Text {
    words.map_or_else(|| text!("no reason was given"), Text::words)
}

/// What deskd's own init container is for.
fn hint(cookie: bool) -> Text {
    match cookie {
        true => text!(" (it makes the display's cookie file: check `image` in [kubernetes])"),
        false => Text::default(),
    }
}

#[cfg(test)]
mod tests;
