//! What is recorded of each release, refusal and decision. No key, no vector and no token is part of it.

use mcx_aka::digest::DigestAlgorithm;
use mcx_types::{McSystemId, Timestamp};
use uuid::Uuid;

/// One release, refusal or decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The identifier, which grows with time (UUID version 7).
    pub id: Uuid,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// What was asked.
    pub action: AuditedAction,
    /// What was decided.
    pub decision: AuditDecision,
    /// The reason of a refusal or failure, by its name in the protocol; `None` for a release.
    pub reason: Option<&'static str>,
    /// The role in which this MC system decided.
    pub role: AuditRole,
    /// The other MC system; `None` where the partner could not tell whom to ask.
    pub peer: Option<McSystemId>,
    /// SHA-256 of the certificate of the caller, in hexadecimal.
    pub peer_certificate_sha256: String,
    /// The private user identity in the primary MC system, where it is known.
    pub primary_impi: Option<String>,
    /// The private user identity that the partner allotted.
    pub partner_impi: String,
    /// The scheme asked for.
    pub scheme: Option<DigestAlgorithm>,
    /// How many vectors were released.
    pub vector_count: u32,
    /// The name of the request in both systems' records; `None` where none was made.
    pub transaction_id: Option<Uuid>,
    /// The trace that the request belongs to, in hexadecimal; empty: none.
    pub trace_id: String,
    /// What was decided on a user migration; `None` where the record is of something else.
    pub user_migration: Option<AuditedUserMigration>,
}

/// What is recorded of a decision on a user migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedUserMigration {
    /// Which.
    pub migration_id: Uuid,
    /// Who decided, as a SPIFFE ID.
    pub decided_by: String,
    /// What they gave as the cause.
    pub cause: String,
}

macro_rules! stored_names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The name in the store and in JSON lines.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value with that name.
            pub fn from_name(name: &str) -> Option<Self> {
                [$(Self::$variant,)*].into_iter().find(|value| value.as_str() == name)
            }
        }
    };
}
pub(crate) use stored_names;

stored_names! {
    /// What a partner asked.
    AuditedAction {
        /// An authentication vector.
        GetSipAuthenticationInformation = "GET_SIP_AUTHENTICATION_INFORMATION",
        /// A resynchronisation.
        Resynchronise = "RESYNCHRONISE",
        /// That a user may migrate.
        RequestUserMigration = "REQUEST_USER_MIGRATION",
        /// Whether a user is let in, TS 23.280 10.17.5.
        AdmitUserMigration = "ADMIT_USER_MIGRATION",
        /// That a user may no longer migrate.
        RevokeUserMigration = "REVOKE_USER_MIGRATION",
        /// Everything is in place here.
        CompleteUserMigration = "COMPLETE_USER_MIGRATION",
        /// Nothing is left in place here.
        CompleteRevocation = "COMPLETE_REVOCATION",
    }
}

stored_names! {
    /// What was decided.
    AuditDecision {
        /// The vector is released; recorded before it leaves.
        Released = "RELEASED",
        /// A rule forbids it.
        Refused = "REFUSED",
        /// It could not be done, although no rule forbids it.
        Failed = "FAILED",
        /// It was done as asked.
        Done = "DONE",
    }
}

stored_names! {
    /// The role in which this MC system decided.
    AuditRole {
        /// A partner asked for a vector of an own user.
        Primary = "PRIMARY",
        /// The own SIP core asked for a vector of a visitor.
        Partner = "PARTNER",
    }
}
