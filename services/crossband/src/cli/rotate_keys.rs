//! `crossband rotate-keys`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use crossband::certificates::OPERATOR;
use crossband::config::identity_files;
use mcx_federation::{ChannelSettings, Dialer, OwnIdentity, PeerEndpoint, TrustBundles};
use mcx_types::{Entity, SpiffeId, SystemClock};
use sip_database::client::SubscriberClient;

use super::say;

#[derive(Debug, Args)]
pub(super) struct RotateKeysArguments {
    /// The gRPC listener of the SIP database.
    #[arg(long, value_name = "HOST:PORT")]
    address: PeerEndpoint,
    /// The folder with `operator.pem`, `operator-key.pem` and `trust-bundle.pem`.
    #[arg(long, value_name = "DIR")]
    certificates: PathBuf,
    /// Whose certificate the listener shows, where the SIP database shares its process.
    #[arg(long, value_name = "ENTITY", default_value = "sip-database")]
    listening_as: Entity,
}

pub(super) async fn run(arguments: RotateKeysArguments) -> Result<bool> {
    let operator =
        OwnIdentity::load(&identity_files(&arguments.certificates, OPERATOR)).with_context(|| {
            format!("cannot use the operator's certificate in {}", arguments.certificates.display())
        })?;
    let expected = SpiffeId::entity(operator.mc_system_id().clone(), arguments.listening_as);
    let bundles = TrustBundles::new(operator.clone());
    let dialer = Dialer::new(operator, bundles, ChannelSettings::default(), Arc::new(SystemClock));
    let client = SubscriberClient::new(dialer.channel(expected, vec![arguments.address])?);
    let rotated = client.rotate_key_encryption_key().await?;
    say(&format!(
        "{} subscribers' keys were put under key {}\n",
        rotated.rotated_count, rotated.active_key_id
    ));
    Ok(true)
}
