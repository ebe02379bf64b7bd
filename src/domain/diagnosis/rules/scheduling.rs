//! What the scheduler and kubelet say of a pod that no node takes.

use crate::domain::diagnosis::cause::Cause;
use crate::domain::diagnosis::rule::{BLANK, Confidence, Offer, Rule, Speaker};

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
            "the node * has not enough *",
        ],
        never: &["OutOfMemoryE", "RuntimeError"],
        sentence: "The machine chosen for the application had not enough left when it arrived.",
        advice: "Start it again. If it repeats: a class that asks for less (od.config: `executeclasses`), or more nodes.",
        source: "kubelet 1.34 lifecycle/predicate.go",
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
