//! One CRI record: parsing and formatting.

/// Which pipe a record came from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why bytes are missing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The task's own limit dropped its oldest segments.
    TaskLimit,
    /// The limit of all tasks together did.
    TotalLimit,
    /// The file could not be written (disk full, read-only, I/O error).
    WriteFailed,
    /// A crash tore the end of a segment.
    Torn,
}

/// Bytes that are not in the store any more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Gap {
    /// Bytes of the application's output that were dropped.
    pub dropped_bytes: u64,
    /// Why.
    pub reason: GapReason,
}

/// The tag of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// `F`: ends a line.
    Full,
    /// `P`: the line goes on in the next record of the same stream.
    Partial,
    /// `F:gap`.
    Gap(Gap),
}

/// One record, borrowed from a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset of its first byte in the task's log.
    pub cursor: u64,
    /// Offset after its newline: where the next record begins. Resuming here repeats nothing.
    pub next: u64,
    /// The RFC 3339 time as written, such as `2026-11-24T05:30:26.123456789Z`.
    pub time: &'a str,
    /// Which pipe.
    pub stream: Stream,
    /// Whole line, piece, or gap.
    pub tag: Tag,
    /// The content, without the newline; any bytes but `\n`.
    pub content: &'a [u8],
}

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no CRI record at offset {cursor}: {what}")]
pub struct RecordError {
    /// Where.
    pub cursor: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// Iterates over the records of a chunk of whole records.
#[derive(Debug)]
pub struct Records<'a> {
    #[expect(dead_code, reason = "interface first")]
    bytes: &'a [u8],
    #[expect(dead_code, reason = "interface first")]
    cursor: u64,
}

impl<'a> Records<'a> {
    /// Records in `bytes`, whose first byte has the offset `cursor`.
    #[must_use]
    pub fn new(bytes: &'a [u8], cursor: u64) -> Self {
        Self { bytes, cursor }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;
    fn next(&mut self) -> Option<Self::Item> {
        unimplemented!()
    }
}
