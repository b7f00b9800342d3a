//! `mcx.migration.v1.UserMigrationService`: TS 23.280 10.17.5, as operators use it.

use futures::StreamExt;
use futures::stream::BoxStream;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::user_migration_service_server::UserMigrationService;
use mcx_runtime::CallContext;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{mutating_request, refuse};
use crate::app::App;
use crate::app::provisioning::Decider;
use crate::app::provisioning::decide::Decided;
use crate::app::provisioning::request::MigrationRequest;
use crate::domain::user_migration::Decision;
use crate::error::Error;
use crate::store::{ue_configurations, user_migrations};
use crate::wire;

/// The service.
pub(crate) struct UserMigrationApi(pub(crate) App);

impl UserMigrationApi {
    fn decode_request(
        &self,
        request: proto::RequestUserMigrationRequest,
    ) -> Result<MigrationRequest, Violations> {
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "RequestUserMigration", &request.request_id, &request);
        let partner = violations.parse("partner_mc_system_id", &request.partner_mc_system_id);
        let partner = partner.filter(|partner| {
            let is_another = *partner != self.0.own;
            if !is_another {
                violations.add("partner_mc_system_id", "must name another mc system");
            }
            is_another
        });
        let users = wire::user_migration::users(&mut violations, request.users, self.0.clock.now());
        let Some((request_id, partner)) = id.zip(partner).filter(|_| !users.is_empty()) else {
            return Err(violations);
        };
        // Checking changes nothing: there is nothing to be repeated.
        let request_id = request_id.filter(|_| !request.dry_run);
        Ok(MigrationRequest { partner, users, violations, is_dry_run: request.dry_run, request: request_id })
    }

    async fn decide(
        &self,
        decider: &Decider,
        decision: Decision,
        selection: Option<proto::UserMigrationSelection>,
        cause: String,
        is_dry_run: bool,
    ) -> Result<Vec<proto::UserMigrationResult>, Status> {
        let mut violations = Violations::new();
        let selection = wire::user_migration::selection(&mut violations, selection);
        let cause = wire::user_migration::cause(&mut violations, "cause", cause);
        let (selection, cause) = violations.finish(selection.zip(cause)).map_err(refuse)?;
        let decided = Decided { decision, selection, cause, is_dry_run };
        self.0.decide(&decided, decider).await.map_err(refuse)
    }
}

#[tonic::async_trait]
impl UserMigrationService for UserMigrationApi {
    async fn request_user_migration(
        &self,
        request: Request<proto::RequestUserMigrationRequest>,
    ) -> Result<Response<proto::RequestUserMigrationResponse>, Status> {
        let decider = Decider::of(&CallContext::of(&request)?)?;
        let request = request.into_inner();
        let is_dry_run = request.dry_run;
        let user_count = u32::try_from(request.users.len()).unwrap_or(u32::MAX);
        let answer = match self.decode_request(request) {
            Ok(asked) => self.0.request_user_migration(asked, &decider).await,
            Err(violations) => Err(violations.into()),
        };
        match answer {
            Err(Error::Invalid(violations)) if is_dry_run => {
                let violations =
                    violations.as_slice().iter().map(|violation| proto::UserMigrationViolation {
                        field: violation.field.clone(),
                        description: violation.description.clone(),
                    });
                Ok(Response::new(proto::RequestUserMigrationResponse {
                    user_count,
                    violations: violations.collect(),
                    ..Default::default()
                }))
            }
            answer => answer.map(Response::new).map_err(refuse),
        }
    }

    async fn get_user_migration(
        &self,
        request: Request<proto::GetUserMigrationRequest>,
    ) -> Result<Response<proto::GetUserMigrationResponse>, Status> {
        let mut violations = Violations::new();
        let id = wire::uuid(&mut violations, "migration_id", &request.into_inner().migration_id);
        let id = violations.finish(id).map_err(refuse)?;
        let migration = user_migrations::find(&self.0.database, id).await.map_err(refuse)?;
        let migration = migration.ok_or_else(|| refuse(Error::UserMigrationNotFound(id)))?;
        let mut encoded = wire::user_migration::encode(&migration);
        if let Some(grant) = &migration.grant
            && let Some(digest) = &grant.ue_configuration
        {
            let found = ue_configurations::find(&self.0.database, [digest.clone()]).await.map_err(refuse)?;
            encoded.access_information = found
                .into_values()
                .next()
                .map(|configuration| wire::user_migration::access_information(grant, configuration));
        }
        Ok(Response::new(proto::GetUserMigrationResponse { user_migration: Some(encoded) }))
    }

    async fn list_user_migrations(
        &self,
        request: Request<proto::ListUserMigrationsRequest>,
    ) -> Result<Response<proto::ListUserMigrationsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let filter = wire::user_migration::filter(&mut violations, &request);
        let (limit, filter) = violations.finish(limit.zip(filter)).map_err(refuse)?;
        let page = user_migrations::list(&self.0.database, &filter, &request.page_token, limit)
            .await
            .map_err(refuse)?;
        Ok(Response::new(proto::ListUserMigrationsResponse {
            user_migrations: page.items.iter().map(wire::user_migration::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    type WatchUserMigrationRequestStream =
        BoxStream<'static, Result<proto::WatchUserMigrationRequestResponse, Status>>;

    async fn watch_user_migration_request(
        &self,
        request: Request<proto::WatchUserMigrationRequestRequest>,
    ) -> Result<Response<Self::WatchUserMigrationRequestStream>, Status> {
        let shutdown = CallContext::of(&request)?.shutdown;
        let mut violations = Violations::new();
        let text = &request.get_ref().user_migration_request_id;
        let id = wire::uuid(&mut violations, "user_migration_request_id", text);
        let id = violations.finish(id).map_err(refuse)?;
        // An unknown request is refused as such, not after the stream has begun.
        self.0.request_progress(id).await.map_err(refuse)?;
        let progress = self.0.watch_request(id).map(|progress| progress.map_err(refuse));
        Ok(Response::new(progress.take_until(shutdown.cancelled_owned()).boxed()))
    }

    async fn accept_user_migrations(
        &self,
        request: Request<proto::AcceptUserMigrationsRequest>,
    ) -> Result<Response<proto::AcceptUserMigrationsResponse>, Status> {
        let decider = Decider::of(&CallContext::of(&request)?)?;
        let proto::AcceptUserMigrationsRequest { selection, dry_run } = request.into_inner();
        let results = self.decide(&decider, Decision::Accept, selection, String::new(), dry_run).await?;
        Ok(Response::new(proto::AcceptUserMigrationsResponse { results }))
    }

    async fn refuse_user_migrations(
        &self,
        request: Request<proto::RefuseUserMigrationsRequest>,
    ) -> Result<Response<proto::RefuseUserMigrationsResponse>, Status> {
        let decider = Decider::of(&CallContext::of(&request)?)?;
        let proto::RefuseUserMigrationsRequest { selection, cause, dry_run } = request.into_inner();
        let results = self.decide(&decider, Decision::Refuse, selection, cause, dry_run).await?;
        Ok(Response::new(proto::RefuseUserMigrationsResponse { results }))
    }

    async fn revoke_user_migrations(
        &self,
        request: Request<proto::RevokeUserMigrationsRequest>,
    ) -> Result<Response<proto::RevokeUserMigrationsResponse>, Status> {
        let decider = Decider::of(&CallContext::of(&request)?)?;
        let proto::RevokeUserMigrationsRequest { selection, cause, dry_run } = request.into_inner();
        let results = self.decide(&decider, Decision::Revoke, selection, cause, dry_run).await?;
        Ok(Response::new(proto::RevokeUserMigrationsResponse { results }))
    }
}
