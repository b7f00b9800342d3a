//! Counters of failures, challenges and resynchronisations, shared by all replicas.

use super::SharedStateError;
use mcx_store::SharedCache;
use mcx_types::Impi;
use std::net::IpAddr;
use std::time::Duration;

/// Who a counter counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A private user identity at a source address. Not the identity alone: whoever knows it could keep its user out by answering
    /// wrongly in her name, and guessing a response from many addresses is hopeless, because each guess is at another challenge.
    IdentityAt(&'a Impi, IpAddr),
    /// A source address, whoever it claims to be.
    Address(IpAddr),
}

impl Subject<'_> {
    fn key(self, what: &str) -> String {
        match self {
            Self::IdentityAt(impi, address) => format!("{what}/impi/{impi}/{address}"),
            Self::Address(address) => format!("{what}/address/{address}"),
        }
    }
}

/// How often things may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimits {
    /// Wrong responses for one identity from one address before it is locked out there.
    pub failures_per_identity: u64,
    /// Wrong responses from one address before it is locked out.
    pub failures_per_address: u64,
    /// How long failures are counted, and how long a lockout lasts.
    pub lockout_window: Duration,
    /// Resynchronisations of one identity from one address within [`AttemptLimits::resynchronisation_window`].
    pub resynchronisations: u64,
    /// How long resynchronisations are counted.
    pub resynchronisation_window: Duration,
    /// Challenges for one identity asked from one address within [`AttemptLimits::challenge_window`]: each costs a vector.
    pub challenges: u64,
    /// How long challenges are counted.
    pub challenge_window: Duration,
}

/// The counters.
#[derive(Debug, Clone)]
pub struct Attempts {
    cache: SharedCache,
    limits: AttemptLimits,
}

impl Attempts {
    /// Counters with these limits.
    #[must_use]
    pub fn new(cache: SharedCache, limits: AttemptLimits) -> Self {
        Self { cache, limits }
    }

    /// Whether the subject has failed too often lately.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn is_locked_out(&self, subject: Subject<'_>) -> Result<bool, SharedStateError> {
        Ok(self.cache.get(&subject.key("lockout")).await?.is_some())
    }

    /// Counts a wrong response, and tells whether the subject is locked out now.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn record_failure(&self, subject: Subject<'_>) -> Result<bool, SharedStateError> {
        let limit = match subject {
            Subject::IdentityAt(..) => self.limits.failures_per_identity,
            Subject::Address(_) => self.limits.failures_per_address,
        };
        let window = self.limits.lockout_window;
        let count = self.cache.increment(&subject.key("failures"), window).await?;
        if count < limit {
            return Ok(false);
        }
        self.cache.set(&subject.key("lockout"), "", window).await?;
        Ok(true)
    }

    /// Counts a resynchronisation, and tells whether it may be tried.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn may_resynchronise(&self, impi: &Impi, address: IpAddr) -> Result<bool, SharedStateError> {
        let key = Subject::IdentityAt(impi, address).key("resynchronisations");
        let count = self.cache.increment(&key, self.limits.resynchronisation_window).await?;
        Ok(count <= self.limits.resynchronisations)
    }

    /// Counts a challenge, and tells whether it may be asked for.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn may_challenge(&self, impi: &Impi, address: IpAddr) -> Result<bool, SharedStateError> {
        let key = Subject::IdentityAt(impi, address).key("challenges");
        let count = self.cache.increment(&key, self.limits.challenge_window).await?;
        Ok(count <= self.limits.challenges)
    }

    /// How long to wait after [`Attempts::may_challenge`] said no.
    #[must_use]
    pub fn challenge_window(&self) -> Duration {
        self.limits.challenge_window
    }
}
