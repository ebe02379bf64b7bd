//! Server-sent events from bytes (WHATWG HTML, section 9.2): pure, fed in pieces of any size.

/// Largest event, in bytes: a chunk of log text is far below it.
pub const EVENT_BYTES_MAX: usize = 64 << 20;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type; empty: `message`.
    pub name: String,
    /// Its data; several lines are joined by `\n`.
    pub data: String,
    /// Its id; absent when it has none of its own.
    pub id: Option<String>,
}

/// An event larger than [`EVENT_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {} MiB", EVENT_BYTES_MAX >> 20)]
pub struct TooLarge;

/// The parser.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes of the line that is not over yet.
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    bytes: usize,
}

impl Parser {
    /// Takes the next bytes and appends the events they finish.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLarge> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.line_end(&line, events);
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.bytes > EVENT_BYTES_MAX { Err(TooLarge) } else { Ok(()) }
    }

    fn line_end(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            self.bytes = 0;
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return;
        }
        self.bytes += line.len();
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "id" => self.event.id = Some(value.to_owned()),
            // Comments (an empty field name), retry and anything unknown.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "retry: 1000\n\nevent: lines\ndata: [1]\nid: 42\n\n: keep-alive\n\n\
        id: 7-1\r\nevent: task\r\ndata: {\r\ndata: }\r\n\r\ndata\n\nevent: cut";

    fn parse(pieces: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut events).unwrap();
        }
        events
    }

    #[test]
    fn comments_and_unfinished_events_are_no_events() {
        let event = |name: &str, data: &str, id: Option<&str>| Event {
            name: name.into(),
            data: data.into(),
            id: id.map(Into::into),
        };
        let expected = [
            event("lines", "[1]", Some("42")),
            event("task", "{\n}", Some("7-1")),
            event("", "", None),
        ];
        assert_eq!(parse(&[STREAM.as_bytes()]), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn it_does_not_matter_where_reads_cut_the_stream(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut from = 0;
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(&STREAM.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.push(&STREAM.as_bytes()[from..]);
            prop_assert_eq!(parse(&pieces), parse(&[STREAM.as_bytes()]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Parser::default().push(&bytes, &mut Vec::new());
        }
    }
}
