//! What a user does once she is served, at home or in a partner (TS 23.280 10.1.4, 10.8, 10.13).

use mcx_proto::mcservice::v1::{
    ActivateFunctionalAliasResponse, AuthorizeCommunicationResponse, ChangeActiveUserProfileResponse,
    CommunicationKind, DeaffiliationScope, GetServiceStatusResponse, GroupOutcome,
};
use mcx_types::{FunctionalAlias, McService, McServiceGroupId, ProfileIndex};

use super::system::Clients;
use super::{McServiceUe, Side, UeError};
use crate::servers::{Called, ServerError};
use crate::state::{Event, UeState};

impl McServiceUe {
    /// Affiliates to groups, in the MC system that serves her; an outcome for each.
    ///
    /// # Errors
    /// [`UeError`]
    pub async fn affiliate(
        &self,
        service: McService,
        groups: &[McServiceGroupId],
    ) -> Result<Vec<GroupOutcome>, UeError> {
        let (_, clients) = self.side_of(service)?;
        self.noticing(service, clients.mc_service.affiliate(service, groups).await)
    }

    /// Leaves groups on this UE; an outcome for each.
    ///
    /// # Errors
    /// [`UeError`]
    pub async fn deaffiliate(
        &self,
        service: McService,
        groups: &[McServiceGroupId],
    ) -> Result<Vec<GroupOutcome>, UeError> {
        let (_, clients) = self.side_of(service)?;
        let scope = DeaffiliationScope::ThisClient;
        self.noticing(service, clients.mc_service.deaffiliate(service, groups, scope).await)
    }

    /// Takes on a role.
    ///
    /// # Errors
    /// [`UeError`]
    pub async fn activate_alias(
        &self,
        service: McService,
        alias: &FunctionalAlias,
        take_over: bool,
    ) -> Result<ActivateFunctionalAliasResponse, UeError> {
        let (_, clients) = self.side_of(service)?;
        self.noticing(service, clients.mc_service.activate_alias(service, alias, take_over).await)
    }

    /// Lays down a role; whether she had it.
    ///
    /// # Errors
    /// [`UeError`]
    pub async fn deactivate_alias(
        &self,
        service: McService,
        alias: &FunctionalAlias,
    ) -> Result<bool, UeError> {
        let (_, clients) = self.side_of(service)?;
        self.noticing(service, clients.mc_service.deactivate_alias(service, alias).await)
    }

    /// Whether she may call somebody now. A refusal is an answer.
    ///
    /// # Errors
    /// [`UeError`]
    pub async fn authorize_communication(
        &self,
        service: McService,
        kind: CommunicationKind,
        called: &Called,
    ) -> Result<AuthorizeCommunicationResponse, UeError> {
        let (_, clients) = self.side_of(service)?;
        self.noticing(service, clients.mc_service.authorize_communication(service, kind, called).await)
    }

    /// Makes another user profile the active one (10.1.4.6).
    ///
    /// # Errors
    /// [`UeError`]
    pub async fn change_active_user_profile(
        &self,
        service: McService,
        index: ProfileIndex,
    ) -> Result<ChangeActiveUserProfileResponse, UeError> {
        let (_, clients) = self.side_of(service)?;
        self.noticing(service, clients.mc_service.change_active_user_profile(service, index).await)
    }

    /// What the MC system that serves her says of her.
    ///
    /// # Errors
    /// [`UeError`]
    pub async fn service_status(&self, service: McService) -> Result<GetServiceStatusResponse, UeError> {
        let (_, clients) = self.side_of(service)?;
        Ok(clients.mc_service.status(service).await?)
    }

    /// Who serves her in an MC service.
    pub(super) fn side_of(&self, service: McService) -> Result<(Side, Clients), UeError> {
        let evidence = self.evidence();
        let side = if evidence.migrated.contains(&service) {
            Side::Partner
        } else if evidence.authorized.contains(&service) {
            Side::Primary
        } else {
            return Err(UeError::NotAuthorized(service));
        };
        Ok((side, self.system(side)?.clients()?.clone()))
    }

    /// A partner that says that the user is not authorized has ended her migration, and a primary her authorization.
    fn noticing<T>(&self, service: McService, answer: Result<T, ServerError>) -> Result<T, UeError> {
        if let Err(error) = &answer
            && error.reason() == "NOT_AUTHORIZED"
            && self.state() != UeState::Returning
        {
            self.note_end(service)?;
        }
        Ok(answer?)
    }

    /// Whoever served the user in an MC service does so no more.
    pub(super) fn note_end(&self, service: McService) -> Result<(), UeError> {
        let evidence = self.evidence();
        let event = if evidence.migrated.contains(&service) {
            Event::MigrationEnded(service)
        } else if evidence.authorized.contains(&service) {
            Event::AuthorizationEnded(service)
        } else {
            return Ok(());
        };
        self.apply(event)
    }
}
