//! Which passwords are good (NIST SP 800-63B 5.1.1.2): long ones that are not well known, whatever they are made of.

use mcx_types::McId;

/// Shortest and longest password in bytes.
const SHORTEST: usize = 12;
const LONGEST: usize = 256;

/// Well-known passwords of that length, and what many are made of. Compared in lower case.
const WELL_KNOWN: &[&str] = &[
    "111111111111",
    "123123123123",
    "1234567890ab",
    "123456789012",
    "1234567890123",
    "12345678901234",
    "123456789abc",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "abc123abc123",
    "abcdefghijkl",
    "administrator",
    "adminadmin123",
    "asdfghjkl123",
    "changeme1234",
    "changemechangeme",
    "correcthorsebatterystaple",
    "crossband123",
    "iloveyou1234",
    "letmein12345",
    "letmeinletmein",
    "missioncritical",
    "password1234",
    "password12345",
    "password123456",
    "passwordpassword",
    "qazwsxedcrfv",
    "qwerty123456",
    "qwertyqwerty",
    "qwertyuiop123",
    "qwertyuiopas",
    "superman1234",
    "trustno1trustno1",
    "welcome12345",
    "welcomewelcome",
];

/// What is wrong with a password for a user; `None`: nothing.
pub(crate) fn password_fault(password: &str, mc_id: &McId) -> Option<&'static str> {
    if password.len() < SHORTEST {
        return Some("must be at least 12 bytes");
    }
    if password.len() > LONGEST {
        return Some("must be at most 256 bytes");
    }
    if password.chars().any(char::is_control) {
        return Some("must hold no control characters");
    }
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    if WELL_KNOWN.contains(&lower.as_str()) || lower.chars().all(|character| Some(character) == first) {
        return Some("must not be a well-known password");
    }
    let name = mc_id.as_str().to_lowercase();
    let user = name.split('@').next().unwrap_or(&name);
    let without_name = lower.replace(&name, "");
    let without_user = if user.len() >= 4 { lower.replace(user, "") } else { lower.clone() };
    if without_name.len().min(without_user.len()) + 4 < SHORTEST {
        return Some("must not be made of the mc id");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_not_well_known() {
        let alice: McId = "alice@alpha.example".parse().unwrap();
        for good in ["wet-otter-sings-41", "mein Hund heißt Rex", "alice likes otters and tea"] {
            assert_eq!(password_fault(good, &alice), None, "{good}");
        }
        for (bad, expected) in [
            ("", "at least"),
            ("short", "at least"),
            ("Password1234", "well-known"),
            ("aaaaaaaaaaaaaaaa", "well-known"),
            ("alice@alpha.example1", "mc id"),
            ("alicealicealice1", "mc id"),
            ("with\u{7}bell-inside", "control"),
        ] {
            let fault = password_fault(bad, &alice).unwrap_or_default();
            assert!(fault.contains(expected), "{bad}: {fault}");
        }
        assert!(password_fault(&"x y".repeat(100), &alice).is_some());
    }

    #[test]
    fn well_known_passwords_are_those_that_are_long_enough() {
        for password in WELL_KNOWN {
            assert!(password.len() >= SHORTEST && *password == password.to_lowercase(), "{password}");
        }
    }
}
