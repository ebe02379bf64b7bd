//! Panel sessions and the one-time logins that open them.
//!
//! A session is a cookie `v1.<expiry>.<HMAC>` under a key derived from the token: it holds no state
//! here, so it outlives a restart of the daemon, and a new token ends all of them. A one-time login
//! lives in memory only.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use super::limits::{LOGIN_CODE_S, LOGIN_CODES_MAX, SESSION_S};
use super::token::{Token, hex, mac, random_hex, same};

/// Name of the session cookie.
pub const COOKIE_NAME: &str = "deskd_session";
/// Random bytes of a one-time login code.
const CODE_BYTES: usize = 24;

/// Makes and checks sessions and one-time logins.
#[derive(Debug)]
pub struct Sessions {
    key: [u8; 32],
    codes: Mutex<Vec<(String, Instant)>>,
}

impl Sessions {
    /// Sessions of this token.
    #[must_use]
    pub fn new(token: &Token) -> Self {
        Self { key: token.derive("deskd panel session v1"), codes: Mutex::default() }
    }

    /// A one-time login code, good for [`LOGIN_CODE_S`].
    pub fn new_code(&self) -> Result<String, getrandom::Error> {
        let code = random_hex(CODE_BYTES)?;
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        codes.retain(|(_, until)| *until > now);
        if codes.len() == LOGIN_CODES_MAX {
            codes.remove(0);
        }
        codes.push((code.clone(), now + Duration::from_secs(LOGIN_CODE_S)));
        Ok(code)
    }

    /// Uses a code up; whether it was good.
    pub fn use_code(&self, given: &str) -> bool {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let given = mac(&self.key, given.as_bytes());
        let found =
            codes.iter().position(|(code, _)| same(&mac(&self.key, code.as_bytes()), &given));
        found.is_some_and(|at| codes.remove(at).1 > Instant::now())
    }

    /// A `Set-Cookie` value that opens a session now. Without a path it counts below the directory of
    /// the login as the browser sees it (RFC 6265, 5.1.4): for this desktop only, whatever proxies do.
    #[must_use]
    pub fn set_cookie(&self) -> String {
        let value = self.cookie(unix_s() + SESSION_S);
        format!("{COOKIE_NAME}={value}; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict")
    }

    /// Whether the request carries an open session.
    #[must_use]
    pub fn is_open(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
            .any(|value| self.is_valid(value, unix_s()))
    }

    fn cookie(&self, expiry_s: u64) -> String {
        let payload = format!("v1.{expiry_s}");
        let mac = hex(&mac(&self.key, payload.as_bytes()));
        format!("{payload}.{mac}")
    }

    fn is_valid(&self, cookie: &str, now_s: u64) -> bool {
        let Some(expiry_s) = cookie
            .strip_prefix("v1.")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(expiry, _)| expiry.parse::<u64>().ok())
        else {
            return false;
        };
        let own = mac(&self.key, self.cookie(expiry_s).as_bytes());
        same(&own, &mac(&self.key, cookie.as_bytes())) && expiry_s > now_s
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(token: &str) -> Sessions {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, token).unwrap();
        Sessions::new(&Token::load_or_create(&path, None).unwrap())
    }

    #[test]
    fn a_login_code_works_once() {
        let sessions = sessions("0123456789abcdef");
        let code = sessions.new_code().unwrap();
        assert!(!sessions.use_code("something else"));
        assert!(sessions.use_code(&code));
        assert!(!sessions.use_code(&code));
    }

    #[test]
    fn only_so_many_login_codes_are_open() {
        let sessions = sessions("0123456789abcdef");
        let first = sessions.new_code().unwrap();
        for _ in 0..LOGIN_CODES_MAX {
            sessions.new_code().unwrap();
        }
        assert!(!sessions.use_code(&first));
    }

    #[test]
    fn a_session_outlives_the_daemon_and_ends_with_its_time_or_its_token() {
        let cookie = sessions("0123456789abcdef").cookie(1_000);
        assert!(sessions("0123456789abcdef").is_valid(&cookie, 999));
        assert!(!sessions("0123456789abcdef").is_valid(&cookie, 1_000));
        assert!(!sessions("another-token-16").is_valid(&cookie, 999));
        for forged in
            [cookie.replace("1000", "9999"), format!("{cookie}0"), "v1.9".into(), String::new()]
        {
            assert!(!sessions("0123456789abcdef").is_valid(&forged, 999), "{forged}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let sessions = sessions("0123456789abcdef");
        let mut headers = HeaderMap::new();
        assert!(!sessions.is_open(&headers));
        let set = sessions.set_cookie();
        let pair = set.split(';').next().unwrap();
        headers.insert(COOKIE, format!("a=b; {pair}; deskd_sessionx=1").parse().unwrap());
        assert!(sessions.is_open(&headers));
    }
}
