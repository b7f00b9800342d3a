//! The trust in partners, and public keys, on the wire.

use std::collections::BTreeSet;

use mcx_federation::access_token::TokenKey;
use mcx_proto::identity::v1 as proto;
use mcx_types::{McSystemId, Violations};

use crate::domain::partner::{PartnerTrust, PublicKey, issuer_fault};
use crate::store::Stored;

/// The most keys of a partner.
const KEY_LIMIT: usize = 16;

/// Decodes the trust in another MC system than `own`, whose issuer is `own_issuer`.
pub(crate) fn decode(
    violations: &mut Violations,
    own: &McSystemId,
    own_issuer: &str,
    trust: Option<&proto::PartnerTrust>,
) -> Option<PartnerTrust> {
    let trust = violations.require("partner_trust", trust)?;
    let before = violations.as_slice().len();
    let mc_system_id: Option<McSystemId> =
        violations.parse("partner_trust.mc_system_id", &trust.mc_system_id);
    if mc_system_id.as_ref() == Some(own) {
        violations.add("partner_trust.mc_system_id", "must name another mc system");
    }
    if let Some(fault) = issuer_fault(&trust.issuer) {
        violations.add("partner_trust.issuer", fault);
    } else if trust.issuer == own_issuer {
        violations.add("partner_trust.issuer", "must be the issuer of another mc system");
    }
    if trust.keys.is_empty() || trust.keys.len() > KEY_LIMIT {
        violations.add("partner_trust.keys", format_args!("must hold 1 to {KEY_LIMIT} keys"));
    }
    let mut kids = BTreeSet::new();
    for (index, key) in trust.keys.iter().enumerate() {
        let field = format!("partner_trust.keys[{index}]");
        let is_kid =
            (1..=128).contains(&key.kid.len()) && key.kid.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_kid {
            violations.add(format!("{field}.kid"), "must be 1 to 128 bytes of printable ASCII");
        } else if !kids.insert(key.kid.as_str()) {
            violations.add(format!("{field}.kid"), "must not repeat a key");
        }
        violations.accept(field, TokenKey::from_jwk(key.kid.as_str(), &key.x, &key.y));
    }
    let allowed_scopes = super::scopes(violations, "partner_trust.allowed_scopes", &trust.allowed_scopes);
    let decoded = PartnerTrust {
        mc_system_id: mc_system_id?,
        issuer: trust.issuer.clone(),
        keys: trust
            .keys
            .iter()
            .map(|key| PublicKey { kid: key.kid.clone(), x: key.x.clone(), y: key.y.clone() })
            .collect(),
        allowed_scopes: allowed_scopes?,
    };
    (violations.as_slice().len() == before).then_some(decoded)
}

pub(crate) fn encode(stored: &Stored<PartnerTrust>) -> proto::PartnerTrust {
    let trust = &stored.value;
    proto::PartnerTrust {
        mc_system_id: trust.mc_system_id.to_string(),
        issuer: trust.issuer.clone(),
        keys: trust.keys.iter().map(encode_key).collect(),
        allowed_scopes: trust.allowed_scopes.names(),
        etag: stored.etag(),
        create_time: super::time(stored.created_at),
        update_time: super::time(stored.updated_at),
    }
}

pub(crate) fn encode_key(key: &PublicKey) -> proto::JsonWebKey {
    proto::JsonWebKey { kid: key.kid.clone(), x: key.x.clone(), y: key.y.clone() }
}
