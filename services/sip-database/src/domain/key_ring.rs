//! Subscribers' keys at rest: K and OPc under AES-256-GCM with a key-encryption key.

use std::collections::BTreeMap;
use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mcx_aka::{Opc, SubscriberKey};
use mcx_types::Impi;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use crate::domain::subscriber::SubscriberKeys;

/// The length of a nonce: 96 bits, as SP 800-38D 8.2.2 wants of random ones.
pub(crate) const NONCE_LENGTH: usize = 12;
/// A sealed pair of keys: nonce, K and OPc encrypted, tag.
const SEALED_LENGTH: usize = NONCE_LENGTH + SubscriberKey::LENGTH + Opc::LENGTH + 16;
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

/// Why sealed keys cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenKeysError {
    /// The key they are sealed under is not in the ring.
    #[error("key-encryption key {key_id} is missing")]
    KeyMissing {
        /// Its identifier.
        key_id: String,
    },
    /// They were changed, belong to another subscriber, or the ring has another key under the same identifier.
    #[error("keys sealed under {key_id} do not open")]
    Unopenable {
        /// The identifier of the key tried.
        key_id: String,
    },
}

/// K and OPc of one subscriber as they are stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedKeys {
    /// The key-encryption key.
    pub(crate) key_id: String,
    /// Nonce, ciphertext, tag.
    pub(crate) octets: Vec<u8>,
}

impl fmt::Debug for SealedKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SealedKeys").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The key-encryption keys by identifier, of which one seals and all open.
pub(crate) struct KeyRing {
    active: String,
    ciphers: BTreeMap<String, Aes256Gcm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    active: String,
    keys: BTreeMap<String, SecretString>,
}

impl KeyRing {
    /// Reads the text of a key file.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyRingError> {
        // The error of the parser quotes the line, which may hold a key: only its number is told.
        let file: KeyFile = toml::from_str(text).map_err(|error| KeyRingError::Malformed {
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

    /// The key that seals.
    pub(crate) fn active_key_id(&self) -> &str {
        &self.active
    }

    /// Seals the keys of a subscriber under the active key. `nonce` is random and never used again.
    pub(crate) fn seal(&self, impi: &Impi, keys: &SubscriberKeys, nonce: [u8; NONCE_LENGTH]) -> SealedKeys {
        let cipher = &self.ciphers[&self.active];
        let mut plaintext = Zeroizing::new([0_u8; SubscriberKey::LENGTH + Opc::LENGTH]);
        plaintext[..SubscriberKey::LENGTH].copy_from_slice(keys.key.expose_octets());
        plaintext[SubscriberKey::LENGTH..].copy_from_slice(keys.opc.expose_octets());
        let bound_to = associated_data(impi);
        let payload = Payload { msg: plaintext.as_slice(), aad: &bound_to };
        let ciphertext =
            cipher.encrypt(&Nonce::from(nonce), payload).expect("32 bytes are below the limit of AES-GCM");
        SealedKeys { key_id: self.active.clone(), octets: [nonce.as_slice(), &ciphertext].concat() }
    }

    /// Opens the keys of a subscriber.
    pub(crate) fn open(&self, impi: &Impi, sealed: &SealedKeys) -> Result<SubscriberKeys, OpenKeysError> {
        let key_id = || sealed.key_id.clone();
        let cipher =
            self.ciphers.get(&sealed.key_id).ok_or_else(|| OpenKeysError::KeyMissing { key_id: key_id() })?;
        let unopenable = || OpenKeysError::Unopenable { key_id: key_id() };
        if sealed.octets.len() != SEALED_LENGTH {
            return Err(unopenable());
        }
        let (nonce, ciphertext) = sealed.octets.split_first_chunk::<NONCE_LENGTH>().ok_or_else(unopenable)?;
        let payload = Payload { msg: ciphertext, aad: &associated_data(impi) };
        let plaintext =
            Zeroizing::new(cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| unopenable())?);
        let (key, opc) = plaintext.split_at(SubscriberKey::LENGTH);
        Ok(SubscriberKeys {
            key: SubscriberKey::try_from(key).map_err(|_| unopenable())?,
            opc: Opc::try_from(opc).map_err(|_| unopenable())?,
        })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key_ids: Vec<&String> = self.ciphers.keys().collect();
        formatter
            .debug_struct("KeyRing")
            .field("active", &self.active)
            .field("key_ids", &key_ids)
            .finish_non_exhaustive()
    }
}

/// What binds sealed keys to their purpose and their subscriber, so that they open in no other row.
fn associated_data(impi: &Impi) -> Vec<u8> {
    [b"mcx.sipdatabase.v1 subscriber keys\0", impi.as_str().as_bytes()].concat()
}

fn is_key_id(text: &str) -> bool {
    (1..=KEY_ID_LIMIT).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// The text of a key file with one fresh key, for a first start. `key` is wiped.
pub(crate) fn new_key_file(key_id: &str, mut key: [u8; 32]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(key));
    key.zeroize();
    Zeroizing::new(format!("active = \"{key_id}\"\n\n[keys]\n\"{key_id}\" = \"{}\"\n", encoded.as_str()))
}

/// The text of a key file with one more key, which is the active one. `key` is wiped.
pub(crate) fn with_added_key(text: &str, key_id: &str, mut key: [u8; 32]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(key));
    key.zeroize();
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
    with_key.push_str(&format!("\"{key_id}\" = \"{}\"\n", encoded.as_str()));
    with_key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(active: &str, keys: &[(&str, u8)]) -> KeyRing {
        let mut text = format!("active = {active:?}\n[keys]\n");
        for (key_id, octet) in keys {
            text += &format!("{key_id:?} = {:?}\n", BASE64.encode([*octet; 32]));
        }
        KeyRing::parse(&text).unwrap()
    }

    fn impi(text: &str) -> Impi {
        text.parse().unwrap()
    }

    fn keys() -> SubscriberKeys {
        SubscriberKeys { key: SubscriberKey::from_octets([0xa5; 16]), opc: Opc::from_octets([0x5a; 16]) }
    }

    #[test]
    fn sealed_keys_open_for_their_subscriber_only() {
        let ring = ring("2026-01", &[("2026-01", 1)]);
        let sealed = ring.seal(&impi("alice@alpha.example"), &keys(), [7; NONCE_LENGTH]);
        assert_eq!(ring.open(&impi("alice@alpha.example"), &sealed), Ok(keys()));
        let swapped = ring.open(&impi("bob@alpha.example"), &sealed);
        assert_eq!(swapped, Err(OpenKeysError::Unopenable { key_id: "2026-01".to_owned() }));
    }

    #[test]
    fn keys_sealed_under_the_old_key_open_after_the_active_key_changed() {
        let old = ring("2026-01", &[("2026-01", 1)]);
        let new = ring("2026-02", &[("2026-01", 1), ("2026-02", 2)]);
        let alice = impi("alice@alpha.example");
        let sealed = old.seal(&alice, &keys(), [7; NONCE_LENGTH]);
        assert_eq!(new.open(&alice, &sealed), Ok(keys()));
        let resealed = new.seal(&alice, &keys(), [8; NONCE_LENGTH]);
        assert_eq!(resealed.key_id, "2026-02");
        assert_eq!(
            old.open(&alice, &resealed),
            Err(OpenKeysError::KeyMissing { key_id: "2026-02".to_owned() })
        );
    }

    #[test]
    fn another_key_under_the_same_identifier_does_not_open() {
        let alice = impi("alice@alpha.example");
        let sealed = ring("a", &[("a", 1)]).seal(&alice, &keys(), [7; NONCE_LENGTH]);
        let outcome = ring("a", &[("a", 2)]).open(&alice, &sealed);
        assert_eq!(outcome, Err(OpenKeysError::Unopenable { key_id: "a".to_owned() }));
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
    fn new_key_file_is_a_key_ring() {
        let ring = KeyRing::parse(&new_key_file("2026-01", [9; 32])).unwrap();
        assert_eq!(ring.active_key_id(), "2026-01");
    }

    #[test]
    fn debug_output_shows_identifiers_only() {
        let ring = ring("2026-01", &[("2026-01", 0xa5)]);
        let sealed = ring.seal(&impi("alice@alpha.example"), &keys(), [7; NONCE_LENGTH]);
        let printed = format!("{ring:?} {sealed:?} {:?}", keys());
        assert!(!printed.contains("165") && !printed.contains("a5"), "{printed}");
    }

    proptest! {
        #[test]
        fn any_change_of_sealed_keys_is_noticed(position in 0..SEALED_LENGTH, change in 1_u8..) {
            let ring = ring("a", &[("a", 1)]);
            let alice = impi("alice@alpha.example");
            let mut sealed = ring.seal(&alice, &keys(), [7; NONCE_LENGTH]);
            sealed.octets[position] ^= change;
            prop_assert!(ring.open(&alice, &sealed).is_err());
        }
    }
}
