//! Writes the manual pages: `cargo run --example man -- DIRECTORY`. When a package is made, so that the
//! program does not carry what makes them.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: man DIRECTORY")?;
    std::fs::create_dir_all(&directory)?;
    clap_mangen::generate_to(deskd::cli::command(), directory)?;
    Ok(())
}
