//! The MC service server.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use mcx_proto::mcservice::v1::affiliation_service_server::AffiliationService;
use mcx_proto::mcservice::v1::communication_service_server::CommunicationService;
use mcx_proto::mcservice::v1::functional_alias_activation_service_server::FunctionalAliasActivationService;
use mcx_proto::mcservice::v1::service_authorization_service_server::ServiceAuthorizationService;
use mcx_proto::mcservice::v1::*;
use mcx_runtime::error::status;
use tonic::{Code, Request, Response, Status};

use super::{Refused, Servers, World};

const REFRESH_AFTER: prost_types::Duration = prost_types::Duration { seconds: 600, nanos: 0 };

impl World {
    fn authorization(&self, mc_service: i32, client_instance: &str) -> ServiceAuthorization {
        ServiceAuthorization {
            mc_service,
            mc_service_id: self.identities.get(&mc_service).cloned().unwrap_or_default(),
            client_instance: client_instance.to_owned(),
            ..ServiceAuthorization::default()
        }
    }

    fn require(&self, mc_service: i32, client_instance: &str) -> Result<(), Status> {
        if self.authorized.contains(&(mc_service, client_instance.to_owned())) {
            return Ok(());
        }
        Err(status(&Refused { code: Code::FailedPrecondition, reason: "NOT_AUTHORIZED" }))
    }
}

#[tonic::async_trait]
impl ServiceAuthorizationService for Servers {
    async fn authorize_service(
        &self,
        request: Request<AuthorizeServiceRequest>,
    ) -> Result<Response<AuthorizeServiceResponse>, Status> {
        let mut world = self.admit("AuthorizeService", &request)?;
        let AuthorizeServiceRequest { mc_service, client_instance, .. } = request.into_inner();
        world.authorized.insert((mc_service, client_instance.clone()));
        let authorization = Some(world.authorization(mc_service, &client_instance));
        let refresh_after = Some(REFRESH_AFTER);
        Ok(Response::new(AuthorizeServiceResponse { authorization, refresh_after, ..Default::default() }))
    }

    async fn deauthorize_service(
        &self,
        request: Request<DeauthorizeServiceRequest>,
    ) -> Result<Response<DeauthorizeServiceResponse>, Status> {
        drop(self.admit("DeauthorizeService", &request)?);
        Ok(Response::new(DeauthorizeServiceResponse::default()))
    }

    async fn change_active_user_profile(
        &self,
        request: Request<ChangeActiveUserProfileRequest>,
    ) -> Result<Response<ChangeActiveUserProfileResponse>, Status> {
        drop(self.admit("ChangeActiveUserProfile", &request)?);
        Ok(Response::new(ChangeActiveUserProfileResponse::default()))
    }

    async fn authorize_migration_service(
        &self,
        request: Request<AuthorizeMigrationServiceRequest>,
    ) -> Result<Response<AuthorizeMigrationServiceResponse>, Status> {
        let mut world = self.admit("AuthorizeMigrationService", &request)?;
        let asked = request.into_inner();
        world.log.push(format!("of {}", asked.primary_mc_service_id));
        world.authorized.insert((asked.mc_service, asked.client_instance.clone()));
        let authorization = Some(world.authorization(asked.mc_service, &asked.client_instance));
        let refresh_after = Some(REFRESH_AFTER);
        Ok(Response::new(AuthorizeMigrationServiceResponse {
            authorization,
            refresh_after,
            ..Default::default()
        }))
    }

    async fn deauthorize_migration_service(
        &self,
        request: Request<DeauthorizeMigrationServiceRequest>,
    ) -> Result<Response<DeauthorizeMigrationServiceResponse>, Status> {
        let mut world = self.admit("DeauthorizeMigrationService", &request)?;
        let asked = request.into_inner();
        let was_authorized = world.authorized.remove(&(asked.mc_service, asked.client_instance));
        Ok(Response::new(DeauthorizeMigrationServiceResponse { was_authorized }))
    }

    async fn get_service_status(
        &self,
        request: Request<GetServiceStatusRequest>,
    ) -> Result<Response<GetServiceStatusResponse>, Status> {
        let world = self.admit("GetServiceStatus", &request)?;
        let mc_service = request.get_ref().mc_service;
        let own = world.authorized.iter().filter(|(of, _)| *of == mc_service);
        let authorizations = own.map(|(of, client)| world.authorization(*of, client)).collect();
        Ok(Response::new(GetServiceStatusResponse { authorizations, served_by: Vec::new() }))
    }

    async fn refresh_service_authorization(
        &self,
        request: Request<RefreshServiceAuthorizationRequest>,
    ) -> Result<Response<RefreshServiceAuthorizationResponse>, Status> {
        let world = self.admit("RefreshServiceAuthorization", &request)?;
        let RefreshServiceAuthorizationRequest { mc_service, client_instance } = request.into_inner();
        world.require(mc_service, &client_instance)?;
        let authorization = Some(world.authorization(mc_service, &client_instance));
        Ok(Response::new(RefreshServiceAuthorizationResponse {
            authorization,
            refresh_after: Some(REFRESH_AFTER),
        }))
    }

    type WatchServiceStatusStream = BoxStream<'static, Result<WatchServiceStatusResponse, Status>>;

    /// Tells what authorizations there are; then, once, that the first has ended when there is none any more.
    async fn watch_service_status(
        &self,
        request: Request<WatchServiceStatusRequest>,
    ) -> Result<Response<Self::WatchServiceStatusStream>, Status> {
        let world = self.admit("WatchServiceStatus", &request)?;
        let client_instance = request.into_inner().client_instance;
        let authorized = world.authorized.iter().filter(|(_, client)| *client == client_instance);
        let authorized = authorized.map(|(mc_service, client)| {
            Some(watch_service_status_response::Event::Authorized(world.authorization(*mc_service, client)))
        });
        let message = |event| Ok(WatchServiceStatusResponse { resume_token: "s1".to_owned(), event });
        let first: Vec<_> = authorized.chain([None]).map(message).collect();
        drop(world);
        let ends = stream::unfold(self.clone(), move |servers| {
            let client_instance = client_instance.clone();
            async move {
                loop {
                    let news = Arc::clone(&servers.news);
                    let woken = news.notified();
                    if servers.world().authorized.is_empty() {
                        break;
                    }
                    woken.await;
                }
                let ended = ServiceEnded {
                    mc_service: 1,
                    client_instance,
                    reason: EndReason::Ejected.into(),
                    ..ServiceEnded::default()
                };
                let event = Some(watch_service_status_response::Event::Ended(ended));
                Some((Ok(WatchServiceStatusResponse { resume_token: "s2".to_owned(), event }), servers))
            }
        });
        Ok(Response::new(stream::iter(first).chain(ends.take(1)).chain(stream::pending()).boxed()))
    }
}

#[tonic::async_trait]
impl AffiliationService for Servers {
    async fn affiliate(
        &self,
        request: Request<AffiliateRequest>,
    ) -> Result<Response<AffiliateResponse>, Status> {
        let mut world = self.admit("Affiliate", &request)?;
        let asked = request.into_inner();
        world.require(asked.mc_service, &asked.client_instance)?;
        let mut outcomes = Vec::new();
        for group_id in asked.group_ids {
            world.affiliated.insert((asked.mc_service, asked.client_instance.clone(), group_id.clone()));
            outcomes.push(GroupOutcome { group_id, affiliated: true, rule: DecisionRule::Affiliated.into() });
        }
        Ok(Response::new(AffiliateResponse { outcomes }))
    }

    async fn deaffiliate(
        &self,
        request: Request<DeaffiliateRequest>,
    ) -> Result<Response<DeaffiliateResponse>, Status> {
        let mut world = self.admit("Deaffiliate", &request)?;
        let asked = request.into_inner();
        for group_id in asked.group_ids {
            world.affiliated.remove(&(asked.mc_service, asked.client_instance.clone(), group_id));
        }
        Ok(Response::new(DeaffiliateResponse::default()))
    }

    async fn list_affiliations(
        &self,
        request: Request<ListAffiliationsRequest>,
    ) -> Result<Response<ListAffiliationsResponse>, Status> {
        let world = self.admit("ListAffiliations", &request)?;
        let mc_service = request.get_ref().mc_service;
        let of_service = world.affiliated.iter().filter(|(of, ..)| *of == mc_service);
        let affiliations = of_service.map(|(_, client, group)| Affiliation {
            mc_service,
            client_instance: client.clone(),
            group_id: group.clone(),
            ..Affiliation::default()
        });
        Ok(Response::new(ListAffiliationsResponse { affiliations: affiliations.collect() }))
    }
}

#[tonic::async_trait]
impl FunctionalAliasActivationService for Servers {
    async fn activate_functional_alias(
        &self,
        request: Request<ActivateFunctionalAliasRequest>,
    ) -> Result<Response<ActivateFunctionalAliasResponse>, Status> {
        let mut world = self.admit("ActivateFunctionalAlias", &request)?;
        let asked = request.into_inner();
        world.require(asked.mc_service, &asked.client_instance)?;
        world.aliases.insert((asked.mc_service, asked.functional_alias));
        Ok(Response::new(ActivateFunctionalAliasResponse::default()))
    }

    async fn deactivate_functional_alias(
        &self,
        request: Request<DeactivateFunctionalAliasRequest>,
    ) -> Result<Response<DeactivateFunctionalAliasResponse>, Status> {
        let mut world = self.admit("DeactivateFunctionalAlias", &request)?;
        let asked = request.into_inner();
        let was_active = world.aliases.remove(&(asked.mc_service, asked.functional_alias));
        Ok(Response::new(DeactivateFunctionalAliasResponse { was_active }))
    }

    async fn list_active_functional_aliases(
        &self,
        request: Request<ListActiveFunctionalAliasesRequest>,
    ) -> Result<Response<ListActiveFunctionalAliasesResponse>, Status> {
        let world = self.admit("ListActiveFunctionalAliases", &request)?;
        let active = world.aliases.iter().filter(|(of, _)| *of == request.get_ref().mc_service);
        let activations = active.map(|(_, functional_alias)| FunctionalAliasActivation {
            functional_alias: functional_alias.clone(),
            ..FunctionalAliasActivation::default()
        });
        Ok(Response::new(ListActiveFunctionalAliasesResponse { activations: activations.collect() }))
    }
}

#[tonic::async_trait]
impl CommunicationService for Servers {
    async fn authorize_communication(
        &self,
        request: Request<AuthorizeCommunicationRequest>,
    ) -> Result<Response<AuthorizeCommunicationResponse>, Status> {
        let world = self.admit("AuthorizeCommunication", &request)?;
        let is_authorized =
            world.require(request.get_ref().mc_service, &request.get_ref().client_instance).is_ok();
        let decision =
            if is_authorized { CommunicationDecision::Allowed } else { CommunicationDecision::Refused };
        let explanation = format!("by the rules of {}", world.mc_system_id);
        Ok(Response::new(AuthorizeCommunicationResponse {
            decision: decision.into(),
            explanation,
            ..Default::default()
        }))
    }
}
