//! Calls methods of the contract with JSON documents.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use futures::{Stream, StreamExt};
use http::uri::PathAndQuery;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, VIOLATIONS_LEFT_OUT, decode_status};
use mcx_types::Entity;
use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::codec::DynamicCodec;
use super::resource::path_of;
use super::{Connection, json};

/// How many documents are asked for at once; no listing gives fewer where it is asked for so many.
const PAGE_SIZE: u32 = 100;

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The document is not what the method takes.
    #[error("not a {message}: {problem}")]
    Document {
        /// The message that it should be.
        message: String,
        /// What is wrong.
        problem: String,
    },
    /// The answer has no JSON form.
    #[error("the answer cannot be shown: {problem}")]
    Answer {
        /// Why not.
        problem: String,
    },
    /// The entity refused, or was not reached.
    #[error("{}", told(.0))]
    Refused(#[from] Box<RemoteError>),
    /// The entity is not configured.
    #[error(transparent)]
    Target(anyhow::Error),
}

/// What an entity answered, with every field that it found wrong.
fn told(error: &RemoteError) -> String {
    let fields = error
        .violations
        .iter()
        .map(|violation| format!("\n  {}: {}", violation.field, violation.description));
    let left_out = error.metadata.get(VIOLATIONS_LEFT_OUT).map(|count| format!("\n  and {count} more"));
    fields.chain(left_out).fold(error.to_string(), |text, field| text + &field)
}

impl AdminError {
    /// Whether the entity answered with this code.
    pub fn is(&self, code: Code) -> bool {
        matches!(self, Self::Refused(status) if status.code == code)
    }
}

/// An operator's client of every entity.
pub struct OperatorClient {
    connection: Connection,
    channels: Mutex<HashMap<Entity, Outgoing<Channel>>>,
}

impl OperatorClient {
    /// A client over a connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection, channels: Mutex::default() }
    }

    async fn grpc(&self, entity: Entity) -> Result<Grpc<Outgoing<Channel>>, AdminError> {
        let known = self.channels.lock().unwrap_or_else(PoisonError::into_inner).get(&entity).cloned();
        let channel = match known {
            Some(channel) => channel,
            None => {
                let channel = self.connection.channel(entity).map_err(AdminError::Target)?;
                self.channels.lock().unwrap_or_else(PoisonError::into_inner).insert(entity, channel.clone());
                channel
            }
        };
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.map_err(|error| AdminError::Target(anyhow::Error::from_boxed(error)))?;
        Ok(grpc)
    }

    /// Calls a method that takes one document and answers with one.
    ///
    /// # Errors
    /// [`AdminError`]
    pub async fn unary(
        &self,
        entity: Entity,
        method: &MethodDescriptor,
        document: &Value,
    ) -> Result<Value, AdminError> {
        let message = json::decode(&method.input(), document)?;
        let mut grpc = self.grpc(entity).await?;
        let answer = grpc
            .unary(Request::new(message), path(method), DynamicCodec { response: method.output() })
            .await
            .map_err(|status| Box::new(decode_status(&status)))?;
        json::encode(answer.get_ref())
    }

    /// Calls a method that answers with a stream, and hands each answer to `each` until that says that it has seen enough.
    ///
    /// # Errors
    /// [`AdminError`]
    pub async fn server_stream(
        &self,
        entity: Entity,
        method: &MethodDescriptor,
        document: &Value,
        mut each: impl FnMut(Value) -> bool,
    ) -> Result<(), AdminError> {
        let message = json::decode(&method.input(), document)?;
        let mut grpc = self.grpc(entity).await?;
        let codec = DynamicCodec { response: method.output() };
        let answer = grpc
            .server_streaming(Request::new(message), path(method), codec)
            .await
            .map_err(|status| Box::new(decode_status(&status)))?;
        let mut answers = answer.into_inner();
        while let Some(answer) = answers.message().await.map_err(|status| Box::new(decode_status(&status)))? {
            if !each(json::encode(&answer)?) {
                break;
            }
        }
        Ok(())
    }

    /// Calls a method that takes a stream of documents. All of them are read before the first is sent, so that a mistake in the last one
    /// leaves nothing half done.
    ///
    /// # Errors
    /// [`AdminError`]
    pub async fn client_stream(
        &self,
        entity: Entity,
        method: &MethodDescriptor,
        documents: &[Value],
        sent: impl Fn(usize) + Send + Sync + 'static,
    ) -> Result<Value, AdminError> {
        let messages = documents
            .iter()
            .map(|document| json::decode(&method.input(), document))
            .collect::<Result<Vec<_>, _>>()?;
        let stream = futures::stream::iter(messages.into_iter().enumerate()).map(move |(index, message)| {
            sent(index + 1);
            message
        });
        self.send_all(entity, method, stream).await
    }

    /// Whether the documents are what the method takes.
    ///
    /// # Errors
    /// [`AdminError::Document`] of the first that is not.
    pub fn check(&self, method: &MethodDescriptor, documents: &[Value]) -> Result<(), AdminError> {
        documents.iter().try_for_each(|document| json::decode(&method.input(), document).map(drop))
    }

    async fn send_all(
        &self,
        entity: Entity,
        method: &MethodDescriptor,
        stream: impl Stream<Item = prost_reflect::DynamicMessage> + Send + 'static,
    ) -> Result<Value, AdminError> {
        let mut grpc = self.grpc(entity).await?;
        let codec = DynamicCodec { response: method.output() };
        let answer = grpc
            .client_streaming(Request::new(stream), path(method), codec)
            .await
            .map_err(|status| Box::new(decode_status(&status)))?;
        json::encode(answer.get_ref())
    }

    /// Calls a `List…` method until all pages are read, or `limit` documents.
    ///
    /// # Errors
    /// [`AdminError`]
    pub async fn list(
        &self,
        entity: Entity,
        method: &MethodDescriptor,
        filter: &Map<String, Value>,
        limit: usize,
    ) -> Result<Vec<Value>, AdminError> {
        let mut documents = Vec::new();
        let mut request = filter.clone();
        let takes_pages = method.input().get_field_by_name("page_size").is_some();
        let items = method.output().fields().find(prost_reflect::FieldDescriptor::is_list);
        let items = items.context("the method lists nothing").map_err(AdminError::Target)?.name().to_owned();
        loop {
            if takes_pages {
                request.insert("page_size".to_owned(), PAGE_SIZE.into());
            }
            let mut answer = self.unary(entity, method, &Value::Object(request.clone())).await?;
            if let Some(Value::Array(page)) = answer.get_mut(&items).map(Value::take) {
                documents.extend(page);
            }
            let next = answer.get("next_page_token").and_then(Value::as_str).unwrap_or_default();
            if next.is_empty() || documents.len() >= limit {
                documents.truncate(limit);
                return Ok(documents);
            }
            request.insert("page_token".to_owned(), next.into());
        }
    }
}

fn path(method: &MethodDescriptor) -> PathAndQuery {
    PathAndQuery::try_from(path_of(method)).expect("names of the contract make a path")
}
