//! `grpc.health.v1`: NOT_SERVING at first, and then whatever the readiness of each service says, both ways.

use std::collections::HashMap;

use futures::stream::{StreamExt, select_all};
use tokio_stream::wrappers::WatchStream;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::readiness::Readiness;

/// The name under which the health protocol knows a server as a whole.
const WHOLE_SERVER: &str = "";

/// The health of the services of one listener.
#[derive(Clone)]
pub(super) struct Health {
    reporter: HealthReporter,
    services: Vec<(&'static str, Readiness)>,
}

impl Health {
    pub(super) fn new(services: Vec<(&'static str, Readiness)>) -> (Self, HealthServer<HealthService>) {
        let reporter = HealthReporter::new();
        let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        (Self { reporter, services }, service)
    }

    /// Reports the readiness of each service for as long as this is polled.
    pub(super) async fn follow(self) {
        let mut reported = HashMap::new();
        // Each gives the present state at once, and then every change; one report at a time, so that none is stale.
        let mut changes = select_all(
            self.services
                .iter()
                .map(|(_, readiness)| WatchStream::new(readiness.watch()))
                .collect::<Vec<_>>(),
        );
        loop {
            let services = self.services.iter().map(|(name, readiness)| (*name, readiness.is_serving()));
            let is_serving = self.services.iter().all(|(_, readiness)| readiness.is_serving());
            for (name, is_serving) in services.chain([(WHOLE_SERVER, is_serving)]) {
                // Said once: watchers are told of changes, not of repetitions.
                if reported.insert(name, is_serving) != Some(is_serving) {
                    self.set(name, is_serving).await;
                }
            }
            if changes.next().await.is_none() {
                return;
            }
        }
    }

    /// Reports every service, and the server, as NOT_SERVING.
    pub(super) async fn not_serving(&self) {
        for (name, _) in &self.services {
            self.set(name, false).await;
        }
        self.set(WHOLE_SERVER, false).await;
    }

    async fn set(&self, name: &str, is_serving: bool) {
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.reporter.set_service_status(name, status).await;
    }
}
