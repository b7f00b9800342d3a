//! Signing keys and what is to be believed, on the wire.

use mcx_proto::identity::v1 as proto;
use mcx_types::{Subject, Timestamp};

use super::partner_trust::encode_key;
use crate::app::trust::Snapshot;
use crate::domain::signing_key::SigningKeyState;
use crate::store::revocations::Revocations;
use crate::store::signing_keys::StoredKey;

pub(crate) fn encode_all(keys: &[StoredKey]) -> Vec<proto::SigningKey> {
    keys.iter().map(encode).collect()
}

fn encode(key: &StoredKey) -> proto::SigningKey {
    let facts = &key.facts;
    proto::SigningKey {
        key: Some(encode_key(&facts.public)),
        state: match facts.state {
            SigningKeyState::Next => proto::SigningKeyState::Next,
            SigningKeyState::Active => proto::SigningKeyState::Active,
            SigningKeyState::Retiring => proto::SigningKeyState::Retiring,
        }
        .into(),
        create_time: super::time(facts.created_at),
        activate_time: facts.activated_at.map(Into::into),
        remove_time: facts.remove_at.map(Into::into),
    }
}

pub(crate) fn encode_snapshot(issuer: &str, snapshot: &Snapshot) -> proto::WatchTokenTrustResponse {
    proto::WatchTokenTrustResponse {
        issuer: issuer.to_owned(),
        keys: snapshot.keys.iter().map(encode_key).collect(),
        is_addition: false,
        ..encode_addition(&snapshot.revocations)
    }
}

pub(crate) fn encode_addition(revocations: &Revocations) -> proto::WatchTokenTrustResponse {
    let token = |(token_id, expires_at): (&String, &Timestamp)| proto::RevokedToken {
        token_id: token_id.clone(),
        expire_time: super::time(*expires_at),
    };
    let subject = |(subject, revoked_at): (&Subject, &Timestamp)| proto::RevokedSubject {
        subject: subject.to_string(),
        revoke_time: super::time(*revoked_at),
    };
    proto::WatchTokenTrustResponse {
        revoked_tokens: revocations.tokens.iter().map(token).collect(),
        revoked_subjects: revocations.subjects.iter().map(subject).collect(),
        is_addition: true,
        ..Default::default()
    }
}
