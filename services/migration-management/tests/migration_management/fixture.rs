//! The migration management server of `bravo.example` behind its real listeners, without a SIP database.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mcx_federation::{Listener, OwnIdentity, TrustBundles};
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::agreement_service_client::AgreementServiceClient;
use mcx_proto::migration::v1::audit_service_client::AuditServiceClient;
use mcx_proto::migration::v1::binding_service_client::BindingServiceClient;
use mcx_proto::migration::v1::federation_service_client::FederationServiceClient;
use mcx_proto::migration::v1::permit_service_client::PermitServiceClient;
use mcx_proto::types::v1::SipIdentities;
use mcx_runtime::server::ServerConfig;
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::{TrustDomain, any_port};
use mcx_types::{Entity, SystemClock};
use migration_management::collaborators::{Channels, Collaborators};
use migration_management::config::MigrationManagementConfig;
use migration_management::{Dependencies, SCHEMA, Service};
use sip_database::client::SipAuthenticationClient;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;

pub(crate) use mcx_testkit::{Engine, fields, reason, refusal};

/// `bravo.example`, and its neighbour `alpha.example`, which is certificates only.
pub(crate) struct System {
    pub(crate) own: TrustDomain,
    pub(crate) neighbour: TrustDomain,
    pub(crate) grpc: SocketAddr,
    pub(crate) peer: SocketAddr,
    directory: TempDir,
    _shutdown: DropGuard,
}

impl System {
    pub(crate) async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = engine.database_url(directory.path());
        let own = TrustDomain::new("bravo.example");
        let identity = own.entity(Entity::MigrationManagement);
        let bundles = TrustBundles::new(identity.clone());
        let database = Database::open(&DatabaseConfig::from_url(url), &SCHEMA).unwrap();
        database.migrate().await.unwrap();

        let service = service(&own, &identity, &bundles, database, &directory).await;
        let server = own
            .server(identity, bundles)
            .listener(Listener::Internal, any_port())
            .listener(Listener::Peer, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let grpc = bound.address(Listener::Internal).unwrap();
        let peer = bound.address(Listener::Peer).unwrap();
        let token = CancellationToken::new();
        tokio::spawn(bound.serve(token.clone()));
        tokio::spawn(token.clone().run_until_cancelled_owned(service.upkeep()));
        service.readiness().wait_until_serving().await;
        let neighbour = TrustDomain::new("alpha.example");
        Self { own, neighbour, grpc, peer, directory, _shutdown: token.drop_guard() }
    }

    fn operator(&self) -> Channel {
        self.own.channel(self.own.operator(), Entity::MigrationManagement, self.grpc)
    }

    pub(crate) fn agreements(&self) -> AgreementServiceClient<Channel> {
        AgreementServiceClient::new(self.operator())
    }

    pub(crate) fn bindings(&self) -> BindingServiceClient<Channel> {
        BindingServiceClient::new(self.operator())
    }

    pub(crate) fn permits(&self) -> PermitServiceClient<Channel> {
        PermitServiceClient::new(self.operator())
    }

    /// The neighbour's migration management server calls.
    pub(crate) fn as_neighbour(&self) -> FederationServiceClient<Channel> {
        let caller = self.neighbour.entity(Entity::MigrationManagement);
        FederationServiceClient::new(self.own.channel(caller, Entity::MigrationManagement, self.peer))
    }

    /// Agrees with the neighbour.
    pub(crate) async fn agree(&self) -> proto::Agreement {
        let request = proto::CreateAgreementRequest {
            agreement: Some(agreement_with(&self.neighbour)),
            ..Default::default()
        };
        self.agreements().create_agreement(request).await.unwrap().into_inner().agreement.unwrap()
    }

    /// All audit records, the latest first.
    pub(crate) async fn audit_records(&self) -> Vec<proto::AuditRecord> {
        let mut client = AuditServiceClient::new(self.operator());
        let page = client.list_audit_records(proto::ListAuditRecordsRequest::default()).await.unwrap();
        page.into_inner().audit_records
    }

    /// The file of JSON lines.
    pub(crate) fn audit_lines(&self) -> PathBuf {
        self.directory.path().join("audit.jsonl")
    }
}

async fn service(
    own: &TrustDomain,
    identity: &OwnIdentity,
    bundles: &TrustBundles,
    database: Database,
    directory: &TempDir,
) -> Service {
    let mut config = MigrationManagementConfig::default();
    let pseudonym_key = directory.path().join("pseudonym.key");
    std::fs::write(&pseudonym_key, [0x17; 32]).unwrap();
    config.audit.json_lines_file = Some(directory.path().join("audit.jsonl"));
    config.audit.pseudonym_key_file = Some(pseudonym_key);
    // Nobody listens there: the SIP database is away.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let sip_database = own.channel(identity.clone(), Entity::SipDatabase, nowhere);
    let dependencies = Dependencies {
        own: own.mc_system_id().clone(),
        database,
        cache: SharedCache::open(&CacheConfig::from_url("memory:"), "bravo.example").unwrap(),
        sip_database: SipAuthenticationClient::new(sip_database),
        collaborators: nobody(own, identity),
        dialer: TrustDomain::dialer(identity.clone(), bundles.clone()),
        bundles: bundles.clone(),
        clock: Arc::new(SystemClock),
    };
    Service::build(config, dependencies).await.unwrap()
}

/// The other entities of the system, all of them away.
fn nobody(own: &TrustDomain, identity: &OwnIdentity) -> Collaborators {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let channel = |entity| own.channel(identity.clone(), entity, nowhere);
    let channels = Channels {
        identity_management: channel(Entity::IdentityManagement),
        configuration_management: channel(Entity::ConfigurationManagement),
        group_management: channel(Entity::GroupManagement),
        mc_service: channel(Entity::McService),
        sip_core: channel(Entity::SipCore),
    };
    Collaborators::over(own.mc_system_id(), channels, Duration::from_secs(1))
}

/// The agreement with a neighbour.
pub(crate) fn agreement_with(neighbour: &TrustDomain) -> proto::Agreement {
    proto::Agreement {
        partner_mc_system_id: neighbour.mc_system_id().to_string(),
        peer_endpoints: vec!["mms.alpha.example:7443".to_owned()],
        trust_bundle_pem: neighbour.bundle_pem().to_owned(),
        partner_may_ask: vec![proto::PartnerCapability::SipAuthenticationInformation.into()],
        ..Default::default()
    }
}

pub(crate) fn identities(user: &str, domain: &str) -> SipIdentities {
    SipIdentities { impi: format!("{user}@{domain}"), impus: vec![format!("sip:{user}@{domain}")] }
}

/// Makes each test once per engine.
macro_rules! on_every_database {
    ($($names:tt)*) => { mcx_testkit::on_every_database!(crate::fixture::System::new; $($names)*); };
}
pub(crate) use on_every_database;
