//! `crossband rotate-keys`.

use anyhow::Result;
use clap::Args;
use crossband::sealed_secrets::{Rotated, SecretKind, rotate};

use super::say;
use super::target::TargetOrAddressArguments;

#[derive(Debug, Args)]
pub(super) struct RotateKeysArguments {
    #[command(flatten)]
    target: TargetOrAddressArguments,
}

/// Puts everything under the active key; done only when nothing of any kind is under another one.
pub(super) async fn run(arguments: RotateKeysArguments) -> Result<bool> {
    let connection = arguments.target.connect()?;
    let mut is_done = true;
    for kind in SecretKind::ALL {
        match rotate(&connection, kind).await {
            Ok(rotated) => {
                is_done &= rotated.left_over().next().is_none();
                say(&format!("{}: {}\n", kind.name(), told(&rotated)));
            }
            Err(error) => {
                is_done = false;
                say(&format!("{}: {} failed: {error:#}\n", kind.name(), kind.entity()));
            }
        }
    }
    if !is_done {
        say("not everything is under the active key: rotate again before an old key is removed\n");
    }
    Ok(is_done)
}

fn told(rotated: &Rotated) -> String {
    let uses = rotated.uses.iter().map(|(key_id, count)| format!("{count} under {key_id}"));
    let uses: Vec<String> = uses.collect();
    let uses = if uses.is_empty() { "there are none".to_owned() } else { uses.join(", ") };
    format!("{} put under {}; now {uses}", rotated.count, rotated.active_key_id)
}
