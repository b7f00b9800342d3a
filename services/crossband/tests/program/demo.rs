//! `crossband demo`: what it prints, and what its exit status says.

use serde_json::Value;

use crate::program::run_well;

#[test]
fn demo_as_json_tells_every_step_and_every_check() {
    let document: Value = serde_json::from_str(&run_well(["demo", "--json"])).unwrap();
    assert_eq!(document["result"], "migrated");
    let trace_id = document["trace_id"].as_str().unwrap();
    assert!(hex::decode(trace_id).is_ok_and(|octets| octets.len() == 16), "{trace_id}");
    assert_eq!(document.as_object().unwrap().len(), 4, "{document}");

    let steps = document["steps"].as_array().unwrap();
    let numbers: Vec<u64> = steps.iter().filter_map(|step| step["step"].as_u64()).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>(), "figure 10.1.6.2-1");
    let mut elapsed_before = 0;
    for step in steps {
        for key in ["clause", "from", "to", "message"] {
            assert!(step[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {step}");
        }
        assert!(step["failure"].is_null(), "{step}");
        if step["step"].is_u64() {
            assert_eq!(step["clause"], "10.1.6.2");
            let elapsed = step["elapsed_us"].as_u64().unwrap();
            assert!(elapsed >= elapsed_before, "{step} is earlier than the step before it");
            elapsed_before = elapsed;
        }
    }
    let done = |message: &str| {
        steps.iter().position(|step| step["message"] == message).unwrap_or_else(|| panic!("no {message}"))
    };
    let order = [
        "initial UE configuration",
        "user authentication",
        "UE, user profile, service and group configuration",
        "MC service authorization (ptt)",
        "user authentication to the partner MC system",
        "signalling plane migration",
        "download of the user profiles from the partner MC system",
        "group configuration from the partner MC system",
        "migration service authorization (ptt)",
        "affiliation in the partner MC system",
        "migration service deauthorization (ptt)",
        "token revocation",
    ];
    let positions: Vec<usize> = order.into_iter().map(done).collect();
    assert!(positions.is_sorted(), "both figures in their order: {positions:?}");

    let checks = document["checks"].as_array().unwrap();
    let observed = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("{name}: {checks:?}"))["observed"].as_str().unwrap()
    };
    for (name, expected) in [
        ("call to the incident group", "ALLOWED by AFFILIATED_MEMBER"),
        ("call to bob, which only her profile at home allows", "REFUSED by TARGET_NOT_LISTED"),
        ("the primary disables the group: on-line update", "told by the partner"),
        ("call to her crew, after the update", "REFUSED by GROUP_DISABLED"),
        ("call to bob, at home again", "ALLOWED by PRIVATE_CALL_TO_ANYBODY"),
    ] {
        assert_eq!(observed(name), expected, "{name}");
    }
    // No agreement, suspended binding, wrong key, stale sequence number healed: the least that comes before.
    assert!(checks.len() >= 9, "{checks:?}");
    for check in checks {
        assert_eq!(check["ok"], true, "{check}");
        for key in ["name", "expected", "observed"] {
            assert!(check[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {check}");
        }
    }
}

#[test]
fn demo_ends_in_a_verdict_of_one_line() {
    let printed = run_well(["demo"]);
    let verdict = printed.lines().last().unwrap();
    assert!(verdict.starts_with("migrated: all 11 steps of 10.1.6.2"), "{printed}");
}
