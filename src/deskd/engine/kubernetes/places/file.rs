//! What a daemon remembers of places: without their keys nobody would be let in after a restart.
//!
//! Written before a place is asked for, so that no container exists whose key is lost. A file of mode
//! 0600 in the state directory; a damaged one is a place less, not a daemon less.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use deskd_core::id::TaskId;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::place::{Last, PlaceSpec};
use deskd_core::wire::proof::Key;
use deskd_keeper::files;

/// Its name in the state directory.
pub const NAME: &str = "places.json";
/// Largest file that is written and believed, in bytes.
const BYTES_MAX: u64 = 16 << 20;

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its name.
    pub id: TaskId,
    /// Its container.
    pub container: String,
    /// What it is.
    pub spec: PlaceSpec,
    /// Shared with its keeper.
    pub key: Key,
    /// The desktop's pod: a state directory may outlive it.
    pub pod: String,
    /// The pod that it is; absent: it is a container of the desktop's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// Its keeper answered once.
    #[serde(default)]
    pub answered: bool,
    /// It was made before anybody asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
    /// The last run that was launched there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
}

/// The places of the pod with this uid.
pub fn read(path: &Path, pod: &str) -> Vec<Remembered> {
    let read = match files::read_within(path, BYTES_MAX) {
        Ok(bytes) => serde_json::from_slice::<Vec<Remembered>>(&bytes).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => Err(error),
    };
    let mut places = read.unwrap_or_else(|error| {
        tracing::warn!(%error, "places of an earlier daemon are lost: {}", path.display());
        Vec::new()
    });
    places.retain(|place| place.pod == pod);
    places
}

/// Replaces the file.
///
/// # Errors
/// It cannot be written: nothing is to be made that is not remembered.
pub fn write(path: &Path, places: &[Remembered]) -> io::Result<()> {
    let bytes = serde_json::to_vec(places)?;
    if bytes.len() as u64 > BYTES_MAX {
        // It would not be read, and then all places would be lost.
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let temporary = path.with_extension("tmp");
    files::clear(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    files::replace(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn places_are_remembered_by_the_pod_that_they_are_in_and_nobody_else_reads_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        assert_eq!(read(&path, "u"), []);
        let spec = serde_json::json!({
            "image": "a", "pull_policy": "IfNotPresent", "run_as": { "uid": 1, "gid": 1, "groups": [] },
            "mounts": [], "fields": [],
            "keeper": { "mount": { "name": "d", "path": "/d", "read_only": true }, "path": "/d/k" },
        });
        let place = Remembered {
            id: "place-0a1b2".parse().unwrap(),
            container: "deskd-place-0a1b2".into(),
            spec: serde_json::from_value(spec).unwrap(),
            key: Key::new([7; 32]),
            pod: "u".into(),
            object: None,
            answered: true,
            unasked: true,
            last: None,
        };
        let other = Remembered { pod: "v".into(), ..place.clone() };
        write(&path, &[place.clone(), other]).unwrap();
        assert_eq!(read(&path, "u"), std::slice::from_ref(&place));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "[{").unwrap();
        assert_eq!(read(&path, "u"), []);
        // What cannot be read back is not written: documents decide how much a place is.
        let of_bytes = |bytes: usize| {
            let spec = PlaceSpec { image: "x".repeat(bytes), ..place.spec.clone() };
            Remembered { spec, ..place.clone() }
        };
        write(&path, &[of_bytes(3 << 20)]).unwrap();
        assert_eq!(read(&path, "u").len(), 1);
        let error = write(&path, &[of_bytes(17 << 20)]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&path, "u").len(), 1);
    }
}
