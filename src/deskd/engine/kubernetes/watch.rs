//! One list, then one watch, of a set of pods, for ever: through ends of the stream, versions that
//! are too old (410 Gone), replaced tokens and restarts of the API server.
//!
//! Pods are handed on and forgotten; only the version to go on from is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::api::{Api, ApiError, Ask, Chunks};
use super::backoff::Pauses;
use super::calls::Verb;
use super::engine::Input;
use super::objects::{Meta, Pod};

/// Pods in one answer to a list.
const PAGE_PODS: u32 = 500;
/// The API server ends a watch after so many seconds; deskd goes on from there.
const WATCH_SECONDS: u64 = 290;
/// Bookmarks come about once a minute: a stream that is silent for longer is dead.
const SILENCE_MAX: Duration = Duration::from_secs(150);
/// Longest event, in bytes; etcd takes objects of 1.5 MiB, JSON is larger.
const EVENT_BYTES_MAX: usize = 8 << 20;
/// A watch that ends sooner than this is followed by a pause.
const WATCH_SHORT: Duration = Duration::from_secs(1);

/// Which set of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// The desktop's own.
    Own,
    /// Application pods and pull pods of this desktop.
    Apps,
    /// Application pods of the desktop's user that deskd did not make.
    Others,
}

/// What a watch saw.
#[derive(Debug)]
pub enum Watched {
    /// A list begins: everything that exists follows.
    Listing,
    /// A pod as it is now, and its size in bytes of JSON.
    Pod(Box<Pod>, u64),
    /// Everything that exists was told.
    Listed,
    /// A pod is gone; this is how it was last.
    Deleted(Box<Pod>),
    /// It goes on, after a failure too.
    Works,
    /// It does not.
    Failed(ApiError),
}

/// A set of pods.
#[derive(Debug)]
pub struct Watch {
    /// The way.
    pub api: Arc<Api>,
    /// Which.
    pub which: Which,
    /// Its namespace.
    pub namespace: String,
    /// `fieldSelector=...` or `labelSelector=...`.
    pub selector: String,
    /// Who is told.
    pub told: mpsc::Sender<Input>,
}

#[derive(Deserialize)]
struct List<'a> {
    metadata: Meta,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Event<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Why a round ended.
enum End {
    /// Nobody listens.
    Unheard,
    /// The stream ended: go on.
    Over,
    /// The version is too old: list again.
    Expired,
    /// Something is wrong.
    Failed(ApiError),
}

impl Watch {
    /// Runs until nobody listens any more.
    pub async fn run(self) {
        let mut version = None;
        let mut pauses = Pauses::default();
        loop {
            let began = Instant::now();
            match self.round(&mut version, &mut pauses).await {
                End::Unheard => return,
                End::Over if began.elapsed() >= WATCH_SHORT => {}
                End::Over => pauses.pause().await,
                End::Expired => {
                    version = None;
                    pauses.pause().await;
                }
                // A 403 too: an API server that has just started says so until it knows its roles.
                End::Failed(error) => {
                    if !self.tell(Watched::Failed(error)).await {
                        return;
                    }
                    pauses.pause().await;
                }
            }
        }
    }

    async fn tell(&self, watched: Watched) -> bool {
        self.told.send(Input::Watched(self.which, watched)).await.is_ok()
    }

    async fn round(&self, version: &mut Option<String>, pauses: &mut Pauses) -> End {
        if version.is_none() {
            match self.list().await {
                Ok(Some(listed)) => *version = Some(listed),
                Ok(None) => return End::Unheard,
                Err(error) => return failed(error),
            }
        }
        let from = version.clone().unwrap_or_default();
        let path = format!(
            "/api/v1/namespaces/{}/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}\
             &resourceVersion={from}&{}",
            self.namespace, self.selector
        );
        let ask = Ask { verb: Verb::Watch, resource: "pods", path, body: None };
        let chunks = match self.api.stream(ask).await {
            Ok(chunks) => chunks,
            Err(error) => return failed(error),
        };
        pauses.reset();
        if !self.tell(Watched::Works).await {
            return End::Unheard;
        }
        self.follow(chunks, version).await
    }

    /// All pages of a list; its version, or nothing when nobody listens.
    async fn list(&self) -> Result<Option<String>, ApiError> {
        if !self.tell(Watched::Listing).await {
            return Ok(None);
        }
        let mut next = None;
        loop {
            let token = next.map_or_else(String::new, |token| format!("&continue={token}"));
            let path = format!(
                "/api/v1/namespaces/{}/pods?limit={PAGE_PODS}&{}{token}",
                self.namespace, self.selector
            );
            let ask = Ask { verb: Verb::List, resource: "pods", path, body: None };
            let text = self.api.text(ask).await?;
            let list: List<'_> = serde_json::from_slice(&text).map_err(odd)?;
            for item in list.items {
                let pod = serde_json::from_str(item.get()).map_err(odd)?;
                if !self.tell(Watched::Pod(pod, item.get().len() as u64)).await {
                    return Ok(None);
                }
            }
            match list.metadata.r#continue.filter(|token| !token.is_empty()) {
                Some(token) => next = Some(token),
                None if self.tell(Watched::Listed).await => {
                    return Ok(Some(list.metadata.resource_version));
                }
                None => return Ok(None),
            }
        }
    }

    async fn follow(&self, mut chunks: Chunks, version: &mut Option<String>) -> End {
        let mut lines = EventLines::default();
        loop {
            let chunk = match tokio::time::timeout(SILENCE_MAX, chunks.next()).await {
                // A stream that broke off is resumed like one that ended: if the API server is
                // away, asking it again says so.
                Err(_) | Ok(Ok(None) | Err(_)) => return End::Over,
                Ok(Ok(Some(chunk))) => chunk,
            };
            lines.push(&chunk);
            while let Some(line) = lines.next() {
                match self.event(&line, version).await {
                    Ok(true) => {}
                    Ok(false) => return End::Unheard,
                    Err(error) => return failed(error),
                }
            }
            if lines.partial.len() > EVENT_BYTES_MAX {
                return End::Failed(ApiError::Lost("an event of the watch is too large".into()));
            }
        }
    }

    /// False when nobody listens.
    async fn event(&self, line: &[u8], version: &mut Option<String>) -> Result<bool, ApiError> {
        let event: Event<'_> = serde_json::from_slice(line).map_err(odd)?;
        let text = event.object.get();
        if event.r#type == "ERROR" {
            let status: kube::core::Status = serde_json::from_str(text).map_err(odd)?;
            return Err(ApiError::Answer(Box::new(status)));
        }
        let pod: Box<Pod> = serde_json::from_str(text).map_err(odd)?;
        *version = Some(pod.metadata.resource_version.clone());
        Ok(match event.r#type {
            "ADDED" | "MODIFIED" => self.tell(Watched::Pod(pod, text.len() as u64)).await,
            "DELETED" => self.tell(Watched::Deleted(pod)).await,
            // A bookmark is only a version.
            _ => true,
        })
    }
}

fn failed(error: ApiError) -> End {
    match error.code() {
        Some(410) => End::Expired,
        _ => End::Failed(error),
    }
}

fn odd(error: serde_json::Error) -> ApiError {
    ApiError::Lost(format!("the API server's answer is odd: {error}"))
}

/// Lines of a stream that arrives in pieces.
#[derive(Debug, Default)]
struct EventLines {
    whole: VecDeque<Vec<u8>>,
    partial: Vec<u8>,
}

impl EventLines {
    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.partial.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.partial);
            if !line.is_empty() {
                self.whole.push_back(line);
            }
        }
        self.partial.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        self.whole.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = EventLines::default();
        let mut found = Vec::new();
        for piece in ["{\"a", "\":1}\n\n{", "}\n{\"", "x"] {
            lines.push(piece.as_bytes());
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        assert_eq!(found, [&b"{\"a\":1}"[..], b"{}"]);
        assert_eq!(lines.partial, b"{\"x");
    }
}
