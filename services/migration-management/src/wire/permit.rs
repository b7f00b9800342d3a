//! Permits on the wire.

use mcx_proto::migration::v1 as proto;
use mcx_types::{McSystemId, Violations};

use crate::domain::binding::UseState;
use crate::domain::permit::{Permit, PermitTerms};
use crate::store::Stored;

const FIELD: &str = "permit";

/// Decodes what a permit says; its partner is another MC system than `own`.
pub(crate) fn decode(
    violations: &mut Violations,
    own: &McSystemId,
    permit: Option<&proto::MigrationPermit>,
) -> Option<PermitTerms> {
    let permit = violations.require(FIELD, permit)?;
    let primary_impi = violations.parse("permit.primary_impi", &permit.primary_impi);
    let partner: Option<McSystemId> =
        violations.parse("permit.partner_mc_system_id", &permit.partner_mc_system_id);
    if partner.as_ref() == Some(own) {
        violations.add("permit.partner_mc_system_id", "must name another mc system");
    }
    let partner_identities =
        violations.sip_identities("permit.partner_identities", permit.partner_identities.clone());
    let state = match proto::PermitState::try_from(permit.state) {
        Ok(proto::PermitState::Unspecified | proto::PermitState::Enabled) => Some(UseState::Enabled),
        Ok(proto::PermitState::Suspended) => Some(UseState::Suspended),
        Err(_) => {
            violations.add("permit.state", "must be a known state");
            None
        }
    };
    let validity = super::validity(violations, FIELD, permit.valid_from, permit.valid_until);
    Some(PermitTerms {
        primary_impi: primary_impi?,
        partner: partner?,
        partner_identities: partner_identities?,
        state: state?,
        validity: validity?,
    })
}

pub(crate) fn encode(stored: &Stored<Permit>) -> proto::MigrationPermit {
    let Permit { id, terms, kept_by } = &stored.value;
    proto::MigrationPermit {
        permit_id: id.to_string(),
        primary_impi: terms.primary_impi.to_string(),
        partner_mc_system_id: terms.partner.to_string(),
        partner_identities: Some(terms.partner_identities.clone().into()),
        state: match terms.state {
            UseState::Enabled => proto::PermitState::Enabled,
            UseState::Suspended => proto::PermitState::Suspended,
        }
        .into(),
        valid_from: terms.validity.from.map(Into::into),
        valid_until: terms.validity.until.map(Into::into),
        etag: stored.etag(),
        create_time: super::time(stored.created_at),
        update_time: super::time(stored.updated_at),
        migration_id: kept_by.map(|id| id.to_string()).unwrap_or_default(),
    }
}
