//! Which container of a pod has the X server.

use serde_json::Value;

use super::{PodName, Refused, sidecar};

/// What shows that a container has the X server, in the order of what is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// It was named.
    Asked,
    /// Its name begins with `x`, as in abcdesktop's pods.
    Name,
    /// Its command or arguments start an X server.
    Command,
    /// Its image's name has that of an X server.
    Image,
    /// It has the port of an X server, VNC or websockify.
    Port,
    /// It has the display's cookie, or is told how to listen.
    Variable,
}

/// Parts of the names of programs and images that are X servers or start one.
const SERVERS: [&str; 6] = ["xvnc", "tigervnc", "vncserver", "xvfb", "xorg", "xdummy"];
/// X11 displays 0 to 9, RFB of the same, abcdesktop's websockify.
const PORTS: [std::ops::RangeInclusive<u64>; 3] = [6000..=6009, 5900..=5909, 6081..=6081];
/// Variables that only an X server's container is given.
const VARIABLES: [&str; 2] = ["XAUTH_KEY", "X11LISTEN"];

/// Which container of `containers` it is, by index, and why.
pub(super) fn find(
    containers: &[Value],
    wanted: Option<&str>,
    pod: &PodName,
) -> Result<(usize, Vec<Sign>), Refused> {
    let name = |at: usize| containers[at]["name"].as_str().unwrap_or_default().to_owned();
    // An older deskd may be there as a container like any other.
    let others: Vec<_> =
        (0..containers.len()).filter(|at| name(*at) != sidecar::CONTAINER).collect();
    let names = |found: &[usize]| found.iter().map(|at| name(*at)).collect();
    if let Some(wanted) = wanted {
        let found = others.iter().find(|at| name(**at) == wanted);
        return found.map(|at| (*at, vec![Sign::Asked])).ok_or_else(|| Refused::NoContainer {
            pod: pod.clone(),
            wanted: wanted.to_owned(),
            containers: names(&others),
        });
    }
    let by_name: Vec<_> = others.iter().copied().filter(|at| name(*at).starts_with('x')).collect();
    let found = if by_name.is_empty() {
        others.iter().copied().filter(|at| !signs(&containers[*at]).is_empty()).collect()
    } else {
        by_name
    };
    match found[..] {
        [at] => Ok((at, signs(&containers[at]))),
        [] => Err(Refused::NoGraphical { pod: pod.clone(), containers: names(&others) }),
        _ => Err(Refused::Several { pod: pod.clone(), containers: names(&found) }),
    }
}

fn signs(container: &Value) -> Vec<Sign> {
    let has_server = |text: &str| {
        let text = text.to_ascii_lowercase();
        SERVERS.iter().any(|server| text.contains(server))
    };
    let words =
        |key: &str| container[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    let list = |key: &str| container[key].as_array().into_iter().flatten();
    // Of an image's reference only the last part is its name.
    let image = container["image"].as_str().unwrap_or_default().rsplit('/').next();
    let found = [
        (Sign::Name, container["name"].as_str().is_some_and(|name| name.starts_with('x'))),
        (Sign::Command, words("command").chain(words("args")).any(has_server)),
        (Sign::Image, image.is_some_and(has_server)),
        (
            Sign::Port,
            list("ports")
                .filter_map(|port| port["containerPort"].as_u64())
                .any(|port| PORTS.iter().any(|range| range.contains(&port))),
        ),
        (
            Sign::Variable,
            list("env").any(|entry| VARIABLES.iter().any(|name| entry["name"] == *name)),
        ),
    ];
    found.into_iter().filter(|(_, is_there)| *is_there).map(|(sign, _)| sign).collect()
}
