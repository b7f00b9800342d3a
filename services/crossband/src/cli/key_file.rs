//! `crossband key-file`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use sip_database::SystemRandom;

use super::say;

#[derive(Debug, Subcommand)]
pub(super) enum KeyFileCommand {
    /// Makes a key file with one key, readable by its owner only.
    Create {
        /// The file; it must not be there yet.
        file: PathBuf,
        /// The identifier of the key, for example the month.
        #[arg(long, value_name = "ID")]
        id: String,
    },
}

pub(super) fn run(command: &KeyFileCommand) -> Result<bool> {
    let KeyFileCommand::Create { file, id } = command;
    sip_database::create_key_file(file, id, &SystemRandom)?;
    say(&format!(
        "key {id} is in {}; without this file the subscribers' keys are lost, so keep a copy\n",
        file.display()
    ));
    Ok(true)
}
