//! `mcx.configuration.v1.UeConfigurationService`.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::ue_configuration_service_server::UeConfigurationService;
use mcx_types::{McService, Violations};
use tonic::{Request, Response, Status};

use super::{changed_by, mutating_request, refuse};
use crate::app::App;
use crate::error::Error;
use crate::store::documents::Kind;
use crate::wire;
use crate::wire::document::{Document, ue_configuration_key};

/// The service.
pub(crate) struct UeConfigurationApi(pub(crate) App);

/// Decodes which configuration is meant.
fn named(violations: &mut Violations, mc_service: i32, ue_id: &str) -> Option<(McService, String)> {
    let mc_service = violations.mc_service("mc_service", mc_service);
    let ue_id = match ue_id {
        "" => Some(String::new()),
        ue_id => wire::ue_id(violations, "ue_id", ue_id),
    };
    mc_service.zip(ue_id)
}

/// Decodes a configuration with its MC service.
fn checked(
    violations: &mut Violations,
    configuration: Option<&proto::UeConfiguration>,
) -> Option<(McService, proto::UeConfiguration)> {
    let configuration = wire::ue_configuration::check(violations, "ue_configuration", configuration)?;
    let mc_service = violations.mc_service("ue_configuration.mc_service", configuration.mc_service)?;
    Some((mc_service, configuration))
}

#[tonic::async_trait]
impl UeConfigurationService for UeConfigurationApi {
    async fn create_ue_configuration(
        &self,
        request: Request<proto::CreateUeConfigurationRequest>,
    ) -> Result<Response<proto::CreateUeConfigurationResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id =
            mutating_request(&mut violations, "CreateUeConfiguration", &request.request_id, &by, &request);
        let configuration = checked(&mut violations, request.ue_configuration.as_ref());
        let (id, (mc_service, configuration)) = violations.finish(id.zip(configuration)).map_err(refuse)?;
        let outcome = self.0.create_ue_configuration(mc_service, configuration, id, by).await;
        outcome.map(Response::new).map_err(refuse)
    }

    async fn get_ue_configuration(
        &self,
        request: Request<proto::GetUeConfigurationRequest>,
    ) -> Result<Response<proto::GetUeConfigurationResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = named(&mut violations, request.mc_service, &request.ue_id);
        let (mc_service, ue_id) = violations.finish(named).map_err(refuse)?;
        let found = self.0.ue_configuration(mc_service, &ue_id).await.map_err(refuse)?;
        let found = found.ok_or_else(|| refuse(Error::UeConfigurationUnknown { mc_service, ue_id }))?;
        Ok(Response::new(proto::GetUeConfigurationResponse { ue_configuration: Some(found) }))
    }

    async fn list_ue_configurations(
        &self,
        request: Request<proto::ListUeConfigurationsRequest>,
    ) -> Result<Response<proto::ListUeConfigurationsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.documents("", &request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListUeConfigurationsResponse {
            ue_configurations: page.items,
            next_page_token: page.next_after,
        }))
    }

    async fn update_ue_configuration(
        &self,
        request: Request<proto::UpdateUeConfigurationRequest>,
    ) -> Result<Response<proto::UpdateUeConfigurationResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id =
            mutating_request(&mut violations, "UpdateUeConfiguration", &request.request_id, &by, &request);
        let configuration = checked(&mut violations, request.ue_configuration.as_ref());
        let version = request.ue_configuration.as_ref().and_then(|configuration| {
            wire::version(&mut violations, "ue_configuration.etag", &configuration.etag)
        });
        let ((id, (mc_service, configuration)), version) =
            violations.finish(id.zip(configuration).zip(version)).map_err(refuse)?;
        let outcome = self.0.update_ue_configuration(mc_service, configuration, version, id, by).await;
        outcome.map(Response::new).map_err(refuse)
    }

    async fn delete_ue_configuration(
        &self,
        request: Request<proto::DeleteUeConfigurationRequest>,
    ) -> Result<Response<proto::DeleteUeConfigurationResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id =
            mutating_request(&mut violations, "DeleteUeConfiguration", &request.request_id, &by, &request);
        let named = named(&mut violations, request.mc_service, &request.ue_id);
        let version = wire::optional_version(&mut violations, "etag", &request.etag);
        let ((id, (mc_service, ue_id)), version) =
            violations.finish(id.zip(named).zip(version)).map_err(refuse)?;
        let outcome = self.0.delete_ue_configuration(mc_service, ue_id, version, id, by).await;
        outcome.map(Response::new).map_err(refuse)
    }

    async fn list_ue_configuration_versions(
        &self,
        request: Request<proto::ListUeConfigurationVersionsRequest>,
    ) -> Result<Response<proto::ListUeConfigurationVersionsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = named(&mut violations, request.mc_service, &request.ue_id);
        let limit = wire::page_size(&mut violations, request.page_size);
        let ((mc_service, ue_id), limit) = violations.finish(named.zip(limit)).map_err(refuse)?;
        let key = ue_configuration_key(mc_service.into(), &ue_id);
        let page = self.0.versions(Kind::UeConfiguration, &key, &request.page_token, limit).await;
        let page = page.map_err(refuse)?.try_map(|version| {
            Ok::<_, Error>(proto::UeConfigurationVersion {
                version: version.version.unsigned_abs(),
                create_time: wire::time(version.created_at),
                ue_configuration: proto::UeConfiguration::read_version(&version)?,
                changed_by: version.changed_by,
            })
        });
        let page = page.map_err(refuse)?;
        Ok(Response::new(proto::ListUeConfigurationVersionsResponse {
            versions: page.items,
            next_page_token: page.next_after,
        }))
    }
}
