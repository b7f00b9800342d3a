//! The MC service client: service authorization, affiliation, functional aliases and communication (TS 23.280 10.6, 10.8, 10.13).

use mcx_proto::mcservice::v1::affiliation_service_client::AffiliationServiceClient;
use mcx_proto::mcservice::v1::authorize_communication_request::Target;
use mcx_proto::mcservice::v1::communication_service_client::CommunicationServiceClient;
use mcx_proto::mcservice::v1::functional_alias_activation_service_client::FunctionalAliasActivationServiceClient;
use mcx_proto::mcservice::v1::service_authorization_service_client::ServiceAuthorizationServiceClient;
use mcx_proto::mcservice::v1::watch_service_status_response::Event as WireEvent;
use mcx_proto::mcservice::v1::{
    self as proto, Affiliation, AliasDisplaced, AuthorizeCommunicationResponse, CommunicationKind,
    DeaffiliationScope, FunctionalAliasActivation, GroupOutcome, ServedByChanged, ServiceAuthorization,
    ServiceEnded,
};
use mcx_proto::types::v1 as types;
use mcx_types::{Entity, FunctionalAlias, McService, McServiceGroupId, McServiceId, ProfileIndex};
use tonic::Streaming;
use uuid::Uuid;

use super::watch::{Message, Watched, watch};
use super::{Caller, ServerError, SystemAccess, UserChannel, Watch};

/// The MC service client of one user on one UE.
#[derive(Clone)]
pub struct McServiceClient {
    caller: Caller,
    client_instance: Uuid,
    authorization: ServiceAuthorizationServiceClient<UserChannel>,
    affiliation: AffiliationServiceClient<UserChannel>,
    functional_alias: FunctionalAliasActivationServiceClient<UserChannel>,
    communication: CommunicationServiceClient<UserChannel>,
}

/// Whom a user wants to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// Another user.
    User(McServiceId),
    /// A group.
    Group(McServiceGroupId),
    /// Whoever has this role now.
    FunctionalAlias(FunctionalAlias),
}

/// A change of the status of this client.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceStatusEvent {
    /// It is authorized so.
    Authorized(Box<ServiceAuthorization>),
    /// An authorization has ended, and why.
    Ended(Box<ServiceEnded>),
    /// Another user has taken over a functional alias.
    AliasDisplaced(Box<AliasDisplaced>),
    /// Told by the primary: the user is served by a partner, or is not any more.
    ServedByChanged(Box<ServedByChanged>),
}

macro_rules! call {
    ($self:ident, $client:ident, $rpc:ident, $message:expr) => {
        $self
            .caller
            .call($message, |request| {
                let mut client = $self.$client.clone();
                async move { client.$rpc(request).await }
            })
            .await
    };
}

impl McServiceClient {
    /// A client of the MC service server at `address`, `host:port`. `client_instance` stays the same on one UE.
    ///
    /// # Errors
    /// [`ServerError::Unusable`]
    pub fn new(access: &SystemAccess, address: &str, client_instance: Uuid) -> Result<Self, ServerError> {
        let (caller, channel) = access.caller(Entity::McService, address)?;
        Ok(Self {
            caller,
            client_instance,
            authorization: ServiceAuthorizationServiceClient::new(channel.clone()),
            affiliation: AffiliationServiceClient::new(channel.clone()),
            functional_alias: FunctionalAliasActivationServiceClient::new(channel.clone()),
            communication: CommunicationServiceClient::new(channel),
        })
    }

    /// Is authorized in the primary (TS 23.280 10.1.1.1): the profile asked for, or else the pre-selected one, becomes active.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn authorize_service(
        &self,
        mc_service: McService,
        profile_index: Option<ProfileIndex>,
    ) -> Result<proto::AuthorizeServiceResponse, ServerError> {
        let message = proto::AuthorizeServiceRequest {
            mc_service: wire(mc_service),
            profile_index: profile_index.map(|index| index.0.into()),
            client_instance: self.client_instance.to_string(),
        };
        call!(self, authorization, authorize_service, message)
    }

    /// Ends the authorization of this client in the primary; whether there was one.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn deauthorize_service(&self, mc_service: McService) -> Result<bool, ServerError> {
        let message = proto::DeauthorizeServiceRequest {
            mc_service: wire(mc_service),
            client_instance: self.client_instance.to_string(),
        };
        Ok(call!(self, authorization, deauthorize_service, message)?.was_authorized)
    }

    /// Makes another user profile the active one during service (TS 23.280 10.1.4.6).
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn change_active_user_profile(
        &self,
        mc_service: McService,
        profile_index: ProfileIndex,
    ) -> Result<proto::ChangeActiveUserProfileResponse, ServerError> {
        let message = proto::ChangeActiveUserProfileRequest {
            mc_service: wire(mc_service),
            client_instance: self.client_instance.to_string(),
            profile_index: profile_index.0.into(),
        };
        call!(self, authorization, change_active_user_profile, message)
    }

    /// Is authorized in the partner (TS 23.280 10.6.3).
    ///
    /// # Errors
    /// [`ServerError`]; where the primary did not agree, [`ServerError::hop`] tells.
    pub async fn authorize_migration(
        &self,
        mc_service: McService,
        primary_mc_service_id: &McServiceId,
        profile_index: Option<ProfileIndex>,
    ) -> Result<proto::AuthorizeMigrationServiceResponse, ServerError> {
        let message = proto::AuthorizeMigrationServiceRequest {
            mc_service: wire(mc_service),
            primary_mc_service_id: primary_mc_service_id.to_string(),
            profile_index: profile_index.map(|index| index.0.into()),
            client_instance: self.client_instance.to_string(),
        };
        call!(self, authorization, authorize_migration_service, message)
    }

    /// Ends the authorization of this client in the partner; whether there was one.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn deauthorize_migration(&self, mc_service: McService) -> Result<bool, ServerError> {
        let message = proto::DeauthorizeMigrationServiceRequest {
            mc_service: wire(mc_service),
            client_instance: self.client_instance.to_string(),
        };
        Ok(call!(self, authorization, deauthorize_migration_service, message)?.was_authorized)
    }

    /// Keeps an authorization beyond its end.
    ///
    /// # Errors
    /// [`ServerError`]; its reason is `NOT_AUTHORIZED` where it has ended.
    pub async fn refresh(
        &self,
        mc_service: McService,
    ) -> Result<proto::RefreshServiceAuthorizationResponse, ServerError> {
        let message = proto::RefreshServiceAuthorizationRequest {
            mc_service: wire(mc_service),
            client_instance: self.client_instance.to_string(),
        };
        call!(self, authorization, refresh_service_authorization, message)
    }

    /// The authorizations of all of the user's clients, and where she is served while away.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn status(
        &self,
        mc_service: McService,
    ) -> Result<proto::GetServiceStatusResponse, ServerError> {
        let message = proto::GetServiceStatusRequest { mc_service: wire(mc_service) };
        call!(self, authorization, get_service_status, message)
    }

    /// The authorization of this client, if any.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn own_authorization(
        &self,
        mc_service: McService,
    ) -> Result<Option<ServiceAuthorization>, ServerError> {
        let own = self.client_instance.to_string();
        let mut authorizations = self.status(mc_service).await?.authorizations.into_iter();
        Ok(authorizations.find(|authorization| authorization.client_instance == own))
    }

    /// Affiliates this client to groups; an outcome for each.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn affiliate(
        &self,
        mc_service: McService,
        group_ids: &[McServiceGroupId],
    ) -> Result<Vec<GroupOutcome>, ServerError> {
        let message = proto::AffiliateRequest {
            mc_service: wire(mc_service),
            client_instance: self.client_instance.to_string(),
            group_ids: group_ids.iter().map(ToString::to_string).collect(),
        };
        Ok(call!(self, affiliation, affiliate, message)?.outcomes)
    }

    /// Ends affiliations; an outcome for each.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn deaffiliate(
        &self,
        mc_service: McService,
        group_ids: &[McServiceGroupId],
        scope: DeaffiliationScope,
    ) -> Result<Vec<GroupOutcome>, ServerError> {
        let message = proto::DeaffiliateRequest {
            mc_service: wire(mc_service),
            client_instance: self.client_instance.to_string(),
            group_ids: group_ids.iter().map(ToString::to_string).collect(),
            scope: scope.into(),
        };
        Ok(call!(self, affiliation, deaffiliate, message)?.outcomes)
    }

    /// The affiliations of this client.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn affiliations(&self, mc_service: McService) -> Result<Vec<Affiliation>, ServerError> {
        let message = proto::ListAffiliationsRequest { mc_service: wire(mc_service) };
        let own = self.client_instance.to_string();
        let mut affiliations = call!(self, affiliation, list_affiliations, message)?.affiliations;
        affiliations.retain(|affiliation| affiliation.client_instance == own);
        Ok(affiliations)
    }

    /// Takes on a role.
    ///
    /// # Errors
    /// [`ServerError`]; its reason is `ACTIVATION_REFUSED` with the rule in the metadata where she may not.
    pub async fn activate_alias(
        &self,
        mc_service: McService,
        functional_alias: &FunctionalAlias,
        take_over: bool,
    ) -> Result<proto::ActivateFunctionalAliasResponse, ServerError> {
        let message = proto::ActivateFunctionalAliasRequest {
            mc_service: wire(mc_service),
            client_instance: self.client_instance.to_string(),
            functional_alias: functional_alias.to_string(),
            take_over,
        };
        call!(self, functional_alias, activate_functional_alias, message)
    }

    /// Lays down a role; whether she had it.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn deactivate_alias(
        &self,
        mc_service: McService,
        functional_alias: &FunctionalAlias,
    ) -> Result<bool, ServerError> {
        let message = proto::DeactivateFunctionalAliasRequest {
            mc_service: wire(mc_service),
            functional_alias: functional_alias.to_string(),
        };
        Ok(call!(self, functional_alias, deactivate_functional_alias, message)?.was_active)
    }

    /// The roles that the user has now.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn active_aliases(
        &self,
        mc_service: McService,
    ) -> Result<Vec<FunctionalAliasActivation>, ServerError> {
        let message = proto::ListActiveFunctionalAliasesRequest { mc_service: wire(mc_service) };
        Ok(call!(self, functional_alias, list_active_functional_aliases, message)?.activations)
    }

    /// Whether the user may call somebody now. A refusal is an answer.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn authorize_communication(
        &self,
        mc_service: McService,
        kind: CommunicationKind,
        called: &Called,
    ) -> Result<AuthorizeCommunicationResponse, ServerError> {
        let message = proto::AuthorizeCommunicationRequest {
            caller_mc_service_id: String::new(),
            mc_service: wire(mc_service),
            kind: kind.into(),
            target: Some(match called {
                Called::User(id) => Target::McServiceId(id.to_string()),
                Called::Group(id) => Target::GroupId(id.to_string()),
                Called::FunctionalAlias(alias) => Target::FunctionalAlias(alias.to_string()),
            }),
            client_instance: self.client_instance.to_string(),
        };
        call!(self, communication, authorize_communication, message)
    }

    /// The status of this client in all MC services, and every change of it; it goes on for as long as it can.
    pub fn watch(&self, resume_token: Option<String>) -> Watch<ServiceStatusEvent> {
        watch(WatchedStatus(self.clone()), resume_token)
    }
}

fn wire(mc_service: McService) -> i32 {
    types::McService::from(mc_service).into()
}

struct WatchedStatus(McServiceClient);

impl Watched for WatchedStatus {
    type Answer = proto::WatchServiceStatusResponse;
    type Event = ServiceStatusEvent;

    fn caller(&self) -> &Caller {
        &self.0.caller
    }

    async fn open(&self, resume_token: String) -> Result<Streaming<Self::Answer>, ServerError> {
        let client_instance = self.0.client_instance.to_string();
        let message = proto::WatchServiceStatusRequest { client_instance, resume_token };
        let opened = self.0.caller.open(message, |request| {
            let mut client = self.0.authorization.clone();
            async move { client.watch_service_status(request).await }
        });
        opened.await
    }

    fn read(&self, answer: Self::Answer) -> Result<Message<ServiceStatusEvent>, ServerError> {
        let event = match answer.event {
            Some(WireEvent::Authorized(authorized)) => {
                Some(ServiceStatusEvent::Authorized(Box::new(authorized)))
            }
            Some(WireEvent::Ended(ended)) => Some(ServiceStatusEvent::Ended(Box::new(ended))),
            Some(WireEvent::AliasDisplaced(displaced)) => {
                Some(ServiceStatusEvent::AliasDisplaced(Box::new(displaced)))
            }
            Some(WireEvent::ServedByChanged(changed)) => {
                Some(ServiceStatusEvent::ServedByChanged(Box::new(changed)))
            }
            None => None,
        };
        // An empty message is the end of the snapshot, or says that nothing happened: either way all was told.
        let caught_up = event.is_none();
        Ok(Message { resume_token: answer.resume_token, event, caught_up })
    }
}
