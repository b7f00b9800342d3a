//! How far a request is: told at once, and again after each change.

use std::time::Duration;

use futures::{Stream, stream};
use mcx_proto::migration::v1 as proto;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::app::App;
use crate::error::Error;
use crate::store::user_migrations;
use crate::wire::user_migration::state_to_wire;

/// After how long the database is asked without a notification, should one have been missed.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// How long to let changes pile up before they are told: thousands of users change in hundreds of batches, and reading how far they are
/// costs as much as a batch.
const SHORTEST_SILENCE: Duration = Duration::from_millis(100);

/// A stream of progress, between two of its items.
struct Following {
    app: App,
    request_id: Uuid,
    changes: watch::Receiver<u64>,
    told: Option<proto::WatchUserMigrationRequestResponse>,
    is_over: bool,
}

impl App {
    /// How far a request is.
    pub(crate) async fn request_progress(
        &self,
        request_id: Uuid,
    ) -> Result<proto::WatchUserMigrationRequestResponse, Error> {
        let counts = user_migrations::counts(&self.database, request_id).await?;
        if counts.is_empty() {
            return Err(Error::UserMigrationRequestNotFound(request_id));
        }
        let obstacles = user_migrations::obstacles(&self.database, request_id).await?;
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let sum = |counts: &mut dyn Iterator<Item = u64>| number(counts.sum());
        let settled = counts.iter().filter(|(state, _)| state.is_settled()).map(|(_, count)| *count);
        let settled_count = sum(&mut settled.into_iter());
        let user_count = sum(&mut counts.iter().map(|(_, count)| *count));
        let mut counts: Vec<_> = counts
            .iter()
            .map(|(state, count)| proto::UserMigrationStateCount {
                state: state_to_wire(*state).into(),
                user_count: number(*count),
            })
            .collect();
        counts.sort_unstable_by_key(|count| count.state);
        let obstacles = obstacles.into_iter().map(|(step, last_error, count)| proto::UserMigrationObstacle {
            step,
            last_error,
            user_count: number(count),
        });
        Ok(proto::WatchUserMigrationRequestResponse {
            counts,
            user_count,
            settled_count,
            obstacles: obstacles.collect(),
        })
    }

    /// Follows a request until all of its users are settled. A failure ends the stream.
    pub(crate) fn watch_request(
        &self,
        request_id: Uuid,
    ) -> impl Stream<Item = Result<proto::WatchUserMigrationRequestResponse, Error>> + Send + use<> {
        let following = Following {
            app: self.clone(),
            request_id,
            changes: self.user_migrations.subscribe(),
            told: None,
            is_over: false,
        };
        stream::unfold(following, |mut following| async move {
            let next = following.next().await?;
            Some((next, following))
        })
    }
}

impl Following {
    async fn next(&mut self) -> Option<Result<proto::WatchUserMigrationRequestResponse, Error>> {
        if self.is_over {
            return None;
        }
        if self.told.is_some() {
            self.next_change().await;
        }
        loop {
            self.changes.mark_unchanged();
            match self.app.request_progress(self.request_id).await {
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
                Ok(progress) if self.told.as_ref() != Some(&progress) => {
                    self.is_over = progress.settled_count == progress.user_count;
                    self.told = Some(progress.clone());
                    return Some(Ok(progress));
                }
                Ok(_) => {}
            }
            self.next_change().await;
        }
    }

    /// Whether by a change or by silence: it is looked at again.
    async fn next_change(&mut self) {
        let _ = timeout(LONGEST_SILENCE, self.changes.changed()).await;
        sleep(SHORTEST_SILENCE).await;
    }
}
