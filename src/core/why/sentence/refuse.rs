//! Why a run was not started.

use std::fmt;

use super::behind;
use crate::room::NoRoom;
use crate::why::reason::{ApiRefusal, Ended, RefusalReason, Refused, Request};

impl Refused {
    /// One sentence: what was refused, by whom, and the remedy.
    #[must_use]
    pub fn sentence(&self) -> String {
        let words = self.words.as_deref();
        match &self.reason {
            RefusalReason::Api { request, refusal } => {
                format!("cannot {request}: {}", refusal.sentence(words.unwrap_or_default()))
            }
            RefusalReason::NameTaken { namespace, pod } => format!(
                "a pod {pod} that belongs to something else is in {namespace}: delete it, or launch \
                 again under another name"
            ),
            RefusalReason::PodFull { pod, why } => format!(
                "the desktop's pod {pod} cannot have another ephemeral container: it {why}. \
                 Kubernetes never removes their entries: make the desktop's pod anew, or run the \
                 application as a pod (`--engine pod_application`)"
            ),
            RefusalReason::QueueFull { max } => {
                format!("{max} launches wait for the API server already: try again later")
            }
            RefusalReason::Stopped => {
                "it was stopped before the API server was asked for it".to_owned()
            }
            RefusalReason::Spawn(error) => error.to_string(),
            RefusalReason::GivenUp { remedy, waited } => {
                let waited = waited.as_ref().map(|waited| waited.sentence());
                let waited = waited.as_deref().unwrap_or("it had not started");
                format!("given up to {}: {waited}", remedy.sentence())
            }
            RefusalReason::Ended(reason) => {
                Ended { reason: reason.clone(), words: self.words.clone() }.sentence()
            }
            RefusalReason::Lost(reason) => reason.sentence(),
            RefusalReason::NoPod | RefusalReason::Unplannable | RefusalReason::Told => {
                words.unwrap_or("no reason was given").to_owned()
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
    fn sentence(&self, said: &str) -> String {
        match self {
            Self::Quota { why } => format!(
                "the namespace's quota does not allow it ({why}); stop something there, or ask for \
                 a larger quota"
            ),
            Self::Policy { name, why } => format!("the cluster's policy {name} denies it: {why}"),
            Self::MutatingPolicy { name, why } => format!(
                "the cluster's policy {name}, which is to change it, fails and so denies it: {why}"
            ),
            Self::Webhook { name, why } => {
                format!("the cluster's admission webhook {name} denies it{}", behind(Some(why)))
            }
            Self::PodSecurity { why } => format!("the namespace's Pod Security level {why}"),
            Self::NodeTooSmall { why } => {
                format!("its node will never have enough for it ({why})")
            }
            Self::Right => format!(
                "deskd lacks the right to do it ({said}); grant it as container/base/rbac.yaml does"
            ),
            Self::NamespaceEnds => "the namespace is being deleted".to_owned(),
            Self::NotFound => format!("what it belongs to does not exist ({said})"),
            Self::TooLarge => format!("it is larger than the API server takes ({said})"),
            Self::Invalid { why } => format!(
                "the API server says that it is not valid ({why}); correct the application's \
                 description or its execute class"
            ),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreatePod { namespace, pod } => write!(f, "create the pod {pod} in {namespace}"),
            Self::DeletePod { namespace, pod } => write!(f, "delete the pod {pod} in {namespace}"),
            Self::AddContainer { namespace, pod } => {
                write!(f, "add an ephemeral container to the pod {pod} in {namespace}")
            }
        }
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entries(entries) => write!(f, "already has {entries} ephemeral containers"),
            Self::Size { kib, max_kib } => {
                write!(f, "would grow from {kib} KiB to more than {max_kib} KiB")
            }
        }
    }
}
