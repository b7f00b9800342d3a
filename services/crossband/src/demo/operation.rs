//! What alice does at the partner, and what each of the two systems lets her do.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use mcx_proto::mcservice::v1::{CommunicationDecision, CommunicationKind};
use mcx_types::McService;
use mcx_ue::documents::{Document, DocumentChange};
use mcx_ue::servers::Called;
use mcx_ue::ue::{McServiceUe, News};
use serde_json::{Value, json};

use super::report::{Check, Report};
use crate::admin::Catalogue;
use crate::dev::{
    CREW_GROUP, DISPATCHER, Federation, INCIDENT_GROUP, PARTNER, PRIMARY, SECTION_LEADER, mc_service_id,
    operator_client,
};

/// How long an on-line update may take before the demonstration gives up on it.
const UPDATE_LIMIT: Duration = Duration::from_secs(20);

/// What the partner lets her do.
pub(super) async fn at_the_partner(
    federation: &Federation,
    ue: &mut McServiceUe,
    report: &mut Report,
    out: &mut impl Write,
) -> Result<()> {
    let incident = INCIDENT_GROUP.parse()?;
    let outcomes = ue.affiliate(McService::Ptt, &[incident]).await?;
    let rule = outcomes.first().map(|outcome| outcome.rule().as_str_name()).unwrap_or_default();
    report.check(
        out,
        Check {
            name: "affiliation to the partner's incident group",
            expected: "AFFILIATED".to_owned(),
            observed: short(rule),
        },
    )?;
    let alias = ue.activate_alias(McService::Ptt, &SECTION_LEADER.parse()?, false).await?;
    report.check(
        out,
        Check {
            name: "functional alias of the partner, activated",
            expected: "ALIAS_ACTIVATED".to_owned(),
            observed: short(alias.rule().as_str_name()),
        },
    )?;
    let calls = [
        (
            "call to the incident group",
            CommunicationKind::Group,
            Called::Group(INCIDENT_GROUP.parse()?),
            "ALLOWED by AFFILIATED_MEMBER",
        ),
        (
            "call to the partner's dispatcher",
            CommunicationKind::Private,
            Called::User(mc_service_id(DISPATCHER, PARTNER).parse()?),
            "ALLOWED by PRIVATE_CALL_TO_LISTED_USER",
        ),
        (
            "call to bob, which only her profile at home allows",
            CommunicationKind::Private,
            Called::User(mc_service_id("bob", PRIMARY).parse()?),
            "REFUSED by TARGET_NOT_LISTED",
        ),
    ];
    for (name, kind, called, expected) in calls {
        let observed = decision(ue, kind, &called).await?;
        report.check(out, Check { name, expected: expected.to_owned(), observed })?;
    }
    for check in on_line_update(federation, ue).await? {
        report.check(out, check)?;
    }
    Ok(())
}

/// Back home, her profile there is in force again.
pub(super) async fn at_home(ue: &McServiceUe) -> Result<Check> {
    let bob = Called::User(mc_service_id("bob", PRIMARY).parse()?);
    Ok(Check {
        name: "call to bob, at home again",
        expected: "ALLOWED by PRIVATE_CALL_TO_ANYBODY".to_owned(),
        observed: decision(ue, CommunicationKind::Private, &bob).await?,
    })
}

/// The decision and its rule.
async fn decision(ue: &McServiceUe, kind: CommunicationKind, called: &Called) -> Result<String> {
    let answer = ue.authorize_communication(McService::Ptt, kind, called).await?;
    let decision = match answer.decision() {
        CommunicationDecision::Allowed => "ALLOWED",
        CommunicationDecision::Refused => "REFUSED",
        CommunicationDecision::Unspecified => "UNDECIDED",
    };
    Ok(format!("{decision} by {}", short(answer.rule().as_str_name())))
}

fn short(rule: &str) -> String {
    rule.strip_prefix("DECISION_RULE_").unwrap_or(rule).to_owned()
}

/// The operator of the primary disables alice's crew group. The partner's group management is told (CSC-16), tells her UE, and the
/// partner's MC service server refuses her next call.
async fn on_line_update(federation: &Federation, ue: &mut McServiceUe) -> Result<[Check; 3]> {
    let crew = Called::Group(CREW_GROUP.parse()?);
    let before = decision(ue, CommunicationKind::Group, &crew).await?;
    let mut watch = ue.watch()?;
    set_group_status(federation, "GROUP_STATUS_DISABLED").await?;
    let seen = tokio::time::timeout(UPDATE_LIMIT, async {
        loop {
            if let News::Document { told_by, change: DocumentChange::Put(Document::Group(group)) } =
                watch.next().await?
                && told_by.as_str() == PARTNER
                && let Some(group) = &group.group
                && group.group_id == CREW_GROUP
                && group.status().as_str_name() == "GROUP_STATUS_DISABLED"
            {
                return anyhow::Ok("told by the partner".to_owned());
            }
        }
    })
    .await
    .unwrap_or_else(|_| Ok("not told in time".to_owned()))?;
    drop(watch);
    let after = decision(ue, CommunicationKind::Group, &crew).await?;
    set_group_status(federation, "GROUP_STATUS_ENABLED").await?;
    Ok([
        Check {
            name: "call to her crew, a group of the primary",
            expected: "ALLOWED by AFFILIATED_MEMBER".to_owned(),
            observed: before,
        },
        Check {
            name: "the primary disables the group: on-line update",
            expected: "told by the partner".to_owned(),
            observed: seen,
        },
        Check {
            name: "call to her crew, after the update",
            expected: "REFUSED by GROUP_DISABLED".to_owned(),
            observed: after,
        },
    ])
}

async fn set_group_status(federation: &Federation, status: &str) -> Result<()> {
    let catalogue = Catalogue::load()?;
    let operator = operator_client(&federation.primary)?;
    let (entity, get) = catalogue.method("GroupService/GetGroup")?;
    let mut answer = operator.unary(entity, get, &json!({ "group_id": CREW_GROUP })).await?;
    let mut group = answer.get_mut("group").map(Value::take).context("the group is there")?;
    group["status"] = status.into();
    let (entity, update) = catalogue.method("GroupService/UpdateGroup")?;
    operator.unary(entity, update, &json!({ "group": group })).await?;
    Ok(())
}
