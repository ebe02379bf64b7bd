//! Why a run was not started.

use std::fmt;

use super::{behind, or_no_reason};
use crate::room::NoRoom;
use crate::text;
use crate::text::Text;
use crate::why::reason::{ApiRefusal, Ended, RefusalReason, Refused, Request};

impl Refused {
    /// One sentence: what was refused, by whom, and the remedy.
    #[must_use]
    pub fn sentence(&self) -> Text {
        let words = self.words.as_deref();
        match &self.reason {
            RefusalReason::Api { request, refusal } => {
                text!(
                    "cannot {request}: {words}",
                    request = request.sentence(),
                    words = refusal.sentence(words.unwrap_or_default())
                )
            }
            RefusalReason::NameTaken { namespace, pod } => text!(
                "a pod {pod} that belongs to something else is in {namespace}: delete it, or launch \
                 again under another name",
                pod,
                namespace
            ),
            RefusalReason::PodFull { pod, why } => text!(
                "the desktop's pod {pod} cannot have another ephemeral container: it {why}. \
                 Kubernetes never removes their entries: make the desktop's pod anew, or run the \
                 application as a pod (`--engine pod_application`)",
                pod,
                why = why.sentence()
            ),
            RefusalReason::QueueFull { max } => {
                text!("{max} launches wait for the API server already: try again later", max)
            }
            RefusalReason::Stopped => {
                text!("it was stopped before the API server was asked for it")
            }
            RefusalReason::Spawn(error) => error.sentence(),
            RefusalReason::GivenUp { remedy, waited } => {
                let waited = waited.as_ref().map(|waited| waited.sentence());
                let waited = waited.unwrap_or_else(|| text!("it had not started"));
                text!("given up to {remedy}: {waited}", waited, remedy = remedy.sentence())
            }
            RefusalReason::Ended(reason) => {
                Ended { reason: reason.clone(), words: self.words.clone() }.sentence()
            }
            RefusalReason::Lost(reason) => reason.sentence(),
            RefusalReason::NoPod | RefusalReason::Unplannable | RefusalReason::Told => {
                or_no_reason(words)
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())
    }
}

impl std::error::Error for Refused {}

impl ApiRefusal {
    fn sentence(&self, said: &str) -> Text {
        match self {
            Self::Quota { why } => text!(
                "the namespace's quota does not allow it ({why}); stop something there, or ask for \
                 a larger quota",
                why
            ),
            Self::Policy { name, why } => {
                text!("the cluster's policy {name} denies it: {why}", name, why)
            }
            Self::MutatingPolicy { name, why } => text!(
                "the cluster's policy {name}, which is to change it, fails and so denies it: {why}",
                name,
                why
            ),
            Self::Webhook { name, why } => {
                text!(
                    "the cluster's admission webhook {name} denies it{why}",
                    name,
                    why = behind(Some(why))
                )
            }
            Self::PodSecurity { why } => text!("the namespace's Pod Security level {why}", why),
            Self::NodeTooSmall { why } => {
                text!("its node will never have enough for it ({why})", why)
            }
            Self::Right => text!(
                "deskd lacks the right to do it ({said}); grant it as container/base/rbac.yaml does",
                said
            ),
            Self::NamespaceEnds => text!("the namespace is being deleted"),
            Self::NotFound => text!("what it belongs to does not exist ({said})", said),
            Self::TooLarge => text!("it is larger than the API server takes ({said})", said),
            Self::Invalid { why } => text!(
                "the API server says that it is not valid ({why}); correct the application's \
                 description or its execute class",
                why
            ),
        }
    }
}

impl Request {
    pub(super) fn sentence(&self) -> Text {
        match self {
            Self::CreatePod { namespace, pod } => {
                text!("create the pod {pod} in {namespace}", namespace, pod)
            }
            Self::DeletePod { namespace, pod } => {
                text!("delete the pod {pod} in {namespace}", namespace, pod)
            }
            Self::AddContainer { namespace, pod } => {
                text!("add an ephemeral container to the pod {pod} in {namespace}", namespace, pod)
            }
        }
    }
}

impl NoRoom {
    /// What is wrong with the pod, as the end of a sentence about it.
    pub(crate) fn sentence(&self) -> Text {
        match self {
            Self::Entries(entries) => {
                text!("already has {entries} ephemeral containers", entries)
            }
            Self::Size { kib, max_kib } => {
                text!("would grow from {kib} KiB to more than {max_kib} KiB", kib, max_kib)
            }
        }
    }
}
