//! Partners on the wire, as the other entities of this MC system follow them.

use mcx_federation::{PartnerTerms, PeerService};
use mcx_proto::migration::v1 as proto;
use mcx_types::{Entity, Violations};

use super::agreement::{peer_service, state_to_wire};
use crate::domain::agreement::Agreement;

pub(crate) fn encode(agreements: &[Agreement]) -> proto::WatchPartnersResponse {
    let partners = agreements.iter().map(|agreement| {
        let mut services: Vec<_> = agreement.services().into_iter().collect();
        services.sort_unstable_by_key(|(entity, _)| *entity);
        proto::Partner {
            mc_system_id: agreement.partner.to_string(),
            trust_bundle_pem: agreement.trust_bundle_pem.clone(),
            state: state_to_wire(agreement.state).into(),
            valid_from: agreement.validity.from.map(Into::into),
            valid_until: agreement.validity.until.map(Into::into),
            services: services.iter().map(|(entity, service)| peer_service(*entity, service)).collect(),
        }
    });
    proto::WatchPartnersResponse { partners: partners.collect() }
}

/// Decodes what an entity is told.
pub(crate) fn decode(response: &proto::WatchPartnersResponse) -> Result<Vec<PartnerTerms>, Violations> {
    let mut violations = Violations::new();
    let mut all = Vec::with_capacity(response.partners.len());
    for (index, partner) in response.partners.iter().enumerate() {
        all.extend(terms(&mut violations, &format!("partners[{index}]"), partner));
    }
    violations.finish(Some(all))
}

fn terms(violations: &mut Violations, path: &str, partner: &proto::Partner) -> Option<PartnerTerms> {
    let mc_system_id = violations.parse(format!("{path}.mc_system_id"), &partner.mc_system_id);
    let validity = super::validity(violations, path, partner.valid_from, partner.valid_until);
    let mut services = std::collections::HashMap::with_capacity(partner.services.len());
    for (index, service) in partner.services.iter().enumerate() {
        let path = format!("{path}.services[{index}]");
        let entity: Option<Entity> = violations.parse(format!("{path}.entity"), &service.entity);
        let presents = violations.parse(format!("{path}.presented_entity"), &service.presented_entity);
        let endpoints = service.endpoints.iter().enumerate();
        let endpoints = endpoints
            .filter_map(|(index, text)| violations.parse(format!("{path}.endpoints[{index}]"), text))
            .collect();
        if let (Some(entity), Some(presents)) = (entity, presents) {
            services.insert(entity, PeerService { endpoints, presents });
        }
    }
    Some(PartnerTerms {
        mc_system_id: mc_system_id?,
        trust_bundle_pem: partner.trust_bundle_pem.clone(),
        // A state of which this program does not know is no leave to exchange anything.
        is_suspended: partner.state() != proto::AgreementState::Active,
        validity: validity?,
        services,
    })
}
