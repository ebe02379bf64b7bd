//! How full a file system is, statvfs(3).

use nix::sys::statvfs::statvfs;

use deskd_core::why::evidence::Usage;

/// Size and use of the file system that `path` is on, in bytes; nothing where there is none.
#[must_use]
pub fn file_system_usage(path: &str) -> Option<Usage> {
    let found = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    let size = bytes(found.blocks());
    Some(Usage { size, used: size.saturating_sub(bytes(found.blocks_free())) })
}
