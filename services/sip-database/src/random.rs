//! Where RAND values and nonces come from; tests put something predictable in its place.

use rand::Rng;

/// A source of octets that nobody can predict.
pub trait RandomSource: Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, octets: &mut [u8]);
}

/// The generator of the thread, seeded by the operating system and suitable for cryptography.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&self, octets: &mut [u8]) {
        rand::rng().fill_bytes(octets);
    }
}

impl dyn RandomSource {
    /// An array of random octets.
    pub(crate) fn array<const N: usize>(&self) -> [u8; N] {
        let mut octets = [0; N];
        self.fill(&mut octets);
        octets
    }
}
