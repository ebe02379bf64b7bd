//! Applications: what can be launched.

pub mod access;
pub mod container;
pub mod desktop_entry;
pub mod document;
pub mod pick;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::AppId;
use crate::restart::RestartPolicy;
use crate::wall::Sandbox;
use access::Identity;
use container::ContainerApp;

/// Where an application came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppSource {
    /// A section `[app.NAME]` of the TOML file; cannot be removed over the API.
    Config,
    /// Added over the API or `deskd app add`.
    Api,
    /// A file of the watched directory; changes with it.
    Directory,
}

/// Resource limits of a process, `getrlimit(2)`; soft and hard are set alike. Absent: inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rlimits {
    /// RLIMIT_NOFILE: open files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// RLIMIT_CORE, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_bytes: Option<u64>,
    /// RLIMIT_AS, bytes of address space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_space_bytes: Option<u64>,
    /// RLIMIT_CPU, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
    /// RLIMIT_FSIZE, bytes of one written file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// RLIMIT_NPROC: processes of the uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
}

/// How a process of this container is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LocalProgram {
    /// argv: the program (a path, or a name looked up in PATH) and its arguments. Never a shell.
    pub command: Vec<String>,
    /// Working directory; absent: the user's home, else `/`.
    pub cwd: Option<String>,
    /// Added to the inherited environment.
    pub env: BTreeMap<String, String>,
    /// umask, such as `0o022`.
    pub umask: Option<u32>,
    /// Resource limits.
    pub rlimits: Rlimits,
    /// Nice value -20..=19; absent: inherited.
    pub nice: Option<i32>,
    /// `/proc/PID/oom_score_adj`, -1000..=1000; absent: inherited.
    pub oom_score_adj: Option<i32>,
    /// Whether a wall keeps it from deskd; only the configuration says `off`.
    #[serde(default, skip_serializing_if = "Sandbox::is_auto")]
    pub sandbox: Sandbox,
}

/// One application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// For people; the id where the source gives none.
    pub display_name: String,
    /// Icon: an absolute path of a file in this container, or a `data:` URL. Absent: a letter.
    pub icon: Option<String>,
    /// Search words.
    pub keywords: Vec<String>,
    /// Freedesktop or abcdesktop categories.
    pub categories: Vec<String>,
    /// WM_CLASS `instance.Class` that its windows have, when the integrator says so.
    pub wm_class: Option<String>,
    /// Whether it draws on the display: launching is refused while the display does not answer.
    pub needs_display: bool,
    /// What to do when it ends by itself.
    pub restart: RestartPolicy,
    /// The program in this container. For an application that comes in an image: where it would be
    /// here, if it is here too; an empty command: nowhere.
    pub local: LocalProgram,
    /// The image it comes in, if it is described by an image's document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<ContainerApp>>,
    /// Media types it opens, such as `text/plain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mime_types: Vec<String>,
    /// File name extensions it opens, lower case, without the dot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_extensions: Vec<String>,
    /// `oc.usedefaultapplication`: of several that open a file type it is the one that opens it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default_application: bool,
    /// Where it came from.
    pub source: AppSource,
    /// What is wrong with its description, in sentences; the app is still listed.
    pub problems: Vec<String>,
}

/// An application of the watched directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryApp {
    /// The application.
    pub app: App,
    /// The file that describes it.
    pub file: PathBuf,
}

impl App {
    /// Whether every word of `query` occurs in the id, name, keywords, categories, or among the
    /// media types and file name extensions (with their dot) that it opens; case-insensitive.
    #[must_use]
    pub fn matches(&self, query: &str) -> bool {
        let texts = [self.id.as_str(), &self.display_name]
            .into_iter()
            .chain(self.keywords.iter().map(String::as_str))
            .chain(self.categories.iter().map(String::as_str))
            .chain(self.mime_types.iter().map(String::as_str));
        let mut hay = texts.collect::<Vec<_>>().join("\n");
        for extension in &self.file_extensions {
            hay.push_str("\n.");
            hay.push_str(extension);
        }
        let hay = hay.to_lowercase();
        query.to_lowercase().split_whitespace().all(|word| hay.contains(word))
    }

    /// Whether `category` is one of its categories; case-insensitive.
    #[must_use]
    pub fn is_in(&self, category: &str) -> bool {
        let category = category.trim().to_lowercase();
        self.categories.iter().any(|own| own.to_lowercase() == category)
    }

    /// Whether it opens `file_type`: a file name extension with or without its dot (`.odt`,
    /// `odt`), or a media type (`application/pdf`). Case-insensitive; of its own media types
    /// `image/*` stands for all that begin so.
    #[must_use]
    pub fn opens(&self, file_type: &str) -> bool {
        let wanted = file_type.trim().to_lowercase();
        let extension = wanted.trim_start_matches('.');
        // A document may have one with a slash, too.
        let is_extension = self.file_extensions.iter().any(|own| own == extension);
        if is_extension || !wanted.contains('/') {
            return is_extension;
        }
        self.mime_types.iter().map(|own| own.to_lowercase()).any(|own| {
            let family = own.strip_suffix('*').filter(|family| family.ends_with('/'));
            own == wanted || family.is_some_and(|family| wanted.starts_with(family))
        })
    }

    /// Whether its access list permits `identity`; an application without one is for everybody.
    ///
    /// # Errors
    /// Why not, in one sentence.
    pub fn permits(&self, identity: &Identity) -> Result<(), String> {
        let Some(container) = &self.container else { return Ok(()) };
        let access = &container.access;
        access.permits(identity).map_err(|why| format!("{} {why}", self.display_name))
    }
}

#[cfg(test)]
mod tests {
    use crate::samples::app;

    #[test]
    fn applications_are_found_by_words_categories_and_file_types() {
        let mut writer = app("writer");
        writer.display_name = "LibreOffice Writer".into();
        writer.keywords = vec!["text".into()];
        writer.categories = vec!["Office".into()];
        writer.mime_types = vec!["application/pdf".into(), "image/*".into()];
        writer.file_extensions = vec!["odt".into()];
        for query in ["", "LIBRE office", "text writer", ".odt", "application/PDF"] {
            assert!(writer.matches(query), "{query}");
        }
        assert!(!writer.matches("text editor") && !writer.matches(".od4"));
        assert!(writer.is_in("office") && !writer.is_in("off"));
        for file_type in ["odt", ".ODT", "application/pdf", "image/png"] {
            assert!(writer.opens(file_type), "{file_type}");
        }
        for file_type in ["od", "text/odt", "application/*", "imagine/x", ""] {
            assert!(!writer.opens(file_type), "{file_type}");
        }
    }
}
