//! The key-encryption keys, and what is sealed under them.

use std::collections::BTreeMap;
use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

/// The length of a nonce: 96 bits, as SP 800-38D 8.2.2 wants of random ones.
pub const NONCE_LENGTH: usize = 12;
/// Longest identifier of a key-encryption key.
const KEY_ID_LIMIT: usize = 64;

/// Why the text of a key file is no key ring. Never repeats a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// It is not TOML of the form `active = "id"`, `[keys]`, `id = "base64"`.
    #[error("is not of the form active = \"id\", [keys], \"id\" = \"base64 of 32 bytes\"{}", place(*line))]
    Malformed {
        /// Where, counted from 1, if known.
        line: Option<usize>,
    },
    /// An identifier is empty, too long, or has other characters than letters, digits, `-`, `_` and `.`.
    #[error("key id at position {position} is not 1 to 64 letters, digits, '-', '_' or '.'")]
    InvalidKeyId {
        /// Its position in the order of the identifiers, from 1.
        position: usize,
    },
    /// A key is not the base64 of 32 bytes.
    #[error("key {key_id} is not the base64 of 32 bytes")]
    InvalidKey {
        /// Its identifier.
        key_id: String,
    },
    /// The active key is not among the keys.
    #[error("active key {key_id} is not among the keys")]
    ActiveKeyMissing {
        /// Its identifier.
        key_id: String,
    },
}

fn place(line: Option<usize>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}

/// Why a sealed secret cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The key it is sealed under is not in the ring.
    #[error("key-encryption key {key_id} is missing")]
    KeyMissing {
        /// Its identifier.
        key_id: String,
    },
    /// It was changed, belongs elsewhere, or the ring has another key under the same identifier.
    #[error("what is sealed under {key_id} does not open")]
    Unopenable {
        /// The identifier of the key tried.
        key_id: String,
    },
}

/// A secret as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The key-encryption key.
    pub key_id: String,
    /// Nonce, ciphertext, tag.
    pub octets: Vec<u8>,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SealedSecret").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The key-encryption keys by identifier, of which one seals and all open.
pub struct KeyRing {
    active: String,
    ciphers: BTreeMap<String, Aes256Gcm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFileText {
    active: String,
    keys: BTreeMap<String, SecretString>,
}

impl KeyRing {
    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`KeyRingError`]
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        // The error of the parser quotes the line, which may hold a key: only its number is told.
        let file: KeyFileText = toml::from_str(text).map_err(|error| KeyRingError::Malformed {
            line: error.span().map(|span| line_of(text, span.start)),
        })?;
        let mut ciphers = BTreeMap::new();
        for (position, (key_id, encoded)) in file.keys.iter().enumerate() {
            if !is_key_id(key_id) {
                return Err(KeyRingError::InvalidKeyId { position: position + 1 });
            }
            let key = Zeroizing::new(BASE64.decode(encoded.expose_secret().trim()).unwrap_or_default());
            let cipher = Aes256Gcm::new_from_slice(&key)
                .map_err(|_| KeyRingError::InvalidKey { key_id: key_id.clone() })?;
            ciphers.insert(key_id.clone(), cipher);
        }
        if !ciphers.contains_key(&file.active) {
            return Err(KeyRingError::ActiveKeyMissing { key_id: file.active });
        }
        Ok(Self { active: file.active, ciphers })
    }

    /// The identifier of the key that seals.
    pub fn active_key_id(&self) -> &str {
        &self.active
    }

    /// Whether there is a key with this identifier.
    pub fn has(&self, key_id: &str) -> bool {
        self.ciphers.contains_key(key_id)
    }

    /// Seals a secret under the active key. `nonce` is random and never used again; `bound_to` names the purpose and the row, and is
    /// needed again to open.
    pub fn seal(&self, bound_to: &[u8], secret: &[u8], nonce: [u8; NONCE_LENGTH]) -> SealedSecret {
        let payload = Payload { msg: secret, aad: bound_to };
        let ciphertext = self.ciphers[&self.active]
            .encrypt(&Nonce::from(nonce), payload)
            .expect("a secret is far below the limit of AES-GCM");
        SealedSecret { key_id: self.active.clone(), octets: [nonce.as_slice(), &ciphertext].concat() }
    }

    /// Opens a sealed secret.
    ///
    /// # Errors
    /// [`UnsealError`]
    pub fn open(&self, bound_to: &[u8], sealed: &SealedSecret) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let key_id = || sealed.key_id.clone();
        let cipher =
            self.ciphers.get(&sealed.key_id).ok_or_else(|| UnsealError::KeyMissing { key_id: key_id() })?;
        let unopenable = || UnsealError::Unopenable { key_id: key_id() };
        let (nonce, ciphertext) = sealed.octets.split_first_chunk::<NONCE_LENGTH>().ok_or_else(unopenable)?;
        let payload = Payload { msg: ciphertext, aad: bound_to };
        cipher.decrypt(&Nonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| unopenable())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyRing")
            .field("active", &self.active)
            .field("key_ids", &self.ciphers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn is_key_id(text: &str) -> bool {
    (1..=KEY_ID_LIMIT).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// The text of a key file with one fresh key, for a first start.
pub(super) fn new_key_file(key_id: &str, key: &[u8; 32]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(key));
    Zeroizing::new(format!("active = \"{key_id}\"\n\n[keys]\n\"{key_id}\" = \"{}\"\n", encoded.as_str()))
}

/// The text of a key file with one more key, which is the active one.
pub(super) fn with_added_key(text: &str, key_id: &str, key: &[u8; 32]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(key));
    let mut with_key = Zeroizing::new(String::with_capacity(text.len() + 256));
    for line in text.lines() {
        if line.trim_start().starts_with("active") {
            with_key.push_str(&format!("active = \"{key_id}\""));
        } else {
            with_key.push_str(line);
        }
        with_key.push('\n');
    }
    // `[keys]` is the only table of the file, so that what stands at its end belongs to it.
    with_key.extend(["\"", key_id, "\" = \"", encoded.as_str(), "\"\n"]);
    with_key
}

/// The text of a key file without one of its keys, or `None` where the line of that key cannot be told from others: operators may have
/// written the file by hand.
pub(super) fn without_key(text: &str, key_id: &str) -> Option<Zeroizing<String>> {
    let is_of_key = |line: &&str| {
        let name = line.split_once('=').map_or("", |(name, _)| name.trim());
        name.trim_matches(['"', '\'']) == key_id
    };
    let (of_key, others): (Vec<&str>, Vec<&str>) = text.lines().partition(is_of_key);
    let mut without_key = Zeroizing::new(String::with_capacity(text.len()));
    for line in others {
        without_key.extend([line, "\n"]);
    }
    (of_key.len() == 1).then_some(without_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; NONCE_LENGTH] = [7; NONCE_LENGTH];

    fn ring(active: &str, keys: &[(&str, u8)]) -> KeyRing {
        let mut text = format!("active = {active:?}\n[keys]\n");
        for (key_id, octet) in keys {
            text += &format!("{key_id:?} = {:?}\n", BASE64.encode([*octet; 32]));
        }
        KeyRing::parse(&text).unwrap()
    }

    #[test]
    fn sealed_secret_opens_only_for_what_it_is_bound_to() {
        let ring = ring("2026-01", &[("2026-01", 1)]);
        let sealed = ring.seal(b"row of alice", b"secret", NONCE);
        assert_eq!(ring.open(b"row of alice", &sealed).unwrap().as_slice(), b"secret");
        let moved = ring.open(b"row of bob", &sealed);
        assert_eq!(moved, Err(UnsealError::Unopenable { key_id: "2026-01".to_owned() }));
    }

    #[test]
    fn what_the_old_key_sealed_opens_after_the_active_key_changed() {
        let old = ring("2026-01", &[("2026-01", 1)]);
        let new = ring("2026-02", &[("2026-01", 1), ("2026-02", 2)]);
        let sealed = old.seal(b"row", b"secret", NONCE);
        assert_eq!(new.open(b"row", &sealed).unwrap().as_slice(), b"secret");
        let resealed = new.seal(b"row", b"secret", NONCE);
        assert_eq!(resealed.key_id, "2026-02");
        assert_eq!(
            old.open(b"row", &resealed),
            Err(UnsealError::KeyMissing { key_id: "2026-02".to_owned() })
        );
    }

    #[test]
    fn another_key_under_the_same_identifier_does_not_open() {
        let sealed = ring("a", &[("a", 1)]).seal(b"row", b"secret", NONCE);
        let outcome = ring("a", &[("a", 2)]).open(b"row", &sealed);
        assert_eq!(outcome, Err(UnsealError::Unopenable { key_id: "a".to_owned() }));
    }

    #[test]
    fn any_change_of_a_sealed_secret_is_noticed() {
        let ring = ring("a", &[("a", 1)]);
        let sealed = ring.seal(b"row", b"secret", NONCE);
        for position in 0..sealed.octets.len() {
            let mut changed = sealed.clone();
            changed.octets[position] ^= 1;
            assert!(ring.open(b"row", &changed).is_err(), "byte {position}");
        }
        for length in 0..sealed.octets.len() {
            let octets = sealed.octets[..length].to_vec();
            assert!(ring.open(b"row", &SealedSecret { octets, ..sealed.clone() }).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn unusable_key_files_are_refused_with_their_cause_and_without_their_keys() {
        let short = BASE64.encode([0x42; 16]);
        let good = BASE64.encode([0x42; 32]);
        let cases = [
            (String::new(), "is not of the form"),
            (format!("active = \"a\"\n[keys]\na = {good}\n"), "(line 3)"),
            (format!("active = \"a\"\n[keys]\na = \"{short}\"\n"), "key a is not the base64 of 32 bytes"),
            (format!("active = \"b\"\n[keys]\na = \"{good}\"\n"), "active key b is not among the keys"),
            (format!("active = \"a b\"\n[keys]\n\"a b\" = \"{good}\"\n"), "key id at position 1"),
            (format!("active = \"a\"\nother = 1\n[keys]\na = \"{good}\"\n"), "is not of the form"),
        ];
        for (text, expected) in cases {
            let error = KeyRing::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(&good) && !error.contains(&short), "{error}");
        }
    }

    #[test]
    fn debug_output_shows_identifiers_only() {
        let ring = ring("2026-01", &[("2026-01", 0xa5)]);
        let printed = format!("{ring:?} {:?}", ring.seal(b"row", &[0xa5; 16], NONCE));
        assert!(!printed.contains("165") && !printed.contains("a5"), "{printed}");
    }
}
