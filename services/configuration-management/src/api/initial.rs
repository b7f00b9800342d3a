//! `mcx.configuration.v1.InitialUeConfigurationService` and `BootstrapService`.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::bootstrap_service_server::BootstrapService;
use mcx_proto::configuration::v1::initial_ue_configuration_service_server::InitialUeConfigurationService;
use mcx_runtime::CallContext;
use mcx_types::{SourceNetwork, Timestamp, Violations};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{changed_by, mutating_request, refuse};
use crate::app::App;
use crate::domain::enrolment::{Enrolment, EnrolmentCode, EnrolmentState};
use crate::error::Error;
use crate::store::documents::Kind;
use crate::wire;
use crate::wire::document::Document;

/// What operators call.
pub(crate) struct InitialUeConfigurationApi(pub(crate) App);

/// What a factory-new UE calls.
pub(crate) struct BootstrapApi(pub(crate) App);

#[tonic::async_trait]
impl InitialUeConfigurationService for InitialUeConfigurationApi {
    async fn get_initial_ue_configuration(
        &self,
        _: Request<proto::GetInitialUeConfigurationRequest>,
    ) -> Result<Response<proto::GetInitialUeConfigurationResponse>, Status> {
        let document = self.0.initial_ue_configuration().await.map_err(refuse)?;
        Ok(Response::new(proto::GetInitialUeConfigurationResponse { document: Some(document) }))
    }

    async fn update_initial_ue_configuration(
        &self,
        request: Request<proto::UpdateInitialUeConfigurationRequest>,
    ) -> Result<Response<proto::UpdateInitialUeConfigurationResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(
            &mut violations,
            "UpdateInitialUeConfiguration",
            &request.request_id,
            &by,
            &request,
        );
        let document = violations.require("document", request.document.as_ref()).and_then(|document| {
            let checked = wire::initial_ue_configuration::check(
                &mut violations,
                "document.initial_ue_configuration",
                document.initial_ue_configuration.as_ref(),
                &self.0.own,
            );
            let version = wire::optional_version(&mut violations, "document.etag", &document.etag);
            checked.zip(version)
        });
        let (id, (configuration, version)) = violations.finish(id.zip(document)).map_err(refuse)?;
        let document = proto::InitialUeConfigurationDocument {
            initial_ue_configuration: Some(configuration),
            ..Default::default()
        };
        let outcome = self.0.update_initial_ue_configuration(document, version, id, by).await;
        outcome.map(Response::new).map_err(refuse)
    }

    async fn list_initial_ue_configuration_versions(
        &self,
        request: Request<proto::ListInitialUeConfigurationVersionsRequest>,
    ) -> Result<Response<proto::ListInitialUeConfigurationVersionsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let key = proto::InitialUeConfigurationDocument::default().key();
        let page = self.0.versions(Kind::InitialUeConfiguration, &key, &request.page_token, limit).await;
        let page = page.map_err(refuse)?.try_map(|version| {
            let document = proto::InitialUeConfigurationDocument::read_version(&version)?;
            Ok::<_, Error>(proto::InitialUeConfigurationVersion {
                version: version.version.unsigned_abs(),
                create_time: wire::time(version.created_at),
                changed_by: version.changed_by,
                initial_ue_configuration: document.and_then(|document| document.initial_ue_configuration),
            })
        });
        let page = page.map_err(refuse)?;
        Ok(Response::new(proto::ListInitialUeConfigurationVersionsResponse {
            versions: page.items,
            next_page_token: page.next_after,
        }))
    }

    async fn create_ue_enrolment(
        &self,
        request: Request<proto::CreateUeEnrolmentRequest>,
    ) -> Result<Response<proto::CreateUeEnrolmentResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let ue_id = wire::ue_id(&mut violations, "ue_id", &request.ue_id);
        let expires_at = match request.expire_time {
            None => Some(None),
            Some(at) => violations.accept("expire_time", Timestamp::try_from(at)).map(Some),
        };
        let (ue_id, expires_at) = violations.finish(ue_id.zip(expires_at)).map_err(refuse)?;
        let (enrolment, code) = self.0.create_enrolment(ue_id, expires_at).await.map_err(refuse)?;
        Ok(Response::new(proto::CreateUeEnrolmentResponse {
            ue_enrolment: Some(encode(&enrolment, enrolment.created_at)),
            enrolment_code: code.expose_grouped(),
        }))
    }

    async fn list_ue_enrolments(
        &self,
        request: Request<proto::ListUeEnrolmentsRequest>,
    ) -> Result<Response<proto::ListUeEnrolmentsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.list_enrolments(&request.page_token, limit).await.map_err(refuse)?;
        let now = self.0.clock.now();
        Ok(Response::new(proto::ListUeEnrolmentsResponse {
            ue_enrolments: page.items.iter().map(|enrolment| encode(enrolment, now)).collect(),
            next_page_token: page.next_after,
        }))
    }

    async fn delete_ue_enrolment(
        &self,
        request: Request<proto::DeleteUeEnrolmentRequest>,
    ) -> Result<Response<proto::DeleteUeEnrolmentResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let ue_id = wire::ue_id(&mut violations, "ue_id", &request.ue_id);
        let ue_id = violations.finish(ue_id).map_err(refuse)?;
        self.0.delete_enrolment(ue_id).await.map_err(refuse)?;
        Ok(Response::new(proto::DeleteUeEnrolmentResponse {}))
    }
}

fn encode(enrolment: &Enrolment, now: Timestamp) -> proto::UeEnrolment {
    let state = match enrolment.state(now) {
        EnrolmentState::Issued => proto::UeEnrolmentState::Issued,
        EnrolmentState::Used => proto::UeEnrolmentState::Used,
        EnrolmentState::Expired => proto::UeEnrolmentState::Expired,
    };
    proto::UeEnrolment {
        ue_id: enrolment.ue_id.clone(),
        state: state.into(),
        create_time: wire::time(enrolment.created_at),
        expire_time: wire::time(enrolment.expires_at),
        use_time: enrolment.used_at.and_then(wire::time),
        failure_count: u32::try_from(enrolment.failures).unwrap_or(u32::MAX),
    }
}

#[tonic::async_trait]
impl BootstrapService for BootstrapApi {
    async fn get_initial_ue_configuration(
        &self,
        request: Request<proto::BootstrapServiceGetInitialUeConfigurationRequest>,
    ) -> Result<Response<proto::BootstrapServiceGetInitialUeConfigurationResponse>, Status> {
        let source = SourceNetwork::of(CallContext::of(&request)?.remote_address.ip());
        let request = request.into_inner();
        let sent = Zeroizing::new(request.enrolment_code);
        let mut violations = Violations::new();
        let ue_id = wire::ue_id(&mut violations, "ue_id", &request.ue_id);
        if sent.is_empty() || sent.len() > 64 {
            violations.add("enrolment_code", "must be 1 to 64 bytes");
        }
        let request_id = match request.request_id.as_str() {
            "" => Some(None),
            id => wire::uuid(&mut violations, "request_id", id).map(Some),
        };
        let (ue_id, request_id) = violations.finish(ue_id.zip(request_id)).map_err(refuse)?;
        let code = EnrolmentCode::from_sent(&sent);
        let configuration = self.0.bootstrap(source, &ue_id, &code, request_id).await.map_err(refuse)?;
        Ok(Response::new(proto::BootstrapServiceGetInitialUeConfigurationResponse {
            initial_ue_configuration: Some(configuration),
        }))
    }
}
