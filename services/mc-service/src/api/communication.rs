//! `mcx.mcservice.v1.CommunicationService`, on the client listener for oneself, on the internal one for anybody.

use mcx_federation::Listener;
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::authorize_communication_request::Target as WireTarget;
use mcx_proto::mcservice::v1::communication_service_server::CommunicationService;
use mcx_runtime::CallContext;
use mcx_types::{McService, McServiceId, McSystemId, Violations};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{refuse, user_in};
use crate::app::App;
use crate::app::communication::{Decided, Question, Reachability, Target};
use crate::domain::communication::CommunicationKind;
use crate::domain::user::User;
use crate::wire;

/// The service.
pub(crate) struct CommunicationApi(pub(crate) App);

/// The request, decoded, without who may ask for whom.
struct Asked {
    caller: Option<McServiceId>,
    mc_service: McService,
    kind: CommunicationKind,
    target: Target,
    client_instance: Option<Uuid>,
}

#[tonic::async_trait]
impl CommunicationService for CommunicationApi {
    async fn authorize_communication(
        &self,
        request: Request<proto::AuthorizeCommunicationRequest>,
    ) -> Result<Response<proto::AuthorizeCommunicationResponse>, Status> {
        let context = CallContext::of(&request)?;
        let is_internal = context.listener == Listener::Internal;
        let token = if is_internal { None } else { Some(CallContext::user_of(&request)?) };
        let asked = decode(request.into_inner(), is_internal).map_err(refuse)?;
        let caller = match (&token, asked.caller) {
            // For whom is asked is named on this listener; `decode` has seen to it.
            (None, Some(id)) => User { mc_service: asked.mc_service, id },
            (None, None) => return Err(refuse(violation("caller_mc_service_id", "is required"))),
            (Some(token), named) => {
                let user = user_in(token, asked.mc_service).map_err(refuse)?;
                if named.is_some_and(|named| named != user.id) {
                    let expected = "must be the mc service id of the access token";
                    return Err(refuse(violation("caller_mc_service_id", expected)));
                }
                user
            }
        };
        let question = Question {
            caller,
            client_instance: asked.client_instance,
            kind: asked.kind,
            target: asked.target,
        };
        let decided = self.0.authorize_communication(&question).await.map_err(refuse)?;
        Ok(Response::new(encode(decided)))
    }
}

fn violation(field: &str, description: &str) -> Violations {
    let mut violations = Violations::new();
    violations.add(field, description);
    violations
}

fn decode(request: proto::AuthorizeCommunicationRequest, is_internal: bool) -> Result<Asked, Violations> {
    let mut violations = Violations::new();
    let caller: Option<Option<McServiceId>> = if is_internal {
        violations.parse("caller_mc_service_id", &request.caller_mc_service_id).map(Some)
    } else {
        wire::optional(&mut violations, "caller_mc_service_id", &request.caller_mc_service_id)
    };
    let mc_service = violations.mc_service("mc_service", request.mc_service);
    let kind = match request.kind() {
        proto::CommunicationKind::Private => Some(CommunicationKind::Private),
        proto::CommunicationKind::Group => Some(CommunicationKind::Group),
        proto::CommunicationKind::Emergency => Some(CommunicationKind::Emergency),
        proto::CommunicationKind::Unspecified => {
            violations.add("kind", "must be a known kind of communication");
            None
        }
    };
    let target = violations.require("target", request.target);
    let target = target.and_then(|target| match target {
        WireTarget::McServiceId(id) => violations.parse("mc_service_id", &id).map(Target::User),
        WireTarget::GroupId(group) => violations.parse("group_id", &group).map(Target::Group),
        WireTarget::FunctionalAlias(alias) => violations.parse("functional_alias", &alias).map(Target::Alias),
    });
    match (kind, &target) {
        (Some(CommunicationKind::Group), Some(Target::User(_) | Target::Alias(_))) => {
            violations.add("kind", "must not be GROUP where the target is no group");
        }
        (Some(CommunicationKind::Private), Some(Target::Group(_))) => {
            violations.add("kind", "must not be PRIVATE where the target is a group");
        }
        _ => {}
    }
    let instance = wire::optional_uuid(&mut violations, "client_instance", &request.client_instance);
    let decoded = caller.zip(mc_service).zip(kind).zip(target).zip(instance);
    violations.finish(decoded).map(|((((caller, mc_service), kind), target), client_instance)| Asked {
        caller,
        mc_service,
        kind,
        target,
        client_instance,
    })
}

fn encode(decided: Decided) -> proto::AuthorizeCommunicationResponse {
    let (decision, rule) = match decided.rule {
        Ok(rule) => (proto::CommunicationDecision::Allowed, rule),
        Err(rule) => (proto::CommunicationDecision::Refused, rule),
    };
    let (profile_index, profile_etag) = decided.profile.unzip();
    proto::AuthorizeCommunicationResponse {
        decision: decision.into(),
        rule: rule.into(),
        explanation: decided.explanation,
        profile_etag: profile_etag.unwrap_or_default(),
        group_etag: decided.group_etag.unwrap_or_default(),
        profile_index: profile_index.map(|index| index.0.into()),
        called_users: decided.called.into_iter().map(called_user).collect(),
    }
}

fn called_user((id, reachability): (McServiceId, Reachability)) -> proto::CalledUser {
    let (reachability, serving): (_, Option<(McSystemId, McServiceId)>) = match reachability {
        Reachability::ServedHere => (proto::Reachability::ServedHere, None),
        Reachability::ServedBy(system, id) => (proto::Reachability::ServedByPartner, Some((system, id))),
        Reachability::NotServedHere => (proto::Reachability::NotServedHere, None),
    };
    let (system, id_there) = serving.unzip();
    proto::CalledUser {
        mc_service_id: id.to_string(),
        reachability: reachability.into(),
        serving_mc_system_id: system.map(String::from).unwrap_or_default(),
        serving_mc_service_id: id_there.map(String::from).unwrap_or_default(),
    }
}
