//! What `oc.host_config` means: the size of `/dev/shm`, and a hint for the execute class.

use serde_json::json;

use super::super::EngineKind::{EphemeralContainer, PodApplication};
use super::super::facts::VolumeMount;
use super::super::shm::size_text;
use super::super::{PodPlan, Work};
use super::case::{Case, said};
use crate::policy::ExecuteClass;

fn pod(case: &Case) -> PodPlan {
    match case.plan().unwrap().work {
        Work::PodApplication(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn in_a_pod() -> Case {
    let mut case = Case::new();
    case.policy.engines = vec![PodApplication];
    case
}

/// The classes s (1Gi, half a core), m (2Gi, a core) and l (8Gi); one with a GPU and one for certain
/// nodes that would fit better; and one without limits.
fn with_classes(mut case: Case) -> Case {
    let limits = |memory: &str, cpu: &str| {
        [("memory", memory), ("cpu", cpu)].map(|(name, value)| (name.into(), value.into())).into()
    };
    let class = |memory, cpu| ExecuteClass { limits: limits(memory, cpu), ..Default::default() };
    let node = [("disk".to_owned(), "ssd".to_owned())].into();
    case.policy.classes = [
        ("s", class("1Gi", "500m")),
        ("m", class("2Gi", "1")),
        ("l", class("8Gi", "4")),
        ("gpu", ExecuteClass { gpu: Some(1), ..class("3Gi", "4") }),
        ("node", ExecuteClass { node_selector: node, ..class("3Gi", "4") }),
        ("plain", ExecuteClass::default()),
    ]
    .map(|(name, class)| (name.to_owned(), class))
    .into();
    case
}

/// The limit of the volume at `/dev/shm`.
fn dev_shm(plan: &PodPlan) -> Option<&str> {
    let mount = plan.container.mounts.iter().find(|mount| mount.path == "/dev/shm")?;
    let volume = plan.volumes.iter().find(|volume| volume["name"] == mount.name.as_str())?;
    assert_eq!(volume["emptyDir"]["medium"], "Memory");
    volume["emptyDir"]["sizeLimit"].as_str()
}

fn desktop_s_shm(case: &mut Case) {
    let volume = json!({ "name": "shm", "emptyDir": { "medium": "Memory", "sizeLimit": "256Mi" } });
    case.pod.volumes.insert("shm".into(), volume);
    let (name, path) = ("shm".into(), "/dev/shm".into());
    case.pod.mounts.push(VolumeMount { name, path, read_only: false });
}

#[test]
fn a_pod_s_dev_shm_is_as_large_as_asked_for_or_as_the_desktop_s() {
    let mut case = in_a_pod();
    assert_eq!(dev_shm(&pod(&case)), None, "the runtime's own");
    case.image().host_config.shm_bytes = Some(2 << 30);
    assert_eq!(dev_shm(&pod(&case)), Some("2Gi"));
    assert!(said(&case.plan()).contains("its /dev/shm has 2Gi (oc.host_config shm_size)"));
    desktop_s_shm(&mut case);
    assert_eq!(dev_shm(&pod(&case)), Some("2Gi"));
    case.image().host_config.shm_bytes = None;
    assert_eq!(dev_shm(&pod(&case)), Some("256Mi"));
    assert!(!said(&case.plan()).contains("/dev/shm"), "{}", said(&case.plan()));
}

#[test]
fn an_ephemeral_container_has_the_pod_s_dev_shm_and_is_told_so() {
    let mut case = Case::new();
    assert!(!said(&case.plan()).contains("/dev/shm"));
    case.image().host_config.shm_bytes = Some(1 << 30);
    let words = |has| {
        format!(
            "asks for a /dev/shm of 1Gi (shm_size), but an ephemeral container uses the desktop pod's /dev/shm, which has {has}"
        )
    };
    assert!(said(&case.plan()).contains(&words("64Mi")), "{}", said(&case.plan()));
    desktop_s_shm(&mut case);
    let plan = case.plan();
    assert!(said(&plan).contains(&words("256Mi")), "{}", said(&plan));
    assert_eq!(plan.unwrap().engine, EphemeralContainer);
}

#[test]
fn a_limit_of_memory_is_a_hint_for_the_class_of_a_pod() {
    for (memory_mib, cpu, default, class, note) in [
        (500, None, None, Some("1Gi"), "it gets the execute class `s`, the smallest"),
        (1024, None, None, Some("1Gi"), "asks for (1Gi of memory)"),
        (1025, None, None, Some("2Gi"), "execute class `m`"),
        (1024, Some(800), None, Some("2Gi"), "(1Gi of memory, 800m of CPU time)"),
        (4096, None, None, Some("8Gi"), "execute class `l`"),
        (9000, None, None, None, "no execute class has what oc.host_config asks for"),
        (500, None, Some("m"), Some("2Gi"), ""),
        (4096, None, Some("m"), Some("8Gi"), "execute class `l`"),
        (9000, None, Some("m"), Some("2Gi"), "no execute class has"),
    ] {
        let mut case = with_classes(in_a_pod());
        case.image().host_config.memory_bytes = Some(memory_mib << 20);
        case.image().host_config.cpu_millis = cpu;
        case.policy.default_class = default.map(ToOwned::to_owned);
        let plan = case.plan();
        assert!(said(&plan).contains(note), "{memory_mib}: {}", said(&plan));
        assert_eq!(pod(&case).limits.get("memory").map(String::as_str), class, "{memory_mib}");
    }
}

#[test]
fn a_hint_makes_no_pod_necessary_and_loses_to_the_class_of_the_document() {
    let mut case = with_classes(Case::new());
    case.image().host_config.memory_bytes = Some(4 << 30);
    let plan = case.plan();
    assert_eq!(plan.as_ref().unwrap().engine, EphemeralContainer);
    assert!(!said(&plan).contains("execute class"), "{}", said(&plan));
    case.image().execute_class = Some("s".into());
    assert_eq!(pod(&case).limits["memory"], "1Gi");
}

#[test]
fn a_remedy_takes_the_class_beside_the_hinted_one() {
    let mut case = with_classes(in_a_pod());
    case.image().host_config.memory_bytes = Some(1 << 30);
    let class = super::super::facts::ClassChange { resource: "memory".into(), more: true };
    case.launch.change.class = Some(class);
    assert_eq!(pod(&case).limits["memory"], "2Gi");
}

#[test]
fn sizes_are_written_as_short_as_they_can_be_exactly() {
    for (bytes, text) in
        [(0, "0"), (1, "1"), (1 << 10, "1Ki"), (1536 << 20, "1536Mi"), (3 << 30, "3Gi")]
    {
        assert_eq!(size_text(bytes), text);
    }
}
