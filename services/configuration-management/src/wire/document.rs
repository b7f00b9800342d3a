//! Documents: how those that are kept with version and history show both.

use mcx_proto::configuration::v1 as proto;
use mcx_types::{McService, McServiceId};
use prost::Message;

use super::{WireTime, time};
use crate::store::documents::{Kind, Stored, Version};

/// A message that is kept as a document.
///
/// It is kept without its output-only fields; they are put in when it is read.
pub(crate) trait Document: Message + Default + Clone {
    /// What kind of document it is.
    const KIND: Kind;

    /// Its name among those of its kind.
    fn key(&self) -> String;

    /// Puts in what is known about it.
    fn set_versioning(&mut self, etag: String, version: u64, update_time: WireTime);

    /// The document as it was stored, with what is known about it.
    fn read(stored: &Stored) -> Result<Self, prost::DecodeError> {
        let mut document = Self::decode(stored.content.as_slice())?;
        document.set_versioning(
            stored.version.to_string(),
            stored.version.unsigned_abs(),
            time(stored.updated_at),
        );
        Ok(document)
    }

    /// A version as it was stored; `None` is a removal.
    fn read_version(version: &Version) -> Result<Option<Self>, prost::DecodeError> {
        let content = version.content.as_deref().map(Self::decode).transpose()?;
        Ok(content.map(|mut document| {
            let number = version.version;
            document.set_versioning(number.to_string(), number.unsigned_abs(), time(version.created_at));
            document
        }))
    }
}

impl Document for proto::InitialUeConfigurationDocument {
    const KIND: Kind = Kind::InitialUeConfiguration;

    fn key(&self) -> String {
        "initial".to_owned()
    }

    fn set_versioning(&mut self, etag: String, version: u64, update_time: WireTime) {
        (self.etag, self.version, self.update_time) = (etag, version, update_time);
    }
}

impl Document for proto::UeConfiguration {
    const KIND: Kind = Kind::UeConfiguration;

    fn key(&self) -> String {
        ue_configuration_key(self.mc_service(), &self.ue_id)
    }

    fn set_versioning(&mut self, etag: String, version: u64, update_time: WireTime) {
        (self.etag, self.version, self.update_time) = (etag, version, update_time);
    }
}

/// The key of the configuration of a UE for an MC service; an empty `ue_id` is that for all UEs, which comes first.
pub(crate) fn ue_configuration_key(service: mcx_proto::types::v1::McService, ue_id: &str) -> String {
    format!("{}/{ue_id}", service.as_str_name())
}

impl Document for proto::ServiceConfiguration {
    const KIND: Kind = Kind::ServiceConfiguration;

    fn key(&self) -> String {
        self.mc_service().as_str_name().to_owned()
    }

    fn set_versioning(&mut self, etag: String, version: u64, update_time: WireTime) {
        (self.etag, self.version, self.update_time) = (etag, version, update_time);
    }
}

impl Document for proto::VisitorPolicy {
    const KIND: Kind = Kind::VisitorPolicy;

    fn key(&self) -> String {
        self.mc_system_id.clone()
    }

    fn set_versioning(&mut self, etag: String, version: u64, update_time: WireTime) {
        (self.etag, self.version, self.update_time) = (etag, version, update_time);
    }
}

impl Document for proto::UserProfile {
    const KIND: Kind = Kind::UserProfile;

    fn key(&self) -> String {
        let identity = self.identity.as_ref();
        let service = identity.map_or("", |identity| identity.mc_service().as_str_name());
        let id = identity.map_or("", |identity| identity.mc_service_id.as_str());
        user_profile_key(service, id, self.profile_index)
    }

    fn set_versioning(&mut self, etag: String, version: u64, update_time: WireTime) {
        (self.etag, self.version, self.update_time) = (etag, version, update_time);
    }
}

/// The key of a user profile; those of one user come one after the other, in the order of the index.
pub(crate) fn user_profile_key(service: &str, id: &str, index: u32) -> String {
    format!("{service}/{id}/{index:03}")
}

/// What the keys of all user profiles of a user begin with.
pub(crate) fn user_profile_prefix(user: &crate::domain::user_profile::ServiceUser) -> String {
    let service = mcx_proto::types::v1::McService::from(user.mc_service);
    format!("{}/{}/", service.as_str_name(), user.id)
}

/// What the keys of user profiles begin with that are of an MC service, or of a user in it, or any.
pub(crate) fn user_profile_list_prefix(mc_service: Option<McService>, id: Option<&McServiceId>) -> String {
    let service = mc_service.map(|service| mcx_proto::types::v1::McService::from(service).as_str_name());
    match (service, id) {
        (None, _) => String::new(),
        (Some(service), None) => format!("{service}/"),
        (Some(service), Some(id)) => format!("{service}/{id}/"),
    }
}
