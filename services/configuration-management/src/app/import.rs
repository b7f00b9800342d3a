//! Bulk import of user profiles: every one on its own, none lost, none half-done, and an interrupted import can be repeated.

use std::pin::pin;

use futures::{Stream, StreamExt};
use mcx_proto::configuration::v1 as proto;
use mcx_types::Violations;

use super::App;
use super::user_profiles::StoredProfiles;
use crate::domain::user_profile::UserProfile;
use crate::domain::user_profiles::ProfileRefusal;
use crate::error::Error;
use crate::store::documents::{self, Kind};
use crate::wire::document::user_profile_prefix;

/// How many refusals an answer lists.
const REFUSAL_LIMIT: usize = 1_000;

/// How many user profiles share a transaction.
const BATCH: usize = 200;

/// A user profile as it was decoded.
pub(crate) type Item = Result<UserProfile, Violations>;

impl App {
    /// Creates the user profiles of a stream; `E` is how the stream itself fails. What was created is in force even where the stream
    /// fails further on.
    pub(crate) async fn import_user_profiles<E: From<Error>>(
        &self,
        items: impl Stream<Item = Result<Item, E>> + Send,
        by: &str,
    ) -> Result<proto::ImportUserProfilesResponse, E> {
        let mut batches = pin!(items.chunks(BATCH));
        let mut outcome = proto::ImportUserProfilesResponse::default();
        let mut index = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.into_iter().collect::<Result<Vec<Item>, E>>()?;
            if self.import_together(&batch, by).await? {
                outcome.created_count += batch.len() as u64;
            } else {
                // Something in it is refused or there already: each on its own, in order.
                for (item, index) in batch.iter().zip(index..) {
                    self.import_one(item, by, index, &mut outcome).await?;
                }
            }
            index += batch.len() as u64;
        }
        Ok(outcome)
    }

    /// Creates a whole batch in one transaction; says whether it could.
    async fn import_together(&self, batch: &[Item], by: &str) -> Result<bool, Error> {
        let mut profiles = Vec::with_capacity(batch.len());
        for item in batch {
            match item {
                Ok(profile) => profiles.push(profile),
                Err(_) => return Ok(false),
            }
        }
        // Users are locked in the same order by everybody.
        profiles.sort_by(|one, other| (&one.user, one.index).cmp(&(&other.user, other.index)));
        let mut mutation = self.begin_work(by.to_owned()).await?;
        for profile in profiles {
            match self.insert_user_profile(&mut mutation, profile).await {
                Ok(_) => {}
                Err(error) if error.is_ours() => return Err(error),
                Err(_) => return Ok(false),
            }
        }
        self.commit_work(mutation).await?;
        Ok(true)
    }

    async fn import_one(
        &self,
        item: &Item,
        by: &str,
        index: u64,
        outcome: &mut proto::ImportUserProfilesResponse,
    ) -> Result<(), Error> {
        match self.create_or_find(item, by).await {
            Ok(true) => outcome.created_count += 1,
            Ok(false) => outcome.unchanged_count += 1,
            // What is not about the item ends the import; it is repeated when the database is back.
            Err(error) if error.is_ours() => return Err(error),
            Err(error) => {
                outcome.refused_count += 1;
                if outcome.refusals.len() < REFUSAL_LIMIT {
                    outcome.refusals.push(proto::ImportUserProfilesRefusal {
                        index,
                        reason: error.error_reason().into(),
                        description: error.describe(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Creates it (`true`), unless it is there with the same content.
    async fn create_or_find(&self, item: &Item, by: &str) -> Result<bool, Error> {
        let profile = item.as_ref().map_err(|violations| Error::Invalid(violations.clone()))?;
        let mut mutation = self.begin_work(by.to_owned()).await?;
        match self.insert_user_profile(&mut mutation, profile).await {
            Ok(_) => {
                self.commit_work(mutation).await?;
                Ok(true)
            }
            Err(error @ Error::Profile { refusal: ProfileRefusal::Exists(_), .. }) => {
                mutation.transaction.rollback().await?;
                let prefix = user_profile_prefix(&profile.user);
                let stored = documents::all(&self.database, Kind::UserProfile, &prefix).await?;
                let present = StoredProfiles::read(stored, &self.own)?;
                // Which one is pre-selected is settled among all of them.
                let is_same = present.profiles.get(profile.index).is_some_and(|present| {
                    let is_pre_selected = profile.is_pre_selected;
                    UserProfile { is_pre_selected, ..present.clone() } == *profile
                });
                if is_same { Ok(false) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }
}
