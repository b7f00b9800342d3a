//! `crossband admin user-migration`: who may migrate where, TS 23.280 10.17.5.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use mcx_types::McSystemId;
use serde_json::{Map, Value, json};

use super::output::Progress;
use super::{Session, read};

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
        UserMigrationCommand::Accept(decision) => decide(session, "AcceptUserMigrations", decision).await,
        UserMigrationCommand::Refuse(decision) => decide(session, "RefuseUserMigrations", decision).await,
        UserMigrationCommand::Revoke(decision) => decide(session, "RevokeUserMigrations", decision).await,
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

async fn decide(session: &Session, method: &str, decision: Decision) -> Result<bool> {
    let mut selection = Map::new();
    if !decision.migration_ids.is_empty() {
        selection.insert("migration_ids".to_owned(), json!(decision.migration_ids));
    }
    if let Some(request) = decision.request {
        selection.insert("user_migration_request_id".to_owned(), request.into());
    }
    if let Some(peer) = decision.peer {
        selection.insert("peer_mc_system_id".to_owned(), peer.as_str().into());
    }
    ensure!(!selection.is_empty(), "say which: migration ids, --request or --peer");
    let (entity, method) = session.catalogue.method(&format!("UserMigrationService/{method}"))?;
    let mut document = json!({ "selection": selection, "dry_run": decision.dry_run });
    if method.input().get_field_by_name("cause").is_some() {
        document["cause"] = decision.cause.into();
    } else {
        ensure!(decision.cause.is_empty(), "--cause is not for accept");
    }
    let answer = session.client.unary(entity, method, &document).await?;
    let results = answer.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
    session.output.documents(&results)?;
    Ok(results.iter().all(|result| result.get("reason").is_none()))
}

async fn watch(session: &Session, id: &str) -> Result<bool> {
    let (entity, method) = session.catalogue.method("UserMigrationService/WatchUserMigrationRequest")?;
    let document = json!({ "user_migration_request_id": id });
    let progress = Progress::new(0);
    let mut last = Value::Null;
    session
        .client
        .server_stream(entity, method, &document, |answer| {
            progress.of(number(&answer, "user_count"), number(&answer, "settled_count"));
            progress.says(obstacle(&answer).unwrap_or_default());
            last = answer;
            true
        })
        .await?;
    progress.end();
    session.output.document(&last)?;
    Ok(number(&last, "user_count") == number(&last, "settled_count"))
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
