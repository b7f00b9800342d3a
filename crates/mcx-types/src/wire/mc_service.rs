//! MC services and the identities in them.

use std::collections::BTreeMap;

use mcx_proto::types::v1 as proto;

use crate::{McService, McServiceId, Violations};

/// A user in one MC service, as her primary and as a partner MC system know her (TS 23.280 10.6.3.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigratedServiceIdentity {
    /// The MC service.
    pub mc_service: McService,
    /// Who she is in her primary MC system.
    pub primary: McServiceId,
    /// Who she is at the partner.
    pub partner: McServiceId,
}

impl From<McService> for proto::McService {
    fn from(service: McService) -> Self {
        match service {
            McService::Ptt => Self::Ptt,
            McService::Video => Self::Video,
            McService::Data => Self::Data,
        }
    }
}

impl From<MigratedServiceIdentity> for proto::MigratedServiceIdentity {
    fn from(identity: MigratedServiceIdentity) -> Self {
        Self {
            mc_service: proto::McService::from(identity.mc_service).into(),
            primary_mc_service_id: identity.primary.into(),
            partner_mc_service_id: identity.partner.into(),
        }
    }
}

/// Identities, one per MC service, as messages.
pub fn mc_service_identities_to_wire(
    identities: &BTreeMap<McService, McServiceId>,
) -> Vec<proto::McServiceIdentity> {
    identities
        .iter()
        .map(|(service, id)| proto::McServiceIdentity {
            mc_service: proto::McService::from(*service).into(),
            mc_service_id: id.to_string(),
        })
        .collect()
}

impl Violations {
    /// Decodes a required MC service.
    pub fn mc_service(&mut self, field: impl Into<String>, service: i32) -> Option<McService> {
        match proto::McService::try_from(service) {
            Ok(proto::McService::Ptt) => Some(McService::Ptt),
            Ok(proto::McService::Video) => Some(McService::Video),
            Ok(proto::McService::Data) => Some(McService::Data),
            Ok(proto::McService::Unspecified) | Err(_) => {
                self.add(field, "must be a known mc service");
                None
            }
        }
    }

    /// Decodes the identities of a required field: at least one, at most one per MC service.
    pub fn mc_service_identities(
        &mut self,
        field: &str,
        identities: &[proto::McServiceIdentity],
    ) -> Option<BTreeMap<McService, McServiceId>> {
        if identities.is_empty() {
            self.add(field, "must hold at least one identity");
            return None;
        }
        let mut decoded = BTreeMap::new();
        let mut is_good = true;
        for (index, identity) in identities.iter().enumerate() {
            let service = self.mc_service(format!("{field}[{index}].mc_service"), identity.mc_service);
            let id = self.parse(format!("{field}[{index}].mc_service_id"), &identity.mc_service_id);
            let Some((service, id)) = service.zip(id) else {
                is_good = false;
                continue;
            };
            if decoded.insert(service, id).is_some() {
                self.add(format!("{field}[{index}].mc_service"), "must not repeat an mc service");
                is_good = false;
            }
        }
        is_good.then_some(decoded)
    }

    /// Decodes the identities of a migrated user: at least one, at most one per MC service.
    pub fn migrated_service_identities(
        &mut self,
        field: &str,
        identities: &[proto::MigratedServiceIdentity],
    ) -> Option<Vec<MigratedServiceIdentity>> {
        if identities.is_empty() {
            self.add(field, "must hold at least one identity");
            return None;
        }
        let mut decoded: Vec<MigratedServiceIdentity> = Vec::with_capacity(identities.len());
        for (index, identity) in identities.iter().enumerate() {
            let path = format!("{field}[{index}]");
            let service = self.mc_service(format!("{path}.mc_service"), identity.mc_service);
            let primary =
                self.parse(format!("{path}.primary_mc_service_id"), &identity.primary_mc_service_id);
            let partner =
                self.parse(format!("{path}.partner_mc_service_id"), &identity.partner_mc_service_id);
            let Some(((mc_service, primary), partner)) = service.zip(primary).zip(partner) else { continue };
            if decoded.iter().any(|other| other.mc_service == mc_service) {
                self.add(format!("{path}.mc_service"), "must not repeat an mc service");
            } else {
                decoded.push(MigratedServiceIdentity { mc_service, primary, partner });
            }
        }
        (decoded.len() == identities.len()).then_some(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(service: proto::McService, id: &str) -> proto::McServiceIdentity {
        proto::McServiceIdentity { mc_service: service.into(), mc_service_id: id.to_owned() }
    }

    #[test]
    fn identities_survive_the_way_through_the_protocol() {
        let sent = [
            identity(proto::McService::Ptt, "sip:alice@alpha.example"),
            identity(proto::McService::Data, "tel:+4930123"),
        ];
        let mut violations = Violations::new();
        let decoded = violations.mc_service_identities("identities", &sent).unwrap();
        assert_eq!(mc_service_identities_to_wire(&decoded), sent);
    }

    #[test]
    fn every_bad_identity_is_named_by_its_path() {
        let sent = [
            identity(proto::McService::Unspecified, "alice"),
            identity(proto::McService::Ptt, "sip:alice@alpha.example"),
            identity(proto::McService::Ptt, "sip:alice2@alpha.example"),
        ];
        let mut violations = Violations::new();
        assert_eq!(violations.mc_service_identities("ids", &sent), None);
        let fields: Vec<&str> =
            violations.as_slice().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["ids[0].mc_service", "ids[0].mc_service_id", "ids[2].mc_service"]);
    }
}
