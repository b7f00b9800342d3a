//! Group management servers of `alpha.example` and `bravo.example` behind their real listeners.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use group_management::config::GroupManagementConfig;
use group_management::{Dependencies, SCHEMA, Service};
use mcx_federation::access_token::{AccessTokenClaims, Scope};
use mcx_federation::{BreakerSettings, Listener, PartnerDirectory, PartnerTerms, PeerService, TrustBundles};
use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::group_configuration_service_client::GroupConfigurationServiceClient;
use mcx_proto::group::v1::group_lookup_service_client::GroupLookupServiceClient;
use mcx_proto::group::v1::group_service_client::GroupServiceClient;
use mcx_proto::group::v1::group_sharing_service_client::GroupSharingServiceClient;
use mcx_proto::group::v1::migration_group_service_client::MigrationGroupServiceClient;
use mcx_proto::group::v1::watch_groups_response::Event;
use mcx_proto::types::v1 as types;
use mcx_runtime::server::ServerConfig;
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::{TestTokens, TrustDomain, any_port, authorized};
use mcx_types::{Entity, SystemClock, Validity};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

pub(crate) use mcx_testkit::{Engine, fields, reason, refusal};

/// What outlives the processes of a system.
pub(crate) struct Home {
    pub(crate) own: TrustDomain,
    pub(crate) tokens: TestTokens,
    url: String,
    _directory: TempDir,
}

impl Home {
    pub(crate) fn new(name: &str, engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = engine.database_url(directory.path());
        let own = TrustDomain::new(name);
        let tokens = own.tokens();
        Self { own, tokens, url, _directory: directory }
    }

    /// What the group management of another system is told of this one.
    pub(crate) fn terms(&self, peer: SocketAddr) -> PartnerTerms {
        let service = PeerService { endpoints: vec![peer.into()], presents: Entity::GroupManagement };
        PartnerTerms {
            mc_system_id: self.own.mc_system_id().clone(),
            trust_bundle_pem: self.own.bundle_pem().to_owned(),
            is_suspended: false,
            validity: Validity::default(),
            services: HashMap::from([(Entity::GroupManagement, service)]),
        }
    }

    fn database(&self) -> Database {
        Database::open(&DatabaseConfig::from_url(self.url.clone()), &SCHEMA).unwrap()
    }

    /// Removes all changes from the log, as time does.
    pub(crate) async fn forget_changes(&self) {
        let removed = mcx_store::changes::compact(&self.database(), i64::MAX).await.unwrap();
        assert!(removed > 0, "there was something to forget");
    }

    /// Makes it long ago that primary MC systems were asked for groups.
    pub(crate) async fn forget_that_was_asked(&self) {
        self.database().statement("UPDATE visitor SET pulled_at = 0").execute().await.unwrap();
    }

    /// Starts a process of the system.
    pub(crate) async fn start(&self) -> System<'_> {
        let config = GroupManagementConfig {
            retry_pause: Duration::from_millis(20),
            retry_pause_limit: Duration::from_millis(100),
            ..Default::default()
        };
        let identity = self.own.entity(Entity::GroupManagement);
        let bundles = TrustBundles::new(identity.clone());
        let database = self.database();
        database.migrate().await.unwrap();
        let clock = Arc::new(SystemClock);
        let breaker = BreakerSettings { failures_to_open: 1_000, open_for: Duration::from_millis(10) };
        let dialer = TrustDomain::dialer(identity.clone(), bundles.clone());
        let partners = PartnerDirectory::new(dialer, bundles.clone(), breaker, clock.clone());
        let dependencies = Dependencies {
            own: self.own.mc_system_id().clone(),
            database,
            cache: SharedCache::open(&CacheConfig::from_url("memory:"), self.own.mc_system_id().as_str())
                .unwrap(),
            partners: partners.clone(),
            clock,
        };
        let service = Service::build(config, dependencies);
        let server = self
            .own
            .server_for_users(identity, bundles, &self.tokens)
            .listener(Listener::Internal, any_port())
            .listener(Listener::Peer, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let address = |listener| bound.address(listener).unwrap();
        let (grpc, peer, client) =
            (address(Listener::Internal), address(Listener::Peer), address(Listener::Client));
        let shutdown = CancellationToken::new();
        tokio::spawn(bound.serve(shutdown.clone()));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(service.upkeep()));
        service.readiness().wait_until_serving().await;
        System { home: self, grpc, peer, client, partners, shutdown: shutdown.drop_guard() }
    }
}

/// A process of a system; dropping it ends the process.
pub(crate) struct System<'home> {
    pub(crate) home: &'home Home,
    pub(crate) grpc: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) client: SocketAddr,
    pub(crate) partners: PartnerDirectory,
    pub(crate) shutdown: DropGuard,
}

impl System<'_> {
    /// Makes the other system a partner of this one.
    pub(crate) fn trust(&self, other: &System<'_>) {
        assert!(self.partners.replace(vec![other.home.terms(other.peer)]).is_empty());
    }

    pub(crate) fn channel(&self, caller: Entity) -> Channel {
        self.home.own.channel(self.home.own.entity(caller), Entity::GroupManagement, self.grpc)
    }

    pub(crate) fn groups(&self) -> GroupServiceClient<Channel> {
        let operator = self.home.own.operator();
        GroupServiceClient::new(self.home.own.channel(operator, Entity::GroupManagement, self.grpc))
    }

    pub(crate) fn migration(&self) -> MigrationGroupServiceClient<Channel> {
        MigrationGroupServiceClient::new(self.channel(Entity::MigrationManagement))
    }

    pub(crate) fn lookup(&self) -> GroupLookupServiceClient<Channel> {
        GroupLookupServiceClient::new(self.channel(Entity::McService))
    }

    /// The group management server of another system calls.
    pub(crate) fn as_partner(&self, other: &TrustDomain) -> GroupSharingServiceClient<Channel> {
        let caller = other.entity(Entity::GroupManagement);
        GroupSharingServiceClient::new(self.home.own.channel(caller, Entity::GroupManagement, self.peer))
    }

    pub(crate) fn users(&self) -> GroupConfigurationServiceClient<Channel> {
        GroupConfigurationServiceClient::new(self.home.own.user_channel(self.client))
    }

    /// Good claims of a user who has `sip:<name>@<system>` in each MC service.
    pub(crate) fn claims(&self, name: &str) -> AccessTokenClaims {
        let id = Some(self.id(name).parse().unwrap());
        AccessTokenClaims {
            mcptt_id: id.clone(),
            mcvideo_id: id.clone(),
            mcdata_id: id,
            ..self.home.tokens.claims(name, &[Scope::GroupManagement])
        }
    }

    /// The MC service ID of a user of this system.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("sip:{name}@{}", self.home.own.mc_system_id())
    }

    pub(crate) fn token(&self, name: &str) -> String {
        self.home.tokens.sign(&self.claims(name))
    }

    /// The groups that a user is told of.
    pub(crate) async fn groups_of(&self, name: &str) -> Vec<proto::MemberGroup> {
        let request = authorized(proto::GetGroupsRequest::default(), &self.token(name));
        self.users().get_groups(request).await.unwrap().into_inner().groups
    }

    /// A user's stream, from the beginning or from where she was.
    pub(crate) async fn watch(&self, name: &str, resume_token: &str) -> Result<Watcher, Status> {
        self.watch_as(&self.token(name), resume_token).await
    }

    pub(crate) async fn watch_as(&self, token: &str, resume_token: &str) -> Result<Watcher, Status> {
        let request = proto::WatchGroupsRequest { resume_token: resume_token.to_owned() };
        let events = self.users().watch_groups(authorized(request, token)).await?.into_inner();
        Ok(Watcher { events, resume_token: resume_token.to_owned() })
    }

    pub(crate) async fn create(&self, group: proto::Group) -> proto::Group {
        let request = proto::CreateGroupRequest { group: Some(group), ..Default::default() };
        self.groups().create_group(request).await.unwrap().into_inner().group.unwrap()
    }

    pub(crate) async fn update(&self, group: proto::Group) -> proto::Group {
        let request = proto::UpdateGroupRequest { group: Some(group), ..Default::default() };
        self.groups().update_group(request).await.unwrap().into_inner().group.unwrap()
    }

    pub(crate) async fn add(&self, group: &proto::Group, members: &[proto::GroupMember]) {
        let request = proto::AddMembersRequest {
            group_id: group.group_id.clone(),
            members: members.to_vec(),
            ..Default::default()
        };
        self.groups().add_members(request).await.unwrap();
    }

    pub(crate) async fn remove(&self, group: &proto::Group, name: &str) {
        let request = proto::RemoveMembersRequest {
            group_id: group.group_id.clone(),
            mc_service_ids: vec![self.id(name)],
            ..Default::default()
        };
        self.groups().remove_members(request).await.unwrap();
    }

    pub(crate) async fn delete(&self, group: &proto::Group) {
        let request = proto::DeleteGroupRequest { group_id: group.group_id.clone(), ..Default::default() };
        self.groups().delete_group(request).await.unwrap();
    }

    /// A group of this system.
    pub(crate) fn group(&self, name: &str) -> proto::Group {
        group(&self.id(name))
    }

    pub(crate) fn member(&self, name: &str) -> proto::GroupMember {
        proto::GroupMember {
            mc_service_id: self.id(name),
            priority: 7,
            may_speak: true,
            ..Default::default()
        }
    }

    /// Group and membership as the MC service server sees them.
    pub(crate) async fn look_up(
        &self,
        group_id: &str,
        mc_service_id: &str,
    ) -> Result<proto::GetGroupForMemberResponse, Status> {
        let request = proto::GetGroupForMemberRequest {
            group_id: group_id.to_owned(),
            mc_service_id: mc_service_id.to_owned(),
        };
        self.lookup().get_group_for_member(request).await.map(tonic::Response::into_inner)
    }
}

/// A user's stream of changes.
#[derive(Debug)]
pub(crate) struct Watcher {
    events: Streaming<proto::WatchGroupsResponse>,
    /// The last one told.
    pub(crate) resume_token: String,
}

impl Watcher {
    /// The next event that says something.
    pub(crate) async fn next(&mut self) -> Result<Event, Status> {
        loop {
            let told = self.events.message().await?.expect("a watch ends with a status");
            if !told.resume_token.is_empty() {
                self.resume_token = told.resume_token;
            }
            if let Some(event) = told.event {
                return Ok(event);
            }
        }
    }

    /// What there is, up to the end of the snapshot.
    pub(crate) async fn snapshot(&mut self) -> Vec<proto::MemberGroup> {
        let mut groups = Vec::new();
        loop {
            match self.next().await.unwrap() {
                Event::Group(group) => groups.push(group),
                Event::SnapshotComplete(_) => return groups,
                other => panic!("{other:?} in a snapshot"),
            }
        }
    }

    pub(crate) async fn next_group(&mut self) -> proto::MemberGroup {
        match self.next().await.unwrap() {
            Event::Group(group) => group,
            other => panic!("expected a group, not {other:?}"),
        }
    }

    pub(crate) async fn next_changed(&mut self) -> proto::Group {
        match self.next().await.unwrap() {
            Event::ChangedGroup(group) => group,
            other => panic!("expected a changed group, not {other:?}"),
        }
    }

    pub(crate) async fn next_left(&mut self) -> (String, proto::GroupLeftCause) {
        match self.next().await.unwrap() {
            Event::Left(left) => (left.group_id.clone(), left.cause()),
            other => panic!("expected the end of a membership, not {other:?}"),
        }
    }
}

/// A good group.
pub(crate) fn group(id: &str) -> proto::Group {
    proto::Group {
        group_id: id.to_owned(),
        display_name: "Rescue 7".to_owned(),
        mc_services: vec![types::McService::Ptt.into()],
        ..Default::default()
    }
}

/// The same identity in MCPTT and MCData.
fn services() -> [i32; 2] {
    [types::McService::Ptt.into(), types::McService::Data.into()]
}

/// `name` of `primary`, who is `name.primary` here.
pub(crate) fn visitor(
    migration_id: &str,
    primary: &System<'_>,
    here: &System<'_>,
    name: &str,
) -> proto::Visitor {
    let identities = services().map(|mc_service| types::MigratedServiceIdentity {
        mc_service,
        primary_mc_service_id: primary.id(name),
        partner_mc_service_id: here.id(&format!("{name}.visitor")),
    });
    proto::Visitor {
        migration_id: migration_id.to_owned(),
        primary_mc_system_id: primary.home.own.mc_system_id().to_string(),
        identities: identities.to_vec(),
        ..Default::default()
    }
}

/// `name` of `own`, who may migrate to `partner`.
pub(crate) fn shared_user(
    migration_id: &str,
    own: &System<'_>,
    partner: &System<'_>,
    name: &str,
) -> proto::SharedUser {
    let identities =
        services().map(|mc_service| types::McServiceIdentity { mc_service, mc_service_id: own.id(name) });
    proto::SharedUser {
        migration_id: migration_id.to_owned(),
        partner_mc_system_id: partner.home.own.mc_system_id().to_string(),
        identities: identities.to_vec(),
        ..Default::default()
    }
}

/// Makes each test once per engine.
macro_rules! on_every_database {
    ($($names:tt)*) => { mcx_testkit::on_every_database!(std::future::ready; $($names)*); };
}
pub(crate) use on_every_database;
