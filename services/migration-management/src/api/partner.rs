//! `mcx.migration.v1.PartnerService`: the agreements, as the other entities of this MC system follow them.

use futures::StreamExt;
use futures::stream::BoxStream;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::partner_service_server::PartnerService;
use mcx_runtime::CallContext;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct PartnerApi(pub(crate) App);

#[tonic::async_trait]
impl PartnerService for PartnerApi {
    type WatchPartnersStream = BoxStream<'static, Result<proto::WatchPartnersResponse, Status>>;

    async fn watch_partners(
        &self,
        request: Request<proto::WatchPartnersRequest>,
    ) -> Result<Response<Self::WatchPartnersStream>, Status> {
        let shutdown = CallContext::of(&request)?.shutdown;
        let snapshots = self.0.watch_agreements().take_until(shutdown.cancelled_owned());
        Ok(Response::new(snapshots.map(|agreements| Ok(wire::partner::encode(&agreements))).boxed()))
    }
}
