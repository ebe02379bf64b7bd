//! What the command line reads of deskd's event stream: before the first zero byte how the rest is cut into
//! pieces.

use deskd::cli::sse::{Event, Parser};

use super::{halves, pieces};

pub fn run(data: &[u8]) {
    let (cuts, bytes) = halves(data);
    let whole = parse(std::iter::once(bytes));
    assert_eq!(whole, parse(pieces(cuts, bytes).into_iter()), "the pieces matter");
    for event in whole {
        assert!(!event.name.contains(['\n']), "{event:?}");
        let id = event.id.as_ref().map(|id| format!("id: {id}\n")).unwrap_or_default();
        let data: String = event.data.split('\n').map(|line| format!("data: {line}\n")).collect();
        let written = format!("{id}event: {}\n{data}\n", event.name);
        // A carriage return at the end of a line belongs to the line's end.
        if !written.contains("\r\n") {
            assert_eq!(parse(std::iter::once(written.as_bytes())), [event]);
        }
    }
}

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    for piece in pieces {
        parser.push(piece, &mut events).expect("is short");
    }
    events
}
