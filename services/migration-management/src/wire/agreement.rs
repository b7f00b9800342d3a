//! Agreements on the wire.

use mcx_federation::{PeerEndpoint, PeerService, TrustBundle};
use mcx_proto::migration::v1 as proto;
use mcx_types::{Entity, McSystemId, Violations};

use crate::domain::agreement::{
    Agreement, AgreementLimits, AgreementState, PEER_ENTITIES, PartnerCapability,
};
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
    let peer_endpoints = peer_endpoints(violations, "agreement.peer_endpoints", &agreement.peer_endpoints);
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
    let peer_services = peer_services(violations, &agreement.peer_services);
    Some(Agreement {
        partner: partner?,
        peer_endpoints,
        trust_bundle_pem: agreement.trust_bundle_pem,
        state: state?,
        validity: validity?,
        partner_may_ask: partner_may_ask?,
        limits: limits?,
        peer_services: peer_services?,
    })
}

fn peer_services(
    violations: &mut Violations,
    services: &[proto::PeerService],
) -> Option<Vec<(Entity, PeerService)>> {
    let mut decoded: Vec<(Entity, PeerService)> = Vec::with_capacity(services.len());
    for (index, service) in services.iter().enumerate() {
        let path = format!("agreement.peer_services[{index}]");
        let entity = violations.parse(format!("{path}.entity"), &service.entity);
        if let Some(entity) = entity {
            if !PEER_ENTITIES.contains(&entity) {
                violations.add(
                    format!("{path}.entity"),
                    "must be configuration-management, group-management or mc-service",
                );
            } else if decoded.iter().any(|(other, _)| *other == entity) {
                violations.add(format!("{path}.entity"), "must not repeat an entity");
            }
        }
        let endpoints = peer_endpoints(violations, &format!("{path}.endpoints"), &service.endpoints);
        let presents = match service.presented_entity.as_str() {
            "" => entity,
            text => violations.parse(format!("{path}.presented_entity"), text),
        };
        if let (Some(entity), Some(presents)) = (entity, presents) {
            decoded.push((entity, PeerService { endpoints, presents }));
        }
    }
    (decoded.len() == services.len()).then_some(decoded)
}

fn peer_endpoints(violations: &mut Violations, field: &str, endpoints: &[String]) -> Vec<PeerEndpoint> {
    if endpoints.is_empty() || endpoints.len() > ENDPOINT_LIMIT {
        violations.add(field, format_args!("must hold 1 to {ENDPOINT_LIMIT} endpoints"));
    }
    let endpoints = endpoints.iter().enumerate();
    endpoints.filter_map(|(index, text)| violations.parse(format!("{field}[{index}]"), text)).collect()
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
        ("pending_offers", limits.pending_offers),
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
        pending_offers: limits.pending_offers,
    })
}

pub(crate) fn encode(stored: &Stored<Agreement>) -> proto::Agreement {
    let agreement = &stored.value;
    let limits = agreement.limits;
    proto::Agreement {
        partner_mc_system_id: agreement.partner.to_string(),
        peer_endpoints: agreement.peer_endpoints.iter().map(ToString::to_string).collect(),
        trust_bundle_pem: agreement.trust_bundle_pem.clone(),
        state: state_to_wire(agreement.state).into(),
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
            pending_offers: limits.pending_offers,
        }),
        etag: stored.etag(),
        create_time: super::time(stored.created_at),
        update_time: super::time(stored.updated_at),
        peer_services: agreement
            .peer_services
            .iter()
            .map(|(entity, service)| peer_service(*entity, service))
            .collect(),
    }
}

pub(super) fn state_to_wire(state: AgreementState) -> proto::AgreementState {
    match state {
        AgreementState::Active => proto::AgreementState::Active,
        AgreementState::Suspended => proto::AgreementState::Suspended,
    }
}

pub(super) fn peer_service(entity: Entity, service: &PeerService) -> proto::PeerService {
    proto::PeerService {
        entity: entity.to_string(),
        endpoints: service.endpoints.iter().map(ToString::to_string).collect(),
        presented_entity: service.presents.to_string(),
    }
}
