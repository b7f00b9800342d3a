//! What operators and migration management put an end to (TS 23.280 10.17.5), and what they are shown.

use mcx_proto::mcservice::v1 as proto;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{McSystemId, Timestamp};
use uuid::Uuid;

use super::App;
use super::ending::Telling;
use super::work::{Begun, Work};
use crate::domain::EndReason;
use crate::domain::user::{Client, User};
use crate::error::Error;
use crate::store::locks::Lock;
use crate::store::{Selection, authorizations, ended_migrations, served_by};
use crate::wire;

/// So many migrations end in one transaction: a commit for each is slow, and users wait for a long one.
const ENDED_AT_ONCE: usize = 32;

/// Which way users went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    In,
    Out,
}

/// Where a page of a listing begins: behind this client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageStart {
    pub(crate) direction: Direction,
    pub(crate) after: Option<Client>,
}

/// A page of migrated users.
pub(crate) struct MigratedPage {
    pub(crate) users: Vec<proto::MigratedUser>,
    /// Where the next page begins; `None`: there is none.
    pub(crate) next: Option<PageStart>,
}

impl App {
    /// Lists visitors, then own users away; either only where `direction` says so.
    pub(crate) async fn list_migrated(
        &self,
        direction: Option<Direction>,
        system: Option<&McSystemId>,
        start: Option<PageStart>,
        limit: u32,
    ) -> Result<MigratedPage, Error> {
        let now = self.clock.now();
        let first = start.unwrap_or(PageStart { direction: Direction::In, after: None });
        let is_wanted = |candidate| direction.is_none_or(|wanted| wanted == candidate);
        let mut found: Vec<(Direction, Client, proto::MigratedUser)> = Vec::new();
        if first.direction == Direction::In && is_wanted(Direction::In) {
            found.extend(self.visitors_after(system, first.after.as_ref(), limit, now).await?);
        }
        let room = (limit as usize + 1).saturating_sub(found.len());
        if room > 0 && is_wanted(Direction::Out) {
            let after = first.after.as_ref().filter(|_| first.direction == Direction::Out);
            let room = u32::try_from(room).unwrap_or(u32::MAX);
            for mark in served_by::list(&self.database, system, after, room, now).await? {
                let user = wire::user_away(&mark);
                found.push((Direction::Out, mark.client, user));
            }
        }
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found
            .last()
            .filter(|_| has_more)
            .map(|(direction, client, _)| PageStart { direction: *direction, after: Some(client.clone()) });
        Ok(MigratedPage { users: found.into_iter().map(|(_, _, user)| user).collect(), next })
    }

    async fn visitors_after(
        &self,
        primary: Option<&McSystemId>,
        after: Option<&Client>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<(Direction, Client, proto::MigratedUser)>, Error> {
        let found = authorizations::list_visitors(&self.database, primary, after, limit + 1, now).await?;
        Ok(found
            .into_iter()
            .filter_map(|authorization| {
                let user = wire::visitor(&authorization)?;
                Some((Direction::In, authorization.client, user))
            })
            .collect())
    }

    /// Ends the service of visitors at once.
    pub(crate) async fn eject(
        &self,
        selection: &Selection,
        request: Option<MutatingRequest>,
    ) -> Result<proto::EjectVisitorsResponse, Error> {
        let mut work = match self.begin_request(request).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(work) => *work,
        };
        let meant = authorizations::of_visitors(&mut work.transaction, selection).await?;
        lock_all(&mut work, meant.iter().map(|authorization| &authorization.client.user)).await?;
        let mut ejected = Vec::new();
        for authorization in meant {
            if self.end_authorization(&mut work, &authorization, EndReason::Ejected, Telling::Told).await? {
                ejected.extend(wire::visitor(&authorization));
            }
        }
        let response = proto::EjectVisitorsResponse { ejected };
        self.commit_request(work, &response).await?;
        Ok(response)
    }

    /// Calls own users back.
    pub(crate) async fn recall(
        &self,
        selection: &Selection,
        request: Option<MutatingRequest>,
    ) -> Result<proto::RecallUsersResponse, Error> {
        let mut work = match self.begin_request(request).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(work) => *work,
        };
        let meant = served_by::of_users(&mut work.transaction, selection).await?;
        lock_all(&mut work, meant.iter().map(|mark| &mark.client.user)).await?;
        let mut recalled = Vec::new();
        for mark in meant {
            if self.end_mark(&mut work, &mark, EndReason::Recalled, Telling::Told).await? {
                recalled.push(wire::user_away(&mark));
            }
        }
        let response = proto::RecallUsersResponse { recalled };
        self.commit_request(work, &response).await?;
        Ok(response)
    }

    /// Ends migrations for good; returns how many authorizations of clients ended.
    pub(crate) async fn end_migrations(
        &self,
        mut migration_ids: Vec<Uuid>,
        reason: EndReason,
    ) -> Result<usize, Error> {
        // In one order everywhere, so that two of these do not wait for each other.
        migration_ids.sort_unstable();
        migration_ids.dedup();
        let mut ended = 0;
        for migration_ids in migration_ids.chunks(ENDED_AT_ONCE) {
            ended += self.end_migrations_at_once(migration_ids, reason).await?;
        }
        Ok(ended)
    }

    async fn end_migrations_at_once(
        &self,
        migration_ids: &[Uuid],
        reason: EndReason,
    ) -> Result<usize, Error> {
        let mut work = self.begin().await?;
        let (mut visitors, mut away) = (Vec::new(), Vec::new());
        for migration_id in migration_ids {
            // Whoever is about to begin this migration has done so before, or will see that it has ended.
            work.lock(Lock::Migration(*migration_id)).await?;
            ended_migrations::insert(&mut work.transaction, *migration_id, work.now).await?;
            visitors.extend(authorizations::of_migration(&mut work.transaction, *migration_id).await?);
            away.extend(served_by::of_migration(&mut work.transaction, *migration_id).await?);
        }
        let users = visitors.iter().map(|authorization| &authorization.client.user);
        lock_all(&mut work, users.chain(away.iter().map(|mark| &mark.client.user))).await?;
        let mut ended = 0;
        for authorization in &visitors {
            ended +=
                usize::from(self.end_authorization(&mut work, authorization, reason, Telling::Silent).await?);
        }
        for mark in &away {
            ended += usize::from(self.end_mark(&mut work, mark, reason, Telling::Silent).await?);
        }
        self.commit(work).await?;
        Ok(ended)
    }
}

/// Locks users, in one order everywhere.
async fn lock_all<'a>(work: &mut Work, users: impl Iterator<Item = &'a User>) -> Result<(), Error> {
    let mut users: Vec<&User> = users.collect();
    users.sort_unstable();
    users.dedup();
    for user in users {
        work.lock(Lock::User(user)).await?;
    }
    Ok(())
}
