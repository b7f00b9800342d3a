//! Every reason for which a rule keeps a vector from leaving the primary or from being asked by the partner.

use mcx_aka::digest::DigestAlgorithm;
use mcx_types::{Impi, Impu, McSystemId, Timestamp};
use uuid::Uuid;

use super::agreement::PartnerCapability;
use super::audit::stored_names;
use super::permit::NotPermitted;

/// A rule that forbids what was asked. The gRPC code and reason of each are in `error.rs`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The visitor was never accepted here, or is not any more.
    #[error("no binding has the private user identity {partner_impi}")]
    BindingUnknown {
        /// The identity asked for.
        partner_impi: Impi,
    },
    /// A public user identity is not of the private user identity.
    #[error("{impu} is not a public user identity of {impi}")]
    IdentitiesDoNotMatch {
        /// The private user identity.
        impi: Impi,
        /// The public user identity that is not of it.
        impu: Impu,
    },
    /// An operator suspended the binding.
    #[error("the binding is suspended")]
    BindingSuspended {
        /// Which.
        binding_id: Uuid,
    },
    /// The binding's validity has not begun.
    #[error("the binding is not valid before {valid_from}")]
    BindingNotYetValid {
        /// Which.
        binding_id: Uuid,
        /// When it begins.
        valid_from: Timestamp,
    },
    /// The binding's validity is over.
    #[error("the binding is not valid since {valid_until}")]
    BindingExpired {
        /// Which.
        binding_id: Uuid,
        /// When it ended.
        valid_until: Timestamp,
    },
    /// The visitor is authenticated by the own SIP database.
    #[error("the binding says local credentials: the own sip database authenticates this visitor")]
    LocalCredentials {
        /// Which.
        binding_id: Uuid,
    },
    /// There is no agreement with the MC system.
    #[error("there is no agreement with {mc_system_id}")]
    AgreementUnknown {
        /// Which.
        mc_system_id: McSystemId,
    },
    /// An operator suspended the agreement.
    #[error("the agreement with {mc_system_id} is suspended")]
    AgreementSuspended {
        /// Which.
        mc_system_id: McSystemId,
    },
    /// The agreement's validity has not begun.
    #[error("the agreement with {mc_system_id} is not valid before {valid_from}")]
    AgreementNotYetValid {
        /// Which.
        mc_system_id: McSystemId,
        /// When it begins.
        valid_from: Timestamp,
    },
    /// The agreement's validity is over.
    #[error("the agreement with {mc_system_id} is not valid since {valid_until}")]
    AgreementExpired {
        /// Which.
        mc_system_id: McSystemId,
        /// When it ended.
        valid_until: Timestamp,
    },
    /// The agreement does not let the partner ask this.
    #[error("the agreement with {mc_system_id} does not cover {}", capability.as_str())]
    NotAgreed {
        /// Which partner.
        mc_system_id: McSystemId,
        /// What it asked.
        capability: PartnerCapability,
    },
    /// The user may not migrate to that partner, or is not known at all.
    #[error("the user is not permitted to migrate to {mc_system_id}")]
    MigrationNotPermitted {
        /// The partner that asked.
        mc_system_id: McSystemId,
        /// Why, for our own records.
        cause: NotPermitted,
    },
    /// The subscriber is barred.
    #[error("the subscriber is barred")]
    SubscriberBarred {
        /// The primary MC system that bars her.
        mc_system_id: McSystemId,
    },
    /// The user is not authenticated by that scheme.
    #[error("the user is not authenticated by the scheme asked for")]
    SchemeNotSupported {
        /// The scheme, where one was named.
        scheme: Option<DigestAlgorithm>,
    },
    /// More than one vector was asked across systems.
    #[error("{vector_count} vectors were asked for, only one crosses systems at a time")]
    VectorCountExceeded {
        /// How many.
        vector_count: u32,
    },
    /// Too many requests. At the primary it names the partner that asks, at the partner the primary that refuses.
    #[error("the limit {} of {mc_system_id} is reached", limit.as_str())]
    RateLimited {
        /// The other MC system.
        mc_system_id: McSystemId,
        /// Which limit was reached.
        limit: Limit,
    },
    /// The AUTS was not honoured.
    #[error("the resynchronisation was refused")]
    ResynchronisationRefused,
}

stored_names! {
    /// A limit on what a partner may ask, by its name in the agreement.
    Limit {
        /// All its requests, per minute.
        RequestsPerMinute = "requests_per_minute",
        /// Its requests for one user, per minute.
        RequestsPerUserPerMinute = "requests_per_user_per_minute",
        /// Its resynchronisations of one user, per hour.
        ResynchronisationsPerUserPerHour = "resynchronisations_per_user_per_hour",
        /// Its users who wait for a decision.
        PendingOffers = "pending_offers",
    }
}
