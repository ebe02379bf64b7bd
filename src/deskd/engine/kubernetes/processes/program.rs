//! The program that an image's entry point starts: images of abcdesktop end in `PROGRAM | tee LOG`,
//! so the exit code of the container is that of `tee`, and a crash looks like success.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::exit::ExitWatch;
use deskd_keeper::procfs;

/// How long a program is looked for: an entry point may have a lot to do before.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// How long it is looked for often: a program that crashes at once lives for milliseconds.
const LOOK_OFTEN: Duration = Duration::from_secs(5);
/// Pauses between two looks.
const LOOK_PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// Waits until the container with the first process `first` runs `program`; nothing when it never
/// does. On a thread of its own: the kernel lets whoever reads the arguments of a process wait for
/// what that process waits for, such as a slow disk.
pub async fn find(first: u32, program: &str) -> Option<ExitWatch> {
    let program = program.to_owned();
    let search = tokio::task::spawn_blocking(move || search(first, &program));
    search.await.ok().flatten().and_then(ExitWatch::of)
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells of another process's children: they are looked for, for a bounded time"
)]
fn search(first: u32, program: &str) -> Option<OwnedFd> {
    let began = Instant::now();
    while began.elapsed() < LOOK_MAX && procfs::read_stat(first).is_some_and(|stat| stat.is_alive())
    {
        if let Some(pidfd) = procfs::find_program(first, program).and_then(procfs::pidfd) {
            return Some(pidfd);
        }
        let often = began.elapsed() < LOOK_OFTEN;
        std::thread::sleep(LOOK_PAUSES[usize::from(!often)]);
    }
    None
}
