//! Group and functional alias management, whose watches break when a test says so.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use mcx_proto::functionalalias::v1 as alias;
use mcx_proto::functionalalias::v1::functional_alias_configuration_service_server::FunctionalAliasConfigurationService;
use mcx_proto::group::v1::group_configuration_service_server::GroupConfigurationService;
use mcx_proto::group::v1::watch_groups_response::Event;
use mcx_proto::group::v1::*;
use mcx_runtime::error::status;
use tonic::{Code, Request, Response, Status};

use super::{Refused, Servers};

/// The changes of groups, and how their watches behave.
#[derive(Default)]
pub struct GroupLog {
    /// The token of a change is its place in here, counted from 1.
    pub changes: Vec<Event>,
    /// Tokens before this one are not kept any more.
    pub compacted: usize,
    /// For each stream: after how many messages it breaks, and how. Streams after these stay.
    pub breaks: VecDeque<(usize, Refused)>,
    /// The tokens of the streams opened.
    pub opened: Vec<String>,
}

#[tonic::async_trait]
impl GroupConfigurationService for Servers {
    async fn get_groups(
        &self,
        request: Request<GetGroupsRequest>,
    ) -> Result<Response<GetGroupsResponse>, Status> {
        let world = self.admit("GetGroups", &request)?;
        let asked = &request.get_ref().group_ids;
        let is_asked = |group: &&MemberGroup| asked.contains(&group.group.as_ref().unwrap().group_id);
        let mut groups: Vec<MemberGroup> = world.groups.iter().filter(is_asked).cloned().collect();
        // One on a page, so that there are pages.
        let from: usize = request.get_ref().page_token.parse().unwrap_or(0);
        let next_page_token = if from + 1 < groups.len() { (from + 1).to_string() } else { String::new() };
        groups = groups.into_iter().skip(from).take(1).collect();
        Ok(Response::new(GetGroupsResponse { groups, next_page_token }))
    }

    type WatchGroupsStream = BoxStream<'static, Result<WatchGroupsResponse, Status>>;

    async fn watch_groups(
        &self,
        request: Request<WatchGroupsRequest>,
    ) -> Result<Response<Self::WatchGroupsStream>, Status> {
        let mut world = self.admit("WatchGroups", &request)?;
        let token = request.get_ref().resume_token.clone();
        world.group_log.opened.push(token.clone());
        if !token.is_empty() && token.parse::<usize>().unwrap() < world.group_log.compacted {
            return Err(status(&Refused {
                code: Code::FailedPrecondition,
                reason: "RESUME_TOKEN_COMPACTED",
            }));
        }
        let message = |event, resume_token: String| WatchGroupsResponse { resume_token, event: Some(event) };
        let (mut first, at): (Vec<WatchGroupsResponse>, usize) = if token.is_empty() {
            let groups = world.groups.iter().cloned();
            let at = world.group_log.changes.len();
            (groups.map(|group| message(Event::Group(group), String::new())).collect(), at)
        } else {
            (Vec::new(), token.parse().unwrap())
        };
        if token.is_empty() {
            first.push(message(Event::SnapshotComplete(SnapshotComplete {}), at.to_string()));
        }
        let breaks = world.group_log.breaks.pop_front();
        drop(world);
        let changes = stream::unfold((self.clone(), at), |(servers, at)| async move {
            loop {
                let news = Arc::clone(&servers.news);
                let woken = news.notified();
                let next = servers.world().group_log.changes.get(at).cloned();
                match next {
                    Some(event) => {
                        let told =
                            WatchGroupsResponse { resume_token: (at + 1).to_string(), event: Some(event) };
                        return Some((told, (servers, at + 1)));
                    }
                    None => woken.await,
                }
            }
        });
        let told = stream::iter(first).chain(changes).map(Ok);
        Ok(Response::new(match breaks {
            Some((after, refused)) => told.take(after).chain(stream::iter([Err(status(&refused))])).boxed(),
            None => told.boxed(),
        }))
    }
}

#[tonic::async_trait]
impl FunctionalAliasConfigurationService for Servers {
    async fn get_functional_aliases(
        &self,
        request: Request<alias::GetFunctionalAliasesRequest>,
    ) -> Result<Response<alias::GetFunctionalAliasesResponse>, Status> {
        drop(self.admit("GetFunctionalAliases", &request)?);
        Ok(Response::new(alias::GetFunctionalAliasesResponse::default()))
    }

    type WatchFunctionalAliasesStream =
        BoxStream<'static, Result<alias::WatchFunctionalAliasesResponse, Status>>;

    async fn watch_functional_aliases(
        &self,
        request: Request<alias::WatchFunctionalAliasesRequest>,
    ) -> Result<Response<Self::WatchFunctionalAliasesStream>, Status> {
        drop(self.admit("WatchFunctionalAliases", &request)?);
        Ok(Response::new(stream::pending().boxed()))
    }
}
