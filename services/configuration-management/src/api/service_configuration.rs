//! `mcx.configuration.v1.ServiceConfigurationService`.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::service_configuration_service_server::ServiceConfigurationService;
use mcx_proto::types::v1::McService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{changed_by, mutating_request, refuse};
use crate::app::App;
use crate::error::Error;
use crate::store::documents::Kind;
use crate::wire;
use crate::wire::document::Document;

/// The service.
pub(crate) struct ServiceConfigurationApi(pub(crate) App);

#[tonic::async_trait]
impl ServiceConfigurationService for ServiceConfigurationApi {
    async fn get_service_configuration(
        &self,
        request: Request<proto::GetServiceConfigurationRequest>,
    ) -> Result<Response<proto::GetServiceConfigurationResponse>, Status> {
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.into_inner().mc_service);
        let mc_service = violations.finish(mc_service).map_err(refuse)?;
        let found = self.0.service_configuration(mc_service).await.map_err(refuse)?;
        let found = found.ok_or_else(|| refuse(Error::ServiceConfigurationUnknown(mc_service)))?;
        Ok(Response::new(proto::GetServiceConfigurationResponse { service_configuration: Some(found) }))
    }

    async fn update_service_configuration(
        &self,
        request: Request<proto::UpdateServiceConfigurationRequest>,
    ) -> Result<Response<proto::UpdateServiceConfigurationResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(
            &mut violations,
            "UpdateServiceConfiguration",
            &request.request_id,
            &by,
            &request,
        );
        let configuration = request.service_configuration.as_ref();
        let checked =
            wire::service_configuration::check(&mut violations, "service_configuration", configuration);
        let version = configuration.and_then(|configuration| {
            wire::optional_version(&mut violations, "service_configuration.etag", &configuration.etag)
        });
        let ((id, configuration), version) =
            violations.finish(id.zip(checked).zip(version)).map_err(refuse)?;
        let outcome = self.0.update_service_configuration(configuration, version, id, by).await;
        outcome.map(Response::new).map_err(refuse)
    }

    async fn list_service_configuration_versions(
        &self,
        request: Request<proto::ListServiceConfigurationVersionsRequest>,
    ) -> Result<Response<proto::ListServiceConfigurationVersionsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.mc_service);
        let limit = wire::page_size(&mut violations, request.page_size);
        let (mc_service, limit) = violations.finish(mc_service.zip(limit)).map_err(refuse)?;
        let key = McService::from(mc_service).as_str_name();
        let page = self.0.versions(Kind::ServiceConfiguration, key, &request.page_token, limit).await;
        let page = page.map_err(refuse)?.try_map(|version| {
            Ok::<_, Error>(proto::ServiceConfigurationVersion {
                version: version.version.unsigned_abs(),
                create_time: wire::time(version.created_at),
                service_configuration: proto::ServiceConfiguration::read_version(&version)?,
                changed_by: version.changed_by,
            })
        });
        let page = page.map_err(refuse)?;
        Ok(Response::new(proto::ListServiceConfigurationVersionsResponse {
            versions: page.items,
            next_page_token: page.next_after,
        }))
    }
}
