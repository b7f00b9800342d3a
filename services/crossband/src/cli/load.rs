//! `crossband load`.

use std::io::stdout;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use crossband::load::{self, LoadOptions};
use crossband::ready_file::ReadyFile;
use mcx_runtime::shutdown::Shutdown;

#[derive(Debug, Args)]
pub(super) struct LoadArguments {
    /// The ready file of the systems and the users.
    #[arg(long, value_name = "FILE")]
    ready_file: PathBuf,
    /// A user, by her name in the ready file; may be repeated. Without it, all of them.
    #[arg(long = "user", value_name = "NAME")]
    users: Vec<String>,
    /// End after this time, such as 30s; without it, when interrupted.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// How often progress is told.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    report_every: Duration,
}

fn duration(text: &str) -> Result<Duration> {
    let duration = humantime::parse_duration(text)?;
    anyhow::ensure!(!duration.is_zero(), "must be longer than nothing");
    Ok(duration)
}

pub(super) async fn run(arguments: LoadArguments) -> Result<bool> {
    let shutdown = Shutdown::on_signals().context("signals cannot be listened to")?;
    let ready = ReadyFile::read(&arguments.ready_file)?;
    if let Some(duration) = arguments.duration {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            shutdown.begin();
        });
    }
    let options = LoadOptions { users: arguments.users, report_every: arguments.report_every };
    load::run(&ready, &options, shutdown.token().clone(), &mut stdout()).await
}
