//! The way of a UE through the states, in the order of the text and in the other one.

use crossband::dev::{INCIDENT_PLMN, PARTNER, PRIMARY};
use crossband::terminal;
use crossband_tests::World;
use mcx_types::McService;
use mcx_ue::selection::{Selection, SelectionGround, Surroundings};
use mcx_ue::state::{PartnerOrder, UeState};
use mcx_ue::ue::McServiceUe;

use crate::{alice_at_home, alice_at_the_partner};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn factory_new_ue_is_bootstrapped_and_served_in_the_primary() {
    let world = World::start_for_migration().await;
    let mut ue = McServiceUe::switch_on(terminal::settings(world.user("alice"), None)).unwrap();
    assert_eq!(ue.state(), UeState::FactoryNew);
    ue.bootstrap(terminal::enrol(world.alpha(), &terminal::ue_id("alice")).await.unwrap()).await.unwrap();
    assert_eq!(ue.state(), UeState::Bootstrapped);
    ue.authenticate(terminal::credentials("alice").unwrap()).await.unwrap();
    ue.start().await.unwrap();
    assert_eq!(ue.state(), UeState::PrimaryAuthorized);
    assert_eq!(ue.serving_system(McService::Ptt), Some(PRIMARY.parse().unwrap()));
    let documents = ue.primary_documents();
    assert!(documents.user_profiles().count() >= 2, "for two MC services");
    assert_eq!(documents.groups().count(), 2, "the groups of her profile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_information_of_the_partner_is_in_the_profile_of_the_primary() {
    let world = World::start_for_migration().await;
    let ue = alice_at_home(&world).await;
    let partners = ue.partners();
    let [partner] = partners.as_slice() else { panic!("one partner: {partners:?}") };
    assert_eq!(partner.partner.as_str(), PARTNER);
    let access = partner.access_information.as_ref().unwrap();
    let visitor = access.visitor_identities.as_ref().unwrap();
    assert_eq!(visitor.impi, world.user("alice").partner.identities.impi.as_str());
    let servers = access.initial_ue_configuration.as_ref().unwrap().servers.as_ref().unwrap();
    assert_eq!(Some(&servers.identity_management_issuer), world.bravo().system.issuer.as_ref());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_migrates_is_served_by_the_partner_and_returns() {
    let world = World::start_for_migration().await;
    let mut ue = alice_at_the_partner(&world).await;
    assert_eq!(ue.state(), UeState::Serving);
    for service in [McService::Ptt, McService::Data] {
        assert_eq!(ue.serving_system(service), Some(PARTNER.parse().unwrap()));
    }
    assert!(ue.partner_documents().groups().count() > 0, "the groups of the profile at the partner");

    ue.return_home().await.unwrap();
    assert_eq!((ue.state(), ue.partner()), (UeState::PrimaryAuthorized, None));
    assert_eq!(ue.serving_system(McService::Ptt), Some(PRIMARY.parse().unwrap()));
    // And away once more.
    ue.migrate(&PARTNER.parse().unwrap(), None).await.unwrap();
    assert_eq!(ue.state(), UeState::Serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_some_mc_services_migrate_when_only_some_are_chosen() {
    let world = World::start_for_migration().await;
    let mut ue = alice_at_home(&world).await;
    ue.migrate(&PARTNER.parse().unwrap(), Some(&[McService::Data].into())).await.unwrap();
    assert_eq!(ue.serving_system(McService::Data), Some(PARTNER.parse().unwrap()));
    assert_eq!(ue.serving_system(McService::Ptt), Some(PRIMARY.parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partner_is_selected_by_the_serving_plmn() {
    let world = World::start_for_migration().await;
    let ue = alice_at_home(&world).await;
    let served_by = |plmn: &str| Surroundings { serving_plmn: Some(plmn.parse().unwrap()), position: None };
    let selected = Selection::Partner(PARTNER.parse().unwrap(), SelectionGround::ServingPlmn);
    assert_eq!(ue.choose(&served_by(INCIDENT_PLMN)), selected);
    assert_eq!(ue.choose(&served_by("26201")), Selection::None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_may_come_before_user_authentication() {
    let world = World::start_for_migration().await;
    let mut settings = terminal::settings(world.user("alice"), None);
    settings.order = PartnerOrder::RegisterFirst;
    let mut ue = McServiceUe::switch_on(settings).unwrap();
    ue.bootstrap(terminal::enrol(world.alpha(), &terminal::ue_id("alice")).await.unwrap()).await.unwrap();
    ue.authenticate(terminal::credentials("alice").unwrap()).await.unwrap();
    ue.migrate(&PARTNER.parse().unwrap(), None).await.unwrap();
    assert_eq!(ue.state(), UeState::Serving);
}
