//! What every path may refuse, for the document: each operation names only what is its own.

use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// Begin of the paths that need a token or a session, and of those that answer in JSON.
const GUARDED: &str = "/v1/";

/// Adds them to each operation that does not describe them itself.
pub fn describe(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        if path.starts_with(GUARDED) {
            operations(item).for_each(add);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

fn add(operation: &mut Operation) {
    let is_input =
        |it: &RefOr<Parameter>| matches!(it, RefOr::T(it) if it.parameter_in != ParameterIn::Path);
    let has_body = operation.request_body.is_some();
    let has_input = has_body || operation.parameters.iter().flatten().any(is_input);
    let refusals = [
        (has_input, "400", "`invalid_query`, `invalid_body`: what was sent is malformed"),
        (true, "401", "`unauthorized`: no token, and no session of the panel"),
        (true, "403", "`peer_not_admitted`, `host_not_allowed`, `origin_not_allowed`"),
        (has_body, "413", "`body_too_large`"),
        (has_body, "415", "`not_json`"),
        (true, "503", "`request_time`, `too_many_connections`: try again"),
    ];
    let responses = &mut operation.responses.responses;
    for (_, status, what) in refusals.into_iter().filter(|(applies, ..)| *applies) {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(refusal(what)));
    }
}

fn refusal(what: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    ResponseBuilder::new().description(what).content("application/json", body).build()
}
