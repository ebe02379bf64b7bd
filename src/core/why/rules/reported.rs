//! What engines report by a reason of their own (`why::reason`): no words are needed to tell it.

use crate::why::cause::Cause;
use crate::why::fact::Fact;
use crate::why::rule::{BLANK, Confidence, Offer, Rule, Weight};

const BASE: Rule = Rule {
    weight: Weight::Always,
    confidence: Confidence::Certain,
    source: "the engine's own report",
    ..BLANK
};

const PROGRAM: &str = "Correct the label `oc.path` (or `command` in deskd's configuration): the program must be in the image where the \
                       application runs, and executable by its user.";
const NODE: &str = "`kubectl describe node` and `kubectl get events` say why: a drain, a shutdown, a preemption by a more important pod.";
const SMALLER: &str = "The message names what is short. Choose a class that asks for less (od.config: `executeclasses`; label \
                       `oc.executeclassname`), stop other applications, or add nodes. `kubectl describe nodes` shows what is allocated.";
const API: &str = "`kubectl get --raw /readyz`; from the desktop pod: network policy towards the API server, the token of the service account \
                   (`automountServiceAccountToken`), DNS. Local programs run on.";

const fn rule(
    name: &'static str,
    cause: Cause,
    needs: &'static [Fact],
    sentence: &'static str,
    advice: &'static str,
) -> Rule {
    Rule { name, cause, needs, sentence, advice, ..BASE }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "reported-api-away",
        Cause::ApiAway,
        &[Fact::Reported(Cause::ApiAway)],
        "The Kubernetes API does not answer, so nothing can be started in the cluster or learned from it.",
        API,
    ),
    rule(
        "reported-right-missing",
        Cause::RightMissing,
        &[Fact::Reported(Cause::RightMissing)],
        "The desktop's account does not have the right to do it.",
        "Grant it to service account `deskd` as container/rbac.yaml does. `kubectl auth can-i --as system:serviceaccount:NAMESPACE:deskd \
         create pods` shows it.",
    ),
    rule(
        "reported-admission-denied",
        Cause::AdmissionDenied,
        &[Fact::Reported(Cause::AdmissionDenied)],
        "The cluster's rules do not admit the application.",
        "The words name the policy. Give the application a securityContext that fits (od.config: `desktop.pod`, `securityContext`; label \
         `oc.securitycontext`), or change the policy.",
    ),
    rule(
        "reported-quota-exceeded",
        Cause::QuotaExceeded,
        &[Fact::Reported(Cause::QuotaExceeded)],
        "The namespace's quota is used up.",
        "Stop other applications, raise the ResourceQuota (`kubectl describe quota`), or choose a class that asks for less (od.config: \
         `executeclasses`; label `oc.executeclassname`).",
    ),
    rule(
        "reported-image-name-invalid",
        Cause::ImageNameInvalid,
        &[Fact::Reported(Cause::ImageNameInvalid)],
        "The name of the application's image cannot be the name of an image.",
        "Correct `RepoTags` of the application's document (lower case, `registry/name:tag`), and add it again: `deskd app add FILE`.",
    ),
    rule(
        "reported-image-never-pulled",
        Cause::ImageNeverPulled,
        &[Fact::Reported(Cause::ImageNeverPulled)],
        "The application's image, or that of a volume, is not on the machine, and may not be fetched (pull policy Never).",
        "Pull it first (`deskd app pull APP`), or set `imagePullPolicy: IfNotPresent`.",
    ),
    Rule {
        confidence: Confidence::Likely,
        ..rule(
            "reported-registry-away",
            Cause::RegistryAway,
            &[Fact::Reported(Cause::RegistryAway)],
            "The registry of the application's image does not answer.",
            "From the node: `crictl pull IMAGE`, `curl -v https://REGISTRY/v2/`. Check DNS, proxy and certificates of the container runtime \
             (/etc/containerd/certs.d).",
        )
    },
    Rule {
        confidence: Confidence::Likely,
        ..rule(
            "reported-container-config",
            Cause::ContainerConfig,
            &[Fact::Reported(Cause::ContainerConfig)],
            "The application's container cannot be made as configured: a secret, a volume or its user does not fit.",
            "The message names it. Make the secret, ConfigMap or claim in the pod's namespace, and give a numeric `runAsUser` with \
             `runAsNonRoot` (label `oc.securitycontext`).",
        )
    },
    Rule {
        offer: Offer::LessOf,
        ..rule(
            "reported-unschedulable-resource",
            Cause::UnschedulableResource,
            &[Fact::Reported(Cause::UnschedulableResource)],
            "The machine chosen for the application does not have enough free for it.",
            SMALLER,
        )
    },
    rule(
        "reported-unschedulable-selector",
        Cause::UnschedulableSelector,
        &[Fact::Reported(Cause::UnschedulableSelector)],
        "No machine of the cluster is of the kind that the application asks for.",
        "Compare the class's `nodeSelector` (od.config: `executeclasses`) with `kubectl get nodes --show-labels`, and label a node or correct \
         the class.",
    ),
    rule(
        "reported-node-lost",
        Cause::NodeLost,
        &[Fact::Reported(Cause::NodeLost)],
        "The machine that the application ran on is gone.",
        "`kubectl get nodes; kubectl describe node NODE`. The application can be started again on another one.",
    ),
    rule(
        "reported-evicted",
        Cause::Evicted,
        &[Fact::Reported(Cause::Evicted)],
        "The machine ran short of something, or the application used more disk than it may, and Kubernetes ended it.",
        "`kubectl describe pod` names the resource. Raise `requests` and the `ephemeral-storage` limit or the emptyDir's `sizeLimit` \
         (od.config: `executeclasses`), or look at the node: `kubectl describe node`.",
    ),
    rule(
        "reported-deadline",
        Cause::DeadlineExceeded,
        &[Fact::Reported(Cause::DeadlineExceeded)],
        "The application's time was over: its pod has a deadline.",
        "Raise or remove the deadline: label `io.deskd.deadline`, or `activeDeadlineSeconds` of the class (od.config: `executeclasses`).",
    ),
    Rule {
        offer: Offer::MoreMemory,
        ..rule(
            "reported-out-of-memory",
            Cause::OutOfMemory,
            &[Fact::Reported(Cause::OutOfMemory)],
            "The program, or a process of it, was killed: its container's memory was used up.",
            "Give it an execute class with a higher memory limit (od.config: `executeclasses`; label `oc.executeclassname`).",
        )
    },
    Rule {
        unless: &[Fact::Stopped],
        confidence: Confidence::Likely,
        ..rule(
            "reported-stopped-by-node",
            Cause::StoppedByNode,
            &[Fact::Reported(Cause::StoppedByNode)],
            "The program was stopped by the machine it ran on, or by Kubernetes.",
            NODE,
        )
    },
    rule(
        "reported-program-not-found",
        Cause::ProgramNotFound,
        &[Fact::Reported(Cause::ProgramNotFound)],
        "The program is not there, or the interpreter of its first line is not.",
        PROGRAM,
    ),
    rule(
        "reported-program-not-executable",
        Cause::ProgramNotExecutable,
        &[Fact::Reported(Cause::ProgramNotExecutable)],
        "The program is there, and may not be started by this user.",
        PROGRAM,
    ),
    rule(
        "reported-wrong-architecture",
        Cause::WrongArchitecture,
        &[Fact::Reported(Cause::WrongArchitecture)],
        "The program is neither made for this machine's processor nor a script: it does not begin with `#!`.",
        "Use an image or a program for the node's architecture (`uname -m`), or begin the script with `#!`.",
    ),
];
