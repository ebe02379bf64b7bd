//! Giving back memory that is only needed now and then, and huge pages for what is large.
//!
//! The kernel maps 64 KiB of a program around each page that is touched, and it all counts as the
//! process's memory from then on: in the keeper, after reading arguments and configuration, 2.3 of
//! 2.7 MB PSS (measured). So when it is quiet again (the keeper: after a start, a request or an end;
//! the daemon: after its start) code and constants are unmapped; what is used next is mapped again
//! from the page cache, which costs that next use some tens of page faults.

#![expect(unsafe_code, reason = "madvise(2) on the process's own memory, malloc_trim(3)")]

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};

/// Unmaps the code and constants of the program and its libraries until they are used again, and
/// returns freed memory to the kernel. Failing changes nothing.
pub fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it only returns memory that malloc holds and nobody uses.
    unsafe {
        nix::libc::malloc_trim(0);
    }
    let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else { return };
    for range in unchanged_file_mappings(&smaps) {
        let Some(start) = NonNull::new(range.start as *mut c_void) else { continue };
        // SAFETY: a mapping of a file that cannot be written to and has no page of its own
        // (`Anonymous: 0`) has no content but the file's: each page is read again from there when
        // it is touched.
        let _ = unsafe { madvise(start, range.end - range.start, MmapAdvise::MADV_DONTNEED) };
    }
}

/// Pages whose borders `madvise` takes, in bytes: no smaller ones are in use anywhere.
const PAGE_BYTES: usize = 64 << 10;

/// Asks for huge pages for the room that a large buffer has left: 10 MB are then there after five
/// page faults instead of 2,400, which cost as much as looking at every byte. Failing changes
/// nothing.
pub fn prefer_huge_pages(buffer: &mut Vec<u8>) {
    let room = buffer.spare_capacity_mut();
    let skipped = room.as_ptr().align_offset(PAGE_BYTES);
    let bytes = room.len().saturating_sub(skipped) & !(PAGE_BYTES - 1);
    let Some(whole) = room.get_mut(skipped..skipped.saturating_add(bytes)) else { return };
    // SAFETY: the pages are the buffer's own, whole and exclusively borrowed; the advice changes
    // none of their content.
    let _ =
        unsafe { madvise(NonNull::from(whole).cast::<c_void>(), bytes, MmapAdvise::MADV_HUGEPAGE) };
}

/// Read-only mappings of files in the text of `/proc/PID/smaps`, without those that were written to
/// (relocated) before they became read-only.
fn unchanged_file_mappings(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        match line.strip_prefix("Anonymous:") {
            Some(amount) if amount.trim() == "0 kB" => found.extend(candidate.take()),
            Some(_) => candidate = None,
            None => {
                if let Some(header) = header(line) {
                    candidate = header;
                }
            }
        }
    }
    found
}

/// The address range a mapping's first line begins with, if the mapping is a candidate; nothing for
/// other lines.
fn header(line: &str) -> Option<Option<Range<usize>>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    let read_only = matches!(fields.next()?, "r-xp" | "r--p");
    let of_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
    Some((read_only && of_file).then_some(range))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_unchanged_read_only_mappings_of_files_are_given_back() {
        let smaps = "\
1000-2000 r--p 00000000 fe:00 99 /usr/bin/deskd
Size:                  4 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
2000-3000 r-xp 0013e000 fe:00 99 /usr/bin/deskd
Anonymous:             0 kB
3000-4000 r--p 0063a000 fe:00 99 /usr/bin/deskd
Anonymous:             4 kB
4000-5000 rw-p 0063a000 fe:00 99 /usr/bin/deskd
Anonymous:             0 kB
5000-6000 rw-p 00000000 00:00 0  [heap]
Anonymous:             0 kB
6000-7000 r-xp 00000000 00:00 0  [vdso]
Anonymous:             0 kB
7000-8000 rwxp 00000000 fe:00 7  /tmp/jit
Anonymous:             0 kB
8000-9000 r-xp 00000000 00:00 0
Anonymous:             0 kB
";
        assert_eq!(unchanged_file_mappings(smaps), [0x1000..0x2000, 0x2000..0x3000]);
    }

    #[test]
    fn the_program_goes_on_afterwards() {
        let before = format!("{:?}", std::env::args().collect::<Vec<_>>());
        release();
        assert_eq!(before, format!("{:?}", std::env::args().collect::<Vec<_>>()));
    }

    #[test]
    fn a_buffer_with_huge_pages_holds_what_is_written_to_it() {
        for bytes in [0, 1, PAGE_BYTES, (5 << 20) + 7] {
            let mut buffer = Vec::with_capacity(bytes);
            prefer_huge_pages(&mut buffer);
            buffer.resize(bytes, 7);
            assert!(buffer.len() == bytes && buffer.iter().all(|byte| *byte == 7));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn no_text_panics(lines in prop::collection::vec("[0-9a-f]{0,17}[- ][0-9a-f]{0,17} r.xp.{0,30}|Anonymous: .{0,5}|.{0,40}", 0..12)) {
            let _ = unchanged_file_mappings(&lines.join("\n"));
        }
    }
}
