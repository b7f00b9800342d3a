//! May she call? (TS 23.280 10.1.1.1.) Decided at the time of asking, from what is in force in this MC system.

use mcx_types::{FunctionalAlias, McServiceGroupId, McServiceId, McSystemId, ProfileIndex};
use uuid::Uuid;

use super::{App, count_decision};
use crate::domain::communication::{CommunicationKind, call_alias, call_group, call_user, caller_profile};
use crate::domain::profile::EffectiveProfile;
use crate::domain::user::{Authorization, User};
use crate::domain::{Rule, rule_name};
use crate::error::Error;
use crate::store::{affiliations, authorizations, served_by};

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    User(McServiceId),
    Group(McServiceGroupId),
    Alias(FunctionalAlias),
}

/// Who wants to call whom.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) caller: User,
    pub(crate) client_instance: Option<Uuid>,
    pub(crate) kind: CommunicationKind,
    pub(crate) target: Target,
}

/// Where a user to be called is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reachability {
    ServedHere,
    ServedBy(McSystemId, McServiceId),
    NotServedHere,
}

/// What was decided, and by what.
#[derive(Debug)]
pub(crate) struct Decided {
    /// The rule that allows, or the one that refuses.
    pub(crate) rule: Result<Rule, Rule>,
    pub(crate) explanation: String,
    pub(crate) profile: Option<(ProfileIndex, String)>,
    pub(crate) group_etag: Option<String>,
    pub(crate) called: Vec<(McServiceId, Reachability)>,
}

/// What a rule said of a target, and whom it lets be called.
struct Ruling {
    rule: Result<Rule, Rule>,
    group_etag: Option<String>,
    called: Vec<McServiceId>,
}

impl App {
    /// Decides whether a communication may begin.
    ///
    /// # Errors
    /// [`Error::SourceUnreachable`], [`Error::StoreUnavailable`]; a refusal is no error.
    pub(crate) async fn authorize_communication(&self, question: &Question) -> Result<Decided, Error> {
        let now = self.clock.now();
        let present = authorizations::of_user(&self.database, &question.caller, now).await?;
        let chosen = match question.client_instance {
            Some(instance) => {
                present.into_iter().find(|authorization| authorization.client.instance == instance)
            }
            None => present.into_iter().max_by_key(|authorization| authorization.refreshed_at),
        };
        let Some(authorization) = chosen else {
            return Ok(decided(question, Err(Rule::CallerNotAuthorized), None));
        };
        let index = authorization.profile_index;
        let answer = self.profile(&question.caller, Some(index)).await?;
        let effective = match caller_profile(answer) {
            Ok(effective) => effective,
            Err(rule) => return Ok(decided(question, Err(rule), None)),
        };
        if effective.profile.visitor != authorization.visitor {
            // She became a visitor, another one, or none, since she was authorized.
            return Ok(decided(question, Err(Rule::ProfileGone), None));
        }
        let ruling = self.rule_on(question, &authorization, &effective).await?;
        let mut decision =
            decided(question, ruling.rule, Some((effective.profile.index, effective.profile.etag)));
        decision.group_etag = ruling.group_etag;
        for called in ruling.called {
            let user = User { mc_service: question.caller.mc_service, id: called };
            let reachability = self.reachability(&user).await?;
            decision.called.push((user.id, reachability));
        }
        Ok(decision)
    }

    async fn rule_on(
        &self,
        question: &Question,
        authorization: &Authorization,
        effective: &EffectiveProfile,
    ) -> Result<Ruling, Error> {
        let caller = &question.caller;
        match &question.target {
            Target::User(called) => {
                let rule = call_user(&caller.id, effective, question.kind, called);
                let called = rule.is_ok().then(|| called.clone()).into_iter().collect();
                Ok(Ruling { rule, group_etag: None, called })
            }
            Target::Alias(alias) => {
                let holders = self.holders(caller.mc_service, alias).await?;
                let ruled = call_alias(&caller.id, effective, question.kind, &holders);
                let (rule, called) =
                    ruled.map_or_else(|rule| (Err(rule), Vec::new()), |(rule, called)| (Ok(rule), called));
                Ok(Ruling { rule, group_etag: None, called })
            }
            Target::Group(group) => {
                let (found, affiliated) = tokio::try_join!(self.group(group, &caller.id), async {
                    Ok(affiliations::of_user(&self.database, caller).await?)
                })?;
                let is_affiliated = affiliated.iter().any(|affiliation| {
                    affiliation.client == authorization.client && affiliation.group == *group
                });
                let rule = call_group(
                    &self.own,
                    caller.mc_service,
                    effective,
                    question.kind,
                    group,
                    found.as_ref(),
                    is_affiliated,
                );
                let group_etag = found.map(|found| found.group.etag);
                Ok(Ruling { rule, group_etag, called: Vec::new() })
            }
        }
    }

    async fn reachability(&self, user: &User) -> Result<Reachability, Error> {
        let now = self.clock.now();
        if !authorizations::of_user(&self.database, user, now).await?.is_empty() {
            return Ok(Reachability::ServedHere);
        }
        let away = served_by::of_user(&self.database, user, now).await?;
        let latest = away.into_iter().max_by_key(|mark| mark.authorized_at);
        Ok(latest.map_or(Reachability::NotServedHere, |mark| {
            Reachability::ServedBy(mark.partner, mark.partner_id)
        }))
    }
}

fn decided(
    question: &Question,
    rule: Result<Rule, Rule>,
    profile: Option<(ProfileIndex, String)>,
) -> Decided {
    count_decision("communication", rule);
    Decided { rule, explanation: explain(question, rule), profile, group_etag: None, called: Vec::new() }
}

/// The rule in words, with what it was applied to.
fn explain(question: &Question, rule: Result<Rule, Rule>) -> String {
    let caller = &question.caller.id;
    let target = match &question.target {
        Target::User(id) => id.to_string(),
        Target::Group(group) => group.to_string(),
        Target::Alias(alias) => alias.to_string(),
    };
    let named = match rule {
        Ok(rule) | Err(rule) => rule,
    };
    match named {
        Rule::PrivateCallToAnybody => format!("the user profile of {caller} lets her call anybody"),
        Rule::PrivateCallToListedUser => format!("the user profile of {caller} lists {target}"),
        Rule::AffiliatedMember => format!("{caller} is an affiliated member of {target}"),
        Rule::CallerNotAuthorized => {
            format!("{caller} is not authorized for {} in this mc system now", question.caller.mc_service)
        }
        Rule::ProfileGone => {
            format!("the user profile with which {caller} was authorized is not here any more")
        }
        Rule::ProfileIsForMigration => {
            format!("the user profile of {caller} is to be used at partner MC systems only")
        }
        Rule::CallerProfileDisabled => format!("the user profile of {caller} is disabled"),
        Rule::EmergencyNotAllowed => format!("the user profile of {caller} has no emergency calls"),
        Rule::EmergencyNotOffered => {
            "the service configuration has no emergency calls of this kind".to_owned()
        }
        Rule::PrivateCallNotOffered => "the service configuration has no private calls".to_owned(),
        Rule::TargetIsCaller => format!("{caller} would call herself"),
        Rule::PrivateCallNotAllowed => format!("the user profile of {caller} has no private calls"),
        Rule::TargetNotListed => format!("the user profile of {caller} does not list {target}"),
        Rule::GroupNotInProfile => format!("the user profile of {caller} does not name {target}"),
        Rule::GroupUnknown => format!("there is no group {target} in this mc system"),
        Rule::NotAMember => format!("{caller} is not a member of {target}"),
        Rule::GroupDisabled => format!("{target} is disabled"),
        Rule::ServiceNotOfGroup => format!("{target} does not have {}", question.caller.mc_service),
        Rule::GroupWithoutVisitors => format!("{target} does not admit visitors"),
        Rule::NotAffiliated => format!("{caller} is not affiliated to {target}"),
        Rule::ListensOnly => format!("{caller} may only listen in {target}"),
        Rule::EmergencyNotAllowedInGroup => format!("{target} has no emergency calls"),
        Rule::AliasNotActive => format!("nobody has activated {target}"),
        other => rule_name(other).to_owned(),
    }
}
