//! The execute class of an application: the one its document names, else the operator's default,
//! else the smallest that has what `oc.host_config` asks for. The last is a hint, as Docker's limits
//! are: it chooses among classes and never makes a pod necessary.

use crate::app::container::ContainerApp;
use crate::policy::{ExecuteClass, Policy};
use crate::quantity::Quantity;
use crate::text;
use crate::text::Text;

/// Which class, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    /// The class; it may be missing from the configuration.
    pub(super) name: Option<&'a str>,
    /// One sentence, if `oc.host_config` had to do with it.
    pub(super) note: Option<Text>,
}

/// The name of the class that `container` gets in a pod.
#[must_use]
pub fn name_of<'a>(container: &'a ContainerApp, policy: &'a Policy) -> Option<&'a str> {
    of(container, policy).name
}

pub(super) fn of<'a>(container: &'a ContainerApp, policy: &'a Policy) -> Choice<'a> {
    let hint = Hint::of(container);
    if let Some(name) = container.execute_class.as_deref() {
        return Choice { name: Some(name), note: None };
    }
    let default = policy.default_class.as_deref();
    let enough = |name: &str| {
        policy.classes.get(name).is_none_or(|class| hint.amounts_of(class, policy).is_some())
    };
    if hint.is_none() || default.is_some_and(enough) {
        return Choice { name: default, note: None };
    }
    let asked = hint.words();
    match hint.smallest(policy) {
        Some(name) => Choice {
            name: Some(name),
            note: Some(text!(
                "it gets the execute class `{name}`, the smallest that has what oc.host_config \
                 asks for ({asked})",
                name,
                asked
            )),
        },
        None => Choice {
            name: default,
            note: Some(text!(
                "no execute class has what oc.host_config asks for ({asked}): add a section \
                 [execute_class.NAME] with that limit",
                asked
            )),
        },
    }
}

/// What `oc.host_config` says about resources; 0: nothing.
#[derive(Debug, Clone, Copy)]
struct Hint {
    memory_bytes: u64,
    cpu_millis: u64,
}

impl Hint {
    fn of(container: &ContainerApp) -> Self {
        let config = &container.host_config;
        Self {
            memory_bytes: config.memory_bytes.unwrap_or(0),
            cpu_millis: config.cpu_millis.unwrap_or(0),
        }
    }

    fn is_none(self) -> bool {
        self.memory_bytes == 0 && self.cpu_millis == 0
    }

    /// Its limits of memory and CPU time, if they are enough. A class without a limit has as much
    /// as there is.
    fn amounts_of(self, class: &ExecuteClass, policy: &Policy) -> Option<(Quantity, Quantity)> {
        let limit = |resource: &str| class.amount(resource, true, &policy.gpu_resource);
        let (memory, cpu) = (limit("memory"), limit("cpu"));
        let enough =
            memory.units() >= self.memory_bytes.into() && cpu.millis() >= self.cpu_millis.into();
        enough.then_some((memory, cpu))
    }

    /// None that asks for GPUs or certain nodes: those are for applications that name them. And none
    /// without a limit of memory: nobody chose it for being small.
    fn smallest(self, policy: &Policy) -> Option<&str> {
        let ordinary = |class: &ExecuteClass| {
            class.gpu.unwrap_or(0) == 0
                && class.node_selector.is_empty()
                && class.tolerations.is_empty()
                && class.runtime_class.is_none()
                && class.limits.contains_key("memory")
        };
        let classes = policy.classes.iter().filter(|(_, class)| ordinary(class));
        classes
            .filter_map(|(name, class)| Some((self.amounts_of(class, policy)?, name)))
            .min()
            .map(|(_, name)| name.as_str())
    }

    fn words(self) -> Text {
        let memory = (self.memory_bytes > 0).then(|| {
            text!("{amount} of memory", amount = super::shm::size_text(self.memory_bytes))
        });
        let cpu =
            (self.cpu_millis > 0).then(|| text!("{millis}m of CPU time", millis = self.cpu_millis));
        Text::joined(memory.into_iter().chain(cpu), ", ")
    }
}
