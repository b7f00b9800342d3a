//! The way home.

use super::*;

#[tokio::test]
async fn user_goes_home_and_leaves_nothing_behind() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    ue.activate_alias(PTT, &"sip:commander@bravo.example".parse().unwrap(), false).await.unwrap();
    forget(&stage);
    ue.return_home().await.unwrap();
    assert_eq!(
        stage.take_told(),
        [
            "functional alias deactivation bravo.example RETURNING done",
            "de-affiliation bravo.example RETURNING done",
            "migration service deauthorization (ptt) bravo.example RETURNING done",
            "SIP de-registration bravo.example RETURNING done",
            "token revocation bravo.example RETURNING done",
            "SIP registration alpha.example RETURNING done",
            "MC service authorization (ptt) alpha.example PRIMARY_AUTHORIZED done",
        ]
    );
    {
        let world = stage.bravo.servers.world();
        assert!(world.aliases.is_empty() && world.affiliated.is_empty() && world.authorized.is_empty());
    }
    assert_eq!(stage.bravo.sip.log(), ["v1@visitors.bravo.example 3600", "v1@visitors.bravo.example 0"]);
    let contacts = stage.bravo.sip.state.lock().unwrap().registered.clone();
    assert_eq!(contacts[0].contact, contacts[1].contact, "its own contact, and no other");
    assert!(stage.bravo.identity.state().access_tokens.is_empty());
    assert!(stage.bravo.identity.state().refresh_tokens.is_empty());
    assert_eq!(ue.partner_documents().iter().count(), 0);
    assert_eq!(ue.partner(), None);
    // And out again.
    ue.migrate(&bravo(), None).await.unwrap();
    assert_eq!(ue.state(), UeState::Serving);
}

#[tokio::test]
async fn partner_that_is_gone_does_not_keep_the_user() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    for rpc in ["GetServiceStatus", "ListAffiliations", "DeauthorizeMigrationService"] {
        stage.bravo.servers.refuse(rpc, Code::Unavailable, "STORE_UNAVAILABLE");
    }
    stage.bravo.sip.state.lock().unwrap().is_away = true;
    stage.bravo.identity.state().away.insert("revoke".to_owned());
    ue.return_home().await.unwrap();
    let told = stage.take_told();
    assert_eq!(told.iter().filter(|told| told.ends_with("given up")).count(), 5, "{told:?}");
    assert_eq!(ue.state(), UeState::PrimaryAuthorized);
    assert_eq!(ue.partner(), None);
}

#[tokio::test]
async fn return_that_the_primary_does_not_let_finish_is_finished_later() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    stage.alpha.servers.refuse("AuthorizeService", Code::Unavailable, "STORE_UNAVAILABLE");
    let at = failed(ue.return_home().await.unwrap_err());
    assert_eq!((at.0, at.1), (Step::AuthorizeService(PTT), UeState::Returning));
    forget(&stage);
    ue.return_home().await.unwrap();
    assert_eq!(stage.take_told(), ["MC service authorization (ptt) alpha.example PRIMARY_AUTHORIZED done"]);
}

#[tokio::test]
async fn functional_aliases_stay_while_another_ue_of_the_user_is_served() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    ue.activate_alias(PTT, &"sip:commander@bravo.example".parse().unwrap(), false).await.unwrap();
    stage.bravo.servers.world().authorized.insert((1, "another ue".to_owned()));
    ue.return_home().await.unwrap();
    assert_eq!(stage.bravo.servers.world().aliases.len(), 1);
}
