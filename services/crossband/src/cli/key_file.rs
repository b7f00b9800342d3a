//! `crossband key-file`: the file with the key-encryption keys under which a system's secrets are stored.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use mcx_store::sealing;
use rand::RngExt;

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
    /// Adds a fresh key and makes it the active one; `crossband rotate-keys` then puts the subscribers' keys under it.
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
            sealing::create_key_file(file, id, rand::rng().random())?;
            say(&format!(
                "key {id} is in {}; without this file what is stored under the key is lost, so keep a copy\n",
                file.display()
            ));
        }
        KeyFileCommand::Add { file, id } => {
            sealing::add_key(file, id, rand::rng().random())?;
            say(&format!(
                "key {id} is active in {}; crossband rotate-keys puts the subscribers' keys under it; an old key may go \
                 when nothing is stored under it any more\n",
                file.display()
            ));
        }
    }
    Ok(true)
}
