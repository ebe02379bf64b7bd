//! A task's log as server-sent events, resumable by cursor.
//!
//! A follower reads, sends, and waits for the log to grow. It reads the next chunk only when the
//! connection took the last one, so a slow reader slows nobody but itself: the application writes
//! to the keeper, the keeper to files, and the files wait.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::error::{ApiError, ErrorBody};
use super::extract::{Path, Query, task_id};
use super::fan_out::{Feed, pause};
use super::guard::Peer;
use super::limits::KEEP_ALIVE_S;
use super::sse;
use super::state::{ApiState, Shared};
use super::streams::StreamPermit;
use crate::supervisor::{LogFollow, Snapshot};
use deskd_core::id::TaskId;

/// How long half a character waits for its other half.
const HALF_CHARACTER_MS: u64 = 50;

/// Where to begin and whether to go on.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct StreamQuery {
    /// Cursor to begin at. `Last-Event-ID` wins over it.
    from: Option<u64>,
    /// Begin with the last lines, this many.
    tail: Option<u64>,
    /// Go on while the task runs (the default); `false` ends at what is there now.
    follow: Option<bool>,
}

/// Follow a task's log: events `lines` (data: an array of `LogLine`), `gap` and `end`.
#[utoipa::path(get, path = "/v1/tasks/{id}/log/stream", tag = "logs",
    params(("id" = String, Path, description = "Task"), StreamQuery,
           ("Last-Event-ID" = Option<u64>, Header, description = "Cursor to resume at")),
    responses((status = 200, description = "Events", body = super::encode::LogLine<'static>, content_type = "text/event-stream"),
              (status = 404, description = "Unknown task", body = ErrorBody),
              (status = 416, description = "The cursor is not one of this log", body = ErrorBody)))]
pub async fn stream_log(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let task = task_id(&id)?;
    let snapshots = state.handle.watch();
    if snapshots.borrow().task(&task).is_none() {
        return Err(ApiError::UnknownTask(id));
    }
    let permit = state.stream_permit(peer)?;
    let from = last_event_id(&headers)?.or(query.from);
    let feed = state.feeds.open(&state.handle, &task)?;
    let cursor = feed.start(from, query.tail)?;
    let growth = match query.follow {
        Some(false) => None,
        _ => Some(state.handle.follow_log(task.clone()).await?),
    };
    let until = if growth.is_none() { Some(feed.end()?) } else { None };
    let follower = Follower {
        open: state.counters.stream("log"),
        state,
        task,
        feed,
        growth,
        until,
        snapshots,
        cursor,
        hello: true,
        done: false,
        force: false,
        last_sent: None,
        _permit: permit,
    };
    Ok(sse::response(stream::unfold(follower, |mut follower| async move {
        let bytes = follower.next().await?;
        follower.state.counters.log_bytes(bytes.len());
        Some((bytes, follower))
    })))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    match text.parse() {
        Ok(cursor) => Ok(Some(cursor)),
        Err(_) => Err(ApiError::LastEventId(text.chars().take(40).collect())),
    }
}

struct Follower {
    state: Arc<Shared>,
    task: TaskId,
    feed: Arc<Feed>,
    /// Absent: ends at `until`.
    growth: Option<LogFollow>,
    until: Option<u64>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    cursor: u64,
    hello: bool,
    done: bool,
    /// Send half a character as it is.
    force: bool,
    last_sent: Option<Instant>,
    open: super::metrics::OpenStream,
    _permit: StreamPermit,
}

impl Follower {
    /// The next bytes to send; nothing at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.hello) {
            return Some(sse::HELLO);
        }
        while !self.done && !self.state.stop.is_cancelled() {
            self.pace().await;
            // Both are looked at before the read: what comes after it wakes the wait below.
            let over = self.over();
            if !over && self.has_sent_all() {
                match timeout(Duration::from_secs(KEEP_ALIVE_S), self.wait()).await {
                    Ok(()) => continue,
                    Err(_) => return Some(sse::KEEP_ALIVE),
                }
            }
            let piece = match self.feed.read(self.cursor, self.force || over) {
                Ok(piece) => piece,
                Err(error) => {
                    tracing::debug!(task = %self.task, %error, "a followed log ended early");
                    return None;
                }
            };
            self.force = false;
            if piece.next > self.cursor || !piece.bytes.is_empty() {
                self.cursor = piece.next;
                self.last_sent = Some(Instant::now());
                return Some(piece.bytes);
            }
            if over {
                self.done = true;
                let mut out = Vec::new();
                sse::event(&mut out, "end", None, &serde_json::json!({}));
                return Some(out.into());
            }
            let limit = if piece.held_back {
                Duration::from_millis(HALF_CHARACTER_MS)
            } else {
                Duration::from_secs(KEEP_ALIVE_S)
            };
            match timeout(limit, self.wait()).await {
                Ok(()) => {}
                Err(_) if piece.held_back => self.force = true,
                Err(_) => return Some(sse::KEEP_ALIVE),
            }
        }
        None
    }

    /// Whether everything was sent that the keeper told of; anything more will be told. Saves a
    /// read that finds nothing between an event and its way to the client. From here on the next
    /// word of the keeper wakes [`Self::wait`].
    fn has_sent_all(&mut self) -> bool {
        let end = self.growth.as_mut().map_or(0, |growth| *growth.borrow_and_update());
        end > 0 && self.cursor >= end
    }

    /// Nothing will be added to what is there.
    fn over(&mut self) -> bool {
        match (&self.growth, self.until) {
            (None, Some(until)) => self.cursor >= until,
            _ => {
                let snapshot = self.snapshots.borrow_and_update();
                snapshot.task(&self.task).is_none_or(|task| task.is_over())
            }
        }
    }

    /// Until the log grew, the task changed, or the daemon stops.
    async fn wait(&mut self) {
        let grown = async {
            if let Some(growth) = &mut self.growth
                && growth.changed().await.is_ok()
            {
                return;
            }
            // A closed channel says that the task was removed; the snapshot says so too.
            std::future::pending().await
        };
        let (task, snapshots) = (&self.task, &mut self.snapshots);
        let over = async {
            let gone = |snapshot: &Arc<Snapshot>| snapshot.task(task).is_none_or(|it| it.is_over());
            if snapshots.wait_for(gone).await.is_err() {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = grown => {}
            () = over => {}
            () = self.state.stop.cancelled() => {}
        }
    }

    /// Keeps the events of many followers apart; a lone follower never waits.
    async fn pace(&self) {
        if let (Some(last), Some(pause)) = (self.last_sent, pause(self.open.count()))
            && last + pause > Instant::now()
            && self.growth.is_some()
        {
            sleep_until(last + pause).await;
        }
    }
}
