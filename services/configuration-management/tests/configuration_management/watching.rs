//! On-line updates.

use std::time::Duration;

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::watch_configuration_response::Event;
use mcx_proto::types::v1::McService;
use mcx_store::{Database, DatabaseConfig, changes};
use mcx_testkit::authorized;
use tonic::{Code, Status, Streaming};

use crate::documents::{service_configuration, ue_configuration};
use crate::fixture::{System, fields, on_every_database, refusal};
use crate::samples::{identity, profile};

on_every_database!(crate::fixture::System:
    watcher_is_told_the_whole_configuration_and_then_each_change,
    watcher_of_one_replica_hears_what_is_changed_at_another,
    watcher_who_comes_back_misses_nothing,
    watcher_of_one_ue_is_told_what_holds_for_it,
    compacted_or_foreign_resume_token_is_refused,
    stream_ends_with_the_access_token,
    stream_ends_when_the_server_stops,
);

const UE: &str = "urn:uuid:00000000-0000-0000-0000-000000000001";

/// After that something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A UE that watches.
pub(crate) struct Watch(Streaming<proto::WatchConfigurationResponse>);

impl Watch {
    pub(crate) async fn begin(system: &System, name: &str, resume_token: &str) -> Self {
        Self::try_begin(system, name, resume_token).await.unwrap()
    }

    async fn try_begin(system: &System, name: &str, resume_token: &str) -> Result<Self, Status> {
        let message =
            proto::WatchConfigurationRequest { ue_id: UE.to_owned(), resume_token: resume_token.to_owned() };
        Ok(Self(system.ue().watch_configuration(system.as_user(name, message)).await?.into_inner()))
    }

    pub(crate) async fn next(&mut self) -> Result<proto::WatchConfigurationResponse, Status> {
        let told = tokio::time::timeout(PATIENCE, self.0.message()).await.expect("something is told in time");
        Ok(told?.expect("a watch does not just end"))
    }

    /// The next thing that is told, and where to go on after it.
    pub(crate) async fn event(&mut self) -> (Event, String) {
        let told = self.next().await.unwrap();
        (told.event.unwrap(), told.resume_token)
    }

    /// All that is told up to now.
    pub(crate) async fn until_caught_up(&mut self) -> (Vec<Event>, String) {
        let mut events = Vec::new();
        loop {
            match self.event().await {
                (Event::CaughtUp(_), token) => return (events, token),
                (event, _) => events.push(event),
            }
        }
    }
}

fn removal(name: &str, profile_index: u32) -> Event {
    Event::UserProfileRemoval(proto::UserProfileRemoval { identity: Some(identity(name)), profile_index })
}

async fn write_service_configuration(system: &System) -> proto::ServiceConfiguration {
    let request = proto::UpdateServiceConfigurationRequest {
        service_configuration: Some(service_configuration()),
        ..Default::default()
    };
    let written = system.service_configurations().update_service_configuration(request).await.unwrap();
    written.into_inner().service_configuration.unwrap()
}

async fn create_ue_configuration(system: &System, ue_id: &str) -> proto::UeConfiguration {
    let request = proto::CreateUeConfigurationRequest {
        ue_configuration: Some(ue_configuration(ue_id)),
        ..Default::default()
    };
    let created = system.ue_configurations().create_ue_configuration(request).await.unwrap();
    created.into_inner().ue_configuration.unwrap()
}

async fn watcher_is_told_the_whole_configuration_and_then_each_change(system: System) {
    let first = system.create(profile("alice", 0)).await;
    let service = write_service_configuration(&system).await;
    let mut watch = Watch::begin(&system, "alice", "").await;
    let (known, _) = watch.until_caught_up().await;
    assert_eq!(known, [Event::UserProfile(first.clone()), Event::ServiceConfiguration(service.clone())]);

    system.create(profile("bob", 0)).await;
    let second = system.create(profile("alice", 1)).await;
    assert_eq!(watch.event().await.0, Event::UserProfile(second.clone()));
    let disabled = proto::UserProfileStatus::Disabled.into();
    let second = system.update(proto::UserProfile { status: disabled, ..second }).await;
    assert_eq!(watch.event().await.0, removal("alice", 1));
    // What she cannot see is not told.
    system.update(proto::UserProfile { profile_name: "hidden".to_owned(), ..second }).await;
    let request = proto::UpdateServiceConfigurationRequest {
        service_configuration: Some(proto::ServiceConfiguration { priority_levels: 2, ..service }),
        ..Default::default()
    };
    let service = system.service_configurations().update_service_configuration(request).await.unwrap();
    let service = service.into_inner().service_configuration.unwrap();
    assert_eq!(watch.event().await.0, Event::ServiceConfiguration(service));
    let request = proto::DeleteUserProfileRequest {
        identity: Some(identity("alice")),
        profile_index: 0,
        ..Default::default()
    };
    system.profiles().delete_user_profile(request).await.unwrap();
    assert_eq!(watch.event().await.0, removal("alice", 0));
}

async fn watcher_of_one_replica_hears_what_is_changed_at_another(mut system: System) {
    let mut alice = Watch::begin(&system, "alice", "").await;
    alice.until_caught_up().await;
    let _replica_of_alice = system.go_to_another_replica().await;
    let written = write_service_configuration(&system).await;
    assert_eq!(alice.event().await.0, Event::ServiceConfiguration(written));
}

async fn watcher_who_comes_back_misses_nothing(mut system: System) {
    let mut latest = system.create(profile("alice", 0)).await;
    let mut watch = Watch::begin(&system, "alice", "").await;
    watch.until_caught_up().await;
    latest = system.update(proto::UserProfile { profile_name: "1".to_owned(), ..latest }).await;
    let (told, token) = watch.event().await;
    assert_eq!(told, Event::UserProfile(latest.clone()));
    drop(watch);

    let mut missed = Vec::new();
    for name in ["2", "3", "4"] {
        latest = system.update(proto::UserProfile { profile_name: name.to_owned(), ..latest }).await;
        missed.push(Event::UserProfile(latest.clone()));
    }
    // At whichever replica.
    system.stop().await;
    system.start_again().await;
    let mut watch = Watch::begin(&system, "alice", &token).await;
    let (told, token) = watch.until_caught_up().await;
    assert_eq!(told, missed, "in the order of the changes, none twice");
    let mut watch = Watch::begin(&system, "alice", &token).await;
    assert_eq!(watch.until_caught_up().await.0, []);
}

async fn watcher_of_one_ue_is_told_what_holds_for_it(system: System) {
    let mut watch = Watch::begin(&system, "alice", "").await;
    assert_eq!(watch.until_caught_up().await.0, []);
    let for_all = create_ue_configuration(&system, "").await;
    assert_eq!(watch.event().await.0, Event::UeConfiguration(for_all.clone()));
    let own = create_ue_configuration(&system, UE).await;
    assert_eq!(watch.event().await.0, Event::UeConfiguration(own.clone()));
    create_ue_configuration(&system, "urn:uuid:other").await;
    // A change of the one for all does not change what holds for this UE.
    let request = proto::UpdateUeConfigurationRequest {
        ue_configuration: Some(proto::UeConfiguration { relay_allowed: true, ..for_all }),
        ..Default::default()
    };
    system.ue_configurations().update_ue_configuration(request).await.unwrap();
    assert_eq!(watch.event().await.0, Event::UeConfiguration(own));
    for (ue_id, expects_removal) in [(UE, false), ("", true)] {
        let request = proto::DeleteUeConfigurationRequest {
            mc_service: McService::Ptt.into(),
            ue_id: ue_id.to_owned(),
            ..Default::default()
        };
        system.ue_configurations().delete_ue_configuration(request).await.unwrap();
        match watch.event().await.0 {
            Event::UeConfiguration(left) => assert!(!expects_removal && left.relay_allowed, "{left:?}"),
            Event::UeConfigurationRemoval(removal) => assert!(expects_removal && removal.ue_id == UE),
            other => panic!("{other:?}"),
        }
    }
}

async fn compacted_or_foreign_resume_token_is_refused(mut system: System) {
    let mut watch = Watch::begin(&system, "alice", "").await;
    let (_, token) = watch.until_caught_up().await;
    drop(watch);
    let created = system.create(profile("alice", 0)).await;
    let database =
        Database::open(&DatabaseConfig::from_url(system.database_url()), &configuration_management::SCHEMA)
            .unwrap();
    assert_eq!(changes::compact(&database, i64::MAX).await.unwrap(), 1);
    // What a replica has in memory it still tells.
    system.stop().await;
    system.start_again().await;
    let refused = async |token: &str| match Watch::try_begin(&system, "alice", token).await {
        Ok(mut watch) => watch.next().await,
        Err(status) => Err(status),
    };
    let compacted = refusal(refused(&token).await);
    assert_eq!((compacted.code, compacted.reason.as_str()), (Code::OutOfRange, "RESUME_TOKEN_COMPACTED"));
    assert_eq!(fields(refused("nonsense").await), ["resume_token"]);
    // Anew it works.
    let mut watch = Watch::begin(&system, "alice", "").await;
    assert_eq!(watch.until_caught_up().await.0, [Event::UserProfile(created)]);
}

async fn stream_ends_with_the_access_token(system: System) {
    let mut claims = system.claims("alice");
    claims.exp = claims.iat + 1;
    let message = proto::WatchConfigurationRequest::default();
    let request = authorized(message, &system.tokens.sign(&claims));
    let mut watch = Watch(system.ue().watch_configuration(request).await.unwrap().into_inner());
    let ended = loop {
        match watch.next().await {
            Ok(told) => assert!(matches!(told.event, Some(Event::CaughtUp(_)))),
            Err(status) => break status,
        }
    };
    let ended = refusal::<()>(Err(ended));
    assert_eq!((ended.code, ended.reason.as_str()), (Code::Unauthenticated, "ACCESS_TOKEN_EXPIRED"));
}

async fn stream_ends_when_the_server_stops(system: System) {
    let mut watch = Watch::begin(&system, "alice", "").await;
    watch.until_caught_up().await;
    system.begin_stop();
    let ended = refusal(watch.next().await);
    assert_eq!((ended.code, ended.reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
}
