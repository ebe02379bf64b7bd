//! Images: not there, not allowed, not now.

use crate::why::cause::Cause;
use crate::why::rule::{BLANK, Confidence, Rule, Speaker};

const BASE: Rule = Rule {
    speaker: Speaker::Cluster,
    confidence: Confidence::Certain,
    source: "containerd 1.6 and 2.0, CRI-O 1.28, kubelet 1.34, distribution API",
    ..BLANK
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "image-name",
        cause: Cause::ImageNameInvalid,
        any: &[
            "InvalidImageName",
            "couldn't parse image name*",
            "couldn't parse image reference*",
            "invalid reference format",
            "failed to parse image reference",
            "failed to parse image name",
            "Failed to apply default image tag",
            ".image: Invalid value: *",
        ],
        sentence: "The name of the application's image cannot be the name of an image.",
        advice: "Correct `RepoTags` of the application's document (lower case, `registry/name:tag`), and add it again: `deskd app add FILE`.",
        ..BASE
    },
    Rule {
        name: "image-never-pulled",
        cause: Cause::ImageNeverPulled,
        any: &["ErrImageNeverPull", "is not present with pull policy of Never"],
        sentence: "The application's image, or that of a volume, is not on the machine, and may not be fetched (pull policy Never).",
        advice: "Pull it first (`deskd app pull APP`), or set `imagePullPolicy: IfNotPresent` (od.config: `desktop.pod`, `ephemeral_container` \
                 or `pod_application`, `imagePullPolicy`); for a volume, `image.pullPolicy`.",
        ..BASE
    },
    Rule {
        name: "image-rate-limit",
        cause: Cause::ImageRateLimit,
        any: &[
            "toomanyrequests",
            "429 Too Many Requests",
            "status code 429",
            "status: 429",
            "reached your*pull rate limit",
            "pull QPS exceeded",
            "rate limit exceeded",
        ],
        sentence: "The registry gives no more images for now: too many were fetched.",
        advice: "Wait, or pull with credentials (`imagePullSecrets`; od.config: `desktop.pod`, `imagePullSecrets`), through a mirror of your \
                 own, and ahead of time: `deskd app pull APP`.",
        ..BASE
    },
    Rule {
        name: "image-auth",
        cause: Cause::ImageAuth,
        any: &[
            "401 Unauthorized",
            "403 Forbidden",
            "unauthorized: *",
            "status code 401",
            "status code 403",
            "status: 401",
            "status: 403",
            "reading manifest * denied",
            "pull access denied for *",
            "invalid username/password",
            "unable to retrieve auth token",
            "authentication required",
            "authorization failed",
            "no basic auth credentials",
            "denied: requested access to the resource is denied",
            "insufficient_scope",
            "failed to authorize: failed to fetch*token",
            "FailedToRetrieveImagePullSecret",
            "Unable to retrieve some image pull secrets",
            "incorrect username or password",
        ],
        // Docker Hub's words for an image that is not there are these as well; it is told apart by nobody.
        never: &["proxyconnect", "toomanyrequests", "Failed to open a session", "http://localhost"],
        near: &["image", "pull", "manifest", "registry"],
        confidence: Confidence::Likely,
        sentence: "The registry does not give the application's image without other credentials.",
        advice: "Make a secret (`kubectl create secret docker-registry`) in the namespace of the pod and name it in `imagePullSecrets` \
                 (od.config: `desktop.pod`, `imagePullSecrets`). Some registries say the same of an image that does not exist.",
        ..BASE
    },
    Rule {
        name: "image-not-found",
        cause: Cause::ImageNotFound,
        any: &[
            "failed to resolve reference \"*\": *: not found",
            "manifest unknown",
            "manifest for * not found",
            "name unknown: *",
            "repository does not exist",
            "repository name not known to registry",
            "failed to pull*not found",
            "pull*404 Not Found",
            "manifest*404 Not Found",
            "pull*status code 404",
            "pull*Status 404",
            "pull*StatusCode: 404",
            "No such image: *",
        ],
        never: &["no such host", "for platform", "no matching manifest"],
        sentence: "The application's image does not exist in its registry.",
        advice: "Correct `RepoTags` of the application's document, or push the image. `crictl pull IMAGE` on a node shows the same.",
        ..BASE
    },
    Rule {
        name: "registry-away",
        cause: Cause::RegistryAway,
        any: &[
            "pull*no such host",
            "pull*connection refused",
            "pull*i/o timeout",
            "pull*network is unreachable",
            "pull*no route to host",
            "pull*TLS handshake timeout",
            "x509: certificate*",
            "pull*context deadline exceeded",
            "pull*server gave HTTP response to HTTPS client",
            "pull*502 Bad Gateway",
            "pull*503 Service Unavailable",
            "pull*500 Internal Server Error",
            "pull*504 Gateway Time*",
            "pull*status code 5*",
            "pull*server misbehaving",
            "pull*host is down",
            "pull*certificate signed by unknown authority",
            "tls: failed to verify*",
            "pull*broken pipe",
            "pulling image*: EOF",
            "pinging container registry *",
            "pull*Client.Timeout exceeded",
            "pull*connection reset by peer",
            "unexpected EOF",
            "failed to do request: *",
            "dial tcp: lookup *",
            "RegistryUnavailable",
            "pull*proxyconnect*",
        ],
        never: &["kubernetes.default", ":443/api", "no space left", "failed calling webhook"],
        confidence: Confidence::Likely,
        sentence: "The registry of the application's image does not answer.",
        advice: "From the node: `crictl pull IMAGE`, `curl -v https://REGISTRY/v2/`. Check DNS, proxy and certificates of the container \
                 runtime (/etc/containerd/certs.d). Images that are pulled ahead (`deskd app pull APP`) do not need it.",
        ..BASE
    },
    Rule {
        name: "image-pull",
        cause: Cause::RegistryAway,
        any: &[
            "ErrImagePull",
            "ImagePullBackOff",
            "Back-off pulling image *",
            "Failed to pull image *",
        ],
        never: &["no space left", "for platform", "no matching manifest", "for architecture"],
        confidence: Confidence::Possible,
        sentence: "The application's image cannot be fetched.",
        advice: "`kubectl describe pod` shows the registry's words; `crictl pull IMAGE` on the node repeats it.",
        ..BASE
    },
];
