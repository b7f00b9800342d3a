//! Answers of a primary MC system that do not fit the question.

use mcx_federation::{Listener, TrustBundles};
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::federation_service_server::{FederationService, FederationServiceServer};
use mcx_runtime::readiness::Readiness;
use mcx_testkit::any_port;
use mcx_types::{Entity, McService};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use crate::fixture::{Systems, UE, on_every_database, refusal};

on_every_database!(answer_of_the_primary_that_does_not_fit_is_thrown_away);

/// A primary that answers for another user, or not for how long.
struct Liar {
    answers_for_another: bool,
}

#[tonic::async_trait]
impl FederationService for Liar {
    async fn authorize_migration_service(
        &self,
        request: Request<proto::FederationServiceAuthorizeMigrationServiceRequest>,
    ) -> Result<Response<proto::FederationServiceAuthorizeMigrationServiceResponse>, Status> {
        let mut identity = request.into_inner().identity;
        if self.answers_for_another {
            identity.as_mut().unwrap().primary_mc_service_id = "sip:mallory@ptt.alpha.example".to_owned();
        }
        Ok(Response::new(proto::FederationServiceAuthorizeMigrationServiceResponse { identity, lease: None }))
    }

    async fn deauthorize_migration_service(
        &self,
        _: Request<proto::FederationServiceDeauthorizeMigrationServiceRequest>,
    ) -> Result<Response<proto::FederationServiceDeauthorizeMigrationServiceResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn end_migration_service(
        &self,
        _: Request<proto::EndMigrationServiceRequest>,
    ) -> Result<Response<proto::EndMigrationServiceResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn affiliate(
        &self,
        _: Request<proto::FederationServiceAffiliateRequest>,
    ) -> Result<Response<proto::FederationServiceAffiliateResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn deaffiliate(
        &self,
        _: Request<proto::FederationServiceDeaffiliateRequest>,
    ) -> Result<Response<proto::FederationServiceDeaffiliateResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

async fn answer_of_the_primary_that_does_not_fit_is_thrown_away(systems: Systems) {
    for (answers_for_another, mismatch) in [(true, "IDENTITY"), (false, "LEASE")] {
        let identity = systems.alpha.own.entity(Entity::McService);
        let bundles = TrustBundles::new(identity.clone());
        bundles.replace_partner(&systems.bravo.id, systems.bravo.own.bundle_pem().as_bytes()).unwrap();
        let liar = FederationServiceServer::new(Liar { answers_for_another });
        let server = systems.alpha.own.server(identity, bundles).listener(Listener::Peer, any_port());
        let bound = server
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Peer, liar, &Readiness::new("liar"))
            .bind()
            .await
            .unwrap();
        let mut terms = systems.alpha.terms();
        let service = terms.services.get_mut(&Entity::McService).unwrap();
        service.endpoints = vec![bound.address(Listener::Peer).unwrap().into()];
        let token = CancellationToken::new();
        tokio::spawn(bound.serve(token.clone()));
        let _shutdown = token.drop_guard();
        assert!(systems.bravo.partners.replace(vec![terms]).is_empty());
        let refused = refusal(systems.visitor().migrate(systems.migrate(McService::Ptt, UE)).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "PARTNER_ANSWER_INVALID"));
        assert_eq!(refused.metadata["mismatch"], mismatch);
        assert!(systems.visitor().status(McService::Ptt).await.authorizations.is_empty());
    }
}
