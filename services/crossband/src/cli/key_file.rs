//! `crossband key-file`: the file with the key-encryption keys under which a system's secrets are stored.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use crossband::sealed_secrets::{SecretKind, rotate};
use mcx_store::sealing;
use rand::RngExt;

use super::say;
use super::target::TargetOrAddressArguments;

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
    /// Adds a fresh key and makes it the active one; `crossband rotate-keys` then puts every stored secret under it.
    Add {
        /// The file.
        file: PathBuf,
        /// The identifier of the new key.
        #[arg(long, value_name = "ID")]
        id: String,
    },
    /// Removes an old key, once the running MC system has put everything under another one and says that nothing is left under this one.
    Remove {
        /// The file.
        file: PathBuf,
        /// The identifier of the old key.
        #[arg(long, value_name = "ID")]
        id: String,
        #[command(flatten)]
        target: Box<TargetOrAddressArguments>,
    },
}

pub(super) async fn run(command: KeyFileCommand) -> Result<bool> {
    match command {
        KeyFileCommand::Create { file, id } => {
            sealing::create_key_file(&file, &id, rand::rng().random())?;
            say(&format!(
                "key {id} is in {}; without this file what is stored under the key is lost, so keep a copy\n",
                file.display()
            ));
        }
        KeyFileCommand::Add { file, id } => {
            sealing::add_key(&file, &id, rand::rng().random())?;
            say(&format!(
                "key {id} is active in {}; crossband rotate-keys puts every stored secret under it, and crossband key-file \
                 remove takes an old key away when nothing is stored under it any more\n",
                file.display()
            ));
        }
        KeyFileCommand::Remove { file, id, target } => {
            sealing::check_removable(&file, &id)?;
            let connection = target.connect()?;
            let mut needed = Vec::new();
            for kind in SecretKind::ALL {
                let rotated = rotate(&connection, kind).await.with_context(|| {
                    format!("key {id} stays: it is not known whether {} are sealed under it", kind.name())
                })?;
                needed.extend(
                    rotated.needs(&id).map(|why| format!("{} ({}) {why}", kind.entity(), kind.name())),
                );
            }
            if !needed.is_empty() {
                bail!("key {id} stays: {}", needed.join("; "));
            }
            sealing::remove_key(&file, &id)?;
            say(&format!("key {id} is no longer in {}: nothing was sealed under it\n", file.display()));
        }
    }
    Ok(true)
}
