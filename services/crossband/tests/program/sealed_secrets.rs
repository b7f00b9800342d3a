//! `crossband rotate-keys` and `crossband key-file`: an old key leaves only when nothing is sealed under it any more.

use crate::program::{errors, run, run_well};
use crate::systems::{ALPHA, Systems};

#[test]
fn old_key_leaves_the_key_file_only_when_nothing_of_any_kind_is_sealed_under_it() {
    let systems = Systems::start();
    let ready = systems.ready_file();
    let at = ["--ready-file", ready.as_str(), "--system", ALPHA];
    let key_file = systems.certificates(ALPHA).parent().unwrap().join("key-encryption-keys.toml");
    let copy = systems.folder.path().join("copy.toml");
    let (file, of_other_host) = (key_file.display().to_string(), copy.display().to_string());
    let remove = |file: &str, id: &str| {
        let arguments = ["key-file", "remove", file, "--id", id];
        run(arguments.iter().chain(&at))
    };
    let rotate = || run_well(["rotate-keys"].iter().chain(&at));

    let rotated = rotate();
    assert!(rotated.contains("subscribers' keys: 0 put under first"), "{rotated}");
    assert!(rotated.contains("signing keys: 0 put under first; now 2 under first"), "{rotated}");

    // The file of another host has a new key already, that of the running system has not: it goes on sealing under the old one.
    std::fs::copy(&key_file, &copy).unwrap();
    run_well(["key-file", "add", &of_other_host, "--id", "second"]);
    let before = std::fs::read(&copy).unwrap();
    let refused = remove(&of_other_host, "first");
    assert_eq!(refused.status.code(), Some(1));
    let told = errors(&refused);
    for kind in ["sip-database (subscribers' keys)", "identity-management (signing keys)"] {
        assert!(told.contains(&format!("{kind} still seals under it")), "{told}");
    }
    assert_eq!(std::fs::read(&copy).unwrap(), before);

    // Of a system that is not asked nothing is believed.
    run_well(["key-file", "add", &file, "--id", "second"]);
    let nobody = ["key-file", "remove", &file, "--id", "first", "--address", "127.0.0.1:1", "--certificates"];
    let folder = systems.certificates(ALPHA).display().to_string();
    let unanswered = run(nobody.iter().copied().chain([folder.as_str()]));
    assert_eq!(unanswered.status.code(), Some(1));
    assert!(errors(&unanswered).contains("key first stays"), "{}", errors(&unanswered));
    assert!(std::fs::read_to_string(&key_file).unwrap().contains("\"first\""));

    let rotated = rotate();
    assert!(rotated.contains("signing keys: 2 put under second; now 2 under second"), "{rotated}");
    assert!(!rotated.contains("first"), "{rotated}");
    let active = remove(&file, "second");
    assert!(errors(&active).contains("is the active one"), "{}", errors(&active));
    let removed = remove(&file, "first");
    assert!(removed.status.success(), "{}", errors(&removed));
    assert!(!std::fs::read_to_string(&key_file).unwrap().contains("\"first\""));

    // With the new key alone, everything opens: a user registers with her key, and logs in with tokens that are signed.
    let rotated = rotate();
    assert!(rotated.contains("signing keys: 0 put under second; now 2 under second"), "{rotated}");
    let state = systems.folder.path().join("alice.json").display().to_string();
    systems.ue("register", &["--user", "alice", "--home"]);
    systems.ue("migrate", &["--user", "alice", "--state", &state, "--serving-plmn", "00102"]);
    systems.stop();
}
