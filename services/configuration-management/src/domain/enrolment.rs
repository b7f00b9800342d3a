//! Enrolment codes: how a factory-new UE proves that it may have the initial UE configuration, TS 23.280 10.1.1.1.

use std::fmt;
use std::time::Duration;

use mcx_types::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

/// For how long the request that used a code is answered again: its answer may have been lost on the way.
const REPEATABLE_FOR: Duration = Duration::from_secs(3_600);

/// Letters and digits that are not taken for each other (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How many of them a code has: 130 bits.
pub const CODE_LENGTH: usize = 26;

/// An enrolment code, a secret.
pub struct EnrolmentCode(Zeroizing<String>);

impl EnrolmentCode {
    /// The code made of these random octets; of each octet five bits are used.
    pub fn from_random(octets: &Zeroizing<[u8; CODE_LENGTH]>) -> Self {
        let characters = octets.iter().map(|octet| char::from(ALPHABET[usize::from(octet & 31)]));
        Self(Zeroizing::new(characters.collect()))
    }

    /// The code that a UE sent: without hyphens and spaces, in upper case, with the letters that look like digits taken for them.
    pub fn from_sent(text: &str) -> Self {
        let characters = text.chars().filter(|character| !matches!(character, '-' | ' '));
        let characters = characters.map(|character| match character.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        });
        Self(Zeroizing::new(characters.collect()))
    }

    /// What is kept of it.
    pub fn hash(&self) -> CodeHash {
        CodeHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The code in groups, to be shown once.
    pub fn expose_grouped(&self) -> String {
        let groups: Vec<&str> =
            self.0.as_bytes().chunks(5).map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
        groups.join("-")
    }
}

impl fmt::Debug for EnrolmentCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EnrolmentCode([redacted])")
    }
}

/// What is kept of an enrolment code: its SHA-256, from which a code of 130 random bits cannot be found.
#[derive(Debug, Clone, Copy)]
pub struct CodeHash([u8; 32]);

impl CodeHash {
    /// As it is stored.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }

    /// As it was stored.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }

    /// Whether both are of the same code; takes the same time wherever they differ.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The right of a UE to fetch the initial UE configuration once.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The UE.
    pub ue_id: String,
    /// What is kept of its code.
    pub code: CodeHash,
    /// When the code was issued.
    pub created_at: Timestamp,
    /// From when on it cannot be used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// The request with which it was used, where that had an id.
    pub used_by: Option<Uuid>,
    /// How many wrong codes were sent. They lock nothing: a code holds 130 random bits, and whoever knows a UE could lock it out.
    pub failures: i64,
}

/// What became of an enrolment code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrolmentState {
    /// It can be used.
    Issued,
    /// It was used.
    Used,
    /// It was not used in time.
    Expired,
}

impl Enrolment {
    /// What became of the code by `now`.
    pub fn state(&self, now: Timestamp) -> EnrolmentState {
        if self.used_at.is_some() {
            EnrolmentState::Used
        } else if self.expires_at <= now {
            EnrolmentState::Expired
        } else {
            EnrolmentState::Issued
        }
    }

    /// Whether the code was used with this very request, a short while before `now`.
    pub fn was_used_by(&self, request_id: Uuid, now: Timestamp) -> bool {
        self.used_by == Some(request_id)
            && self.used_at.is_some_and(|used_at| now < used_at.saturating_add(REPEATABLE_FOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> EnrolmentCode {
        let mut octets = Zeroizing::new([0; CODE_LENGTH]);
        for (at, octet) in octets.iter_mut().enumerate() {
            *octet = u8::try_from(at * 9).unwrap();
        }
        EnrolmentCode::from_random(&octets)
    }

    #[test]
    fn a_code_is_recognised_however_it_is_typed() {
        let shown = code().expose_grouped();
        for typed in [
            shown.clone(),
            shown.to_lowercase(),
            shown.replace('-', ""),
            shown.replace('1', "l").replace('0', "o"),
        ] {
            assert!(EnrolmentCode::from_sent(&typed).hash().is_same(&code().hash()), "{typed}");
        }
        assert!(!EnrolmentCode::from_sent(&shown[1..]).hash().is_same(&code().hash()));
    }

    #[test]
    fn the_state_follows_use_and_time() {
        let (issued, expiry) = (Timestamp::from_micros(10), Timestamp::from_micros(20));
        let fresh = Enrolment {
            ue_id: "urn:uuid:0".to_owned(),
            code: code().hash(),
            created_at: issued,
            expires_at: expiry,
            used_at: None,
            used_by: None,
            failures: 0,
        };
        assert_eq!(fresh.state(Timestamp::from_micros(19)), EnrolmentState::Issued);
        assert_eq!(fresh.state(expiry), EnrolmentState::Expired);
        assert_eq!(Enrolment { used_at: Some(issued), ..fresh }.state(expiry), EnrolmentState::Used);
    }

    #[test]
    fn only_the_request_that_used_a_code_is_answered_again_and_for_an_hour() {
        let used_at = Timestamp::from_micros(10);
        let (request, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let used = Enrolment {
            ue_id: "urn:uuid:0".to_owned(),
            code: code().hash(),
            created_at: used_at,
            expires_at: used_at,
            used_at: Some(used_at),
            used_by: Some(request),
            failures: 0,
        };
        let an_hour_later = used_at.saturating_add(REPEATABLE_FOR);
        assert!(used.was_used_by(request, used_at));
        assert!(!used.was_used_by(request, an_hour_later));
        assert!(!used.was_used_by(other, used_at));
        let fresh = Enrolment { used_at: None, used_by: None, ..used };
        assert!(!fresh.was_used_by(request, used_at));
    }

    #[test]
    fn a_code_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", code()), "EnrolmentCode([redacted])");
    }
}
