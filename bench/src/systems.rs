//! Two federated systems in a process of their own, so that its memory, processor time and sockets are theirs alone.
//!
//! The process is this program again. It is told on its standard input what to run, answers with the document of a ready file, and ends when
//! its standard input does.

use std::io::stdout;
use std::io::{Write, stdin};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossband::config::{CrossbandConfig, identity_files};
use crossband::dev::{DevOptions, Federation, PARTNER, PRIMARY, PortPlan, StoreUrls, ready_document};
use mcx_federation::{ChannelSettings, OwnIdentity, UserDialer};
use mcx_proto::configuration::v1 as configuration;
use mcx_proto::configuration::v1::initial_ue_configuration_service_client::InitialUeConfigurationServiceClient;
use mcx_types::{Entity, McSystemId, SpiffeId, SystemClock};
use mcx_ue::ue::BootstrapSource;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tonic::transport::Channel;

use crate::bare_chain::secured_channel;

/// The subcommand with which this program runs the systems.
pub(crate) const SUBCOMMAND: &str = "systems";

/// How long the process may take to end by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(45);

/// How passwords are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Hashing {
    /// As by default.
    AsInProduction,
    /// As cheaply as Argon2id can, where a login is only the way to an access token.
    Cheap,
}

/// What is run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where the systems keep certificates and keys; used again when they are started again.
    pub(crate) directory: PathBuf,
    /// The databases of the primary and the partner.
    pub(crate) databases: [String; 2],
    pub(crate) hashing: Hashing,
}

/// The systems, from outside.
pub(crate) struct Systems {
    child: Child,
    /// The process ends with it.
    input: ChildStdin,
    pub(crate) primary: Remote,
    pub(crate) partner: Remote,
}

/// One of the systems, from outside.
pub(crate) struct Remote {
    pub(crate) id: McSystemId,
    pub(crate) trust_bundle_pem: String,
    pub(crate) issuer: String,
    /// gRPC for UEs.
    pub(crate) client: SocketAddr,
    /// Metrics.
    pub(crate) admin: SocketAddr,
    grpc: SocketAddr,
    certificates: PathBuf,
}

impl Systems {
    /// Starts the process; both systems serve.
    pub(crate) async fn start(order: &Order) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SUBCOMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the process of the systems")?;
        let mut input = child.stdin.take().context("the process has a standard input")?;
        let output = child.stdout.take().context("the process has a standard output")?;
        input.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        ensure!(!line.is_empty(), "the systems did not start; their log says why");
        let ready: Value = serde_json::from_str(&line)?;
        let primary = Remote::of(&ready, PRIMARY)?;
        let partner = Remote::of(&ready, PARTNER)?;
        Ok(Self { child, input, primary, partner })
    }

    /// The process.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the process of the systems runs")
    }

    /// Ends the process in good order.
    pub(crate) async fn stop(self) -> Result<()> {
        let Self { mut child, input, .. } = self;
        drop(input);
        match tokio::time::timeout(ENDS_WITHIN, child.wait()).await {
            Ok(status) => ensure!(status?.success(), "the systems did not end in good order"),
            Err(_) => child.kill().await?,
        }
        Ok(())
    }
}

impl Remote {
    fn of(ready: &Value, id: &str) -> Result<Self> {
        let system = &ready["systems"][id];
        let text = |key: &str| system[key].as_str().with_context(|| format!("{id} names its {key}"));
        let trust_bundle = Path::new(text("ca_pem")?);
        Ok(Self {
            id: id.parse()?,
            trust_bundle_pem: std::fs::read_to_string(trust_bundle)?,
            issuer: text("issuer")?.to_owned(),
            client: text("client")?.parse()?,
            admin: text("admin_http")?.parse()?,
            grpc: text("grpc")?.parse()?,
            certificates: trust_bundle.parent().context("the certificates are in a folder")?.to_owned(),
        })
    }

    /// A channel that shows the operator's certificate.
    pub(crate) fn operator(&self) -> Result<Channel> {
        let files = identity_files(&self.certificates, crossband::certificates::OPERATOR);
        let listening_as = SpiffeId::entity(self.id.clone(), Entity::MigrationManagement);
        secured_channel(&OwnIdentity::load(&files)?, listening_as, self.grpc)
    }

    /// The identity of one of its entities.
    pub(crate) fn any_identity(&self) -> Result<OwnIdentity> {
        let files = identity_files(&self.certificates, Entity::MigrationManagement.as_str());
        Ok(OwnIdentity::load(&files)?)
    }

    /// Opens channels as UEs do.
    pub(crate) fn user_dialer(&self) -> Result<UserDialer> {
        let bundle = self.trust_bundle_pem.as_bytes();
        let clock = std::sync::Arc::new(SystemClock);
        Ok(UserDialer::new(self.id.clone(), bundle, ChannelSettings::default(), clock)?)
    }

    /// Has the operator issue an enrolment code for a UE.
    pub(crate) async fn enrol(&self, operator: &Channel, ue_id: &str) -> Result<BootstrapSource> {
        let mut client = InitialUeConfigurationServiceClient::new(operator.clone());
        let request =
            configuration::CreateUeEnrolmentRequest { ue_id: ue_id.to_owned(), ..Default::default() };
        let answer = client.create_ue_enrolment(request).await?.into_inner();
        Ok(BootstrapSource::Enrolment {
            mc_system_id: self.id.clone(),
            configuration_management: self.client.to_string(),
            trust_bundle_pem: self.trust_bundle_pem.clone(),
            enrolment_code: answer.enrolment_code.into(),
        })
    }
}

/// Runs the systems until standard input ends: what the process does.
pub(crate) async fn run() -> Result<()> {
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let options = DevOptions {
        data_directory: order.directory,
        ports: PortPlan::Free,
        stores: StoreUrls { databases: Some(order.databases), cache: None },
        provisioned_by_hand: &["alice", "bob", "chloe"],
        adjust: match order.hashing {
            Hashing::AsInProduction => for_one_source,
            Hashing::Cheap => for_one_source_hashing_cheaply,
        },
    };
    let federation = Federation::start(&options, None).await?;
    let ready = serde_json::to_string(&ready_document(&federation)?)?;
    let mut output = stdout();
    output.write_all(format!("{ready}\n").as_bytes())?;
    output.flush()?;
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut stdin(), &mut std::io::sink()));
    ended.await??;
    ensure!(federation.stop().await, "the systems did not end in good order");
    Ok(())
}

/// All UEs are behind one address here, and ask as often as they can: what guards against that is lifted. Tokens last for the whole run.
fn for_one_source(config: &mut CrossbandConfig) {
    let limits = &mut config.identity_management.limits;
    limits.logins_per_source_per_minute = u64::from(u32::MAX);
    limits.token_requests_per_source_per_minute = u64::from(u32::MAX);
    limits.connections_per_source = limits.connections;
    config.identity_management.access_token_lifetime = Duration::from_hours(1);
    config.identity_management.passwords.hash_queue_timeout = Duration::from_secs(60);
    let limits = &mut config.configuration_management.limits;
    limits.bootstraps_per_minute = u32::MAX;
    limits.bootstraps_per_source_per_minute = u32::MAX;
    limits.profile_requests_per_partner_per_minute = u32::MAX;
    config.migration_management.default_limits.requests_per_minute = u32::MAX;
    // The first UEs at once have every entity open all of its connections, which takes longer than usual on a busy machine.
    config.database.acquire_timeout = Duration::from_secs(10);
}

fn for_one_source_hashing_cheaply(config: &mut CrossbandConfig) {
    for_one_source(config);
    config.identity_management.passwords.hash_memory_kib = 8;
    config.identity_management.passwords.hash_passes = 1;
}
