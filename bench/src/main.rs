//! Measures Crossband beside a bare gRPC chain and a bare Postgres, in one run on one machine.
//!
//! Everything but Postgres runs in this process, so load generator, clients and servers share its processors; what is judged is therefore
//! ratios between figures of the same run. The figures are measured in turn, several times over, so that a change of the machine's mood hits
//! all of them.

mod bare_chain;
mod counters;
mod idle;
mod load;
mod process;
mod report;
mod subject;
mod vectors;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use mcx_proto::migration::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
use mcx_runtime::telemetry::{LogFormat, Telemetry, TelemetryConfig};
use mcx_testkit::PostgresServer;
use mcx_types::Entity;
use tonic::transport::Channel;

use crate::bare_chain::Protection;
use crate::counters::Counters;
use crate::load::{closed_loop, open_loop};
use crate::report::{Bound, Report};
use crate::subject::Subject;

/// The streams, clients and rates of the targets.
const MANY_STREAMS: usize = 64;
const UPDATING_CLIENTS: usize = 8;
const OPEN_LOOP_RATE: u32 = 500;

/// Measures Crossband beside a bare gRPC chain and a bare Postgres. The log of the systems goes to standard error, as in production.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only show that everything can be measured: short runs, few users.
    #[arg(long)]
    quick: bool,
    /// Write figures and ratios to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How often everything is measured.
    #[arg(long, value_name = "NUMBER")]
    repetitions: Option<usize>,
    /// What the systems log.
    #[arg(long, value_name = "DIRECTIVES", default_value = "info")]
    log_level: String,
}

/// How much is measured.
struct Extent {
    users: u64,
    repetitions: usize,
    /// The length of one run.
    run: Duration,
}

impl Extent {
    fn of(arguments: &Arguments) -> Self {
        let (users, repetitions, run) = if arguments.quick {
            (500, 1, Duration::from_millis(300))
        } else {
            (10_000, 5, Duration::from_millis(1_500))
        };
        Self { users, repetitions: arguments.repetitions.unwrap_or(repetitions).max(1), run }
    }
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

    let report = measure(&Extent::of(&arguments)).await?;
    stdout().write_all(report.for_people().as_bytes())?;
    if let Some(file) = &arguments.json {
        let document = format!("{:#}\n", report.for_programs());
        std::fs::write(file, document).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

async fn measure(extent: &Extent) -> Result<Report> {
    let mut report = Report::default();
    report.condition(process::machine()?);
    let postgres = PostgresServer::shared();
    let databases = [postgres.create_database(), postgres.create_database()];
    let connections = u32::try_from(UPDATING_CLIENTS)?;
    let (counters, version) =
        Counters::create(&postgres.create_database(), extent.users, connections).await?;
    report.condition(format!(
        "Postgres {version} with fsync and synchronous_commit on; caches in the process; {} users; {} repetitions of {:?} each",
        extent.users, extent.repetitions, extent.run
    ));
    report.condition(
        "Load generator, clients and servers are one process and share the processors with Postgres."
            .to_owned(),
    );

    let directory = tempfile::tempdir()?;
    let primary_database = databases[0].clone();
    let (subject, imported) = Subject::start(directory.path(), databases, extent.users).await?;
    report.add("import of subscribers", "1/s", imported.subscribers);
    report.add("import of permits", "1/s", imported.permits);
    report.add("import of bindings", "1/s", imported.bindings);
    let idle =
        idle::sip_database_mb(&subject.federation.primary, directory.path(), &primary_database).await?;
    report.add("idle process, SIP database", "MB", idle);

    let secured = subject::identity(&subject.federation.primary, Entity::MigrationManagement)?;
    let chains = [
        ("bare chain", bare_chain::start(&Protection::Plaintext).await?),
        ("bare chain, mutual TLS", bare_chain::start(&Protection::MutualTls(secured)).await?),
        ("federated lookup", subject.federated_client()?),
    ];
    for repetition in 0..=extent.repetitions {
        // The first round warms up: connections are opened, statements prepared.
        let mut warming_up = Report::default();
        let report = if repetition == 0 { &mut warming_up } else { &mut report };
        for (name, client) in &chains {
            measure_chain(report, name, client, extent).await?;
        }
        measure_sip_database(report, &subject, extent).await?;
        measure_counters(report, &counters, extent).await?;
        let (prepared, new) = vectors::rates(extent.run / 5)?;
        report.add("vectors, key schedule kept", "1/s", prepared);
        report.add("vectors, key schedule made anew", "1/s", new);
    }
    judge(&mut report);
    subject.federation.stop().await;
    Ok(report)
}

async fn measure_chain(
    report: &mut Report,
    name: &str,
    client: &SipAuthenticationServiceClient<Channel>,
    extent: &Extent,
) -> Result<()> {
    let users = extent.users;
    let client = client.clone();
    let call = move |number| subject::look_up_federated(client.clone(), some_user(number, users));
    let seen = closed_loop(1, extent.run, call.clone()).await?;
    report.add(&format!("{name}, 1 stream, p50"), "ms", seen.latency_ms(0.50));
    report.add(&format!("{name}, 1 stream, p99"), "ms", seen.latency_ms(0.99));
    let seen = open_loop(OPEN_LOOP_RATE, extent.run, call.clone()).await?;
    report.add(&format!("{name}, 500/s, p50"), "ms", seen.latency_ms(0.50));
    report.add(&format!("{name}, 500/s, p99"), "ms", seen.latency_ms(0.99));
    let seen = closed_loop(MANY_STREAMS, extent.run, call).await?;
    report.add(&format!("{name}, 64 streams"), "1/s", seen.rate());
    report.add(&format!("{name}, 64 streams, processor time per call"), "µs", seen.cpu_us());
    Ok(())
}

async fn measure_sip_database(report: &mut Report, subject: &Subject, extent: &Extent) -> Result<()> {
    let users = subject.users;
    let client = subject.database_client()?;
    let call = move |number| subject::look_up_own(client.clone(), some_user(number, users));
    let seen = closed_loop(1, extent.run, call.clone()).await?;
    report.add("SIP database, 1 stream, p50", "ms", seen.latency_ms(0.50));
    let seen = closed_loop(MANY_STREAMS, extent.run, call).await?;
    report.add("SIP database, 64 streams", "1/s", seen.rate());
    Ok(())
}

async fn measure_counters(report: &mut Report, counters: &Counters, extent: &Extent) -> Result<()> {
    let seen = counters.one_row_per_commit(1, extent.run).await?;
    report.add("one-row UPDATE, 1 client, p50", "ms", seen.latency_ms(0.50));
    let seen = counters.one_row_per_commit(UPDATING_CLIENTS, extent.run).await?;
    report.add("one-row UPDATE, 8 clients", "1/s", seen.rate());
    let seen = counters.group_commit(MANY_STREAMS, extent.run).await?;
    report.add("group commit, 64 clients", "1/s", seen.rate());
    Ok(())
}

/// The targets of the design.
fn judge(report: &mut Report) {
    report.target(
        "federated lookup p50 / (bare chain p50 + one UPDATE p50)",
        Bound::AtMost(1.5),
        ["federated lookup, 1 stream, p50", "bare chain, 1 stream, p50", "one-row UPDATE, 1 client, p50"],
        |[federated, bare, update]| federated / (bare + update),
    );
    report.target(
        "federated lookups / bare chain calls, 64 streams",
        Bound::AtLeast(0.5),
        ["federated lookup, 64 streams", "bare chain, 64 streams"],
        |[federated, bare]| federated / bare,
    );
    report.target(
        "processor time per federated lookup / per bare chain call",
        Bound::AtMost(1.6),
        [
            "federated lookup, 64 streams, processor time per call",
            "bare chain, 64 streams, processor time per call",
        ],
        |[federated, bare]| federated / bare,
    );
    report.target(
        "bare chain p50, mutual TLS / plaintext",
        Bound::AtMost(1.3),
        ["bare chain, mutual TLS, 1 stream, p50", "bare chain, 1 stream, p50"],
        |[secured, plain]| secured / plain,
    );
    report.target(
        "bare chain processor time, mutual TLS / plaintext",
        Bound::AtMost(1.3),
        [
            "bare chain, mutual TLS, 64 streams, processor time per call",
            "bare chain, 64 streams, processor time per call",
        ],
        |[secured, plain]| secured / plain,
    );
    report.target(
        "group commit, 64 clients / one-row UPDATE, 8 clients",
        Bound::AtLeast(3.0),
        ["group commit, 64 clients", "one-row UPDATE, 8 clients"],
        |[grouped, single]| grouped / single,
    );
    report.target(
        "SIP database vectors over gRPC, 64 streams / one-row UPDATE, 8 clients",
        Bound::AtLeast(3.0),
        ["SIP database, 64 streams", "one-row UPDATE, 8 clients"],
        |[vectors, single]| vectors / single,
    );
    report.target(
        "idle SIP database process, MB",
        Bound::AtMost(17.0),
        ["idle process, SIP database"],
        |[memory]| memory,
    );
}

/// Spreads consecutive calls over the users.
fn some_user(number: u64, users: u64) -> u64 {
    number.wrapping_mul(7_919) % users
}
