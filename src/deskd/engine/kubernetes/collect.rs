//! Collects application pods whose desktop is gone: `deskd collect`.
//!
//! In the desktops' own namespace the cluster does that by itself, since the desktop's pod owns
//! them. An owner in another namespace is not allowed (Kubernetes documentation, "Owners and
//! Dependents"), so for a namespace of application pods somebody has to look
//! (`container/collector/collector.yaml`).
//!
//! A pod is an orphan when no pod has the uid of its desktop. Applications are listed before
//! desktops, and a desktop is there before its applications: one that is missing from the second
//! list is gone for good, and uids are not given twice. Where the second list cannot be had, nothing
//! is deleted. A deletion names the pod's uid, so a new pod of the same name is not hit.
//!
//! Deliberately not here: ended applications of a desktop that is there. Its deskd removes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, PartialObjectMeta, Preconditions};
use serde::Serialize;

use super::credentials::{CredentialsError, credentials};
use super::identity::chain;
use deskd_core::kubernetes::{
    LABEL_DESKTOP, LABEL_DESKTOP_NAMESPACE, LABEL_DESKTOP_UID, LABEL_MANAGED_BY, MANAGED_BY,
};

/// Pods of one answer to a list.
const PAGE_PODS: u32 = 500;
/// Pods deleted by one run; the next one goes on.
const DELETIONS_MAX: usize = 1000;

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// There is no way to the API server.
    #[error(transparent)]
    NoCredentials(#[from] CredentialsError),
    /// It does not answer.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
    /// It refuses.
    #[error("the API server says: {0}")]
    Refused(String),
}

impl From<kube::Error> for CollectError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status.message),
            // Its own text is the name of the variant.
            kube::Error::Service(error) => Self::Unreachable(chain(&*error)),
            other => Self::Unreachable(chain(&other)),
        }
    }
}

/// An application pod whose desktop is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Its name.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// Name of the desktop pod, as far as it fits into a label.
    pub desktop: String,
    /// Where the desktop was.
    pub desktop_namespace: String,
    /// The desktop pod's uid.
    pub desktop_uid: String,
}

/// What a run found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// Where application pods were looked for.
    pub namespace: String,
    /// Nothing was deleted.
    pub dry_run: bool,
    /// Application pods that were there, without those that are being deleted already.
    pub pods: usize,
    /// Those that were deleted, or would have been.
    pub collected: Vec<Orphan>,
    /// Orphans that are left to the next run.
    pub left: usize,
    /// What could not be looked at or deleted, in sentences.
    pub troubles: Vec<String>,
}

/// The cluster in which pods are collected.
pub struct Collector {
    client: kube::Client,
    namespace: String,
}

impl Collector {
    /// With the credentials of a kubeconfig file, else with those that kubelet gives to a pod.
    /// Without a namespace, in the one that these name.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        namespace: Option<String>,
    ) -> Result<Self, CollectError> {
        let config = credentials(kubeconfig).await?;
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = kube::Client::try_from(config)
            .map_err(|error| CredentialsError::Missing(chain(&error)))?;
        Ok(Self { client, namespace })
    }

    /// Looks, and deletes what is orphaned unless `dry_run`.
    pub async fn collect(&self, dry_run: bool) -> Result<Collection, CollectError> {
        let selector = format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_DESKTOP_UID}");
        let pods = self.list(&self.namespace, Some(&selector), application).await?;
        let mut troubles = Vec::new();
        let living = self.desktops(&pods, &mut troubles).await;
        let mut orphans = orphans(&pods, &living);
        let left = orphans.len().saturating_sub(DELETIONS_MAX);
        orphans.truncate(DELETIONS_MAX);
        let mut collected = Vec::new();
        for orphan in orphans {
            match if dry_run { Ok(()) } else { self.delete(&orphan).await } {
                Ok(()) => collected.push(orphan),
                Err(error) => troubles.push(format!(
                    "the pod {}/{} could not be deleted: {error}",
                    self.namespace, orphan.pod
                )),
            }
        }
        let namespace = self.namespace.clone();
        Ok(Collection { namespace, dry_run, pods: pods.len(), collected, left, troubles })
    }

    /// The uids of all pods of each namespace that has desktops of `pods`.
    async fn desktops(
        &self,
        pods: &[Orphan],
        troubles: &mut Vec<String>,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let mut living = BTreeMap::new();
        let namespaces: BTreeSet<_> = pods.iter().map(|pod| &pod.desktop_namespace).collect();
        for namespace in namespaces {
            match self.list(namespace, None, |meta| meta.uid).await {
                Ok(uids) => {
                    living.insert(namespace.clone(), uids.into_iter().collect());
                }
                Err(error) => troubles.push(format!(
                    "application pods of desktops in {namespace} stay, since it is not known which of \
                     these are there: {error}"
                )),
            }
        }
        living
    }

    /// What `wanted` makes of each pod's metadata. Without a resource version, the API server
    /// answers with what is the case now.
    async fn list<T>(
        &self,
        namespace: &str,
        selector: Option<&str>,
        wanted: impl Fn(ObjectMeta) -> Option<T>,
    ) -> Result<Vec<T>, CollectError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let mut parameters = ListParams::default().limit(PAGE_PODS);
        parameters.label_selector = selector.map(str::to_owned);
        let mut found = Vec::new();
        loop {
            let page = api.list_metadata(&parameters).await?;
            found.extend(page.items.into_iter().filter_map(|item| wanted(item.metadata)));
            parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if parameters.continue_token.is_none() {
                return Ok(found);
            }
        }
    }

    /// A pod that is gone, or has been replaced, is as good as deleted.
    async fn delete(&self, orphan: &Orphan) -> Result<(), CollectError> {
        // Of the answer, which is the pod, only the metadata is read.
        let api: Api<PartialObjectMeta<Pod>> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let uid = Some(orphan.uid.clone());
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let parameters = DeleteParams { preconditions, ..DeleteParams::default() };
        match api.delete(&orphan.pod, &parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// An application pod, as an orphan it may turn out to be; nothing if it is being deleted, or does
/// not say whose it is.
fn application(meta: ObjectMeta) -> Option<Orphan> {
    let mut labels = meta.labels.unwrap_or_default();
    let mut label = |name: &str| labels.remove(name).filter(|value| !value.is_empty());
    if meta.deletion_timestamp.is_some() {
        return None;
    }
    Some(Orphan {
        pod: meta.name?,
        uid: meta.uid?,
        desktop: label(LABEL_DESKTOP).unwrap_or_default(),
        desktop_namespace: label(LABEL_DESKTOP_NAMESPACE)?,
        desktop_uid: label(LABEL_DESKTOP_UID)?,
    })
}

/// Those whose desktop is not among the living. Where nothing is known about a namespace, none.
fn orphans(pods: &[Orphan], living: &BTreeMap<String, BTreeSet<String>>) -> Vec<Orphan> {
    let is_orphan = |pod: &&Orphan| {
        living.get(&pod.desktop_namespace).is_some_and(|uids| !uids.contains(&pod.desktop_uid))
    };
    pods.iter().filter(is_orphan).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(labels: &[(&str, &str)]) -> ObjectMeta {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        ObjectMeta {
            name: Some("app".into()),
            uid: Some("u-app".into()),
            labels: Some(labels.collect()),
            ..ObjectMeta::default()
        }
    }

    fn of_desktop(namespace: &str, uid: &str) -> Orphan {
        let labels = [(LABEL_DESKTOP_NAMESPACE, namespace), (LABEL_DESKTOP_UID, uid)];
        application(meta(&labels)).unwrap()
    }

    #[test]
    fn a_pod_that_does_not_say_whose_it_is_is_nobody_s_to_collect() {
        assert_eq!(application(meta(&[])), None);
        assert_eq!(application(meta(&[(LABEL_DESKTOP_UID, "u")])), None);
        let empty = [(LABEL_DESKTOP_UID, ""), (LABEL_DESKTOP_NAMESPACE, "desktops")];
        assert_eq!(application(meta(&empty)), None);
    }

    #[test]
    fn only_pods_of_desktops_that_are_known_to_be_gone_are_orphans() {
        let pods =
            [of_desktop("a", "here"), of_desktop("a", "gone"), of_desktop("unknown", "gone")];
        let uids = BTreeSet::from(["here".to_owned()]);

        let found = orphans(&pods, &BTreeMap::from([("a".to_owned(), uids)]));

        assert_eq!(found, [of_desktop("a", "gone")]);
        assert_eq!(orphans(&pods, &BTreeMap::new()), []);
    }
}
