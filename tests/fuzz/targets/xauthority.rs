//! The user's Xauthority file: before the first zero byte the display's number, after it the file.

use std::time::Duration;

use deskd::display::{
    COOKIE_BYTES_MAX, Cookie, DisplayConfig, Servers, find_cookie, write_xauthority,
};

use super::halves;

pub fn run(data: &[u8]) {
    let (number, file) = halves(data);
    let number = String::from_utf8_lossy(number).parse().unwrap_or(0);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("Xauthority");
    std::fs::write(&path, file).expect("a file");
    let config = DisplayConfig {
        display: format!(":{number}"),
        xauthority: Some(path.clone()),
        xauth_key: None,
        tcp: false,
        handshake_timeout: Duration::ZERO,
        hang_timeout: Duration::ZERO,
    };
    let (Some(cookie), _) = find_cookie(&config, number) else { return };
    assert!((1..=COOKIE_BYTES_MAX).contains(&cookie.bytes().len()));
    assert_eq!(Cookie::from_hex(&cookie.hex()).as_ref(), Ok(&cookie));
    write_xauthority(&path, &cookie, number, Servers::default()).expect("is written");
    assert_eq!(find_cookie(&config, number).0, Some(cookie), "another cookie is read back");
}
