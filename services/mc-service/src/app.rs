//! The use cases of the MC service server: the only place where rules, store and other entities meet.
//!
//! | room | does | TS 23.280 |
//! | --- | --- | --- |
//! | [`authorization`] | begins, keeps and ends the service of clients | 10.1.1.1, 10.1.4.6, 10.6.1 |
//! | [`migration`] | the partner's part of migration service authorization | 10.6.3 |
//! | [`served`] | the primary's part of it | 10.6.3 |
//! | [`affiliation`], [`foreign_groups`] | affiliations, here and at the home of a group | 10.8 |
//! | [`activation`] | functional aliases | 10.13 |
//! | [`communication`] | may she call? | 10.1.1.1 |
//! | [`operators`] | lists, ejects, recalls, ends migrations | 10.17.5 |
//! | [`ending`] | what the end of an authorization takes along | |
//! | [`work`] | one transaction with the changes and notices it makes | |
//! | [`notices`] | tells other MC systems, however often it takes | |
//! | [`partners`] | calls to other MC systems and what their errors mean | |
//! | [`status`] | tells clients what changes | |
//! | [`upkeep`] | what is done beside the requests | |

pub(crate) mod activation;
pub(crate) mod affiliation;
pub(crate) mod authorization;
pub(crate) mod communication;
mod ending;
mod foreign_groups;
pub(crate) mod migration;
mod notices;
pub(crate) mod operators;
mod partners;
pub(crate) mod served;
pub(crate) mod status;
mod upkeep;
mod work;

use std::sync::Arc;

use mcx_federation::PartnerDirectory;
use mcx_store::Database;
use mcx_store::changes::ChangeFeed;
use mcx_types::{Clock, Entity, FunctionalAlias, McServiceGroupId, McServiceId, McSystemId, ProfileIndex};
use tokio::sync::Notify;

use crate::config::McServiceConfig;
use crate::domain::alias::AliasForUser;
use crate::domain::group::GroupForMember;
use crate::domain::profile::{AgreedMigration, ProfileAnswer};
use crate::domain::user::User;
use crate::domain::{Rule, rule_name};
use crate::error::{Error, Hop};
use crate::sources::{AliasSource, GroupSource, ProfileSource, SourceError};

/// Everything that the use cases stand on. Clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<AppParts>);

/// The parts of [`App`].
pub(crate) struct AppParts {
    /// This MC system.
    pub(crate) own: McSystemId,
    pub(crate) database: Database,
    pub(crate) profiles: Arc<dyn ProfileSource>,
    pub(crate) groups: Arc<dyn GroupSource>,
    pub(crate) aliases: Arc<dyn AliasSource>,
    pub(crate) partners: PartnerDirectory,
    pub(crate) feed: ChangeFeed,
    /// Woken when a notice was left.
    pub(crate) notices_left: Notify,
    pub(crate) config: McServiceConfig,
    pub(crate) clock: Arc<dyn Clock>,
}

impl App {
    pub(crate) fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }

    async fn profile(&self, user: &User, index: Option<ProfileIndex>) -> Result<ProfileAnswer, Error> {
        let answer = self.in_time(self.profiles.effective_profile(user, index)).await;
        answer.map_err(|error| self.of_source(error, Entity::ConfigurationManagement))
    }

    async fn agreed_migration(
        &self,
        user: &User,
        partner: &McSystemId,
    ) -> Result<Option<AgreedMigration>, Error> {
        let answer = self.in_time(self.profiles.agreed_migration(user, partner)).await;
        answer.map_err(|error| self.of_source(error, Entity::ConfigurationManagement))
    }

    async fn group(
        &self,
        group: &McServiceGroupId,
        id: &McServiceId,
    ) -> Result<Option<GroupForMember>, Error> {
        let answer = self.in_time(self.groups.group_for_member(group, id)).await;
        answer.map_err(|error| self.of_source(error, Entity::GroupManagement))
    }

    async fn alias(&self, alias: &FunctionalAlias, id: &McServiceId) -> Result<Option<AliasForUser>, Error> {
        let answer = self.in_time(self.aliases.alias_for_user(alias, id)).await;
        answer.map_err(|error| self.of_source(error, Entity::FunctionalAliasManagement))
    }

    /// The answer of another entity of this MC system, if it comes in time.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let limit = self.config.source_timeout;
        let late = |_| SourceError::Unreachable(format!("no answer within {limit:?}"));
        tokio::time::timeout(limit, answer).await.map_err(late)?
    }

    fn of_source(&self, error: SourceError, entity: Entity) -> Error {
        let hop = Hop { mc_system_id: self.own.clone(), entity };
        match error {
            SourceError::Unreachable(_) => {
                tracing::warn!(%hop, %error, "an entity of this mc system did not answer");
                Error::SourceUnreachable(hop)
            }
            SourceError::Failed(detail) => Error::Internal(format!("{hop}: {detail}")),
        }
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

/// Counts a decision by its rule, for `mcx_mc_service_decisions_total`.
fn count_decision(procedure: &'static str, decided: Result<Rule, Rule>) {
    let (decision, rule) = match decided {
        Ok(rule) => ("allowed", rule),
        Err(rule) => ("refused", rule),
    };
    metrics::counter!(
        "mcx_mc_service_decisions_total",
        "procedure" => procedure, "decision" => decision, "rule" => rule_name(rule)
    )
    .increment(1);
}

/// Counts the outcome of a use case that a rule may refuse.
fn count_outcome<T>(procedure: &'static str, outcome: &Result<T, Error>, allowed: impl Fn(&T) -> Rule) {
    match outcome {
        Ok(value) => count_decision(procedure, Ok(allowed(value))),
        Err(error) => {
            if let Some(rule) = error.rule() {
                count_decision(procedure, Err(rule));
            }
        }
    }
}
