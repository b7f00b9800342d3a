//! The octet strings of an AKA exchange that are not secret: RAND, AUTN, AUTS and AMF.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

/// Why octets, or their text form, are not the parameter they were taken for.
///
/// The variants carry lengths and positions only, never content, because the same error serves the secret types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OctetsError {
    /// The number of octets is outside what the specification allows for this parameter.
    #[error("{parameter} must have {} octets, got {actual}", octet_range(*minimum, *maximum))]
    WrongLength {
        /// The parameter's name in the specification, such as `RAND`.
        parameter: &'static str,
        /// The least number of octets.
        minimum: usize,
        /// The greatest number of octets.
        maximum: usize,
        /// The number of octets given; for hexadecimal text half its characters, rounded up.
        actual: usize,
    },
    /// The text holds something that is not a hexadecimal digit, or an odd number of digits.
    #[error("{parameter} is not an even number of hexadecimal digits")]
    NotHexadecimal {
        /// The parameter's name in the specification.
        parameter: &'static str,
    },
    /// The text is not base64 of RFC 4648 clause 4 (with padding).
    #[error("{parameter} is not base64 text")]
    NotBase64 {
        /// The parameter's name in the specification.
        parameter: &'static str,
    },
}

fn octet_range(minimum: usize, maximum: usize) -> String {
    if minimum == maximum { minimum.to_string() } else { format!("{minimum} to {maximum}") }
}

/// Takes exactly `N` octets, or says how many there were.
pub(crate) fn exactly<const N: usize>(
    parameter: &'static str,
    octets: &[u8],
) -> Result<[u8; N], OctetsError> {
    octets.try_into().map_err(|_| OctetsError::WrongLength {
        parameter,
        minimum: N,
        maximum: N,
        actual: octets.len(),
    })
}

/// Reads exactly `N` octets from hexadecimal digits of either case.
pub(crate) fn exactly_from_hex<const N: usize>(
    parameter: &'static str,
    text: &str,
) -> Result<[u8; N], OctetsError> {
    // The length is checked first so that an oversized text is refused without being decoded.
    if text.len().div_ceil(2) != N {
        return Err(OctetsError::WrongLength {
            parameter,
            minimum: N,
            maximum: N,
            actual: text.len().div_ceil(2),
        });
    }
    let mut octets = [0; N];
    hex::decode_to_slice(text, &mut octets).map_err(|_| OctetsError::NotHexadecimal { parameter })?;
    Ok(octets)
}

/// Declares a public octet string of fixed length: any content is valid, so the field is open.
macro_rules! public_octets {
    ($(#[$doc:meta])* $name:ident, $length:literal, $parameter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The number of octets.
            pub const LENGTH: usize = $length;

            /// The octets, in the order in which they are transmitted.
            #[must_use]
            pub const fn as_octets(&self) -> &[u8; $length] {
                &self.0
            }

            /// Reads hexadecimal digits of either case.
            ///
            /// # Errors
            /// [`OctetsError`] when the length differs or a character is not a hexadecimal digit.
            pub fn from_hex(text: &str) -> Result<Self, OctetsError> {
                exactly_from_hex($parameter, text).map(Self)
            }
        }

        impl From<[u8; $length]> for $name {
            fn from(octets: [u8; $length]) -> Self {
                Self(octets)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = OctetsError;

            fn try_from(octets: &[u8]) -> Result<Self, Self::Error> {
                exactly($parameter, octets).map(Self)
            }
        }

        /// Lower-case hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|octet| write!(formatter, "{octet:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

public_octets! {
    /// The random challenge RAND, 16 octets (TS 33.102 clause 6.3.2). The caller draws it from a secure source.
    Rand, 16, "RAND"
}
public_octets! {
    /// The authentication token AUTN = (SQN xor AK) ‖ AMF ‖ MAC-A, 16 octets (TS 33.102 clause 6.3.2).
    Autn, 16, "AUTN"
}
public_octets! {
    /// The resynchronisation token AUTS = (SQN_MS xor AK\*) ‖ MAC-S, 14 octets (TS 33.102 clause 6.3.3).
    Auts, 14, "AUTS"
}
public_octets! {
    /// The authentication management field AMF, 2 octets (TS 33.102 clause 6.3.2 and Annex F).
    ///
    /// Bit 0, the separation bit, is 1 only for vectors of EPS and 5G; IMS AKA neither sets nor checks it.
    Amf, 2, "AMF"
}

impl Amf {
    /// The all-zero AMF\* under which MAC-S is computed, so that AMF need not travel in AUTS
    /// (TS 33.102 clause 6.3.3).
    pub const RESYNCHRONISATION: Self = Self([0, 0]);
}

impl Autn {
    /// Puts the three parts together (TS 33.102 clause 6.3.2).
    #[must_use]
    pub fn from_parts(concealed_sqn: [u8; 6], amf: Amf, mac_a: [u8; 8]) -> Self {
        let mut octets = [0; Self::LENGTH];
        octets[..6].copy_from_slice(&concealed_sqn);
        octets[6..8].copy_from_slice(&amf.0);
        octets[8..].copy_from_slice(&mac_a);
        Self(octets)
    }

    /// SQN xor AK: the sequence number, hidden from whoever does not know K.
    #[must_use]
    pub fn concealed_sqn(&self) -> [u8; 6] {
        std::array::from_fn(|position| self.0[position])
    }

    /// The authentication management field.
    #[must_use]
    pub const fn amf(&self) -> Amf {
        Amf([self.0[6], self.0[7]])
    }

    /// MAC-A, which proves that the home network made the challenge.
    #[must_use]
    pub fn mac_a(&self) -> [u8; 8] {
        std::array::from_fn(|position| self.0[8 + position])
    }
}

impl Auts {
    /// Puts the two parts together (TS 33.102 clause 6.3.3).
    #[must_use]
    pub fn from_parts(concealed_sqn: [u8; 6], mac_s: [u8; 8]) -> Self {
        let mut octets = [0; Self::LENGTH];
        octets[..6].copy_from_slice(&concealed_sqn);
        octets[6..].copy_from_slice(&mac_s);
        Self(octets)
    }

    /// SQN_MS xor AK\*: the highest sequence number the ISIM has accepted, concealed.
    #[must_use]
    pub fn concealed_sqn(&self) -> [u8; 6] {
        std::array::from_fn(|position| self.0[position])
    }

    /// MAC-S, which proves that the ISIM itself asks for resynchronisation.
    #[must_use]
    pub fn mac_s(&self) -> [u8; 8] {
        std::array::from_fn(|position| self.0[6 + position])
    }

    /// The value of the `auts` parameter of an Authorization header (RFC 3310 clause 3.4).
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0)
    }

    /// Reads the value of an `auts` parameter (RFC 3310 clause 3.4).
    ///
    /// # Errors
    /// [`OctetsError`] when the text is not base64 or does not hold 14 octets.
    pub fn from_base64(text: &str) -> Result<Self, OctetsError> {
        // Base64 is four characters per three octets: the estimate refuses an oversized text undecoded.
        let estimate = text.len() / 4 * 3;
        if estimate > Self::LENGTH + 2 {
            return Err(OctetsError::WrongLength {
                parameter: "AUTS",
                minimum: Self::LENGTH,
                maximum: Self::LENGTH,
                actual: estimate,
            });
        }
        let octets = BASE64.decode(text).map_err(|_| OctetsError::NotBase64 { parameter: "AUTS" })?;
        Self::try_from(octets.as_slice())
    }
}
