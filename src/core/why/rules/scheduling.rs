//! What the scheduler and kubelet say of a pod that no node takes.

use crate::why::cause::Cause;
use crate::why::rule::{BLANK, Confidence, Offer, Rule, Speaker, Weight};

const BASE: Rule = Rule { speaker: Speaker::Cluster, confidence: Confidence::Certain, ..BLANK };

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "unschedulable-resource",
        cause: Cause::UnschedulableResource,
        any: &[
            "nodes are available: *Insufficient *",
            "node(s) * Insufficient *",
            "Insufficient *",
            "Too many pods",
            "didn't have free ports for the requested pod ports",
            "node(s) exceed max volume count",
            "node(s) did not have enough free storage",
            "cannot allocate all claims",
            "no nodes available to schedule pods",
            "max node group size reached",
        ],
        near: &[
            "nodes are available",
            "no nodes available",
            "Unschedulable",
            "FailedScheduling",
            "NotTriggerScaleUp",
            "OutOf",
        ],
        offer: Offer::LessOf,
        sentence: "No machine of the cluster has enough free for the application.",
        advice: "The message names what is short. Choose a class that asks for less (od.config: `executeclasses`; label \
                 `oc.executeclassname`), stop other applications, or add nodes. `kubectl describe nodes` shows what is allocated.",
        source: "kube-scheduler 1.34 noderesources/fit.go, nodeports, nodevolumelimits, dynamicresources, volumebinding; cluster-autoscaler 1.34",
        ..BASE
    },
    Rule {
        name: "unschedulable-out-of",
        cause: Cause::UnschedulableResource,
        any: &[
            "OutOfcpu",
            "OutOfmemory",
            "OutOfpods",
            "OutOfephemeral-storage",
            "OutOfnvidia.com/gpu",
            "Node didn't have enough resource: *",
            "UnexpectedAdmissionError*",
            "requested number of devices unavailable for *",
        ],
        never: &["OutOfMemoryE", "RuntimeError", "^Deferred: ", "^Infeasible: ", "^Resize"],
        sentence: "The machine chosen for the application had not enough left when it arrived.",
        advice: "Start it again. If it repeats: a class that asks for less (od.config: `executeclasses`), or more nodes.",
        source: "kubelet 1.34 lifecycle/predicate.go",
        ..BASE
    },
    Rule {
        name: "device-claim",
        cause: Cause::UnschedulableResource,
        any: &[
            "Failed to prepare dynamic resources: *",
            "NodePrepareResources failed for ResourceClaim *",
            "DRA driver * is not registered",
        ],
        sentence: "The machine chosen for the application could not prepare a device that it claims.",
        advice: "The message names the claim or the driver: look at the driver's pod on that node, and at the claim: `kubectl describe \
                 resourceclaims`.",
        source: "kubelet 1.36 kuberuntime_manager.go, cm/dra",
        ..BASE
    },
    Rule {
        name: "resize-refused",
        cause: Cause::UnschedulableResource,
        any: &[
            "^Infeasible: *",
            "^Deferred: *",
            "^ResizeInfeasible: *",
            "^ResizeDeferred: *",
            "node didn't have enough allocatable resources: *",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Possible,
        sentence: "Its machine does not give the application what it was to get while it runs: {1}.",
        advice: "Deferred: it comes as soon as others on that node end. Infeasible: never there. Start it again with a class that asks for \
                 what it needs (od.config: `executeclasses`; label `oc.executeclassname`).",
        source: "kubelet 1.36 allocation: condition PodResizePending, events ResizeDeferred and ResizeInfeasible; kube-apiserver 1.36 podresize",
        ..BASE
    },
    Rule {
        name: "unschedulable-selector",
        cause: Cause::UnschedulableSelector,
        any: &[
            "node(s) didn't match Pod's node affinity*",
            "node(s) didn't match pod affinity*",
            "node(s) didn't match pod anti-affinity*",
            "node(s) didn't satisfy existing pods anti-affinity*",
            "node(s) didn't satisfy*affinity*",
            "node(s) didn't match pod topology spread*",
            "node(s) didn't match scheduler-enforced node affinity*",
            "node(s) didn't match the requested *",
            "node(s) didn't match node selector",
            "node(s) didn't match*",
            "node(s) had volume node affinity conflict",
            "node(s) had no available volume zone",
            "node(s) didn't find available persistent volumes to bind",
            "didn't match PersistentVolume's node affinity",
            "Predicate NodeAffinity failed",
            "NodeAffinity: *",
            "^NodeAffinity$",
        ],
        never: &["NodeAffinityPriority"],
        sentence: "No machine of the cluster is of the kind that the application asks for.",
        advice: "Compare the class's `nodeSelector` (od.config: `executeclasses`) with `kubectl get nodes --show-labels`, and label a node or \
                 correct the class.",
        source: "kube-scheduler 1.34 nodeaffinity, interpodaffinity, podtopologyspread, volumebinding, volumezone; kubelet 1.34 lifecycle/predicate.go",
        ..BASE
    },
    Rule {
        name: "unschedulable-taint",
        cause: Cause::UnschedulableTaint,
        any: &[
            "node(s) had untolerated taint *",
            "node(s) had untolerated taint(s)",
            "node(s) had taint *",
            "node(s) had taints that the pod didn't tolerate",
            "node(s) were unschedulable",
            "Predicate NodeTaints failed",
            "Predicate TaintToleration failed",
            "^NodeTaints$",
        ],
        sentence: "The machines of the cluster are reserved, and the application has no permission to use them (taints).",
        advice: "Add a toleration to the application (od.config: `desktop.pod`, `tolerations`; `executeclasses`), or remove the taint: \
                 `kubectl describe nodes | grep -A2 Taints`.",
        source: "kube-scheduler 1.34 tainttoleration",
        ..BASE
    },
];
