//! `deskd inject`: any YAML as a manifest.

use deskd::cli::inject::yaml;
use deskd_core::inject::{Binary, IMAGE_DEFAULT, Options, inject};

use super::text;

pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(documents) = yaml::read(text) else { return };
    assert_eq!(yaml::read(&yaml::write(&documents)).as_ref(), Ok(&documents), "YAML changed it");
    for binary in [Binary::ImageVolume, Binary::OwnImage] {
        let options = Options { container: None, image: IMAGE_DEFAULT.to_owned(), binary };
        for document in &documents {
            let mut once = document.clone();
            let outcome = inject(&mut once, &options);
            if outcome.injected.is_empty() {
                assert_eq!(once, *document, "changed although refused");
            }
            let mut twice = once.clone();
            inject(&mut twice, &options);
            assert_eq!(twice, once, "doing it again changes something");
        }
    }
}
