//! The gRPC services of the MC service server: decode, call, encode, and nothing else.

pub(crate) mod activation;
pub(crate) mod affiliation;
pub(crate) mod communication;
pub(crate) mod federation;
pub(crate) mod migrated_user;
pub(crate) mod service_authorization;

use mcx_federation::access_token::{AuthenticatedUser, Scope};
use mcx_proto::mcservice::v1 as proto;
use mcx_runtime::error::status;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{McService, Violations};
use prost::Message;
use tonic::Status;
use uuid::Uuid;

use crate::app::affiliation::Outcome;
use crate::domain::user::{Client, User};
use crate::error::Error;
use crate::wire;

/// The status that an error becomes.
fn refuse(error: impl Into<Error>) -> Status {
    status(&error.into())
}

/// Who a user is in an MC service, where her access token has its scope.
fn user_in(token: &AuthenticatedUser, mc_service: McService) -> Result<User, Error> {
    let id = token.service_ids.get(&mc_service);
    let id = id.filter(|_| token.scopes.contains(&Scope::of_service(mc_service)));
    let id = id.cloned().ok_or(Error::ServiceNotInToken(mc_service))?;
    Ok(User { mc_service, id })
}

/// Decodes which client of the calling user a request is about.
fn client_named(
    violations: &mut Violations,
    mc_service: i32,
    client_instance: &str,
) -> Option<(McService, Uuid)> {
    let mc_service = violations.mc_service("mc_service", mc_service);
    let instance = wire::uuid(violations, "client_instance", client_instance);
    mc_service.zip(instance)
}

/// The client of the calling user.
fn client_in(token: &AuthenticatedUser, named: (McService, Uuid)) -> Result<Client, Error> {
    let (mc_service, instance) = named;
    Ok(Client { user: user_in(token, mc_service)?, instance })
}

/// Decodes the `request_id` of a mutating request: empty is `Some(None)`.
fn mutating_request(
    violations: &mut Violations,
    method: &'static str,
    request_id: &str,
    content: &impl Message,
) -> Option<Option<MutatingRequest>> {
    let id = wire::optional_uuid(violations, "request_id", request_id)?;
    Some(id.map(|id| MutatingRequest::new(id, method, &content.encode_to_vec())))
}

fn outcomes(outcomes: Vec<Outcome>) -> Vec<proto::GroupOutcome> {
    let encode = |outcome: Outcome| {
        let rule = match outcome.decided {
            Ok(rule) | Err(rule) => rule,
        };
        let affiliated = outcome.decided.is_ok() && rule != proto::DecisionRule::Deaffiliated;
        proto::GroupOutcome { group_id: outcome.group.to_string(), affiliated, rule: rule.into() }
    };
    outcomes.into_iter().map(encode).collect()
}
