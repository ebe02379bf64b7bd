//! abcdesktop's user token: a JSON Web Token (RFC 7519) in compact form, signed with RS256 (RFC 7518,
//! 3.3). The signature's algorithm is this one, whatever the token says: `alg` is compared, never
//! obeyed, so neither `none` nor HS256 with the public key as its secret gets anywhere.
//!
//! Claims as pyos makes them (`oc/auth/jwt.py`): `exp`, `nbf`, `user.userid`, and seldom `aud`.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use webpki::RawPublicKeyEntity;
use webpki::ring::RSA_PKCS1_2048_8192_SHA256;

use super::super::error::ApiError;
use deskd_keeper::files;

/// Longest token, in bytes: those of users with many groups have some thousands.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Largest key file, in bytes: one key of 8192 bits has 1.5 KB.
const KEY_BYTES_MAX: u64 = 16 << 10;
/// How far the clock of whoever signed may be off, in seconds (`leeway` of pyos).
const LEEWAY_S: f64 = 20.0;
/// `rsaEncryption` (RFC 8017, A.1) as DER.
const RSA_OID: [u8; 11] = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It holds something else.
    #[error(
        "it is no RSA public key in PEM (`BEGIN PUBLIC KEY`): write one with `openssl rsa -in \
         PRIVATE.pem -pubout`"
    )]
    NoKey,
    /// The first of them would count, and nobody would see that.
    #[error("it has {0} public keys: leave the one that users' tokens are signed with")]
    Several(usize),
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Not a signed token.
    #[error("the header ABCAuthorization has no token: send `Bearer` and the user's JWT")]
    Malformed,
    /// `none`, `HS256`, or whatever else.
    #[error("the token is not signed with RS256, the only algorithm that is taken")]
    Algorithm,
    /// It has headers that must be understood.
    #[error("the token has critical headers (crit), which deskd does not know")]
    Critical,
    /// Another key, or changed.
    #[error("the signature of the token is wrong: it was changed, or signed with another key")]
    Signature,
    /// The payload is not what pyos signs.
    #[error("the token lacks exp or user.userid, or they are of the wrong type")]
    Claims,
    /// Too old.
    #[error("the token has expired: log in again")]
    Expired,
    /// Not yet.
    #[error("the token is not valid yet (nbf): compare the clocks of pyos and this node")]
    Early,
    /// For something else.
    #[error("the token is for another audience (aud)")]
    Audience,
    /// Of somebody else.
    #[error("the token belongs to another user than this desktop")]
    Owner,
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::UserToken(refusal.to_string())
    }
}

/// An RSA public key (SubjectPublicKeyInfo, RFC 5280, 4.1).
#[derive(Debug)]
pub(super) struct Key(SubjectPublicKeyInfoDer<'static>);

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// `null` too.
    #[serde(default, deserialize_with = "present")]
    crit: Option<serde_json::Value>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(from).map(Some)
}

#[derive(Deserialize)]
struct Claims {
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    aud: Option<Audience>,
    user: User,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct User {
    userid: String,
}

impl Key {
    /// Reads a PEM file.
    pub(super) fn load(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&files::read_within(path, KEY_BYTES_MAX)?)
    }

    fn parse(pem: &[u8]) -> Result<Self, KeyError> {
        let found = SubjectPublicKeyInfoDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let mut found = found.map_err(|_| KeyError::NoKey)?;
        let der = match (found.pop(), found.len()) {
            (None, _) => return Err(KeyError::NoKey),
            (Some(der), 0) => der,
            (Some(_), others) => return Err(KeyError::Several(others + 1)),
        };
        let is_rsa = der.windows(RSA_OID.len()).any(|bytes| bytes == RSA_OID);
        let is_key = RawPublicKeyEntity::try_from(&der).is_ok();
        if is_rsa && is_key { Ok(Self(der)) } else { Err(KeyError::NoKey) }
    }

    /// Whether `token` is one of `owner`'s for `audience` at this time, in seconds since the epoch.
    pub(super) fn verify(
        &self,
        token: &str,
        owner: &str,
        audience: Option<&str>,
        now_s: i64,
    ) -> Result<(), Refusal> {
        let claims = self.claims(token)?;
        #[expect(clippy::cast_precision_loss, reason = "seconds of this epoch are exact in an f64")]
        let now = now_s as f64;
        // Neither is true of a NaN, which JSON does not have.
        if claims.exp + LEEWAY_S <= now {
            return Err(Refusal::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf - LEEWAY_S > now) {
            return Err(Refusal::Early);
        }
        let is_for_us = match (&claims.aud, audience) {
            (None, None) => true,
            // RFC 7519, 4.1.3: whoever is not named must refuse it.
            (None, Some(_)) | (Some(_), None) => false,
            (Some(Audience::One(one)), Some(own)) => one == own,
            (Some(Audience::Many(many)), Some(own)) => many.iter().any(|one| one == own),
        };
        if !is_for_us {
            return Err(Refusal::Audience);
        }
        if claims.user.userid == owner { Ok(()) } else { Err(Refusal::Owner) }
    }

    /// What the token says, once its signature fits.
    fn claims(&self, token: &str) -> Result<Claims, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = decode(header).ok_or(Refusal::Malformed)?;
        if header.alg != "RS256" {
            return Err(Refusal::Algorithm);
        }
        if header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed)?;
        let key = RawPublicKeyEntity::try_from(&self.0).map_err(|_| Refusal::Signature)?;
        key.verify_signature(RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .map_err(|_| Refusal::Signature)?;
        decode(payload).ok_or(Refusal::Claims)
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When all but the expired token of `tests/fixtures/composer` are valid.
    const NOW_S: i64 = 1_800_000_000;

    macro_rules! fixture {
        ($file:literal) => {
            include_str!(concat!(env!("DESKD_ROOT"), "/tests/fixtures/composer/", $file)).trim()
        };
    }

    fn verify(token: &str, audience: Option<&str>, now_s: i64) -> Result<(), Refusal> {
        let key = Key::parse(fixture!("key.pem").as_bytes()).unwrap();
        key.verify(token, "anna", audience, now_s)
    }

    #[test]
    fn only_the_owners_own_token_of_this_time_and_audience_is_taken() {
        let anna = fixture!("anna.jwt");
        for (token, audience, now_s, expected) in [
            (anna, None, NOW_S, Ok(())),
            (anna, Some("desktops"), NOW_S, Err(Refusal::Audience)),
            (fixture!("audience.jwt"), Some("desktops"), NOW_S, Ok(())),
            (fixture!("audience.jwt"), Some("desk"), NOW_S, Err(Refusal::Audience)),
            (fixture!("audience.jwt"), None, NOW_S, Err(Refusal::Audience)),
            (fixture!("berta.jwt"), None, NOW_S, Err(Refusal::Owner)),
            (fixture!("expired.jwt"), None, 1_700_000_619, Ok(())),
            (fixture!("expired.jwt"), None, 1_700_000_620, Err(Refusal::Expired)),
            (anna, None, 1_699_999_980, Ok(())),
            (anna, None, 1_699_999_979, Err(Refusal::Early)),
            (fixture!("endless.jwt"), None, NOW_S, Err(Refusal::Claims)),
        ] {
            assert_eq!(verify(token, audience, now_s), expected, "{audience:?} {now_s} {token}");
        }
    }

    #[test]
    fn what_the_key_did_not_sign_is_refused_whatever_it_says_of_its_algorithm() {
        let changed = {
            let anna: Vec<_> = fixture!("anna.jwt").split('.').collect();
            let berta: Vec<_> = fixture!("berta.jwt").split('.').collect();
            [berta[0], anna[1], berta[2]].join(".")
        };
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        for (token, expected) in [
            (fixture!("none.jwt"), Refusal::Algorithm),
            (fixture!("hs256.jwt"), Refusal::Algorithm),
            (fixture!("hs256-as-rs256.jwt"), Refusal::Signature),
            (fixture!("other-key.jwt"), Refusal::Signature),
            (fixture!("critical.jwt"), Refusal::Critical),
            (&changed, Refusal::Signature),
            ("", Refusal::Malformed),
            ("..", Refusal::Malformed),
            ("e30.e30.e30", Refusal::Malformed),
            (&long, Refusal::Malformed),
        ] {
            assert_eq!(verify(token, None, NOW_S), Err(expected), "{token:.80}");
        }
    }

    #[test]
    fn what_is_written_otherwise_than_it_has_to_be_is_refused() {
        let anna: Vec<_> = fixture!("anna.jwt").split('.').collect();
        let with = |at: usize, part: &str| {
            let mut parts = anna.clone();
            parts[at] = part;
            verify(&parts.join("."), None, NOW_S).unwrap_err()
        };
        let header = |json: &str| with(0, &URL_SAFE_NO_PAD.encode(json));
        for critical in ["null", "[]", "[\"b64\"]", "0", "{}"] {
            let json = format!(r#"{{"alg":"RS256","crit":{critical}}}"#);
            assert_eq!(header(&json), Refusal::Critical, "{json}");
        }
        let deep = format!(r#"{{"alg":"RS256","x":{}{}}}"#, "[".repeat(3000), "]".repeat(3000));
        for json in [r#"{"alg":"none","alg":"RS256"}"#, r#"{"alg":["RS256"]}"#, "[]", ""] {
            assert_eq!(header(json), Refusal::Malformed, "{json:.60}");
        }
        // What nobody asks for is passed over, however deep it is.
        assert_eq!(header(&deep), Refusal::Signature);
        let flipped = |last: char| format!("{}{last}", &anna[2][..anna[2].len() - 1]);
        let same_bits = flipped(char::from(anna[2].as_bytes()[anna[2].len() - 1] + 1));
        for signature in [&format!("{}=", anna[2]), &format!("{} ", anna[2]), &same_bits, "", "AA"]
        {
            let refusal = with(2, signature);
            assert!(matches!(refusal, Refusal::Malformed | Refusal::Signature), "{signature}");
        }
    }

    #[test]
    fn only_an_rsa_public_key_is_a_key() {
        for bad in ["", "key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(matches!(Key::parse(bad.as_bytes()), Err(KeyError::NoKey)), "{bad}");
        }
        let twice = [fixture!("key.pem"), fixture!("key.pem")].join("\n");
        assert!(matches!(Key::parse(twice.as_bytes()), Err(KeyError::Several(2))));
    }
}
