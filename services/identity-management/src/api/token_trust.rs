//! `mcx.identity.v1.TokenTrustService`.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::token_trust_service_server::TokenTrustService;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::wire;

/// How long a watcher hears nothing at most: what was said last is then said again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(20);

/// The service.
pub(crate) struct TokenTrustApi(pub(crate) App);

#[tonic::async_trait]
impl TokenTrustService for TokenTrustApi {
    type WatchTokenTrustStream = BoxStream<'static, Result<proto::WatchTokenTrustResponse, Status>>;

    async fn watch_token_trust(
        &self,
        _request: Request<proto::WatchTokenTrustRequest>,
    ) -> Result<Response<Self::WatchTokenTrustStream>, Status> {
        let issuer = self.0.issuer.clone();
        let draining = self.0.draining.clone();
        let mut trust = self.0.trust.watch();
        // What there is comes first.
        trust.mark_changed();
        let snapshots = stream::unfold((trust, draining), |(mut trust, draining)| async move {
            loop {
                tokio::select! {
                    // Whoever watches comes again, to another replica.
                    () = draining.cancelled() => return None,
                    _ = timeout(REPEAT_INTERVAL, trust.changed()) => {}
                }
                let snapshot = trust.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    return Some((snapshot, (trust, draining)));
                }
            }
        });
        let messages =
            snapshots.map(move |snapshot| Ok(wire::signing_key::encode_snapshot(&issuer, &snapshot)));
        Ok(Response::new(messages.boxed()))
    }
}
