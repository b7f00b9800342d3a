//! The trace of a registration is the figure of TS 23.280 10.1.6.2.

use std::collections::BTreeSet;

use crossband_tests::records::records_of;
use crossband_tests::wait::wait_until;
use crossband_tests::{Stores, World};

use crate::observed::{Span, observed};
use crate::tree::{draw, step};

/// Migration management calls and serves; between two systems it is one step that leads to the other.
const FIGURE: &str = "\
1 REGISTER
  2 get SIP authentication information
    call mcx.migration.v1.SipAuthenticationService/GetSipAuthenticationInformation
      bravo.example serves mcx.migration.v1.SipAuthenticationService/GetSipAuthenticationInformation
        3 recognise the partner identities by the binding
        4 get SIP authentication information request
          call mcx.migration.v1.FederationService/GetSipAuthenticationInformation
            alpha.example serves mcx.migration.v1.FederationService/GetSipAuthenticationInformation
              5 get SIP authentication information request
                call mcx.sipdatabase.v1.SipAuthenticationService/GetSipAuthenticationInformation
                  alpha.example serves mcx.sipdatabase.v1.SipAuthenticationService/GetSipAuthenticationInformation
                    5 get authentication information
                      6 make authentication vector
              7 get SIP authentication information response
        8 map back to the partner identities by the binding
        9 get SIP authentication information response
  10 REGISTER
    10 verify the answer
    11 register and answer
  10 challenge the user
";

/// The spans of a trace once its last one, that of the REGISTER which was answered with 200, is there.
async fn trace_of_last_release(world: &World, user: &str) -> Vec<Span> {
    let impi = world.user(user).identities.impi.as_str();
    let trace_id = records_of(world.alpha(), impi).await.remove(0).trace_id;
    assert_eq!(trace_id.len(), 32, "the record names the trace");
    wait_until("the trace is with the collector", async || {
        let spans = tokio::task::spawn_blocking(|| observed().spans()).await.unwrap();
        let spans: Vec<Span> = spans.into_iter().filter(|span| span.trace_id == trace_id).collect();
        spans.iter().any(|span| span.attribute("sip.status_code") == "200").then_some(spans)
    })
    .await
}

#[test]
fn registration_of_a_visitor_is_one_trace_in_the_steps_of_the_figure() {
    observed().runtime.block_on(async {
        let world = World::start(Stores::Embedded).await;
        world.register("alice").await.unwrap();
        let spans = trace_of_last_release(&world, "alice").await;

        let mut drawn = String::new();
        draw(&spans, "", 0, &mut drawn);
        assert_eq!(drawn, FIGURE);
        let steps: BTreeSet<u8> = spans.iter().filter_map(step).collect();
        assert_eq!(steps, (1..=11).collect(), "every step of the figure was taken");
        assert!(
            spans
                .iter()
                .filter(|span| step(span).is_some())
                .all(|span| span.attribute("mcx.clause") == "10.1.6.2")
        );
    });
}
