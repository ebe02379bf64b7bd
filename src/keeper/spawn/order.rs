//! One start as the keeper asks a starter for it, and what the starter answers: one message each way.
//!
//! Both ends are the same program, so the fields follow each other without names: numbers in the
//! machine's own order, texts and lists behind their length. Pure.

use std::io::{self, ErrorKind};

use deskd_core::id::TaskId;
use deskd_core::wall::Wall;
use deskd_core::wire::{RunId, SpawnError, SpawnRequest};

/// One start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Where it is noted how far it is: [`super::board`].
    pub(super) slot: u32,
    /// What its processes will bear.
    pub(super) tag: u64,
    /// Without its meta, which only a daemon needs.
    pub(super) request: SpawnRequest,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) slot: u32,
    /// When the starter began with it, and was done; see [`StartTimes`](deskd_core::wire::StartTimes).
    pub(super) begun: u64,
    pub(super) executed: u64,
    /// The pid of a process that runs its program.
    pub(super) outcome: Result<u32, SpawnError>,
}

/// The message for a start.
pub(super) fn encode(slot: u32, tag: u64, request: &SpawnRequest) -> Vec<u8> {
    let mut to = Writer(Vec::new());
    to.bytes(&slot.to_ne_bytes());
    to.bytes(&tag.to_ne_bytes());
    to.text(request.id.task.as_str());
    to.bytes(&request.id.run.to_ne_bytes());
    to.texts(&request.argv);
    to.length(request.env.len());
    for (key, value) in &request.env {
        to.text(key);
        to.text(value);
    }
    to.option(request.cwd.as_deref(), Writer::text);
    to.option(request.umask, |to, value| to.bytes(&value.to_ne_bytes()));
    let limits = &request.rlimits;
    for limit in [
        limits.open_files,
        limits.core_bytes,
        limits.address_space_bytes,
        limits.cpu_seconds,
        limits.file_bytes,
        limits.processes,
    ] {
        to.option(limit, |to, value| to.bytes(&value.to_ne_bytes()));
    }
    to.option(request.nice, |to, value| to.bytes(&value.to_ne_bytes()));
    to.option(request.oom_score_adj, |to, value| to.bytes(&value.to_ne_bytes()));
    to.option(request.wall.as_ref(), |to, wall| {
        to.texts(&wall.hidden);
        to.texts(&wall.shown);
    });
    to.0
}

/// The message instead of a long one that is in a memory file which goes along.
pub(super) fn in_file(slot: u32) -> Vec<u8> {
    slot.to_ne_bytes().to_vec()
}

/// Whether a message is such a one.
pub(super) fn is_in_file(message: &[u8]) -> bool {
    message.len() == size_of::<u32>()
}

/// The start that a message is about.
pub(super) fn decode(bytes: &[u8]) -> io::Result<Order> {
    let mut from = Reader(bytes);
    let slot = u32::from_ne_bytes(from.array()?);
    let tag = u64::from_ne_bytes(from.array()?);
    let task = TaskId::try_from(from.text()?).map_err(io::Error::other)?;
    let id = RunId { task, run: u32::from_ne_bytes(from.array()?) };
    let request = SpawnRequest {
        id,
        argv: from.texts()?,
        env: from.list(|from| Ok((from.text()?, from.text()?)))?,
        cwd: from.option(Reader::text)?,
        umask: from.option(|from| Ok(u32::from_ne_bytes(from.array()?)))?,
        rlimits: deskd_core::app::Rlimits {
            open_files: from.number()?,
            core_bytes: from.number()?,
            address_space_bytes: from.number()?,
            cpu_seconds: from.number()?,
            file_bytes: from.number()?,
            processes: from.number()?,
        },
        nice: from.option(|from| Ok(i32::from_ne_bytes(from.array()?)))?,
        oom_score_adj: from.option(|from| Ok(i32::from_ne_bytes(from.array()?)))?,
        wall: from.option(|from| Ok(Wall { hidden: from.texts()?, shown: from.texts()? }))?,
        log_from: 0,
        program: None,
        meta: String::new(),
    };
    Ok(Order { slot, tag, request })
}

impl Answer {
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut to = Writer(Vec::new());
        to.bytes(&self.slot.to_ne_bytes());
        to.bytes(&self.begun.to_ne_bytes());
        to.bytes(&self.executed.to_ne_bytes());
        let pid = self.outcome.as_ref().map_or(0, |pid| *pid);
        to.bytes(&pid.to_ne_bytes());
        if let Err(error) = &self.outcome {
            serde_json::to_writer(&mut to.0, error)?;
        }
        Ok(to.0)
    }

    pub(super) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut from = Reader(bytes);
        let slot = u32::from_ne_bytes(from.array()?);
        let [begun, executed] =
            [u64::from_ne_bytes(from.array()?), u64::from_ne_bytes(from.array()?)];
        let outcome = match u32::from_ne_bytes(from.array()?) {
            0 => Err(serde_json::from_slice(from.0)?),
            pid => Ok(pid),
        };
        Ok(Self { slot, begun, executed, outcome })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn length(&mut self, length: usize) {
        self.bytes(&(length as u64).to_ne_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.length(texts.len());
        texts.iter().for_each(|text| self.text(text));
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bytes(&[u8::from(value.is_some())]);
        if let Some(value) = value {
            write(self, value);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or(ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(*array)
    }

    fn length(&mut self) -> io::Result<usize> {
        let length = usize::try_from(u64::from_ne_bytes(self.array()?)).unwrap_or(usize::MAX);
        // Each item has a byte at least: a wrong length allocates nothing.
        if length > self.0.len() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(length) }
    }

    fn text(&mut self) -> io::Result<String> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at(length);
        let text = std::str::from_utf8(text).map_err(io::Error::other)?.to_owned();
        self.0 = rest;
        Ok(text)
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> io::Result<T>) -> io::Result<Vec<T>> {
        (0..self.length()?).map(|_| item(self)).collect()
    }

    fn texts(&mut self) -> io::Result<Vec<String>> {
        self.list(Self::text)
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let [is_some] = self.array()?;
        (is_some != 0).then(|| read(self)).transpose()
    }

    fn number(&mut self) -> io::Result<Option<u64>> {
        self.option(|from| Ok(u64::from_ne_bytes(from.array()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(".{0,9}", 0..4)
    }

    fn request() -> impl Strategy<Value = SpawnRequest> {
        let env = prop::collection::vec((".{0,9}", ".{0,9}"), 0..4);
        let wall = prop::option::of((texts(), texts()));
        let limits = any::<[Option<u64>; 6]>();
        let others = any::<(Option<u32>, Option<i32>, Option<i32>, u32)>();
        (texts(), env, prop::option::of(".{0,9}"), limits, others, wall).prop_map(
            |(argv, env, cwd, limits, (umask, nice, oom_score_adj, run), wall)| SpawnRequest {
                id: RunId { task: "app-00001".parse().unwrap(), run },
                argv,
                env,
                cwd,
                umask,
                rlimits: deskd_core::app::Rlimits {
                    open_files: limits[0],
                    core_bytes: limits[1],
                    address_space_bytes: limits[2],
                    cpu_seconds: limits[3],
                    file_bytes: limits[4],
                    processes: limits[5],
                },
                nice,
                oom_score_adj,
                wall: wall.map(|(hidden, shown)| Wall { hidden, shown }),
                log_from: 0,
                program: None,
                meta: String::new(),
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn what_is_asked_for_arrives(slot: u32, tag: u64, request in request()) {
            let bytes = encode(slot, tag, &request);
            for cut in 0..bytes.len() {
                prop_assert!(decode(&bytes[..cut]).is_err());
            }
            prop_assert_eq!(decode(&bytes).unwrap(), Order { slot, tag, request });
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = (decode(&bytes), Answer::decode(&bytes));
        }
    }

    #[test]
    fn both_outcomes_arrive() {
        for outcome in [Ok(7), Err(SpawnError::Draining)] {
            let answer = Answer { slot: 3, begun: 1, executed: 2, outcome };
            assert_eq!(Answer::decode(&answer.encode().unwrap()).unwrap(), answer);
        }
    }
}
