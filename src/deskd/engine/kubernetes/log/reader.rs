//! Follows `pods/log` of one run until it has all of it.
//!
//! A stream ends with its container, but also when kubelet rotates the file, when the API server
//! restarts, and when the network breaks. So only a stream that was asked for after the container's
//! end was known, and that ended properly, is the last one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::lines::Lines;
use crate::engine::keeper::LogQueue;
use crate::engine::kubernetes::LogMark;
use crate::engine::kubernetes::api::{Api, ApiError, Ask};
use crate::engine::kubernetes::backoff::Pauses;
use crate::engine::kubernetes::calls::Verb;
use crate::engine::kubernetes::runs::Fate;
use deskd_core::id::TaskId;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::wire::{APPEND_BYTES_MAX, LogLine};

/// Bytes that are gathered while more is ready.
const GATHER_BYTES_MAX: usize = 64 << 10;
/// What a line adds to its bytes in a message.
const LINE_BYTES_MORE: usize = 80;
/// How long the last lines of an ended container are tried for.
const LAST_LINES_WAIT: Duration = Duration::from_secs(60);
/// How long an open stream of an ended container may stay silent: its connection may be dead.
const SILENCE_AFTER_END: Duration = Duration::from_secs(5);

/// Reads the output of one run.
#[derive(Debug)]
pub struct Reader {
    /// The way.
    pub api: Arc<Api>,
    /// Where lines go.
    pub queue: LogQueue,
    /// Whose.
    pub task: TaskId,
    /// Where it is.
    pub object: ObjectRef,
    /// What becomes of the container.
    pub fate: watch::Receiver<Fate>,
}

/// How a stream ended.
enum End {
    /// As it should.
    Proper,
    /// The keeper is gone, and deskd with it.
    Unheard,
    /// It broke, or never began.
    Broken(ApiError),
}

impl Reader {
    /// Reads everything after `mark`, closes the log, and says what could not be read.
    pub async fn run(mut self, mark: LogMark) -> Option<String> {
        let mut lines = Lines::new(mark);
        let trouble = self.read(&mut lines).await;
        let mut rest = Vec::new();
        lines.finish(&mut rest);
        // Without a keeper there is nobody to miss them.
        if self.store(rest).await {
            self.queue.close(self.task.clone()).await;
        }
        trouble
    }

    async fn read(&mut self, lines: &mut Lines) -> Option<String> {
        let mut pauses = Pauses::default();
        let mut give_up_at: Option<Instant> = None;
        let mut has_read = false;
        loop {
            let fate = *self.fate.borrow_and_update();
            let end = self.stream(lines).await;
            let trouble = match end {
                End::Unheard => return None,
                // Everything was read before: kubelet has removed the container since.
                End::Proper if fate >= Fate::Ended && has_read => return None,
                End::Proper if fate >= Fate::Ended => return lines.words(),
                End::Proper => {
                    has_read = true;
                    None
                }
                End::Broken(error) if fate == Fate::Gone || error.code() == Some(404) => {
                    let gone = *self.fate.borrow() == Fate::Gone;
                    if gone && has_read {
                        return None;
                    }
                    if gone {
                        return Some(self.not_read("its pod is gone"));
                    }
                    Some(error)
                }
                End::Broken(error) => Some(error),
            };
            // kubelet has not seen that it runs: its first line is not to wait long after.
            if trouble.as_ref().and_then(ApiError::code) == Some(400) && fate == Fate::Runs {
                pauses.reset();
            }
            if fate >= Fate::Ended {
                let at = *give_up_at.get_or_insert_with(|| Instant::now() + LAST_LINES_WAIT);
                if Instant::now() >= at {
                    let why = trouble.map_or_else(String::new, |error| error.to_string());
                    return Some(self.not_read(&why));
                }
            }
            self.wait(&mut pauses, fate).await;
        }
    }

    fn not_read(&self, why: &str) -> String {
        let ObjectRef { namespace, pod, container } = &self.object;
        format!(
            "the last output of the container {container} of the pod {pod} in {namespace} could \
             not be read: {why}"
        )
    }

    /// Until a try makes sense again.
    async fn wait(&mut self, pauses: &mut Pauses, fate: Fate) {
        let changed = async {
            if self.fate.wait_for(|now| *now != fate).await.is_err() {
                // Nobody follows the run any more; this task is about to be ended.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = pauses.pause() => return,
            () = changed => {}
        }
        pauses.reset();
    }

    async fn stream(&mut self, lines: &mut Lines) -> End {
        let ObjectRef { namespace, pod, container } = &self.object;
        let since = lines.begin().map_or_else(String::new, |at| format!("&sinceTime={at}"));
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&follow=true\
             &timestamps=true{since}"
        );
        let ask = Ask { verb: Verb::Get, resource: "pods/log", path, body: None };
        let mut chunks = match self.api.stream(ask).await {
            Ok(chunks) => chunks,
            Err(error) => return End::Broken(error),
        };
        let mut fate = self.fate.clone();
        loop {
            let mut next = tokio::select! {
                next = chunks.next() => next,
                () = silence_after_end(&mut fate) => {
                    let why = "the stream stayed open and silent after the end".to_owned();
                    return End::Broken(ApiError::Lost(why));
                }
            };
            let mut out = Vec::new();
            let mut gathered = 0;
            // Everything that is there goes together; a line does not wait for another.
            let end = loop {
                match next {
                    Ok(Some(bytes)) => {
                        gathered += bytes.len();
                        lines.push(&bytes, &mut out);
                    }
                    Ok(None) => break Some(End::Proper),
                    Err(error) => break Some(End::Broken(error)),
                }
                if gathered >= GATHER_BYTES_MAX {
                    break None;
                }
                match chunks.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => break None,
                }
            };
            if !self.store(out).await {
                return End::Unheard;
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// False when the keeper is gone.
    async fn store(&self, lines: Vec<LogLine>) -> bool {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for line in lines {
            let more = line.bytes.len() + LINE_BYTES_MORE;
            if bytes + more > APPEND_BYTES_MAX && !batch.is_empty() {
                if !self.queue.append(self.task.clone(), std::mem::take(&mut batch)).await {
                    return false;
                }
                bytes = 0;
            }
            bytes += more;
            batch.push(line);
        }
        batch.is_empty() || self.queue.append(self.task.clone(), batch).await
    }
}

async fn silence_after_end(fate: &mut watch::Receiver<Fate>) {
    if fate.wait_for(|fate| *fate >= Fate::Ended).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(SILENCE_AFTER_END).await;
}

#[cfg(test)]
mod tests;
