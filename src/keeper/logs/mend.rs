//! A segment with damage in it: every record that is whole, and gap records in between. Pure.
//!
//! Records are lines, so whatever happened to a file, the next line that is a record is found again.
//! What is missing is known exactly once there is a segment after it, since that one is named by the
//! cursor at which this one ends; until then it is what can be seen to have been there. Of several
//! damaged places in one segment only the sum is exact.
//!
//! What no checksum tells: content that changed and is still a record. A record that became longer
//! shows in the sum; then the likeliest is given up (one with another record in it, else the longest).

use std::ops::Range;

use super::record::{Gap, GapReason, HEAD_BYTES, Stamp, head_at, looks_like_head, output_bytes};

/// Of a head whose beginning is gone.
const HEAD_PIECES: [&[u8]; 4] = [b" stdout F ", b" stdout P ", b" stderr F ", b" stderr P "];

/// What became of a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mended {
    /// Records only.
    pub bytes: Vec<u8>,
    /// Where the last whole record ends in the file.
    pub whole_bytes: usize,
    /// Output up to there.
    pub whole_output: u64,
    /// Something was not a record, or did not add up.
    pub damaged: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    Record {
        at: Range<usize>,
        output: u64,
    },
    /// With the output that was visibly there.
    Damage(u64),
}

/// Mends `file`, which stands for `span` bytes of output; without a span it is the last one, which
/// may end in a record that is still being written.
pub(super) fn mend(file: &[u8], span: Option<u64>) -> Mended {
    let mut pieces = pieces(file, span.is_some());
    if let Some(span) = span {
        if output(&pieces) != span {
            pieces = pieces.into_iter().flat_map(|piece| split(file, piece)).collect();
        }
        give_up_what_is_too_much(file, &mut pieces, span);
    }
    merge(&mut pieces);
    assemble(file, &pieces, span)
}

fn pieces(file: &[u8], is_whole: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let Some(newline) = memchr::memchr(b'\n', &file[at..]) else {
            if is_whole {
                pieces.push(Piece::Damage(visible(&file[at..])));
            }
            break;
        };
        let line = at..at + newline;
        match output_bytes(&file[line.clone()]) {
            Ok(output) => pieces.push(Piece::Record { at: line, output }),
            Err(_) => damaged_line(file, line, &mut pieces),
        }
        at += newline + 1;
    }
    pieces
}

/// A line that is no record; its end may be one whose beginning was not found.
fn damaged_line(file: &[u8], line: Range<usize>, pieces: &mut Vec<Piece>) {
    if let Some(inner) = head_at(&file[line.clone()], 1) {
        let inner = line.start + inner..line.end;
        if let Ok(output) = output_bytes(&file[inner.clone()]) {
            pieces.push(Piece::Damage(1));
            pieces.push(Piece::Record { at: inner, output });
            return;
        }
    }
    pieces.push(Piece::Damage(visible(&file[line]) + 1));
}

/// Content of what once was a record, in bytes.
fn visible(line: &[u8]) -> u64 {
    let has_head = line.len() >= HEAD_BYTES && looks_like_head(&line[..HEAD_BYTES]);
    if has_head { (line.len() - HEAD_BYTES) as u64 } else { 0 }
}

/// A record with the head of another one in it: the newline between them is gone.
fn split(file: &[u8], piece: Piece) -> Vec<Piece> {
    if let Piece::Record { at, .. } = &piece
        && let Some(inner) = head_at(&file[at.clone()], HEAD_BYTES)
        && let Ok(output) = output_bytes(&file[at.start + inner..at.end])
    {
        let lost = (inner - HEAD_BYTES) as u64;
        let second = Piece::Record { at: at.start + inner..at.end, output };
        return vec![Piece::Damage(lost.max(1)), second];
    }
    vec![piece]
}

fn output(pieces: &[Piece]) -> u64 {
    let of = |piece: &Piece| match piece {
        Piece::Record { output, .. } => *output,
        Piece::Damage(_) => 0,
    };
    pieces.iter().map(of).fold(0, u64::saturating_add)
}

/// Records that stand for more than there was: what comes after all of it goes, if that is so; else one with
/// a piece of a head in it becomes damage, else the longest, until it fits.
fn give_up_what_is_too_much(file: &[u8], pieces: &mut Vec<Piece>, span: u64) {
    let mut output = output(pieces);
    if output <= span {
        return;
    }
    if let Some(whole) = whole_prefix(pieces, span) {
        pieces.truncate(whole);
        return;
    }
    let has_head = |at: &Range<usize>| {
        let content = &file[at.start + HEAD_BYTES..at.end];
        HEAD_PIECES.iter().any(|piece| memchr::memmem::find(content, piece).is_some())
    };
    let likely = |(number, piece): (usize, &Piece)| match piece {
        Piece::Record { at, output } => {
            Some((at.len() > HEAD_BYTES && has_head(at), *output, number))
        }
        Piece::Damage(_) => None,
    };
    let mut likeliest: Vec<_> = pieces.iter().enumerate().filter_map(likely).collect();
    likeliest.sort_unstable();
    while output > span {
        let Some((_, one, number)) = likeliest.pop() else { return };
        pieces[number] = Piece::Damage(1);
        output = output.saturating_sub(one);
    }
}

/// How many pieces are `span` bytes of output, if those before anything is damaged are.
fn whole_prefix(pieces: &[Piece], span: u64) -> Option<usize> {
    let mut output = 0_u64;
    for (number, piece) in pieces.iter().enumerate() {
        match piece {
            _ if output == span => return Some(number),
            Piece::Record { output: more, .. } if output < span => {
                output = output.saturating_add(*more);
            }
            _ => return None,
        }
    }
    None
}

/// Damage beside damage is one.
fn merge(pieces: &mut Vec<Piece>) {
    pieces.dedup_by(|next, before| match (before, next) {
        (Piece::Damage(before), Piece::Damage(next)) => {
            *before = before.saturating_add(*next);
            true
        }
        _ => false,
    });
}

fn assemble(file: &[u8], pieces: &[Piece], span: Option<u64>) -> Mended {
    let mut mended = Mended { bytes: Vec::with_capacity(file.len()), ..Mended::default() };
    let mut places = pieces.iter().filter(|piece| matches!(piece, Piece::Damage(_))).count();
    let mut missing = span.map(|span| span.saturating_sub(output(pieces)));
    mended.damaged = places > 0;
    let first = pieces.iter().find_map(|piece| match piece {
        Piece::Record { at, .. } => Stamp::of_record(&file[at.clone()]),
        Piece::Damage(_) => None,
    });
    let mut stamp = first.unwrap_or_else(Stamp::now);
    let mut told = 0_u64;
    for (number, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Record { at, output } => {
                mended.bytes.extend_from_slice(&file[at.start..=at.end]);
                mended.whole_bytes = at.end + 1;
                told = told.saturating_add(*output);
                mended.whole_output = told;
                stamp = Stamp::of_record(&file[at.clone()]).unwrap_or(stamp);
            }
            Piece::Damage(seen) => {
                places -= 1;
                let lost = match &mut missing {
                    // The last place has what is left; each has something, as far as there is any.
                    Some(missing) => {
                        let most = missing.saturating_sub(places as u64);
                        let lost = if places == 0 { *missing } else { (*seen).max(1).min(most) };
                        *missing -= lost;
                        lost
                    }
                    None => (*seen).max(1),
                };
                told = told.saturating_add(lost);
                let at_end = number + 1 == pieces.len();
                let reason = if at_end { GapReason::Torn } else { GapReason::Damaged };
                push_gap(&mut mended.bytes, stamp, lost, reason);
            }
        }
    }
    if let Some(missing) = missing.filter(|missing| *missing > 0) {
        mended.damaged = true;
        push_gap(&mut mended.bytes, stamp, missing, GapReason::Torn);
    }
    mended
}

fn push_gap(bytes: &mut Vec<u8>, stamp: Stamp, dropped_bytes: u64, reason: GapReason) {
    if dropped_bytes > 0 {
        stamp.push_gap(&Gap { dropped_bytes, reason }, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Stream;
    use super::*;

    fn record(content: &str) -> String {
        let head = Stamp::of("2026-11-24T05:30:26.123456789Z").head(Stream::Stdout, b'F');
        format!("{}{content}\n", std::str::from_utf8(&head).unwrap())
    }

    /// What is shown: lines, and `<N>` where N bytes are missing.
    fn shown(file: &[u8], span: Option<u64>) -> String {
        let mended = mend(file, span);
        let mut words = Vec::new();
        for record in super::super::Records::new(&mended.bytes, 0).map(Result::unwrap) {
            words.push(match record.tag {
                super::super::Tag::Gap(gap) => format!("<{}>", gap.dropped_bytes),
                _ => String::from_utf8_lossy(record.content).into_owned(),
            });
        }
        words.join(" ")
    }

    #[test]
    fn records_after_damage_are_found_again() {
        let whole = ["one", "two", "three", "four"].map(record).concat();
        let span = Some("one two three four ".len() as u64);
        assert_eq!(shown(whole.as_bytes(), span), "one two three four");
        let broken = |from: usize, to: usize, with: &str| {
            let mut bytes = whole.clone().into_bytes();
            bytes.splice(from..to, with.bytes());
            bytes
        };
        let second = record("one").len();
        let third = second + record("two").len();
        for (file, seen) in [
            (broken(second + 2, second + 3, "x"), "one <4> three four"),
            (broken(second - 1, second, "x"), "<4> two three four"),
            (broken(second - 9, second + 7, ""), "<8> three four"),
            (broken(second, second, "nonsense\n"), "one two three four"),
            (broken(second + 4, third + 4, ""), "one three four <4>"),
        ] {
            assert_eq!(shown(&file, span), seen);
        }
        // Inside a record: what became longer cannot be more than there was.
        assert_eq!(shown(&broken(third - 1, third - 1, "xxxxxxxxxx"), span), "one <4> three four");
        // What became shorter is missing.
        assert_eq!(shown(&broken(third - 3, third - 1, ""), span), "one t three four <2>");
    }

    #[test]
    fn the_last_segment_tells_what_it_can_see_and_leaves_its_end_alone() {
        let whole = ["one", "two", "three"].map(record).concat();
        let mut bytes = whole.clone().into_bytes();
        let second = record("one").len();
        bytes[second + 1] = b'x';
        bytes.extend_from_slice(b"2026-11-24T05:30:26.1234567");
        assert_eq!(shown(&bytes, None), "one <4> three");
        let mended = mend(&bytes, None);
        assert_eq!((mended.whole_bytes, mended.whole_output), (whole.len(), 14));
    }

    #[test]
    fn what_comes_after_all_of_a_segment_is_none_of_it() {
        let file: String = (0..100).map(|line| record(&format!("line {line}"))).collect();
        let span = output(&pieces(file.as_bytes(), true));
        let mended = mend(file.repeat(2).as_bytes(), Some(span));
        assert_eq!(String::from_utf8(mended.bytes).unwrap(), file);
    }

    #[test]
    fn many_records_that_are_too_much_take_no_time() {
        let mut file = String::from("no record\n");
        file.extend((0..90_000).map(|line| record(&format!("{}", line % 10))));
        // For a hang: one look at all of them for each of them takes minutes.
        let begun = std::time::Instant::now();
        let mended = mend(file.as_bytes(), Some(1_000));
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
        assert!(mended.damaged && mended.bytes.len() < file.len() / 10);
    }
}
