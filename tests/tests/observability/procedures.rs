//! The traces of the application plane's procedures over both systems. Where the text at hand numbers no steps, the numbers are ours: what
//! is asserted is that our names of them are there, in their order, and who led to whom.

use std::collections::BTreeMap;
use std::time::Duration;

use crossband::config::CrossbandConfig;
use crossband::dev::PARTNER;
use crossband::terminal;
use crossband_tests::World;
use crossband_tests::wait::wait_until;
use mcx_ue::ue::McServiceUe;

use crate::observed::{Span, observed};
use crate::tree::{draw_procedures, step};

/// An operator requests; what follows is done by itself, so that its traces begin anew.
const REQUEST: &str = "\
call mcx.migration.v1.UserMigrationService/RequestUserMigration
  alpha.example serves mcx.migration.v1.UserMigrationService/RequestUserMigration
    10.17.5 step 1: add user configuration request
      call mcx.identity.v1.AccountService/ResolveAccounts
        alpha.example serves mcx.identity.v1.AccountService/ResolveAccounts
";

const OFFER: &str = "\
10.17.5 step 2: user configuration request
  call mcx.configuration.v1.InitialUeConfigurationService/GetInitialUeConfiguration
    alpha.example serves mcx.configuration.v1.InitialUeConfigurationService/GetInitialUeConfiguration
  call mcx.migration.v1.FederationService/OfferUserMigrations
    bravo.example serves mcx.migration.v1.FederationService/OfferUserMigrations
      10.17.5 step 3: process indication
";

const REPORT: &str = "\
10.17.5 step 4: user configuration response
  call mcx.configuration.v1.InitialUeConfigurationService/GetInitialUeConfiguration
    bravo.example serves mcx.configuration.v1.InitialUeConfigurationService/GetInitialUeConfiguration
  call mcx.migration.v1.FederationService/ReportUserMigrations
    alpha.example serves mcx.migration.v1.FederationService/ReportUserMigrations
      10.17.5 step 5: user configuration response
";

/// CSC-17 once the user is accepted: the primary tells, the partner adapts, for each of two MC services the profiles before and after.
const SHARE: &str = "\
10.1.4.3.2 step 2: share MC service user profiles
  call mcx.configuration.v1.ProfileSharingService/ShareMigrationProfiles
    bravo.example serves mcx.configuration.v1.ProfileSharingService/ShareMigrationProfiles
      10.1.4.3.2 step 4: adapt the user profile to the local policy
      10.1.4.3.2 step 4: adapt the user profile to the local policy
      10.1.4.3.2 step 4: adapt the user profile to the local policy
      10.1.4.3.2 step 4: adapt the user profile to the local policy
";

/// Of what the UE asks of the partner's configuration management, the part that is the procedure: both MC services at once.
const DOWNLOAD: &str = "\
call mcx.configuration.v1.ConfigurationService/GetUserProfiles
  bravo.example serves mcx.configuration.v1.ConfigurationService/GetUserProfiles
    10.1.4.3.2 step 1: get MC service user profile request
      10.1.4.3.2 step 4: adapt the user profile to the local policy
    10.1.4.3.2 step 1: get MC service user profile request
      10.1.4.3.2 step 4: adapt the user profile to the local policy
    10.1.4.3.2 step 5: get MC service user profile response
    10.1.4.3.2 step 5: get MC service user profile response
";

/// CSC-17 where what the partner has of the user is too old: it asks her primary MC system while the UE waits, and compares what is served
/// before and after.
const PULL: &str = "\
call mcx.configuration.v1.ConfigurationService/GetUserProfiles
  bravo.example serves mcx.configuration.v1.ConfigurationService/GetUserProfiles
    10.1.4.3.2 step 1: get MC service user profile request
      10.1.4.3.2 step 2: get MC service user profile request
        call mcx.configuration.v1.ProfileSharingService/GetMigrationProfiles
          alpha.example serves mcx.configuration.v1.ProfileSharingService/GetMigrationProfiles
            10.1.4.3.2 step 3: get MC service user profile response
      10.1.4.3.2 step 4: adapt the user profile to the local policy
      10.1.4.3.2 step 4: adapt the user profile to the local policy
      10.1.4.3.2 step 4: adapt the user profile to the local policy
    10.1.4.3.2 step 1: get MC service user profile request
      10.1.4.3.2 step 2: get MC service user profile request
        call mcx.configuration.v1.ProfileSharingService/GetMigrationProfiles
          alpha.example serves mcx.configuration.v1.ProfileSharingService/GetMigrationProfiles
            10.1.4.3.2 step 3: get MC service user profile response
      10.1.4.3.2 step 4: adapt the user profile to the local policy
      10.1.4.3.2 step 4: adapt the user profile to the local policy
      10.1.4.3.2 step 4: adapt the user profile to the local policy
    10.1.4.3.2 step 5: get MC service user profile response
    10.1.4.3.2 step 5: get MC service user profile response
";

/// Client to partner to primary, and the implicit affiliation to the crew's group, which is the primary's.
const AUTHORIZATION: &str = "\
call migration service authorization
  call mcx.mcservice.v1.ServiceAuthorizationService/AuthorizeMigrationService
    bravo.example serves mcx.mcservice.v1.ServiceAuthorizationService/AuthorizeMigrationService
      call mcx.group.v1.GroupLookupService/GetGroupForMember
        bravo.example serves mcx.group.v1.GroupLookupService/GetGroupForMember
      10.6.3 step 2: check that the user may migrate in
        call mcx.configuration.v1.EffectiveProfileService/GetEffectiveProfile
          bravo.example serves mcx.configuration.v1.EffectiveProfileService/GetEffectiveProfile
            10.1.4.3.2 step 4: adapt the user profile to the local policy
      10.8.3.2 step 2: group affiliation request (server to server)
        call mcx.mcservice.v1.FederationService/Affiliate
          alpha.example serves mcx.mcservice.v1.FederationService/Affiliate
            call mcx.group.v1.GroupLookupService/GetGroupForMember
              alpha.example serves mcx.group.v1.GroupLookupService/GetGroupForMember
      10.6.3 step 3: migration service authorization request
        call mcx.mcservice.v1.FederationService/AuthorizeMigrationService
          alpha.example serves mcx.mcservice.v1.FederationService/AuthorizeMigrationService
            10.6.3 step 4: permit the user to migrate and record where she is served
              call mcx.configuration.v1.EffectiveProfileService/GetEffectiveProfile
                alpha.example serves mcx.configuration.v1.EffectiveProfileService/GetEffectiveProfile
              call mcx.configuration.v1.EffectiveProfileService/GetEffectiveProfile
                alpha.example serves mcx.configuration.v1.EffectiveProfileService/GetEffectiveProfile
              call mcx.configuration.v1.EffectiveProfileService/GetPermittedMigration
                alpha.example serves mcx.configuration.v1.EffectiveProfileService/GetPermittedMigration
      10.6.3 step 6: record the migrated user
      10.6.3 step 7: migration service authorization response
";

/// The traces that are there, each drawn, by the identifier of the trace. Of a trace that is not whole yet, that of the spans whose parents
/// are.
fn drawn(spans: &[Span]) -> BTreeMap<String, String> {
    let mut by_trace: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for span in spans {
        by_trace.entry(span.trace_id.clone()).or_default().push(span.clone());
    }
    let draw = |(id, spans): (String, Vec<Span>)| {
        let mut text = String::new();
        draw_procedures(&spans, "", 0, &mut text);
        (id, text)
    };
    by_trace.into_iter().map(draw).collect()
}

/// Waits until so many traces look like `expected`, and returns their spans.
async fn traces_like(expected: &str, count: usize) -> Vec<Vec<Span>> {
    let what = format!("{count} traces are with the collector that look like\n{expected}");
    wait_until(&what, async || {
        let spans = tokio::task::spawn_blocking(|| observed().spans()).await.unwrap();
        let drawn = drawn(&spans);
        let alike = drawn.iter().filter(|(_, text)| *text == expected).map(|(id, _)| id);
        let of = |id: &String| spans.iter().filter(|span| span.trace_id == *id).cloned().collect();
        let found: Vec<Vec<Span>> = alike.map(of).collect();
        // Other tests of this program have traces too.
        (found.len() >= count).then_some(found)
    })
    .await
}

/// In a trace, when the steps of a clause begin is the order of their numbers.
fn assert_in_order(spans: &[Span], clause: &str) {
    let mut steps: Vec<(u64, u8)> = spans
        .iter()
        .filter(|span| span.attribute("mcx.clause") == clause)
        .map(|span| (span.began, step(span).unwrap()))
        .collect();
    steps.sort_unstable();
    let numbers: Vec<u8> = steps.into_iter().map(|(_, step)| step).collect();
    assert!(numbers.is_sorted() && !numbers.is_empty(), "{clause}: {numbers:?}");
}

async fn alice_at_the_partner(world: &World) -> McServiceUe {
    let mut ue = terminal::logged_in(world.alpha(), world.user("alice")).await.unwrap();
    ue.start().await.unwrap();
    ue.migrate(&PARTNER.parse().unwrap(), None).await.unwrap();
    ue
}

#[test]
fn provisioning_profile_exchange_and_authorization_are_traces_over_both_systems() {
    observed().runtime.block_on(async {
        let world = World::start_for_migration().await;
        // 10.17.5: one trace per thing that somebody or the outbox sets going.
        for (expected, clause) in
            [(REQUEST, "10.17.5"), (OFFER, "10.17.5"), (REPORT, "10.17.5"), (SHARE, "10.1.4.3.2")]
        {
            for trace in traces_like(expected, 1).await {
                assert_in_order(&trace, clause);
            }
        }
        let _ue = alice_at_the_partner(&world).await;
        let authorizations = traces_like(AUTHORIZATION, 2).await;
        for trace in &authorizations {
            assert_in_order(trace, "10.6.3");
            let from_to: Vec<(&str, &str)> = trace
                .iter()
                .filter(|span| span.attribute("mcx.clause") == "10.6.3" && step(span) == Some(3))
                .map(|span| (span.attribute("mcx.from"), span.attribute("mcx.to")))
                .collect();
            assert_eq!(from_to, [("bravo.example/mc-service", "alpha.example/mc-service")]);
        }
        download_like(DOWNLOAD).await;
    });
}

#[test]
fn profiles_that_are_too_old_are_asked_for_in_the_trace_of_the_download() {
    observed().runtime.block_on(async {
        let too_old_at_once: fn(&mut CrossbandConfig) = |config| {
            config.configuration_management.visitor_profile_max_age = Duration::from_micros(1);
        };
        let world = World::start_for_migration_adjusted(too_old_at_once).await;
        let _ue = alice_at_the_partner(&world).await;
        download_like(PULL).await;
    });
}

/// Waits until what a UE asks for her profiles, and what that leads to, looks like `expected`.
async fn download_like(expected: &str) {
    wait_until(&format!("a download is with the collector that looks like\n{expected}"), async || {
        let spans = tokio::task::spawn_blocking(|| observed().spans()).await.unwrap();
        let mut downloads = spans.iter().filter(|span| {
            span.name.ends_with("ConfigurationService/GetUserProfiles") && span.attribute("system").is_empty()
        });
        downloads.any(|span| drawn_below(&spans, span) == expected).then_some(())
    })
    .await;
}

/// A span and what is below it.
fn drawn_below(spans: &[Span], root: &Span) -> String {
    let below: Vec<Span> = spans
        .iter()
        .filter(|span| span.trace_id == root.trace_id && span.id != root.id)
        .cloned()
        .chain([Span { parent: "the root".to_owned(), ..root.clone() }])
        .collect();
    let mut text = String::new();
    draw_procedures(&below, "the root", 0, &mut text);
    text
}
