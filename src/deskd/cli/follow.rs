//! A stream of events that outlives the daemon: when the connection breaks, it is opened again
//! where it stopped, so nothing is lost and nothing comes twice. Only a daemon that is really away
//! is worth a word on stderr.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use tokio::time::{Instant, sleep};

use super::client::{Ask, Client, ClientError};
use super::failure::{Failure, note};
use super::sse::{Event, Parser};

/// How long a daemon that went away is waited for.
pub const RESUME_S_MAX: u64 = 10;
/// Time between two attempts to reach it, in milliseconds.
const RETRY_MS: u64 = 50;
/// Pause before the next attempt after a connection that brought nothing, in milliseconds: a
/// daemon that ends every stream at once must not be asked in a loop.
const FRUITLESS_MS: u64 = 1_000;

/// The stream.
#[derive(Debug)]
pub struct Stream<'c> {
    client: &'c Client,
    doing: String,
    path: String,
    /// Path when resuming: without `tail`, which `Last-Event-ID` replaces.
    resume_path: String,
    last_id: Option<String>,
    body: Option<Incoming>,
    parser: Parser,
    ready: VecDeque<Event>,
    /// This connection brought an event.
    fruitful: bool,
}

impl<'c> Stream<'c> {
    /// Opens the stream at `path`; `doing` begins the message of a failure.
    pub async fn open(
        client: &'c Client,
        doing: &str,
        path: &str,
        query: &str,
    ) -> Result<Self, Failure> {
        let first = format!("{path}?{query}");
        let body = client
            .send(&Ask::new(Method::GET, &first))
            .await
            .map_err(|error| error.failure(doing))?
            .into_body();
        Ok(Self {
            client,
            doing: doing.to_owned(),
            path: first,
            resume_path: path.to_owned(),
            last_id: None,
            body: Some(body),
            parser: Parser::default(),
            ready: VecDeque::new(),
            fruitful: false,
        })
    }

    /// The path to ask when the connection broke, if it is not the plain one.
    pub fn resume_at(&mut self, path: String) {
        self.resume_path = path;
    }

    /// The next event; waits over restarts of the daemon.
    pub async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.fruitful = true;
                if let Some(id) = &event.id {
                    self.last_id = Some(id.clone());
                }
                return Ok(event);
            }
            let Some(body) = &mut self.body else {
                self.resume().await?;
                continue;
            };
            match body.frame().await {
                Some(Ok(frame)) => {
                    let bytes = frame.into_data().unwrap_or_default();
                    let mut events = Vec::new();
                    self.parser.push(&bytes, &mut events).map_err(|error| {
                        ClientError::BadAnswer(error.to_string()).failure(&self.doing)
                    })?;
                    self.ready.extend(events);
                }
                Some(Err(_)) | None => self.body = None,
            }
        }
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(RESUME_S_MAX);
        self.parser = Parser::default();
        if !std::mem::take(&mut self.fruitful) {
            sleep(Duration::from_millis(FRUITLESS_MS)).await;
        }
        let mut told = false;
        loop {
            let path = if self.last_id.is_some() { &self.resume_path } else { &self.path };
            let mut ask = Ask::new(Method::GET, path);
            if let Some(id) = &self.last_id {
                ask.headers.push(("last-event-id", id));
            }
            let error = match self.client.send(&ask).await {
                Ok(answer) => {
                    self.body = Some(answer.into_body());
                    break;
                }
                Err(error) => error,
            };
            if Instant::now() > deadline || !self.may_pass(&error).await {
                return Err(error.failure(&self.doing));
            }
            if !std::mem::replace(&mut told, true) {
                note(&format!(
                    "the connection to the daemon was lost; waiting up to {RESUME_S_MAX} s for it"
                ));
            }
            sleep(Duration::from_millis(RETRY_MS)).await;
        }
        if told {
            note("the daemon answers again");
        }
        Ok(())
    }

    /// A daemon that has just started may not know its tasks yet.
    async fn may_pass(&self, error: &ClientError) -> bool {
        let unknown = matches!(error, ClientError::Refused { status: StatusCode::NOT_FOUND, .. });
        error.is_passing() || unknown && !is_started(self.client).await
    }
}

async fn is_started(client: &Client) -> bool {
    client.send(&Ask::new(Method::GET, "/startupz")).await.is_ok()
}
