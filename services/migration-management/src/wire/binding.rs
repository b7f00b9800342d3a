//! Bindings on the wire.

use mcx_proto::migration::v1 as proto;
use mcx_types::{McSystemId, Violations};

use crate::domain::binding::{Binding, BindingTerms, SignallingAccess, UseState};
use crate::store::Stored;

const FIELD: &str = "binding";

/// Decodes what a binding says; its primary is another MC system than `own`.
pub(crate) fn decode(
    violations: &mut Violations,
    own: &McSystemId,
    binding: Option<&proto::Binding>,
) -> Option<BindingTerms> {
    let binding = violations.require(FIELD, binding)?;
    let partner_identities =
        violations.sip_identities("binding.partner_identities", binding.partner_identities.clone());
    let primary_identities =
        violations.sip_identities("binding.primary_identities", binding.primary_identities.clone());
    let primary: Option<McSystemId> =
        violations.parse("binding.primary_mc_system_id", &binding.primary_mc_system_id);
    if primary.as_ref() == Some(own) {
        violations.add("binding.primary_mc_system_id", "must name another mc system");
    }
    let signalling_access = match proto::SignallingAccess::try_from(binding.signalling_access) {
        Ok(proto::SignallingAccess::Unspecified | proto::SignallingAccess::FederatedAuth) => {
            Some(SignallingAccess::FederatedAuth)
        }
        Ok(proto::SignallingAccess::LocalCredentials) => Some(SignallingAccess::LocalCredentials),
        Err(_) => {
            violations.add("binding.signalling_access", "must be a known signalling access");
            None
        }
    };
    let state = match proto::BindingState::try_from(binding.state) {
        Ok(proto::BindingState::Unspecified | proto::BindingState::Enabled) => Some(UseState::Enabled),
        Ok(proto::BindingState::Suspended) => Some(UseState::Suspended),
        Err(_) => {
            violations.add("binding.state", "must be a known state");
            None
        }
    };
    let validity = super::validity(violations, FIELD, binding.valid_from, binding.valid_until);
    Some(BindingTerms {
        partner_identities: partner_identities?,
        primary_identities: primary_identities?,
        primary_mc_system_id: primary?,
        signalling_access: signalling_access?,
        state: state?,
        validity: validity?,
    })
}

pub(crate) fn encode(stored: &Stored<Binding>) -> proto::Binding {
    let Binding { id, terms, kept_by } = &stored.value;
    proto::Binding {
        binding_id: id.to_string(),
        partner_identities: Some(terms.partner_identities.clone().into()),
        primary_identities: Some(terms.primary_identities.clone().into()),
        primary_mc_system_id: terms.primary_mc_system_id.to_string(),
        signalling_access: match terms.signalling_access {
            SignallingAccess::FederatedAuth => proto::SignallingAccess::FederatedAuth,
            SignallingAccess::LocalCredentials => proto::SignallingAccess::LocalCredentials,
        }
        .into(),
        state: match terms.state {
            UseState::Enabled => proto::BindingState::Enabled,
            UseState::Suspended => proto::BindingState::Suspended,
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
