//! Changes of tasks, desktop and applications as server-sent events, resumable by generation.
//!
//! Levels, not edges: each wakeup sends the newest state of whatever changed since the last one, so
//! a slow reader skips intermediate states and never sees an old one.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

use super::apps::visible;
use super::error::{ApiError, ErrorBody};
use super::extract::{Query, Wanted};
use super::guard::Peer;
use super::limits::KEEP_ALIVE_S;
use super::sse;
use super::state::{ApiState, Shared};
use super::streams::StreamPermit;
use crate::supervisor::{Changes, Desktop, Snapshot};
use deskd_core::app::App;
use deskd_core::app::access::Identity;
use deskd_core::task::Task;
use deskd_core::text::{Language, Localized, Text};

/// What to be told.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Also CPU and memory of running tasks, every 2 s.
    usage: Option<bool>,
}

/// Data of the event `snapshot`.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Everything {
    /// The desktop.
    pub desktop: Arc<Desktop>,
    /// Tasks, oldest first.
    pub tasks: Vec<Arc<Task>>,
    /// Applications.
    pub apps: Vec<App>,
}

impl Localized for Everything {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        Arc::make_mut(&mut self.desktop).texts(each);
        self.tasks.iter_mut().for_each(|task| Arc::make_mut(task).texts(each));
    }

    fn in_language(&self, language: Language) -> Cow<'_, Self> {
        if language == Language::English {
            return Cow::Borrowed(self);
        }
        let tasks = self.tasks.iter().map(|task| Arc::new(task.in_language(language).into_owned()));
        Cow::Owned(Self {
            desktop: Arc::new(self.desktop.in_language(language).into_owned()),
            tasks: tasks.collect(),
            apps: self.apps.clone(),
        })
    }
}

/// Follow what happens: events `snapshot`, `task`, `removed`, `desktop`, `apps`, `usage`.
#[utoipa::path(get, path = "/v1/events", tag = "desktop",
    params(EventsQuery,
           ("Last-Event-ID" = Option<String>, Header, description = "`<epoch>-<generation>` to resume after")),
    responses((status = 200, description = "Events", body = Everything, content_type = "text/event-stream"),
              (status = 503, description = "Too many streams", body = ErrorBody)))]
pub async fn events(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Wanted(language): Wanted,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let permit = state.stream_permit(peer)?;
    let watcher = Watcher {
        seen: headers.get("last-event-id").and_then(|id| parse_id(id.to_str().ok()?)),
        snapshots: state.handle.watch(),
        usage: (query.usage == Some(true)).then(|| state.usage.subscribe(&state.handle)),
        hello: true,
        language,
        _open: state.counters.stream("events"),
        state,
        _permit: permit,
    };
    Ok(sse::response(stream::unfold(watcher, |mut watcher| async move {
        let bytes = watcher.next().await?;
        Some((bytes, watcher))
    })))
}

fn parse_id(text: &str) -> Option<(u64, u64)> {
    let (epoch, generation) = text.split_once('-')?;
    Some((epoch.parse().ok()?, generation.parse().ok()?))
}

struct Watcher {
    state: Arc<Shared>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    usage: Option<watch::Receiver<Bytes>>,
    /// Epoch and generation the client has.
    seen: Option<(u64, u64)>,
    hello: bool,
    /// Of sentences.
    language: Language,
    _open: super::metrics::OpenStream,
    _permit: StreamPermit,
}

impl Watcher {
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.hello) {
            return Some(sse::HELLO);
        }
        loop {
            if self.state.stop.is_cancelled() {
                return None;
            }
            let snapshot = self.snapshots.borrow_and_update().clone();
            let bytes = news(&snapshot, self.seen, &self.state.identity, self.language);
            self.seen = Some((snapshot.epoch, snapshot.generation));
            if !bytes.is_empty() {
                return Some(bytes.into());
            }
            let usage = async {
                if let Some(usage) = &mut self.usage
                    && usage.changed().await.is_ok()
                {
                    return usage.borrow_and_update().clone();
                }
                std::future::pending().await
            };
            let wait = async {
                tokio::select! {
                    changed = self.snapshots.changed() => changed.ok().map(|()| None),
                    bytes = usage => Some(Some(bytes)),
                    () = self.state.stop.cancelled() => None,
                }
            };
            match timeout(Duration::from_secs(KEEP_ALIVE_S), wait).await {
                Ok(Some(None)) => {}
                Ok(Some(Some(bytes))) => return Some(bytes),
                Ok(None) => return None,
                Err(_) => return Some(sse::KEEP_ALIVE),
            }
        }
    }
}

/// The events that bring a client from `seen` to `snapshot`.
fn news(
    snapshot: &Snapshot,
    seen: Option<(u64, u64)>,
    identity: &Identity,
    language: Language,
) -> Vec<u8> {
    let mut out = Vec::new();
    let id = format!("{}-{}", snapshot.epoch, snapshot.generation);
    let known = seen.filter(|(epoch, _)| *epoch == snapshot.epoch);
    match known.and_then(|(_, generation)| snapshot.since(generation)) {
        Some(changes) => write_changes(&changes, &id, identity, language, &mut out),
        None => {
            let everything = Everything {
                desktop: snapshot.desktop.clone(),
                tasks: snapshot.tasks.to_vec(),
                apps: visible(&snapshot.apps, identity),
            };
            sse::event(&mut out, "snapshot", Some(&id), &*everything.in_language(language));
        }
    }
    out
}

/// The id belongs to the last event alone: a client that lost the connection before it asks for
/// the whole batch again, which does no harm because states are levels.
fn write_changes(
    changes: &Changes,
    id: &str,
    identity: &Identity,
    language: Language,
    out: &mut Vec<u8>,
) {
    #[derive(Serialize)]
    struct Removed<'a> {
        id: &'a str,
    }
    let mut left = changes.removed.len()
        + changes.tasks.len()
        + usize::from(changes.desktop.is_some())
        + usize::from(changes.apps.is_some());
    let mut id = || {
        left -= 1;
        (left == 0).then_some(id)
    };
    for task in &changes.removed {
        sse::event(out, "removed", id(), &Removed { id: task.as_str() });
    }
    for task in &changes.tasks {
        sse::event(out, "task", id(), &*task.in_language(language));
    }
    if let Some(desktop) = &changes.desktop {
        sse::event(out, "desktop", id(), &*desktop.in_language(language));
    }
    if let Some(apps) = &changes.apps {
        sse::event(out, "apps", id(), &visible(apps, identity));
    }
}
