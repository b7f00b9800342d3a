//! Who calls: the SPIFFE identities that certificates carry, and what they stand for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{McSystemId, Subject};

/// Why a URI is not one of our SPIFFE identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Not of the form `spiffe://<mc-system-id>/<path>`.
    #[error("must be spiffe://<mc-system-id>/<entity> or spiffe://<mc-system-id>/operator/<name>")]
    Malformed,
    /// The path names neither an entity nor an operator.
    #[error("names neither an entity of an mc system nor an operator")]
    UnknownPrincipal,
}

macro_rules! entities {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The functional entities of an MC system, by the names they have in certificates, roles and packages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Entity { $($(#[$doc])* $name,)* }

        impl Entity {
            /// Every entity, in the order of the architecture.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name, for example `migration-management`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

entities! {
    /// The migration management server (MMS).
    MigrationManagement = "migration-management",
    /// The SIP database: HSS and AuC.
    SipDatabase = "sip-database",
    /// The SIP core: the registrar.
    SipCore = "sip-core",
    /// The identity management server (IdMS).
    IdentityManagement = "identity-management",
    /// The configuration management server (CMS).
    ConfigurationManagement = "configuration-management",
    /// The group management server (GMS).
    GroupManagement = "group-management",
    /// The functional alias management server (FAMS).
    FunctionalAliasManagement = "functional-alias-management",
    /// The MC service server.
    McService = "mc-service",
}

impl fmt::Display for Entity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Entity {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|entity| entity.as_str() == text)
            .ok_or(SpiffeIdError::UnknownPrincipal)
    }
}

/// What a SPIFFE identity stands for inside its MC system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A functional entity.
    Entity(Entity),
    /// A person who operates the system, by name.
    Operator(String),
    /// A user of the system. An access token proves her, never a certificate: see [`SpiffeId::user`].
    User(Subject),
    /// Nobody has proved anything: a call that needs no proof. See [`SpiffeId::anonymous`].
    Anonymous,
}

/// The identity that a certificate proves: `spiffe://<mc-system-id>/<entity>` or `spiffe://<mc-system-id>/operator/<name>`.
///
/// Callers without a certificate are written alike, as `…/user/<subject>` and `…/anonymous`, so that a log has one form. Neither can
/// be parsed: no certificate and no setting can claim to be one of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    mc_system_id: McSystemId,
    principal: Principal,
}

impl SpiffeId {
    /// The identity of an entity of a system.
    pub fn entity(mc_system_id: McSystemId, entity: Entity) -> Self {
        Self { mc_system_id, principal: Principal::Entity(entity) }
    }

    /// The identity of an operator of a system.
    ///
    /// # Errors
    /// [`SpiffeIdError::Malformed`] unless the name is 1 to 64 letters, digits, `-`, `_` or `.`.
    pub fn operator(mc_system_id: McSystemId, name: &str) -> Result<Self, SpiffeIdError> {
        let is_name = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && name.bytes().any(|b| b != b'.');
        if !is_name {
            return Err(SpiffeIdError::Malformed);
        }
        Ok(Self { mc_system_id, principal: Principal::Operator(name.to_owned()) })
    }

    /// A user of a system, proved by an access token.
    pub fn user(mc_system_id: McSystemId, subject: Subject) -> Self {
        Self { mc_system_id, principal: Principal::User(subject) }
    }

    /// Whoever calls a system without any proof.
    pub fn anonymous(mc_system_id: McSystemId) -> Self {
        Self { mc_system_id, principal: Principal::Anonymous }
    }

    /// The MC system, which is the trust domain.
    pub fn mc_system_id(&self) -> &McSystemId {
        &self.mc_system_id
    }

    /// Whom the identity stands for.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.principal {
            Principal::Entity(entity) => write!(formatter, "spiffe://{}/{entity}", self.mc_system_id),
            Principal::Operator(name) => write!(formatter, "spiffe://{}/operator/{name}", self.mc_system_id),
            Principal::User(subject) => write!(formatter, "spiffe://{}/user/{subject}", self.mc_system_id),
            Principal::Anonymous => write!(formatter, "spiffe://{}/anonymous", self.mc_system_id),
        }
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("spiffe://").ok_or(SpiffeIdError::Malformed)?;
        let (trust_domain, path) = rest.split_once('/').ok_or(SpiffeIdError::Malformed)?;
        let mc_system_id: McSystemId = trust_domain.parse().map_err(|_| SpiffeIdError::Malformed)?;
        if mc_system_id.as_str() != trust_domain {
            // A SPIFFE ID is compared byte by byte: a trust domain in another case is another identity.
            return Err(SpiffeIdError::Malformed);
        }
        match path.strip_prefix("operator/") {
            Some(name) => Self::operator(mc_system_id, name),
            None => Ok(Self::entity(mc_system_id, path.parse()?)),
        }
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spiffe_ids_of_entities_and_operators_survive_a_round_trip() {
        for text in
            ["spiffe://alpha.example/migration-management", "spiffe://alpha.example/operator/duty-officer"]
        {
            assert_eq!(text.parse::<SpiffeId>().map(|id| id.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn callers_without_a_certificate_have_a_name_that_no_certificate_can_have() {
        let system: McSystemId = "alpha.example".parse().unwrap();
        let user = SpiffeId::user(system.clone(), "7f9c".parse().unwrap());
        assert_eq!(user.to_string(), "spiffe://alpha.example/user/7f9c");
        let deceiver = SpiffeId::user(system.clone(), "../sip-core".parse().unwrap());
        for id in [user, deceiver, SpiffeId::anonymous(system)] {
            assert!(id.to_string().parse::<SpiffeId>().is_err(), "{id} was taken for an identity");
        }
    }

    #[test]
    fn foreign_or_malformed_spiffe_ids_are_refused() {
        for text in [
            "",
            "https://alpha.example/sip-core",
            "spiffe://alpha.example",
            "spiffe://alpha.example/",
            "spiffe://Alpha.example/sip-core",
            "spiffe://alpha.example/sip-core/extra",
            "spiffe://alpha.example/operator/",
            "spiffe://alpha.example/operator/..",
            "spiffe://alpha.example/operator/a/b",
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text:?} was taken for an identity");
        }
    }
}
