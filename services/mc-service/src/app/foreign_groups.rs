//! Affiliations to groups that another MC system owns: it is asked, and told (TS 23.280 10.8.3.2).

use std::collections::BTreeMap;

use mcx_federation::PeerCallError;
use mcx_proto::mcservice::v1 as proto;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, McServiceGroupId, McSystemId};
use tracing::Instrument;

use super::App;
use super::affiliation::Outcome;
use super::ending::id_at;
use super::partners::{hop, is_away, is_certificate_refusal};
use crate::domain::Rule;
use crate::domain::user::Authorization;
use crate::error::Error;
use crate::store::affiliations;
use crate::store::locks::Lock;
use crate::wire;

/// The most groups that one request may name.
const GROUPS_AT_ONCE: usize = 100;

impl App {
    /// Asks the MC system that owns groups to affiliate a client; an outcome for each, in the order asked for.
    pub(crate) async fn affiliate_at_home(
        &self,
        authorization: &Authorization,
        home: &McSystemId,
        groups: Vec<McServiceGroupId>,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(groups.len());
        for groups in groups.chunks(GROUPS_AT_ONCE) {
            let decided = self.ask_home(authorization, home, groups).await;
            let decided = decided.unwrap_or_else(|rule| vec![Err(rule); groups.len()]);
            let pairs = groups.iter().cloned().zip(decided);
            outcomes.extend(pairs.map(|(group, decided)| Outcome { group, decided }));
        }
        outcomes
    }

    async fn ask_home(
        &self,
        authorization: &Authorization,
        home: &McSystemId,
        groups: &[McServiceGroupId],
    ) -> Result<Vec<Result<Rule, Rule>>, Rule> {
        let client = &authorization.client;
        let id = id_at(home, client, authorization.visitor.as_ref());
        let channel = self.partner_channel(home).map_err(|error| {
            tracing::warn!(%home, %error, "the home of a group cannot be asked");
            match error {
                Error::Partner(mcx_federation::PartnerRefusal::NotYetKnown) => Rule::HomeOfGroupUnreachable,
                _ => Rule::RefusedByHomeOfGroup,
            }
        })?;
        let request = proto::FederationServiceAffiliateRequest {
            identity: Some(mcx_proto::types::v1::McServiceIdentity {
                mc_service: wire::service(client.user.mc_service),
                mc_service_id: id.to_string(),
            }),
            client_instance: client.instance.to_string(),
            group_ids: groups.iter().map(ToString::to_string).collect(),
            lease: wire::duration(self.config.authorization_lease),
            request_time: wire::time(self.clock.now()),
        };
        let step = procedure_step!(
            "10.8.3.2", 2, self.own, Entity::McService => *home, Entity::McService,
            "group affiliation request (server to server)", id
        );
        let answer =
            self.call_partner(&channel, request, |mut client, request| async move {
                client.affiliate(request).await
            })
            .instrument(step)
            .await
            .map_err(|error| of_home(&error, home))?;
        let is_for_these = answer.outcomes.len() == groups.len()
            && answer.outcomes.iter().zip(groups).all(|(outcome, group)| outcome.group_id == group.as_str());
        if !is_for_these {
            tracing::error!(hop = %hop(home), "the answer of the home of a group was thrown away");
            return Err(Rule::HomeOfGroupUnreachable);
        }
        let decided = answer.outcomes.iter().map(|outcome| {
            if outcome.affiliated {
                Ok(Rule::AffiliatedAtHomeOfGroup)
            } else {
                Err(Rule::RefusedByHomeOfGroup)
            }
        });
        Ok(decided.collect())
    }

    /// Renews affiliations at the homes of groups, with the lease of the authorization. One that its home does not want any more ends; one
    /// whose home is away stays for now.
    pub(crate) async fn renew_foreign_affiliations(&self, authorization: &Authorization) {
        if let Err(error) = self.try_to_renew(authorization).await {
            tracing::warn!(user = %authorization.client.user.id, %error, "affiliations are not renewed");
        }
    }

    async fn try_to_renew(&self, authorization: &Authorization) -> Result<(), Error> {
        let client = &authorization.client;
        let mut by_home: BTreeMap<McSystemId, Vec<McServiceGroupId>> = BTreeMap::new();
        for affiliation in affiliations::of_user(&self.database, &client.user).await? {
            if affiliation.client == *client && affiliation.home != self.own {
                by_home.entry(affiliation.home).or_default().push(affiliation.group);
            }
        }
        let mut refused = Vec::new();
        for (home, groups) in by_home {
            let outcomes = self.affiliate_at_home(authorization, &home, groups).await;
            let is_refused = |outcome: &Outcome| outcome.decided == Err(Rule::RefusedByHomeOfGroup);
            refused.extend(outcomes.into_iter().filter(is_refused).map(|outcome| outcome.group));
        }
        if refused.is_empty() {
            return Ok(());
        }
        let mut work = self.begin().await?;
        work.lock(Lock::User(&client.user)).await?;
        for group in &refused {
            affiliations::remove(&mut work.transaction, client, group).await?;
        }
        self.commit(work).await
    }
}

/// What an error of the home of a group means for an affiliation.
fn of_home(error: &PeerCallError, home: &McSystemId) -> Rule {
    tracing::warn!(hop = %hop(home), %error, "the home of a group did not affiliate");
    match error {
        PeerCallError::Status(status) if is_certificate_refusal(status) => Rule::RefusedByHomeOfGroup,
        PeerCallError::Status(status) if !is_away(mcx_runtime::error::decode_status(status).code) => {
            Rule::RefusedByHomeOfGroup
        }
        _ => Rule::HomeOfGroupUnreachable,
    }
}
