//! Secret octet strings of fixed length: wiped when dropped, compared in constant time, printed as `[redacted]`.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::parameter::{OctetsError, exactly, exactly_from_hex};

/// What every secret prints instead of its content.
pub(crate) const REDACTED: &str = "[redacted]";

/// Declares a secret of fixed length.
macro_rules! secret_octets {
    ($(#[$doc:meta])* $name:ident, $length:literal, $parameter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; $length]);

        impl $name {
            /// The number of octets.
            pub const LENGTH: usize = $length;

            /// Takes the octets in the order of the specification, most significant first.
            #[must_use]
            pub const fn from_octets(octets: [u8; $length]) -> Self {
                Self(octets)
            }

            /// Reads hexadecimal digits of either case.
            ///
            /// # Errors
            /// [`OctetsError`] when the length differs or a character is not a hexadecimal digit; it never repeats
            /// any of the text.
            pub fn from_hex(text: &str) -> Result<Self, OctetsError> {
                exactly_from_hex($parameter, text).map(Self)
            }

            /// The secret itself. Must not reach a log, a span, an error or an audit record.
            #[must_use]
            pub const fn expose_octets(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = OctetsError;

            fn try_from(octets: &[u8]) -> Result<Self, Self::Error> {
                exactly($parameter, octets).map(Self)
            }
        }

        /// Constant-time comparison.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(REDACTED)
            }
        }
    };
}

secret_octets! {
    /// The subscriber's long-term key K, 16 octets, shared by the ISIM and the SIP database (TS 33.102 clause 6.3.1).
    SubscriberKey, 16, "K"
}
secret_octets! {
    /// The operator variant algorithm configuration field OP, 16 octets (TS 35.205 clause 5.1).
    OperatorKey, 16, "OP"
}
secret_octets! {
    /// OPc, 16 octets: OP encrypted under K, so that OP need not be on the card (TS 35.205 clause 5.1).
    Opc, 16, "OPc"
}
secret_octets! {
    /// The cipher key CK, 16 octets, the output of f3 (TS 33.102 clause 6.3.2).
    CipherKey, 16, "CK"
}
secret_octets! {
    /// The integrity key IK, 16 octets, the output of f4 (TS 33.102 clause 6.3.2).
    IntegrityKey, 16, "IK"
}
secret_octets! {
    /// The anonymity key AK or AK\*, 6 octets, the output of f5 or f5\*; it conceals SQN (TS 33.102 clause 6.3.2).
    AnonymityKey, 6, "AK"
}
secret_octets! {
    /// MAC-A or MAC-S, 8 octets, the output of f1 or f1\* (TS 33.102 clauses 6.3.2 and 6.3.3).
    ///
    /// Kept like a secret: the value expected for a forged token would complete the forgery.
    MessageAuthenticationCode, 8, "MAC"
}

impl AnonymityKey {
    /// Conceals an SQN, or reveals a concealed one: the operation is its own inverse.
    #[must_use]
    pub fn conceal(&self, sqn: [u8; 6]) -> [u8; 6] {
        std::array::from_fn(|position| self.0[position] ^ sqn[position])
    }
}

impl MessageAuthenticationCode {
    /// Whether a received code equals this one, in constant time.
    #[must_use]
    pub fn matches(&self, received: &[u8; 8]) -> bool {
        self.0.ct_eq(received).into()
    }
}
