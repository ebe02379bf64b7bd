//! `deskd collect`: application pods whose desktop is gone. Asks the API server, no daemon.

use std::path::Path;

use super::failure::{Failure, note};
use super::output::{Out, printable};
use crate::config::Env;
use crate::engine::kubernetes::collect::{CollectError, Collection, Collector};
use deskd_core::exit::Exit;

/// Looks, deletes, and says what was found.
pub async fn collect(
    namespace: Option<String>,
    dry_run: bool,
    env: &Env,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let kubeconfig = env.get("KUBECONFIG");
    let collection = async {
        let collector = Collector::connect(kubeconfig.as_deref().map(Path::new), namespace).await?;
        collector.collect(dry_run).await
    };
    let collection = collection.await.map_err(|error| failure(&error))?;
    if out.is_json() {
        out.json(&collection)?;
    } else {
        show(&collection, out)?;
        out.finish()?;
        collection.troubles.iter().for_each(|trouble| note(&printable(trouble)));
    }
    Ok(if collection.troubles.is_empty() { Exit::Ok } else { Exit::Unhealthy })
}

fn failure(error: &CollectError) -> Failure {
    let (exit, remedy) = match error {
        CollectError::NoCredentials(_) => (
            Exit::Refused,
            "set KUBECONFIG, or run this command in a pod with a service account, as \
             container/collector/collector.yaml does",
        ),
        CollectError::Unreachable(_) => {
            (Exit::Unreachable, "try again when the API server answers")
        }
        CollectError::Refused(_) => (
            Exit::Refused,
            "give the service account the rights of container/collector/collector.yaml",
        ),
    };
    Failure::new(exit, "collect application pods", printable(&error.to_string())).remedy(remedy)
}

fn show(collection: &Collection, out: &mut Out) -> Result<(), Failure> {
    let Collection { namespace, dry_run, pods, collected, left, .. } = collection;
    let verb = if *dry_run { "would delete" } else { "deleted" };
    for orphan in collected {
        out.text(printable(&format!(
            "{verb} {namespace}/{}: its desktop {}/{} ({}) is gone",
            orphan.pod, orphan.desktop_namespace, orphan.desktop, orphan.desktop_uid
        )))?;
    }
    let count = collected.len();
    out.text(format!("{verb} {count} of {pods} application pods in {namespace}"))?;
    if *left > 0 {
        out.text(format!("the next run deletes the other {left}"))?;
    }
    Ok(())
}
