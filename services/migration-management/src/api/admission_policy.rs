//! `mcx.migration.v1.AdmissionPolicyService`.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::admission_policy_service_server::AdmissionPolicyService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{mutating_request, refuse};
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct AdmissionPolicyApi(pub(crate) App);

#[tonic::async_trait]
impl AdmissionPolicyService for AdmissionPolicyApi {
    async fn get_admission_policy(
        &self,
        request: Request<proto::GetAdmissionPolicyRequest>,
    ) -> Result<Response<proto::GetAdmissionPolicyResponse>, Status> {
        let mut violations = Violations::new();
        let primary = violations.parse("primary_mc_system_id", &request.into_inner().primary_mc_system_id);
        let primary = violations.finish(primary).map_err(refuse)?;
        let policy = self.0.get_admission_policy(primary).await.map_err(refuse)?;
        let admission_policy = Some(wire::admission_policy::encode(&policy));
        Ok(Response::new(proto::GetAdmissionPolicyResponse { admission_policy }))
    }

    async fn list_admission_policies(
        &self,
        request: Request<proto::ListAdmissionPoliciesRequest>,
    ) -> Result<Response<proto::ListAdmissionPoliciesResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.list_admission_policies(&request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListAdmissionPoliciesResponse {
            admission_policies: page.items.iter().map(wire::admission_policy::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn update_admission_policy(
        &self,
        request: Request<proto::UpdateAdmissionPolicyRequest>,
    ) -> Result<Response<proto::UpdateAdmissionPolicyResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateAdmissionPolicy", &request.request_id, &request);
        let etag = request.admission_policy.as_ref().map(|policy| policy.etag.as_str()).unwrap_or_default();
        let version = match etag {
            "" => Some(None),
            etag => wire::version(&mut violations, "admission_policy.etag", etag).map(Some),
        };
        let policy =
            wire::admission_policy::decode(&mut violations, &self.0.own, request.admission_policy.clone());
        let ((id, version), policy) = violations.finish(id.zip(version).zip(policy)).map_err(refuse)?;
        self.0.update_admission_policy(policy, version, id).await.map(Response::new).map_err(refuse)
    }
}
