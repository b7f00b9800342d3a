//! `crossband load`: UEs that migrate and return again and again, and a tally of what came of it.

mod tally;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use mcx_types::McSystemId;
use mcx_ue::ue::{McServiceUe, MigrationError};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::ready_file::{ReadyFile, ReadySubscriber};
use crate::terminal;
use tally::Tally;

/// How many UEs are bootstrapped at once: each login costs its identity management a password hash.
const AT_ONCE: usize = 4;

/// How long a UE waits before it tries a step again that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The users; empty: all of the ready file.
    pub users: Vec<String>,
    /// How often it is told how far it is.
    pub report_every: Duration,
}

/// Brings the UEs of the users into service at home, then lets each migrate and return again and again until `stop` is cancelled. What happens
/// is written to `out` as JSON lines: `at_home` once, `progress` from time to time, `failure` for each step that failed, `summary` at the end.
///
/// A step that fails is tried again, as a user would; it counts as a failure all the same. Says whether anything was done and nothing failed.
///
/// # Errors
/// Where a user is unknown, a UE does not get into service at home, or nothing can be written.
pub async fn run(
    ready: &ReadyFile,
    options: &LoadOptions,
    stop: CancellationToken,
    out: &mut impl Write,
) -> Result<bool> {
    let users: Vec<&ReadySubscriber> = match options.users.as_slice() {
        [] => ready.subscribers.iter().collect(),
        names => names.iter().map(|name| ready.subscriber(name)).collect::<Result<_>>()?,
    };
    ensure!(!users.is_empty(), "the ready file names no user");
    let tally = Arc::new(Tally::default());
    let starting = stream::iter(users).map(|user| in_service_at_home(ready, user, &tally));
    let ues: Vec<(McServiceUe, McSystemId)> = starting.buffer_unordered(AT_ONCE).try_collect().await?;
    say(out, &json!({ "at_home": { "ues": ues.len() } }))?;

    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for (ue, partner) in ues {
        running.spawn(there_and_back(ue, partner, Arc::clone(&tally), stop.clone()));
    }
    let mut report = tokio::time::interval(options.report_every);
    report.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(ended) => ended.context("a ue panicked")?,
                None => break,
            },
            _ = report.tick() => {
                say_failures(&tally, out)?;
                say(out, &json!({ "progress": tally.progress(begun.elapsed()) }))?;
            }
        }
    }
    say_failures(&tally, out)?;
    say(out, &json!({ "summary": tally.summary(begun.elapsed()) }))?;
    Ok(tally.is_success())
}

fn say_failures(tally: &Tally, out: &mut impl Write) -> Result<()> {
    tally.new_failures().iter().try_for_each(|failure| say(out, &json!({ "failure": failure })))
}

fn say(out: &mut impl Write, line: &Value) -> Result<()> {
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// A UE in service at home, and where its user may go.
async fn in_service_at_home(
    ready: &ReadyFile,
    user: &ReadySubscriber,
    tally: &Arc<Tally>,
) -> Result<(McServiceUe, McSystemId)> {
    let at_home = async {
        let mut ue = McServiceUe::switch_on(terminal::ready_settings(ready, user, None)?)?;
        ue.bootstrap(terminal::ready_enrolment(ready, user).await?).await?;
        ue.authenticate(terminal::ready_credentials(user)?).await?;
        ue.start().await?;
        ue.observe(tally.observer());
        Ok((ue, user.partner.system.parse()?))
    };
    at_home.await.map_err(|error: anyhow::Error| error.context(format!("{} is not in service", user.name)))
}

/// Migrates and returns until it is to stop; ends at home where the primary lets it.
async fn there_and_back(
    mut ue: McServiceUe,
    partner: McSystemId,
    tally: Arc<Tally>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let mut tries = 0;
        while let Err(error) = ue.migrate(&partner, None).await {
            tries += 1;
            if !may_go_on(&tally, &error, &stop).await {
                return;
            }
        }
        tally.migrated(begun.elapsed(), tries);
        while let Err(error) = ue.return_home().await {
            if !may_go_on(&tally, &error, &stop).await {
                return;
            }
        }
        tally.returned();
    }
}

/// Counts a failure and waits a little. Says whether to try again.
async fn may_go_on(tally: &Tally, error: &MigrationError, stop: &CancellationToken) -> bool {
    tally.failed(error);
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(PAUSE) => true,
    }
}
