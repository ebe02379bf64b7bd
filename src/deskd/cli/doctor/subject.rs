//! Which configuration is examined: the running daemon's, unless a file is named or no daemon
//! answers.

use std::path::Path;

use crate::api::RunningConfiguration;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::offline::load;
use crate::config::Env;

/// What is examined.
#[derive(Debug)]
pub struct Subject {
    /// Files, address, display.
    pub running: RunningConfiguration,
    /// Who told them.
    pub told_by: ToldBy,
}

/// Who told which configuration there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToldBy {
    /// The running daemon.
    Daemon,
    /// Whoever named a file (`--config`).
    File,
    /// The file and the environment that a daemon would read here: none answers, and why.
    NoDaemon(String),
}

impl Subject {
    /// Asks the daemon; reads the configuration where it does not answer.
    pub async fn find(client: &Client, file: Option<&Path>, env: &Env) -> Result<Self, Failure> {
        let told_by = match file {
            Some(_) => ToldBy::File,
            None => match client.get("/v1/configuration").await {
                Ok(running) => return Ok(Self { running, told_by: ToldBy::Daemon }),
                Err(error) => ToldBy::NoDaemon(error.to_string()),
            },
        };
        let running = RunningConfiguration::new(&load(file, false, env)?, None);
        Ok(Self { running, told_by })
    }
}
