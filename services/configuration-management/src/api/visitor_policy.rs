//! `mcx.configuration.v1.VisitorPolicyService`.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::visitor_policy_service_server::VisitorPolicyService;
use mcx_types::{McSystemId, Violations};
use tonic::{Request, Response, Status};

use super::{changed_by, mutating_request, refuse};
use crate::app::App;
use crate::error::Error;
use crate::store::documents::Kind;
use crate::wire;
use crate::wire::document::Document;

/// The service.
pub(crate) struct VisitorPolicyApi(pub(crate) App);

#[tonic::async_trait]
impl VisitorPolicyService for VisitorPolicyApi {
    async fn get_visitor_policy(
        &self,
        request: Request<proto::GetVisitorPolicyRequest>,
    ) -> Result<Response<proto::GetVisitorPolicyResponse>, Status> {
        let mut violations = Violations::new();
        let id: Option<McSystemId> = violations.parse("mc_system_id", &request.into_inner().mc_system_id);
        let id = violations.finish(id).map_err(refuse)?;
        let policy = self.0.visitor_policy(&id).await.map_err(refuse)?;
        Ok(Response::new(proto::GetVisitorPolicyResponse { visitor_policy: Some(policy) }))
    }

    async fn update_visitor_policy(
        &self,
        request: Request<proto::UpdateVisitorPolicyRequest>,
    ) -> Result<Response<proto::UpdateVisitorPolicyResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateVisitorPolicy", &request.request_id, &by, &request);
        let policy = request.visitor_policy.as_ref();
        let decoded = wire::visitor_policy::decode(&mut violations, "visitor_policy", policy, &self.0);
        let version = policy
            .and_then(|policy| wire::optional_version(&mut violations, "visitor_policy.etag", &policy.etag));
        let ((id, policy), version) = violations.finish(id.zip(decoded).zip(version)).map_err(refuse)?;
        self.0.update_visitor_policy(&policy, version, id, by).await.map(Response::new).map_err(refuse)
    }

    async fn list_visitor_policies(
        &self,
        request: Request<proto::ListVisitorPoliciesRequest>,
    ) -> Result<Response<proto::ListVisitorPoliciesResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.documents("", &request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListVisitorPoliciesResponse {
            visitor_policies: page.items,
            next_page_token: page.next_after,
        }))
    }

    async fn list_visitor_policy_versions(
        &self,
        request: Request<proto::ListVisitorPolicyVersionsRequest>,
    ) -> Result<Response<proto::ListVisitorPolicyVersionsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id: Option<McSystemId> = violations.parse("mc_system_id", &request.mc_system_id);
        let limit = wire::page_size(&mut violations, request.page_size);
        let (id, limit) = violations.finish(id.zip(limit)).map_err(refuse)?;
        let page = self.0.versions(Kind::VisitorPolicy, id.as_str(), &request.page_token, limit).await;
        let page = page.map_err(refuse)?.try_map(|version| {
            Ok::<_, Error>(proto::VisitorPolicyVersion {
                version: version.version.unsigned_abs(),
                create_time: wire::time(version.created_at),
                visitor_policy: proto::VisitorPolicy::read_version(&version)?,
                changed_by: version.changed_by,
            })
        });
        let page = page.map_err(refuse)?;
        Ok(Response::new(proto::ListVisitorPolicyVersionsResponse {
            versions: page.items,
            next_page_token: page.next_after,
        }))
    }
}
