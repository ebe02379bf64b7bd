//! Texts of `/proc`, which programs can put their names into: the same bytes as each of them.

use deskd_keeper::procfs::sockets::{tcp_listeners, unix_listeners};
use deskd_keeper::procfs::{ProcessStat, env_value, limits};

pub fn run(data: &[u8]) {
    let value = env_value(data, "DESKD_TASK_ID");
    assert!(value.is_none_or(|value| !value.contains(&0)));
    let text = String::from_utf8_lossy(data);
    if let Some(stat) = ProcessStat::parse(&text) {
        // As the kernel writes it.
        let ProcessStat { pid, comm, state, ppid, session, threads, start_ticks } = &stat;
        let written = format!(
            "{pid} ({comm}) {state} {ppid} 0 {session} 0 0 0 0 0 0 0 0 0 0 0 0 0 {threads} 0 {start_ticks}\n"
        );
        assert_eq!(ProcessStat::parse(&written).as_ref(), Some(&stat), "{written}");
    }
    let _ = limits(&text, "Max open files");
    assert!(tcp_listeners(&text).count() < text.lines().count().max(1));
    assert!(unix_listeners(&text).all(|name| !name.is_empty() && !name.contains('\n')));
}
