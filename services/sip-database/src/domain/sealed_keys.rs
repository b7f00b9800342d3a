//! Subscribers' keys at rest: K and OPc sealed together, and bound to their subscriber.

use mcx_aka::{Opc, SubscriberKey};
use mcx_store::sealing::{KeyRing, NONCE_LENGTH, SealedSecret, UnsealError};
use mcx_types::Impi;
use zeroize::Zeroizing;

use crate::domain::subscriber::SubscriberKeys;

/// K, then OPc.
const PLAINTEXT_LENGTH: usize = SubscriberKey::LENGTH + Opc::LENGTH;

impl SubscriberKeys {
    /// Seals them for a subscriber under the active key of the ring. `nonce` is random and never used again.
    pub(crate) fn seal(&self, ring: &KeyRing, impi: &Impi, nonce: [u8; NONCE_LENGTH]) -> SealedSecret {
        let mut plaintext = Zeroizing::new([0_u8; PLAINTEXT_LENGTH]);
        plaintext[..SubscriberKey::LENGTH].copy_from_slice(self.key.expose_octets());
        plaintext[SubscriberKey::LENGTH..].copy_from_slice(self.opc.expose_octets());
        ring.seal(&associated_data(impi), plaintext.as_slice(), nonce)
    }

    /// Opens those of a subscriber.
    ///
    /// # Errors
    /// [`UnsealError`]; what opens and is no pair of keys is [`UnsealError::Unopenable`] too.
    pub(crate) fn open(ring: &KeyRing, impi: &Impi, sealed: &SealedSecret) -> Result<Self, UnsealError> {
        let plaintext = ring.open(&associated_data(impi), sealed)?;
        let unopenable = || UnsealError::Unopenable { key_id: sealed.key_id.clone() };
        let (key, opc) = plaintext.split_at_checked(SubscriberKey::LENGTH).ok_or_else(unopenable)?;
        Ok(Self {
            key: SubscriberKey::try_from(key).map_err(|_| unopenable())?,
            opc: Opc::try_from(opc).map_err(|_| unopenable())?,
        })
    }
}

/// What binds sealed keys to their purpose and their subscriber, so that they open in no other row.
fn associated_data(impi: &Impi) -> Vec<u8> {
    [b"mcx.sipdatabase.v1 subscriber keys\0", impi.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; NONCE_LENGTH] = [7; NONCE_LENGTH];

    /// One key, 32 octets of 1, under the identifier `2026-01`.
    fn ring() -> KeyRing {
        let key_file =
            "active = \"2026-01\"\n[keys]\n\"2026-01\" = \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"\n";
        KeyRing::parse(key_file).unwrap()
    }

    fn impi(text: &str) -> Impi {
        text.parse().unwrap()
    }

    fn keys() -> SubscriberKeys {
        SubscriberKeys { key: SubscriberKey::from_octets([0xa5; 16]), opc: Opc::from_octets([0x5a; 16]) }
    }

    #[test]
    fn keys_are_stored_in_the_form_in_which_databases_hold_them() {
        // Made by another implementation of AES-256-GCM. Were this to change, no stored subscriber could be authenticated.
        let stored = "070707070707070707070707\
                      28564f01aa0b1404bc3fa1950365c26ffdf3db833e315503517869e7bc4e08f7\
                      b480536905854a414cd462b96ad617b7";
        let stored = SealedSecret { key_id: "2026-01".to_owned(), octets: hex::decode(stored).unwrap() };
        let alice = impi("alice@alpha.example");
        assert_eq!(SubscriberKeys::open(&ring(), &alice, &stored), Ok(keys()));
        assert_eq!(keys().seal(&ring(), &alice, NONCE), stored);
    }

    #[test]
    fn sealed_keys_open_for_their_subscriber_only() {
        let sealed = keys().seal(&ring(), &impi("alice@alpha.example"), NONCE);
        let swapped = SubscriberKeys::open(&ring(), &impi("bob@alpha.example"), &sealed);
        assert_eq!(swapped, Err(UnsealError::Unopenable { key_id: "2026-01".to_owned() }));
    }

    #[test]
    fn what_is_no_pair_of_keys_does_not_open() {
        let alice = impi("alice@alpha.example");
        for length in [0, SubscriberKey::LENGTH, PLAINTEXT_LENGTH - 1, PLAINTEXT_LENGTH + 1] {
            let sealed = ring().seal(&associated_data(&alice), &vec![0xa5; length], NONCE);
            let outcome = SubscriberKeys::open(&ring(), &alice, &sealed);
            let unopenable = UnsealError::Unopenable { key_id: "2026-01".to_owned() };
            assert_eq!(outcome, Err(unopenable), "{length} octets");
        }
    }
}
