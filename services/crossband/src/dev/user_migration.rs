//! Lets demo users migrate as operators do: requested at the primary, accepted at the partner, put in place by both (TS 23.280 10.17.5).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mcx_types::SipIdentities;
use serde_json::{Value, json};

use super::application_plane::mc_id;
use super::{PARTNER, PRIMARY, Reach, Scenario};
use crate::admin::Catalogue;

/// Requests the migration of demo users at the primary, accepts them at the partner, and waits until everything is in place. Users who
/// were let in before are left alone.
///
/// # Errors
/// Where a system refuses or does not answer, or a user was refused or revoked before.
pub(super) async fn let_migrate(scenario: &Scenario, names: &[&str]) -> Result<()> {
    let known = listed(&scenario.primary).await?;
    let is_known = |name: &&&str| {
        known
            .iter()
            .any(|migration| migration["mc_id"] == mc_id(name, PRIMARY).as_str() && goes_on(migration))
    };
    let wanted: Vec<&&str> = names.iter().filter(|name| !is_known(name)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let users = wanted
        .iter()
        .map(|name| {
            let identities = &scenario.subscriber(name)?.identities;
            let impus: Vec<&str> = identities.impus.iter().map(|impu| impu.as_str()).collect();
            Ok(json!({
                "mc_id": mc_id(name, PRIMARY),
                "primary_identities": { "impi": identities.impi.as_str(), "impus": impus },
                "mc_services": ["MC_SERVICE_PTT", "MC_SERVICE_DATA"],
            }))
        })
        .collect::<Result<Vec<Value>>>()?;
    let catalogue = Catalogue::load()?;
    let primary = scenario.primary.operator_client()?;
    let (entity, method) = catalogue.method("UserMigrationService/RequestUserMigration")?;
    let request = json!({ "partner_mc_system_id": PARTNER, "users": users });
    let requested = primary.unary(entity, method, &request).await?;
    let id = &requested["user_migration_request_id"];
    accept(scenario, &catalogue, id, wanted.len()).await?;
    let settled = in_force(scenario, id.as_str().context("the request has an identifier")?).await?;
    ensure!(settled == wanted.len() as u64, "{settled} of {} users may migrate", wanted.len());
    Ok(())
}

/// Accepts all users of a request at the partner, as they arrive there.
async fn accept(scenario: &Scenario, catalogue: &Catalogue, id: &Value, count: usize) -> Result<()> {
    let partner = scenario.partner.operator_client()?;
    let (entity, watch) = catalogue.method("UserMigrationService/WatchUserMigrationRequest")?;
    arrived(scenario, id, count).await?;
    let (_, method) = catalogue.method("UserMigrationService/AcceptUserMigrations")?;
    let selection = json!({ "selection": { "user_migration_request_id": id } });
    let accepted = partner.unary(entity, method, &selection).await?;
    let results = accepted["results"].as_array().cloned().unwrap_or_default();
    ensure!(
        results.iter().all(|result| result.get("reason").is_none()),
        "the partner did not accept: {accepted}"
    );
    let all_settled = |answer: Value| answer["settled_count"] != answer["user_count"];
    partner.server_stream(entity, watch, &json!({ "user_migration_request_id": id }), all_settled).await?;
    Ok(())
}

/// Waits until the users of a request have been offered to the partner: the primary says so.
async fn arrived(scenario: &Scenario, id: &Value, count: usize) -> Result<()> {
    let catalogue = Catalogue::load()?;
    let primary = scenario.primary.operator_client()?;
    let (entity, method) = catalogue.method("UserMigrationService/WatchUserMigrationRequest")?;
    let is_waited_for = |answer: Value| {
        let counts = answer["counts"].as_array().cloned().unwrap_or_default();
        let requested = counts.iter().any(|count| count["state"] == "USER_MIGRATION_STATE_REQUESTED");
        requested || answer["user_count"].as_u64() != Some(count as u64)
    };
    primary.server_stream(entity, method, &json!({ "user_migration_request_id": id }), is_waited_for).await?;
    Ok(())
}

/// Waits until all users of a request are settled at the primary; says for how many everything is in place.
///
/// # Errors
/// Where the primary does not answer.
async fn in_force(scenario: &Scenario, id: &str) -> Result<u64> {
    let catalogue = Catalogue::load()?;
    let primary = scenario.primary.operator_client()?;
    let (entity, method) = catalogue.method("UserMigrationService/WatchUserMigrationRequest")?;
    let mut count = 0;
    let each = |answer: Value| {
        let counts = answer["counts"].as_array().cloned().unwrap_or_default();
        let is_in_force = |count: &&Value| count["state"] == "USER_MIGRATION_STATE_IN_FORCE";
        count = counts
            .iter()
            .find(is_in_force)
            .and_then(|count| count["user_count"].as_u64())
            .unwrap_or_default();
        true
    };
    primary.server_stream(entity, method, &json!({ "user_migration_request_id": id }), each).await?;
    Ok(count)
}

/// The demo users whom the partner has accepted, with the identities that it allotted to them.
pub(super) async fn allotted(scenario: &Scenario) -> Result<Vec<(String, SipIdentities)>> {
    let mut found = Vec::new();
    for migration in listed(&scenario.primary).await?.iter().filter(|migration| goes_on(migration)) {
        let subscriber = scenario
            .subscribers
            .iter()
            .find(|subscriber| migration["mc_id"] == mc_id(&subscriber.name, PRIMARY).as_str());
        let identities = &migration["grant"]["visitor_identities"];
        if let (Some(subscriber), Some(impi)) = (subscriber, identities["impi"].as_str()) {
            let impus = identities["impus"].as_array().cloned().unwrap_or_default();
            let impus =
                impus.iter().filter_map(Value::as_str).map(str::parse).collect::<Result<Vec<_>, _>>()?;
            found.push((subscriber.name.clone(), SipIdentities { impi: impi.parse()?, impus }));
        }
    }
    Ok(found)
}

/// How often is looked whether the primary knows already how the partner is reached.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long is looked at most.
const LOOK_FOR: Duration = Duration::from_secs(60);

/// Waits until the primary knows for every user how the partner is reached now. After a start at other addresses the partner tells it by
/// itself, at an interval; there is no event to wait for.
///
/// # Errors
/// Where a system does not answer, or the primary does not know it in time.
pub(super) async fn wait_for_current_access_information(scenario: &Scenario) -> Result<()> {
    let known = tokio::time::timeout(LOOK_FOR, until_access_information_is_current(scenario)).await;
    known.with_context(|| {
        format!("{PRIMARY} does not know within {} s how {PARTNER} is reached", LOOK_FOR.as_secs())
    })?
}

async fn until_access_information_is_current(scenario: &Scenario) -> Result<()> {
    let catalogue = Catalogue::load()?;
    let (entity, method) = catalogue.method("InitialUeConfigurationService/GetInitialUeConfiguration")?;
    let partner = scenario.partner.operator_client()?.unary(entity, method, &json!({})).await?;
    let current = &partner["document"]["initial_ue_configuration"];
    ensure!(current.is_object(), "the partner has no initial UE configuration: {partner}");
    let (entity, method) = catalogue.method("UserMigrationService/GetUserMigration")?;
    let primary = scenario.primary.operator_client()?;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    for migration in listed(&scenario.primary).await?.iter().filter(|migration| goes_on(migration)) {
        let request = json!({ "migration_id": migration["migration_id"] });
        loop {
            ticks.tick().await;
            let answer = primary.unary(entity, method, &request).await?;
            let migration = &answer["user_migration"];
            let known = &migration["access_information"]["initial_ue_configuration"];
            let is_in_force = migration["state"] == "USER_MIGRATION_STATE_IN_FORCE";
            if !goes_on(migration) || (is_in_force && known == current) {
                break;
            }
        }
    }
    Ok(())
}

/// The user migrations of a system.
async fn listed(system: &Reach) -> Result<Vec<Value>> {
    let catalogue = Catalogue::load()?;
    let (entity, method) = catalogue.method("UserMigrationService/ListUserMigrations")?;
    Ok(system.operator_client()?.list(entity, method, &serde_json::Map::new(), usize::MAX).await?)
}

/// Whether a migration is neither refused nor revoked.
fn goes_on(migration: &Value) -> bool {
    let state = migration["state"].as_str().unwrap_or_default();
    !["USER_MIGRATION_STATE_REFUSED", "USER_MIGRATION_STATE_REVOKING", "USER_MIGRATION_STATE_REVOKED"]
        .contains(&state)
}
