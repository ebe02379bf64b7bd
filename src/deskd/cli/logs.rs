//! `deskd logs`: a task's output, byte for byte.
//!
//! Without `--follow` it is one answer of the text endpoint. Followed output comes as events,
//! whose text is lossy UTF-8; an event with a replacement character in it is fetched again as raw
//! bytes by its cursors, so what is printed is exact there too.

use http_body_util::BodyExt as _;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::LogsArgs;
use super::client::{Ask, Client, ClientError, whole};
use super::failure::Failure;
use super::follow::Stream;
use super::output::Out;
use super::sse::Event;
use deskd_core::exit::Exit;

/// Header with the cursor to read on from.
const NEXT_HEADER: &str = "deskd-log-next";

/// One record, as in the API.
#[derive(Debug, Deserialize)]
struct Line {
    c: u64,
    t: String,
    s: String,
    p: bool,
    text: String,
}

/// Prints the log.
pub async fn logs(client: &Client, args: &LogsArgs, out: &mut Out) -> Result<Exit, Failure> {
    let printer = Printer {
        client,
        args,
        doing: format!("read the log of task {}", args.task),
        at_line_start: true,
    };
    if args.follow || out.is_json() {
        tokio::select! {
            done = printer.follow(out) => done,
            () = reader_gone() => Ok(Exit::Ok),
        }
    } else {
        printer.text(out).await
    }
}

struct Printer<'a> {
    client: &'a Client,
    args: &'a LogsArgs,
    doing: String,
    at_line_start: bool,
}

impl Printer<'_> {
    fn path(&self) -> String {
        format!("/v1/tasks/{}/log", self.args.task)
    }

    fn filter(&self) -> String {
        let stream = self.args.stream.map(|name| format!("&stream={}", name.as_str()));
        format!("timestamps={}{}", self.args.timestamps, stream.unwrap_or_default())
    }

    async fn text(&self, out: &mut Out) -> Result<Exit, Failure> {
        let tail = self.args.tail.map(|lines| format!("&tail={lines}")).unwrap_or_default();
        let ask = Ask::new(Method::GET, format!("{}?{}{tail}", self.path(), self.filter()));
        let answer = self.client.send(&ask).await.map_err(|error| error.failure(&self.doing))?;
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                let why = "the connection to the daemon was lost: the output above is incomplete";
                Failure::new(Exit::Unreachable, &self.doing, why).remedy("run the command again")
            })?;
            out.bytes(&frame.into_data().unwrap_or_default())?;
        }
        Ok(Exit::Ok)
    }

    async fn follow(mut self, out: &mut Out) -> Result<Exit, Failure> {
        let tail = self.args.tail.map(|lines| format!("&tail={lines}")).unwrap_or_default();
        let query = format!("follow={}{tail}", self.args.follow);
        let path = format!("{}/stream", self.path());
        let resume = format!("{path}?follow={}", self.args.follow);
        let mut stream = Stream::open(self.client, &self.doing, &path, &query).await?;
        stream.resume_at(resume);
        loop {
            let event = stream.next().await?;
            match event.name.as_str() {
                "lines" => self.lines(&event, out).await?,
                "gap" => self.gap(&event, out)?,
                "end" => return Ok(Exit::Ok),
                _ => {}
            }
            out.finish()?;
        }
    }

    async fn lines(&mut self, event: &Event, out: &mut Out) -> Result<(), Failure> {
        let lines: Vec<Line> = serde_json::from_str(&event.data)
            .map_err(|error| ClientError::BadAnswer(error.to_string()).failure(&self.doing))?;
        if out.is_json() {
            return lines.iter().filter(|line| self.wanted(line)).try_for_each(|line| {
                let Line { c, t, s, p, text } = line;
                let record =
                    json!({ "cursor": c, "time": t, "stream": s, "partial": p, "text": text });
                out.json_line(&record)
            });
        }
        let lossy = lines.iter().any(|line| line.text.contains(char::REPLACEMENT_CHARACTER));
        let end = event.id.as_deref().and_then(|id| id.parse().ok());
        if let (true, Some(first), Some(end)) = (lossy, lines.first(), end) {
            return self.exact(first.c, end, out).await;
        }
        for line in lines {
            if !self.wanted(&line) {
                continue;
            }
            if self.args.timestamps && self.at_line_start {
                out.bytes(line.t.as_bytes())?;
                out.bytes(b" ")?;
            }
            out.bytes(line.text.as_bytes())?;
            if !line.p {
                out.bytes(b"\n")?;
            }
            self.at_line_start = !line.p;
        }
        Ok(())
    }

    fn wanted(&self, line: &Line) -> bool {
        self.args.stream.is_none_or(|stream| stream.as_str() == line.s)
    }

    /// The records from `from` up to `end`, as raw bytes.
    async fn exact(&mut self, mut from: u64, end: u64, out: &mut Out) -> Result<(), Failure> {
        while from < end {
            let path =
                format!("{}?{}&from={from}&bytes_max={}", self.path(), self.filter(), end - from);
            let (next, bytes) =
                self.range(&path).await.map_err(|error| error.failure(&self.doing))?;
            let mut bytes = bytes.as_ref();
            if self.args.timestamps && !self.at_line_start {
                // The range begins inside a line, whose time was printed with its beginning.
                let time_end = bytes.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
                bytes = &bytes[time_end..];
            }
            out.bytes(bytes)?;
            if let Some(last) = bytes.last() {
                self.at_line_start = *last == b'\n';
            }
            if next <= from {
                let error = ClientError::BadAnswer(format!("the cursor stays at {from}"));
                return Err(error.failure(&self.doing));
            }
            from = next;
        }
        Ok(())
    }

    async fn range(&self, path: &str) -> Result<(u64, hyper::body::Bytes), ClientError> {
        let answer = self.client.send(&Ask::new(Method::GET, path)).await?;
        let next =
            answer.headers().get(NEXT_HEADER).and_then(|next| next.to_str().ok()?.parse().ok());
        let next =
            next.ok_or_else(|| ClientError::BadAnswer(format!("no {NEXT_HEADER} header")))?;
        Ok((next, whole(answer.into_body()).await?))
    }

    /// As the text endpoint tells it.
    fn gap(&mut self, event: &Event, out: &mut Out) -> Result<(), Failure> {
        let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        if out.is_json() {
            return out.json_line(&json!({ "gap": data }));
        }
        let bytes = data.get("dropped_bytes").and_then(Value::as_u64).unwrap_or(0);
        let why = match data.get("reason").and_then(Value::as_str).unwrap_or_default() {
            "task_limit" => "the limit of this task's log",
            "total_limit" => "the limit of all logs together",
            "write_failed" => "the log could not be written",
            _ => "a crash tore the log",
        };
        let line_end = if self.at_line_start { "" } else { "\n" };
        self.at_line_start = true;
        out.text(format!("{line_end}[deskd: {bytes} bytes are missing here: {why}]"))
    }
}

/// Returns when standard output is a pipe that nobody reads any more: a follower of a silent task
/// would else stay until the next line.
pub async fn reader_gone() {
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    // Ends with the process; it does nothing but wait for the kernel.
    let waiter = std::thread::Builder::new().name("reader-gone".into()).spawn(move || {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd as _;
        let stdout = std::io::stdout();
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        let polled = poll(&mut fds, PollTimeout::NONE);
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        if polled.is_ok() && fds[0].revents().is_some_and(|events| events.intersects(gone)) {
            let _ = tell.send(());
        }
    });
    if waiter.is_err() || told.await.is_err() {
        std::future::pending::<()>().await;
    }
}
