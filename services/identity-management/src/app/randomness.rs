//! What nobody can guess; tests put something predictable in its place.

use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::grant::secret_of;

/// Makes 32 random octets.
pub type Randomness = Arc<dyn Fn() -> [u8; 32] + Send + Sync>;

/// A code, refresh token or form token.
pub(crate) fn secret(randomness: &Randomness) -> Zeroizing<String> {
    secret_of(randomness())
}

/// An identifier that tells nothing.
pub(crate) fn uuid(randomness: &Randomness) -> Uuid {
    let octets = randomness();
    let mut first = [0; 16];
    first.copy_from_slice(&octets[..16]);
    uuid::Builder::from_random_bytes(first).into_uuid()
}
