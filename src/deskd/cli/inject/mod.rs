//! `deskd inject`: a manifest with deskd in its desktop pods. No daemon, no cluster.
//!
//! The manifest goes to standard output and what was assumed to standard error, so that the one can
//! be piped into `kubectl apply` and the other read.
//!
//! Deliberately not here: what becomes of a pod. That is `deskd_core::inject`.

mod sentences;
pub mod yaml;

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::args::InjectArgs;
use super::failure::{Failure, note};
use super::output::{Out, printable};
use deskd_core::exit::Exit;
use deskd_core::inject::{Binary, Options, Outcome, inject};

/// Largest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// Prints the manifest, and says what was assumed.
pub fn run(args: &InjectArgs, out: &mut Out) -> Result<Exit, Failure> {
    let doing = match args.file.to_str() {
        Some("-") => "add deskd to the manifest".to_owned(),
        _ => format!("add deskd to {}", args.file.display()),
    };
    let text = read(&args.file, &doing)?;
    let mut documents = yaml::read(&text).map_err(|error| {
        Failure::new(Exit::Unhealthy, &doing, printable(&error))
            .remedy("correct the file; `kubectl apply --dry-run=client -f FILE` checks all of it")
    })?;
    let binary = if args.no_image_volume { Binary::OwnImage } else { Binary::ImageVolume };
    let options = Options { container: args.container.clone(), image: args.image.clone(), binary };
    let mut outcome = Outcome::default();
    for document in &mut documents {
        outcome.append(inject(document, &options));
    }
    if outcome.injected.is_empty() {
        return Err(nothing(&outcome, &doing));
    }
    tell(&outcome, &options);
    if out.is_json() {
        out.json(&whole(documents))?
    } else {
        out.text(yaml::write(&documents))?
    }
    Ok(Exit::Ok)
}

fn read(file: &Path, doing: &str) -> Result<String, Failure> {
    let mut text = String::new();
    // One byte more than there may be.
    let limit = MANIFEST_BYTES_MAX + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    let too_large = || {
        let limit = MANIFEST_BYTES_MAX >> 20;
        Failure::new(Exit::Unhealthy, doing, format!("the file is larger than {limit} MiB"))
            .remedy("split it, and give the part with the desktop's pod")
    };
    match read {
        _ if text.len() as u64 > MANIFEST_BYTES_MAX => Err(too_large()),
        Ok(_) => Ok(text),
        Err(error) => Err(match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(Exit::NotFound, doing, error),
            std::io::ErrorKind::InvalidData => {
                Failure::new(Exit::Unhealthy, doing, "the file is not UTF-8 text")
            }
            _ => Failure::io(doing, &error),
        }),
    }
}

/// No pod got deskd: the reasons, and what to do about the first.
fn nothing(outcome: &Outcome, doing: &str) -> Failure {
    let Some(first) = outcome.refused.first() else {
        return Failure::new(Exit::Unhealthy, doing, "it contains no pod").remedy(
            "give a file with a Pod, Deployment, StatefulSet, DaemonSet, Job or CronJob, or a List \
             of them",
        );
    };
    let why: Vec<_> = outcome.refused.iter().map(sentences::refused).collect();
    Failure::new(Exit::Unhealthy, doing, printable(&why.join("; ")))
        .remedy(printable(&sentences::remedy(first)))
}

fn tell(outcome: &Outcome, options: &Options) {
    for injected in &outcome.injected {
        let pod = sentences::pod(&injected.pod);
        for assumption in &injected.assumed {
            note(&printable(&format!("{pod}: {}", sentences::assumption(assumption))));
        }
        note(&printable(&format!("{pod}: {}", sentences::binary(options))));
    }
    for refused in &outcome.refused {
        note(&printable(&format!("{}; deskd was not added to it", sentences::refused(refused))));
    }
}

/// JSON has one value: of several documents a list, as `kubectl get --output=json` prints it.
fn whole(mut documents: Vec<Value>) -> Value {
    if documents.len() == 1 {
        return documents.remove(0);
    }
    json!({ "apiVersion": "v1", "kind": "List", "items": documents })
}
