//! `otlp_traces`: the OpenTelemetry collector that gets the stages of launches.

use serde::{Deserialize, Serialize};

use super::parse::Reader;
use super::section::Section;
use super::values::Complaint;

const EXAMPLE: &str = "http://collector.monitoring:4318";
/// Of OTLP over HTTP: <https://opentelemetry.io/docs/specs/otlp/#otlphttp-default-port>.
const PORT_DEFAULT: u16 = 4318;
/// Where traces go, in the same specification.
const PATH_DEFAULT: &str = "/v1/traces";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracesEndpoint {
    /// A name or an address, without the brackets of IPv6.
    pub host: String,
    /// TCP.
    pub port: u16,
    /// With its query, if there is one.
    pub path: String,
}

impl<'t> Reader<'t> {
    /// Reads the key.
    pub(super) fn traces(&self, root: &Section<'t>) -> Option<TracesEndpoint> {
        root.parsed("otlp_traces", EXAMPLE, endpoint).map(|found| found.value)
    }
}

fn endpoint(text: &str) -> Result<TracesEndpoint, Complaint> {
    let remedy = || format!("write the address of an OTLP receiver, such as \"{EXAMPLE}\"");
    let complain = |what: &str| Complaint::new(what, remedy());
    let uri: hyper::Uri = text.parse().map_err(|_| complain("is no URL"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(complain("is an HTTPS address, and deskd sends traces without TLS"));
        }
        _ => return Err(complain("does not begin with http://")),
    }
    let authority = uri.authority().filter(|it| !it.as_str().contains('@'));
    let host = authority.map(|it| it.host().trim_matches(['[', ']'])).filter(|it| !it.is_empty());
    let Some(host) = host else {
        return Err(complain("has no host, or a user"));
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(TracesEndpoint {
        host: host.to_owned(),
        port: uri.port_u16().unwrap_or(PORT_DEFAULT),
        path: if path == "/" { PATH_DEFAULT } else { path }.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_what_the_specification_says_of_the_rest() {
        let of = |text| endpoint(text).map(|it| (it.host, it.port, it.path)).ok();
        let found = |host: &str, port, path: &str| Some((host.to_owned(), port, path.to_owned()));
        assert_eq!(of("http://collector"), found("collector", 4318, "/v1/traces"));
        assert_eq!(of("http://10.0.0.7:80/in/?a=b"), found("10.0.0.7", 80, "/in/?a=b"));
        assert_eq!(of("http://[::1]:9/"), found("::1", 9, "/v1/traces"));
        for wrong in
            ["", "collector:4318", "https://collector", "http://", "http://me@host", "http://a b"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
