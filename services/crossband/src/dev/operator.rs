//! An operator of an MC system: the clients of the provisioning rpcs, on one channel that shows the operator's certificate.

use std::sync::Arc;

use anyhow::Result;
use mcx_federation::{ChannelSettings, Dialer, OwnIdentity, TrustBundles};
use mcx_proto::migration::v1::agreement_service_client::AgreementServiceClient;
use mcx_proto::migration::v1::audit_service_client::AuditServiceClient;
use mcx_proto::migration::v1::binding_service_client::BindingServiceClient;
use mcx_proto::migration::v1::permit_service_client::PermitServiceClient;
use mcx_proto::sipcore::v1::registration_service_client::RegistrationServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::{Entity, SpiffeId, SystemClock};
use sip_database::client::SubscriberClient;
use tonic::transport::Channel;

use super::Reach;
use crate::certificates::OPERATOR;
use crate::config::{EndpointConfig, identity_files};

/// An operator's clients. Each is cheap to clone.
#[derive(Clone)]
pub struct Operator {
    /// The subscribers of the SIP database.
    pub subscribers: SubscriberClient,
    /// Agreements.
    pub agreements: AgreementServiceClient<Outgoing<Channel>>,
    /// Bindings.
    pub bindings: BindingServiceClient<Outgoing<Channel>>,
    /// Permits.
    pub permits: PermitServiceClient<Outgoing<Channel>>,
    /// Audit records.
    pub audit: AuditServiceClient<Outgoing<Channel>>,
    /// Registrations of the SIP core.
    pub registrations: RegistrationServiceClient<Outgoing<Channel>>,
}

impl Operator {
    /// The operator of a system. Entities behind one listener share a channel.
    ///
    /// # Errors
    /// Where the certificate cannot be used.
    pub(super) fn connect(system: &Reach) -> Result<Self> {
        let identity = OwnIdentity::load(&identity_files(&system.certificates.directory, OPERATOR))?;
        let bundles = TrustBundles::new(identity.clone());
        let dialer = Dialer::new(identity, bundles, ChannelSettings::default(), Arc::new(SystemClock));
        let mut channels: Vec<(&EndpointConfig, Channel)> = Vec::new();
        let mut channel = |entity: Entity| {
            let endpoint = system.endpoints.of(entity);
            if let Some((_, known)) = channels.iter().find(|(at, _)| *at == endpoint) {
                return anyhow::Ok(known.clone());
            }
            let expected = SpiffeId::entity(system.id.clone(), endpoint.identity);
            let channel = dialer.channel(expected, endpoint.addresses.clone())?;
            channels.push((endpoint, channel.clone()));
            Ok(channel)
        };
        let migration_management = channel(Entity::MigrationManagement)?;
        let outgoing = || Outgoing::new(migration_management.clone());
        Ok(Self {
            subscribers: SubscriberClient::new(channel(Entity::SipDatabase)?),
            agreements: AgreementServiceClient::new(outgoing()),
            bindings: BindingServiceClient::new(outgoing()),
            permits: PermitServiceClient::new(outgoing()),
            audit: AuditServiceClient::new(outgoing()),
            registrations: RegistrationServiceClient::new(Outgoing::new(channel(Entity::SipCore)?)),
        })
    }
}
