//! What operators do with functional aliases, and what users and the enforcement point ask. Answered from the database at each asking.

use std::collections::BTreeSet;

use mcx_proto::functionalalias::v1 as proto;
use mcx_store::StoreError;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{FunctionalAlias, McServiceId};

use super::App;
use super::changes::Changes;
use super::mutation::{Begun, begin};
use crate::domain::{AliasConfiguration, Asker};
use crate::error::Error;
use crate::store::aliases::StoredAlias;
use crate::store::{Page, aliases, allowed_users};
use crate::wire;

impl App {
    pub(crate) async fn create_alias(
        &self,
        wanted: AliasConfiguration,
        request: Option<MutatingRequest>,
    ) -> Result<proto::CreateFunctionalAliasResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let AliasConfiguration { alias, terms, allowed_users } = &wanted;
        let transaction = &mut mutation.transaction;
        let inserted = aliases::insert(transaction, alias, terms, now).await;
        let stored = inserted.map_err(|error| match error {
            StoreError::UniqueViolation { .. } => Error::AliasExists(alias.clone()),
            other => other.into(),
        })?;
        allowed_users::add(transaction, alias, allowed_users).await?;
        let mut changes = Changes::new(now);
        changes.granted(alias, allowed_users);
        if terms.allow_visitors {
            changes.granted_to_visitors(alias);
        }
        let functional_alias = Some(wire::encode_with(&stored, allowed_users));
        let response = proto::CreateFunctionalAliasResponse { functional_alias };
        self.commit(mutation, changes, &response).await?;
        Ok(response)
    }

    pub(crate) async fn get_alias(
        &self,
        alias: FunctionalAlias,
    ) -> Result<(StoredAlias, BTreeSet<McServiceId>), Error> {
        let (stored, allowed) = tokio::try_join!(
            aliases::find(&self.database, &alias),
            allowed_users::of(&self.database, &alias)
        )?;
        Ok((stored.ok_or(Error::AliasUnknown(alias))?, allowed))
    }

    pub(crate) async fn list_aliases(&self, after: &str, limit: u32) -> Result<Page<StoredAlias>, Error> {
        Ok(aliases::list(&self.database, after, limit).await?)
    }

    pub(crate) async fn update_alias(
        &self,
        wanted: AliasConfiguration,
        version: i64,
        request: Option<MutatingRequest>,
    ) -> Result<proto::UpdateFunctionalAliasResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let AliasConfiguration { alias, terms, allowed_users } = &wanted;
        let transaction = &mut mutation.transaction;
        let before = aliases::find_locked(transaction, alias).await?;
        let before = before.ok_or_else(|| Error::AliasUnknown(alias.clone()))?;
        if before.version != version {
            return Err(Error::EtagMismatch);
        }
        let allowed_before = allowed_users::of_locked(transaction, alias).await?;
        let stored = aliases::update(transaction, alias, terms, now).await?;
        let added: Vec<&McServiceId> = allowed_users.difference(&allowed_before).collect();
        let removed: Vec<&McServiceId> = allowed_before.difference(allowed_users).collect();
        allowed_users::add(transaction, alias, added.iter().copied()).await?;
        allowed_users::remove(transaction, alias, removed.iter().copied()).await?;

        let mut changes = Changes::new(now);
        changes.taken(alias, removed);
        match (before.terms.allow_visitors, terms.allow_visitors) {
            (true, false) => changes.taken_from_visitors(alias),
            (false, true) => changes.granted_to_visitors(alias),
            _ => {}
        }
        changes.granted(alias, added);
        changes.changed(&stored);
        let functional_alias = Some(wire::encode_with(&stored, allowed_users));
        let response = proto::UpdateFunctionalAliasResponse { functional_alias };
        self.commit(mutation, changes, &response).await?;
        Ok(response)
    }

    pub(crate) async fn delete_alias(
        &self,
        alias: FunctionalAlias,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::DeleteFunctionalAliasResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let transaction = &mut mutation.transaction;
        let before = aliases::find_locked(transaction, &alias).await?;
        let before = before.ok_or_else(|| Error::AliasUnknown(alias.clone()))?;
        if version.is_some_and(|version| version != before.version) {
            return Err(Error::EtagMismatch);
        }
        let allowed = allowed_users::of_locked(transaction, &alias).await?;
        aliases::delete(transaction, &alias).await?;
        let mut changes = Changes::new(now);
        changes.taken(&alias, &allowed);
        if before.terms.allow_visitors {
            changes.taken_from_visitors(&alias);
        }
        let response = proto::DeleteFunctionalAliasResponse {};
        self.commit(mutation, changes, &response).await?;
        Ok(response)
    }

    /// The functional alias, and whether the user is among those who may activate it.
    pub(crate) async fn look_up(
        &self,
        alias: FunctionalAlias,
        user: Option<&McServiceId>,
    ) -> Result<(StoredAlias, bool), Error> {
        let stored = aliases::find(&self.database, &alias).await?;
        let stored = stored.ok_or_else(|| Error::AliasUnknown(alias.clone()))?;
        let is_allowed = match user {
            Some(user) => allowed_users::is_allowed(&self.database, &alias, user).await?,
            None => false,
        };
        Ok((stored, is_allowed))
    }

    /// A page of what the asker may activate.
    pub(crate) async fn list_for(
        &self,
        asker: &Asker,
        among: &[FunctionalAlias],
        after: &str,
        limit: u32,
    ) -> Result<Page<StoredAlias>, Error> {
        Ok(aliases::list_for(&self.database, asker, among, after, limit).await?)
    }
}
