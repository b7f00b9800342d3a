//! The ready file: where two MC systems are reached, by their operators and by UEs, and who their demo users are. `crossband dev` writes one of the
//! systems that it runs; for deployed systems, deploy/scripts/provision-demo-users does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mcx_federation::PeerEndpoint;
use mcx_types::Entity;
use serde::{Deserialize, Serialize};

use crate::config::{EndpointConfig, EndpointsConfig};

/// The document. Keys are in hexadecimal; they are public test keys, which protect nobody.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReadyFile {
    /// The systems.
    pub systems: BTreeMap<String, ReadySystem>,
    /// The demo users.
    #[serde(default)]
    pub subscribers: Vec<ReadySubscriber>,
    /// Where the login sends a UE back to.
    #[serde(default)]
    pub redirect_uri: String,
}

/// Where an MC system is reached. What is not said is not needed by those who use the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReadySystem {
    /// gRPC for operators, where one process runs all entities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<PeerEndpoint>,
    /// gRPC for operators, entity by entity, where each is a process of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<Entity, PeerEndpoint>,
    /// gRPC for partners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerEndpoint>,
    /// gRPC for UEs, where one process runs all entities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<PeerEndpoint>,
    /// gRPC for UEs, entity by entity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clients: BTreeMap<Entity, PeerEndpoint>,
    /// The issuer of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// HTTP for probes and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_http: Option<SocketAddr>,
    /// SIP over UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_udp: Option<SocketAddr>,
    /// SIP over TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_tcp: Option<SocketAddr>,
    /// SIP over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_tls: Option<SocketAddr>,
    /// The trust bundle of the system.
    pub ca_pem: PathBuf,
    /// The certificate of its operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_cert_pem: Option<PathBuf>,
    /// The key of that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_key_pem: Option<PathBuf>,
}

/// A demo user of one system who may migrate to another.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReadySubscriber {
    /// Her name.
    pub name: String,
    /// Her primary MC system.
    pub primary_system: String,
    /// What she logs in as.
    #[serde(default)]
    pub mc_id: String,
    /// What she logs in with.
    #[serde(default)]
    pub password: String,
    /// Her private user identity.
    pub impi: String,
    /// Her public user identities.
    pub impus: Vec<String>,
    /// K of her ISIM.
    pub k: String,
    /// OP.
    pub op: String,
    /// OPc of her ISIM.
    pub opc: String,
    /// AMF.
    pub amf: String,
    /// Who she is at the partner.
    pub partner: ReadyPartner,
}

/// Who a demo user is at the partner.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReadyPartner {
    /// The partner.
    pub system: String,
    /// The private user identity that it allotted.
    pub impi: String,
    /// The public user identities that it allotted.
    pub impus: Vec<String>,
    /// The realm that authenticates her there.
    pub realm: String,
}

impl ReadyFile {
    /// Reads the file. Paths in it that are relative are so to its folder.
    ///
    /// # Errors
    /// Where it cannot be read, or is no ready file.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut ready: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is not a ready file", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for system in ready.systems.values_mut() {
            system.ca_pem = folder.join(&system.ca_pem);
            for file in [&mut system.operator_cert_pem, &mut system.operator_key_pem].into_iter().flatten() {
                *file = folder.join(&*file);
            }
        }
        Ok(ready)
    }

    /// The document as text.
    ///
    /// # Errors
    /// Where a path in it is not Unicode.
    pub fn to_text(&self) -> Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// The demo user of that name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn subscriber(&self, name: &str) -> Result<&ReadySubscriber> {
        let found = self.subscribers.iter().find(|user| user.name == name);
        found.with_context(|| format!("no user is called {name}"))
    }

    /// Where a system is.
    ///
    /// # Errors
    /// Where the file does not say.
    pub fn system(&self, id: &str) -> Result<&ReadySystem> {
        self.systems.get(id).with_context(|| format!("no system is called {id}"))
    }
}

impl ReadySystem {
    /// Where UEs reach an entity.
    ///
    /// # Errors
    /// Where the file does not say.
    pub fn client_of(&self, entity: Entity) -> Result<&PeerEndpoint> {
        let found = self.clients.get(&entity).or(self.client.as_ref());
        found.with_context(|| format!("the ready file does not say where UEs reach {entity}"))
    }

    /// The folder with the files by which its operator calls.
    ///
    /// # Errors
    /// Where the file does not name them.
    pub fn operator_directory(&self) -> Result<PathBuf> {
        let file = self.operator_cert_pem.as_ref().and_then(|file| file.parent());
        Ok(file.context("the ready file names no certificate of the operator")?.to_owned())
    }

    /// Where its operator reaches each entity.
    ///
    /// # Errors
    /// Where the file says it of none.
    pub fn operator_endpoints(&self) -> Result<EndpointsConfig> {
        if let Some(grpc) = &self.grpc {
            // A process that runs all shows the certificate of the first.
            let identity = *Entity::ALL.iter().min().context("there are entities")?;
            return Ok(EndpointsConfig::all_at(&EndpointConfig { addresses: vec![grpc.clone()], identity }));
        }
        anyhow::ensure!(!self.endpoints.is_empty(), "the ready file does not say where operators call");
        Ok(EndpointsConfig::each(|entity| EndpointConfig {
            addresses: self.endpoints.get(&entity).cloned().into_iter().collect(),
            identity: entity,
        }))
    }
}
