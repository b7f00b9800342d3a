//! Provisioning subscribers, as operators and their tools do.

use std::time::Duration;

use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::{Amf, Opc, OperatorKey, SubscriberKey};
use mcx_proto::sipdatabase::v1::key_encryption_key_service_client::KeyEncryptionKeyServiceClient;
use mcx_proto::sipdatabase::v1::subscriber_keys::OperatorVariant;
use mcx_proto::sipdatabase::v1::subscriber_service_client::SubscriberServiceClient;
use mcx_proto::sipdatabase::v1::{
    CreateSubscriberRequest, DeleteSubscriberRequest, GetSubscriberRequest, ImportSubscribersRequest,
    ImportSubscribersResponse, ListSubscribersRequest, ListSubscribersResponse,
    RotateKeyEncryptionKeyRequest, RotateKeyEncryptionKeyResponse, Subscriber, SubscriberKeys,
    UpdateSubscriberRequest,
};
use mcx_runtime::client::Outgoing;
use mcx_types::wire::scheme_to_wire;
use mcx_types::{Impi, SipIdentities};
use tonic::transport::Channel;
use uuid::Uuid;

use super::{ClientError, with_timeout};

/// How long a call of an operator may take; imports and rotations take as long as they take.
const PROVISIONING_TIMEOUT: Duration = Duration::from_secs(10);

/// A subscriber to be created, with the keys of its ISIM.
#[derive(Debug, Clone)]
pub struct NewSubscriber {
    /// Its identities.
    pub identities: SipIdentities,
    /// The scheme that authenticates it.
    pub scheme: DigestAlgorithm,
    /// The AMF of its vectors.
    pub amf: Amf,
    /// K.
    pub key: SubscriberKey,
    /// OPc.
    pub opc: Opc,
}

impl NewSubscriber {
    /// A subscriber with Digest-AKAv1-MD5 and AMF 0000.
    pub fn new(identities: SipIdentities, key: SubscriberKey, opc: Opc) -> Self {
        Self { identities, scheme: DigestAlgorithm::AkaV1Md5, amf: Amf([0, 0]), key, opc }
    }

    /// As [`NewSubscriber::new`], where the operator's OP is known instead of OPc.
    pub fn with_operator_key(identities: SipIdentities, key: SubscriberKey, op: &OperatorKey) -> Self {
        let opc = Opc::derive(&key, op);
        Self::new(identities, key, opc)
    }

    fn messages(&self) -> (Subscriber, SubscriberKeys) {
        let subscriber = Subscriber {
            identities: Some(self.identities.clone().into()),
            scheme: scheme_to_wire(Some(self.scheme)).into(),
            amf: self.amf.as_octets().to_vec(),
            ..Subscriber::default()
        };
        let keys = SubscriberKeys {
            k: self.key.expose_octets().to_vec(),
            operator_variant: Some(OperatorVariant::Opc(self.opc.expose_octets().to_vec())),
        };
        (subscriber, keys)
    }
}

/// Provisions subscribers and rotates the key-encryption key. Clones share the channel.
///
/// Mutating calls take a `request_id`: a call that is repeated with the same one is carried out once.
#[derive(Debug, Clone)]
pub struct SubscriberClient {
    subscribers: SubscriberServiceClient<Outgoing<Channel>>,
    keys: KeyEncryptionKeyServiceClient<Outgoing<Channel>>,
}

impl SubscriberClient {
    /// A client over this channel; it calls as whoever the channel proves to be.
    pub fn new(channel: Channel) -> Self {
        let channel = Outgoing::new(channel);
        Self {
            subscribers: SubscriberServiceClient::new(channel.clone()),
            keys: KeyEncryptionKeyServiceClient::new(channel),
        }
    }

    /// Creates a subscriber. `request_id` identifies the creation over repetitions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create(&self, new: &NewSubscriber, request_id: Uuid) -> Result<Subscriber, ClientError> {
        let (subscriber, keys) = new.messages();
        let request = CreateSubscriberRequest {
            subscriber: Some(subscriber),
            keys: Some(keys),
            request_id: request_id.to_string(),
        };
        let request = with_timeout(request, PROVISIONING_TIMEOUT);
        let answer = self.subscribers.clone().create_subscriber(request).await?.into_inner();
        present(answer.subscriber)
    }

    /// Reads a subscriber.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, impi: &Impi) -> Result<Subscriber, ClientError> {
        let request = GetSubscriberRequest { impi: impi.as_str().to_owned() };
        let request = with_timeout(request, PROVISIONING_TIMEOUT);
        present(self.subscribers.clone().get_subscriber(request).await?.into_inner().subscriber)
    }

    /// Reads a page of subscribers; an empty token asks for the first one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(
        &self,
        page_size: u32,
        page_token: &str,
    ) -> Result<ListSubscribersResponse, ClientError> {
        let request = ListSubscribersRequest { page_size, page_token: page_token.to_owned() };
        let request = with_timeout(request, PROVISIONING_TIMEOUT);
        Ok(self.subscribers.clone().list_subscribers(request).await?.into_inner())
    }

    /// Replaces what is said of a subscriber, as it was read with its `etag`; its keys stay.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update(&self, subscriber: Subscriber, request_id: Uuid) -> Result<Subscriber, ClientError> {
        let request = UpdateSubscriberRequest {
            subscriber: Some(subscriber),
            keys: None,
            request_id: request_id.to_string(),
        };
        let request = with_timeout(request, PROVISIONING_TIMEOUT);
        present(self.subscribers.clone().update_subscriber(request).await?.into_inner().subscriber)
    }

    /// Removes a subscriber, whichever version there is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, impi: &Impi, request_id: Uuid) -> Result<(), ClientError> {
        let request = DeleteSubscriberRequest {
            impi: impi.as_str().to_owned(),
            etag: String::new(),
            request_id: request_id.to_string(),
        };
        let request = with_timeout(request, PROVISIONING_TIMEOUT);
        self.subscribers.clone().delete_subscriber(request).await?;
        Ok(())
    }

    /// Creates many subscribers; those that are there with the same content are left alone.
    ///
    /// # Errors
    /// [`ClientError`]; refusals of single subscribers are in the answer.
    pub async fn import<I>(&self, subscribers: I) -> Result<ImportSubscribersResponse, ClientError>
    where
        I: IntoIterator<Item = NewSubscriber>,
        I::IntoIter: Send + 'static,
    {
        let messages = subscribers.into_iter().map(|new| {
            let (subscriber, keys) = new.messages();
            ImportSubscribersRequest { subscriber: Some(subscriber), keys: Some(keys) }
        });
        let stream = tokio_stream::iter(messages);
        Ok(self.subscribers.clone().import_subscribers(stream).await?.into_inner())
    }

    /// Has the SIP database read its key file again and encrypt all keys under the active one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate_key_encryption_key(&self) -> Result<RotateKeyEncryptionKeyResponse, ClientError> {
        let request = RotateKeyEncryptionKeyRequest { request_id: String::new() };
        Ok(self.keys.clone().rotate_key_encryption_key(request).await?.into_inner())
    }
}

fn present(subscriber: Option<Subscriber>) -> Result<Subscriber, ClientError> {
    subscriber.ok_or_else(|| ClientError::MalformedAnswer { detail: "subscriber is missing".to_owned() })
}
