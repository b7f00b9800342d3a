//! `mcx.functionalalias.v1`.

use mcx_types::Entity::McService;

use super::{client, internal};
use crate::access_token::Scope;
use crate::policy::Caller::{OwnEntity, OwnOperator, User};
use crate::policy::MethodRule;

pub(super) const RULES: &[MethodRule] = &[
    // Operators provision functional aliases; nobody else.
    internal("/mcx.functionalalias.v1.FunctionalAliasService/CreateFunctionalAlias", &[OwnOperator]),
    internal("/mcx.functionalalias.v1.FunctionalAliasService/GetFunctionalAlias", &[OwnOperator]),
    internal("/mcx.functionalalias.v1.FunctionalAliasService/ListFunctionalAliases", &[OwnOperator]),
    internal("/mcx.functionalalias.v1.FunctionalAliasService/UpdateFunctionalAlias", &[OwnOperator]),
    internal("/mcx.functionalalias.v1.FunctionalAliasService/DeleteFunctionalAlias", &[OwnOperator]),
    // The enforcement point asks what is in force.
    internal(
        "/mcx.functionalalias.v1.FunctionalAliasLookupService/GetFunctionalAlias",
        &[OwnEntity(McService)],
    ),
    // Users, about the functional aliases that they may activate.
    client(
        "/mcx.functionalalias.v1.FunctionalAliasConfigurationService/GetFunctionalAliases",
        &[User(Scope::FunctionalAliasManagement)],
    ),
    client(
        "/mcx.functionalalias.v1.FunctionalAliasConfigurationService/WatchFunctionalAliases",
        &[User(Scope::FunctionalAliasManagement)],
    ),
];
