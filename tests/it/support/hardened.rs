//! The desktop pod as stricter clusters want it.

/// A user of the range that OpenShift gives to a namespace; its group is 0.
pub(crate) const ANY_USER: u32 = 1_000_650_000;

/// What differs from `container/pod.yaml`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// The pod's user; absent: the manifest names none, and the cluster gives one (OpenShift).
    pub(crate) uid: Option<u32>,
    /// `hostUsers: false`.
    pub(crate) user_namespace: bool,
}

/// Those that an API server can judge.
pub(crate) const VARIANTS: [Variant; 4] = [
    Variant { name: "plain", uid: Some(4096), user_namespace: false },
    Variant { name: "any-user", uid: Some(ANY_USER), user_namespace: false },
    Variant { name: "no-user", uid: None, user_namespace: false },
    Variant { name: "user-namespace", uid: Some(4096), user_namespace: true },
];

/// The manifest so.
pub(crate) fn edited(manifest: &str, variant: Variant) -> String {
    let (uid, gid) = ("runAsUser: 4096\n", "    runAsGroup: 4096\n    fsGroup: 4096\n");
    assert!(manifest.contains(uid) && manifest.contains(gid), "container/pod.yaml has changed");
    let manifest = match variant.uid {
        Some(4096) => manifest.to_owned(),
        Some(other) => manifest
            .replace(uid, &format!("runAsUser: {other}\n"))
            .replace(gid, &format!("    runAsGroup: 0\n    fsGroup: {other}\n")),
        None => manifest.replace(&format!("    {uid}"), "").replace(gid, ""),
    };
    if !variant.user_namespace {
        return manifest;
    }
    let spec = "\nspec:\n";
    assert_eq!(manifest.matches(spec).count(), 1);
    manifest.replace(spec, &format!("{spec}  hostUsers: false\n"))
}
