//! Whether a service can do its work: named latches that open and close as its dependencies come and go.
//!
//! Readiness drives `grpc.health.v1` and `/readyz`, both ways: a database that goes away makes the service
//! NOT_SERVING, and SERVING again when it returns.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// What a closed latch means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Without it the service cannot do its work and is NOT_SERVING.
    Required,
    /// Without it the service does its work with less comfort, and goes on SERVING.
    Degrading,
}

/// The standing of one latch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatchState {
    /// What it means while it is closed.
    pub weight: Weight,
    /// Why it is closed, in words for an operator; `None` while it is open.
    pub down: Option<String>,
}

/// The standing of all latches of one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadinessState {
    /// The latches by name.
    pub latches: BTreeMap<&'static str, LatchState>,
    /// Whether the service is on its way out, from where it does not come back.
    pub draining: bool,
}

impl ReadinessState {
    /// Whether requests are welcome: not draining, and every required latch is open.
    pub fn is_serving(&self) -> bool {
        let is_open = |latch: &LatchState| latch.down.is_none() || latch.weight == Weight::Degrading;
        !self.draining && self.latches.values().all(is_open)
    }
}

/// The readiness of one service. Clones share it.
#[derive(Debug, Clone)]
pub struct Readiness {
    name: Arc<str>,
    state: watch::Sender<ReadinessState>,
}

impl Readiness {
    /// The readiness of the service of that name; without a latch it is serving.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), state: watch::Sender::new(ReadinessState::default()) }
    }

    /// The name of the service.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a latch, closed until [`Latch::up`]. Asking again for a name gives another handle of the same latch.
    pub fn latch(&self, name: &'static str, weight: Weight) -> Latch {
        self.state.send_modify(|state| {
            let closed = LatchState { weight, down: Some("not up yet".to_owned()) };
            state.latches.entry(name).or_insert(closed);
        });
        let latch = Latch { service: Arc::clone(&self.name), name, weight, state: self.state.clone() };
        latch.measure(false);
        latch
    }

    /// The present standing.
    pub fn state(&self) -> ReadinessState {
        self.state.borrow().clone()
    }

    /// Whether requests are welcome at present.
    pub fn is_serving(&self) -> bool {
        self.state.borrow().is_serving()
    }

    /// Follows the standing; the receiver has the present one at once.
    pub fn watch(&self) -> watch::Receiver<ReadinessState> {
        self.state.subscribe()
    }

    /// Waits until requests are welcome.
    pub async fn wait_until_serving(&self) {
        self.wait_for(true).await;
    }

    /// Waits until requests are no longer welcome.
    pub async fn wait_until_not_serving(&self) {
        self.wait_for(false).await;
    }

    async fn wait_for(&self, serving: bool) {
        let mut states = self.state.subscribe();
        states
            .wait_for(|state| state.is_serving() == serving)
            .await
            .expect("the sender lives as long as this readiness");
    }

    /// Turns the service NOT_SERVING for good: it is about to end.
    pub fn begin_draining(&self) {
        self.state.send_if_modified(|state| !std::mem::replace(&mut state.draining, true));
    }
}

/// One condition of being ready, held by whoever watches the dependency behind it.
#[derive(Debug, Clone)]
pub struct Latch {
    service: Arc<str>,
    name: &'static str,
    weight: Weight,
    state: watch::Sender<ReadinessState>,
}

impl Latch {
    /// The dependency is there.
    pub fn up(&self) {
        if self.set(None) {
            tracing::info!(latch = self.name, "dependency is up");
        }
    }

    /// The dependency is away; `reason` is shown to operators and carries no secret.
    pub fn down(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.set(Some(reason.clone())) {
            tracing::warn!(latch = self.name, reason, "dependency is down");
        }
    }

    fn set(&self, down: Option<String>) -> bool {
        self.measure(down.is_none());
        self.state.send_if_modified(|state| {
            let latch = state.latches.get_mut(self.name).expect("a latch is added before it is held");
            let is_changed = latch.down != down;
            latch.down = down;
            is_changed
        })
    }

    fn measure(&self, is_up: bool) {
        let weight = match self.weight {
            Weight::Required => "required",
            Weight::Degrading => "degrading",
        };
        metrics::gauge!(
            "mcx_readiness_latch_up",
            "service" => self.service.to_string(),
            "latch" => self.name,
            "weight" => weight
        )
        .set(if is_up { 1.0 } else { 0.0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_serves_once_every_required_latch_is_up_and_stops_when_one_goes_down() {
        let readiness = Readiness::new("sip-database");
        let database = readiness.latch("database", Weight::Required);
        let schema = readiness.latch("schema", Weight::Required);
        let mut served = vec![readiness.is_serving()];
        database.up();
        served.push(readiness.is_serving());
        schema.up();
        served.push(readiness.is_serving());
        database.down("connection refused");
        served.push(readiness.is_serving());
        database.up();
        served.push(readiness.is_serving());
        assert_eq!(served, [false, false, true, false, true]);
    }

    #[test]
    fn a_degrading_latch_is_reported_but_does_not_stop_the_service() {
        let readiness = Readiness::new("sip-core");
        let cache = readiness.latch("cache", Weight::Degrading);
        cache.down("redis is away");
        let state = readiness.state();
        assert!(state.is_serving());
        assert_eq!(state.latches["cache"].down.as_deref(), Some("redis is away"));
    }

    #[test]
    fn draining_is_for_good() {
        let readiness = Readiness::new("sip-core");
        let database = readiness.latch("database", Weight::Required);
        readiness.begin_draining();
        database.up();
        assert!(!readiness.is_serving());
    }

    #[tokio::test]
    async fn watchers_hear_of_both_directions() {
        let readiness = Readiness::new("sip-core");
        let database = readiness.latch("database", Weight::Required);
        let mut states = readiness.watch();
        database.up();
        readiness.wait_until_serving().await;
        states.changed().await.unwrap();
        assert!(states.borrow_and_update().is_serving());
        database.down("gone");
        states.changed().await.unwrap();
        assert!(!states.borrow_and_update().is_serving());
        readiness.wait_until_not_serving().await;
    }
}
