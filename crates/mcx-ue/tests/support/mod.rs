//! What the tests of the UE share: an MC system whose servers are scripts. The real ones are tested in `tests/`.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "helpers of tests, not all used by each")]

pub mod identity_server;
pub mod servers;
pub mod sip_core;
pub mod system;

/// Everything that printing anything must not show.
pub fn assert_shows_nothing(printed: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!printed.contains(secret), "{secret} is in {printed}");
    }
}
