//! `mcx.migration.v1.FederationService`: TS 23.280 10.1.6.2 steps 4 and 7 and 10.17.5, on the peer listener.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::federation_service_server::FederationService;
use mcx_runtime::CallContext;
use mcx_types::{Impi, SipIdentities, Violations};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::refuse;
use crate::app::App;
use crate::app::provisioning::Decider;
use crate::app::release::{Asked, PartnerRequest};
use crate::domain::release::ReleaseRequest;
use crate::wire;

/// The service.
pub(crate) struct FederationApi(pub(crate) App);

/// What both rpcs name: the request, the user, and the user as the partner knows her.
struct Named {
    transaction_id: Uuid,
    primary_identities: SipIdentities,
    partner_impi: Impi,
}

fn named(
    violations: &mut Violations,
    transaction_id: &str,
    primary_identities: Option<mcx_proto::types::v1::SipIdentities>,
    partner_impi: &str,
) -> Option<Named> {
    let transaction_id = wire::uuid(violations, "transaction_id", transaction_id);
    let primary_identities = violations.sip_identities("primary_identities", primary_identities);
    let partner_impi = violations.parse("partner_impi", partner_impi);
    Some(Named {
        transaction_id: transaction_id?,
        primary_identities: primary_identities?,
        partner_impi: partner_impi?,
    })
}

impl Named {
    /// The request as the use case takes it. The partner is who the channel proves, never what the request says.
    fn asked(self, context: &CallContext, asked: Asked, vector_count: u32) -> Result<PartnerRequest, Status> {
        Ok(PartnerRequest {
            transaction_id: self.transaction_id,
            release: ReleaseRequest {
                partner: context.caller.mc_system_id().clone(),
                primary_identities: self.primary_identities,
                partner_impi: self.partner_impi,
                vector_count,
            },
            asked,
            certificate_sha256: context.certificate()?,
        })
    }
}

#[tonic::async_trait]
impl FederationService for FederationApi {
    async fn get_sip_authentication_information(
        &self,
        request: Request<proto::FederationServiceGetSipAuthenticationInformationRequest>,
    ) -> Result<Response<proto::FederationServiceGetSipAuthenticationInformationResponse>, Status> {
        let context = CallContext::of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = named(
            &mut violations,
            &request.transaction_id,
            request.primary_identities,
            &request.partner_impi,
        );
        let scheme = violations.scheme("scheme", request.scheme);
        let (named, scheme) = violations.finish(named.zip(scheme)).map_err(refuse)?;
        let primary_identities = named.primary_identities.clone();
        let asked = named.asked(&context, Asked::Vector(scheme), request.vector_count)?;
        let information = self.0.release(asked).await.map_err(refuse)?;
        Ok(Response::new(proto::FederationServiceGetSipAuthenticationInformationResponse {
            transaction_id: request.transaction_id,
            primary_identities: Some(primary_identities.into()),
            authentication_information: Some(information.into()),
        }))
    }

    async fn resynchronise(
        &self,
        request: Request<proto::FederationServiceResynchroniseRequest>,
    ) -> Result<Response<proto::FederationServiceResynchroniseResponse>, Status> {
        let context = CallContext::of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = named(
            &mut violations,
            &request.transaction_id,
            request.primary_identities,
            &request.partner_impi,
        );
        let failure =
            violations.synchronisation_failure("synchronisation_failure", request.synchronisation_failure);
        let (named, failure) = violations.finish(named.zip(failure)).map_err(refuse)?;
        let primary_identities = named.primary_identities.clone();
        let asked = named.asked(&context, Asked::Resynchronisation(failure), 1)?;
        let information = self.0.release(asked).await.map_err(refuse)?;
        Ok(Response::new(proto::FederationServiceResynchroniseResponse {
            transaction_id: request.transaction_id,
            primary_identities: Some(primary_identities.into()),
            authentication_information: Some(information.into()),
        }))
    }

    async fn offer_user_migrations(
        &self,
        request: Request<proto::OfferUserMigrationsRequest>,
    ) -> Result<Response<proto::OfferUserMigrationsResponse>, Status> {
        let context = CallContext::of(&request)?;
        let decider = Decider::of(&context)?;
        let mut violations = Violations::new();
        let offers = wire::user_migration_exchange::offers(&mut violations, request.into_inner().offers);
        let offers = violations.finish(offers).map_err(refuse)?;
        let primary = context.caller.mc_system_id().clone();
        self.0.take_offers(primary, offers, &decider).await.map(Response::new).map_err(refuse)
    }

    async fn report_user_migrations(
        &self,
        request: Request<proto::ReportUserMigrationsRequest>,
    ) -> Result<Response<proto::ReportUserMigrationsResponse>, Status> {
        let context = CallContext::of(&request)?;
        let decider = Decider::of(&context)?;
        let mut violations = Violations::new();
        let reports = wire::user_migration_exchange::reports(&mut violations, request.into_inner());
        let (reports, configuration) = violations.finish(reports).map_err(refuse)?;
        let peer = context.caller.mc_system_id().clone();
        self.0.take_reports(peer, reports, configuration, &decider).await.map(Response::new).map_err(refuse)
    }
}
