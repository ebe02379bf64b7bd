//! Words that deskd and the cluster share: labels, and the names of what deskd creates.
//!
//! A name is a function of the task and its run, so that a request repeated after a lost answer
//! names the same object and makes no second one.

use serde::{Deserialize, Serialize};

use super::id::{AppId, ID_BYTES_MAX, TaskId};

/// Names from the downward API (`metadata.name`, ...); see `container/pod.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIdentity {
    /// `POD_NAME`.
    pub name: Option<String>,
    /// `POD_NAMESPACE`.
    pub namespace: Option<String>,
    /// `POD_UID`.
    pub uid: Option<String>,
    /// `POD_IP`.
    pub ip: Option<String>,
    /// `NODE_NAME`.
    pub node: Option<String>,
    /// `POD_CONTAINER`: deskd's own container.
    pub container: Option<String>,
}

/// Label of everything deskd creates: [`MANAGED_BY`].
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "deskd";
/// Label: uid of the desktop pod.
pub const LABEL_DESKTOP_UID: &str = "deskd.io/desktop-uid";
/// Label: name of the desktop pod.
pub const LABEL_DESKTOP: &str = "deskd.io/desktop";
/// Label: namespace of the desktop pod.
pub const LABEL_DESKTOP_NAMESPACE: &str = "deskd.io/desktop-namespace";
/// Label: the task.
pub const LABEL_TASK: &str = "deskd.io/task";
/// Label: the run of the task, 1 for the first.
pub const LABEL_RUN: &str = "deskd.io/run";
/// Label: the place that a pod is.
pub const LABEL_PLACE: &str = "deskd.io/place";
/// Label: the application.
pub const LABEL_APP: &str = "deskd.io/app";
/// Label that abcdesktop selects by.
pub const LABEL_TYPE: &str = "type";
/// Value of [`LABEL_TYPE`] of application pods.
pub const TYPE_APPLICATION: &str = "pod_application";
/// Value of [`LABEL_TYPE`] of pods that pull an image.
pub const TYPE_PULL: &str = "pod_application_pull";
/// Label without which abcdesktop's network policy cuts application pods off X11; value `true`.
pub const LABEL_NETWORK: &str = "netpol/ocapplication";
/// Labels by which abcdesktop's control plane (pyos) knows whose pod it is: it lists application pods
/// by [`LABEL_USER`], [`LABEL_PROVIDER`] and [`LABEL_TYPE`], and deletes them by these at logout. The
/// desktop's pod has all four; application pods carry the same.
pub const ACCESS_LABELS: [&str; 4] =
    ["access_provider", "access_providertype", LABEL_USER, "access_username"];
/// Label: the user, in abcdesktop's words.
pub const LABEL_USER: &str = "access_userid";
/// Label: who vouched for the user.
pub const LABEL_PROVIDER: &str = "access_provider";
/// Longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 63;
/// Names the task in the environment of each of its processes, in whatever engine.
pub const TASK_VARIABLE: &str = "DESKD_TASK_ID";
/// Names the run in the environment of an application in a container, beside [`TASK_VARIABLE`].
pub const RUN_VARIABLE: &str = "DESKD_RUN";

/// Names the program that the entry point of an abcdesktop image is to start.
pub const PROGRAM_VARIABLE: &str = "APP";

/// Where a remote task is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ObjectRef {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod: the desktop's own, or the application's.
    pub pod: String,
    /// The container in it.
    pub container: String,
}

/// Name of the application's container in an application pod.
pub const APP_CONTAINER: &str = "app";

/// `<owner>-app-<app>-<5 hex>`, a DNS-1123 label. The owner is abcdesktop's user, else the desktop.
#[must_use]
pub fn pod_name(owner: &str, app: &AppId, task: &TaskId, run: u32) -> String {
    named(&format!("{owner}-app-{}", app.as_str()), task, run)
}

/// `<owner>-<app>-<5 hex>`, a DNS-1123 label; never reused, since runs are counted and task ids are
/// not given twice. The owner is abcdesktop's user, else the application's display name.
#[must_use]
pub fn container_name(owner: &str, app: &AppId, task: &TaskId, run: u32) -> String {
    let stem = if owner.eq_ignore_ascii_case(app.as_str()) {
        app.as_str().to_owned()
    } else {
        format!("{owner}-{}", app.as_str())
    };
    named(&stem, task, run)
}

/// `pull-<image>-<8 hex>`: the same for the same image.
#[must_use]
pub fn pull_pod_name(image: &str, node: Option<&str>) -> String {
    let hash = fnv1a(&[image, node.unwrap_or_default()]);
    let last = image.rsplit('/').next().unwrap_or(image);
    finish(&format!("pull-{last}"), &format!("{hash:08x}"))
}

/// The first run has the task's own suffix, so that the names of a task and its object look alike.
fn named(stem: &str, task: &TaskId, run: u32) -> String {
    let own = task.as_str().rsplit('-').next().unwrap_or_default();
    let plain = own.len() == 5 && own.bytes().all(|b| b.is_ascii_hexdigit());
    let suffix = if run <= 1 && plain {
        own.to_owned()
    } else {
        format!("{:05x}", fnv1a(&[task.as_str(), &run.to_string()]) & 0xf_ffff)
    };
    finish(stem, &suffix)
}

fn finish(stem: &str, suffix: &str) -> String {
    let mut name = String::new();
    for char in stem.chars() {
        let char = char.to_ascii_lowercase();
        if char.is_ascii_alphanumeric() {
            name.push(char);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
        if name.len() + 1 + suffix.len() >= ID_BYTES_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    // A container's name must not begin with x or o where abcdesktop's controllers look.
    let name = match name.chars().next() {
        None => "app".to_owned(),
        Some('x' | 'o') => format!("a-{name}"),
        Some(_) => name.to_owned(),
    };
    let room = ID_BYTES_MAX - suffix.len() - 1;
    format!("{}-{suffix}", name[..name.len().min(room)].trim_end_matches('-'))
}

/// `text` as the value of a label: at most 63 letters, digits, `-`, `_` and `.`, the first and the
/// last a letter or digit ("Labels and Selectors", Kubernetes documentation). What does not fit is
/// replaced by `-` or cut off.
#[must_use]
pub fn label_value(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let value: String = text
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(LABEL_VALUE_BYTES_MAX)
        .collect();
    value.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// FNV-1a, 32 bits: stable over versions, which `std`'s hashers are not.
pub(super) fn fnv1a(parts: &[&str]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(task: &str) -> (AppId, TaskId) {
        ("2048-ubuntu".parse().unwrap(), task.parse().unwrap())
    }

    #[test]
    fn names_look_like_abcdesktops() {
        let (app, task) = ids("2048-ubuntu-0a1b2");
        assert_eq!(pod_name("anna-desktop", &app, &task, 1), "anna-desktop-app-2048-ubuntu-0a1b2");
        assert_eq!(container_name("2048 Qt", &app, &task, 1), "2048-qt-2048-ubuntu-0a1b2");
        assert_eq!(container_name("2048-Ubuntu", &app, &task, 1), "2048-ubuntu-0a1b2");
        assert_eq!(pod_name("balloon", &app, &task, 1), "balloon-app-2048-ubuntu-0a1b2");
        assert_eq!(container_name("balloon", &app, &task, 1), "balloon-2048-ubuntu-0a1b2");
        assert!(pull_pod_name("registry:5000/a/b:1.2", None).starts_with("pull-b-1-2-"));
    }

    #[test]
    fn each_run_has_a_name_of_its_own_and_a_repeated_request_the_same() {
        let (app, task) = ids("2048-ubuntu-0a1b2");
        let names: std::collections::BTreeSet<_> =
            (1..100).map(|run| pod_name("anna", &app, &task, run)).collect();
        assert_eq!(names.len(), 99);
        assert_eq!(pod_name("anna", &app, &task, 7), pod_name("anna", &app, &task, 7));
    }

    #[test]
    fn names_that_are_no_label_values_are_cut_to_some() {
        assert_eq!(label_value("anna-desktop.7_b"), "anna-desktop.7_b");
        assert_eq!(label_value("-ä/b c."), "b-c");
        assert_eq!(label_value(&format!("{}.{}", "a".repeat(62), "b")), "a".repeat(62));
        assert_eq!(label_value(""), "");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn every_name_is_a_label_whatever_the_display_name(stem in ".{0,90}", run in 0u32..4) {
            let (app, task) = ids("2048-ubuntu-0a1b2");
            for name in [pod_name(&stem, &app, &task, run), container_name(&stem, &app, &task, run)] {
                prop_assert!(name.parse::<TaskId>().is_ok(), "{}", name);
                prop_assert!(!name.starts_with(['x', 'o']), "{}", name);
            }
        }
    }
}
