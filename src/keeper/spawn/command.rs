//! A start as prepared values: C strings, candidates for the program, limits.

use std::ffi::{CStr, CString, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStringExt;

use nix::sys::resource::Resource;

use super::path;
use crate::tree::{MARK_LIMITS, mark_of};
use deskd_core::app::Rlimits;
use deskd_core::wire::{SpawnError, SpawnRequest, TASK_VARIABLE};

/// A resource limit of the new process, soft and hard alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) resource: u32,
    pub(super) value: u64,
    /// For the sentence `cannot limit <what> to <value>`.
    pub(super) what: &'static str,
    /// Failing to set it is no reason not to start.
    pub(super) optional: bool,
}

/// Everything needed to start one process.
#[derive(Debug)]
pub struct Command {
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    /// Files to try, in order.
    pub(super) candidates: Vec<CString>,
    /// The PATH they come from; absent when `argv[0]` is itself a path.
    pub(super) searched: Option<String>,
    pub(super) cwd: Option<CString>,
    pub(super) umask: Option<u32>,
    pub(super) limits: Vec<Limit>,
    pub(super) nice: Option<i32>,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) wall: Option<Inner>,
}

/// The part of a wall that each process makes for itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inner {
    /// The ruleset that hides files.
    pub(super) ruleset: Option<RawFd>,
}

impl Command {
    /// What an application's request says; its processes will bear `tag`.
    pub fn of_request(request: &SpawnRequest, tag: u64) -> Result<Self, SpawnError> {
        let mut env = Vec::with_capacity(request.env.len() + 1);
        for (key, value) in request.env.iter().filter(|(key, _)| key != TASK_VARIABLE) {
            if key.is_empty() || key.contains('=') {
                return Err(SpawnError::Invalid(format!(
                    "the environment has a variable named `{key}`"
                )));
            }
            env.push(c_string(format!("{key}={value}"), || format!("variable `{key}`"))?);
        }
        env.push(c_string(format!("{TASK_VARIABLE}={}", request.id.task), String::new)?);
        let argv = request.argv.iter().map(|word| c_string(word.as_str(), || format!("`{word}`")));
        let path = request.env.iter().rev().find(|(key, _)| key == "PATH");
        let mut command = Self::new(argv.collect::<Result<_, _>>()?, env, path.map(|(_, v)| &**v))?;
        command.cwd = Some(match &request.cwd {
            Some(cwd) => c_string(cwd.as_str(), || format!("directory `{cwd}`"))?,
            None => c"/".to_owned(),
        });
        command.umask = request.umask;
        command.nice = request.nice;
        command.oom_score_adj = request.oom_score_adj;
        command.limits = limits(&request.rlimits, tag);
        Ok(command)
    }

    /// A program with the environment given, and nothing else changed.
    pub fn of_program(
        argv: &[OsString],
        env: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SpawnError> {
        let mut path = None;
        let mut variables = Vec::new();
        for (key, value) in env {
            if key == "PATH" {
                path = Some(value.to_string_lossy().into_owned());
            }
            let entry = [key.into_vec(), value.into_vec()].join(&b'=');
            variables.push(c_string(entry, || "a variable".to_owned())?);
        }
        let words = argv.iter().map(|word| {
            c_string(word.clone().into_vec(), || format!("`{}`", word.to_string_lossy()))
        });
        Self::new(words.collect::<Result<_, _>>()?, variables, path.as_deref())
    }

    /// Names no program.
    #[must_use]
    pub fn none() -> Self {
        Self {
            argv: Vec::new(),
            env: Vec::new(),
            candidates: Vec::new(),
            searched: None,
            cwd: None,
            umask: None,
            limits: Vec::new(),
            nice: None,
            oom_score_adj: None,
            wall: None,
        }
    }

    /// The same without its last word.
    #[must_use]
    pub fn without_last_word(mut self) -> Self {
        self.argv.pop();
        self
    }

    /// The same, executed from the file at `path`.
    #[must_use]
    pub fn executed_from(self, path: CString) -> Self {
        Self { candidates: vec![path], searched: None, ..self }
    }

    fn new(argv: Vec<CString>, env: Vec<CString>, path: Option<&str>) -> Result<Self, SpawnError> {
        let program = argv.first().filter(|program| !program.is_empty());
        let Some(program) = program else {
            return Err(SpawnError::Invalid("the command names no program".to_owned()));
        };
        let path = path.unwrap_or(path::DEFAULT);
        let is_path = program.as_bytes().contains(&b'/');
        let candidates =
            if is_path { vec![program.clone()] } else { path::candidates(program, path)? };
        let searched = (!is_path).then(|| path.to_owned());
        Ok(Self { argv, env, candidates, searched, ..Self::none() })
    }

    /// A program of which another name is shown than that of its file.
    pub(super) fn of_file(file: &CStr, argv: &[&CStr]) -> Result<Self, SpawnError> {
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        let mut command = Self::new(argv, Vec::new(), None)?;
        command.candidates = vec![file.to_owned()];
        command.searched = None;
        Ok(command)
    }

    /// Bytes of argv and environment, as execve(2) counts them against its limit.
    pub(super) fn argument_bytes(&self) -> usize {
        let strings = self.argv.iter().chain(&self.env);
        strings.map(|text| text.as_bytes_with_nul().len() + size_of::<usize>()).sum()
    }
}

pub(super) fn c_string(
    bytes: impl Into<Vec<u8>>,
    what: impl FnOnce() -> String,
) -> Result<CString, SpawnError> {
    CString::new(bytes).map_err(|_| SpawnError::Invalid(format!("{} contains a NUL byte", what())))
}

fn limits(wanted: &Rlimits, tag: u64) -> Vec<Limit> {
    let named = [
        (Resource::RLIMIT_NOFILE, wanted.open_files, "open files"),
        (Resource::RLIMIT_CORE, wanted.core_bytes, "core dump bytes"),
        (Resource::RLIMIT_AS, wanted.address_space_bytes, "address space bytes"),
        (Resource::RLIMIT_CPU, wanted.cpu_seconds, "CPU seconds"),
        (Resource::RLIMIT_FSIZE, wanted.file_bytes, "bytes of a written file"),
        (Resource::RLIMIT_NPROC, wanted.processes, "processes"),
    ];
    let mut limits: Vec<Limit> = named
        .into_iter()
        .filter_map(|(resource, value, what)| {
            Some(Limit { resource: resource as u32, value: value?, what, optional: false })
        })
        .collect();
    // A lower inherited hard limit forbids it; there is other evidence.
    limits.extend(MARK_LIMITS.into_iter().zip(mark_of(tag)).map(|(resource, value)| Limit {
        resource: resource as u32,
        value,
        what: "what marks its processes",
        optional: true,
    }));
    limits
}
