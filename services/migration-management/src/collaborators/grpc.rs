//! The other entities over gRPC, with a deadline for each call and errors of ours that name who failed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use mcx_proto::configuration::v1 as configuration;
use mcx_proto::configuration::v1::initial_ue_configuration_service_client::InitialUeConfigurationServiceClient;
use mcx_proto::configuration::v1::migration_configuration_service_client::MigrationConfigurationServiceClient;
use mcx_proto::group::v1 as group;
use mcx_proto::group::v1::migration_group_service_client::MigrationGroupServiceClient;
use mcx_proto::identity::v1 as identity;
use mcx_proto::identity::v1::account_service_client::AccountServiceClient;
use mcx_proto::identity::v1::migration_identity_service_client::MigrationIdentityServiceClient;
use mcx_proto::mcservice::v1 as mc_service;
use mcx_proto::mcservice::v1::migrated_user_service_client::MigratedUserServiceClient;
use mcx_proto::sipcore::v1 as sip_core;
use mcx_proto::sipcore::v1::registration_service_client::RegistrationServiceClient;
use mcx_proto::types::v1::{InitialUeConfiguration, MigratedServiceIdentity};
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::decode_status;
use mcx_types::wire::mc_service_identities_to_wire;
use mcx_types::{Entity, Impu, McId, McSystemId, Timestamp, Violations};
use prost_types::Timestamp as WireTimestamp;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{
    Account, Collaborators, Configuration, EndReason, Groups, Identity, McServices, MigrationTarget, SipCore,
};
use crate::domain::user_migration::UserMigration;
use crate::error::{Error, Hop};

/// The most accounts that identity management resolves per call.
const RESOLVED_AT_ONCE: usize = 1_000;

/// How many registrations are ended at the same time.
const DEREGISTERED_AT_ONCE: usize = 16;

/// The most bytes of a request that repeats the UE configuration for each user; servers take 4 MiB.
const TARGETS_BYTES_LIMIT: usize = 2 * 1024 * 1024;

/// The channels to the other entities of this MC system.
#[derive(Debug, Clone)]
pub struct Channels {
    /// To identity management.
    pub identity_management: Channel,
    /// To configuration management.
    pub configuration_management: Channel,
    /// To group management.
    pub group_management: Channel,
    /// To the MC service server.
    pub mc_service: Channel,
    /// To the SIP core.
    pub sip_core: Channel,
}

impl Collaborators {
    /// The entities of `own` behind these channels, each of which may take `timeout` to answer.
    pub fn over(own: &McSystemId, channels: Channels, timeout: Duration) -> Self {
        let remote = |entity, channel| Remote {
            hop: Hop { mc_system_id: own.clone(), entity },
            channel: Outgoing::new(channel),
            timeout,
        };
        Self {
            identity: Arc::new(remote(Entity::IdentityManagement, channels.identity_management)),
            configuration: Arc::new(remote(
                Entity::ConfigurationManagement,
                channels.configuration_management,
            )),
            groups: Arc::new(remote(Entity::GroupManagement, channels.group_management)),
            mc_services: Arc::new(remote(Entity::McService, channels.mc_service)),
            sip_core: Arc::new(remote(Entity::SipCore, channels.sip_core)),
        }
    }
}

/// One entity behind its channel.
struct Remote {
    hop: Hop,
    channel: Outgoing<Channel>,
    timeout: Duration,
}

impl Remote {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, Error> {
        answer.map(Response::into_inner).map_err(|status| self.failed(&status))
    }

    /// What the other entity's error means here. Its status is never passed on: it becomes ours, with the hop that failed.
    fn failed(&self, status: &Status) -> Error {
        let remote = decode_status(status);
        match remote.code {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unknown => Error::EntityUnreachable { hop: self.hop.clone() },
            _ => Error::EntityRefused { hop: self.hop.clone(), peer_reason: remote.reason },
        }
    }

    fn misunderstood(&self, violations: &Violations) -> Error {
        tracing::error!(hop = %self.hop, fields = ?violations, "an answer is malformed");
        Error::EntityRefused { hop: self.hop.clone(), peer_reason: "ANSWER_INVALID".to_owned() }
    }
}

fn texts(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

fn valid_until(at: Option<Timestamp>) -> Option<WireTimestamp> {
    at.map(Into::into)
}

/// Who a visitor is there and here, in each MC service for which she is accepted.
fn migrated_identities(visitor: &UserMigration) -> Vec<MigratedServiceIdentity> {
    let here = visitor.grant.iter().flat_map(|grant| &grant.mc_service_ids);
    here.filter_map(|(service, partner)| {
        Some(MigratedServiceIdentity {
            mc_service: mcx_proto::types::v1::McService::from(*service).into(),
            primary_mc_service_id: visitor.primary_mc_service_ids.get(service)?.to_string(),
            partner_mc_service_id: partner.to_string(),
        })
    })
    .collect()
}

/// Who an own user is here, in each MC service for which the partner accepted her.
fn own_identities(user: &UserMigration) -> Vec<mcx_proto::types::v1::McServiceIdentity> {
    let mut ids = user.primary_mc_service_ids.clone();
    if let Some(grant) = &user.grant {
        ids.retain(|service, _| grant.mc_service_ids.contains_key(service));
    }
    mc_service_identities_to_wire(&ids)
}

#[async_trait]
impl Identity for Remote {
    async fn resolve_accounts(&self, mc_ids: &[McId]) -> Result<HashMap<McId, Account>, Error> {
        let mut client = AccountServiceClient::new(self.channel.clone());
        let mut resolved = HashMap::with_capacity(mc_ids.len());
        for chunk in mc_ids.chunks(RESOLVED_AT_ONCE) {
            let mc_ids = chunk.iter().map(McId::to_string).collect();
            let request = self.request(identity::ResolveAccountsRequest { mc_ids });
            let answer = self.answer(client.resolve_accounts(request).await)?;
            let mut violations = Violations::new();
            for (index, account) in answer.accounts.iter().enumerate() {
                let path = format!("accounts[{index}]");
                let mc_id = violations.parse(format!("{path}.mc_id"), &account.mc_id);
                let subject = violations.parse(format!("{path}.subject"), &account.subject);
                let ids = violations.mc_service_identities(
                    &format!("{path}.mc_service_identities"),
                    &account.mc_service_identities,
                );
                if let Some(((mc_id, subject), mc_service_ids)) = mc_id.zip(subject).zip(ids) {
                    resolved.insert(mc_id, Account { subject, mc_service_ids });
                }
            }
            violations.finish(Some(())).map_err(|violations| self.misunderstood(&violations))?;
        }
        Ok(resolved)
    }

    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error> {
        let visitors = visitors.iter().map(|visitor| identity::Visitor {
            migration_id: visitor.id.to_string(),
            primary_mc_system_id: visitor.peer.to_string(),
            primary_issuer: visitor.primary_issuer.clone().unwrap_or_default(),
            primary_subject: visitor.primary_subject.to_string(),
            mc_service_identities: visitor
                .grant
                .as_ref()
                .map(|grant| mc_service_identities_to_wire(&grant.mc_service_ids))
                .unwrap_or_default(),
            scopes: visitor.grant.as_ref().map(|grant| grant.scopes.clone()).unwrap_or_default(),
            valid_until: valid_until(visitor.valid_until),
        });
        let request = self.request(identity::PutVisitorsRequest { visitors: visitors.collect() });
        let mut client = MigrationIdentityServiceClient::new(self.channel.clone());
        self.answer(client.put_visitors(request).await).map(drop)
    }

    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error> {
        let request = self.request(identity::DeleteVisitorsRequest { migration_ids: texts(migrations) });
        let mut client = MigrationIdentityServiceClient::new(self.channel.clone());
        self.answer(client.delete_visitors(request).await).map(drop)
    }

    async fn put_exchange_targets(&self, targets: &[MigrationTarget]) -> Result<(), Error> {
        let targets = targets.iter().map(|target| {
            let configuration = target.access_information.initial_ue_configuration.as_ref();
            let servers = configuration.and_then(|configuration| configuration.servers.as_ref());
            identity::ExchangeTarget {
                migration_id: target.migration.id.to_string(),
                subject: target.migration.primary_subject.to_string(),
                partner_mc_system_id: target.migration.peer.to_string(),
                resource: servers
                    .map(|servers| servers.identity_management_token_endpoint.clone())
                    .unwrap_or_default(),
                valid_until: valid_until(target.migration.valid_until),
            }
        });
        let request = self.request(identity::PutExchangeTargetsRequest { targets: targets.collect() });
        let mut client = MigrationIdentityServiceClient::new(self.channel.clone());
        self.answer(client.put_exchange_targets(request).await).map(drop)
    }

    async fn delete_exchange_targets(&self, migrations: &[Uuid]) -> Result<(), Error> {
        let migration_ids = texts(migrations);
        let request = self.request(identity::DeleteExchangeTargetsRequest { migration_ids });
        let mut client = MigrationIdentityServiceClient::new(self.channel.clone());
        self.answer(client.delete_exchange_targets(request).await).map(drop)
    }
}

#[async_trait]
impl Configuration for Remote {
    async fn initial_ue_configuration(&self) -> Result<InitialUeConfiguration, Error> {
        let mut client = InitialUeConfigurationServiceClient::new(self.channel.clone());
        let request = self.request(configuration::GetInitialUeConfigurationRequest {});
        let answer = self.answer(client.get_initial_ue_configuration(request).await)?;
        let mut violations = Violations::new();
        let document = violations.require("document", answer.document);
        let configuration = document.and_then(|document| {
            let field = "document.initial_ue_configuration";
            violations.require(field, document.initial_ue_configuration)
        });
        violations.finish(configuration).map_err(|violations| self.misunderstood(&violations))
    }

    async fn put_migration_targets(&self, targets: &[MigrationTarget]) -> Result<(), Error> {
        let mut client = MigrationConfigurationServiceClient::new(self.channel.clone());
        let targets: Vec<_> = targets
            .iter()
            .map(|target| configuration::UserMigrationTarget {
                migration_id: target.migration.id.to_string(),
                partner_mc_system_id: target.migration.peer.to_string(),
                mc_service_identities: own_identities(&target.migration),
                access_information: Some(target.access_information.clone()),
                selection: None,
            })
            .collect();
        let largest = targets.iter().map(prost::Message::encoded_len).max().unwrap_or(1);
        for chunk in targets.chunks((TARGETS_BYTES_LIMIT / largest.max(1)).max(1)) {
            let targets = chunk.to_vec();
            let request = self.request(configuration::PutMigrationTargetsRequest { targets });
            self.answer(client.put_migration_targets(request).await)?;
        }
        Ok(())
    }

    async fn delete_migration_targets(&self, migrations: &[Uuid]) -> Result<(), Error> {
        let migration_ids = texts(migrations);
        let request = self.request(configuration::DeleteMigrationTargetsRequest { migration_ids });
        let mut client = MigrationConfigurationServiceClient::new(self.channel.clone());
        self.answer(client.delete_migration_targets(request).await).map(drop)
    }

    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error> {
        let visitors = visitors.iter().map(|visitor| configuration::Visitor {
            migration_id: visitor.id.to_string(),
            primary_mc_system_id: visitor.peer.to_string(),
            identities: migrated_identities(visitor),
            valid_until: valid_until(visitor.valid_until),
        });
        let request = self.request(configuration::PutVisitorsRequest { visitors: visitors.collect() });
        let mut client = MigrationConfigurationServiceClient::new(self.channel.clone());
        self.answer(client.put_visitors(request).await).map(drop)
    }

    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error> {
        let migration_ids = texts(migrations);
        let request = self.request(configuration::DeleteVisitorsRequest { migration_ids });
        let mut client = MigrationConfigurationServiceClient::new(self.channel.clone());
        self.answer(client.delete_visitors(request).await).map(drop)
    }
}

#[async_trait]
impl Groups for Remote {
    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error> {
        let visitors = visitors.iter().map(|visitor| group::Visitor {
            migration_id: visitor.id.to_string(),
            primary_mc_system_id: visitor.peer.to_string(),
            identities: migrated_identities(visitor),
            granted_group_ids: visitor
                .grant
                .iter()
                .flat_map(|grant| &grant.granted_group_ids)
                .map(ToString::to_string)
                .collect(),
            valid_until: valid_until(visitor.valid_until),
        });
        let request = self.request(group::PutVisitorsRequest { visitors: visitors.collect() });
        let mut client = MigrationGroupServiceClient::new(self.channel.clone());
        self.answer(client.put_visitors(request).await).map(drop)
    }

    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error> {
        let request = self.request(group::DeleteVisitorsRequest { migration_ids: texts(migrations) });
        let mut client = MigrationGroupServiceClient::new(self.channel.clone());
        self.answer(client.delete_visitors(request).await).map(drop)
    }

    async fn put_shared_users(&self, users: &[UserMigration]) -> Result<(), Error> {
        let users = users.iter().map(|user| group::SharedUser {
            migration_id: user.id.to_string(),
            partner_mc_system_id: user.peer.to_string(),
            identities: own_identities(user),
            valid_until: valid_until(user.valid_until),
        });
        let request = self.request(group::PutSharedUsersRequest { users: users.collect() });
        let mut client = MigrationGroupServiceClient::new(self.channel.clone());
        self.answer(client.put_shared_users(request).await).map(drop)
    }

    async fn delete_shared_users(&self, migrations: &[Uuid]) -> Result<(), Error> {
        let request = self.request(group::DeleteSharedUsersRequest { migration_ids: texts(migrations) });
        let mut client = MigrationGroupServiceClient::new(self.channel.clone());
        self.answer(client.delete_shared_users(request).await).map(drop)
    }
}

#[async_trait]
impl McServices for Remote {
    async fn end_migrations(&self, migrations: &[Uuid], reason: EndReason) -> Result<(), Error> {
        let reason = match reason {
            EndReason::Revoked => mc_service::EndReason::Revoked,
            EndReason::Expired => mc_service::EndReason::Expired,
        };
        let request = self.request(mc_service::EndMigrationsRequest {
            migration_ids: texts(migrations),
            reason: reason.into(),
        });
        let mut client = MigratedUserServiceClient::new(self.channel.clone());
        self.answer(client.end_migrations(request).await).map(drop)
    }
}

#[async_trait]
impl SipCore for Remote {
    async fn deregister(&self, impus: &[Impu]) -> Result<(), Error> {
        let calls = impus.iter().map(|impu| {
            let mut client = RegistrationServiceClient::new(self.channel.clone());
            let request =
                self.request(sip_core::DeregisterRequest { impu: impu.to_string(), ..Default::default() });
            async move {
                match client.deregister(request).await {
                    Ok(_) => Ok(()),
                    Err(status) if status.code() == Code::NotFound => Ok(()),
                    Err(status) => Err(self.failed(&status)),
                }
            }
        });
        // Collected, since a closure over borrowed values cannot be held across the awaits below.
        let calls: Vec<_> = calls.collect();
        stream::iter(calls).buffer_unordered(DEREGISTERED_AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
    }
}
