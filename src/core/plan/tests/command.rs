//! Which command a container runs, and how what the user opens reaches its program.

use proptest::prelude::*;

use super::super::EngineKind::{EphemeralContainer, PodApplication};
use super::super::ask::Ask;
use super::super::command::{self, Command};
use super::super::remote::ContainerPlan;
use super::super::{UnplannableCode, Work};
use super::case::{Case, said};
use crate::app::container::EntryPoint;
use crate::env_var::EnvVar;

const ENTRY_POINT: &str = "/composer/appli-docker-entrypoint.sh";

/// As abcdesktop's documents are: the image's own command, and a program with arguments.
fn published() -> Case {
    let mut case = Case::new();
    case.image().image_command = vec![ENTRY_POINT.into()];
    case.image().program = vec!["/usr/bin/edit".into(), "--size".into(), "5".into()];
    case.image().args = Some("--size 5".into());
    case
}

fn chosen(case: &Case) -> Command {
    let (app, launch, facts) = case.inputs();
    let ask = Ask::new(&app, &launch, &facts);
    command::of(&ask, ask.container().unwrap()).unwrap()
}

fn container(case: &Case) -> ContainerPlan {
    case.plan().unwrap().work.container().unwrap().clone()
}

fn variables(case: &Case) -> Vec<String> {
    let command = chosen(case);
    command.variables.iter().map(|var| format!("{}={}", var.name, var.value)).collect()
}

#[test]
fn the_image_s_own_command_is_run_where_the_document_has_one() {
    for engine in [EphemeralContainer, PodApplication] {
        let mut case = published();
        case.policy.engines = vec![engine];
        let plan = container(&case);
        assert_eq!(plan.argv, [ENTRY_POINT]);
        assert!(plan.entry_point);
        assert_eq!(plan.program.as_deref(), Some("/usr/bin/edit"));
        assert_eq!(plan.program_words(), ["/usr/bin/edit", "--size", "5"]);
        assert!(said(&case.plan()).contains("its image's own command runs and starts its program"));
        assert_eq!(variables(&case), ["APP=/usr/bin/edit", "ARGS=--size 5"]);
    }
}

#[test]
fn without_one_the_program_is_run() {
    let mut case = published();
    case.image().image_command.clear();
    case.launch.args = vec!["a b".into()];
    let plan = container(&case);
    assert_eq!(plan.argv, ["/usr/bin/edit", "--size", "5", "a b"]);
    assert!(!plan.entry_point && plan.program_words().is_empty());
    assert_eq!(plan.program.as_deref(), Some("/usr/bin/edit"));
    assert!(said(&case.plan()).contains("does not say which command the image runs"));
    assert_eq!(variables(&case), Vec::<String>::new());
}

#[test]
fn a_remedy_wins_over_the_operator_and_the_operator_over_the_document() {
    use EntryPoint::{Image, Program};
    for (document, operator, remedy, entry_point, words) in [
        (Some(Program), None, None, false, "runs directly (label io.deskd.entrypoint)"),
        (Some(Image), None, None, true, "starts its program (label io.deskd.entrypoint)"),
        (Some(Program), Some(Image), None, true, "(entrypoint in [kubernetes])"),
        (Some(Image), Some(Program), None, false, "(entrypoint in [kubernetes])"),
        (None, Some(Image), Some(Program), false, "runs directly (the remedy for its failure)"),
    ] {
        let mut case = published();
        case.image().entrypoint = document;
        case.policy.entrypoint = operator;
        case.launch.change.entrypoint = remedy;
        assert_eq!(container(&case).entry_point, entry_point, "{words}");
        assert!(said(&case.plan()).contains(words), "{words}: {}", said(&case.plan()));
    }
}

#[test]
fn a_program_that_nobody_named_cannot_be_run_directly() {
    let mut case = published();
    case.image().program.clear();
    case.image().args = None;
    case.policy.entrypoint = Some(EntryPoint::Program);
    case.launch.args = vec!["a b".into()];
    let plan = container(&case);
    assert_eq!((plan.argv, plan.entry_point), (vec![ENTRY_POINT.into(), "a b".into()], true));
    assert_eq!(plan.program, None);
    assert!(said(&case.plan()).contains("its document names no program (oc.path)"));
}

#[test]
fn the_last_argument_is_what_the_user_opens_and_arrives_as_it_is() {
    let mut case = published();
    case.launch.args = vec!["/home/anna/it's a \"file\" *.odt".into()];
    let opened = "APPARGS=/home/anna/it's a \"file\" *.odt";
    assert_eq!(variables(&case), ["APP=/usr/bin/edit", opened, "ARGS=--size 5"]);
    case.launch.args.insert(0, "--new".into());
    case.launch.change.args = vec!["--disable-dev-shm-usage".into()];
    let args = "ARGS=--size 5 --disable-dev-shm-usage --new";
    assert_eq!(variables(&case), ["APP=/usr/bin/edit", opened, args]);
    let words = container(&case).program_words();
    assert_eq!(words.last().map(String::as_str), Some("/home/anna/it's a \"file\" *.odt"));
    assert_eq!(words.len(), 6);
}

#[test]
fn arguments_that_would_not_arrive_are_refused_with_the_remedy() {
    for args in [["a b", "c"], ["*.odt", "c"], ["", "c"], ["c", ""]] {
        let mut case = published();
        case.launch.args = args.map(ToOwned::to_owned).to_vec();
        let refusal = case.plan();
        let code = refusal.as_ref().unwrap_err().code;
        assert_eq!(code, UnplannableCode::CannotBePlaced, "{args:?}");
        let said = said(&refusal);
        assert!(said.contains("launch it with one argument"), "{said}");
        assert!(said.contains("label io.deskd.entrypoint = \"program\""), "{said}");
        case.image().entrypoint = Some(EntryPoint::Program);
        assert_eq!(container(&case).argv[3..], args);
    }
}

#[test]
fn a_local_program_has_no_command_of_an_image() {
    let mut case = published();
    case.facts.program = super::super::facts::ProgramPresence::Present;
    case.policy.local = crate::policy::LocalApps::All;
    let work = case.plan().unwrap().work;
    assert!(matches!(work, Work::Local(_)) && work.container().is_none());
}

/// What a shell makes of `"${APP}" ${ARGS} "${APPARGS}"` (POSIX 2.6.5).
fn expanded(variables: &[EnvVar]) -> Vec<String> {
    let value =
        |name: &str| variables.iter().find(|var| var.name == name).map(|var| var.value.clone());
    let args = value("ARGS").unwrap_or_default();
    let mut argv = vec![value("APP").unwrap()];
    argv.extend(args.split([' ', '\t', '\n']).filter(|word| !word.is_empty()).map(str::to_owned));
    argv.extend(value("APPARGS"));
    argv
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn every_argument_arrives_as_one_word_or_the_launch_is_refused(
        args in prop::collection::vec("[a-c *?\\[\\\\\t'\"$-]{0,6}", 0..5),
    ) {
        let mut case = published();
        case.launch.args = args.clone();
        let (app, launch, facts) = case.inputs();
        let ask = Ask::new(&app, &launch, &facts);
        if let Ok(command) = command::of(&ask, ask.container().unwrap()) {
            let argv = expanded(&command.variables);
            prop_assert_eq!(&argv[..3], ["/usr/bin/edit", "--size", "5"]);
            prop_assert_eq!(&argv[3..], &args[..]);
            prop_assert_eq!(&command.arguments[2..], &args[..]);
            let globs = |word: &String| word.contains(['*', '?', '[', '\\']);
            let before = args.len().saturating_sub(1);
            prop_assert!(!args[..before].iter().any(globs));
        }
    }
}
