//! The primary's part of TS 23.280 10.1.4.3.2 (CSC-17): lets partners have the profiles of users who may migrate to them, when they ask
//! and, without being asked, whenever the profiles change.

use std::collections::BTreeMap;

use futures::future::join_all;
use mcx_federation::PeerChannel;
use mcx_proto::configuration::v1 as proto;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, McSystemId};
use prost::Message;
use tracing::Instrument;

use super::App;
use super::user_profiles::StoredProfiles;
use crate::client::sharing::ProfileSharingClient;
use crate::domain::user_profile::ServiceUser;
use crate::error::{Error, reason_name};
use crate::store::documents::{self, Kind};
use crate::store::shares::{self, Share};
use crate::store::users;
use crate::wire;
use crate::wire::document::user_profile_prefix;
use crate::wire::migration::shared_profiles_to_wire;

/// How many shares are taken at a time.
const TAKEN: i64 = 200;

/// Nobody else takes them for as long as so many requests to a partner may take, one of withdrawals and those with profiles: what a replica
/// took and stopped with is late by no more than that. Given a second time, a share changes nothing.
const REQUESTS_OF_LEASE: u32 = 5;

/// How many users one request names, and how many bytes it has, at most.
const USERS_PER_REQUEST: usize = 50;
const BYTES_PER_REQUEST: usize = 1 << 20;

/// Work for one partner that was put off, and why.
struct PutOff {
    why: String,
}

impl App {
    /// A partner asks for the profiles of a user.
    ///
    /// # Errors
    /// [`Error::MigrationNotPermitted`] where she may not migrate to exactly that partner, whether or not there is such a user.
    pub(crate) async fn release_profiles(
        &self,
        partner: &McSystemId,
        user: &ServiceUser,
    ) -> Result<proto::MigrationProfiles, Error> {
        let step = procedure_step!(
            "10.1.4.3.2", 3, self.own, Entity::ConfigurationManagement => *partner, Entity::ConfigurationManagement,
            "get MC service user profile response", user.id
        );
        let outcome = self.check_and_release(partner, user).instrument(step).await;
        let decision = match &outcome {
            Ok(_) => "RELEASED",
            Err(error) => reason_name(error.error_reason()),
        };
        // Who asks for whom stays to be seen, not least when it is refused.
        tracing::info!(target: "mcx::audit", %partner, mc_service = %user.mc_service, mc_service_id = %user.id, decision, "user profiles asked for by a partner");
        metrics::counter!("mcx_configuration_management_profile_releases_total", "partner" => partner.to_string(), "decision" => decision)
            .increment(1);
        outcome
    }

    async fn check_and_release(
        &self,
        partner: &McSystemId,
        user: &ServiceUser,
    ) -> Result<proto::MigrationProfiles, Error> {
        self.usable_partner(partner)?;
        self.limiter.count_profile_request(partner).await?;
        if !users::may_migrate(&self.database, user, partner).await? {
            return Err(Error::MigrationNotPermitted(partner.clone()));
        }
        self.profiles_for(partner, user).await
    }

    /// What a partner is to have of a user's profiles now.
    async fn profiles_for(
        &self,
        partner: &McSystemId,
        user: &ServiceUser,
    ) -> Result<proto::MigrationProfiles, Error> {
        // Read first: should the profiles change meanwhile, they are given again with the higher version.
        let version = users::version(&self.database, user).await?;
        let stored = documents::all(&self.database, Kind::UserProfile, &user_profile_prefix(user)).await?;
        let stored = StoredProfiles::read(stored, &self.own)?;
        Ok(shared_profiles_to_wire(user, version, &stored.profiles.for_partner(partner)))
    }

    /// Gives partners what is due; says whether there may be more.
    pub(crate) async fn push_due(&self) -> Result<bool, Error> {
        let lease = self.config.partner_timeout.saturating_mul(REQUESTS_OF_LEASE);
        let due = shares::take_due(&self.database, self.clock.now(), lease, TAKEN).await?;
        let is_full = i64::try_from(due.len()).is_ok_and(|count| count >= TAKEN);
        let mut by_partner: BTreeMap<McSystemId, Vec<Share>> = BTreeMap::new();
        for share in due {
            by_partner.entry(share.partner.clone()).or_default().push(share);
        }
        let work = by_partner.iter().map(|(partner, shares)| self.push_to(partner, shares));
        for outcome in join_all(work).await {
            outcome?;
        }
        Ok(is_full)
    }

    /// Gives one partner what is due. Once it does not answer the rest waits too.
    async fn push_to(&self, partner: &McSystemId, due: &[Share]) -> Result<(), Error> {
        let channel = self
            .partners
            .partner(partner)
            .and_then(|partner| partner.channel(Entity::ConfigurationManagement));
        let channel = match channel {
            Ok(channel) => channel,
            Err(refusal) => return self.put_off(due, &PutOff { why: refusal.to_string() }).await,
        };
        let (withdrawn, given): (Vec<Share>, Vec<Share>) =
            due.iter().cloned().partition(|share| share.is_withdrawn);
        if let Err(put_off) = self.push_withdrawals(partner, &channel, &withdrawn).await? {
            return self.put_off(due, &put_off).await;
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut pushed = 0;
        for share in &given {
            let profiles = self.profiles_for(partner, &share.user).await?;
            let size = profiles.encoded_len();
            if batch.len() >= USERS_PER_REQUEST || (!batch.is_empty() && bytes + size > BYTES_PER_REQUEST) {
                let full = std::mem::take(&mut batch);
                let users = full.len();
                bytes = 0;
                if let Err(put_off) = self.push_profiles(partner, &channel, full).await? {
                    return self.put_off(&given[pushed..], &put_off).await;
                }
                pushed += users;
            }
            bytes += size;
            batch.push((share.clone(), profiles));
        }
        if !batch.is_empty()
            && let Err(put_off) = self.push_profiles(partner, &channel, batch).await?
        {
            self.put_off(&given[pushed..], &put_off).await?;
        }
        Ok(())
    }

    async fn push_withdrawals(
        &self,
        partner: &McSystemId,
        channel: &PeerChannel,
        withdrawn: &[Share],
    ) -> Result<Result<(), PutOff>, Error> {
        if withdrawn.is_empty() {
            return Ok(Ok(()));
        }
        let withdrawals = withdrawn.iter().map(|share| proto::MigrationProfilesWithdrawal {
            primary_identity: Some(wire::service_user_to_wire(&share.user)),
            version: share.wanted_version.unsigned_abs(),
        });
        let withdrawals = withdrawals.collect();
        let timeout = self.config.partner_timeout;
        let answer = channel
            .call(timeout, |channel| ProfileSharingClient::new(channel, timeout).withdraw(withdrawals))
            .await;
        count_push(partner, "withdraw", answer.is_ok(), withdrawn.len());
        if let Err(error) = answer {
            return Ok(Err(PutOff { why: describe(&error) }));
        }
        self.done(withdrawn.to_vec()).await?;
        Ok(Ok(()))
    }

    /// The partner has what was wanted of these shares: noted in one transaction, since each one waits for the disk.
    async fn done(&self, mut shares: Vec<Share>) -> Result<(), Error> {
        // Users are locked in the same order by everybody.
        shares.sort_by(|one, other| one.user.cmp(&other.user));
        let mut transaction = self.database.begin().await?;
        for share in &shares {
            shares::done(&mut transaction, share).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn push_profiles(
        &self,
        partner: &McSystemId,
        channel: &PeerChannel,
        batch: Vec<(Share, proto::MigrationProfiles)>,
    ) -> Result<Result<(), PutOff>, Error> {
        let timeout = self.config.partner_timeout;
        let (shares, profiles): (Vec<Share>, Vec<proto::MigrationProfiles>) = batch.into_iter().unzip();
        let versions: Vec<u64> = profiles.iter().map(|profiles| profiles.version).collect();
        let first = shares.first().map(|share| share.user.id.to_string()).unwrap_or_default();
        let step = procedure_step!(
            "10.1.4.3.2", 2, self.own, Entity::ConfigurationManagement => *partner, Entity::ConfigurationManagement,
            "share MC service user profiles", first
        );
        let answer = channel
            .call(timeout, |channel| ProfileSharingClient::new(channel, timeout).share(profiles))
            .instrument(step)
            .await;
        count_push(partner, "share", answer.is_ok(), shares.len());
        let refusals = match answer {
            Ok(refusals) => refusals,
            Err(error) => return Ok(Err(PutOff { why: describe(&error) })),
        };
        let mut taken = Vec::with_capacity(shares.len());
        for (at, (share, version)) in shares.into_iter().zip(versions).enumerate() {
            let refusal =
                refusals.iter().find(|refusal| usize::try_from(refusal.index).is_ok_and(|index| index == at));
            match refusal {
                Some(refusal) => {
                    let why = format!("{}: {}", reason_name(refusal.reason()), refusal.description);
                    self.put_off(&[share], &PutOff { why }).await?;
                }
                None => {
                    let wanted_version = i64::try_from(version).unwrap_or(i64::MAX);
                    taken.push(Share { wanted_version, ..share });
                }
            }
        }
        self.done(taken).await?;
        Ok(Ok(()))
    }

    /// Tries again later: the longer, the more often it was in vain.
    async fn put_off(&self, due: &[Share], put_off: &PutOff) -> Result<(), Error> {
        for share in due {
            let exponent = u32::try_from(share.attempts.clamp(1, 31) - 1).unwrap_or_default();
            let wait = self.config.share_retry_min.saturating_mul(1 << exponent);
            let wait = wait.min(self.config.share_retry_max);
            tracing::warn!(partner = %share.partner, mc_service = %share.user.mc_service, why = put_off.why, ?wait, "a partner cannot be given user profiles, trying again");
            shares::postpone(&self.database, share, self.clock.now().saturating_add(wait)).await?;
        }
        Ok(())
    }
}

fn count_push(partner: &McSystemId, kind: &'static str, is_ok: bool, users: usize) {
    let result = if is_ok { "ok" } else { "failed" };
    metrics::counter!("mcx_configuration_management_profile_pushes_total", "partner" => partner.to_string(), "kind" => kind, "result" => result)
        .increment(users as u64);
}

/// A failed call in one line, with its cause.
fn describe(error: &mcx_federation::PeerCallError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
