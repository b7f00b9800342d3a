//! The typed client of configuration management: user profiles and service configuration in force.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::effective_profile_service_client::EffectiveProfileServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::{McServiceId, McSystemId, ProfileIndex, Violations};
use tonic::transport::Channel;

use super::{DEFAULT_TIMEOUT, ProfileSource, SourceError, of_remote, remote, understood, with_timeout};
use crate::domain::profile::{
    AgreedMigration, EffectiveProfile, PermittedMigration, PrivateCalls, ProfileAnswer, ProfileGroup,
    ServiceTerms, UserProfile,
};
use crate::domain::user::{User, Visitor};
use crate::wire;

/// Asks the own configuration management. Clones share the channel.
#[derive(Debug, Clone)]
pub struct ConfigurationManagement {
    inner: EffectiveProfileServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl ConfigurationManagement {
    /// A client over this channel, with a deadline of 5 seconds for each call.
    pub fn new(channel: Channel) -> Self {
        Self { inner: EffectiveProfileServiceClient::new(Outgoing::new(channel)), timeout: DEFAULT_TIMEOUT }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

#[tonic::async_trait]
impl ProfileSource for ConfigurationManagement {
    async fn effective_profile(
        &self,
        user: &User,
        index: Option<ProfileIndex>,
    ) -> Result<ProfileAnswer, SourceError> {
        let message = proto::GetEffectiveProfileRequest {
            identity: Some(wire::user_identity(user)),
            profile_index: index.map(|index| index.0.into()),
        };
        let answer = self.inner.clone().get_effective_profile(with_timeout(message, self.timeout)).await;
        match answer {
            Ok(answer) => {
                decode(answer.into_inner()).map(|effective| ProfileAnswer::InForce(Box::new(effective)))
            }
            Err(status) => {
                let remote = remote(&status);
                match remote.reason.as_str() {
                    "USER_PROFILE_UNKNOWN" => Ok(ProfileAnswer::Unknown),
                    "USER_PROFILE_DISABLED" => Ok(ProfileAnswer::Disabled),
                    // The primary does not let us have it, or we may not ask: there is no user profile to apply.
                    "PRIMARY_REFUSED" | "PARTNER_NOT_USABLE" => Ok(ProfileAnswer::Unknown),
                    _ => Err(of_remote(&remote)),
                }
            }
        }
    }

    async fn agreed_migration(
        &self,
        user: &User,
        partner: &McSystemId,
    ) -> Result<Option<AgreedMigration>, SourceError> {
        let message = proto::GetPermittedMigrationRequest {
            identity: Some(wire::user_identity(user)),
            partner_mc_system_id: partner.to_string(),
        };
        let answer = self.inner.clone().get_permitted_migration(with_timeout(message, self.timeout)).await;
        match answer {
            Ok(answer) => agreed(&answer.into_inner()).map(Some),
            Err(status) => {
                let remote = remote(&status);
                if remote.reason == "MIGRATION_NOT_PERMITTED" { Ok(None) } else { Err(of_remote(&remote)) }
            }
        }
    }
}

fn agreed(answer: &proto::GetPermittedMigrationResponse) -> Result<AgreedMigration, SourceError> {
    let mut violations = Violations::new();
    let migration_id = wire::uuid(&mut violations, "migration_id", &answer.migration_id);
    let partner_id = violations.parse("partner_mc_service_id", &answer.partner_mc_service_id);
    let indices = answer.profile_indices.iter();
    let profiles: Option<BTreeSet<_>> =
        indices.map(|index| violations.accept("profile_indices", ProfileIndex::try_from(*index))).collect();
    let ((migration_id, partner_id), profiles) =
        understood(violations, migration_id.zip(partner_id).zip(profiles))?;
    Ok(AgreedMigration { permitted: PermittedMigration { migration_id, partner_id }, profiles })
}

fn decode(answer: proto::GetEffectiveProfileResponse) -> Result<EffectiveProfile, SourceError> {
    let mut violations = Violations::new();
    let profile = violations.require("user_profile", answer.user_profile);
    let profile = profile.and_then(|profile| user_profile(&mut violations, profile));
    let profile = understood(violations, profile)?;
    let terms = answer.service_configuration.map_or(ServiceTerms::UNRESTRICTED, |configuration| {
        let emergency = configuration.emergency_call.unwrap_or_default();
        ServiceTerms {
            private_calls: configuration.private_call.unwrap_or_default().enabled,
            emergency_private_calls: emergency.private_call_enabled,
            emergency_group_calls: emergency.group_call_enabled,
        }
    });
    Ok(EffectiveProfile { profile, terms })
}

fn user_profile(violations: &mut Violations, profile: proto::UserProfile) -> Option<UserProfile> {
    let index = wire::profile_index(violations, profile.profile_index);
    let private_call = violations.require("private_call", profile.private_call);
    let private_call = private_call.and_then(|rights| private_calls(violations, &rights));
    let mut groups = BTreeMap::new();
    for (at, group) in profile.groups.iter().enumerate() {
        let field = format!("groups[{at}].mc_service_group_id");
        if let Some(id) = violations.parse(field, &group.mc_service_group_id) {
            groups.insert(id, ProfileGroup { implicit_affiliation: group.implicit_affiliation });
        }
    }
    let mut functional_aliases = BTreeSet::new();
    for (at, alias) in profile.functional_aliases.iter().enumerate() {
        functional_aliases.extend(violations.parse(format!("functional_aliases[{at}]"), alias));
    }
    let mut valid_in: BTreeSet<McSystemId> = BTreeSet::new();
    for (at, system) in profile.valid_in.iter().enumerate() {
        valid_in.extend(violations.parse(format!("valid_in[{at}]"), system));
    }
    let visitor = match profile.visitor {
        None => Some(None),
        Some(origin) => visitor(violations, &origin).map(Some),
    };
    Some(UserProfile {
        index: index?,
        etag: profile.etag,
        private_call: private_call?,
        groups,
        max_affiliations: profile.max_affiliations,
        functional_aliases,
        emergency_calls: profile.emergency_call_allowed,
        valid_in,
        visitor: visitor?,
    })
}

fn private_calls(violations: &mut Violations, rights: &proto::PrivateCallRights) -> Option<PrivateCalls> {
    match rights.policy() {
        proto::PrivateCallPolicy::Any => Some(PrivateCalls::Anybody),
        proto::PrivateCallPolicy::None => Some(PrivateCalls::Nobody),
        proto::PrivateCallPolicy::Listed => {
            let mut listed: BTreeSet<McServiceId> = BTreeSet::new();
            for (at, id) in rights.mc_service_ids.iter().enumerate() {
                listed.extend(violations.parse(format!("private_call.mc_service_ids[{at}]"), id));
            }
            Some(PrivateCalls::Listed(listed))
        }
        proto::PrivateCallPolicy::Unspecified => {
            violations.add("private_call.policy", "must be a known policy");
            None
        }
    }
}

fn visitor(violations: &mut Violations, origin: &proto::VisitorOrigin) -> Option<Visitor> {
    let migration_id = wire::uuid(violations, "visitor.migration_id", &origin.migration_id);
    let primary = violations.parse("visitor.primary_mc_system_id", &origin.primary_mc_system_id);
    let primary_id = violations.parse("visitor.primary_mc_service_id", &origin.primary_mc_service_id);
    Some(Visitor { primary: primary?, primary_id: primary_id?, migration_id: migration_id? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> proto::GetEffectiveProfileResponse {
        let profile = proto::UserProfile {
            profile_index: 3,
            private_call: Some(proto::PrivateCallRights {
                policy: proto::PrivateCallPolicy::Listed.into(),
                mc_service_ids: vec!["sip:bob@alpha.example".to_owned()],
            }),
            groups: vec![proto::ProfileGroup {
                mc_service_group_id: "sip:rescue@alpha.example".to_owned(),
                implicit_affiliation: true,
                ..Default::default()
            }],
            max_affiliations: 4,
            emergency_call_allowed: true,
            etag: "9".to_owned(),
            ..Default::default()
        };
        proto::GetEffectiveProfileResponse { user_profile: Some(profile), service_configuration: None }
    }

    #[test]
    fn without_service_configuration_only_the_profile_restricts() {
        let effective = decode(answer()).unwrap();
        assert_eq!(effective.terms, ServiceTerms::UNRESTRICTED);
        assert_eq!((effective.profile.index, effective.profile.max_affiliations), (ProfileIndex(3), 4));
        let group = "sip:rescue@alpha.example".parse().unwrap();
        assert!(effective.profile.groups[&group].implicit_affiliation);
    }

    #[test]
    fn empty_service_configuration_offers_nothing() {
        let configuration = proto::ServiceConfiguration::default();
        let restricted =
            proto::GetEffectiveProfileResponse { service_configuration: Some(configuration), ..answer() };
        let terms = decode(restricted).unwrap().terms;
        assert!(!terms.private_calls && !terms.emergency_private_calls && !terms.emergency_group_calls);
    }

    #[test]
    fn migration_is_agreed_with_the_profiles_that_go_to_the_partner() {
        let answer = |profile_indices: &[u32]| proto::GetPermittedMigrationResponse {
            migration_id: "00000000-0000-0000-0000-000000000007".to_owned(),
            partner_mc_service_id: "sip:alice.alpha@bravo.example".to_owned(),
            profile_indices: profile_indices.to_vec(),
        };
        assert_eq!(agreed(&answer(&[3, 9])).unwrap().profiles, [ProfileIndex(3), ProfileIndex(9)].into());
        assert!(agreed(&answer(&[])).unwrap().profiles.is_empty(), "none is told, so none goes");
        let SourceError::Failed(detail) = agreed(&answer(&[256])).unwrap_err() else {
            panic!("it is not away")
        };
        assert!(detail.contains("profile_indices"), "{detail}");
    }

    #[test]
    fn profile_that_cannot_be_understood_is_not_applied() {
        let mut broken = answer();
        broken.user_profile.as_mut().unwrap().private_call = None;
        broken.user_profile.as_mut().unwrap().groups[0].mc_service_group_id = "rescue".to_owned();
        let SourceError::Failed(detail) = decode(broken).unwrap_err() else { panic!("it is not away") };
        assert!(detail.contains("private_call") && detail.contains("groups[0]"), "{detail}");
    }
}
