//! The use cases of identity management: the only place where rules, store and cache meet.
//!
//! | room | does |
//! | --- | --- |
//! | [`accounts`], [`clients`], [`partner_trusts`], [`import`] | what operators provision |
//! | [`migration`] | what migration management provisions |
//! | [`login`] | a user proves who she is, TS 33.180 5.1.2 |
//! | [`tokens`] | codes and refresh tokens become tokens |
//! | [`exchange`] | TS 33.180 C.2 step 6: a security token for a partner |
//! | [`bearer`] | TS 33.180 C.2 step 8: a visitor's security token becomes tokens |
//! | [`revocation`] | tokens that count no more |
//! | [`trust`] | keys and revocations as they are now, and who signs |
//! | [`signing_keys`] | making and replacing keys |
//! | [`upkeep`] | what is done beside the requests |

pub(crate) mod accounts;
pub(crate) mod bearer;
pub(crate) mod clients;
pub(crate) mod exchange;
pub(crate) mod import;
pub(crate) mod issuing;
pub(crate) mod limits;
pub(crate) mod login;
pub(crate) mod migration;
pub(crate) mod mutation;
pub(crate) mod partner_trusts;
pub(crate) mod passwords;
pub(crate) mod randomness;
pub(crate) mod revocation;
pub(crate) mod signing_keys;
pub(crate) mod tokens;
pub(crate) mod trust;
pub(crate) mod upkeep;

use std::sync::Arc;

use mcx_federation::access_token::AccessTokenVerifier;
use mcx_store::sealing::KeyFile;
use mcx_store::{Database, SharedCache};
use mcx_types::{Clock, McSystemId};
use tokio_util::sync::CancellationToken;

use crate::config::IdentityManagementConfig;
use limits::SourceLimits;
use passwords::PasswordHasher;
use randomness::Randomness;
use trust::TrustState;

/// Everything that the use cases stand on. Clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<AppParts>);

/// The parts of [`App`].
pub(crate) struct AppParts {
    /// This MC system.
    pub(crate) own: McSystemId,
    pub(crate) issuer: String,
    pub(crate) database: Database,
    pub(crate) cache: SharedCache,
    pub(crate) key_file: KeyFile,
    pub(crate) hasher: PasswordHasher,
    pub(crate) limits: SourceLimits,
    pub(crate) trust: TrustState,
    /// Of access tokens of our own.
    pub(crate) verifier: AccessTokenVerifier,
    pub(crate) config: IdentityManagementConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Randomness,
    /// Cancelled when the service drains: streams end then.
    pub(crate) draining: CancellationToken,
}

impl App {
    pub(crate) fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The token endpoint: what security tokens for this MC system are made out to.
    pub(crate) fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer)
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
