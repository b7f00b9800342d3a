//! An operator of an MC system: the clients of the provisioning rpcs, on one channel that shows the operator's certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use mcx_federation::{ChannelSettings, Dialer, OwnIdentity, TrustBundles};
use mcx_proto::migration::v1::agreement_service_client::AgreementServiceClient;
use mcx_proto::migration::v1::audit_service_client::AuditServiceClient;
use mcx_proto::migration::v1::binding_service_client::BindingServiceClient;
use mcx_proto::migration::v1::permit_service_client::PermitServiceClient;
use mcx_proto::sipcore::v1::registration_service_client::RegistrationServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::{Entity, McSystemId, SpiffeId, SystemClock};
use sip_database::client::SubscriberClient;
use tonic::transport::Channel;

use crate::certificates::{Certificates, OPERATOR};
use crate::config::identity_files;

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
    /// The operator of a system whose entities all listen at one address, with the certificate in `certificates`.
    ///
    /// # Errors
    /// Where the certificate cannot be used.
    pub fn connect(system: &McSystemId, certificates: &Certificates, grpc: SocketAddr) -> Result<Self> {
        let identity = OwnIdentity::load(&identity_files(&certificates.directory, OPERATOR))?;
        let bundles = TrustBundles::new(identity.clone());
        let dialer = Dialer::new(identity, bundles, ChannelSettings::default(), Arc::new(SystemClock));
        let listening_as = SpiffeId::entity(system.clone(), Entity::MigrationManagement);
        let channel = dialer.channel(listening_as, vec![grpc.into()])?;
        let outgoing = || Outgoing::new(channel.clone());
        Ok(Self {
            subscribers: SubscriberClient::new(channel.clone()),
            agreements: AgreementServiceClient::new(outgoing()),
            bindings: BindingServiceClient::new(outgoing()),
            permits: PermitServiceClient::new(outgoing()),
            audit: AuditServiceClient::new(outgoing()),
            registrations: RegistrationServiceClient::new(outgoing()),
        })
    }
}
