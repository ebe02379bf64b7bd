//! Images being pulled on the nodes, and what became of it.

use std::sync::Arc;

use super::driver::Driver;
use super::handle::PullError;
use super::input::Reply;
use deskd_core::id::AppId;
use deskd_core::plan::facts::ApiState;
use deskd_core::port::{Command, Link};
use deskd_core::pull::PullStatus;
use deskd_core::run::Effect;

/// Pulls remembered; the oldest go first.
const PULLS_MAX: usize = 256;

/// The last status of each image on each node.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    list: Arc<Vec<PullStatus>>,
}

impl Pulls {
    fn said(&mut self, status: PullStatus) {
        let list = Arc::make_mut(&mut self.list);
        // A pull whose node was not known yet is the same pull.
        let same = |old: &PullStatus| {
            old.image == status.image && (old.node == status.node || old.node.is_none())
        };
        list.retain(|old| !same(old));
        if list.len() >= PULLS_MAX {
            list.remove(0);
        }
        list.push(status);
    }

    pub(super) fn shared(&self) -> Arc<Vec<PullStatus>> {
        self.list.clone()
    }
}

impl Driver {
    /// A pull went one step further.
    pub(super) fn pull_said(&mut self, status: PullStatus) {
        self.pulls.said(status);
        self.runs.next_generation();
    }

    /// Asks for an app's image on the nodes.
    pub(super) fn pull(&mut self, app: &AppId, reply: Reply<Result<String, PullError>>) {
        let asked = self.ask_for_pull(app);
        self.answer(reply, asked);
    }

    /// The image that is being pulled.
    pub(super) fn ask_for_pull(&mut self, id: &AppId) -> Result<String, PullError> {
        let app = self.apps.get(id).ok_or_else(|| PullError::UnknownApp(id.clone()))?;
        let container = app.container.as_ref().ok_or_else(|| PullError::NoImage(id.clone()))?;
        let image = container.image.clone();
        match &self.runs.kubernetes().api {
            ApiState::Answers => {}
            ApiState::Off(why) | ApiState::Away(why) => {
                return Err(PullError::Kubernetes(why.clone()));
            }
            ApiState::Unknown => {
                return Err(PullError::Kubernetes("it has not answered yet".to_owned()));
            }
        }
        // Of an earlier pull: nobody is to take that for this one's end.
        Arc::make_mut(&mut self.pulls.list).retain(|old| old.image != image);
        let pull = Command::Pull { image: image.clone() };
        self.effects.push(Effect::Command(Link::Cluster, pull));
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deskd_core::pull::PullState;

    #[test]
    fn a_pull_is_one_entry_from_before_its_node_is_known_to_its_end() {
        let status = |image: &str, node: Option<&str>, state| PullStatus {
            image: image.to_owned(),
            node: node.map(str::to_owned),
            state,
        };
        let mut pulls = Pulls::default();
        pulls.said(status("a", None, PullState::Scheduling { why: None }));
        pulls.said(status("b", Some("n1"), PullState::Pulling));
        pulls.said(status("a", Some("n1"), PullState::Pulling));
        pulls.said(status("a", Some("n2"), PullState::Pulling));
        let pulled = PullState::Pulled { size_bytes: Some(7), took_ms: 5 };
        pulls.said(status("a", Some("n1"), pulled.clone()));
        let list = pulls.shared();
        assert_eq!(list.len(), 3);
        assert_eq!(list[2], status("a", Some("n1"), pulled));
    }
}
