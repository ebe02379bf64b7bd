//! Which cause a reported reason means. A reason that only the cluster's words tell apart (a pull that
//! failed, a pod that no node takes) means none: the rules read those.

use super::{
    ApiRefusal, Delay, EndReason, Ended, Explanation, LostReason, RefusalReason, Refused,
    WaitReason, Waiting,
};
use crate::task::Exit;
use crate::why::Cause;
use crate::wire::SpawnError;

/// errno of execve(2): the file, or its interpreter, is not there.
const ENOENT: i32 = 2;
/// Not a format that this machine executes.
const ENOEXEC: i32 = 8;
/// It may not be executed.
const EACCES: i32 = 13;

impl Waiting {
    /// The cause that it means.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.reason.cause()
    }
}

impl WaitReason {
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::Request { delay: Delay::Token, .. } => Some(Cause::RightMissing),
            Self::Request { delay: Delay::NoAnswer, .. } => Some(Cause::ApiAway),
            Self::ImageName { .. } => Some(Cause::ImageNameInvalid),
            Self::ImageNeverPulled { .. } => Some(Cause::ImageNeverPulled),
            Self::RegistryAway { .. } => Some(Cause::RegistryAway),
            Self::ContainerConfig { .. } | Self::ImageVolume { .. } => Some(Cause::ContainerConfig),
            Self::Device => Some(Cause::UnschedulableResource),
            Self::Init { reason, .. } => reason.cause(),
            _ => None,
        }
    }
}

impl Refused {
    /// The cause that it means.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match &self.reason {
            RefusalReason::Api { refusal, .. } => refusal.cause(),
            RefusalReason::Spawn(error) => of_spawn(error),
            RefusalReason::GivenUp { waited, .. } => waited.as_ref()?.cause(),
            RefusalReason::Ended(reason) => reason.cause(),
            RefusalReason::Lost(reason) => reason.cause(),
            _ => None,
        }
    }
}

impl ApiRefusal {
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::Quota { .. } => Some(Cause::QuotaExceeded),
            Self::Policy { .. }
            | Self::MutatingPolicy { .. }
            | Self::Webhook { .. }
            | Self::PodSecurity { .. } => Some(Cause::AdmissionDenied),
            Self::NodeTooSmall { .. } => Some(Cause::UnschedulableResource),
            Self::Right => Some(Cause::RightMissing),
            Self::NamespaceEnds | Self::NotFound | Self::Invalid { .. } => {
                Some(Cause::ContainerConfig)
            }
            Self::TooLarge => None,
        }
    }
}

fn of_spawn(error: &SpawnError) -> Option<Cause> {
    match error {
        SpawnError::NotInPath { .. } | SpawnError::Exec { errno: ENOENT, .. } => {
            Some(Cause::ProgramNotFound)
        }
        SpawnError::Exec { errno: EACCES, .. } => Some(Cause::ProgramNotExecutable),
        SpawnError::Exec { errno: ENOEXEC, .. } => Some(Cause::WrongArchitecture),
        _ => None,
    }
}

impl Ended {
    /// The cause that it means.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.reason.cause()
    }
}

impl EndReason {
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::OomKilled | Self::OomKilledChild => Some(Cause::OutOfMemory),
            Self::LostSight { .. } | Self::NodeLost { .. } | Self::NodeGone { .. } => {
                Some(Cause::NodeLost)
            }
            Self::Evicted { .. } | Self::MovedAway { .. } => Some(Cause::Evicted),
            Self::Deadline => Some(Cause::DeadlineExceeded),
            Self::Preempted { .. }
            | Self::PreemptedByScheduler
            | Self::NodeShutdown { .. }
            | Self::ByKubelet { .. } => Some(Cause::StoppedByNode),
            Self::NotAdmitted { affinity: true, .. } => Some(Cause::UnschedulableSelector),
            Self::NotAdmitted { affinity: false, .. } | Self::OutOf { .. } => {
                Some(Cause::UnschedulableResource)
            }
            _ => None,
        }
    }
}

impl LostReason {
    /// The cause that it means.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::NotStarted(why) => why.cause(),
            Self::Ended(why) => why.cause(),
            Self::KeeperRestarted => Some(Cause::StoppedByNode),
            _ => None,
        }
    }
}

impl Explanation {
    /// The cause that an engine reported.
    #[must_use]
    pub fn reported(&self) -> Option<Cause> {
        match self {
            Self::NotStarted { why, .. } => why.cause(),
            Self::Cluster(why) => why.cause(),
            Self::Lost { reason, .. } => reason.cause(),
            Self::ByItself { .. } | Self::Diagnosed { .. } | Self::Told(_) => None,
        }
    }
}

impl Exit {
    /// The cause that an engine reported.
    #[must_use]
    pub fn reported(&self) -> Option<Cause> {
        match self {
            Self::Lost(reason) => reason.cause(),
            _ => None,
        }
    }
}
