//! What an MC system keeps sealed under key-encryption keys, and whether anything still is under an old one.
//!
//! An entity that begins to seal something gets a kind here: a key leaves the key file only when every kind says that it is not needed.

use anyhow::Result;
use mcx_proto::identity::v1 as identity;
use mcx_proto::identity::v1::key_encryption_key_service_client::KeyEncryptionKeyServiceClient as IdentityClient;
use mcx_proto::sipdatabase::v1 as sipdatabase;
use mcx_proto::sipdatabase::v1::key_encryption_key_service_client::KeyEncryptionKeyServiceClient as SubscriberClient;
use mcx_runtime::error::decode_status;
use mcx_types::Entity;
use tonic::Status;

use crate::admin::Connection;

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// K and OPc of subscribers, at the SIP database.
    SubscriberKeys,
    /// The private keys that sign tokens, at identity management.
    SigningKeys,
}

impl SecretKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::SubscriberKeys, Self::SigningKeys];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::SubscriberKeys => "subscribers' keys",
            Self::SigningKeys => "signing keys",
        }
    }

    /// Who keeps it.
    pub fn entity(self) -> Entity {
        match self {
            Self::SubscriberKeys => Entity::SipDatabase,
            Self::SigningKeys => Entity::IdentityManagement,
        }
    }
}

/// How the secrets of a kind are sealed after a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The key that seals, as the entity reads its key file.
    pub active_key_id: String,
    /// How many were sealed anew.
    pub count: u64,
    /// How many are sealed under which key now.
    pub uses: Vec<(String, u64)>,
}

impl Rotated {
    /// What is not under the active key.
    pub fn left_over(&self) -> impl Iterator<Item = &(String, u64)> {
        self.uses.iter().filter(|(key_id, _)| *key_id != self.active_key_id)
    }

    /// Why the key cannot leave the key file, if so.
    pub fn needs(&self, key_id: &str) -> Option<String> {
        if self.active_key_id == key_id {
            return Some(
                "still seals under it: its key file is another one, or was not read again".to_owned(),
            );
        }
        let (_, count) = self.uses.iter().find(|(used, _)| used == key_id)?;
        Some(format!("has {count} sealed under it"))
    }
}

/// Has an entity read its key file again and seal everything of a kind under the active key.
///
/// # Errors
/// Where the entity is not configured, not reached or refuses, with its reason.
pub async fn rotate(connection: &Connection, kind: SecretKind) -> Result<Rotated> {
    let channel = connection.channel(kind.entity())?;
    let refused = |status: Status| decode_status(&status);
    Ok(match kind {
        SecretKind::SubscriberKeys => {
            let request = sipdatabase::RotateKeyEncryptionKeyRequest::default();
            let answer = SubscriberClient::new(channel).rotate_key_encryption_key(request).await;
            let answer = answer.map_err(refused)?.into_inner();
            let uses = answer.uses.into_iter().map(|used| (used.key_id, used.count)).collect();
            Rotated { active_key_id: answer.active_key_id, count: answer.rotated_count, uses }
        }
        SecretKind::SigningKeys => {
            let request = identity::RotateKeyEncryptionKeyRequest {};
            let answer = IdentityClient::new(channel).rotate_key_encryption_key(request).await;
            let answer = answer.map_err(refused)?.into_inner();
            let uses = answer.uses.into_iter().map(|used| (used.key_id, used.count)).collect();
            Rotated { active_key_id: answer.active_key_id, count: answer.rotated_count, uses }
        }
    })
}
