//! What the API server, the scheduler and kubelet say.

use crate::domain::diagnosis::cause::Cause;
use crate::domain::diagnosis::fact::Fact;
use crate::domain::diagnosis::rule::{BLANK, Confidence, Offer, Rule, Weight};

const BASE: Rule = Rule { confidence: Confidence::Certain, ..BLANK };

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "api-away",
        cause: Cause::ApiAway,
        weight: Weight::Always,
        needs: &[Fact::ApiAway],
        sentence: "The Kubernetes API does not answer, so nothing can be started in the cluster or learned from it.",
        advice: "`kubectl get --raw /readyz`; from the desktop pod: network policy towards the API server, the token of the service \
                 account (`automountServiceAccountToken`), DNS. Local programs run on.",
        source: "deskd's own look",
        ..BASE
    },
    Rule {
        name: "api-away-said",
        cause: Cause::ApiAway,
        any: &[
            "The connection to the server * was refused",
            "Unable to connect to the server: *",
            "the Kubernetes API does not answer",
            "etcdserver: *",
            "apiserver*connection refused",
            "apiserver not ready",
            "the server is currently unable to handle the request",
            "the server was unable to return a response in the time allotted",
        ],
        confidence: Confidence::Likely,
        sentence: "The Kubernetes API does not answer.",
        advice: "`kubectl get --raw /readyz`; from the desktop pod: network policy towards the API server, the token of the service \
                 account (`automountServiceAccountToken`), DNS. Local programs run on.",
        source: "kubectl and apimachinery 1.34, etcd 3.6",
        ..BASE
    },
    Rule {
        name: "quota",
        cause: Cause::QuotaExceeded,
        any: &[
            "exceeded quota: *, requested: *, used: *",
            "exceeded quota: *",
            "failed quota: *",
            "FailedCreate*quota*",
        ],
        sentence: "The namespace's quota is used up: {1}.",
        advice: "Stop other applications, raise the ResourceQuota (`kubectl describe quota`), or choose a class that asks for less (od.config: \
                 `executeclasses`; label `oc.executeclassname`). `failed quota ... must specify` means that the class names no limits.",
        source: "kube-apiserver 1.34 plugin/pkg/admission/resourcequota",
        ..BASE
    },
    Rule {
        name: "admission-webhook",
        cause: Cause::AdmissionDenied,
        any: &[
            "admission webhook \"*\" denied the request: *",
            "admission webhook * denied the request",
            "ValidatingAdmissionPolicy '*' with binding '*' denied request: *",
            "ValidatingAdmissionPolicy * denied request",
            "violates PodSecurity *",
            "is forbidden: violates *",
            "failed calling webhook *",
            "unable to validate against any security context constraint",
            "maximum * usage per * is *",
            "minimum * usage per * is *",
            "denied the request",
            "denied by policy",
        ],
        near: &["denied*", "forbidden", "violates", "webhook", "error"],
        sentence: "The cluster's rules do not admit the application.",
        advice: "The words name the policy. For Pod Security give the application a securityContext that fits (od.config: `desktop.pod`, \
                 `securityContext`; label `oc.securitycontext`: `runAsNonRoot`, `allowPrivilegeEscalation: false`, `capabilities.drop: [ALL]`, \
                 `seccompProfile: RuntimeDefault`), or label the namespace; else change the policy.",
        source: "kube-apiserver 1.34 admission webhooks, ValidatingAdmissionPolicy, pod-security, limitranger",
        ..BASE
    },
    Rule {
        name: "right-missing",
        cause: Cause::RightMissing,
        any: &[
            "User \"*\" cannot * resource",
            "cannot * resource * in API group",
            "is forbidden: User *",
        ],
        sentence: "The desktop's account does not have the right to do it.",
        advice: "Grant it to service account `deskd` (container/rbac.yaml): pods create, get, list, watch, delete; pods/log get; \
                 pods/ephemeralcontainers patch. `kubectl auth can-i --as system:serviceaccount:NAMESPACE:deskd create pods` shows it.",
        source: "kube-apiserver 1.34 authorization, RBAC",
        ..BASE
    },
    Rule {
        name: "unschedulable-resource",
        cause: Cause::UnschedulableResource,
        any: &[
            "nodes are available: *Insufficient *",
            "node(s) * Insufficient *",
            "Insufficient *",
            "Too many pods",
            "didn't have free ports for the requested pod ports",
        ],
        near: &["nodes are available", "Unschedulable", "FailedScheduling", "OutOf"],
        offer: Offer::LessOf,
        sentence: "No machine of the cluster has enough free for the application.",
        advice: "The message names what is short. Choose a class that asks for less (od.config: `executeclasses`; label \
                 `oc.executeclassname`), stop other applications, or add nodes. `kubectl describe nodes` shows what is allocated.",
        source: "kube-scheduler 1.34 noderesources/fit.go",
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
        ],
        never: &["OutOfMemoryError"],
        sentence: "The machine chosen for the application had not enough left when it arrived.",
        advice: "Start it again. If it repeats: a class that asks for less (od.config: `executeclasses`), or more nodes.",
        source: "kubelet 1.34 lifecycle/predicate.go",
        ..BASE
    },
    Rule {
        name: "unschedulable-selector",
        cause: Cause::UnschedulableSelector,
        any: &[
            "node(s) didn't match Pod's node affinity/selector",
            "node(s) didn't match pod affinity rules",
            "node(s) didn't match pod anti-affinity rules",
            "node(s) didn't match pod topology spread",
            "node(s) had volume node affinity conflict",
            "node(s) didn't match the requested node name",
            "node(s) didn't match node selector",
            "didn't match PersistentVolume's node affinity",
            "NodeAffinity",
        ],
        never: &["NodeAffinityPriority"],
        sentence: "No machine of the cluster is of the kind that the application asks for.",
        advice: "Compare the class's `nodeSelector` (od.config: `executeclasses`) with `kubectl get nodes --show-labels`, and label a node or \
                 correct the class.",
        source: "kube-scheduler 1.34 nodeaffinity, interpodaffinity, volumebinding",
        ..BASE
    },
    Rule {
        name: "unschedulable-taint",
        cause: Cause::UnschedulableTaint,
        any: &[
            "node(s) had untolerated taint *",
            "node(s) had untolerated taint(s)",
            "node(s) had taint *",
            "node(s) were unschedulable",
        ],
        sentence: "The machines of the cluster are reserved, and the application has no permission to use them (taints).",
        advice: "Add a toleration to the application (od.config: `desktop.pod`, `tolerations`; `executeclasses`), or remove the taint: \
                 `kubectl describe nodes | grep -A2 Taints`.",
        source: "kube-scheduler 1.34 tainttoleration",
        ..BASE
    },
    Rule {
        name: "evicted",
        cause: Cause::Evicted,
        any: &[
            "The node was low on resource: *",
            "Pod ephemeral local storage usage exceeds the total limit",
            "ephemeral local storage usage exceeds*limit",
            "Usage of EmptyDir volume * exceeds the limit",
            "The node had condition: *",
            "Evicted: *",
        ],
        sentence: "The machine ran short of something, or the application used more disk than it may, and Kubernetes ended it.",
        advice: "The message names the resource. Raise `requests` and the `ephemeral-storage` limit or the emptyDir's `sizeLimit` (od.config: \
                 `executeclasses`), or look at the node: `kubectl describe node`.",
        source: "kubelet 1.34 eviction/helpers.go",
        ..BASE
    },
    Rule {
        name: "evicted-as-said",
        cause: Cause::Evicted,
        needs: &[Fact::PodEvicted],
        sentence: "The machine ran short of something, or the application used more disk than it may, and Kubernetes ended it.",
        advice: "`kubectl describe pod` names the resource. Raise `requests` and the `ephemeral-storage` limit or the emptyDir's \
                 `sizeLimit` (od.config: `executeclasses`), or look at the node: `kubectl describe node`.",
        source: "kubelet 1.34 eviction: reason Evicted",
        ..BASE
    },
    Rule {
        name: "node-lost",
        cause: Cause::NodeLost,
        any: &[
            "NodeLost",
            "NodeNotReady",
            "Node is not ready",
            "node is not responding",
            "Node * which was running pod * is unresponsive",
            "pod garbage collected*node",
            "PodGC: node no longer exists",
            "node no longer exists",
            "ContainerStatusUnknown",
            "The container could not be located when the pod was terminated",
            "NodeStatusUnknown",
            "Kubelet stopped posting node status",
        ],
        never: &["untolerated"],
        confidence: Confidence::Likely,
        sentence: "The machine that the application ran on is gone.",
        advice: "`kubectl get nodes; kubectl describe node NODE`. The application can be started again on another one.",
        source: "kube-controller-manager 1.34 node-lifecycle and pod-garbage-collector, kubelet 1.34",
        ..BASE
    },
    Rule {
        name: "deadline",
        cause: Cause::DeadlineExceeded,
        any: &["DeadlineExceeded", "Pod was active on the node longer than the specified deadline"],
        never: &["context deadline", "rpc error", "code = DeadlineExceeded"],
        sentence: "The application's time was over: its pod has a deadline.",
        advice: "Raise or remove `activeDeadlineSeconds` of the class (od.config: `executeclasses`).",
        source: "kubelet 1.34 active_deadline.go",
        ..BASE
    },
    Rule {
        name: "container-config",
        cause: Cause::ContainerConfig,
        any: &[
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root",
            "container has runAsNonRoot and image has non-numeric user",
            "secret \"*\" not found",
            "configmap \"*\" not found",
            "couldn't find key * in Secret",
            "couldn't find key * in ConfigMap",
            "MountVolume.SetUp failed for volume *",
            "Unable to attach or mount volumes: *",
            "FailedMount",
            "persistentvolumeclaim \"*\" not found",
            "volumeMounts*Not found",
            "not found: volume *",
            "CreateContainerError",
            "unbound immediate PersistentVolumeClaims",
            "is invalid: spec*",
            "namespaces \"*\" not found",
            "serviceaccount \"*\" not found",
            "failed to prepare subPath*",
        ],
        never: &["imagePullSecret", "image pull secret"],
        sentence: "The application's container cannot be made as configured: a secret, a volume or its user does not fit.",
        advice: "The message names it. Make the secret, ConfigMap or claim in the pod's namespace (label `oc.secrets_requirement`; od.config: \
                 `desktop.secretsrootdirectory`, `desktop.homedirectorytype`), and give a numeric `runAsUser` with `runAsNonRoot` (label \
                 `oc.securitycontext`).",
        source: "kubelet 1.34 kuberuntime_container.go, security_context_others.go, volumemanager",
        ..BASE
    },
    Rule {
        name: "start-error",
        cause: Cause::ProgramNotFound,
        any: &["^StartError", "^ContainerCannotRun", "^RunContainerError"],
        weight: Weight::Noise,
        confidence: Confidence::Possible,
        sentence: "The application's container could not start its program.",
        advice: "Correct the label `oc.path`: the program must be in the image and executable. `kubectl describe pod` has the runtime's words.",
        source: "kubelet 1.34, containerd 1.6: reason StartError, exit code 128",
        ..BASE
    },
];
