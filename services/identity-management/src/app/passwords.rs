//! Argon2id, beside the threads that answer requests: one hash takes as long as thousands of requests, and much memory.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::PasswordConfig;
use crate::error::Error;

/// Hashes passwords and client secrets, and checks them.
pub(crate) struct PasswordHasher {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    queue_timeout: Duration,
    /// The hash of no password, checked where there is none: it takes as long as any.
    nobody: SecretString,
}

impl PasswordHasher {
    /// Takes the time of one hash.
    pub(crate) fn new(config: &PasswordConfig) -> Result<Self, Error> {
        let fault = |_| Error::Internal("the parameters of argon2id are unusable".to_owned());
        let params = Params::new(config.hash_memory_kib, config.hash_passes, 1, None).map_err(fault)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = argon2.hash_password(&rand::random::<[u8; 32]>()).map_err(|_| unhashable())?;
        Ok(Self {
            argon2,
            turns: Arc::new(Semaphore::new(config.hash_concurrency)),
            queue_timeout: config.hash_queue_timeout,
            nobody: SecretString::from(nobody.to_string()),
        })
    }

    /// The hash of a password, as a PHC string.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Error> {
        let argon2 = self.argon2.clone();
        self.in_turn(move || {
            let hash = argon2.hash_password(password.expose_secret().as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|_| unhashable())
        })
        .await?
    }

    /// Whether the password is the one of the hash. Without a hash it is not, after the same work.
    pub(crate) async fn is_right(
        &self,
        password: SecretString,
        hash: Option<SecretString>,
    ) -> Result<bool, Error> {
        let argon2 = self.argon2.clone();
        let is_somebody = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let fits = self
            .in_turn(move || {
                let hash = PasswordHash::new(hash.expose_secret()).map_err(|_| unhashable())?;
                // Compares in constant time.
                Ok::<_, Error>(argon2.verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
            })
            .await??;
        Ok(fits && is_somebody)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = timeout(self.queue_timeout, Arc::clone(&self.turns).acquire_owned());
        let turn = turn.await.map_err(|_| Error::Overloaded)?.map_err(|_| Error::Overloaded)?;
        // The turn goes with the work, which goes on when the caller hangs up.
        let hashing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        hashing.await.map_err(|_| unhashable())
    }
}

fn unhashable() -> Error {
    Error::Internal("a password cannot be hashed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PasswordConfig {
        PasswordConfig {
            hash_memory_kib: 8,
            hash_passes: 1,
            hash_concurrency: 1,
            ..PasswordConfig::default()
        }
    }

    #[tokio::test]
    async fn only_the_right_password_fits_and_nobody_has_none() {
        let hasher = PasswordHasher::new(&config()).unwrap();
        let hash = hasher.hash("right".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert_ne!(hash, hasher.hash("right".into()).await.unwrap());
        let hash = SecretString::from(hash);
        assert!(hasher.is_right("right".into(), Some(hash.clone())).await.unwrap());
        assert!(!hasher.is_right("wrong".into(), Some(hash)).await.unwrap());
        assert!(!hasher.is_right("right".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_to_come_back() {
        let config = PasswordConfig { hash_queue_timeout: Duration::from_millis(1), ..config() };
        let hasher = PasswordHasher::new(&config).unwrap();
        let _turn = Arc::clone(&hasher.turns).acquire_owned().await.unwrap();
        assert!(matches!(hasher.hash("any".into()).await, Err(Error::Overloaded)));
    }
}
