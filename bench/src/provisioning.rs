//! Provisioning of many users between the two systems, TS 23.280 10.17.5: requested at the primary, accepted at the partner, put in place by
//! every entity of both, and revoked.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mcx_proto::migration::v1 as migration;
use mcx_proto::migration::v1::user_migration_service_client::UserMigrationServiceClient;
use mcx_proto::migration::v1::{UserMigrationState, WatchUserMigrationRequestResponse};
use mcx_testkit::PostgresServer;
use tonic::transport::Channel;

use crate::metrics::Metrics;
use crate::population::{self, Passwords, SERVICES};
use crate::report::Report;
use crate::systems::{Hashing, Order, Systems};

/// How often is looked whether the user profiles have reached the partner, and for how long.
const LOOKS_EVERY: Duration = Duration::from_millis(50);
const PUSHED_WITHIN: Duration = Duration::from_secs(300);

/// How much is measured.
pub(crate) struct Extent {
    /// Requests of so many users, one after the other; for whether a user costs more among many.
    pub(crate) sizes: [u64; 2],
    pub(crate) repetitions: usize,
}

/// How long it took until users may migrate.
pub(crate) struct Provisioned {
    /// The request at the primary, which both systems know it by.
    pub(crate) request: String,
    /// Until the primary's operator had the answer to her request.
    requested: Duration,
    /// Until the partner had all of them to decide on.
    arrived: Duration,
    /// Until the partner's operator had the answer to his acceptance.
    accepted: Duration,
    /// Until everything was in place in both systems.
    in_force: Duration,
    /// Until the partner had the user profiles too, which it would otherwise ask for when a user comes.
    profiles: Duration,
    /// How many times the operators were told of the progress.
    reports: usize,
}

/// Measures requests of both sizes, and their revocation.
pub(crate) async fn measure(report: &mut Report, extent: &Extent) -> Result<()> {
    let postgres = PostgresServer::shared();
    let directory = tempfile::tempdir()?;
    let systems = Systems::start(&Order {
        directory: directory.path().to_owned(),
        databases: [postgres.create_database(), postgres.create_database()],
        hashing: Hashing::AsInProduction,
    })
    .await?;
    let operators = [systems.primary.operator()?, systems.partner.operator()?];
    let mut first = 0;
    for size in extent.sizes {
        let users = first..first + size;
        first += size;
        let rates = population::import(&operators[0], users.clone(), Passwords::None).await?;
        let name = format!("provisioning of {size} users");
        report.add(&format!("{name}, import of accounts without password"), "1/s", rates.accounts);
        report.add(&format!("{name}, import of subscribers"), "1/s", rates.subscribers);
        report.add(&format!("{name}, crews with their members"), "users/s", rates.crews);
        report.add(&format!("{name}, import of user profiles (4 each)"), "users/s", rates.profiles);
        for _ in 0..extent.repetitions {
            let provisioned = provision(&systems, &operators, users.clone()).await?;
            let seconds = |name: &str, duration: Duration| (name.to_owned(), duration.as_secs_f64());
            for (step, duration) in [
                seconds("request answered", provisioned.requested),
                seconds("all arrived at the partner", provisioned.arrived),
                seconds("acceptance answered", provisioned.accepted),
                seconds("all in force on both sides", provisioned.in_force),
                seconds("all user profiles with the partner", provisioned.profiles),
            ] {
                report.add(&format!("{name}, {step}"), "s", duration);
            }
            report.add(&format!("{name}, progress reports"), "", provisioned.reports as f64);
            let rate = size as f64 / provisioned.in_force.as_secs_f64();
            report.add(&format!("{name}, put in force"), "users/s", rate);
            let revoked = revoke(&systems, &operators, &provisioned.request, size).await?;
            report.add(&format!("{name}, revoked"), "users/s", size as f64 / revoked.as_secs_f64());
        }
    }
    let [few, many] = extent.sizes.map(|size| format!("provisioning of {size} users"));
    for step in ["put in force", "revoked"] {
        let figures = [format!("{many}, {step}"), format!("{few}, {step}")];
        let name =
            format!("users {step} per second, of {} at once / of {}", extent.sizes[1], extent.sizes[0]);
        report.ratio(&name, figures.each_ref().map(String::as_str), |[many, few]| many / few);
    }
    systems.stop().await
}

/// Lets users migrate, by the operators of the primary and the partner: returns once everything is in place.
pub(crate) async fn provision(
    systems: &Systems,
    operators: &[Channel; 2],
    users: Range<u64>,
) -> Result<Provisioned> {
    let count = users.end - users.start;
    let request = population::migration_request(users);
    let [mut at_primary, mut at_partner] = operators.each_ref().map(client);
    let pushed_before = profiles_pushed(systems, "share").await?;
    let begun = Instant::now();
    let answer = at_primary.request_user_migration(request).await?.into_inner();
    let requested = begun.elapsed();
    let request = answer.user_migration_request_id;
    let mut reports =
        follow(&mut at_primary, &request, |told| in_state(told, UserMigrationState::Requested) == 0).await?;
    let arrived = begun.elapsed();
    let selection = migration::UserMigrationSelection {
        user_migration_request_id: request.clone(),
        ..Default::default()
    };
    let accept = migration::AcceptUserMigrationsRequest { selection: Some(selection), ..Default::default() };
    let results = at_partner.accept_user_migrations(accept).await?.into_inner().results;
    let accepted = begun.elapsed();
    ensure!(results.len() as u64 == count, "{} of {count} users were there to be accepted", results.len());
    if let Some(refused) = results.iter().find(|result| result.reason != 0) {
        anyhow::bail!("the partner did not accept: {refused:?}");
    }
    for client in [&mut at_primary, &mut at_partner] {
        let mut in_force = 0;
        reports += follow(client, &request, |told| {
            in_force = in_state(told, UserMigrationState::InForce);
            false
        })
        .await?;
        ensure!(u64::from(in_force) == count, "{in_force} of {count} users may migrate");
    }
    let in_force = begun.elapsed();
    wait_for_profiles(systems, "share", pushed_before, count).await?;
    let profiles = begun.elapsed();
    Ok(Provisioned { request, requested, arrived, accepted, in_force, profiles, reports })
}

/// How many users' profiles the partner was given (`share`), or given up (`withdraw`), each MC service for itself.
async fn profiles_pushed(systems: &Systems, kind: &str) -> Result<f64> {
    let metrics = Metrics::of(systems.primary.admin).await?;
    let labels = format!("kind=\"{kind}\",result=\"ok\"");
    Ok(metrics.sum("mcx_configuration_management_profile_pushes_total", &labels))
}

async fn wait_for_profiles(systems: &Systems, kind: &str, before: f64, users: u64) -> Result<()> {
    let wanted = before + (users * SERVICES.len() as u64) as f64;
    let pushed = async {
        while profiles_pushed(systems, kind).await? < wanted {
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        Ok(())
    };
    tokio::time::timeout(PUSHED_WITHIN, pushed)
        .await
        .context("the user profiles did not reach the partner")?
}

/// Revokes a request at the primary; tells how long it took until both systems had undone everything.
async fn revoke(systems: &Systems, operators: &[Channel; 2], request: &str, count: u64) -> Result<Duration> {
    let [mut at_primary, mut at_partner] = operators.each_ref().map(client);
    let withdrawn_before = profiles_pushed(systems, "withdraw").await?;
    let selection = migration::UserMigrationSelection {
        user_migration_request_id: request.to_owned(),
        ..Default::default()
    };
    let revocation = migration::RevokeUserMigrationsRequest {
        selection: Some(selection),
        cause: "measured".to_owned(),
        ..Default::default()
    };
    let begun = Instant::now();
    at_primary.revoke_user_migrations(revocation).await?;
    for client in [&mut at_primary, &mut at_partner] {
        // The partner takes them for in force until it is told.
        loop {
            let mut revoked = 0;
            follow(client, request, |told| {
                revoked = in_state(told, UserMigrationState::Revoked);
                false
            })
            .await?;
            if u64::from(revoked) == count {
                break;
            }
        }
    }
    let revoked = begun.elapsed();
    wait_for_profiles(systems, "withdraw", withdrawn_before, count).await?;
    Ok(revoked)
}

fn client(channel: &Channel) -> UserMigrationServiceClient<Channel> {
    // The results of 10,000 users are larger than what is taken by default.
    UserMigrationServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20)
}

/// Follows a request until all of its users are settled, or until `is_enough`; tells how often progress was reported.
async fn follow(
    client: &mut UserMigrationServiceClient<Channel>,
    request: &str,
    mut is_enough: impl FnMut(&WatchUserMigrationRequestResponse) -> bool,
) -> Result<usize> {
    let watched =
        migration::WatchUserMigrationRequestRequest { user_migration_request_id: request.to_owned() };
    let mut progress = client.watch_user_migration_request(watched).await?.into_inner();
    let mut reports = 0;
    while let Some(told) = progress.message().await? {
        reports += 1;
        if is_enough(&told) {
            break;
        }
    }
    Ok(reports)
}

fn in_state(told: &WatchUserMigrationRequestResponse, state: UserMigrationState) -> u32 {
    told.counts.iter().filter(|count| count.state() == state).map(|count| count.user_count).sum()
}
