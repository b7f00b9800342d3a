//! How often, and how soon after one another, the endpoints of a peer are tried.

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::{ConnectError, ConnectFailure, PeerEndpoint};

/// An attempt that has no outcome yet gets a rival after this time (RFC 8305 5, Connection Attempt Delay).
///
/// Of use even where there is one endpoint: behind the address of a Kubernetes Service, a connection that was begun towards a pod which
/// is gone stays with it, while a new one finds another pod.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Where every endpoint is unreachable, all are tried again after each of these: a server that is replaced refuses for a moment.
pub const CONNECT_AGAIN_AFTER: &[Duration] = &[Duration::from_millis(100), Duration::from_millis(300)];

/// Tries the endpoints in order, and all again after each of `pauses` as long as none has answered wrongly. The first connection counts.
///
/// # Errors
/// The worst finding of all attempts. To be called with an endpoint.
pub(crate) async fn connect_to_any<C, A>(
    endpoints: &[PeerEndpoint],
    pauses: &[Duration],
    mut attempt: impl FnMut(PeerEndpoint) -> A,
) -> Result<C, ConnectError>
where
    A: Future<Output = Result<C, ConnectError>>,
{
    let mut attempts = Attempts { under_way: FuturesUnordered::new(), worst: None };
    let mut pauses = pauses.iter();
    loop {
        for endpoint in endpoints {
            attempts.under_way.push(attempt(endpoint.clone()));
            if let Some(connection) = attempts.first_outcome_within(ATTEMPT_DELAY).await {
                return Ok(connection);
            }
        }
        if attempts.found_worse_than_unreachable() {
            break;
        }
        let Some(pause) = pauses.next() else { break };
        if let Some(connection) = attempts.connection_within(*pause).await {
            return Ok(connection);
        }
    }
    attempts.connection().await
}

struct Attempts<A> {
    under_way: FuturesUnordered<A>,
    worst: Option<ConnectError>,
}

impl<C, A: Future<Output = Result<C, ConnectError>>> Attempts<A> {
    /// Ends with the first outcome, so that the next attempt can begin after a failure.
    async fn first_outcome_within(&mut self, time: Duration) -> Option<C> {
        let outcome = timeout(time, self.under_way.next()).await.ok()??;
        self.note(outcome)
    }

    /// Takes the whole time where there is no connection.
    async fn connection_within(&mut self, time: Duration) -> Option<C> {
        let until = Instant::now() + time;
        while let Ok(Some(outcome)) = timeout_at(until, self.under_way.next()).await {
            if let Some(connection) = self.note(outcome) {
                return Some(connection);
            }
        }
        sleep_until(until).await;
        None
    }

    async fn connection(mut self) -> Result<C, ConnectError> {
        while let Some(outcome) = self.under_way.next().await {
            if let Some(connection) = self.note(outcome) {
                return Ok(connection);
            }
        }
        Err(self.worst.expect("a peer has an endpoint"))
    }

    fn note(&mut self, outcome: Result<C, ConnectError>) -> Option<C> {
        match outcome {
            Ok(connection) => return Some(connection),
            Err(error) if self.worst.as_ref().is_none_or(|worst| worst.kind() < error.kind()) => {
                self.worst = Some(error);
            }
            Err(_) => {}
        }
        None
    }

    fn found_worse_than_unreachable(&self) -> bool {
        self.worst.as_ref().is_some_and(|worst| worst.kind() > ConnectFailure::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;

    use super::*;

    const HOSTS: [&str; 2] = ["a.bravo.example:7443", "b.bravo.example:7443"];

    /// What a test lets an attempt find.
    enum Finding {
        Connection,
        Refused,
        AnotherServer,
        Silence,
    }

    struct Peer {
        begun: Instant,
        /// Endpoint and time, in milliseconds, of each attempt.
        attempts: RefCell<Vec<(String, u128)>>,
    }

    impl Peer {
        fn new() -> Self {
            Self { begun: Instant::now(), attempts: RefCell::default() }
        }

        /// Connects with two endpoints; `finding` tells what the attempt on an endpoint, the n-th of all, finds.
        async fn connect(&self, finding: impl Fn(&str, usize) -> Finding) -> Result<String, ConnectError> {
            let endpoints = HOSTS.map(|host| host.parse().unwrap());
            connect_to_any(&endpoints, CONNECT_AGAIN_AFTER, |endpoint| {
                let mut attempts = self.attempts.borrow_mut();
                attempts.push((endpoint.to_string(), self.begun.elapsed().as_millis()));
                let finding = finding(&endpoint.to_string(), attempts.len());
                async move {
                    match finding {
                        Finding::Connection => Ok(endpoint.to_string()),
                        Finding::Refused => Err(refused(endpoint)),
                        Finding::AnotherServer => Err(another_server(endpoint)),
                        Finding::Silence => pending().await,
                    }
                }
            })
            .await
        }

        fn times(&self) -> Vec<u128> {
            self.attempts.borrow().iter().map(|(_, time)| *time).collect()
        }
    }

    fn refused(endpoint: PeerEndpoint) -> ConnectError {
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        ConnectError::Unreachable { endpoint, source }
    }

    fn another_server(endpoint: PeerEndpoint) -> ConnectError {
        let system = |name: &str| name.parse().unwrap();
        let entity = mcx_types::Entity::MigrationManagement;
        ConnectError::PeerIdentityMismatch {
            endpoint,
            expected: mcx_types::SpiffeId::entity(system("bravo.example"), entity),
            presented: mcx_types::SpiffeId::entity(system("charlie.example"), entity),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn endpoint_that_is_silent_gets_a_rival_after_the_attempt_delay() {
        let peer = Peer::new();
        let connected = peer.connect(|endpoint, _| match endpoint == HOSTS[0] {
            true => Finding::Silence,
            false => Finding::Connection,
        });
        assert_eq!(connected.await.unwrap(), HOSTS[1]);
        assert_eq!(peer.times(), [0, 250]);
    }

    #[tokio::test(start_paused = true)]
    async fn endpoint_that_refuses_is_followed_by_the_next_at_once() {
        let peer = Peer::new();
        let connected = peer.connect(|endpoint, _| match endpoint == HOSTS[0] {
            true => Finding::Refused,
            false => Finding::Connection,
        });
        assert_eq!(connected.await.unwrap(), HOSTS[1]);
        assert_eq!(peer.times(), [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_are_silent_get_rivals_at_the_same_endpoints() {
        let peer = Peer::new();
        let connected = peer.connect(|_, attempt| match attempt {
            1 | 2 => Finding::Silence,
            _ => Finding::Connection,
        });
        assert_eq!(connected.await.unwrap(), HOSTS[0]);
        assert_eq!(peer.times(), [0, 250, 600]);
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_refuses_for_a_moment_is_found_after_a_pause() {
        let peer = Peer::new();
        let connected = peer.connect(|_, attempt| match attempt {
            1..=4 => Finding::Refused,
            _ => Finding::Connection,
        });
        assert_eq!(connected.await.unwrap(), HOSTS[0]);
        assert_eq!(peer.times(), [0, 0, 100, 100, 400]);
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_keeps_refusing_is_given_up_after_the_last_pause() {
        let peer = Peer::new();
        let error = peer.connect(|_, _| Finding::Refused).await.unwrap_err();
        assert_eq!(error.kind(), ConnectFailure::Unreachable);
        assert_eq!(peer.times(), [0, 0, 100, 100, 400, 400]);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_answer_is_final_once_every_endpoint_was_tried() {
        let peer = Peer::new();
        let error = peer
            .connect(|endpoint, _| match endpoint == HOSTS[0] {
                true => Finding::AnotherServer,
                false => Finding::Refused,
            })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ConnectFailure::PeerIdentityMismatch);
        assert_eq!(peer.times(), [0, 0]);
    }
}
