//! The partner that a UE chooses by itself, by rules of the user profile that the primary's operator wrote (10.1.1.2 NOTE 1).

use crossband::dev::{HOME_PROFILE, INCIDENT_PLMN, PARTNER, PRIMARY, mc_service_id};
use crossband_tests::World;
use mcx_types::McService;
use mcx_ue::documents::{Document, DocumentChange};
use mcx_ue::selection::{Position, Selection, SelectionGround, Surroundings};
use mcx_ue::state::UeState;
use mcx_ue::ue::{McServiceUe, News};
use serde_json::{Value, json};

use crate::{alice_at_home, operator};

/// Where the incident is, and a place farther away from it than the areas reach.
const INCIDENT: (f64, f64) = (47.5622, 13.6493);
const FAR_AWAY: (f64, f64) = (47.8095, 13.0550);

fn selected(ground: SelectionGround) -> Selection {
    Selection::Partner(PARTNER.parse().unwrap(), ground)
}

/// What a UE knows that is at a place, served by a PLMN or by none that it can name.
fn at((latitude, longitude): (f64, f64), serving_plmn: Option<&str>) -> Surroundings {
    Surroundings {
        serving_plmn: serving_plmn.map(|plmn| plmn.parse().unwrap()),
        position: Some(Position::new(latitude, longitude).unwrap()),
    }
}

/// The operator of the primary writes when alice's UE is to choose the partner, into her user profile for MCPTT.
async fn write_rule(world: &World, selection: Value) {
    let identity =
        json!({ "mc_service": "MC_SERVICE_PTT", "mc_service_id": mc_service_id("alice", PRIMARY) });
    let key = json!({ "identity": identity, "profile_index": HOME_PROFILE });
    let mut profile = operator(world.alpha(), "UserProfileService/GetUserProfile", key).await;
    let target = &mut profile["user_profile"]["migration_targets"][0];
    assert_eq!(target["mc_system_id"], PARTNER);
    target["selection"] = selection;
    operator(world.alpha(), "UserProfileService/UpdateUserProfile", profile).await;
}

fn circle((latitude, longitude): (f64, f64), radius_metres: u32) -> Value {
    let centre = json!({ "latitude_degrees": latitude, "longitude_degrees": longitude });
    json!({ "circle": { "centre": centre, "radius_metres": radius_metres } })
}

fn polygon(corners: &[(f64, f64)]) -> Value {
    let corner = |(latitude, longitude): &(f64, f64)| json!({ "latitude_degrees": latitude, "longitude_degrees": longitude });
    json!({ "polygon": { "corners": corners.iter().map(corner).collect::<Vec<_>>() } })
}

async fn choice_by(world: &World, selection: Value) -> McServiceUe {
    write_rule(world, selection).await;
    alice_at_home(world).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partner_is_selected_by_the_position_rule_of_the_user_profile() {
    let world = World::start_for_migration().await;
    let around = [(47.50, 13.55), (47.50, 13.75), (47.62, 13.75), (47.62, 13.55)];
    for area in [circle(INCIDENT, 5_000), polygon(&around)] {
        let ue = choice_by(&world, json!({ "areas": [area] })).await;
        assert_eq!(ue.choose(&at(INCIDENT, None)), selected(SelectionGround::Position), "{area}");
        assert_eq!(ue.choose(&at(FAR_AWAY, None)), Selection::None, "{area}");
        // Her profile for MCData still names the PLMN, which decides before any position does.
        let by_plmn = ue.choose(&at(FAR_AWAY, Some(INCIDENT_PLMN)));
        assert_eq!(by_plmn, selected(SelectionGround::ServingPlmn), "{area}");
        assert_eq!(ue.choose(&at(INCIDENT, Some("26201"))), selected(SelectionGround::Position), "{area}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn position_rule_that_is_written_while_the_ue_is_on_takes_it_to_the_partner() {
    let world = World::start_for_migration().await;
    let mut ue = alice_at_home(&world).await;
    assert_eq!(ue.choose(&at(INCIDENT, None)), Selection::None);
    let mut watch = ue.watch().unwrap();
    write_rule(&world, json!({ "areas": [circle(INCIDENT, 5_000)] })).await;
    loop {
        if let News::Document { change: DocumentChange::Put(Document::UserProfile(profile)), .. } =
            watch.next().await.unwrap()
            && profile
                .migration_targets
                .iter()
                .any(|target| target.selection.as_ref().is_some_and(|selection| !selection.areas.is_empty()))
        {
            break;
        }
    }
    drop(watch);
    let Selection::Partner(partner, ground) = ue.choose(&at(INCIDENT, None)) else {
        panic!("the rule is in force");
    };
    assert_eq!(ground, SelectionGround::Position);
    ue.migrate(&partner, None).await.unwrap();
    assert_eq!(ue.state(), UeState::Serving);
    assert_eq!(ue.serving_system(McService::Ptt), Some(PARTNER.parse().unwrap()));
}
