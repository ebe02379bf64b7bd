//! Who may call: the desktop's user by abcdesktop's token, or whoever deskd's own API admits.

use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::super::error::ApiError;
use super::super::guard::{self, Peer, Reserved};
use super::super::state::{ApiState, Shared};
use super::envelope;
use super::jwt::Refusal;
use crate::clock::now_ms;

/// Where abcdesktop's web client puts the user's token.
const ABC_AUTHORIZATION: HeaderName = HeaderName::from_static("abcauthorization");

/// Marks requests of the desktop's user, who may run applications and not change them.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByUser;

/// The outermost layer of the facade.
pub(super) async fn guard(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let version = match state.facade() {
        Ok(composer) => composer.config.version,
        Err(error) => return error.into_response(),
    };
    let admitted = admit(&state, &mut request);
    guard::guarded(&state, request, next, admitted, |error, id| {
        envelope::error(version, &error, id)
    })
    .await
}

fn admit(state: &Shared, request: &mut Request) -> Result<(), ApiError> {
    let is_tcp = matches!(request.extensions().get::<Peer>(), Some(Peer::Tcp { .. }));
    let mut given = request.headers().get_all(ABC_AUTHORIZATION).iter();
    let (Some(value), true) = (given.next(), is_tcp) else {
        return guard::admit(state, request);
    };
    if request.extensions().get::<Reserved>().is_some() {
        return Err(ApiError::TooManyConnections);
    }
    if given.next().is_some() {
        return Err(Refusal::Malformed.into());
    }
    let composer = state.facade()?;
    let key = composer.key.as_ref().map_err(|why| ApiError::ComposerKey(why.clone()))?;
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, token) = token.ok_or(Refusal::Malformed)?;
    let config = &composer.config;
    key.verify(token.trim(), &config.owner, config.audience.as_deref(), now_ms() / 1000)?;
    request.extensions_mut().insert(ByUser);
    Ok(())
}
