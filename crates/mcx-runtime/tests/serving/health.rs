//! Health, as a client that watches it sees it.

use mcx_federation::Listener;
use mcx_runtime::readiness::{Readiness, Weight};
use mcx_types::Entity;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Running, SERVICE, System, TestService};

#[tokio::test]
async fn health_follows_the_latches_both_ways_and_ends_with_not_serving() {
    let system = System::new();
    let readiness = Readiness::new("test");
    let database = readiness.latch("database", Weight::Required);
    let cache = readiness.latch("cache", Weight::Degrading);
    let server = system.server().add_service(Listener::Internal, TestService::echo(), &readiness);
    let running = Running::start(server.bind().await.unwrap(), readiness);

    let channel = system.channel(Entity::SipCore, running.address);
    for service in [SERVICE, ""] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut health = HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
        let mut next = async || health.message().await.unwrap().unwrap().status();
        assert_eq!(next().await, ServingStatus::NotServing, "{service:?} at first");
        database.up();
        assert_eq!(next().await, ServingStatus::Serving, "{service:?} once the database is up");
        cache.down("redis is away");
        database.down("connection refused");
        assert_eq!(next().await, ServingStatus::NotServing, "{service:?} when the database is away");
        database.up();
        assert_eq!(next().await, ServingStatus::Serving, "{service:?} when it is back");
        database.down("for the next round");
        assert_eq!(next().await, ServingStatus::NotServing);
    }

    database.up();
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let mut health = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    while health.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    running.shutdown.cancel();
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}
