//! RES and XRES, the answer of the ISIM and the answer the network expects (TS 33.102 clause 6.3.2).

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::parameter::OctetsError;
use crate::secret::REDACTED;

/// RES, 4 to 16 octets, 8 with Milenage (TS 33.102 clause 6.3.7). Any octet may occur, 0x00 and ':' included.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Res {
    octets: [u8; Res::MAXIMUM_LENGTH],
    length: usize,
}

impl Res {
    /// The least number of octets.
    pub const MINIMUM_LENGTH: usize = 4;
    /// The greatest number of octets.
    pub const MAXIMUM_LENGTH: usize = 16;

    /// The 8 octets of f2.
    pub(crate) fn from_f2(f2: [u8; 8]) -> Self {
        let mut octets = [0; Self::MAXIMUM_LENGTH];
        octets[..8].copy_from_slice(&f2);
        Self { octets, length: 8 }
    }

    /// The secret itself. Must not reach a log, a span, an error or an audit record.
    #[must_use]
    pub fn expose_octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl TryFrom<&[u8]> for Res {
    type Error = OctetsError;

    fn try_from(given: &[u8]) -> Result<Self, Self::Error> {
        if !(Self::MINIMUM_LENGTH..=Self::MAXIMUM_LENGTH).contains(&given.len()) {
            return Err(OctetsError::WrongLength {
                parameter: "RES",
                minimum: Self::MINIMUM_LENGTH,
                maximum: Self::MAXIMUM_LENGTH,
                actual: given.len(),
            });
        }
        let mut octets = [0; Self::MAXIMUM_LENGTH];
        octets[..given.len()].copy_from_slice(given);
        Ok(Self { octets, length: given.len() })
    }
}

/// Constant-time comparison; only the lengths, which are public, may show.
impl PartialEq for Res {
    fn eq(&self, other: &Self) -> bool {
        self.expose_octets().ct_eq(other.expose_octets()).into()
    }
}

impl Eq for Res {}

impl fmt::Debug for Res {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// XRES, the RES that the network expects (TS 33.102 clause 6.3.2). 4 to 16 octets, 8 with Milenage.
///
/// A type of its own, so that the network's expectation cannot be sent where a UE's answer belongs.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Xres(Res);

impl Xres {
    /// Expects this RES.
    #[must_use]
    pub const fn expecting(res: Res) -> Self {
        Self(res)
    }

    /// The RES that is expected, for the computation of the digest that a right answer would carry.
    #[must_use]
    pub const fn expected_res(&self) -> &Res {
        &self.0
    }

    /// Whether the received RES is the expected one, in constant time (TS 33.102 clause 6.3.3).
    #[must_use]
    pub fn matches(&self, res: &Res) -> bool {
        self.0 == *res
    }

    /// The secret itself. Must not reach a log, a span, an error or an audit record.
    #[must_use]
    pub fn expose_octets(&self) -> &[u8] {
        self.0.expose_octets()
    }
}

impl TryFrom<&[u8]> for Xres {
    type Error = OctetsError;

    fn try_from(given: &[u8]) -> Result<Self, Self::Error> {
        Res::try_from(given).map(Self)
    }
}

impl fmt::Debug for Xres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}
