//! SIPp, an independent user agent with its own Milenage and digest, registers.

use crate::home::{AMF, K, OP};
use crate::rig::{Rig, VISITOR_IMPI};
use futures::StreamExt;
use sip_core::app::WatchEvent;
use sip_core::domain::registration::RegistrationChange;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// Longer than SIPp takes by far; it ends by itself.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn sipp_registers_and_deregisters_with_akav1_md5_over_udp_and_tcp() {
    let rig = Rig::start().await;
    let mut watch = rig.registry.watch(None, false);
    for (mode, address) in [("u1", rig.bound.udp), ("t1", rig.bound.tcp)] {
        let scenario = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sipp/register.xml");
        let folder = tempfile::tempdir().unwrap();
        let user = format!(
            "SEQUENTIAL\nalice;{VISITOR_IMPI};visitors.bravo.example;\
             [authentication username={VISITOR_IMPI} aka_K=0x{K} aka_OP=0x{OP} aka_AMF=0x{AMF}]\n"
        );
        std::fs::write(folder.path().join("users.csv"), user).unwrap();
        let run = Command::new("sipp")
            .arg(address.unwrap().to_string())
            .args([
                "-sf",
                scenario.to_str().unwrap(),
                "-t",
                mode,
                "-i",
                "127.0.0.1",
                "-m",
                "1",
                "-timeout",
                "20",
            ])
            .args(["-inf", "users.csv"])
            .args([
                "-nostdin",
                "-trace_err",
                "-trace_msg",
                "-message_file",
                "messages",
                "-error_file",
                "errors",
            ])
            .current_dir(folder.path())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, run)
            .await
            .unwrap()
            .expect("SIPp runs (Debian and Ubuntu: apt-get install sip-tester)");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        assert!(output.status.success(), "{}\n{}\n{}", output.status, read("errors"), read("messages"));
        for expected in [RegistrationChange::Registered, RegistrationChange::Deregistered] {
            let Some(Ok(WatchEvent::Changed(event))) = watch.next().await else { panic!("no change") };
            assert_eq!(event.change, expected);
        }
    }
}
