//! `mcx.functionalalias.v1`.

use mcx_types::Entity::McService;

use super::internal;
use crate::policy::Caller::{OwnEntity, OwnOperator};
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
];
