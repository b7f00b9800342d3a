//! What a complete migration is compared with: the same number of TLS connections, calls, signatures, verifications and durable commits, with
//! nothing of ours between them. How many there are is counted while real UEs migrate.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mcx_proto::sipdatabase::v1 as database;
use mcx_proto::sipdatabase::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey};

use crate::bare_chain::{BareServer, Protection};
use crate::counters::Counters;
use crate::load::{Seen, closed_loop};
use crate::metrics::Metrics;
use crate::systems::{Remote, Systems};

/// A UE opens one connection to each of four servers of the partner, and one to its identity management server.
const CONNECTIONS: usize = 5;

/// The security token of the primary, and access and ID token of the partner.
const SIGNATURES: usize = 3;

/// The security token is verified too, and the access token that it was traded for.
const FURTHER_VERIFICATIONS: usize = 2;

/// What the systems have done, in all or for one migration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) rpcs: f64,
    /// Those of UEs, each of which carries an access token to be verified.
    user_rpcs: f64,
    pub(crate) https_requests: f64,
    /// Transactions that wrote something.
    pub(crate) commits: f64,
}

impl Done {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            rpcs: self.rpcs - before.rpcs,
            user_rpcs: self.user_rpcs - before.user_rpcs,
            https_requests: self.https_requests - before.https_requests,
            commits: self.commits - before.commits,
        }
    }

    pub(crate) fn each_of(&self, count: f64) -> Self {
        Self {
            rpcs: self.rpcs / count,
            user_rpcs: self.user_rpcs / count,
            https_requests: self.https_requests / count,
            commits: self.commits / count,
        }
    }
}

/// What the systems have done until now.
pub(crate) async fn done(systems: &Systems, counters: &Counters) -> Result<Done> {
    // One recorder counts for both systems of the process.
    let metrics = Metrics::of(systems.primary.admin).await?;
    Ok(Done {
        rpcs: metrics.sum("mcx_grpc_requests_total", ""),
        user_rpcs: metrics.sum("mcx_grpc_requests_total", "listener=\"client\""),
        https_requests: metrics.sum("mcx_identity_management_https_requests_total", ""),
        commits: counters.transactions_that_wrote().await?,
    })
}

/// How much one bare migration does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    calls: usize,
    verifications: usize,
    commits: usize,
}

impl Work {
    /// What was counted, in whole numbers.
    pub(crate) fn rounded(done: &Done) -> Self {
        Self {
            calls: (done.rpcs + done.https_requests).round() as usize,
            verifications: done.user_rpcs.round() as usize + FURTHER_VERIFICATIONS,
            commits: done.commits.round() as usize,
        }
    }
}

/// The bare server and a key.
pub(crate) struct BareMigration {
    server: BareServer,
    key: SigningKey,
}

impl BareMigration {
    /// Starts the server, protected by the mutual TLS of Crossband.
    pub(crate) async fn start(system: &Remote) -> Result<Self> {
        let server = BareServer::start(&Protection::MutualTls(system.any_identity()?)).await?;
        let key = SigningKey::from_slice(&[7; 32]).context("the key is one")?;
        Ok(Self { server, key })
    }

    /// Does the work of so many migrations at once, one thing after the other in each.
    pub(crate) async fn run(
        &self,
        at_once: usize,
        work: Work,
        counters: &Counters,
        duration: Duration,
    ) -> Result<Seen> {
        let (server, key, counters) = (self.server.clone(), self.key.clone(), counters.clone());
        closed_loop(at_once, duration, move |number| {
            let (server, key, counters) = (server.clone(), key.clone(), counters.clone());
            async move {
                let mut channels = Vec::with_capacity(CONNECTIONS);
                for _ in 0..CONNECTIONS {
                    channels.push(SipAuthenticationServiceClient::new(server.channel()?));
                }
                for call in 0..work.calls {
                    let request = database::GetSipAuthenticationInformationRequest::default();
                    channels[call % CONNECTIONS].get_sip_authentication_information(request).await?;
                }
                let message = number.to_be_bytes();
                let mut signature: Signature = key.sign(&message);
                for _ in 1..SIGNATURES {
                    signature = black_box(key.sign(&message));
                }
                for _ in 0..work.verifications {
                    let verified = key.verifying_key().verify(black_box(&message), &signature);
                    ensure!(verified.is_ok(), "a signature is not that of its key");
                }
                for _ in 0..work.commits {
                    counters.move_one(number).await?;
                }
                Ok(())
            }
        })
        .await
    }
}
