//! The programs of the tortured desktop, as configuration and, for the writer, as code.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::kube_desk::document;
use crate::support::wait::pause;

/// The argument that makes this binary a writer.
pub const WRITE: &str = "--write";

/// Applications by name: what a user starts.
pub fn configuration(this: &Path) -> String {
    let this = this.display();
    // `bomb` has room for 150 processes of all of its user; the rest of the desktop is below that.
    format!(
        r#"
[log_store]
task_limit = "8 MiB"
total_limit = "64 MiB"
[stop]
close_windows = "300ms"
term = "500ms"
[app.writer]
needs_display = false
command = ["{this}", "{WRITE}"]
[app.short]
needs_display = false
command = ["sh", "-c", "echo done $1; exit $2", "sh"]
[app.stubborn]
needs_display = false
command = ["sh", "-c", "trap '' TERM; (trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 7000 & wait' $1 &) & while :; do sleep 1000; done", "sh"]
[app.flood]
needs_display = false
command = ["sh", "-c", "exec yes a flood of $1", "sh"]
[app.bomb]
needs_display = false
command = ["sh", "-c", "b() {{ b | b & }}; b $1; sleep 3", "sh"]
rlimits = {{ processes = 150 }}
[app.clock]
command = ["xclock", "-name"]
"#
    )
}

/// An application in a pod, which no node runs: an object, and what deskd says of it.
pub fn pod() -> Value {
    document("pod", Some("pod_application"), &json!({}))
}

/// Writes numbered lines for ever, each with one write(2), which a pipe keeps whole.
pub fn write(token: &str, pause_us: u64) {
    let mut out = std::io::stdout().lock();
    for number in 0u64.. {
        let line = format!("{token} {number}\n");
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            // Whoever reads the log sees that lines are missing; a writer without a reader is a defect.
            std::process::exit(99);
        }
        pause(Duration::from_micros(pause_us));
    }
}
