//! `/dev/shm` of an application in a container. It has nothing to do with MIT-SHM (System V segments
//! are no files); browsers keep their pages in it.

use serde_json::json;

use super::facts::{OwnPod, VolumeMount};
use super::volumes::Shared;
use crate::app::container::ContainerApp;
use crate::text;
use crate::text::Text;

/// Where it is.
const DEV_SHM: &str = "/dev/shm";
/// Its volume's name in an application pod, as in abcdesktop's desktop pod.
const VOLUME: &str = "shm";
/// What container runtimes give where no volume is mounted (containerd, `pkg/oci/mounts.go`).
const RUNTIME_DEFAULT: &str = "64Mi";

impl Shared {
    /// The size that the document asks for, else the one that the desktop's own pod gives its
    /// containers: an application is used to it. Without either the runtime's default stays.
    pub(super) fn dev_shm(&mut self, container: &ContainerApp, pod: &OwnPod) {
        let taken = |mount: &VolumeMount| mount.path.trim_end_matches('/') == DEV_SHM;
        if self.mounts.iter().any(|mount| taken(mount) || mount.name == VOLUME) {
            return;
        }
        let asked = container.host_config.shm_bytes.map(size_text);
        if let Some(size) = &asked {
            self.notes.push(text!("its /dev/shm has {size} (oc.host_config shm_size)", size));
        }
        let Some(size) = asked.or_else(|| desktop_s(pod)) else { return };
        let source = json!({ "medium": "Memory", "sizeLimit": size });
        self.volumes.push(json!({ "name": VOLUME, "emptyDir": source }));
        let (name, path) = (VOLUME.to_owned(), DEV_SHM.to_owned());
        self.mounts.push(VolumeMount { name, path, read_only: false });
    }
}

/// The limit of the memory volume that the desktop's containers have there.
fn desktop_s(pod: &OwnPod) -> Option<String> {
    let mounted = pod.mounts.iter().find(|mount| mount.path.trim_end_matches('/') == DEV_SHM);
    let name = mounted.map_or(VOLUME, |mount| &mount.name);
    let limit = pod.volumes.get(name)?.pointer("/emptyDir/sizeLimit")?;
    limit.as_str().map(ToOwned::to_owned).or_else(|| limit.as_u64().map(size_text))
}

/// An ephemeral container has the pod's `/dev/shm`, whatever its document asks for.
pub(super) fn ephemeral_note(container: &ContainerApp, pod: &OwnPod) -> Option<Text> {
    let asked = size_text(container.host_config.shm_bytes?);
    let has = desktop_s(pod).unwrap_or_else(|| RUNTIME_DEFAULT.to_owned());
    Some(text!(
        "oc.host_config asks for a /dev/shm of {asked} (shm_size), but an ephemeral container uses \
         the desktop pod's /dev/shm, which has {has}",
        asked,
        has
    ))
}

/// A number of bytes as a Kubernetes quantity, as short as it can be exactly.
pub(super) fn size_text(bytes: u64) -> String {
    for (unit, shift) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}
