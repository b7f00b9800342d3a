//! The partner's part of TS 23.280 10.1.4.3.2: keeps what primary MC systems give of visitors, asks for what is missing or too old, and
//! serves it adapted to the own policy.

use std::time::Duration;

use mcx_federation::{ConnectFailure, PeerCallError, connect_failure};
use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::watch_configuration_response::Event;
use mcx_runtime::error::decode_status;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, McSystemId, ProfileIndex, Timestamp};
use prost::Message;
use tonic::Code;
use tracing::Instrument;

use super::App;
use super::documents::read_policy;
use super::mutation::Mutation;
use super::user_profiles::read_profile;
use super::watch::{news, user_topic};
use crate::client::sharing::ProfileSharingClient;
use crate::domain::adaptation::{VisitorTerms, adapt_all};
use crate::domain::user_profile::UserProfile;
use crate::domain::visitor_policy::VisitorPolicy;
use crate::error::{Error, Hop};
use crate::store::documents::{self, Kind, Stored};
use crate::store::visitors::{self, Original, Visitor};
use crate::wire;
use crate::wire::document::Document;
use crate::wire::migration::{SharedProfiles, Withdrawal};

/// What a primary says of a user who may not migrate here; any other refusal is about the two systems, not about her.
const NOT_PERMITTED: &str = "MIGRATION_NOT_PERMITTED";

impl App {
    /// A visitor's profiles as they are served, asked for again where they are missing or too old. When her primary MC system cannot be
    /// asked, those that are here go on being valid.
    pub(crate) async fn fresh_profiles(&self, visitor: Visitor) -> Result<Vec<proto::UserProfile>, Error> {
        let now = self.clock.now();
        let is_missing = visitor.share_version == 0;
        if is_missing || visitor.refresh_at <= now {
            match self.pull(&visitor).await {
                Ok(()) => {}
                // A primary that refuses has taken back what it gave.
                Err(Error::PrimaryRefused { hop, peer_reason }) if peer_reason == NOT_PERMITTED => {
                    self.forget_given(&visitor).await?;
                    return Err(Error::PrimaryRefused { hop, peer_reason });
                }
                Err(error) if is_missing || error.is_ours() => return Err(error),
                Err(error) => {
                    tracing::warn!(primary = %visitor.primary, %error, "a visitor's profiles are served although they are old");
                    metrics::counter!("mcx_configuration_management_stale_profiles_total", "primary" => visitor.primary.to_string())
                        .increment(1);
                    let retry_at = now.saturating_add(self.config.visitor_profile_retry);
                    visitors::postpone_refresh(&self.database, &visitor, retry_at).await?;
                }
            }
        }
        // What was pulled may be newer than what was read of the visitor.
        match visitors::find(&self.database, &visitor.user, now).await? {
            Some(visitor) => self.adapted_profiles(&visitor).await,
            None => Err(Error::NoUserProfile { user: visitor.user }),
        }
    }

    /// A visitor's profiles as they are served, as far as they are here.
    pub(crate) async fn adapted_profiles(&self, visitor: &Visitor) -> Result<Vec<proto::UserProfile>, Error> {
        let policy = documents::find(&self.database, Kind::VisitorPolicy, visitor.primary.as_str()).await?;
        let originals = visitors::profiles(&self.database, visitor).await?;
        self.present_adapted(visitor, &originals, policy.as_ref())
    }

    async fn adapted_profiles_in(
        &self,
        mutation: &mut Mutation,
        visitor: &Visitor,
    ) -> Result<Vec<proto::UserProfile>, Error> {
        let transaction = &mut mutation.transaction;
        let policy = documents::find_in(transaction, Kind::VisitorPolicy, visitor.primary.as_str()).await?;
        let originals = visitors::profiles_in(transaction, visitor).await?;
        self.present_adapted(visitor, &originals, policy.as_ref())
    }

    /// Step 4: adapts what the primary gave to the policy that holds now.
    fn present_adapted(
        &self,
        visitor: &Visitor,
        originals: &[Original],
        policy_document: Option<&Stored>,
    ) -> Result<Vec<proto::UserProfile>, Error> {
        let step = procedure_step!(
            "10.1.4.3.2", 4, self.own, Entity::ConfigurationManagement => self.own, Entity::ConfigurationManagement,
            "adapt the user profile to the local policy", visitor.user.id
        );
        let _entered = step.entered();
        let (policy, policy_version) = read_policy(policy_document, &visitor.primary, &self.own)?;
        let profiles = originals
            .iter()
            .map(|original| read_profile(&original.content, &visitor.primary))
            .collect::<Result<Vec<UserProfile>, Error>>()?;
        let changed_at = originals.iter().map(|original| original.received_at);
        let changed_at = changed_at.chain(policy_document.map(|policy| policy.updated_at.as_micros())).max();
        let facts = Facts {
            own: &self.own,
            visitor,
            policy: &policy,
            // Both only go up, and what is served depends on both.
            etag: format!("{}-{policy_version}", visitor.share_version),
            version: (visitor.share_version + policy_version).unsigned_abs(),
            changed_at: Timestamp::from_micros(changed_at.unwrap_or_default()),
        };
        Ok(facts.present(&profiles))
    }

    /// Steps 2 and 3: asks the primary for a visitor's profiles, and keeps them.
    async fn pull(&self, visitor: &Visitor) -> Result<(), Error> {
        let primary = &visitor.primary;
        let hop = Hop::configuration_management(primary);
        let channel = self
            .usable_partner(primary)?
            .channel(Entity::ConfigurationManagement)
            .map_err(|refusal| Error::PartnerNotUsable { mc_system_id: primary.clone(), refusal })?;
        let timeout = self.config.partner_timeout;
        let user = visitor.primary_user();
        let step = procedure_step!(
            "10.1.4.3.2", 2, self.own, Entity::ConfigurationManagement => *primary, Entity::ConfigurationManagement,
            "get MC service user profile request", user.id
        );
        let answer = channel
            .call(timeout, |channel| async {
                ProfileSharingClient::new(channel, timeout).get(&user, primary).await
            })
            .instrument(step)
            .await;
        let outcome = match answer {
            Ok(Ok(shared)) if shared.user == user => self.accept(primary, shared).await,
            Ok(Ok(_)) => {
                Err(unreachable(hop, self.config.visitor_profile_retry, "it answered for another user"))
            }
            Ok(Err(violations)) => {
                tracing::error!(%hop, ?violations, "the primary's user profiles cannot be understood");
                Err(unreachable(hop, self.config.visitor_profile_retry, "its answer is malformed"))
            }
            Err(error) => Err(of_primary(error, hop, self.config.visitor_profile_retry)),
        };
        let result = if outcome.is_ok() { "ok" } else { "failed" };
        metrics::counter!("mcx_configuration_management_profile_pulls_total", "primary" => primary.to_string(), "result" => result)
            .increment(1);
        outcome
    }

    /// Keeps what a primary gives of a visitor, unless it is older than what is here, and tells her watchers what is different for her.
    ///
    /// # Errors
    /// [`Error::VisitorUnknown`] where that primary has no such visitor here.
    pub(crate) async fn accept(&self, primary: &McSystemId, shared: SharedProfiles) -> Result<(), Error> {
        let mut mutation = self.begin_work(Hop::configuration_management(primary).to_string()).await?;
        self.accept_in(&mut mutation, primary, shared).await?;
        self.commit_work(mutation).await
    }

    /// Keeps what a primary gives of several visitors as [`App::accept`] does, in one transaction, since each one waits for the disk. Says
    /// what came of each, in the order given; the outer error is that of this service, and nothing is kept then.
    pub(crate) async fn accept_all(
        &self,
        primary: &McSystemId,
        shared: Vec<SharedProfiles>,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let mut mutation = self.begin_work(Hop::configuration_management(primary).to_string()).await?;
        let mut shared: Vec<(usize, SharedProfiles)> = shared.into_iter().enumerate().collect();
        // Visitors are locked in the same order by everybody.
        shared.sort_by(|(_, one), (_, other)| one.user.cmp(&other.user));
        let mut outcomes = Vec::with_capacity(shared.len());
        for (at, shared) in shared {
            match self.accept_in(&mut mutation, primary, shared).await {
                Err(error) if error.is_ours() => return Err(error),
                outcome => outcomes.push((at, outcome)),
            }
        }
        self.commit_work(mutation).await?;
        outcomes.sort_by_key(|(at, _)| *at);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// What is refused has changed nothing.
    async fn accept_in(
        &self,
        mutation: &mut Mutation,
        primary: &McSystemId,
        shared: SharedProfiles,
    ) -> Result<(), Error> {
        let transaction = &mut mutation.transaction;
        let SharedProfiles { user, version, profiles } = shared;
        let visitor = visitors::lock_by_primary(transaction, user.mc_service, primary, &user.id).await?;
        let now = mutation.now();
        let visitor = visitor.filter(|visitor| visitor.valid_until.is_none_or(|until| now < until));
        let visitor = visitor.ok_or_else(|| Error::VisitorUnknown(primary.clone()))?;
        if version < visitor.share_version {
            return Ok(());
        }
        let before = self.adapted_profiles_in(mutation, &visitor).await?;
        let originals: Vec<(i64, Vec<u8>)> = profiles
            .iter()
            .map(|profile| (i64::from(profile.index.0), wire::user_profile::encode(profile).encode_to_vec()))
            .collect();
        visitors::replace_profiles(&mut mutation.transaction, &visitor, &originals, now).await?;
        let refresh_at = now.saturating_add(self.config.visitor_profile_max_age);
        visitors::set_received(&mut mutation.transaction, &visitor, version, refresh_at).await?;
        let visitor = Visitor { share_version: version, ..visitor };
        let after = self.adapted_profiles_in(mutation, &visitor).await?;
        self.tell_difference(mutation, &visitor, &before, &after);
        Ok(())
    }

    /// Forgets what a primary gave of visitors up to a version.
    pub(crate) async fn withdraw(
        &self,
        primary: &McSystemId,
        mut withdrawals: Vec<Withdrawal>,
    ) -> Result<(), Error> {
        let mut mutation = self.begin_work(Hop::configuration_management(primary).to_string()).await?;
        withdrawals.sort_by(|one, other| {
            (one.mc_service, &one.primary_id).cmp(&(other.mc_service, &other.primary_id))
        });
        for withdrawal in withdrawals {
            let Withdrawal { mc_service, primary_id, version } = withdrawal;
            let transaction = &mut mutation.transaction;
            let visitor = visitors::lock_by_primary(transaction, mc_service, primary, &primary_id).await?;
            if let Some(visitor) = visitor.filter(|visitor| visitor.share_version <= version) {
                self.forget_profiles(&mut mutation, &visitor, version).await?;
            }
        }
        self.commit_work(mutation).await
    }

    /// Forgets what the primary gave of a visitor, since it refuses to give it again.
    async fn forget_given(&self, visitor: &Visitor) -> Result<(), Error> {
        let mut mutation =
            self.begin_work(Hop::configuration_management(&visitor.primary).to_string()).await?;
        let (primary, user) = (&visitor.primary, visitor.primary_user());
        let found =
            visitors::lock_by_primary(&mut mutation.transaction, user.mc_service, primary, &user.id).await?;
        // What was given since it was asked is not what it refuses.
        if let Some(found) = found.filter(|found| found.share_version == visitor.share_version) {
            self.forget_profiles(&mut mutation, &found, found.share_version).await?;
        }
        self.commit_work(mutation).await
    }

    async fn forget_profiles(
        &self,
        mutation: &mut Mutation,
        visitor: &Visitor,
        version: i64,
    ) -> Result<(), Error> {
        let before = self.adapted_profiles_in(mutation, visitor).await?;
        let now = mutation.now();
        visitors::replace_profiles(&mut mutation.transaction, visitor, &[], now).await?;
        visitors::set_received(&mut mutation.transaction, visitor, version, Timestamp::from_micros(0))
            .await?;
        self.tell_difference(mutation, visitor, &before, &[]);
        Ok(())
    }

    /// Removes a visitor; her watchers are told that she has no profile any more.
    pub(crate) async fn remove_visitor(
        &self,
        mutation: &mut Mutation,
        visitor: &Visitor,
    ) -> Result<(), Error> {
        let before = self.adapted_profiles_in(mutation, visitor).await?;
        visitors::delete(&mut mutation.transaction, visitor).await?;
        self.tell_difference(mutation, visitor, &before, &[]);
        Ok(())
    }

    /// Tells watchers of visitors for whom the policy has changed; says whether there may be more.
    pub(crate) async fn tell_policy_news(&self, limit: i64) -> Result<bool, Error> {
        let mut mutation = self.begin_work(String::new()).await?;
        let visitors = visitors::take_policy_news(&mut mutation.transaction, limit).await?;
        for visitor in &visitors {
            let profiles = self.adapted_profiles_in(&mut mutation, visitor).await?;
            self.tell_difference(&mut mutation, visitor, &[], &profiles);
        }
        let is_full = i64::try_from(visitors.len()).is_ok_and(|count| count >= limit);
        if !visitors.is_empty() {
            self.commit_work(mutation).await?;
        }
        Ok(is_full)
    }

    /// Removes visitors whose time is over; says whether there may be more.
    pub(crate) async fn remove_expired_visitors(&self, limit: i64) -> Result<bool, Error> {
        let mut mutation = self.begin_work(String::new()).await?;
        let now = mutation.now();
        let expired = visitors::expired(&mut mutation.transaction, now, limit).await?;
        for visitor in &expired {
            self.remove_visitor(&mut mutation, visitor).await?;
        }
        let is_full = i64::try_from(expired.len()).is_ok_and(|count| count >= limit);
        if !expired.is_empty() {
            self.commit_work(mutation).await?;
        }
        Ok(is_full)
    }

    fn tell_difference(
        &self,
        mutation: &mut Mutation,
        visitor: &Visitor,
        before: &[proto::UserProfile],
        after: &[proto::UserProfile],
    ) {
        for profile in after {
            let old = before.iter().find(|old| old.profile_index == profile.profile_index);
            if old.is_some_and(|old| has_same_content(old, profile)) {
                continue;
            }
            let event = Event::UserProfile(profile.clone());
            let (topic, key) = (user_topic(&visitor.user), profile.key());
            mutation.news.push(news(topic, Kind::UserProfile, key, profile.version, event));
        }
        let is_gone = |old: &&proto::UserProfile| {
            after.iter().all(|profile| profile.profile_index != old.profile_index)
        };
        for old in before.iter().filter(is_gone) {
            if let Ok(index) = ProfileIndex::try_from(old.profile_index) {
                let version = i64::try_from(old.version).unwrap_or(i64::MAX).saturating_add(1);
                self.tell_removal(mutation, &visitor.user, index, version);
            }
        }
    }
}

/// What a visitor's profiles are made of, beside what her primary gave.
struct Facts<'a> {
    own: &'a McSystemId,
    visitor: &'a Visitor,
    policy: &'a VisitorPolicy,
    etag: String,
    version: u64,
    changed_at: Timestamp,
}

impl Facts<'_> {
    fn present(&self, originals: &[UserProfile]) -> Vec<proto::UserProfile> {
        let visitor = self.visitor;
        let terms = VisitorTerms { partner_id: visitor.user.id.clone(), own: self.own.clone() };
        let adapted = adapt_all(originals, &terms, self.policy);
        let messages = adapted.into_iter().map(|(profile, adaptations)| {
            let mut message = wire::user_profile::encode(&profile);
            message.set_versioning(self.etag.clone(), self.version, wire::time(self.changed_at));
            message.visitor = Some(proto::VisitorOrigin {
                migration_id: visitor.migration_id.to_string(),
                primary_mc_system_id: visitor.primary.to_string(),
                primary_mc_service_id: visitor.primary_id.to_string(),
                adaptations: adaptations.into_iter().map(wire::user_profile::adaptation).collect(),
            });
            message
        });
        messages.collect()
    }
}

/// Whether two states of a profile differ in nothing but the count of changes.
fn has_same_content(one: &proto::UserProfile, other: &proto::UserProfile) -> bool {
    let bare = |profile: &proto::UserProfile| {
        let mut bare = profile.clone();
        bare.set_versioning(String::new(), 0, None);
        bare
    };
    bare(one) == bare(other)
}

fn unreachable(hop: Hop, retry_after: Duration, why: &'static str) -> Error {
    tracing::warn!(%hop, why, "the primary mc system gives no user profiles");
    Error::PrimarySystemUnreachable { hop, retry_after }
}

/// What the primary's error means here. Its status is never passed on: it becomes ours, with the hop that failed.
fn of_primary(error: PeerCallError, hop: Hop, pause: Duration) -> Error {
    let status = match error {
        PeerCallError::BreakerOpen(open) => {
            return Error::PrimarySystemUnreachable { hop, retry_after: open.retry_after };
        }
        PeerCallError::TimedOut => return unreachable(hop, pause, "it did not answer in time"),
        PeerCallError::Status(status) => status,
    };
    if connect_failure(&status).is_some_and(|failure| failure > ConnectFailure::Unreachable) {
        tracing::error!(%hop, error = %status.message(), "the primary and this mc system do not accept each other's certificates");
        return Error::PrimaryRefused { hop, peer_reason: "CERTIFICATE_REFUSED".to_owned() };
    }
    let remote = decode_status(&status);
    tracing::warn!(%hop, error = %remote, "the primary mc system gives no user profiles");
    match remote.code {
        Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition => {
            Error::PrimaryRefused { hop, peer_reason: remote.reason }
        }
        _ => Error::PrimarySystemUnreachable { hop, retry_after: remote.retry_after.unwrap_or(pause) },
    }
}
