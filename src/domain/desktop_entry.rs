//! Freedesktop desktop entries: name, icon, keywords and the Exec line as argv.
