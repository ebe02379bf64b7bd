//! How reasons are written: in a task's JSON, which `/v1` shows, as sentences; in the journal, beside
//! those, as values. So a journal of an earlier release is read, and an earlier release reads this one's.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Explanation, LostReason, Waiting};
use crate::task::{Exit, Task};
use crate::text::{Localized, Recorded, Text};

/// The values of the sentences in a task's JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Values {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting: Option<Waiting>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Explanation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<LostReason>,
    /// Of sentences that are made when something happens: what they are made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    texts: Vec<Recorded>,
}

impl Values {
    fn of(task: &Task) -> Self {
        let lost = match &task.exit {
            Some(Exit::Lost(reason)) => Some(reason.clone()),
            _ => None,
        };
        let mut texts: Vec<Recorded> = Vec::new();
        task.clone().texts(&mut |text| {
            texts.extend(text.recorded().filter(|it| !texts.contains(it)));
        });
        Self { waiting: task.waiting.clone(), cause: task.cause.clone(), lost, texts }
    }

    /// Gives a task that was read its values back.
    fn restore(self, task: &mut Task) {
        let Self { waiting, cause, lost, texts } = self;
        if waiting.is_some() && task.waiting.is_some() {
            task.waiting = waiting;
        }
        if cause.is_some() && task.cause.is_some() {
            task.cause = cause;
        }
        if let (Some(reason), Some(Exit::Lost(_))) = (lost, &task.exit) {
            task.exit = Some(Exit::Lost(reason));
        }
        let texts: Vec<Text> = texts.into_iter().map(Text::from).collect();
        task.texts(&mut |text| {
            if let Some(made) = texts.iter().find(|made| *made == text) {
                text.clone_from(made);
            }
        });
    }
}

/// A task with the values of its sentences, as the journal has it.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    task: &'a Task,
    values: Values,
}

#[derive(Deserialize)]
struct Read {
    #[serde(flatten)]
    task: Task,
    #[serde(default)]
    values: Values,
}

/// For `#[serde(with = ...)]`: a task with the values of its sentences.
pub mod on_record {
    use super::*;

    /// Writes it.
    ///
    /// # Errors
    ///
    /// Those of the format.
    pub fn serialize<S: Serializer>(task: &Task, to: S) -> Result<S::Ok, S::Error> {
        Written { task, values: Values::of(task) }.serialize(to)
    }

    /// Reads it; of an earlier release's, the sentences are kept as they are.
    ///
    /// # Errors
    ///
    /// What is no task.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Task>, D::Error> {
        let Read { mut task, values } = Read::deserialize(from)?;
        values.restore(&mut task);
        Ok(Arc::new(task))
    }
}

/// For `#[serde(with = ...)]`: a value as its sentence.
macro_rules! as_sentence {
    ($module:ident, $type:ty, $read:expr) => {
        pub(crate) mod $module {
            use super::*;

            pub(crate) fn serialize<S: Serializer>(
                value: &Option<$type>,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                value.as_ref().map(<$type>::sentence).serialize(to)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<Option<$type>, D::Error> {
                Ok(Option::<String>::deserialize(from)?.map($read))
            }
        }
    };
}

as_sentence!(waiting, Waiting, Waiting::from);
as_sentence!(cause, Explanation, Explanation::Told);

pub(crate) mod lost {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &LostReason, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.sentence())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<LostReason, D::Error> {
        String::deserialize(from).map(LostReason::Told)
    }
}

/// How a task ended.
#[derive(utoipa::ToSchema)]
#[schema(as = Exit)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the JSON of `Exit`")]
enum ExitJson {
    /// `exit(code)`, 0..=255.
    Code(i32),
    /// The exit code of the entry point that started the program, whose own nobody saw.
    EntryPoint(i32),
    /// Killed by a signal.
    Signal {
        /// Number, such as 15.
        number: i32,
        /// Name, such as `SIGTERM`.
        name: String,
        /// A core was dumped.
        core_dumped: bool,
    },
    /// It never ran, or nobody could see how it ended: the sentence says why.
    Reason(String),
}

impl utoipa::PartialSchema for Exit {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        ExitJson::schema()
    }
}

impl utoipa::ToSchema for Exit {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::reason::{EndReason, RefusalReason, WaitReason};

    #[derive(Serialize, Deserialize)]
    struct Entry {
        #[serde(with = "on_record")]
        task: Arc<Task>,
    }

    fn task() -> Task {
        let app = crate::samples::app("odd");
        Task::new("odd-00001".parse().unwrap(), &app, &crate::samples::plan_of(&app), 0)
    }

    #[test]
    fn the_journal_keeps_the_values_and_everybody_else_sees_sentences() {
        let mut task = task();
        task.waiting = Some(WaitReason::Node { node: Some("n1".into()) }.into());
        task.cause = Some(Explanation::Cluster(EndReason::Deadline.into()));
        task.exit =
            Some(Exit::Lost(LostReason::NotStarted(Box::new(RefusalReason::Stopped.into()))));
        let shown = serde_json::to_value(&task).unwrap();
        let Some(Exit::Lost(lost)) = &task.exit else { panic!("it is lost") };
        let values = (task.waiting.as_ref().unwrap(), task.cause.as_ref().unwrap());
        assert_eq!(shown["waiting"], *values.0.sentence());
        assert_eq!(shown["cause"], *values.1.sentence());
        assert_eq!(shown["exit"]["reason"], *lost.sentence());
        assert!(shown.get("values").is_none(), "{shown}");
        let line = serde_json::to_string(&Entry { task: Arc::new(task.clone()) }).unwrap();
        let read: Entry = serde_json::from_str(&line).unwrap();
        assert_eq!(*read.task, task);
    }

    #[test]
    fn a_journal_of_an_earlier_release_keeps_its_sentences() {
        let mut line = serde_json::to_value(Entry { task: Arc::new(task()) }).unwrap();
        line["task"]["values"].take();
        line["task"].as_object_mut().unwrap().remove("values");
        line["task"]["waiting"] = "the node n1 prepares it".into();
        line["task"]["cause"] = "ended by itself with exit code 3".into();
        line["task"]["exit"] = serde_json::json!({ "reason": "nobody saw how it ended" });
        let read: Entry = serde_json::from_value(line.clone()).unwrap();
        let told = "ended by itself with exit code 3".to_owned();
        assert_eq!(read.task.cause, Some(Explanation::Told(told)));
        let again = serde_json::to_value(&*read.task).unwrap();
        for field in ["waiting", "cause", "exit"] {
            assert_eq!(again[field], line["task"][field]);
        }
    }
}
