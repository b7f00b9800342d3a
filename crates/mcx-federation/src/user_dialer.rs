//! The calling side of a UE: it shows no certificate, and talks to nobody but the MC system that it means.

use std::sync::Arc;

use mcx_types::{Clock, McSystemId};
use rustls::ClientConfig;
use rustls::client::Resumption;
use tonic::transport::Channel;

use crate::connector::ExpectedServer;
use crate::verifier::SystemVerifier;
use crate::{ChannelSettings, Connector, NoEndpoint, PeerEndpoint, TrustBundle, TrustBundleError};

/// Opens channels from a UE to the client listeners of one MC system.
///
/// The server must be an entity of that system, with a chain that leads to the system's trust bundle; which entity, and under which
/// host name, is of no interest. The user is proved by an access token in each call, which is the caller's to add.
#[derive(Clone)]
pub struct UserDialer {
    bundle: TrustBundle,
    mc_system_id: McSystemId,
    settings: ChannelSettings,
    clock: Arc<dyn Clock>,
}

impl UserDialer {
    /// Channels made by this dialer believe the servers of `mc_system_id` that `bundle_pem` vouches for.
    ///
    /// # Errors
    /// [`TrustBundleError`]
    pub fn new(
        mc_system_id: McSystemId,
        bundle_pem: &[u8],
        settings: ChannelSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TrustBundleError> {
        Ok(Self { bundle: TrustBundle::from_pem(bundle_pem)?, mc_system_id, settings, clock })
    }

    /// The MC system.
    pub fn mc_system_id(&self) -> &McSystemId {
        &self.mc_system_id
    }

    /// A channel to the first of `endpoints` that can be reached. It connects with the first call, and again after a failure. To be
    /// called inside a tokio run time.
    ///
    /// # Errors
    /// [`NoEndpoint`] where `endpoints` is empty.
    pub fn channel(&self, endpoints: Vec<PeerEndpoint>) -> Result<Channel, NoEndpoint> {
        let tls = client_config(self.bundle.clone(), self.mc_system_id.clone(), &[crate::ALPN_HTTP2]);
        let expected = ExpectedServer::AnyEntityOf(self.mc_system_id.clone());
        let connector = Connector::new(tls, Arc::clone(&self.clock), &self.settings, expected, endpoints)?;
        Ok(self.settings.channel(&self.mc_system_id, connector))
    }
}

/// The TLS settings of an HTTPS client, such as that of the identity management server's OpenID Connect endpoints, that takes any
/// entity of `mc_system_id` for which `bundle_pem` vouches and shows no certificate: TLS 1.3, HTTP/2 or HTTP/1.1.
///
/// # Errors
/// [`TrustBundleError`]
pub fn spiffe_server_client_config(
    bundle_pem: &[u8],
    mc_system_id: &McSystemId,
) -> Result<ClientConfig, TrustBundleError> {
    let bundle = TrustBundle::from_pem(bundle_pem)?;
    Ok(client_config(bundle, mc_system_id.clone(), &[crate::ALPN_HTTP2, crate::ALPN_HTTP1]))
}

fn client_config(bundle: TrustBundle, mc_system_id: McSystemId, protocols: &[&[u8]]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(crate::TLS_VERSIONS)
        .expect("the provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(SystemVerifier { bundle, mc_system_id }))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // A resumed session is not verified again.
    config.resumption = Resumption::disabled();
    config
}
