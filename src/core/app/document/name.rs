//! The id of an application from what its document calls it.
//!
//! The first of these that has a letter or digit: the label `oc.name`; the repository of the first
//! tag without registry, organisation, tag and abcdesktop's suffix `.d`; the file name of the
//! program; the first digits of the image's id. It is made a DNS label: lower case, every run of
//! other characters one `-`, none at the ends, at most 63 bytes.

use super::image::Image;
use crate::id::{AppId, ID_BYTES_MAX};

/// Hexadecimal digits of an image id that name it, as docker shows them.
const IMAGE_ID_DIGITS: usize = 12;

/// The id; nothing when there is nothing to make it of.
pub(super) fn of(image: &Image, oc_name: Option<&str>, program: Option<&str>) -> Option<AppId> {
    let short_id = |id: &str| {
        let digits = id.rsplit(':').next().unwrap_or_default();
        digits.get(..IMAGE_ID_DIGITS).unwrap_or(digits).to_owned()
    };
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    [
        oc_name.map(ToOwned::to_owned),
        image.tag.as_deref().or(image.digest.as_deref()).map(repository),
        program.map(file_name),
        image.id.as_deref().map(short_id),
    ]
    .into_iter()
    .flatten()
    .find_map(|name| label(&name))
}

/// `docker.io/abcdesktopio/2048-alpine.d:3.0` -> `2048-alpine`. A registry may have a port.
fn repository(tag: &str) -> String {
    let last = tag.rsplit('/').next().unwrap_or_default();
    let name = last.split([':', '@']).next().unwrap_or_default();
    name.strip_suffix(".d").unwrap_or(name).to_owned()
}

/// `name` as a DNS label.
pub(super) fn label(name: &str) -> Option<AppId> {
    let mut label = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(ID_BYTES_MAX);
    label.trim_end_matches('-').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_can_be_an_id_is_it() {
        let image = |tag: &str, id: &str| Image {
            tag: (!tag.is_empty()).then(|| tag.to_owned()),
            id: (!id.is_empty()).then(|| id.to_owned()),
            ..Image::default()
        };
        let tag = "docker.io/abcdesktopio/2048-alpine.d:3.0";
        let id = "sha256:390745577d89afad703253423624187bdb31f33008320946c335c20a87f0f5f6";
        let long = "x".repeat(70);
        for (oc_name, tag, program, id, expect) in [
            ("Visual Studio Code", tag, "/usr/bin/code", id, "visual-studio-code"),
            ("  --2048_Alpine!! ", "", "", "", "2048-alpine"),
            ("", tag, "/usr/bin/x", id, "2048-alpine"),
            ("数独", "localhost:5000/sudoku@sha256:12", "", id, "sudoku"),
            ("数独", "", "/usr/games/2048-qt", id, "2048-qt"),
            ("", "", "", id, "390745577d89"),
            (&long, "", "", "", &long[..63]),
        ] {
            let option = |text: &'static str| (!text.is_empty()).then_some(text);
            let program = option(program);
            let found = of(&image(tag, id), (!oc_name.is_empty()).then_some(oc_name), program);
            assert_eq!(found.unwrap().as_str(), expect);
        }
        assert_eq!(of(&Image::default(), Some("数独"), None), None);
    }
}
