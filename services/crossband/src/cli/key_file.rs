//! `crossband key-file`: the file with the key-encryption keys of the SIP database.

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
    /// Adds a fresh key and makes it the active one; `crossband rotate-keys` then puts what is stored under it.
    Add {
        /// The file.
        file: PathBuf,
        /// The identifier of the new key.
        #[arg(long, value_name = "ID")]
        id: String,
    },
}

pub(super) fn run(command: &KeyFileCommand) -> Result<bool> {
    match command {
        KeyFileCommand::Create { file, id } => {
            sip_database::create_key_file(file, id, &SystemRandom)?;
            say(&format!(
                "key {id} is in {}; without this file the subscribers' keys are lost, so keep a copy\n",
                file.display()
            ));
        }
        KeyFileCommand::Add { file, id } => {
            sip_database::add_key(file, id, &SystemRandom)?;
            say(&format!(
                "key {id} is active in {}; the old keys may go once crossband rotate-keys has run\n",
                file.display()
            ));
        }
    }
    Ok(true)
}
