//! Secrets at rest: sealed with AES-256-GCM under a key-encryption key that lies in a file, not in the database.
//!
//! A [`KeyFile`] holds a [`KeyRing`]: several keys by identifier, of which one seals and all open, so that a key can be replaced while the
//! service goes on. What is sealed is bound to its purpose and its row by associated data, and opens nowhere else.

mod key_file;
mod key_ring;

pub use key_file::{KeyFile, KeyFileError, add_key, check_removable, create_key_file, remove_key};
pub use key_ring::{KeyRing, KeyRingError, NONCE_LENGTH, SealedSecret, UnsealError};
