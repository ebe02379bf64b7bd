//! deskd's own log: to standard error, for people on a terminal and as JSON otherwise.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging with the filter of `DESKD_LOG` (such as `info,deskd::display=debug`; `info` when
/// absent). A filter that cannot be read is reported and replaced by `info`.
pub fn init(filter: Option<&str>) {
    let wanted = filter.map(str::parse::<Targets>).transpose();
    let targets = match &wanted {
        Ok(Some(targets)) => targets.clone(),
        // kube logs each failed attempt as an error; the engine says once what is the matter.
        _ => Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("kube_client", LevelFilter::OFF),
    };
    let registry = tracing_subscriber::registry().with(targets);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second call (tests) keeps the first subscriber.
    let _ = if std::io::stderr().is_terminal() {
        registry.with(layer.with_target(false)).try_init()
    } else {
        registry.with(layer.json().flatten_event(true)).try_init()
    };
    if let Err(error) = wanted {
        tracing::warn!(%error, "DESKD_LOG is not a filter such as `info,deskd::display=debug`");
    }
}
