//! `crossband config`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use crossband::config::{CrossbandConfig, DEFAULT_FILE};

use super::{say, serve};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Prints the configuration in force, with secrets masked.
    Print {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Says everything that is wrong with the configuration.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
        config: PathBuf,
    },
    /// Prints the JSON schema of the configuration.
    Schema,
}

pub(super) fn run(command: &ConfigCommand) -> Result<bool> {
    match command {
        ConfigCommand::Print { config } => say(&mcx_runtime::config::print(&serve::load(config)?)?),
        ConfigCommand::Check { config } => {
            serve::load(config)?;
            say("the configuration is good\n");
        }
        ConfigCommand::Schema => {
            say(&format!("{:#}\n", mcx_runtime::config::schema::<CrossbandConfig>()));
        }
    }
    Ok(true)
}
