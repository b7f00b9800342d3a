//! `crossband admin user-migration`: who may migrate where, TS 23.280 10.17.5.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use mcx_types::McSystemId;
use serde_json::{Map, Value, json};
use tonic::Code;

use super::output::Progress;
use super::{Session, read};

/// How many users are decided by one call: as many as take about half a second, so that progress is seen and no call nears its deadline.
const DECIDED_AT_ONCE: usize = 500;

/// The verb that takes migrations in any state but these.
const REVOKE: &str = "Revoke";
const OVER: [&str; 3] =
    ["USER_MIGRATION_STATE_REFUSED", "USER_MIGRATION_STATE_REVOKING", "USER_MIGRATION_STATE_REVOKED"];

/// How long after one another a watch that ends without an answer is opened again; then it is given up.
const WATCH_AGAIN_AFTER: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

#[derive(Debug, Subcommand)]
pub(super) enum UserMigrationCommand {
    /// Requests that own users may migrate to a partner.
    Request {
        /// The partner MC system.
        #[arg(long, value_name = "MC-SYSTEM-ID")]
        partner: McSystemId,
        /// The users: JSON (an array of UserToMigrate), or CSV with the columns mc_id,impi,impu and a header.
        #[arg(long, value_name = "FILE")]
        users: PathBuf,
        /// Wait until all users are settled, and show how far they are.
        #[arg(long)]
        watch: bool,
        /// Only check.
        #[arg(long)]
        dry_run: bool,
    },
    /// Accepts users of a primary MC system.
    Accept(Decision),
    /// Refuses users of a primary MC system.
    Refuse(Decision),
    /// Revokes migrations, in either role.
    Revoke(Decision),
    /// Shows how far a request is until all its users are settled.
    Watch {
        /// The request.
        user_migration_request_id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Decision {
    /// The migrations; without any, all of --request and --peer.
    migration_ids: Vec<String>,
    /// All of this request.
    #[arg(long, value_name = "ID", conflicts_with = "migration_ids")]
    request: Option<String>,
    /// All with this other MC system.
    #[arg(long, value_name = "MC-SYSTEM-ID", conflicts_with = "migration_ids")]
    peer: Option<McSystemId>,
    /// Why, for people of both MC systems; not for accept.
    #[arg(long, default_value = "")]
    cause: String,
    /// Only say what would become of each user.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(session: &Session, command: UserMigrationCommand) -> Result<bool> {
    match command {
        UserMigrationCommand::Request { partner, users, watch, dry_run } => {
            request(session, &partner, &users, watch, dry_run).await
        }
        UserMigrationCommand::Accept(decision) => decide(session, "Accept", decision).await,
        UserMigrationCommand::Refuse(decision) => decide(session, "Refuse", decision).await,
        UserMigrationCommand::Revoke(decision) => decide(session, REVOKE, decision).await,
        UserMigrationCommand::Watch { user_migration_request_id } => {
            watch(session, &user_migration_request_id).await
        }
    }
}

async fn request(
    session: &Session,
    partner: &McSystemId,
    users: &Path,
    is_watched: bool,
    dry_run: bool,
) -> Result<bool> {
    let text = read(users)?;
    let users =
        if text.trim_start().starts_with('[') { serde_json::from_str(&text)? } else { from_csv(&text)? };
    let (entity, method) = session.catalogue.method("UserMigrationService/RequestUserMigration")?;
    let document = json!({
        "partner_mc_system_id": partner.as_str(),
        "users": users,
        "dry_run": dry_run,
        "request_id": if dry_run { String::new() } else { uuid::Uuid::new_v4().to_string() },
    });
    let answer = session.client.unary(entity, method, &document).await?;
    session.output.document(&answer)?;
    if answer.get("violations").and_then(Value::as_array).is_some_and(|violations| !violations.is_empty()) {
        return Ok(false);
    }
    match answer.get("user_migration_request_id").and_then(Value::as_str) {
        Some(id) if is_watched && !id.is_empty() => watch(session, id).await,
        _ => Ok(true),
    }
}

/// Users of a table `mc_id,impi,impu`; several public identities are separated by spaces.
fn from_csv(text: &str) -> Result<Vec<Value>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let header = lines.next().context("the file of users is empty")?;
    ensure!(header == "mc_id,impi,impu", "the first line of the users must be mc_id,impi,impu");
    lines
        .enumerate()
        .map(|(index, line)| {
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let [mc_id, impi, impus] = cells.as_slice() else {
                anyhow::bail!("user {index} has {} cells instead of 3", cells.len())
            };
            let impus: Vec<&str> = impus.split_whitespace().collect();
            Ok(json!({ "mc_id": mc_id, "primary_identities": { "impi": impi, "impus": impus } }))
        })
        .collect()
}

async fn decide(session: &Session, verb: &str, decision: Decision) -> Result<bool> {
    let mut filter = Map::new();
    if let Some(request) = decision.request {
        filter.insert("user_migration_request_id".to_owned(), request.into());
    }
    if let Some(peer) = decision.peer {
        filter.insert("peer_mc_system_id".to_owned(), peer.as_str().into());
    }
    let is_selected = !decision.migration_ids.is_empty() || !filter.is_empty();
    ensure!(is_selected, "say which: migration ids, --request or --peer");
    let (entity, method) = session.catalogue.method(&format!("UserMigrationService/{verb}UserMigrations"))?;
    let mut document = json!({ "dry_run": decision.dry_run });
    if method.input().get_field_by_name("cause").is_some() {
        document["cause"] = decision.cause.into();
    } else {
        ensure!(decision.cause.is_empty(), "--cause is not for accept");
    }
    let ids = match decision.migration_ids {
        ids if ids.is_empty() => selected(session, verb, &filter).await?,
        ids => ids,
    };
    let progress = Progress::new(ids.len());
    let mut results = Vec::with_capacity(ids.len());
    let mut failure = None;
    for ids in ids.chunks(DECIDED_AT_ONCE) {
        document["selection"] = json!({ "migration_ids": ids });
        match session.client.unary(entity, method, &document).await {
            Ok(mut answer) => {
                if let Some(Value::Array(decided)) = answer.get_mut("results").map(Value::take) {
                    results.extend(decided);
                }
                progress.reached(results.len());
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    progress.end();
    if let Some(error) = failure {
        if results.is_empty() {
            return Err(error.into());
        }
        // Those were decided, whatever became of the others.
        session.output.documents(&results)?;
        let decided = format!("{} of {} users were decided, the others were not", results.len(), ids.len());
        return Err(error).context(decided);
    }
    session.output.documents(&results)?;
    Ok(results.iter().all(|result| result.get("reason").is_none()))
}

/// The migrations of a request, of another MC system, or of both, which are to be decided.
async fn selected(session: &Session, verb: &str, filter: &Map<String, Value>) -> Result<Vec<String>> {
    let (entity, method) = session.catalogue.method("UserMigrationService/ListUserMigrations")?;
    let mut filter = filter.clone();
    if verb != REVOKE {
        filter.insert("state".to_owned(), "USER_MIGRATION_STATE_PENDING".into());
    }
    let listed = session.client.list(entity, method, &filter, usize::MAX).await?;
    let text = |migration: &Value, field: &str| migration.get(field)?.as_str().map(str::to_owned);
    let is_over =
        |migration: &&Value| text(migration, "state").is_some_and(|state| OVER.contains(&state.as_str()));
    Ok(listed
        .iter()
        .filter(|migration| !is_over(migration))
        .filter_map(|migration| text(migration, "migration_id"))
        .collect())
}

/// Follows a request until all its users are settled. The stream ends earlier where its connection does; then it is opened again.
async fn watch(session: &Session, id: &str) -> Result<bool> {
    let (entity, method) = session.catalogue.method("UserMigrationService/WatchUserMigrationRequest")?;
    let document = json!({ "user_migration_request_id": id });
    let progress = Progress::new(0);
    let mut last = Value::Null;
    let mut pauses = WATCH_AGAIN_AFTER.iter();
    loop {
        let mut is_answered = false;
        let ended = session
            .client
            .server_stream(entity, method, &document, |answer| {
                progress.of(number(&answer, "user_count"), number(&answer, "settled_count"));
                progress.says(obstacle(&answer).unwrap_or_default());
                last = answer;
                is_answered = true;
                true
            })
            .await;
        if is_answered {
            pauses = WATCH_AGAIN_AFTER.iter();
        }
        match ended {
            Ok(()) if is_settled(&last) => break,
            Err(error) if !error.is(Code::Unavailable) && !error.is(Code::Cancelled) => {
                progress.end();
                return Err(error.into());
            }
            Ok(()) | Err(_) => {}
        }
        let Some(pause) = pauses.next() else {
            progress.end();
            ended?;
            bail!("the stream ends again and again");
        };
        tokio::time::sleep(*pause).await;
    }
    progress.end();
    session.output.document(&last)?;
    Ok(true)
}

fn is_settled(answer: &Value) -> bool {
    !answer.is_null() && number(answer, "user_count") == number(answer, "settled_count")
}

fn number(answer: &Value, field: &str) -> u64 {
    answer.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// What keeps most users waiting.
fn obstacle(answer: &Value) -> Option<String> {
    let first = answer.get("obstacles")?.as_array()?.first()?;
    let text = |field: &str| first.get(field).and_then(Value::as_str).unwrap_or_default();
    Some(format!("{}: {}", text("step"), text("last_error")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_from_a_table() {
        let users =
            from_csv("mc_id,impi,impu\nalice,alice@a.example,sip:alice@a.example tel:+1\n\n").unwrap();
        let expected = json!([{
            "mc_id": "alice",
            "primary_identities": { "impi": "alice@a.example", "impus": ["sip:alice@a.example", "tel:+1"] },
        }]);
        assert_eq!(Value::Array(users), expected);
        assert!(from_csv("mc_id,impi\nalice,alice@a.example").is_err());
        assert!(from_csv("mc_id,impi,impu\nalice,alice@a.example").is_err());
    }
}
