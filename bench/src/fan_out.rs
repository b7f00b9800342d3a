//! One changed group is told to everybody who watches it: streams of `WatchGroups`, one for each user, over TLS to a group management
//! server in another process.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crossband::dev::{OAUTH_CLIENT, REDIRECT_URI};
use futures::{StreamExt, TryStreamExt, stream};
use mcx_federation::access_token::Scope;
use mcx_federation::spiffe_server_client_config;
use mcx_proto::group::v1 as group;
use mcx_proto::group::v1::group_configuration_service_client::GroupConfigurationServiceClient;
use mcx_proto::group::v1::group_service_client::GroupServiceClient;
use mcx_proto::group::v1::watch_groups_response::Event;
use mcx_testkit::PostgresServer;
use mcx_types::SystemClock;
use mcx_ue::identity::{IdentityManagementClient, IdentitySettings};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use crate::load::Seen;
use crate::population::{self, Passwords};
use crate::process::{cpu_time_of, resident_mb};
use crate::report::Report;
use crate::systems::{Hashing, Order, Remote, Systems};

/// How many streams share a connection.
const STREAMS_PER_CONNECTION: usize = 500;

/// How many log in, or begin to watch, at once.
const AT_ONCE: usize = 32;

/// How long the last watcher may take to hear of a change.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// How long a process is left alone before its memory is looked at.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// The group that everybody watches.
const GROUP: &str = "sip:everybody@alpha.example";

/// How much is measured.
pub(crate) struct Extent {
    pub(crate) watchers: u64,
    pub(crate) changes: usize,
}

/// A watcher heard of a change, the version of which this is.
type Heard = (i64, Instant);

/// Measures the memory of the watchers, and how long changes take to reach them.
pub(crate) async fn measure(report: &mut Report, extent: &Extent) -> Result<()> {
    let postgres = PostgresServer::shared();
    let directory = tempfile::tempdir()?;
    let order = Order {
        directory: directory.path().to_owned(),
        databases: [postgres.create_database(), postgres.create_database()],
        hashing: Hashing::Cheap,
    };
    let tokens = members_with_tokens(&order, extent.watchers).await?;
    // Started anew, so that memory that the logins left behind is not taken for free.
    let systems = Systems::start(&order).await?;
    let group_management = &systems.primary;
    let process = systems.pid()?;
    tokio::time::sleep(SETTLES_WITHIN).await;
    let empty = resident_mb(process)?;

    let begun = Instant::now();
    let (heard, mut hearing) = unbounded_channel();
    let mut watchers = JoinSet::new();
    let mut opened = stream::iter(open_all(group_management, tokens)?).buffer_unordered(AT_ONCE);
    while let Some(watch) = opened.try_next().await? {
        watchers.spawn(follow(watch, heard.clone()));
    }
    drop(heard);
    let name = |what: &str| format!("fan-out to {} watchers, {what}", extent.watchers);
    let rate = extent.watchers as f64 / begun.elapsed().as_secs_f64();
    report.add(&name("watches begun, snapshot included"), "1/s", rate);
    tokio::time::sleep(SETTLES_WITHIN).await;
    let per_watcher = |now: f64| (now - empty) * 1e3 / extent.watchers as f64;
    report.add(&name("memory of the server's process per watcher"), "kB", per_watcher(resident_mb(process)?));

    let mut groups = GroupServiceClient::new(systems.primary.operator()?);
    for change in 0..=extent.changes {
        let read =
            groups.get_group(group::GetGroupRequest { group_id: GROUP.to_owned() }).await?.into_inner();
        let changed = group::Group {
            display_name: format!("Change {change}"),
            ..read.group.context("the group is there")?
        };
        let cpu = cpu_time_of(process)?;
        let begun = Instant::now();
        let update = group::UpdateGroupRequest { group: Some(changed), ..Default::default() };
        let version =
            groups.update_group(update).await?.into_inner().group.context("a group is answered")?.version;
        let answered = begun.elapsed();
        let mut latencies = Seen::new()?;
        let mut last = begun;
        for _ in 0..extent.watchers {
            let told = tokio::time::timeout(HEARD_WITHIN, hearing.recv()).await;
            let (of, at) =
                told.context("a watcher did not hear of the change")?.context("the watches ended")?;
            ensure!(of == version, "version {of} was told for {version}");
            latencies.add(at.duration_since(begun));
            last = last.max(at);
        }
        // The first change warms up.
        if change > 0 {
            report.add(&name("change answered"), "ms", answered.as_secs_f64() * 1e3);
            report.add(&name("p50"), "ms", latencies.latency_ms(0.50));
            report.add(&name("p99"), "ms", latencies.latency_ms(0.99));
            report.add(&name("last"), "ms", last.duration_since(begun).as_secs_f64() * 1e3);
            let cpu = (cpu_time_of(process)? - cpu).as_secs_f64() * 1e6 / extent.watchers as f64;
            report.add(&name("processor time of the server per watcher"), "µs", cpu);
        }
    }
    report.add(
        &name("memory of the server's process per watcher, after the changes"),
        "kB",
        per_watcher(resident_mb(process)?),
    );
    watchers.shutdown().await;
    systems.stop().await
}

/// Users who are members of the group, logged in; the systems have ended again.
async fn members_with_tokens(order: &Order, count: u64) -> Result<Vec<SecretString>> {
    let systems = Systems::start(order).await?;
    let operator = systems.primary.operator()?;
    population::import_accounts(&operator, 0..count, Passwords::Given).await?;
    population::make_group(&operator, GROUP, 0..count).await?;
    let identity = identity_client(&systems.primary)?;
    let scopes = [Scope::OpenId, Scope::GroupManagement].map(|scope| scope.as_str().to_owned());
    let tokens = stream::iter(0..count)
        .map(|user| {
            let (identity, scopes) = (identity.clone(), scopes.clone());
            async move {
                let credentials = population::credentials(user)?;
                anyhow::Ok(identity.authenticate(&credentials, &scopes).await?.access_token)
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    systems.stop().await?;
    Ok(tokens)
}

fn identity_client(system: &Remote) -> Result<IdentityManagementClient> {
    let tls = spiffe_server_client_config(system.trust_bundle_pem.as_bytes(), &system.id)?;
    let settings = IdentitySettings {
        issuer: system.issuer.clone(),
        token_endpoint: format!("{}/token", system.issuer),
        client_id: OAUTH_CLIENT.to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
        deadline: Duration::from_secs(60),
    };
    Ok(IdentityManagementClient::new(tls, settings, std::sync::Arc::new(SystemClock))?)
}

/// What opens the watches, many of which share a connection.
fn open_all(
    system: &Remote,
    tokens: Vec<SecretString>,
) -> Result<Vec<impl Future<Output = Result<Streaming<group::WatchGroupsResponse>>> + use<>>> {
    let dialer = system.user_dialer()?;
    let mut opening = Vec::with_capacity(tokens.len());
    for tokens in tokens.chunks(STREAMS_PER_CONNECTION) {
        let channel = dialer.channel(vec![system.client.into()])?;
        opening.extend(tokens.iter().map(|token| open(channel.clone(), token.clone())));
    }
    Ok(opening)
}

/// Begins to watch: returns once the groups as they are have been told.
async fn open(channel: Channel, token: SecretString) -> Result<Streaming<group::WatchGroupsResponse>> {
    let mut request = Request::new(group::WatchGroupsRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {}", token.expose_secret()).parse()?);
    let mut watch = GroupConfigurationServiceClient::new(channel).watch_groups(request).await?.into_inner();
    let mut groups = 0;
    loop {
        let told = watch.message().await?.context("a watch ended at once")?;
        match told.event {
            Some(Event::Group(_)) => groups += 1,
            Some(Event::SnapshotComplete(_)) => break,
            _ => {}
        }
    }
    ensure!(groups == 1, "a user is a member of {groups} groups");
    Ok(watch)
}

/// Tells of every change that a watcher is told.
async fn follow(mut watch: Streaming<group::WatchGroupsResponse>, heard: UnboundedSender<Heard>) {
    while let Ok(Some(told)) = watch.message().await {
        if let Some(Event::ChangedGroup(group)) = told.event
            && heard.send((group.version, Instant::now())).is_err()
        {
            return;
        }
    }
}
