//! `[composer]`: abcdesktop's own calls, answered by deskd.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::keys;
use super::parse::{Reader, absolute_path};
use super::section::Section;
use super::values::Complaint;

/// Longest owner and audience, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// See the module. Its presence turns the facade on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposerConfig {
    /// PEM file of the RSA public key that users' tokens are signed with.
    pub key_file: PathBuf,
    /// `user.userid` of the tokens that are admitted.
    pub owner: String,
    /// What the tokens must be for (`aud`); absent: tokens have no audience.
    pub audience: Option<String>,
    /// Whose words are spoken.
    pub version: ComposerVersion,
    /// Tasks that deskd can stop are told as a type for which abcdesktop's panel offers Kill and
    /// Remove.
    pub stoppable: bool,
}

/// Generations of abcdesktop's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComposerVersion {
    /// 3.x: errors are answered with HTTP 200, launches with JSON.
    V3,
    /// 4.x: errors have their own status, launches are event streams.
    V4,
}

impl<'t> Reader<'t> {
    /// Reads the section; `user` is the desktop's user.
    pub(super) fn composer(
        &self,
        root: &Section<'t>,
        user: Option<&str>,
    ) -> Option<ComposerConfig> {
        const EXAMPLE: &str = "/var/secrets/abcdesktop/jwtuser.pem";
        let table = root.table("composer");
        let section = Section::new("composer", table, keys::COMPOSER, self.problems);
        let key_file =
            self.pick("DESKD_COMPOSER_KEY_FILE", &section, "key_file", EXAMPLE, |text| {
                absolute_path(text, EXAMPLE)
            });
        let owner = section.parsed("owner", "anna", name).map(|found| found.value);
        let audience = section.parsed("audience", "desktops", name).map(|found| found.value);
        let version = section.parsed("version", "3", version).map(|found| found.value);
        let stoppable = section.boolean("stoppable").unwrap_or(true);
        let key_file = key_file?;
        let Some(owner) = owner.or_else(|| user.map(str::to_owned)) else {
            let complaint = Complaint::new(
                "is missing, so no token could be admitted: there is no `user.name` either",
                "write the userid of the desktop's user, such as owner = \"anna\"",
            );
            match section.raw("key_file") {
                Some(at) => section.complain("owner", at.span, complaint),
                None => self.problems.env("DESKD_COMPOSER_KEY_FILE", "composer.owner", complaint),
            }
            return None;
        };
        let version = version.unwrap_or(ComposerVersion::V3);
        Some(ComposerConfig { key_file, owner, audience, version, stoppable })
    }
}

fn name(text: &str) -> Result<String, Complaint> {
    let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX;
    if fits && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let what = format!("is empty, longer than {NAME_BYTES_MAX} bytes, or has control characters");
    Err(Complaint::new(what, "write it as the tokens have it"))
}

fn version(text: &str) -> Result<ComposerVersion, Complaint> {
    match text {
        "3" => Ok(ComposerVersion::V3),
        "4" => Ok(ComposerVersion::V4),
        _ => Err(Complaint::new(
            format!("is neither \"3\" nor \"4\": `{text}`"),
            "write the generation of abcdesktop's web client, \"3\" or \"4\"",
        )),
    }
}
