//! What UEs need to reach this MC system changes: the primaries of its visitors are told again, and bring the access information in the
//! user profiles up to date.

use tokio::time::{MissedTickBehavior, interval};

use super::BATCH;
use crate::app::App;
use crate::error::Error;
use crate::store::{ue_configurations, user_migrations};

impl App {
    /// Looks at intervals whether the initial UE configuration is still what primaries were told. Runs until it is dropped.
    pub(crate) async fn follow_ue_configuration(&self) {
        let mut ticks = interval(self.config.provisioning.ue_configuration_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.tell_primaries_again().await {
                Ok(0) => {}
                Ok(users) => {
                    tracing::info!(users, "the initial ue configuration has changed, the primaries are told");
                }
                Err(error) => {
                    tracing::warn!(%error, "whether primaries know how this mc system is reached is not known");
                }
            }
        }
    }

    /// Has those told again who were told otherwise; of how many users that is. Where all know, it costs the same however many they are.
    async fn tell_primaries_again(&self) -> Result<usize, Error> {
        let Some((first, last)) = user_migrations::told_range(&self.database).await? else { return Ok(0) };
        let configuration = self.collaborators.configuration.initial_ue_configuration().await?;
        let digest = ue_configurations::digest(&configuration);
        if first == digest && last == digest {
            return Ok(0);
        }
        let mut users = 0;
        loop {
            let now = self.clock.now();
            let mut transaction = self.database.begin().await?;
            let mut migrations =
                user_migrations::lock_told_otherwise(&mut transaction, &digest, BATCH).await?;
            if migrations.is_empty() {
                return Ok(users);
            }
            users += migrations.len();
            for migration in &mut migrations {
                migration.tell_again(now);
            }
            user_migrations::put(&mut transaction, &migrations).await?;
            self.conclude(transaction, Vec::new()).await?;
        }
    }
}
