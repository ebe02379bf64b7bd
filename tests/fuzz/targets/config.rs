//! The configuration: a TOML file and variables. Before the first zero byte the file, after it lines
//! `NAME=VALUE`.

use deskd::config::{Origin, Problem, parse};

use super::{halves, text};

pub fn run(data: &[u8]) {
    let (file, variables) = halves(data);
    let (Some(file), Some(variables)) = (text(file), text(variables)) else { return };
    let variable = |name: &str| {
        let mut lines = variables.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    match parse(file, variable) {
        // What it says of this machine (files, directories) is not looked up: inputs name any.
        Ok(draft) => assert!(draft.socket().is_none_or(|socket| socket.is_absolute())),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            problems.iter().for_each(|problem| check(problem, file));
        }
    }
}

fn check(problem: &Problem, file: &str) {
    assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
    if let Origin::File(position) = &problem.origin {
        let lines = file.split('\n').count();
        assert!((1..=lines).contains(&position.line), "line {} of {lines}", position.line);
        assert!(position.column > 0);
    }
    assert!(!problem.report(None).is_empty());
}
