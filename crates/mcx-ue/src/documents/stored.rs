//! Documents in a file: as the protocol encodes them, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

use super::{Document, Documents, Feed};

#[derive(Serialize, Deserialize)]
struct StoredDocuments {
    documents: Vec<StoredDocument>,
    resume_tokens: BTreeMap<Feed, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "message")]
enum StoredDocument {
    UserProfile(String),
    ServiceConfiguration(String),
    UeConfiguration(String),
    Group(String),
    FunctionalAlias(String),
}

impl Serialize for Documents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let documents = self.iter().map(|document| match document {
            Document::UserProfile(message) => StoredDocument::UserProfile(encoded(message.as_ref())),
            Document::ServiceConfiguration(message) => {
                StoredDocument::ServiceConfiguration(encoded(message.as_ref()))
            }
            Document::UeConfiguration(message) => StoredDocument::UeConfiguration(encoded(message.as_ref())),
            Document::Group(message) => StoredDocument::Group(encoded(message.as_ref())),
            Document::FunctionalAlias(message) => StoredDocument::FunctionalAlias(encoded(message.as_ref())),
        });
        let stored =
            StoredDocuments { documents: documents.collect(), resume_tokens: self.resume_tokens.clone() };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Documents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = StoredDocuments::deserialize(deserializer)?;
        let mut documents = BTreeMap::new();
        for document in stored.documents {
            let document = match document {
                StoredDocument::UserProfile(text) => decoded(&text).map(Document::UserProfile),
                StoredDocument::ServiceConfiguration(text) => {
                    decoded(&text).map(Document::ServiceConfiguration)
                }
                StoredDocument::UeConfiguration(text) => decoded(&text).map(Document::UeConfiguration),
                StoredDocument::Group(text) => decoded(&text).map(Document::Group),
                StoredDocument::FunctionalAlias(text) => decoded(&text).map(Document::FunctionalAlias),
            };
            let document = document.ok_or_else(|| D::Error::custom("a document cannot be read"))?;
            let key = document.key().ok_or_else(|| D::Error::custom("a document has no name"))?;
            documents.insert(key, document);
        }
        Ok(Self { documents, resume_tokens: stored.resume_tokens, snapshots: BTreeMap::new() })
    }
}

pub(crate) fn encoded(message: &impl Message) -> String {
    STANDARD.encode(message.encode_to_vec())
}

pub(crate) fn decoded<M: Message + Default>(text: &str) -> Option<Box<M>> {
    M::decode(STANDARD.decode(text).ok()?.as_slice()).ok().map(Box::new)
}
