//! What a remedy changes of a launch: it wins, and what cannot be is refused with a reason.

use super::super::EngineKind::{EphemeralContainer, PodApplication};
use super::super::facts::{Change, ClassChange};
use super::super::{UnplannableCode, Work};
use super::case::{Case, said};
use crate::env_var::{EnvSource, EnvVar};
use crate::policy::ExecuteClass;

fn class(memory: &str, gpu: Option<u32>) -> ExecuteClass {
    let amounts = |value: &str| [("memory".to_owned(), value.to_owned())].into();
    ExecuteClass { requests: amounts(memory), limits: amounts(memory), gpu, ..Default::default() }
}

/// With the classes s (256Mi), m (1Gi), l (4Gi) and gpu (2Gi, one GPU), in the class `name`.
fn of_class(name: &str) -> Case {
    let mut case = Case::new();
    let gpu = Some(1);
    case.policy.classes =
        [("s", "256Mi", None), ("m", "1Gi", None), ("l", "4Gi", None), ("gpu", "2Gi", gpu)]
            .map(|(name, memory, gpu)| (name.to_owned(), class(memory, gpu)))
            .into();
    case.image().execute_class = Some(name.to_owned());
    case
}

fn other_class(resource: &str, more: bool) -> Change {
    let class = Some(ClassChange { resource: resource.into(), more });
    Change { class, ..Change::default() }
}

#[test]
fn a_remedy_s_engine_wins_over_the_launch_and_the_document() {
    let mut case = Case::new();
    case.image().engine = Some(PodApplication);
    case.launch.engine = Some(PodApplication);
    assert_eq!(case.plan().unwrap().engine, PodApplication);
    case.launch.change.engine = Some(EphemeralContainer);
    let plan = case.plan();
    assert_eq!(plan.as_ref().unwrap().engine, EphemeralContainer);
    assert!(said(&plan).contains("the remedy for its failure asks for ephemeral_container"));
}

#[test]
fn its_variables_and_arguments_come_last_for_every_engine() {
    for engine in [EphemeralContainer, PodApplication] {
        let mut case = Case::new();
        case.policy.engines = vec![engine];
        case.launch.args = vec!["page".into()];
        case.app.local.env = [("QT_XCB_NO_MITSHM".to_owned(), "0".to_owned())].into();
        case.launch.change.args = vec!["--switch".into()];
        case.launch.change.env = vec![("QT_XCB_NO_MITSHM".into(), "1".into())];
        let plan = case.plan().unwrap();
        assert_eq!(plan.work.argv(), ["/usr/bin/gnome-2048", "page", "--switch"]);
        let set = EnvVar::new("QT_XCB_NO_MITSHM", "1", EnvSource::Remedy);
        assert!(plan.work.env().contains(&set), "{:?}", plan.work.env());
    }
}

#[test]
fn arguments_cannot_be_appended_to_a_command_that_is_not_known() {
    let mut case = Case::new();
    case.image().program.clear();
    case.launch.change.args = vec!["--switch".into()];
    let refusal = case.plan();
    assert_eq!(refusal.as_ref().unwrap_err().code, UnplannableCode::CannotBePlaced);
    assert!(said(&refusal).contains("no arguments can be added"), "{}", said(&refusal));
}

#[test]
fn another_class_is_the_nearest_that_has_more_or_asks_for_less() {
    let rows = [
        ("s", "memory", true, "1Gi"),
        // Not the class with a GPU, which is nearer.
        ("m", "memory", true, "4Gi"),
        ("l", "memory", false, "1Gi"),
        ("gpu", "nvidia.com/gpu", false, "4Gi"),
    ];
    for (from, resource, more, memory) in rows {
        let mut case = of_class(from);
        case.launch.change = other_class(resource, more);
        let plan = case.plan();
        let Ok(Work::PodApplication(pod)) = plan.as_ref().map(|plan| &plan.work) else {
            panic!("{from}: {plan:?}");
        };
        assert_eq!(pod.limits["memory"], memory, "{from}");
        assert!(said(&plan).contains(&format!("instead of `{from}`")), "{}", said(&plan));
    }
}

#[test]
fn without_such_a_class_there_is_no_plan() {
    for (from, resource, more, words) in [
        ("l", "memory", true, "no execute class has more memory than `l`"),
        ("s", "memory", false, "no execute class has less memory than `s`"),
        ("s", "nvidia.com/gpu", false, "no execute class has less nvidia.com/gpu than `s`"),
    ] {
        let mut case = of_class(from);
        case.launch.change = other_class(resource, more);
        let refusal = case.plan();
        assert_eq!(refusal.as_ref().unwrap_err().code, UnplannableCode::CannotBePlaced, "{from}");
        assert!(said(&refusal).contains(words), "{}", said(&refusal));
    }
}
