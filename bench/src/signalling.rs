//! The signalling plane beside bare gRPC and bare Postgres: the federated lookup of TS 23.280 10.1.6.2, the SIP database, the group commit.

use std::time::Duration;

use anyhow::Result;
use mcx_proto::migration::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
use mcx_testkit::PostgresServer;
use mcx_types::Entity;
use tonic::transport::Channel;

use crate::bare_chain::{self, Protection};
use crate::counters::Counters;
use crate::dead_partner::DeadPartner;
use crate::load::{closed_loop, open_loop};
use crate::report::{Bound, Report};
use crate::subject::{self, Subject};
use crate::{dead_partner, idle, overload, vectors};

/// The streams, clients and rates of the targets.
pub(crate) const MANY_STREAMS: usize = 64;
const UPDATING_CLIENTS: usize = 8;
pub(crate) const OPEN_LOOP_RATE: u32 = 500;

/// How much is measured.
pub(crate) struct Extent {
    pub(crate) users: u64,
    pub(crate) repetitions: usize,
    /// The length of one run.
    pub(crate) run: Duration,
}

/// Measures everything in turn, several times over, so that a change of the machine's mood hits all of it.
pub(crate) async fn measure(report: &mut Report, extent: &Extent) -> Result<()> {
    let postgres = PostgresServer::shared();
    let databases = [postgres.create_database(), postgres.create_database()];
    let connections = u32::try_from(UPDATING_CLIENTS)?;
    let counters = Counters::create(&postgres.create_database(), extent.users, connections).await?;
    report.condition(format!(
        "Signalling: {} users; {} repetitions of {:?} each; load generator, clients and servers are one process.",
        extent.users, extent.repetitions, extent.run
    ));

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
    let dead_partner = DeadPartner::agree_with(&subject).await?;
    for repetition in 0..=extent.repetitions {
        // The first round warms up: connections are opened, statements prepared.
        let mut warming_up = Report::default();
        let report = if repetition == 0 { &mut warming_up } else { &mut *report };
        for (name, client) in &chains {
            measure_chain(report, name, client, extent).await?;
        }
        dead_partner.measure(report, &subject, extent).await?;
        overload::measure(report, &subject, extent).await?;
        measure_sip_database(report, &subject, extent).await?;
        measure_counters(report, &counters, extent).await?;
        let (prepared, new) = vectors::rates(extent.run / 5)?;
        report.add("vectors, key schedule kept", "1/s", prepared);
        report.add("vectors, key schedule made anew", "1/s", new);
    }
    judge(report);
    subject.federation.stop().await;
    Ok(())
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
        "lookups answered at 2 × saturation / at saturation (64 streams)",
        Bound::AtLeast(0.9),
        [overload::GOODPUT, "federated lookup, 64 streams"],
        |[overloaded, peak]| overloaded / peak,
    );
    report.target(
        "p99 of lookups at 500/s while another partner is dead / while none is asked for",
        Bound::AtMost(1.2),
        [dead_partner::WITH, dead_partner::WITHOUT],
        |[with, without]| with / without,
    );
    report.target(
        "idle SIP database process, MB",
        Bound::AtMost(17.0),
        ["idle process, SIP database"],
        |[memory]| memory,
    );
}

/// Spreads consecutive calls over the users.
pub(crate) fn some_user(number: u64, users: u64) -> u64 {
    number.wrapping_mul(7_919) % users
}
