//! Desktop entries, and the command in their `Exec`: before the first zero byte a locale, after it the file.

use deskd_core::app::desktop_entry::{ExecError, Locale, parse};

use super::halves;

pub fn run(data: &[u8]) {
    let (locale, file) = halves(data);
    let locale = Locale::parse(&String::from_utf8_lossy(locale));
    let Ok(entry) = parse(file, locale.as_ref()) else { return };
    assert!(entry.warnings().iter().all(|warning| !warning.is_empty()));
    match entry.argv("/usr/share/applications/x.desktop") {
        Ok(argv) => {
            assert!(!argv[0].is_empty(), "no program");
            // What execve(2) takes, but for words that come from other lines than `Exec`.
            let name = entry.name.unwrap_or_default() + &entry.icon.unwrap_or_default();
            assert!(name.contains('\0') || argv.iter().all(|word| !word.contains('\0')));
        }
        Err(ExecError::Missing | ExecError::OpenQuote(_) | ExecError::Nul) => {}
        Err(ExecError::UnknownFieldCode(code)) => assert!(code.chars().count() <= 1),
    }
}
