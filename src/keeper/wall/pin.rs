//! A filter of system calls about limits. A program cannot set the two limits that are its mark
//! ([`crate::tree`]): they mean nothing to the kernel (both did something in Linux 2.4), so nothing else
//! is lost. And it cannot set any limit of another process: Landlock does not keep prlimit(2) from
//! processes of the same user, and a keeper with a second of CPU time, or without room for files, dies.

#![expect(unsafe_code, reason = "seccomp(2)")]

use nix::libc::{self, sock_filter, sock_fprog};

use crate::tree::MARK_LIMITS;

/// x32 calls are x86-64's with this bit, which is masked.
const X32_BIT: u32 = 0x4000_0000;

// Offsets into `struct seccomp_data`; both architectures are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// Low half of argument `n`, and of the next word its high half.
const fn argument(n: u32) -> u32 {
    16 + 8 * n
}

/// An architecture (`AUDIT_ARCH_*` of `linux/audit.h`) and its numbers of setrlimit and prlimit64.
struct Calls {
    architecture: u32,
    setrlimit: u32,
    prlimit64: u32,
}

#[cfg(target_arch = "x86_64")]
const CALLS: [Calls; 2] = [
    Calls { architecture: 0xc000_003e, setrlimit: 160, prlimit64: 302 },
    // i386
    Calls { architecture: 0x4000_0003, setrlimit: 75, prlimit64: 340 },
];
#[cfg(target_arch = "aarch64")]
const CALLS: [Calls; 2] = [
    Calls { architecture: 0xc000_00b7, setrlimit: 164, prlimit64: 261 },
    // arm
    Calls { architecture: 0x4000_0028, setrlimit: 75, prlimit64: 369 },
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CALLS: [Calls; 0] = [];

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const PERMIT: sock_filter = op(RETURN, libc::SECCOMP_RET_ALLOW);
const REFUSE: sock_filter = op(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
const BLOCK: usize = 19;
const LENGTH: usize = CALLS.len() * BLOCK + 1;

const fn op(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Goes on `jt` instructions further if equal, else `jf`.
const fn jump(k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: IF_EQUAL, jt, jf, k }
}

const fn block(calls: &Calls) -> [sock_filter; BLOCK] {
    let [rss, locks] = MARK_LIMITS;
    [
        op(LOAD, ARCHITECTURE),
        jump(calls.architecture, 0, 17),
        op(LOAD, NUMBER),
        op(AND, !X32_BIT),
        jump(calls.setrlimit, 9, 0),
        jump(calls.prlimit64, 0, 11),
        // prlimit64 of an absent new limit only asks.
        op(LOAD, argument(2)),
        jump(0, 0, 2),
        op(LOAD, argument(2) + 4),
        jump(0, 7, 0),
        // 0 is the caller; whose another number is no filter can tell.
        op(LOAD, argument(0)),
        jump(0, 0, 6),
        op(LOAD, argument(1)),
        op(JUMP, 1),
        op(LOAD, argument(0)),
        jump(rss as u32, 2, 0),
        jump(locks as u32, 1, 0),
        PERMIT,
        REFUSE,
    ]
}

const fn filter() -> [sock_filter; LENGTH] {
    let mut all = [PERMIT; LENGTH];
    let mut at = 0;
    while at < CALLS.len() {
        let block = block(&CALLS[at]);
        let mut next = 0;
        while next < BLOCK {
            all[at * BLOCK + next] = block[next];
            next += 1;
        }
        at += 1;
    }
    all
}

static FILTER: [sock_filter; LENGTH] = filter();

/// Sets the filter for this thread and what it will start; needs no_new_privs. Only a system call: a
/// child that borrows its parent's memory may make it. A kernel without filters has none, and then a
/// mark can be lost, but still not be taken for another.
pub(crate) fn pin_limits() {
    let program = sock_fprog { len: LENGTH as u16, filter: FILTER.as_ptr().cast_mut() };
    let no_flags = 0;
    // SAFETY: the kernel reads `len` instructions, which are there for good.
    unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            no_flags,
            &raw const program,
        );
    }
}
