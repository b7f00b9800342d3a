//! An MC system's certificates for tests: an authority made in memory, and whoever it vouches for.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mcx_federation::{
    CertificateAuthority, CertificateValidity, ChannelSettings, Dialer, Listener, OwnIdentity, PolicyTable,
    TrustBundles, UserDialer, policy,
};
use mcx_runtime::server::Server;
use mcx_types::{Clock, Entity, McSystemId, SpiffeId, SystemClock};
use tonic::transport::Channel;

use crate::TestTokens;

/// How long what a test issues is valid.
const VALIDITY: Duration = Duration::from_secs(3_600);

/// A trust domain, which is an MC system, with its certificate authority.
pub struct TrustDomain {
    authority: CertificateAuthority,
}

impl TrustDomain {
    /// A new authority for the MC system with this name.
    ///
    /// # Panics
    /// If it is no name of an MC system.
    pub fn new(mc_system: &str) -> Self {
        let id = mc_system.parse().expect("a test names its mc systems well");
        let authority =
            CertificateAuthority::create(id, validity()).expect("a certificate can be made in memory");
        Self { authority }
    }

    /// The MC system.
    pub fn mc_system_id(&self) -> &McSystemId {
        self.authority.mc_system_id()
    }

    /// The certificate of the authority: the trust bundle that partners are given.
    pub fn bundle_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// A fresh certificate of an entity.
    pub fn entity(&self, entity: Entity) -> OwnIdentity {
        self.identity(&SpiffeId::entity(self.mc_system_id().clone(), entity))
    }

    /// A fresh certificate of an operator.
    pub fn operator(&self) -> OwnIdentity {
        let id = SpiffeId::operator(self.mc_system_id().clone(), "duty").expect("a good name");
        self.identity(&id)
    }

    /// A fresh certificate of anybody.
    pub fn identity(&self, id: &SpiffeId) -> OwnIdentity {
        let issued =
            self.authority.issue(id, &[], validity()).expect("a certificate can be issued in memory");
        let key = issued.key_pem.expose().as_bytes();
        OwnIdentity::from_pem(issued.certificate_pem.as_bytes(), key, self.bundle_pem().as_bytes())
            .expect("what was issued can be used")
    }

    /// What `own` calls others with: it believes its own authority and, with `bundles`, partners'.
    pub fn dialer(own: OwnIdentity, bundles: TrustBundles) -> Dialer {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Dialer::new(own, bundles, ChannelSettings::default(), clock)
    }

    /// A channel of `caller` to an entity of this system at an address.
    pub fn channel(&self, caller: OwnIdentity, entity: Entity, address: SocketAddr) -> Channel {
        let bundles = TrustBundles::new(caller.clone());
        if caller.mc_system_id() != self.mc_system_id() {
            bundles
                .replace_partner(self.mc_system_id(), self.bundle_pem().as_bytes())
                .expect("the bundle of a test is good");
        }
        let expected = SpiffeId::entity(self.mc_system_id().clone(), entity);
        Self::dialer(caller, bundles).channel(expected, vec![address.into()]).expect("there is an address")
    }

    /// A channel of a UE, which shows no certificate, to the client listener of any entity of this system.
    pub fn user_channel(&self, address: SocketAddr) -> Channel {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bundle = self.bundle_pem().as_bytes();
        let dialer = UserDialer::new(self.mc_system_id().clone(), bundle, ChannelSettings::default(), clock);
        let dialer = dialer.expect("the bundle of a test is good");
        dialer.channel(vec![address.into()]).expect("there is an address")
    }

    /// A signer of access tokens for this system's users.
    pub fn tokens(&self) -> TestTokens {
        TestTokens::new(self.mc_system_id().clone())
    }

    /// A server of this system that believes `tokens` and listens for UEs on a free port of the loopback address, beside where it is
    /// told next.
    pub fn server_for_users(
        &self,
        identity: OwnIdentity,
        bundles: TrustBundles,
        tokens: &TestTokens,
    ) -> Server {
        self.server(identity, bundles).access_tokens(tokens.verifier()).listener(Listener::Client, any_port())
    }

    /// A server of this system, with the policy of every listener; it listens where it is told next.
    pub fn server(&self, identity: OwnIdentity, bundles: TrustBundles) -> Server {
        let policy =
            PolicyTable::new(self.mc_system_id().clone(), &policy::RULES).expect("the rules are good");
        Server::builder(identity, bundles, Arc::new(policy))
    }
}

/// Whichever port is free on the loopback address.
pub fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn validity() -> CertificateValidity {
    CertificateValidity::starting(SystemClock.now(), VALIDITY)
}
