//! `mcx.functionalalias.v1.FunctionalAliasConfigurationService`, on the listener for UEs.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::functional_alias_configuration_service_server::FunctionalAliasConfigurationService;
use mcx_runtime::CallContext;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::app::watch::asker;
use crate::wire;

/// The service.
pub(crate) struct FunctionalAliasConfigurationApi(pub(crate) App);

#[tonic::async_trait]
impl FunctionalAliasConfigurationService for FunctionalAliasConfigurationApi {
    async fn get_functional_aliases(
        &self,
        request: Request<proto::GetFunctionalAliasesRequest>,
    ) -> Result<Response<proto::GetFunctionalAliasesResponse>, Status> {
        let user = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let among = wire::named(&mut violations, &request.functional_aliases);
        let limit = wire::page_size(&mut violations, request.page_size);
        let (among, limit) = violations.finish(among.zip(limit)).map_err(refuse)?;
        let page =
            self.0.list_for(&asker(&user), &among, &request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::GetFunctionalAliasesResponse {
            functional_aliases: page.items.iter().map(wire::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    type WatchFunctionalAliasesStream =
        BoxStream<'static, Result<proto::WatchFunctionalAliasesResponse, Status>>;

    async fn watch_functional_aliases(
        &self,
        request: Request<proto::WatchFunctionalAliasesRequest>,
    ) -> Result<Response<Self::WatchFunctionalAliasesStream>, Status> {
        let user = CallContext::user_of(&request)?;
        let shutdown = CallContext::of(&request)?.shutdown;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let resume = wire::optional(&mut violations, "resume_token", &request.resume_token);
        let resume = violations.finish(resume).map_err(refuse)?;
        let events = self.0.watch_aliases(&user, resume, shutdown).await.map_err(refuse)?;
        Ok(Response::new(events.map_err(refuse).boxed()))
    }
}
