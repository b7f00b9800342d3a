//! What migration management puts in place for users who may migrate (TS 23.280 10.17.5): own users to partners, and visitors here.

use mcx_store::{StoreError, Transaction};
use mcx_types::{Timestamp, Violations};
use uuid::Uuid;

use super::App;
use super::mutation::{ChangedBy, Mutation};
use crate::domain::user_profile::{ServiceUser, UserProfile};
use crate::error::Error;
use crate::store::documents::{self, Kind};
use crate::store::users::{self, Target};
use crate::store::{shares, visitors};
use crate::wire::document::user_profile_prefix;
use crate::wire::migration::{MigrationTarget, Visitor};

impl App {
    /// Lets own users migrate.
    pub(crate) async fn put_migration_targets(
        &self,
        targets: Vec<MigrationTarget>,
        by: ChangedBy,
    ) -> Result<(), Error> {
        let mut mutation = self.begin_work(by).await?;
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        for target in targets {
            let present = users::targets_of_migration(&mut mutation.transaction, target.migration_id).await?;
            let MigrationTarget { migration_id, partner, users, content } = target;
            for user in &users {
                let wanted = Target {
                    migration_id,
                    user: user.clone(),
                    partner: partner.clone(),
                    content: content.clone(),
                };
                match present.iter().find(|present| present.user.mc_service == user.mc_service) {
                    Some(present) if *present == wanted => {}
                    Some(present) if present.user != wanted.user || present.partner != wanted.partner => {
                        return Err(Error::MigrationConflict(migration_id));
                    }
                    _ => changed.push(wanted),
                }
            }
            gone.extend(present.into_iter().filter(|present| !users.contains(&present.user)));
        }
        // Users are locked in the same order by everybody.
        changed.sort_by(|one, other| one.user.cmp(&other.user));
        for target in changed {
            self.put_target(&mut mutation, &target).await?;
        }
        self.delete_targets(&mut mutation, gone).await?;
        self.commit_work(mutation).await
    }

    async fn put_target(&self, mutation: &mut Mutation, target: &Target) -> Result<(), Error> {
        let edited = self.edit_user(mutation, &target.user).await?;
        users::put_target(&mut mutation.transaction, target)
            .await
            .map_err(|error| conflict(error, target.migration_id))?;
        let (version, now) = (edited.version, mutation.now());
        let transaction = &mut mutation.transaction;
        shares::want(transaction, &target.user, &target.partner, version, false, now).await?;
        mutation.has_shares_due = true;
        self.save_user(mutation, edited, UserProfile::is_for_home).await.map(drop)
    }

    /// Lets own users not migrate any more.
    pub(crate) async fn delete_migration_targets(
        &self,
        migration_ids: Vec<Uuid>,
        by: ChangedBy,
    ) -> Result<(), Error> {
        let mut mutation = self.begin_work(by).await?;
        let mut gone = Vec::new();
        for id in migration_ids {
            gone.extend(users::targets_of_migration(&mut mutation.transaction, id).await?);
        }
        self.delete_targets(&mut mutation, gone).await?;
        self.commit_work(mutation).await
    }

    async fn delete_targets(&self, mutation: &mut Mutation, mut gone: Vec<Target>) -> Result<(), Error> {
        gone.sort_by(|one, other| one.user.cmp(&other.user));
        for target in gone {
            let edited = self.edit_user(mutation, &target.user).await?;
            users::delete_target(&mut mutation.transaction, &target).await?;
            let (version, now) = (edited.version, mutation.now());
            let transaction = &mut mutation.transaction;
            shares::want(transaction, &target.user, &target.partner, version, true, now).await?;
            mutation.has_shares_due = true;
            self.save_user(mutation, edited, UserProfile::is_for_home).await?;
        }
        Ok(())
    }

    /// Expects visitors.
    pub(crate) async fn put_visitors(&self, wanted: Vec<Visitor>, by: ChangedBy) -> Result<(), Error> {
        let mut mutation = self.begin_work(by).await?;
        let mut violations = Violations::new();
        for (at, visitor) in wanted.iter().enumerate() {
            let fields =
                (0..).map(|index| format!("visitors[{at}].identities[{index}].partner_mc_service_id"));
            for (identity, field) in visitor.identities.iter().zip(fields) {
                let user = ServiceUser { mc_service: identity.mc_service, id: identity.partner.clone() };
                if is_own_user(&mut mutation.transaction, &user).await? {
                    violations.add(field, "is the mc service id of a user of this mc system");
                }
            }
        }
        violations.finish(Some(()))?;
        for visitor in wanted {
            self.put_visitor(&mut mutation, visitor).await?;
        }
        self.commit_work(mutation).await
    }

    async fn put_visitor(&self, mutation: &mut Mutation, wanted: Visitor) -> Result<(), Error> {
        let id = wanted.migration_id;
        let present = visitors::of_migration(&mut mutation.transaction, id).await?;
        for identity in &wanted.identities {
            let user = ServiceUser { mc_service: identity.mc_service, id: identity.partner.clone() };
            match present.iter().find(|present| present.user.mc_service == identity.mc_service) {
                Some(present)
                    if present.user == user
                        && present.primary_id == identity.primary
                        && present.primary == wanted.primary => {}
                Some(_) => return Err(Error::MigrationConflict(id)),
                None => {
                    let visitor = visitors::Visitor {
                        migration_id: id,
                        user,
                        primary: wanted.primary.clone(),
                        primary_id: identity.primary.clone(),
                        valid_until: wanted.valid_until,
                        share_version: 0,
                        refresh_at: Timestamp::from_micros(0),
                    };
                    let inserted = visitors::insert(&mut mutation.transaction, &visitor).await;
                    inserted.map_err(|error| conflict(error, id))?;
                }
            }
        }
        if present.iter().any(|present| present.valid_until != wanted.valid_until) {
            visitors::set_valid_until(&mut mutation.transaction, id, wanted.valid_until).await?;
        }
        let is_wanted = |present: &visitors::Visitor| {
            wanted.identities.iter().any(|identity| identity.mc_service == present.user.mc_service)
        };
        for visitor in present.iter().filter(|present| !is_wanted(present)) {
            self.remove_visitor(mutation, visitor).await?;
        }
        Ok(())
    }

    /// Expects visitors no more.
    pub(crate) async fn delete_visitors(&self, migration_ids: Vec<Uuid>, by: ChangedBy) -> Result<(), Error> {
        let mut mutation = self.begin_work(by).await?;
        let mut gone = Vec::new();
        for id in migration_ids {
            gone.extend(visitors::of_migration(&mut mutation.transaction, id).await?);
        }
        gone.sort_by_key(visitors::Visitor::primary_user);
        for visitor in gone {
            self.remove_visitor(&mut mutation, &visitor).await?;
        }
        self.commit_work(mutation).await
    }
}

async fn is_own_user(transaction: &mut Transaction, user: &ServiceUser) -> Result<bool, StoreError> {
    let prefix = user_profile_prefix(user);
    Ok(!documents::all_in(transaction, Kind::UserProfile, &prefix).await?.is_empty())
}

/// What the store's refusal of a migration means.
fn conflict(error: StoreError, migration_id: Uuid) -> Error {
    match error {
        StoreError::UniqueViolation { .. } => Error::MigrationConflict(migration_id),
        other => other.into(),
    }
}
