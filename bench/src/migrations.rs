//! Complete migrations, TS 23.280 10.1.1.2: real UEs, each with connections, an ISIM and tokens of its own, go from service at home to service at
//! the partner and back, so many at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use mcx_testkit::PostgresServer;
use mcx_types::McSystemId;
use mcx_ue::state::Step;
use mcx_ue::ue::{McServiceUe, StepOutcome, UeSettings};
use tonic::transport::Channel;

use crate::bare_migration::{self, BareMigration, Work};
use crate::counters::Counters;
use crate::load::Seen;
use crate::population::{self, Passwords};
use crate::process::{self, cpu_time, cpu_time_of};
use crate::provisioning;
use crate::report::Report;
use crate::systems::{Hashing, Order, Systems};

/// How many UEs are under way at once.
const AT_ONCE: usize = 16;

/// How often a UE goes on from a step that failed, as its user would, before the run is given up.
const TRIED_AGAIN: usize = 3;

/// How many connections to Postgres the yardstick has: as many as each entity.
const CONNECTIONS: u32 = 16;

/// How much is measured.
pub(crate) struct Extent {
    pub(crate) ues: u64,
    /// How many users the systems have in the end, all of whom may migrate: whether a migration costs more among many.
    pub(crate) users: u64,
    pub(crate) repetitions: usize,
}

/// A UE and what it tells of its steps.
struct Observed {
    ue: McServiceUe,
    steps: Arc<Mutex<Vec<(&'static str, Duration)>>>,
    undone: Arc<Mutex<Vec<String>>>,
}

/// What a round of all UEs saw.
struct Round {
    elapsed: Duration,
    /// The whole of each UE, and each of its steps.
    latencies: BTreeMap<&'static str, Seen>,
    /// Steps that failed and were done when the UE tried again.
    failed_steps: usize,
    ues: Vec<Observed>,
}

/// The name under which the whole of a UE's way is kept.
const WHOLE: &str = "whole";

/// The steps that are reported, in their order: those to the partner, and those home.
const TO_THE_PARTNER: [Step; 6] = [
    Step::AuthenticateAtPartner,
    Step::RegisterAtPartner,
    Step::DownloadProfiles,
    Step::ObtainGroups,
    Step::AuthorizeMigration(mcx_types::McService::Ptt),
    Step::BeginOperation,
];
const HOME: [Step; 7] = [
    Step::DeactivateAliases,
    Step::Deaffiliate,
    Step::DeauthorizeMigration(mcx_types::McService::Ptt),
    Step::DeregisterAtPartner,
    Step::DiscardPartner,
    Step::RegisterAtPrimary,
    Step::AuthorizeService(mcx_types::McService::Ptt),
];

/// Measures migrations among as many users as there are UEs, and among more.
pub(crate) async fn measure(report: &mut Report, extent: &Extent) -> Result<()> {
    process::ensure_open_files(extent.ues * 14 + 1_000)?;
    let postgres = PostgresServer::shared();
    let directory = tempfile::tempdir()?;
    let databases = [postgres.create_database(), postgres.create_database()];
    let order = Order { directory: directory.path().to_owned(), databases, hashing: Hashing::AsInProduction };
    let systems = Systems::start(&order).await?;
    let operators = [systems.primary.operator()?, systems.partner.operator()?];
    let counters = Counters::create(&postgres.create_database(), extent.ues, CONNECTIONS).await?;

    let ues = set_up(report, &systems, &operators, extent).await?;
    let ues = measure_among(report, &systems, &counters, ues, extent.ues, extent.repetitions).await?;
    let more = extent.ues..extent.users;
    population::import(&operators[0], more.clone(), Passwords::None).await?;
    provisioning::provision(&systems, &operators, more).await?;
    let ues = measure_among(report, &systems, &counters, ues, extent.users, extent.repetitions).await?;
    judge(report, extent);
    drop(ues);
    systems.stop().await
}

/// Users who may migrate, with UEs that are served at home.
async fn set_up(
    report: &mut Report,
    systems: &Systems,
    operators: &[Channel; 2],
    extent: &Extent,
) -> Result<Vec<Observed>> {
    let users = 0..extent.ues;
    let rates = population::import(&operators[0], users.clone(), Passwords::Given).await?;
    report.add("set-up: import of accounts, each with an argon2id hash", "1/s", rates.accounts);
    provisioning::provision(systems, operators, users.clone()).await?;
    let begun = Instant::now();
    let ues: Vec<Observed> = stream::iter(users)
        .map(|user| switch_on(systems, &operators[0], user))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let served = extent.ues as f64 / begun.elapsed().as_secs_f64();
    report.add(
        "set-up: UEs from the factory to service at home, login with argon2id included",
        "1/s",
        served,
    );
    let mut logins = Seen::new()?;
    for observed in &ues {
        for (name, took) in observed.take_steps() {
            if name == Step::AuthenticateUser.name() {
                logins.add(took);
            }
        }
    }
    report.add("set-up: login, p50", "ms", logins.latency_ms(0.5));
    Ok(ues)
}

async fn switch_on(systems: &Systems, operator: &Channel, user: u64) -> Result<Observed> {
    let enrolment = systems.primary.enrol(operator, &population::ue_id(user)).await?;
    let credentials = population::credentials(user)?;
    let mut settings =
        UeSettings::new(population::ue_id(user), population::isim(user)?, Arc::new(rand::random::<u128>));
    // Many log in at once here, and wait for their turn to be hashed.
    settings.deadline = Duration::from_secs(60);
    tokio::spawn(async move {
        let mut observed = Observed::new(McServiceUe::switch_on(settings)?);
        observed.ue.bootstrap(enrolment).await?;
        observed.ue.authenticate(credentials).await?;
        observed.ue.start().await?;
        anyhow::Ok(observed)
    })
    .await?
}

/// Rounds of migrations and returns of all UEs, with the yardstick after each.
async fn measure_among(
    report: &mut Report,
    systems: &Systems,
    counters: &Counters,
    mut ues: Vec<Observed>,
    users: u64,
    repetitions: usize,
) -> Result<Vec<Observed>> {
    let bare = BareMigration::start(&systems.primary).await?;
    let count = ues.len() as f64;
    for repetition in 0..=repetitions {
        // The first round warms up: connections are opened, statements prepared.
        let mut warming_up = Report::default();
        let report = if repetition == 0 { &mut warming_up } else { &mut *report };
        let name = |what: &str| format!("migration among {users} users, {what}");
        let before = bare_migration::done(systems, counters).await?;
        let cpu_before = (cpu_time_of(systems.pid()?)?, cpu_time()?);
        let away = round(ues, Direction::Away).await?;
        let cpu = (cpu_time_of(systems.pid()?)? - cpu_before.0, cpu_time()? - cpu_before.1);
        let work = bare_migration::done(systems, counters).await?.since(&before).each_of(count);
        add_round(report, &format!("migration among {users} users"), &away, &TO_THE_PARTNER);
        report.add(&name("16 UEs at once"), "1/s", count / away.elapsed.as_secs_f64());
        report.add(&name("processor time of both systems"), "ms", cpu.0.as_secs_f64() * 1e3 / count);
        report.add(&name("processor time of the UE"), "ms", cpu.1.as_secs_f64() * 1e3 / count);
        report.add(&name("gRPC calls served"), "", work.rpcs);
        report.add(&name("HTTPS requests served"), "", work.https_requests);
        report.add(&name("transactions that wrote"), "", work.commits);

        let home = round(away.ues, Direction::Home).await?;
        add_round(report, &format!("return among {users} users"), &home, &HOME);
        report.add(
            &format!("return among {users} users, 16 UEs at once"),
            "1/s",
            count / home.elapsed.as_secs_f64(),
        );
        ues = home.ues;
        let seen = bare.run(AT_ONCE, Work::rounded(&work), counters, home.elapsed.min(YARDSTICK)).await?;
        report.add(&name("bare equivalent, 16 at once"), "1/s", seen.rate());
    }
    Ok(ues)
}

/// How long the yardstick is run at most.
const YARDSTICK: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
enum Direction {
    Away,
    Home,
}

/// Sends every UE there, so many at once.
async fn round(ues: Vec<Observed>, direction: Direction) -> Result<Round> {
    let partner: McSystemId = crossband::dev::PARTNER.parse()?;
    let begun = Instant::now();
    let done: Vec<(Observed, Duration, usize)> = stream::iter(ues)
        .map(|mut observed| {
            let partner = partner.clone();
            async move {
                let going = tokio::spawn(async move {
                    let begun = Instant::now();
                    let mut failed = 0;
                    while let Err(error) = match direction {
                        Direction::Away => observed.ue.migrate(&partner, None).await,
                        Direction::Home => observed.ue.return_home().await,
                    } {
                        failed += 1;
                        ensure!(failed <= TRIED_AGAIN, error);
                    }
                    anyhow::Ok((observed, begun.elapsed(), failed))
                });
                going.await?
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let elapsed = begun.elapsed();
    let mut latencies = BTreeMap::new();
    let mut ues = Vec::with_capacity(done.len());
    let mut failed_steps = 0;
    for (observed, took, failed) in done {
        failed_steps += failed;
        for (name, took) in observed.take_steps().into_iter().chain([(WHOLE, took)]) {
            latencies.entry(name).or_insert(Seen::new()?).add(took);
        }
        let undone = std::mem::take(&mut *observed.undone.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(undone.is_empty(), "a UE could not undo in the partner what it did there: {undone:?}");
        ues.push(observed);
    }
    Ok(Round { elapsed, latencies, failed_steps, ues })
}

fn add_round(report: &mut Report, name: &str, round: &Round, steps: &[Step]) {
    report.add(&format!("{name}, steps that failed and were tried again"), "", round.failed_steps as f64);
    let whole = (WHOLE, "whole");
    for (key, shown) in [whole].into_iter().chain(steps.iter().map(|step| (step.name(), step.name()))) {
        if let Some(latencies) = round.latencies.get(key) {
            report.add(&format!("{name}, {shown}, p50"), "ms", latencies.latency_ms(0.50));
            report.add(&format!("{name}, {shown}, p99"), "ms", latencies.latency_ms(0.99));
        }
    }
}

fn judge(report: &mut Report, extent: &Extent) {
    let rate = |users: u64| format!("migration among {users} users, 16 UEs at once");
    let bare = |users: u64| format!("migration among {users} users, bare equivalent, 16 at once");
    for users in [extent.ues, extent.users] {
        let figures = [bare(users), rate(users)];
        let name = format!("bare equivalents per second / migrations per second, among {users} users");
        report.ratio(&name, figures.each_ref().map(String::as_str), |[bare, real]| bare / real);
    }
    let figures = [rate(extent.users), rate(extent.ues)];
    let name = format!("migrations per second among {} users / among {}", extent.users, extent.ues);
    report.ratio(&name, figures.each_ref().map(String::as_str), |[many, few]| many / few);
}

impl Observed {
    fn new(mut ue: McServiceUe) -> Self {
        let steps = Arc::new(Mutex::new(Vec::new()));
        let undone = Arc::new(Mutex::new(Vec::new()));
        let (heard, given_up) = (Arc::clone(&steps), Arc::clone(&undone));
        let begun = Mutex::new(Instant::now());
        ue.observe(Arc::new(move |event| {
            let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
            match event.outcome {
                StepOutcome::Started => *begun = Instant::now(),
                StepOutcome::Done => heard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((event.step.name(), begun.elapsed())),
                StepOutcome::GivenUp(error) => given_up
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(format!("{}: {error}", event.step)),
                // Ends the run.
                StepOutcome::Failed(_) => {}
            }
        }));
        Self { ue, steps, undone }
    }

    fn take_steps(&self) -> Vec<(&'static str, Duration)> {
        std::mem::take(&mut *self.steps.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
