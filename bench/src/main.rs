//! Measures Crossband beside a bare gRPC chain and a bare Postgres, in one run on one machine.
//!
//! Load generator, servers and Postgres share the processors, so what is judged is ratios between figures of the same run.

mod bare_chain;
mod bare_migration;
mod counters;
mod dead_partner;
mod fan_out;
mod idle;
mod load;
mod metrics;
mod migrations;
mod overload;
mod population;
mod process;
mod provisioning;
mod report;
mod signalling;
mod subject;
mod systems;
mod vectors;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use mcx_runtime::telemetry::{LogFormat, Telemetry, TelemetryConfig};
use mcx_testkit::PostgresServer;

use crate::report::Report;

/// Measures Crossband beside a bare gRPC chain and a bare Postgres. The log of the systems goes to standard error, as in production.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only show that everything can be measured: short runs, few users.
    #[arg(long)]
    quick: bool,
    /// Write figures and ratios to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure only this; may be said several times.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// How often everything is measured.
    #[arg(long, value_name = "NUMBER")]
    repetitions: Option<usize>,
    /// What the systems log.
    #[arg(long, value_name = "DIRECTIVES", default_value = "info", global = true)]
    log_level: String,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Federated lookups, the SIP database and the group commit.
    Signalling,
    /// Complete migrations of UEs, and their return.
    Migrations,
    /// One changed group, told to everybody who watches it.
    FanOut,
    /// Users provisioned between the systems, and revoked.
    Provisioning,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the two systems that another process of this program measures.
    #[command(name = systems::SUBCOMMAND, hide = true)]
    Systems,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let telemetry = TelemetryConfig {
        log_level: arguments.log_level.clone(),
        log_format: LogFormat::Json,
        ..TelemetryConfig::default()
    };
    let origin = crossband::origin("crossband-bench", &crossband::dev::PRIMARY.parse()?);
    let _telemetry = Telemetry::install(&telemetry, &origin)?;
    if let Some(Command::Systems) = arguments.command {
        return systems::run().await;
    }

    let report = measure(&arguments).await?;
    stdout().write_all(report.for_people().as_bytes())?;
    if let Some(file) = &arguments.json {
        let document = format!("{:#}\n", report.for_programs());
        std::fs::write(file, document).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let is_wanted = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    let repetitions = |usual: usize| {
        let wanted = arguments.repetitions.unwrap_or(if arguments.quick { 1 } else { usual });
        wanted.max(1)
    };
    let extent = |quick: u64, whole: u64| if arguments.quick { quick } else { whole };

    let mut report = Report::default();
    report.condition(process::machine()?);
    let version = counters::durable_version(&PostgresServer::shared().create_database()).await?;
    report.condition(format!(
        "Postgres {version} with fsync and synchronous_commit on; caches in the process; everything shares the processors."
    ));
    if is_wanted(Part::Signalling) {
        let run = if arguments.quick { Duration::from_millis(300) } else { Duration::from_millis(1_500) };
        let users = extent(500, 10_000);
        let repetitions = repetitions(5);
        signalling::measure(&mut report, &signalling::Extent { users, repetitions, run }).await?;
    }
    if is_wanted(Part::Migrations) {
        let (ues, users) = (extent(20, 1_000), extent(40, 10_000));
        let repetitions = repetitions(3);
        migrations::measure(&mut report, &migrations::Extent { ues, users, repetitions }).await?;
    }
    if is_wanted(Part::FanOut) {
        let watchers = extent(100, 10_000);
        let changes = repetitions(10);
        fan_out::measure(&mut report, &fan_out::Extent { watchers, changes }).await?;
    }
    if is_wanted(Part::Provisioning) {
        let sizes = [extent(20, 1_000), extent(100, 10_000)];
        let repetitions = repetitions(3);
        provisioning::measure(&mut report, &provisioning::Extent { sizes, repetitions }).await?;
    }
    Ok(report)
}
