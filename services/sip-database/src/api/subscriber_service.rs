//! `mcx.sipdatabase.v1.SubscriberService`.

use std::sync::Arc;

use mcx_proto::sipdatabase::v1::subscriber_service_server::SubscriberService;
use mcx_proto::sipdatabase::v1::{
    CreateSubscriberRequest, CreateSubscriberResponse, DeleteSubscriberRequest, DeleteSubscriberResponse,
    ErrorReason, GetSubscriberRequest, GetSubscriberResponse, ImportRefusal as RefusalMessage,
    ImportSubscribersRequest, ImportSubscribersResponse, ListSubscribersRequest, ListSubscribersResponse,
    UpdateSubscriberRequest, UpdateSubscriberResponse,
};
use mcx_types::{Impi, Violations};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::request::{Content, request_id};
use super::{refused, subscriber_message};
use crate::app::{App, ImportReport, Mutation};
use crate::domain::import::{ImportItem, ImportRefusal};
use crate::domain::subscriber::Subscriber;
use crate::error::SipDatabaseError;

/// The size of a page where none is asked for, and the most that may be.
const DEFAULT_PAGE_SIZE: u32 = 100;
const PAGE_SIZE_LIMIT: u32 = 1000;

#[derive(Clone)]
pub(crate) struct SubscriberApi {
    app: Arc<App>,
}

impl SubscriberApi {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn create(
        &self,
        message: CreateSubscriberRequest,
    ) -> Result<CreateSubscriberResponse, SipDatabaseError> {
        let octets = Content::of(&message);
        let mut violations = Violations::new();
        let content = subscriber_message::content(&mut violations, message.subscriber);
        let keys = subscriber_message::keys(&mut violations, message.keys);
        let id = request_id(&mut violations, &message.request_id);
        let ((content, keys), id) = violations.finish(content.zip(keys).zip(id))?;
        let mutation = Mutation {
            request: octets.identified(id, "/mcx.sipdatabase.v1.SubscriberService/CreateSubscriber"),
            encode_answer: |subscriber: &Subscriber| {
                CreateSubscriberResponse { subscriber: Some(subscriber.into()) }.encode_to_vec()
            },
        };
        decode_answer(&self.app.create(mutation, content, keys).await?)
    }

    async fn get(&self, message: GetSubscriberRequest) -> Result<GetSubscriberResponse, SipDatabaseError> {
        let mut violations = Violations::new();
        let impi = violations.parse::<Impi>("impi", &message.impi);
        let subscriber = self.app.get(&violations.finish(impi)?).await?;
        Ok(GetSubscriberResponse { subscriber: Some((&subscriber).into()) })
    }

    async fn list(
        &self,
        message: ListSubscribersRequest,
    ) -> Result<ListSubscribersResponse, SipDatabaseError> {
        let mut violations = Violations::new();
        let after = subscriber_message::after(&mut violations, &message.page_token);
        let size = match message.page_size {
            0 => DEFAULT_PAGE_SIZE,
            size => size,
        };
        if size > PAGE_SIZE_LIMIT {
            violations.add("page_size", format_args!("must be 0 to {PAGE_SIZE_LIMIT}"));
        }
        let after = violations.finish(after)?;
        let (page, next) = self.app.list(after.as_ref(), size).await?;
        Ok(ListSubscribersResponse {
            subscribers: page.iter().map(Into::into).collect(),
            next_page_token: subscriber_message::page_token(next),
        })
    }

    async fn update(
        &self,
        message: UpdateSubscriberRequest,
    ) -> Result<UpdateSubscriberResponse, SipDatabaseError> {
        let octets = Content::of(&message);
        let mut violations = Violations::new();
        let etag = message.subscriber.as_ref().map(|subscriber| subscriber.etag.clone()).unwrap_or_default();
        let version = subscriber_message::version(&mut violations, "subscriber.etag", &etag);
        let content = subscriber_message::content(&mut violations, message.subscriber);
        let keys = match message.keys {
            None => Some(None),
            keys => subscriber_message::keys(&mut violations, keys).map(Some),
        };
        let id = request_id(&mut violations, &message.request_id);
        let (((content, keys), version), id) = violations.finish(content.zip(keys).zip(version).zip(id))?;
        let mutation = Mutation {
            request: octets.identified(id, "/mcx.sipdatabase.v1.SubscriberService/UpdateSubscriber"),
            encode_answer: |subscriber: &Subscriber| {
                UpdateSubscriberResponse { subscriber: Some(subscriber.into()) }.encode_to_vec()
            },
        };
        decode_answer(&self.app.update(mutation, content, keys, version).await?)
    }

    async fn delete(
        &self,
        message: DeleteSubscriberRequest,
    ) -> Result<DeleteSubscriberResponse, SipDatabaseError> {
        let octets = Content::of(&message);
        let mut violations = Violations::new();
        let impi = violations.parse::<Impi>("impi", &message.impi);
        let version = match message.etag.as_str() {
            "" => Some(None),
            etag => subscriber_message::version(&mut violations, "etag", etag).map(Some),
        };
        let id = request_id(&mut violations, &message.request_id);
        let ((impi, version), id) = violations.finish(impi.zip(version).zip(id))?;
        let mutation = Mutation {
            request: octets.identified(id, "/mcx.sipdatabase.v1.SubscriberService/DeleteSubscriber"),
            encode_answer: |()| DeleteSubscriberResponse {}.encode_to_vec(),
        };
        decode_answer(&self.app.delete(mutation, impi, version).await?)
    }

    /// Reads the stream in batches, so that its length costs no memory.
    async fn import(
        &self,
        mut messages: Streaming<ImportSubscribersRequest>,
    ) -> Result<ImportSubscribersResponse, Status> {
        let batch_size = self.app.import_batch_size();
        let mut report = ImportReport::default();
        let mut batch: Vec<ImportItem> = Vec::with_capacity(batch_size);
        loop {
            let message = messages.message().await?;
            let is_end = message.is_none();
            batch.extend(message.map(decode_item));
            if batch.len() >= batch_size || (is_end && !batch.is_empty()) {
                self.app.import_batch(&batch, &mut report).await.map_err(|error| refused(&error))?;
                batch.clear();
            }
            if is_end {
                return Ok(encode_report(report));
            }
        }
    }
}

#[tonic::async_trait]
impl SubscriberService for SubscriberApi {
    async fn create_subscriber(
        &self,
        request: Request<CreateSubscriberRequest>,
    ) -> Result<Response<CreateSubscriberResponse>, Status> {
        self.create(request.into_inner()).await.map(Response::new).map_err(|error| refused(&error))
    }

    async fn get_subscriber(
        &self,
        request: Request<GetSubscriberRequest>,
    ) -> Result<Response<GetSubscriberResponse>, Status> {
        self.get(request.into_inner()).await.map(Response::new).map_err(|error| refused(&error))
    }

    async fn list_subscribers(
        &self,
        request: Request<ListSubscribersRequest>,
    ) -> Result<Response<ListSubscribersResponse>, Status> {
        self.list(request.into_inner()).await.map(Response::new).map_err(|error| refused(&error))
    }

    async fn update_subscriber(
        &self,
        request: Request<UpdateSubscriberRequest>,
    ) -> Result<Response<UpdateSubscriberResponse>, Status> {
        self.update(request.into_inner()).await.map(Response::new).map_err(|error| refused(&error))
    }

    async fn delete_subscriber(
        &self,
        request: Request<DeleteSubscriberRequest>,
    ) -> Result<Response<DeleteSubscriberResponse>, Status> {
        self.delete(request.into_inner()).await.map(Response::new).map_err(|error| refused(&error))
    }

    async fn import_subscribers(
        &self,
        request: Request<Streaming<ImportSubscribersRequest>>,
    ) -> Result<Response<ImportSubscribersResponse>, Status> {
        self.import(request.into_inner()).await.map(Response::new)
    }
}

fn decode_item(message: ImportSubscribersRequest) -> ImportItem {
    let mut violations = Violations::new();
    let content = subscriber_message::content(&mut violations, message.subscriber);
    let keys = subscriber_message::keys(&mut violations, message.keys);
    violations.finish(content.zip(keys))
}

fn encode_report(report: ImportReport) -> ImportSubscribersResponse {
    let encode = |(index, refusal)| {
        let (reason, description) = match refusal {
            ImportRefusal::Invalid(violations) => {
                let wrong: Vec<String> = violations
                    .as_slice()
                    .iter()
                    .map(|violation| format!("{}: {}", violation.field, violation.description))
                    .collect();
                (ErrorReason::InvalidRequest, wrong.join("; "))
            }
            ImportRefusal::IdentityTaken(identity) => {
                (ErrorReason::IdentityTaken, format!("another subscriber has {identity}"))
            }
        };
        RefusalMessage { index, reason: reason.into(), description }
    };
    ImportSubscribersResponse {
        created_count: report.created,
        unchanged_count: report.unchanged,
        refused_count: report.refused,
        refusals: report.refusals.into_iter().map(encode).collect(),
    }
}

/// The first answer and a repeated one both come as they were encoded.
fn decode_answer<M: Message + Default>(octets: &[u8]) -> Result<M, SipDatabaseError> {
    M::decode(octets).map_err(|_| SipDatabaseError::Internal("a kept answer cannot be read"))
}
