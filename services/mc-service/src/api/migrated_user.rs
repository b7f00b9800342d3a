//! `mcx.mcservice.v1.MigratedUserService`, on the internal listener.

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::migrated_user_service_server::MigratedUserService;
use mcx_types::{McSystemId, Violations};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{mutating_request, refuse};
use crate::app::App;
use crate::app::operators::{Direction, PageStart};
use crate::domain::EndReason;
use crate::domain::user::{Client, User};
use crate::wire;

/// The most migrations that one request may end.
const MIGRATION_LIMIT: usize = crate::client::MIGRATION_LIMIT;

/// The service.
pub(crate) struct MigratedUserApi(pub(crate) App);

#[tonic::async_trait]
impl MigratedUserService for MigratedUserApi {
    async fn list_migrated_users(
        &self,
        request: Request<proto::ListMigratedUsersRequest>,
    ) -> Result<Response<proto::ListMigratedUsersResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let direction = match proto::MigrationDirection::try_from(request.direction) {
            Ok(proto::MigrationDirection::Unspecified) => Some(None),
            Ok(proto::MigrationDirection::In) => Some(Some(Direction::In)),
            Ok(proto::MigrationDirection::Out) => Some(Some(Direction::Out)),
            Err(_) => {
                violations.add("direction", "must be a known direction");
                None
            }
        };
        let system: Option<Option<McSystemId>> =
            wire::optional(&mut violations, "mc_system_id", &request.mc_system_id);
        let limit = wire::page_size(&mut violations, request.page_size);
        let start = page_start(&mut violations, &request.page_token);
        let (((direction, system), limit), start) =
            violations.finish(direction.zip(system).zip(limit).zip(start)).map_err(refuse)?;
        let page = self.0.list_migrated(direction, system.as_ref(), start, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListMigratedUsersResponse {
            migrated_users: page.users,
            next_page_token: page.next.map(|next| page_token(&next)).unwrap_or_default(),
        }))
    }

    async fn get_serving_system(
        &self,
        request: Request<proto::GetServingSystemRequest>,
    ) -> Result<Response<proto::GetServingSystemResponse>, Status> {
        let mut violations = Violations::new();
        let user = wire::user(&mut violations, request.into_inner().identity);
        let user = violations.finish(user).map_err(refuse)?;
        let (_, served_by) = self.0.status_of(&user).await.map_err(refuse)?;
        let served_by = served_by.iter().map(wire::served_by).collect();
        Ok(Response::new(proto::GetServingSystemResponse { served_by }))
    }

    async fn eject_visitors(
        &self,
        request: Request<proto::EjectVisitorsRequest>,
    ) -> Result<Response<proto::EjectVisitorsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "EjectVisitors", &request.request_id, &request);
        let selection = wire::selection(&mut violations, request.selection);
        let (id, selection) = violations.finish(id.zip(selection)).map_err(refuse)?;
        self.0.eject(&selection, id).await.map(Response::new).map_err(refuse)
    }

    async fn recall_users(
        &self,
        request: Request<proto::RecallUsersRequest>,
    ) -> Result<Response<proto::RecallUsersResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "RecallUsers", &request.request_id, &request);
        let selection = wire::selection(&mut violations, request.selection);
        let (id, selection) = violations.finish(id.zip(selection)).map_err(refuse)?;
        self.0.recall(&selection, id).await.map(Response::new).map_err(refuse)
    }

    async fn end_migrations(
        &self,
        request: Request<proto::EndMigrationsRequest>,
    ) -> Result<Response<proto::EndMigrationsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let ids = migration_ids(&mut violations, &request.migration_ids);
        let reason = match EndReason::try_from(request.reason) {
            Ok(EndReason::Unspecified) => Some(EndReason::Revoked),
            Ok(reason) => Some(reason),
            Err(_) => {
                violations.add("reason", "must be a known reason");
                None
            }
        };
        let (ids, reason) = violations.finish(ids.zip(reason)).map_err(refuse)?;
        let ended = self.0.end_migrations(ids, reason).await.map_err(refuse)?;
        let ended_count = u32::try_from(ended).unwrap_or(u32::MAX);
        Ok(Response::new(proto::EndMigrationsResponse { ended_count }))
    }
}

fn migration_ids(violations: &mut Violations, texts: &[String]) -> Option<Vec<Uuid>> {
    if texts.is_empty() || texts.len() > MIGRATION_LIMIT {
        violations.add("migration_ids", format_args!("must hold 1 to {MIGRATION_LIMIT} migrations"));
        return None;
    }
    let ids: Vec<Option<Uuid>> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| wire::uuid(violations, &format!("migration_ids[{index}]"), text))
        .collect();
    ids.into_iter().collect()
}

/// A page begins behind a client: `in/ptt/<uuid>/sip:user@host`.
fn page_token(start: &PageStart) -> String {
    let direction = match start.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    start
        .after
        .as_ref()
        .map(|client| {
            format!("{direction}/{}/{}/{}", client.user.mc_service, client.instance, client.user.id)
        })
        .unwrap_or_default()
}

fn page_start(violations: &mut Violations, token: &str) -> Option<Option<PageStart>> {
    if token.is_empty() {
        return Some(None);
    }
    let parsed = parse_page_token(token).ok_or("must be the next_page_token of a page");
    violations.accept("page_token", parsed).map(Some)
}

fn parse_page_token(token: &str) -> Option<PageStart> {
    let mut parts = token.splitn(4, '/');
    let direction = match parts.next()? {
        "in" => Direction::In,
        "out" => Direction::Out,
        _ => return None,
    };
    let mc_service = parts.next()?.parse().ok()?;
    let instance = parts.next()?.parse().ok()?;
    let id = parts.next()?.parse().ok()?;
    Some(PageStart { direction, after: Some(Client { user: User { mc_service, id }, instance }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_begins_where_the_one_before_it_ended() {
        let start = PageStart {
            direction: Direction::Out,
            after: Some(Client {
                user: crate::domain::samples::user("sip:alice@alpha.example"),
                instance: Uuid::from_u128(7),
            }),
        };
        assert_eq!(parse_page_token(&page_token(&start)), Some(start));
        for other in ["in", "in/ptt/7/sip:alice@alpha.example", "at/ptt/x/y"] {
            assert_eq!(parse_page_token(other), None);
        }
    }
}
