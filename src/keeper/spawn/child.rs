//! clone and what the child does until its program runs.
//!
//! The child shares the keeper's memory, so it must not allocate, lock, panic or return: it makes
//! system calls on values that were prepared, and where one fails it writes down which and why.

#![expect(unsafe_code, reason = "clone(2) with a shared memory, and system calls in the child")]

use std::ffi::CString;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use nix::errno::Errno;
use nix::libc::{self, c_char, c_int};
use nix::sched::CloneFlags;
use nix::sys::resource::Resource;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::board::Slot;
use super::command::{Command, Limit};
use crate::clock::monotonic_ns;
use crate::wall;

/// Signals there are (`_NSIG` of every Linux architecture but MIPS).
const SIGNALS_MAX: c_int = 64;
/// At least the size of the kernel's `struct sigaction` (four words).
const KERNEL_SIGACTION_WORDS: usize = 8;

/// Of a stack, in bytes, on every architecture.
const STACK_ALIGNMENT: usize = 16;

/// A step between clone and the program's first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    Clone,
    Session,
    Stdio,
    Directory,
    Nice,
    Limit,
    Wall,
    Exec,
}

/// Steps by their number, for what the child wrote down.
const STEPS: [Step; 8] = [
    Step::Clone,
    Step::Session,
    Step::Stdio,
    Step::Directory,
    Step::Nice,
    Step::Limit,
    Step::Wall,
    Step::Exec,
];

/// Which step failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: i32,
    /// Which limit or which candidate.
    pub(super) index: usize,
}

/// Pointers for execve and the rest, all into a [`Command`] that outlives the child's use of it.
struct Prepared<'a> {
    command: &'a Command,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    /// What becomes descriptors 0, 1, 2, ...
    files: &'a [RawFd],
    inherited: Inherited,
    /// What the child writes and the parent reads.
    slot: &'a Slot,
}

/// What the keeper has otherwise than its applications shall.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inherited {
    /// RLIMIT_NOFILE as the keeper was started with, soft and hard.
    pub(super) open_files: (u64, u64),
    /// The signals it ignores, signal 1 in the lowest bit. execve(2) resets handlers by itself.
    pub(super) ignored_signals: u64,
}

/// Starts `command`, as a child of this process or (`CLONE_PARENT`) of its parent. When this returns a
/// pid, its program runs (or was killed while loading). How far it is, is noted in `slot`.
pub(super) fn start(
    command: &Command,
    files: &[RawFd],
    inherited: Inherited,
    parent: CloneFlags,
    stack: &mut [u8],
    slot: &Slot,
) -> Result<u32, Failure> {
    let prepared = Prepared {
        command,
        argv: pointers(&command.argv),
        env: pointers(&command.env),
        files,
        inherited,
        slot,
    };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
    let flags = flags | parent.bits();
    // SAFETY: CLONE_VFORK suspends this thread until the child has executed its program or exited, so
    // nothing the child borrows changes or goes away meanwhile; the child runs `run`, which only makes
    // system calls and never returns to the caller's frames; it has its own stack, of which this is the
    // aligned end. The kernel writes the pid before the child runs.
    let pid = unsafe {
        let end = stack.as_mut_ptr_range().end;
        let end = end.sub(end.addr() % STACK_ALIGNMENT);
        let argument = ptr::from_ref(&prepared).cast_mut().cast();
        libc::clone(in_child, end.cast(), flags, argument, slot.pid.as_ptr())
    };
    if pid < 0 {
        return Err(Failure { step: Step::Clone, errno: Errno::last_raw(), index: 0 });
    }
    let errno = slot.errno.load(SeqCst);
    if errno == 0 {
        return Ok(pid.unsigned_abs());
    }
    // It has exited or is about to: take it away before anybody sees it, if it is this process's child.
    let _ = waitpid(Pid::from_raw(pid), None);
    let step = STEPS.get(slot.step.load(Relaxed) as usize).copied().unwrap_or(Step::Clone);
    Err(Failure { step, errno, index: slot.index.load(Relaxed) as usize })
}

/// The child.
extern "C" fn in_child(prepared: *mut libc::c_void) -> c_int {
    // SAFETY: the parent's, which waits meanwhile.
    let prepared = unsafe { &*prepared.cast::<Prepared<'_>>() };
    let (step, index) = run(prepared);
    let errno = Errno::last_raw();
    prepared.slot.step.store(step as u32, Relaxed);
    prepared.slot.index.store(index as u32, Relaxed);
    prepared.slot.errno.store(errno, SeqCst);
    // SAFETY: _exit(2) ends the child without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// In the child. Returns only on failure: the step and which of its items; errno says why.
fn run(prepared: &Prepared<'_>) -> (Step, usize) {
    let command = prepared.command;
    // SAFETY: system calls with valid pointers into `prepared`, in the child's own process state
    // (session, descriptors, directory, limits, signals are not shared with the parent: neither
    // CLONE_FILES, CLONE_FS nor CLONE_SIGHAND was given).
    unsafe {
        if libc::setsid() < 0 {
            return (Step::Session, 0);
        }
        for (target, &fd) in (0..).zip(prepared.files) {
            // dup2 of a descriptor onto itself would leave it close-on-exec.
            let done = if fd == target {
                libc::fcntl(fd, libc::F_SETFD, 0)
            } else {
                libc::dup2(fd, target)
            };
            if done < 0 {
                return (Step::Stdio, 0);
            }
        }
        // Everything of the keeper's is close-on-exec already; what it inherited may not be.
        // Kernels before 5.11 do not know the flag, and then there is nothing to do about it.
        let first = prepared.files.len() as u32;
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        if let Some(cwd) = &command.cwd
            && libc::chdir(cwd.as_ptr()) < 0
        {
            return (Step::Directory, 0);
        }
        if let Some(umask) = command.umask {
            libc::umask(umask as libc::mode_t);
        }
        if let Some(nice) = command.nice
            && libc::setpriority(libc::PRIO_PROCESS, 0, nice) < 0
        {
            return (Step::Nice, 0);
        }
        let (soft, hard) = prepared.inherited.open_files;
        set_limit(Resource::RLIMIT_NOFILE as u32, soft, hard);
        for (index, Limit { resource, value, optional, .. }) in command.limits.iter().enumerate() {
            if !set_limit(*resource, *value, *value) && !optional {
                return (Step::Limit, index);
            }
        }
        reset_signals(prepared.inherited.ignored_signals);
        if let Some(inner) = command.wall {
            if let Some(ruleset) = inner.ruleset
                && !wall::restrict_self(ruleset)
            {
                return (Step::Wall, 0);
            }
            // The mark was made above.
            wall::pin_limits();
        }
        prepared.slot.executing.store(monotonic_ns(), Relaxed);
        exec(prepared)
    }
}

/// Ignores no signal and blocks none, as a program expects to be started.
unsafe fn reset_signals(ignored: u64) {
    // rt_sigaction(2) itself: the libcs refuse to touch signals 32 and 33, which may have been
    // inherited as ignored like any other.
    let default = [0_u64; KERNEL_SIGACTION_WORDS];
    let none = 0_u64;
    // SAFETY: all zeros is SIG_DFL, no flags, no restorer, an empty mask, in whatever order an
    // architecture has them; a kernel signal set is 64 bits; old values are not asked for.
    unsafe {
        for signal in (1..=SIGNALS_MAX).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                size_of::<u64>(),
            );
        }
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        );
    }
}

/// execvp(3) without its shell: the next candidate follows only where there was no such file.
unsafe fn exec(prepared: &Prepared<'_>) -> (Step, usize) {
    let mut forbidden = None;
    let mut last = 0;
    for (index, file) in prepared.command.candidates.iter().enumerate() {
        // SAFETY: NUL-terminated strings and null-terminated arrays that outlive the call.
        unsafe {
            libc::execve(file.as_ptr(), prepared.argv.as_ptr(), prepared.env.as_ptr());
        }
        last = index;
        match Errno::last() {
            Errno::EACCES => {
                forbidden.get_or_insert(index);
            }
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
            _ => return (Step::Exec, index),
        }
    }
    if let Some(index) = forbidden {
        Errno::EACCES.set();
        return (Step::Exec, index);
    }
    if prepared.command.candidates.len() > 1 {
        Errno::ENOENT.set();
    }
    (Step::Exec, last)
}

/// prlimit64(2) itself: its resource numbers have one type whatever the libc.
unsafe fn set_limit(resource: u32, soft: u64, hard: u64) -> bool {
    let limit = [soft, hard];
    let none = ptr::null_mut::<u64>();
    // SAFETY: `struct rlimit64` is two 64-bit numbers; the old value is not asked for.
    unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, limit.as_ptr(), none) == 0 }
}
