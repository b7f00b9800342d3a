//! Where an MC system is reached, entity by entity: all that provisioning and UEs need to know of one, wherever its processes run.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use mcx_federation::PeerEndpoint;
use mcx_types::{Entity, McSystemId};

use super::Operator;
use crate::admin::{Connection, OperatorClient};
use crate::certificates::Certificates;
use crate::config::{EndpointConfig, EndpointsConfig};
use crate::ready_file::ReadySystem;
use crate::system::System;

/// Where an MC system is reached.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The MC system.
    pub id: McSystemId,
    /// Its certificates.
    pub certificates: Certificates,
    /// Where operators and its own entities find each entity.
    pub endpoints: EndpointsConfig,
    /// Where partners find the entities that they call.
    pub peers: BTreeMap<Entity, PeerListener>,
    /// Where UEs find the entities that they call by gRPC.
    pub clients: BTreeMap<Entity, PeerEndpoint>,
    /// Where UEs register.
    pub sip: SipListener,
    /// The issuer of its tokens.
    pub issuer: String,
}

/// Where partners find an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerListener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose certificate is shown there.
    pub shows: Entity,
}

/// Where a SIP core listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipListener {
    /// The transport by its name in the contract, such as `SIP_TRANSPORT_UDP`.
    pub transport: &'static str,
    /// Where.
    pub address: SocketAddr,
}

/// The entities that partners call.
pub(super) const CALLED_BY_PARTNERS: [Entity; 4] = [
    Entity::MigrationManagement,
    Entity::ConfigurationManagement,
    Entity::GroupManagement,
    Entity::McService,
];

/// The entities that UEs call by gRPC.
const CALLED_BY_UES: [Entity; 4] = [
    Entity::ConfigurationManagement,
    Entity::GroupManagement,
    Entity::FunctionalAliasManagement,
    Entity::McService,
];

impl Reach {
    /// Where a system is reached that runs in one process, with all its entities behind the same listeners.
    pub(super) fn of(system: &System, certificates: &Certificates) -> Result<Self> {
        let addresses = system.addresses;
        let shows = *Entity::ALL.iter().min().context("there are entities")?;
        let endpoint = EndpointConfig { addresses: vec![addresses.grpc.into()], identity: shows };
        let peer = addresses.peer.context("the system listens for partners")?;
        let client = addresses.client.context("the system listens for UEs")?;
        Ok(Self {
            id: system.id.clone(),
            certificates: certificates.clone(),
            endpoints: EndpointsConfig::all_at(&endpoint),
            peers: CALLED_BY_PARTNERS
                .into_iter()
                .map(|entity| (entity, PeerListener { address: peer, shows }))
                .collect(),
            clients: CALLED_BY_UES.into_iter().map(|entity| (entity, client.into())).collect(),
            sip: SipListener {
                transport: "SIP_TRANSPORT_UDP",
                address: addresses.sip_udp.context("the SIP core listens on UDP")?,
            },
            issuer: system.issuer.clone().context("identity management runs here")?,
        })
    }

    /// Where a deployed system of a ready file is reached. Its partners know it already.
    ///
    /// # Errors
    /// Where the file does not say what is needed.
    pub(super) fn deployed(id: McSystemId, ready: &ReadySystem) -> Result<Self> {
        let authority_pem = std::fs::read_to_string(&ready.ca_pem)
            .with_context(|| format!("cannot read {}", ready.ca_pem.display()))?;
        let clients = CALLED_BY_UES.into_iter().map(|entity| Ok((entity, ready.client_of(entity)?.clone())));
        Ok(Self {
            id,
            certificates: Certificates { directory: ready.operator_directory()?, authority_pem },
            endpoints: ready.operator_endpoints()?,
            peers: BTreeMap::new(),
            clients: clients.collect::<Result<_>>()?,
            sip: SipListener {
                transport: "SIP_TRANSPORT_TCP",
                address: ready.sip_tcp.context("the ready file does not say where its SIP core listens")?,
            },
            issuer: ready.issuer.clone().context("the ready file names no issuer of tokens")?,
        })
    }

    /// A client of every rpc for operators.
    ///
    /// # Errors
    /// Where the operator's certificate cannot be used.
    pub fn operator_client(&self) -> Result<OperatorClient> {
        let endpoints = self.endpoints.clone();
        Ok(OperatorClient::new(Connection::new(&self.certificates.directory, endpoints)?))
    }

    /// The operator's typed clients.
    ///
    /// # Errors
    /// Where the operator's certificate cannot be used.
    pub fn operator(&self) -> Result<Operator> {
        Operator::connect(self)
    }

    /// Where UEs find an entity.
    ///
    /// # Errors
    /// Where they do not.
    pub fn client(&self, entity: Entity) -> Result<&PeerEndpoint> {
        self.clients.get(&entity).with_context(|| format!("{entity} does not listen for UEs"))
    }
}

impl AsRef<Self> for Reach {
    fn as_ref(&self) -> &Self {
        self
    }
}
