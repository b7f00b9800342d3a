//! Callers with whatever certificate a test wants.

use std::sync::Arc;
use std::time::Duration;

use crossband::config::identity_files;
use crossband::dev::DevSystem;
use mcx_federation::{
    CertificateAuthority, CertificateValidity, ChannelSettings, Dialer, OwnIdentity, PeerEndpoint,
    TrustBundles,
};
use mcx_proto::migration::v1::federation_service_client::FederationServiceClient;
use mcx_proto::migration::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::{Clock, Entity, McSystemId, SpiffeId, SystemClock};
use tonic::transport::Channel;

/// Asks a system's federation service.
pub type FederationClient = FederationServiceClient<Outgoing<Channel>>;

/// Asks a system's migration management on behalf of its SIP core.
pub type VisitorClient = SipAuthenticationServiceClient<Outgoing<Channel>>;

/// The migration management server of a system.
pub fn mms_of(system: &McSystemId) -> SpiffeId {
    SpiffeId::entity(system.clone(), Entity::MigrationManagement)
}

/// The authority that issues for a system.
pub fn authority_of(system: &DevSystem) -> CertificateAuthority {
    let folder = &system.certificates.directory;
    let loaded =
        CertificateAuthority::load(&folder.join("trust-bundle.pem"), &folder.join("authority-key.pem"));
    loaded.expect("the authority is there")
}

/// A new authority that says it issues for a system.
pub fn new_authority(system: &str) -> CertificateAuthority {
    let system = system.parse().expect("a valid mc system id");
    CertificateAuthority::create(system, valid_for_an_hour()).expect("an authority can be made")
}

/// From now on for an hour.
pub fn valid_for_an_hour() -> CertificateValidity {
    CertificateValidity::starting(SystemClock.now(), Duration::from_secs(3_600))
}

/// Over an hour ago.
pub fn expired() -> CertificateValidity {
    let ago = |hours: i64| {
        let micros = SystemClock.now().as_micros() - hours * 3_600_000_000;
        mcx_types::Timestamp::from_micros(micros)
    };
    CertificateValidity { not_before: ago(3), not_after: ago(1) }
}

/// What the holder of this certificate proves itself with.
pub fn issue(authority: &CertificateAuthority, id: &SpiffeId, validity: CertificateValidity) -> OwnIdentity {
    let issued = authority.issue(id, &["localhost", "127.0.0.1"], validity).expect("it can be issued");
    let key = issued.key_pem.expose().as_bytes();
    let own = OwnIdentity::from_pem(issued.certificate_pem.as_bytes(), key, authority.certificate_pem());
    own.expect("the certificate can be used")
}

/// What an entity or the operator of a system really proves itself with.
pub fn identity_of(system: &DevSystem, holder: &str) -> OwnIdentity {
    let files = identity_files(&system.certificates.directory, holder);
    OwnIdentity::load(&files).expect("the certificate is there")
}

/// A client of the peer listener of `primary`, for whoever `caller` is.
pub fn federation_client(caller: OwnIdentity, primary: &DevSystem) -> FederationClient {
    let address = primary.system.addresses.peer.expect("migration management listens for partners");
    FederationServiceClient::new(channel(caller, primary, address.into()))
}

/// A client of the internal listener of a system, for its own SIP core.
pub fn visitor_client(system: &DevSystem) -> VisitorClient {
    let caller = identity_of(system, Entity::SipCore.as_str());
    SipAuthenticationServiceClient::new(channel(caller, system, system.system.addresses.grpc.into()))
}

fn channel(caller: OwnIdentity, called: &DevSystem, endpoint: PeerEndpoint) -> Outgoing<Channel> {
    let bundles = TrustBundles::new(caller.clone());
    if called.system.id != *caller.mc_system_id() {
        let bundle = called.certificates.authority_pem.as_bytes();
        bundles.replace_partner(&called.system.id, bundle).expect("the bundle can be used");
    }
    let dialer = Dialer::new(caller, bundles, ChannelSettings::default(), Arc::new(SystemClock));
    let channel = dialer.channel(mms_of(&called.system.id), vec![endpoint]);
    Outgoing::new(channel.expect("there is an endpoint"))
}
