//! The sentences of reported reasons: made here, once, where one is shown. No code reads them.

mod end;
mod refuse;
mod wait;

/// `the node n1`, or of one that is not known `its node`.
fn the_node(node: Option<&str>) -> String {
    node.map_or_else(|| "its node".to_owned(), |node| format!("the node {node}"))
}

/// The cluster's words behind a colon, if there are any.
fn behind(words: Option<&str>) -> String {
    let words = words.map(|words| words.trim().trim_end_matches([' ', ':'])).unwrap_or_default();
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// What deskd's own init container is for.
fn hint(cookie: bool) -> &'static str {
    match cookie {
        true => " (it makes the display's cookie file: check `image` in [kubernetes])",
        false => "",
    }
}

#[cfg(test)]
mod tests;
