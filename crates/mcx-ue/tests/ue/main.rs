//! The whole UE between two MC systems that are scripts: 10.1.1.1, 10.1.1.2, and the way home.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod returning;
#[path = "../support/mod.rs"]
mod support;
mod updates;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use mcx_proto::mcservice::v1::{CommunicationDecision, CommunicationKind};
use mcx_types::McService;
use mcx_ue::identity::Credentials;
use mcx_ue::selection::{Selection, SelectionGround, Surroundings};
use mcx_ue::servers::Called;
use mcx_ue::state::{FailureKind, PartnerOrder, Step, UeState};
use mcx_ue::ue::{BootstrapSource, McServiceUe, MigrationError, UeError};
use support::assert_shows_nothing;
use support::identity_server::{MC_ID, PASSWORD};
use support::system::{Stage, UE_ID};
use tonic::Code;

const PTT: McService = McService::Ptt;
const DATA: McService = McService::Data;

fn bravo() -> mcx_types::McSystemId {
    "bravo.example".parse().unwrap()
}

fn credentials() -> Credentials {
    Credentials { mc_id: MC_ID.parse().unwrap(), password: PASSWORD.into() }
}

/// A UE that knows its primary and its user.
async fn bootstrapped(stage: &Stage) -> McServiceUe {
    let mut ue = stage.ue(stage.settings(None));
    let configuration = Box::new(stage.alpha.configuration());
    ue.bootstrap(BootstrapSource::Configuration(configuration)).await.unwrap();
    ue.remember_credentials(credentials());
    ue
}

/// What a UE is bootstrapped with at the primary.
fn enrolment(stage: &Stage, code: &str) -> BootstrapSource {
    BootstrapSource::Enrolment {
        mc_system_id: "alpha.example".parse().unwrap(),
        configuration_management: stage.alpha.servers.address.to_string(),
        trust_bundle_pem: stage.alpha.domain.bundle_pem().to_owned(),
        enrolment_code: code.into(),
    }
}

/// Served at home; what was told and recorded is forgotten.
async fn at_home(stage: &Stage) -> McServiceUe {
    let mut ue = bootstrapped(stage).await;
    ue.start().await.unwrap();
    forget(stage);
    ue
}

async fn in_bravo(stage: &Stage) -> McServiceUe {
    let mut ue = at_home(stage).await;
    ue.migrate(&bravo(), Some(&BTreeSet::from([PTT]))).await.unwrap();
    // The primary has her served there.
    stage.alpha.servers.world().authorized.retain(|(mc_service, _)| *mc_service != 1);
    forget(stage);
    ue
}

fn forget(stage: &Stage) {
    stage.take_told();
    stage.alpha.servers.take_log();
    stage.bravo.servers.take_log();
}

fn failed(error: MigrationError) -> (Step, UeState, UeError) {
    match error {
        MigrationError::Step(failed) => (failed.step, failed.state, *failed.cause),
        MigrationError::NotBegun(error) => panic!("not begun: {error}"),
    }
}

#[tokio::test]
async fn factory_new_ue_is_enrolled_and_served_at_home() {
    let stage = Stage::new().await;
    let mut ue = stage.ue(stage.settings(None));
    assert_eq!(ue.state(), UeState::FactoryNew);
    ue.bootstrap(enrolment(&stage, "secret-enrolment")).await.unwrap();
    let refused = ue.bootstrap(enrolment(&stage, "secret-enrolment")).await.unwrap_err();
    assert!(matches!(*refused.cause, UeError::Server(ref error) if error.reason() == "UE_ENROLMENT_REFUSED"));
    assert_eq!(ue.state(), UeState::Bootstrapped, "what there was stays");

    let refused = failed(ue.start().await.unwrap_err());
    assert!(matches!(refused, (Step::AuthenticateUser, UeState::Bootstrapped, UeError::LoginRequired)));
    ue.authenticate(credentials()).await.unwrap();
    ue.start().await.unwrap();
    assert_eq!(ue.state(), UeState::PrimaryAuthorized);
    let services = BTreeSet::from([PTT, McService::Video, DATA]);
    assert_eq!(ue.evidence().authorized, services);
    assert_eq!(stage.alpha.sip.log(), ["alice@ims.alpha.example 3600"]);
    assert_eq!(ue.serving_system(PTT).unwrap().as_str(), "alpha.example");
}

/// So that an answer which was lost is given again.
#[tokio::test]
async fn enrolment_is_one_request_until_it_succeeds_even_of_another_process() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    for code in ["mistyped", "secret-enrolment", "another"] {
        let mut ue = stage.ue(stage.settings(Some(folder.path())));
        let outcome = ue.bootstrap(enrolment(&stage, code)).await;
        assert_eq!(outcome.is_ok(), code == "secret-enrolment", "{code}");
    }
    let requests = stage.alpha.servers.world().enrolment_requests.clone();
    let [mistyped, good, another] = requests.as_slice() else { panic!("{requests:?}") };
    assert!(uuid::Uuid::parse_str(good).is_ok(), "{good}");
    assert_eq!(mistyped, good, "it had not succeeded");
    assert_ne!(good, another, "it had succeeded");
}

#[tokio::test]
async fn user_migrates_by_the_steps_of_the_text_and_is_served_under_the_partners_rules() {
    let stage = Stage::new().await;
    let mut ue = at_home(&stage).await;
    ue.migrate(&bravo(), Some(&BTreeSet::from([PTT]))).await.unwrap();
    assert_eq!(
        stage.take_told(),
        [
            "selection of the partner MC system alpha.example PARTNER_SELECTED done",
            "bearers of the partner MC system bravo.example PARTNER_BEARERS done",
            "user authentication to the partner MC system bravo.example PARTNER_USER_AUTHENTICATED done",
            "signalling plane migration bravo.example PARTNER_USER_AUTHENTICATED_AND_REGISTERED done",
            "download of the user profiles from the partner MC system bravo.example PARTNER_PROFILED done",
            "group configuration from the partner MC system bravo.example PARTNER_GROUPED done",
            "migration service authorization (ptt) bravo.example MIGRATED done",
            "affiliation in the partner MC system bravo.example SERVING done",
        ]
    );
    // The visitor identities and their realm, not those of the ISIM.
    assert_eq!(stage.bravo.sip.log(), ["v1@visitors.bravo.example 3600"]);
    assert_eq!(
        stage.bravo.servers.take_log(),
        [
            "GetUserProfiles",
            "GetUeConfiguration",
            "GetServiceConfiguration",
            "GetUeConfiguration",
            "GetServiceConfiguration",
            "GetGroups",
            "GetGroups",
            "GetFunctionalAliases",
            "AuthorizeMigrationService",
            "of sip:alice@ptt.alpha.example",
            "GetServiceStatus",
            "ListAffiliations",
            "Affiliate",
        ]
    );
    assert_eq!(stage.alpha.servers.take_log(), [""; 0], "the ue does not ask the primary's servers");
    assert_eq!(stage.bravo.identity.state().scopes, ["openid", "3gpp:mc:ptt_service"]);
    let affiliated: Vec<String> =
        stage.bravo.servers.world().affiliated.iter().map(|(.., group)| group.clone()).collect();
    assert_eq!(affiliated, ["sip:rescue@bravo.example"], "the implicit one only");
    assert_eq!(ue.partner_documents().groups().count(), 2);

    // MCData stays at home.
    assert_eq!(ue.serving_system(PTT), Some(bravo()));
    assert_eq!(ue.serving_system(DATA).unwrap().as_str(), "alpha.example");
    let fire = "sip:fire@bravo.example".parse().unwrap();
    ue.affiliate(PTT, std::slice::from_ref(&fire)).await.unwrap();
    let commander = "sip:commander@bravo.example".parse().unwrap();
    ue.activate_alias(PTT, &commander, false).await.unwrap();
    let called = Called::Group(fire);
    let decided = ue.authorize_communication(PTT, CommunicationKind::Group, &called).await.unwrap();
    assert_eq!(decided.decision(), CommunicationDecision::Allowed);
    assert_eq!(decided.explanation, "by the rules of bravo.example");
}

#[tokio::test]
async fn signalling_plane_may_come_first() {
    let stage = Stage::new().await;
    let mut settings = stage.settings(None);
    settings.order = PartnerOrder::RegisterFirst;
    let mut ue = stage.ue(settings);
    let configuration = Box::new(stage.alpha.configuration());
    ue.bootstrap(BootstrapSource::Configuration(configuration)).await.unwrap();
    ue.remember_credentials(credentials());
    // From the beginning, in one go.
    ue.migrate(&bravo(), None).await.unwrap();
    let told = stage.take_told();
    let place = |name: &str| told.iter().position(|told| told.starts_with(name)).unwrap();
    assert!(place("signalling plane migration") < place("user authentication to the partner"));
    assert_eq!(ue.evidence().migrated, BTreeSet::from([PTT, DATA]), "all that the partner has accepted");
}

#[tokio::test]
async fn partner_that_is_away_at_any_step_leaves_the_ue_where_it_can_try_again() {
    let stage = Stage::new().await;
    let steps: [(&str, Step, UeState); 5] = [
        ("GetUserProfiles", Step::DownloadProfiles, UeState::PartnerUserAuthenticatedAndRegistered),
        ("GetGroups", Step::ObtainGroups, UeState::PartnerProfiled),
        ("AuthorizeMigrationService", Step::AuthorizeMigration(PTT), UeState::PartnerGrouped),
        ("GetServiceStatus", Step::BeginOperation, UeState::Migrated),
        ("Affiliate", Step::BeginOperation, UeState::Migrated),
    ];
    let mut ue = at_home(&stage).await;
    let (alpha, partner) = (&stage.alpha.identity, &stage.bravo.identity);

    alpha.state().away.insert("token-exchange".to_owned());
    let at = failed(ue.migrate(&bravo(), Some(&BTreeSet::from([PTT]))).await.unwrap_err());
    assert_eq!((at.0, at.1), (Step::AuthenticateAtPartner, UeState::PartnerBearers));
    assert!(
        matches!(at.2, UeError::Identity { ref mc_system_id, .. } if mc_system_id.as_str() == "alpha.example")
    );
    alpha.state().away.clear();

    partner.state().away.insert("jwt-bearer".to_owned());
    let at = failed(ue.resume().await.unwrap_err());
    assert_eq!(
        (at.0, at.1, at.2.kind()),
        (Step::AuthenticateAtPartner, UeState::PartnerBearers, FailureKind::Unreachable)
    );
    assert!(matches!(at.2, UeError::Identity { mc_system_id, .. } if mc_system_id == bravo()));
    partner.state().away.clear();

    stage.bravo.sip.state.lock().unwrap().is_away = true;
    let at = failed(ue.resume().await.unwrap_err());
    assert_eq!((at.0, at.1), (Step::RegisterAtPartner, UeState::PartnerUserAuthenticated));
    stage.bravo.sip.state.lock().unwrap().is_away = false;

    for (rpc, _, _) in steps {
        stage.bravo.servers.refuse(rpc, Code::Unavailable, "PRIMARY_SYSTEM_UNREACHABLE");
    }
    for (rpc, step, state) in steps {
        let at = failed(ue.resume().await.unwrap_err());
        assert_eq!((at.0, at.1, at.2.kind()), (step, state, FailureKind::Unreachable), "{rpc}");
    }
    ue.resume().await.unwrap();
    assert_eq!(ue.state(), UeState::Serving);
    // Nothing that was done was done again.
    assert_eq!(partner.state().log, ["jwt-bearer", "jwt-bearer"]);
    assert_eq!(stage.bravo.sip.log().len(), 1);
}

#[tokio::test]
async fn primary_that_is_away_at_any_step_leaves_the_ue_where_it_can_try_again() {
    let stage = Stage::new().await;
    let mut ue = bootstrapped(&stage).await;
    stage.alpha.identity.state().away.insert("authorization_code".to_owned());
    let at = failed(ue.start().await.unwrap_err());
    assert_eq!((at.0, at.1), (Step::AuthenticateUser, UeState::Bootstrapped));
    stage.alpha.identity.state().away.clear();
    for rpc in ["GetUserProfiles", "GetServiceConfiguration", "GetFunctionalAliases"] {
        stage.alpha.servers.refuse(rpc, Code::Unavailable, "STORE_UNAVAILABLE");
    }
    for _ in 0..3 {
        let at = failed(ue.start().await.unwrap_err());
        assert_eq!((at.0, at.1), (Step::Configure, UeState::PrimaryUserAuthenticated));
    }
    stage.alpha.sip.state.lock().unwrap().is_away = true;
    let at = failed(ue.start().await.unwrap_err());
    assert_eq!((at.0, at.1), (Step::RegisterAtPrimary, UeState::PrimaryConfigured));
    stage.alpha.sip.state.lock().unwrap().is_away = false;
    stage.alpha.servers.refuse("AuthorizeService", Code::Unavailable, "STORE_UNAVAILABLE");
    let at = failed(ue.start().await.unwrap_err());
    assert_eq!((at.0, at.1), (Step::AuthorizeService(PTT), UeState::PrimaryConfigured));
    ue.start().await.unwrap();
    assert_eq!(ue.state(), UeState::PrimaryAuthorized);
}

#[tokio::test]
async fn tokens_that_the_partner_no_longer_takes_are_got_anew_on_the_way() {
    let stage = Stage::new().await;
    let mut ue = at_home(&stage).await;
    stage.bravo.servers.refuse("AuthorizeMigrationService", Code::Unavailable, "PRIMARY_SYSTEM_UNREACHABLE");
    ue.migrate(&bravo(), Some(&BTreeSet::from([PTT]))).await.unwrap_err();
    {
        let mut partner = stage.bravo.identity.state();
        partner.access_tokens.clear();
        partner.refresh_tokens.clear();
    }
    ue.resume().await.unwrap();
    assert_eq!(ue.state(), UeState::Serving);
    assert_eq!(stage.bravo.identity.state().log, ["jwt-bearer", "refresh_token", "jwt-bearer"]);
}

#[tokio::test]
async fn partner_that_no_profile_offers_is_not_begun_with() {
    let stage = Stage::new().await;
    let mut ue = at_home(&stage).await;
    let not_begun = |error| match error {
        MigrationError::NotBegun(error) => error,
        MigrationError::Step(failed) => panic!("{failed}"),
    };
    for name in ["charlie.example", "delta.example"] {
        let refused = not_begun(ue.migrate(&name.parse().unwrap(), None).await.unwrap_err());
        assert!(matches!(refused, UeError::PartnerNotOffered(partner) if partner.as_str() == name));
    }
    let video = BTreeSet::from([PTT, McService::Video]);
    let refused = not_begun(ue.migrate(&bravo(), Some(&video)).await.unwrap_err());
    assert!(
        matches!(refused, UeError::ServicesNotOffered { mc_services, .. } if mc_services == BTreeSet::from([McService::Video]))
    );
    assert!(matches!(not_begun(ue.resume().await.unwrap_err()), UeError::NoPartnerSelected));
    assert!(matches!(not_begun(ue.return_home().await.unwrap_err()), UeError::NoPartnerSelected));
    assert_eq!(ue.state(), UeState::PrimaryAuthorized);

    stage.alpha.identity.state().targets.clear();
    let at = failed(ue.migrate(&bravo(), None).await.unwrap_err());
    assert_eq!((at.0, at.2.kind()), (Step::AuthenticateAtPartner, FailureKind::Refused));
    let refused = not_begun(ue.migrate(&"charlie.example".parse().unwrap(), None).await.unwrap_err());
    assert!(matches!(refused, UeError::AlreadySelected(partner) if partner == bravo()));
    ue.return_home().await.unwrap();
    assert_eq!(ue.state(), UeState::PrimaryAuthorized);
}

#[tokio::test]
async fn partner_is_chosen_by_the_rules_of_the_profiles() {
    let stage = Stage::new().await;
    let ue = at_home(&stage).await;
    let options = ue.partners();
    let names: Vec<&str> = options.iter().map(|option| option.partner.as_str()).collect();
    assert_eq!(names, ["bravo.example", "charlie.example"]);
    assert_eq!(options[0].services, BTreeSet::from([PTT, DATA]));
    assert!(options[1].services.is_empty(), "it has not accepted her yet");
    let at = |plmn: &str| Surroundings { serving_plmn: Some(plmn.parse().unwrap()), position: None };
    assert_eq!(ue.choose(&at("20404")), Selection::Partner(bravo(), SelectionGround::ServingPlmn));
    assert_eq!(ue.choose(&at("26201")), Selection::None);
}

#[tokio::test]
async fn another_process_goes_on_where_one_ended() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let client_instance;
    {
        let mut ue = stage.ue(stage.settings(Some(folder.path())));
        client_instance = ue.client_instance();
        let configuration = Box::new(stage.alpha.configuration());
        ue.bootstrap(BootstrapSource::Configuration(configuration)).await.unwrap();
        ue.authenticate(credentials()).await.unwrap();
        stage.bravo.servers.refuse("GetGroups", Code::Unavailable, "STORE_UNAVAILABLE");
        ue.migrate(&bravo(), None).await.unwrap_err();
    }
    let file = folder.path().join("ue.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains(PASSWORD));
    {
        // Nobody logs in here.
        let mut ue = stage.ue(stage.settings(Some(folder.path())));
        assert_eq!((ue.state(), ue.client_instance()), (UeState::PartnerProfiled, client_instance));
        ue.resume().await.unwrap();
    }
    let mut ue = stage.ue(stage.settings(Some(folder.path())));
    assert_eq!(ue.state(), UeState::Serving);
    assert_eq!(ue.partner_documents().groups().count(), 2);
    ue.return_home().await.unwrap();
    // It is the contact of the process before that it removes, not those of other UEs.
    let registered = stage.bravo.sip.state.lock().unwrap().registered.clone();
    let [there, gone] = registered.as_slice() else { panic!("{registered:?}") };
    let uri = |contact: &str| contact.split_once('>').map(|(uri, _)| uri.to_owned());
    assert_eq!((gone.expires.as_str(), uri(&gone.contact)), ("0", uri(&there.contact)));
    assert!(uri(&there.contact).is_some());
    // The ISIM never saw a vector twice, and its numbers are those that a plain registration keeps.
    let sequences: Vec<u64> =
        serde_json::from_slice(&std::fs::read(folder.path().join("isim.json")).unwrap()).unwrap();
    assert_eq!((sequences[0], sequences[1]), (2, 2));

    let mut other = stage.settings(Some(folder.path()));
    other.ue_id = format!("{UE_ID}-other");
    assert!(matches!(McServiceUe::switch_on(other), Err(UeError::Storage { .. })));
    std::fs::write(&file, "{\"access_token\": \"secret-x\"").unwrap();
    let Err(refused) = McServiceUe::switch_on(stage.settings(Some(folder.path()))) else { panic!() };
    assert_shows_nothing(&format!("{refused} {refused:?}"), &["secret-x"]);
}

#[tokio::test]
async fn secrets_are_in_no_print_of_a_ue() {
    let stage = Stage::new().await;
    let printed = format!("{:?} {:?}", stage.settings(None), stage.settings(None).isim);
    assert_shows_nothing(&printed.to_lowercase(), &["fec86ba6", "key"]);
}
