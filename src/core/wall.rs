//! The wall between a program of deskd's container and deskd itself: what of it the kernel has, what
//! a program gets, and the sentence that says so.

use crate::text;
use crate::text::Text;
use serde::{Deserialize, Serialize};

/// Version of Landlock (its ABI) that keeps programs from signalling what is outside of their domain:
/// Linux 6.12.
pub const ABI_SIGNALS: u32 = 6;
/// Version with which files can be moved between directories inside a domain: Linux 5.19. With an
/// older one every program that does so would break, so files are left alone.
pub const ABI_FILES: u32 = 2;

/// Whether a program gets the wall; only the operator's configuration says `off`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// It does, unless it could not work behind one.
    #[default]
    Auto,
    /// It does not.
    Off,
}

impl Sandbox {
    /// Nothing was said.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// What a program needs that a wall takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It gets another user's rights when it starts (set-user-id, set-group-id).
    Privileges,
    /// It makes a sandbox of its own with mounts, as bubblewrap does.
    Mounts,
}

impl Need {
    /// Why there is no wall, as the end of a sentence.
    fn phrase(self) -> Text {
        match self {
            Self::Privileges => {
                text!("its file is set-user-id or set-group-id, which has no effect behind a wall")
            }
            Self::Mounts => {
                text!("it makes a sandbox of its own, and cannot mount anything behind a wall")
            }
        }
    }
}

/// A file or directory of deskd's that a wall cannot hide, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// It.
    pub path: String,
    /// The directory above it in which programs make files of their own; absent: its path cannot be
    /// followed.
    pub writable: Option<String>,
}

/// What a wall can do here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WallFacts {
    /// Version of Landlock; 0: the kernel has none.
    pub abi: u32,
    /// What it hides: directories and files with deskd's secrets.
    pub hidden: Vec<String>,
    /// Files below those that programs have to read.
    pub shown: Vec<String>,
    /// What it does not hide.
    pub exposed: Vec<Exposed>,
}

/// The wall of one program. Whatever of it the kernel has not is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Wall {
    /// Absolute paths that the program can neither read nor change, and nothing below them.
    pub hidden: Vec<String>,
    /// Files below those that it can read.
    pub shown: Vec<String>,
}

impl WallFacts {
    /// The wall of a program, and the sentence about it. [`None`]: it gets none.
    #[must_use]
    pub fn of(&self, sandbox: Sandbox, need: Option<Need>) -> (Option<Wall>, Text) {
        if sandbox == Sandbox::Off {
            let why = text!(
                "no wall keeps it from deskd's files and processes: the configuration says so \
                       (sandbox = \"off\")"
            );
            return (None, why);
        }
        if let Some(need) = need {
            let why = need.phrase();
            return (None, text!("no wall keeps it from deskd's files and processes: {why}", why));
        }
        let wall = Wall { hidden: self.hidden.clone(), shown: self.shown.clone() };
        (Some(wall), self.sentence())
    }

    /// What stands here.
    #[must_use]
    pub fn sentence(&self) -> Text {
        // Without deskd's files there is nothing that is not hidden.
        let hides = !self.hidden.is_empty() || self.exposed.is_empty();
        let files = self.abi >= ABI_FILES && hides;
        let what = match (self.abi >= ABI_SIGNALS, files) {
            (true, true) if self.exposed.is_empty() => {
                return text!(
                    "a wall keeps it from deskd's files and processes (Landlock ABI {abi})",
                    abi = self.abi
                );
            }
            (true, true) => {
                text!("a wall keeps it from deskd's processes and from some of its files")
            }
            (true, false) => text!("a wall keeps it from deskd's processes, not from its files"),
            (false, true) => {
                text!("a wall keeps it from deskd's files, not from signalling its processes")
            }
            (false, false) => text!("no wall keeps it from deskd's files and processes"),
        };
        text!("{what}: {why}", what, why = Text::joined(self.shortfall(), "; "))
    }

    /// What is missing, and what to do about it.
    #[must_use]
    pub fn shortfall(&self) -> Vec<Text> {
        let mut all = Vec::new();
        match self.abi {
            0 => return vec![text!("this kernel has no Landlock, or it is not permitted here")],
            abi if abi < ABI_FILES => all.push(text!(
                "this kernel has Landlock ABI {abi}, and hiding files needs {wanted} (Linux 5.19)",
                abi,
                wanted = ABI_FILES
            )),
            _ => all.extend(self.exposed.iter().map(Exposed::sentence)),
        }
        if self.abi < ABI_SIGNALS {
            all.push(text!(
                "this kernel has Landlock ABI {abi}, and keeping signals out needs {wanted} \
                 (Linux 6.12)",
                abi = self.abi,
                wanted = ABI_SIGNALS
            ));
        }
        all
    }
}

impl Exposed {
    fn sentence(&self) -> Text {
        let path = &self.path;
        match &self.writable {
            Some(above) => {
                text!(
                    "{path} cannot be hidden, because programs make files in {above}",
                    path,
                    above
                )
            }
            None => text!("{path} cannot be hidden, because its path cannot be followed", path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(abi: u32) -> WallFacts {
        WallFacts { abi, hidden: vec!["/run/deskd".into()], ..WallFacts::default() }
    }

    #[test]
    fn only_the_operator_and_what_could_not_work_go_without() {
        assert_eq!(facts(7).of(Sandbox::Off, None).0, None);
        for need in [Need::Privileges, Need::Mounts] {
            let (wall, why) = facts(7).of(Sandbox::Auto, Some(need));
            assert!(wall.is_none() && why.starts_with("no wall keeps it from"), "{why}");
        }
        let (wall, why) = facts(7).of(Sandbox::Auto, None);
        assert_eq!(wall.unwrap().hidden, ["/run/deskd"]);
        assert_eq!(why, "a wall keeps it from deskd's files and processes (Landlock ABI 7)");
    }

    #[test]
    fn a_sentence_says_what_an_older_kernel_or_a_writable_directory_leaves_open() {
        let told = |facts: WallFacts| facts.sentence();
        assert!(
            told(facts(0)).starts_with("no wall keeps it from deskd's files and processes: this")
        );
        assert!(told(facts(1)).contains("hiding files needs 2"));
        assert!(
            told(facts(3)).starts_with("a wall keeps it from deskd's files, not from signalling")
        );
        let writable = Some("/tmp".to_owned());
        let exposed = vec![Exposed { path: "/tmp/state".into(), writable }];
        let told = told(WallFacts { hidden: vec![], exposed, ..facts(7) });
        assert_eq!(
            told,
            "a wall keeps it from deskd's processes, not from its files: /tmp/state cannot be hidden, \
             because programs make files in /tmp"
        );
    }
}
