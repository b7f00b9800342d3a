//! `mcx.identity.v1.TokenTrustService`.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::token_trust_service_server::TokenTrustService;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::app::trust::News;
use crate::store::revocations::Revocations;
use crate::wire::signing_key::{encode_addition, encode_snapshot};

/// How long a watcher hears nothing at most: then it is told that nothing is to be added.
const REPEAT_INTERVAL: Duration = Duration::from_secs(20);

/// After how long a watcher is told everything anew, and forgets revocations of tokens that have expired.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(600);

/// The service.
pub(crate) struct TokenTrustApi(pub(crate) App);

#[tonic::async_trait]
impl TokenTrustService for TokenTrustApi {
    type WatchTokenTrustStream = BoxStream<'static, Result<proto::WatchTokenTrustResponse, Status>>;

    async fn watch_token_trust(
        &self,
        _request: Request<proto::WatchTokenTrustRequest>,
    ) -> Result<Response<Self::WatchTokenTrustStream>, Status> {
        let app = self.0.clone();
        // Before the first message, so that nothing is missed between it and the second; what is told twice does no harm.
        let watcher = Watcher { news: app.trust.watch(), renewed_at: None, app };
        let messages = stream::unfold(watcher, |mut watcher| async move {
            let message = watcher.next().await?;
            Some((Ok(message), watcher))
        });
        Ok(Response::new(messages.boxed()))
    }
}

/// Somebody who is told what to believe.
struct Watcher {
    app: App,
    news: broadcast::Receiver<News>,
    /// When it was told everything.
    renewed_at: Option<Instant>,
}

impl Watcher {
    /// What it is told next; nothing more where this replica ends: whoever watches comes again, to another one.
    async fn next(&mut self) -> Option<proto::WatchTokenTrustResponse> {
        let draining = self.app.draining.clone();
        loop {
            let is_due = self.renewed_at.is_none_or(|at| at.elapsed() >= RENEWAL_INTERVAL);
            if is_due && let Some(everything) = self.everything() {
                return Some(everything);
            }
            let news = tokio::select! {
                () = draining.cancelled() => return None,
                news = timeout(REPEAT_INTERVAL, self.news.recv()) => news,
            };
            match news {
                // Before it was told anything it is told everything.
                _ if self.renewed_at.is_none() => {}
                Ok(Ok(News::Revoked(revocations))) => return Some(encode_addition(&revocations)),
                // Whoever is too slow for single news is told everything.
                Ok(Ok(News::KeysChanged) | Err(RecvError::Lagged(_))) => self.renewed_at = None,
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some(encode_addition(&Revocations::default())),
            }
        }
    }

    fn everything(&mut self) -> Option<proto::WatchTokenTrustResponse> {
        let everything =
            self.app.trust.known(|known| known.map(|known| encode_snapshot(&self.app.issuer, known)));
        self.renewed_at = everything.is_some().then(Instant::now);
        everything
    }
}
