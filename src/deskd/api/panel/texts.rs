//! The panel's texts in the languages of the catalogue: pages are translated when they are served,
//! scripts get a table of the texts that they name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::http::HeaderMap;

use super::super::extract::Wanted;
use super::{ASSETS, SCRIPT};
use deskd_core::text::{Language, entries, translation};

/// The parameter of the address that wins over the browser's languages.
const PARAMETER: &str = "lang=";

/// The language of a page: what its address says, else what the browser wants.
pub(super) fn language(query: Option<&str>, headers: &HeaderMap) -> Language {
    let named = query.unwrap_or_default().split('&').find_map(|it| it.strip_prefix(PARAMETER));
    named.and_then(Language::tagged).unwrap_or_else(|| Wanted::of(headers).0)
}

/// A page with each `{{text}}` and its `{lang}` in a language.
pub(super) fn translated(page: &str, language: Language) -> String {
    let mut parts = page.split("{{");
    let mut done = parts.next().unwrap_or_default().replace("{lang}", language.tag());
    for part in parts {
        let (english, rest) = part.split_once("}}").unwrap_or((part, ""));
        done.push_str(translation(english, language).unwrap_or(english));
        done.push_str(rest);
    }
    done
}

/// `texts-fr.json`, as `text.js` fetches it.
pub(super) fn table(name: &str) -> Option<&'static [u8]> {
    let tag = name.strip_prefix("texts-")?.strip_suffix(".json")?;
    let column = Language::ALL.iter().position(|language| language.tag() == tag)?;
    static TABLES: [OnceLock<Vec<u8>>; Language::ALL.len()] =
        [const { OnceLock::new() }; Language::ALL.len()];
    Some(TABLES[column].get_or_init(|| {
        let used = entries().iter().filter(|entry| is_named(entry[0]));
        let texts: BTreeMap<_, _> = used.map(|entry| (entry[0], entry[column])).collect();
        serde_json::to_vec(&texts).unwrap_or_default()
    }))
}

/// Whether a script has this text as a string.
fn is_named(english: &str) -> bool {
    let quoted = format!("\"{english}\"");
    let finder = memchr::memmem::Finder::new(quoted.as_bytes());
    let scripts = ASSETS.iter().filter(|(_, kind, _)| *kind == SCRIPT);
    scripts.into_iter().any(|(_, _, content)| finder.find(content).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_wins_over_the_browser_s_languages() {
        let mut headers = HeaderMap::new();
        headers.insert("accept-language", "fr-CH, de;q=0.5".parse().unwrap());
        assert_eq!(language(None, &headers), Language::French);
        assert_eq!(language(Some("a=b&lang=zh-CN"), &headers), Language::Chinese);
        assert_eq!(language(Some("lang=tlh"), &headers), Language::French);
        assert_eq!(language(None, &HeaderMap::new()), Language::English);
    }

    #[test]
    fn a_page_is_translated_and_scripts_get_what_they_name() {
        let page = "<html lang=\"{lang}\"><b>{{Remove}}</b> {{nothing of ours}}";
        let german = "<html lang=\"de\"><b>Entfernen</b> nothing of ours";
        assert_eq!(translated(page, Language::German), german);
        let table: BTreeMap<String, String> =
            serde_json::from_slice(table("texts-de.json").unwrap()).unwrap();
        assert_eq!(table["Remove"], "Entfernen");
        assert!(!table.contains_key("A disk is full: the program could not write a file."));
        for unknown in ["texts-it.json", "texts-.json", "texts-de", "app.json"] {
            assert!(super::table(unknown).is_none(), "{unknown}");
        }
    }
}
