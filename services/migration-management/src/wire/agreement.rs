//! Agreements on the wire.

use mcx_federation::TrustBundle;
use mcx_proto::migration::v1 as proto;
use mcx_types::{McSystemId, Violations};

use crate::domain::agreement::{Agreement, AgreementLimits, AgreementState, PartnerCapability};
use crate::store::Stored;

const FIELD: &str = "agreement";
const ENDPOINT_LIMIT: usize = 8;
const TRUST_BUNDLE_LIMIT: usize = 64 * 1024;

/// Decodes an agreement of `own`, which cannot have one with itself.
pub(crate) fn decode(
    violations: &mut Violations,
    own: &McSystemId,
    agreement: Option<proto::Agreement>,
) -> Option<Agreement> {
    let agreement = violations.require(FIELD, agreement)?;
    let partner: Option<McSystemId> =
        violations.parse("agreement.partner_mc_system_id", &agreement.partner_mc_system_id);
    if partner.as_ref() == Some(own) {
        violations.add("agreement.partner_mc_system_id", "must name another mc system");
    }
    if agreement.peer_endpoints.is_empty() || agreement.peer_endpoints.len() > ENDPOINT_LIMIT {
        violations.add("agreement.peer_endpoints", format_args!("must hold 1 to {ENDPOINT_LIMIT} endpoints"));
    }
    let peer_endpoints: Vec<_> = agreement
        .peer_endpoints
        .iter()
        .enumerate()
        .filter_map(|(index, text)| violations.parse(format!("agreement.peer_endpoints[{index}]"), text))
        .collect();
    if agreement.trust_bundle_pem.len() > TRUST_BUNDLE_LIMIT {
        violations.add(
            "agreement.trust_bundle_pem",
            format_args!("must not be longer than {TRUST_BUNDLE_LIMIT} bytes"),
        );
    } else {
        violations.accept(
            "agreement.trust_bundle_pem",
            TrustBundle::from_pem(agreement.trust_bundle_pem.as_bytes()),
        );
    }
    let state = state(violations, agreement.state);
    let validity = super::validity(violations, FIELD, agreement.valid_from, agreement.valid_until);
    let partner_may_ask = capabilities(violations, &agreement.partner_may_ask);
    let limits = limits(violations, agreement.limits.unwrap_or_default());
    Some(Agreement {
        partner: partner?,
        peer_endpoints,
        trust_bundle_pem: agreement.trust_bundle_pem,
        state: state?,
        validity: validity?,
        partner_may_ask: partner_may_ask?,
        limits: limits?,
    })
}

fn state(violations: &mut Violations, state: i32) -> Option<AgreementState> {
    match proto::AgreementState::try_from(state) {
        Ok(proto::AgreementState::Unspecified | proto::AgreementState::Active) => {
            Some(AgreementState::Active)
        }
        Ok(proto::AgreementState::Suspended) => Some(AgreementState::Suspended),
        Err(_) => {
            violations.add("agreement.state", "must be a known state");
            None
        }
    }
}

fn capabilities(violations: &mut Violations, capabilities: &[i32]) -> Option<Vec<PartnerCapability>> {
    let mut decoded = Vec::with_capacity(capabilities.len());
    for (index, capability) in capabilities.iter().enumerate() {
        match proto::PartnerCapability::try_from(*capability) {
            Ok(proto::PartnerCapability::SipAuthenticationInformation) => {
                if !decoded.contains(&PartnerCapability::SipAuthenticationInformation) {
                    decoded.push(PartnerCapability::SipAuthenticationInformation);
                }
            }
            Ok(proto::PartnerCapability::Unspecified) | Err(_) => {
                violations.add(format!("agreement.partner_may_ask[{index}]"), "must be a known capability");
                return None;
            }
        }
    }
    Some(decoded)
}

fn limits(violations: &mut Violations, limits: proto::AgreementLimits) -> Option<AgreementLimits> {
    let numbers = [
        ("requests_per_minute", limits.requests_per_minute),
        ("requests_per_user_per_minute", limits.requests_per_user_per_minute),
        ("resynchronisations_per_user_per_hour", limits.resynchronisations_per_user_per_hour),
    ];
    let mut is_valid = true;
    for (name, number) in numbers {
        if number == Some(0) {
            violations.add(format!("agreement.limits.{name}"), "must be at least 1");
            is_valid = false;
        }
    }
    is_valid.then_some(AgreementLimits {
        requests_per_minute: limits.requests_per_minute,
        requests_per_user_per_minute: limits.requests_per_user_per_minute,
        resynchronisations_per_user_per_hour: limits.resynchronisations_per_user_per_hour,
    })
}

pub(crate) fn encode(stored: &Stored<Agreement>) -> proto::Agreement {
    let agreement = &stored.value;
    let limits = agreement.limits;
    proto::Agreement {
        partner_mc_system_id: agreement.partner.to_string(),
        peer_endpoints: agreement.peer_endpoints.iter().map(ToString::to_string).collect(),
        trust_bundle_pem: agreement.trust_bundle_pem.clone(),
        state: match agreement.state {
            AgreementState::Active => proto::AgreementState::Active,
            AgreementState::Suspended => proto::AgreementState::Suspended,
        }
        .into(),
        valid_from: agreement.validity.from.map(Into::into),
        valid_until: agreement.validity.until.map(Into::into),
        partner_may_ask: agreement
            .partner_may_ask
            .iter()
            .map(|capability| match capability {
                PartnerCapability::SipAuthenticationInformation => {
                    proto::PartnerCapability::SipAuthenticationInformation.into()
                }
            })
            .collect(),
        limits: (limits != AgreementLimits::default()).then_some(proto::AgreementLimits {
            requests_per_minute: limits.requests_per_minute,
            requests_per_user_per_minute: limits.requests_per_user_per_minute,
            resynchronisations_per_user_per_hour: limits.resynchronisations_per_user_per_hour,
        }),
        etag: stored.etag(),
        create_time: super::time(stored.created_at),
        update_time: super::time(stored.updated_at),
        ..Default::default()
    }
}
