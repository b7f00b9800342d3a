//! `mcx.migration.v1.SipAuthenticationService`: TS 23.280 10.1.6.2 steps 2 and 9.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::sip_authentication_service_server::SipAuthenticationService;
use mcx_runtime::CallContext;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::app::release::Asked;

/// The service.
pub(crate) struct SipAuthenticationApi(pub(crate) App);

#[tonic::async_trait]
impl SipAuthenticationService for SipAuthenticationApi {
    async fn get_sip_authentication_information(
        &self,
        request: Request<proto::GetSipAuthenticationInformationRequest>,
    ) -> Result<Response<proto::GetSipAuthenticationInformationResponse>, Status> {
        let context = CallContext::of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let identities = violations.sip_identities("partner_identities", request.partner_identities);
        let scheme = violations.scheme("scheme", request.scheme);
        let (identities, scheme) = violations.finish(identities.zip(scheme)).map_err(refuse)?;
        let visitor = self
            .0
            .authenticate_visitor(identities, Asked::Vector(scheme), context.certificate()?)
            .await
            .map_err(refuse)?;
        Ok(Response::new(proto::GetSipAuthenticationInformationResponse {
            partner_identities: Some(visitor.partner_identities.into()),
            authentication_information: Some(visitor.authentication_information.into()),
        }))
    }

    async fn resynchronise(
        &self,
        request: Request<proto::ResynchroniseRequest>,
    ) -> Result<Response<proto::ResynchroniseResponse>, Status> {
        let context = CallContext::of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let identities = violations.sip_identities("partner_identities", request.partner_identities);
        let failure =
            violations.synchronisation_failure("synchronisation_failure", request.synchronisation_failure);
        let (identities, failure) = violations.finish(identities.zip(failure)).map_err(refuse)?;
        let visitor = self
            .0
            .authenticate_visitor(identities, Asked::Resynchronisation(failure), context.certificate()?)
            .await
            .map_err(refuse)?;
        Ok(Response::new(proto::ResynchroniseResponse {
            partner_identities: Some(visitor.partner_identities.into()),
            authentication_information: Some(visitor.authentication_information.into()),
        }))
    }
}
