//! The repository's rules as tests: who may use whom, a pure domain, small files, no stray
//! `unsafe`, a fixed top level. The table of rooms is read from `src/lib.rs`, so what it says and
//! what is checked are the same. Each checker is shown bad code too: it must be able to fail.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::architecture_source::{code, paths, without_tests};

/// Longest file without its tests, in lines.
const FILE_LINES_MAX: usize = 500;
/// Everything at the top of the repository that does not begin with a dot.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "systemd",
    "container",
    "tests",
    "docs",
    "README.md",
    "LICENSE",
    "Makefile",
];
/// How far above an `unsafe` block its comment may begin, in lines.
const SAFETY_LINES_MAX: usize = 7;
/// The files that may have `unsafe`, and what for.
const UNSAFE_FILES: [(&str, &str); 5] = [
    ("display/proof/sysv.rs", "System V shared memory has no safe wrapper"),
    ("memory.rs", "madvise(2) on the process's own memory; malloc_trim(3)"),
    ("keeper/reap.rs", "wait4(2) tells the rusage; nix has no wrapper"),
    ("keeper/spawn/child.rs", "clone(2) and what runs between it and exec"),
    ("engine/kubernetes/processes/exit.rs", "ioctl(PIDFD_GET_INFO) has no safe wrapper"),
];
/// Crates and modules that `domain/` must not name.
const IMPURE: [&str; 16] = [
    "tokio",
    "tokio_util",
    "kube",
    "k8s_openapi",
    "x11rb",
    "axum",
    "hyper",
    "nix",
    "rustix",
    "sysinfo",
    "tracing",
    "getrandom",
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
];
/// Ends of paths that read a clock.
const CLOCKS: [&str; 4] = ["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"];
/// Rooms that hold the others together.
const FRAME: [&str; 2] = ["lib", "main"];

type Rules = BTreeMap<String, Vec<String>>;

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Every Rust file below `dir`: path relative to it, and text.
fn sources(dir: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                files.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no Rust files below {}", dir.display());
    files
}

/// Test code in a file of its own: `tests.rs`, or a directory `tests`.
fn is_tests(name: &str) -> bool {
    name.split('/').any(|part| matches!(part, "tests" | "tests.rs"))
}

/// Applies `check` to the code of every file of `src` that is not tests, and fails with all
/// complaints.
#[track_caller]
fn check_sources(check: impl Fn(&str, &str, &str) -> Vec<String>) {
    let files = sources(&root().join("src"));
    let complaints: Vec<_> = files
        .iter()
        .filter(|(name, _)| !is_tests(name))
        .flat_map(|(name, text)| check(name, text, &without_tests(&code(text))))
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The table of `src/lib.rs`: room -> what it may use.
fn rules(lib: &str) -> Rules {
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("//! | [`")?.split('|').collect();
        let room = cells.first()?.split('`').next()?.to_owned();
        let uses = cells.get(2)?.split(',').map(|cell| cell.trim().to_owned()).collect();
        Some((room, uses))
    };
    lib.lines().filter_map(row).collect()
}

/// The module path of a file: `config/apps.rs` and `config/apps/mod.rs` are `config`, `apps`.
fn module(name: &str) -> Vec<String> {
    let name = name.strip_suffix(".rs").unwrap();
    let name = name.strip_suffix("/mod").unwrap_or(name);
    name.split('/').map(ToOwned::to_owned).collect()
}

/// Paths of `code` into this crate, from its root: `crate::x` as it is, `super::` resolved.
fn crate_paths(name: &str, code: &str) -> Vec<(usize, Vec<String>)> {
    let here = module(name);
    let from_root = |segments: &[String]| {
        let supers = segments.iter().take_while(|segment| *segment == "super").count();
        match segments.first().map(String::as_str) {
            Some("crate") => Some(segments[1..].to_vec()),
            Some("deskd") if FRAME.contains(&here[0].as_str()) => Some(segments[1..].to_vec()),
            Some("super") if supers <= here.len() => {
                Some([&here[..here.len() - supers], &segments[supers..]].concat())
            }
            _ => None,
        }
    };
    paths(code)
        .into_iter()
        .filter_map(|path| Some((path.line, from_root(&path.segments)?)))
        .collect()
}

/// `room`, `room::module` (that module alone) or `room::Item` (what the room's root exports).
fn is_allowed(rule: &str, path: &[String]) -> bool {
    let Some((room, part)) = rule.split_once("::") else {
        return rule == "everything" || path[0] == rule;
    };
    let is_item = |text: &str| text.starts_with(|c: char| c.is_ascii_uppercase());
    let second = path.get(1).map_or("", String::as_str);
    path[0] == room && (second == part || is_item(part) && is_item(second))
}

fn edges(rules: &Rules, name: &str, code: &str) -> Vec<String> {
    let room = module(name)[0].clone();
    if FRAME.contains(&room.as_str()) {
        return Vec::new();
    }
    let Some(allowed) = rules.get(&room) else {
        return vec![format!("src/{name}: the room `{room}` is not in the table of src/lib.rs")];
    };
    let forbidden = |path: &[String]| {
        !path.is_empty() && path[0] != room && !allowed.iter().any(|rule| is_allowed(rule, path))
    };
    crate_paths(name, code)
        .into_iter()
        .filter(|(_, path)| forbidden(path))
        .map(|(line, path)| {
            let (used, allowed) = (path.join("::"), allowed.join(", "));
            format!("src/{name}:{line}: `{room}` uses `{used}`, and may use: {allowed}")
        })
        .collect()
}

fn impurities(code: &str) -> Vec<(usize, String)> {
    let is_within = |path: &str, root: &str| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let is_impure = |path: &str| {
        IMPURE.iter().any(|root| is_within(path, root))
            || CLOCKS.iter().any(|clock| path.ends_with(clock))
    };
    paths(code)
        .into_iter()
        .map(|path| (path.line, path.segments.join("::")))
        // A local variable may be called `kube`; a path into the crate has two segments.
        .filter(|(_, path)| path.contains("::") && is_impure(path))
        .collect()
}

/// Lines with `unsafe` as a word, and what is wrong with each.
fn unsafe_problems(name: &str, text: &str, code: &str) -> Vec<String> {
    let is_unsafe = |line: &str| {
        line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == "unsafe")
    };
    let found: Vec<usize> =
        (1..).zip(code.lines()).filter(|(_, line)| is_unsafe(line)).map(|(at, _)| at).collect();
    if found.is_empty() {
        return Vec::new();
    }
    if !UNSAFE_FILES.iter().any(|(allowed, _)| *allowed == name) {
        return found
            .iter()
            .map(|at| format!("src/{name}:{at}: `unsafe` outside the list"))
            .collect();
    }
    let lines: Vec<_> = text.lines().collect();
    // An `unsafe fn` promises nothing by itself: its blocks, and those of its callers, do.
    let is_block = |at: &&usize| !lines[**at - 1].contains("unsafe fn");
    let unexplained = |at: &&usize| {
        // The comment stands above the statement, which may have begun some lines earlier.
        let before = &lines[at.saturating_sub(SAFETY_LINES_MAX)..**at];
        !before.iter().any(|line| line.contains("// SAFETY:"))
    };
    found
        .iter()
        .filter(is_block)
        .filter(unexplained)
        .map(|at| format!("src/{name}:{at}: `unsafe` without a SAFETY comment"))
        .collect()
}

#[test]
fn rooms_use_only_what_the_table_in_lib_rs_allows() {
    let rules = rules(&std::fs::read_to_string(root().join("src/lib.rs")).unwrap());
    assert!(rules.len() > 5 && rules["domain"] == ["nothing of this crate"], "{rules:?}");
    check_sources(|name, _, code| edges(&rules, name, code));
}

#[test]
fn the_domain_is_pure() {
    check_sources(|name, _, code| {
        let found = if name.starts_with("domain/") { impurities(code) } else { Vec::new() };
        found
            .iter()
            .map(|(line, path)| format!("src/{name}:{line}: `{path}` in the domain"))
            .collect()
    });
}

#[test]
fn files_are_short_and_say_what_they_are() {
    check_sources(|name, text, code| {
        let lines = code.trim_end().lines().count();
        let long = (lines > FILE_LINES_MAX).then(|| format!("src/{name}: {lines} lines"));
        let mute =
            (!text.starts_with("//!")).then(|| format!("src/{name}: does not begin with //!"));
        long.into_iter().chain(mute).collect()
    });
}

#[test]
fn unsafe_code_is_where_it_is_expected_and_explained() {
    check_sources(unsafe_problems);
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_switched_off() {
    let later = concat!("FIX", "ME");
    for dir in ["src", "tests"] {
        for (name, text) in sources(&root().join(dir)) {
            let code = code(&text);
            assert!(!text.contains(later), "{dir}/{name}: {later}");
            for word in ["todo!", "unimplemented!"] {
                assert!(!code.contains(word), "{dir}/{name}: {word}");
            }
            assert!(!code.contains("#[ignore"), "{dir}/{name}: a test is switched off");
        }
    }
}

#[test]
fn the_top_level_is_fixed() {
    let unexpected: Vec<_> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "not in the list of top-level entries: {unexpected:?}");
}

#[test]
fn the_checker_of_edges_can_fail() {
    let table = "//! | [`domain`] | x | nothing of this crate |\n//! | [`api`] | x | supervisor::Handle, domain |\n//! | [`engine`] | x | keeper::wire |\n//! | [`cli`] | x | everything |\n";
    let rules = rules(table);
    let count = |name: &str, code: &str| edges(&rules, name, code).len();
    assert_eq!(count("domain/app.rs", "use super::id::AppId; use crate::domain::x;"), 0);
    assert_eq!(count("domain/app.rs", "use crate::{domain::x, logs::Y, config};"), 2);
    assert_eq!(count("domain/app.rs", "fn f() { super::super::logs::g() }"), 1);
    assert_eq!(count("domain/a/mod.rs", "use super::super::logs;"), 1);
    assert_eq!(count("api/x.rs", "use crate::supervisor::{Handle, Snapshot, driver::Input};"), 1);
    assert_eq!(count("engine/x.rs", "use crate::keeper::wire::A; use crate::keeper::spawn;"), 1);
    assert_eq!(count("cli/x.rs", "use crate::keeper::spawn;"), 0);
    assert_eq!(count("new.rs", ""), 1);
}

#[test]
fn the_checker_of_the_domain_can_fail() {
    let bad = "use std::{fs, env::var}; fn f() { let t = std::time::Instant::now(); tokio::spawn(g); let kube = 1; jiff::Timestamp::now(); }";
    let found: Vec<_> = impurities(bad).into_iter().map(|(_, path)| path).collect();
    let expected = [
        "std::fs",
        "std::env::var",
        "std::time::Instant::now",
        "tokio::spawn",
        "jiff::Timestamp::now",
    ];
    assert_eq!(found, expected);
    assert!(impurities("use std::time::Duration; fn f(at: jiff::Timestamp) {}").is_empty());
}

#[test]
fn the_checker_of_unsafe_can_fail() {
    let bare = "fn f() {\n    unsafe { g() }\n}\n";
    assert_eq!(unsafe_problems("logs/x.rs", bare, bare).len(), 1);
    assert_eq!(unsafe_problems("display/proof/sysv.rs", bare, bare).len(), 1);
    let explained = "fn f() {\n    // SAFETY: g has no preconditions.\n    unsafe { g() }\n}\n";
    assert!(unsafe_problems("display/proof/sysv.rs", explained, &code(explained)).is_empty());
    assert!(
        unsafe_problems("logs/x.rs", "#![deny(unsafe_code)]", "#![deny(unsafe_code)]").is_empty()
    );
}
