//! What the end of an authorization takes along: affiliations, functional aliases, the mark in the other MC system.

use std::collections::BTreeMap;

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_types::{McServiceGroupId, McServiceId, McSystemId, Timestamp};

use super::App;
use super::work::Work;
use crate::domain::user::{Affiliation, Authorization, Client, ServedBy, Visitor};
use crate::domain::{EndReason, end_reason_name};
use crate::error::Error;
use crate::store::notices::NoticeKind;
use crate::store::{activations, affiliations, authorizations, partner_affiliations, served_by};
use crate::wire;

/// Whether the other MC system is told of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// It is told, now or as soon as it is there.
    Told,
    /// It knows, or hears it from migration management.
    Silent,
}

impl App {
    /// Ends the authorization of a client, whose user's lock is held; says whether it was there.
    pub(crate) async fn end_authorization(
        &self,
        work: &mut Work,
        authorization: &Authorization,
        reason: EndReason,
        primary: Telling,
    ) -> Result<bool, Error> {
        let client = &authorization.client;
        if !self.remove_authorization(work, authorization, work.now).await? {
            return Ok(false);
        }
        if primary == Telling::Told {
            self.tell_primary(work, authorization, reason).await?;
        }
        if authorizations::of_user_in(&mut work.transaction, &client.user, work.now).await?.is_empty() {
            activations::remove_all(&mut work.transaction, &client.user).await?;
        }
        work.tell(&client.user, Event::Ended(wire::ended(client, reason, work.now)));
        tracing::info!(
            user = %client.user.id, mc_service = %client.user.mc_service, client = %client.instance,
            reason = end_reason_name(reason), "service ended"
        );
        count_end(reason, if authorization.visitor.is_some() { "visitor" } else { "at_home" });
        Ok(true)
    }

    /// Tells the primary MC system of a visitor that she is not served here any more.
    pub(crate) async fn tell_primary(
        &self,
        work: &mut Work,
        authorization: &Authorization,
        reason: EndReason,
    ) -> Result<(), Error> {
        let Some(visitor) = &authorization.visitor else { return Ok(()) };
        let client = &authorization.client;
        let request = proto::FederationServiceDeauthorizeMigrationServiceRequest {
            identity: Some(wire::migrated(&client.user, &visitor.primary_id, &client.user.id)),
            client_instance: client.instance.to_string(),
            reason: reason.into(),
            authorization_id: authorization.id.to_string(),
        };
        work.notify(&visitor.primary, NoticeKind::Deauthorize, &request).await
    }

    /// Removes an authorization with its affiliations; homes of groups of other MC systems are told that what was asked for until
    /// `until` has ended.
    pub(crate) async fn remove_authorization(
        &self,
        work: &mut Work,
        authorization: &Authorization,
        until: Timestamp,
    ) -> Result<bool, Error> {
        let client = &authorization.client;
        let affiliated = affiliations::of_user_in(&mut work.transaction, &client.user).await?;
        if !authorizations::remove(&mut work.transaction, authorization.id).await? {
            return Ok(false);
        }
        let ended: Vec<Affiliation> =
            affiliated.into_iter().filter(|affiliation| affiliation.client == *client).collect();
        self.tell_homes(authorization.visitor.as_ref(), &ended, until, work).await?;
        Ok(true)
    }

    /// Tells the homes of groups of other MC systems that these affiliations have ended.
    pub(crate) async fn tell_homes(
        &self,
        visitor: Option<&Visitor>,
        ended: &[Affiliation],
        until: Timestamp,
        work: &mut Work,
    ) -> Result<(), Error> {
        let mut by_home: BTreeMap<(&McSystemId, &Client), Vec<&McServiceGroupId>> = BTreeMap::new();
        for affiliation in ended.iter().filter(|affiliation| affiliation.home != self.own) {
            by_home.entry((&affiliation.home, &affiliation.client)).or_default().push(&affiliation.group);
        }
        for ((home, client), groups) in by_home {
            let id = id_at(home, client, visitor);
            for groups in groups.chunks(100) {
                let request = proto::FederationServiceDeaffiliateRequest {
                    identity: Some(mcx_proto::types::v1::McServiceIdentity {
                        mc_service: wire::service(client.user.mc_service),
                        mc_service_id: id.to_string(),
                    }),
                    client_instance: client.instance.to_string(),
                    group_ids: groups.iter().map(ToString::to_string).collect(),
                    request_time: wire::time(until),
                };
                work.notify(home, NoticeKind::Deaffiliate, &request).await?;
            }
        }
        Ok(())
    }

    /// Ends the mark that an own user's client is served by a partner; the user's lock is held. Says whether it was there.
    pub(crate) async fn end_mark(
        &self,
        work: &mut Work,
        mark: &ServedBy,
        reason: EndReason,
        partner: Telling,
    ) -> Result<bool, Error> {
        if !served_by::remove(&mut work.transaction, mark.authorization_id).await? {
            return Ok(false);
        }
        self.forget_partner_affiliations(work, mark).await?;
        if partner == Telling::Told {
            self.tell_partner_to_end(work, mark, reason).await?;
        }
        work.tell(
            &mark.client.user,
            Event::ServedByChanged(proto::ServedByChanged {
                served_by: Some(wire::served_by(mark)),
                ended: reason.into(),
            }),
        );
        tracing::info!(
            user = %mark.client.user.id, mc_service = %mark.client.user.mc_service, partner = %mark.partner,
            reason = end_reason_name(reason), "served by the partner no more"
        );
        count_end(reason, "away");
        Ok(true)
    }

    /// Removes what the partner affiliated a client to here while it served her.
    pub(crate) async fn forget_partner_affiliations(
        &self,
        work: &mut Work,
        mark: &ServedBy,
    ) -> Result<(), Error> {
        let forever = Timestamp::from_micros(i64::MAX);
        let transaction = &mut work.transaction;
        partner_affiliations::remove(transaction, &mark.partner, &mark.client, &[], forever).await?;
        Ok(())
    }

    /// Asks the partner to end the service of an own user's client.
    pub(crate) async fn tell_partner_to_end(
        &self,
        work: &mut Work,
        mark: &ServedBy,
        reason: EndReason,
    ) -> Result<(), Error> {
        let user = &mark.client.user;
        let request = proto::EndMigrationServiceRequest {
            identity: Some(wire::migrated(user, &user.id, &mark.partner_id)),
            client_instance: mark.client.instance.to_string(),
            reason: reason.into(),
            authorization_id: mark.authorization_id.to_string(),
        };
        work.notify(&mark.partner, NoticeKind::End, &request).await
    }
}

/// A moment before `now`: what ends because the client begins anew ends before what it then begins.
pub(crate) fn just_before(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.as_micros() - 1)
}

/// Who a client's user is to the MC system that owns a group: a visitor has her own MC service ID in her primary MC system.
pub(crate) fn id_at<'a>(
    home: &McSystemId,
    client: &'a Client,
    visitor: Option<&'a Visitor>,
) -> &'a McServiceId {
    match visitor {
        Some(visitor) if visitor.primary == *home => &visitor.primary_id,
        _ => &client.user.id,
    }
}

fn count_end(reason: EndReason, who: &'static str) {
    metrics::counter!(
        "mcx_mc_service_authorizations_ended_total", "reason" => end_reason_name(reason), "who" => who
    )
    .increment(1);
}
