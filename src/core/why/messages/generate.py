#!/usr/bin/env python3
"""Writes messages.tsv: what glibc, bash, coreutils, GLib and GTK say in other languages, and musl in
English, from the catalogues (`.mo`) of the packages libc-l10n, bash, coreutils, libglib2.0-data and libgtk-3-common.

    generate.py /usr/share > messages.tsv

A line is a pattern (`src/core/why/pattern.rs`), a tab, and the English message; a star stands for
what `%s` stands for there, and `{1}` for what the first star stood for.
"""

import gettext
import pathlib
import re
import sys

LANGUAGES = ["de", "fr", "es", "it", "pt", "pt_BR", "zh_CN", "zh_TW", "ja", "ru"]
# Shorter pieces cannot be looked for (`scan.rs`).
PIECE_BYTES = 8
ERRORS = [
    "Permission denied", "Operation not permitted", "No such file or directory",
    "No space left on device", "Disk quota exceeded", "Read-only file system",
    "Cannot allocate memory", "Too many open files", "Exec format error", "Is a directory",
    "Address already in use", "Connection refused", "Connection reset by peer",
    "Resource temporarily unavailable", "Input/output error",
    "error while loading shared libraries", "cannot open shared object file",
    "failed to map segment from shared object", "wrong ELF class: %s",
    "cannot allocate memory in static TLS block", "version `%s' not found (required by %s)",
]
SIGNALS = ["Segmentation fault", "Aborted", "Bus error", "Illegal instruction",
           "Floating point exception", "Killed", "Trace/breakpoint trap", "Bad system call"]
WANTED = {
    "libc": ERRORS + SIGNALS,
    "bash": SIGNALS + [
        "command not found", "%s: command not found", "%s: %s: bad interpreter", "bad interpreter",
        "%s: cannot execute binary file", "%s: cannot execute: required file not found",
        "cannot execute: required file not found", "%s: cannot execute: %s", "%s: is a directory",
        "%s: unbound variable", "%s: parameter not set", " (core dumped)",
        "%s: Permission denied", "%s: not found", "fork: retry: %s", "fork: %s"],
    "coreutils": [
        "cannot create directory %s", "cannot access %s", "cannot create regular file %s",
        "cannot touch %s", "failed to run command %s", "cannot open %s for reading",
        "cannot change owner and/or group of %s", "changing ownership of %s",
        "changing permissions of %s", "failed to create symbolic link %s", "cannot remove %s",
        "error writing %s", "write error", "cannot stat %s", "invalid user: %s",
        "cannot find name for user ID %s", "cannot find name for user ID %lu",
        "cannot create symbolic link %s", "cannot change permissions of %s"],
    "glib20": ["Failed to execute child process “%s” (%s)", "Failed to open file “%s”: %s",
               "Error creating directory %s: %s"],
    "gtk30": ["Cannot open display: %s", "cannot open display: %s"],
}
# Wordings of other releases of the same catalogues.
OTHER_RELEASES = [
    ("Kommando nicht gefunden", "command not found"),
    ("Befehl nicht gefunden", "command not found"),
    ("commande introuvable", "command not found"),
    ("commande non trouvée", "command not found"),
    ("orden no encontrada", "command not found"),
    ("no se encontró la orden", "command not found"),
    ("comando no encontrado", "command not found"),
    ("comando non trovato", "command not found"),
    ("comando não encontrado", "command not found"),
    ("команда не найдена", "command not found"),
    ("未找到命令", "command not found"),
    ("コマンドが見つかりません", "command not found"),
    ("kein Speicherplatz mehr verfügbar", "No space left on device"),
    ("Violación de segmento", "Segmentation fault"),
    ("`core' generado", "(core dumped)"),
    ("memoria volcata", "(core dumped)"),
    ("Erreur de segmentation", "Segmentation fault"),
    ("Speicherzugriffsfehler", "Segmentation fault"),
    ("Ошибка сегментирования", "Segmentation fault"),
    ("段错误", "Segmentation fault"),
    ("段错误(吐核)", "Segmentation fault (core dumped)"),
    ("核心已转储", "(core dumped)"),
]
# musl's words for an error where they are not glibc's (src/errno/__strerror.h), as far as rules know the error.
MUSL = [
    ("Address in use", "Address already in use"),
    ("No file descriptors available", "Too many open files"),
    ("Host is unreachable", "No route to host"),
    ("Network unreachable", "Network is unreachable"),
]


def star(text, english):
    """The message as a pattern, and what it means; None where it cannot be looked for."""
    if re.search(r"%\d", text) or "\t" in text or "\n" in text:
        return None
    pattern = text.strip().rstrip(".。").replace("\u00a0", " ")
    pattern = re.sub(r"[“”„«»「」『』‘’\"'`]? ?%l?[a-z] ?[“”„«»「」『』‘’\"'`]?", lambda m: (
        " " if m[0][0] == " " else "") + "*" + (" " if m[0][-1] == " " else ""), pattern)
    pattern = re.sub(r"[‘’]", "'", re.sub(r"[“”„«»]", '"', pattern))
    pattern = re.sub(r" +", " ", pattern)
    pieces = [p for p in pattern.split("*") if p]
    if not pieces or max(len(p.encode()) for p in pieces) < PIECE_BYTES:
        return None
    number = iter(range(1, 9))
    english = re.sub(r"%l?[a-z]", lambda _: "{%d}" % next(number), english.strip())
    return pattern, english


def main():
    root = pathlib.Path(sys.argv[1])
    found = dict(OTHER_RELEASES + MUSL)
    for domain, ids in WANTED.items():
        for language in LANGUAGES:
            file = root / f"locale/{language}/LC_MESSAGES/{domain}.mo"
            if not file.exists():
                continue
            with file.open("rb") as catalogue:
                messages = gettext.GNUTranslations(catalogue)
            for english in ids:
                text = messages._catalog.get(english)
                if not text or text == english:
                    continue
                made = star(text, english)
                if made is None:
                    continue
                pattern, meaning = made
                if english in SIGNALS:
                    # The word alone may be anything (`Abgebrochen`): a shell says it at the end.
                    found.setdefault(f"^{pattern}$", meaning)
                    found.setdefault(f"{pattern} (", f"{meaning} (")
                else:
                    found.setdefault(pattern, meaning)
    for pattern in sorted(found, key=lambda p: (-len(p.encode()), p)):
        if found[pattern] != pattern:
            print(f"{pattern}\t{found[pattern]}")


main()
