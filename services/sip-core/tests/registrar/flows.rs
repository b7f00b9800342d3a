//! What a well-behaved UE experiences.

use crate::home::isim;
use crate::rig::{OWN_IMPI, OWN_IMPU, Rig, VISITOR_IMPU, randomness};
use mcx_aka::digest::DigestAlgorithm;
use mcx_ue::{SignallingError, SignallingUserAgent};
use std::time::Duration;

#[tokio::test]
async fn a_visitor_registers_and_deregisters_over_every_transport() {
    for transport in ["udp", "tcp", "tls"] {
        let rig = Rig::start().await;
        let mut agent = rig.visitor_agent(transport).await;
        let registration = agent.register().await.unwrap();
        assert_eq!(registration.expires, Duration::from_secs(3600), "{transport}");
        assert_eq!(registration.challenges_answered, 1);
        assert_eq!(registration.contacts.len(), 1);
        assert_eq!(
            registration.associated_impus,
            [VISITOR_IMPU.parse().unwrap(), "tel:+4930123456".parse().unwrap()]
        );
        assert_eq!(registration.service_route, ["<sip:orig@sip.bravo.example;lr>"]);
        assert_eq!((rig.visitors.vectors_issued(), rig.own.vectors_issued()), (1, 0));

        let stored = rig.registry.get(&VISITOR_IMPU.parse().unwrap()).await.unwrap().unwrap();
        assert!(stored.visitor);
        assert_eq!(stored.contacts[0].uri, agent.contact());
        assert_eq!(stored.contacts[0].transport.as_str(), transport);

        let gone = agent.deregister().await.unwrap();
        assert!(gone.contacts.is_empty());
        assert_eq!(rig.registry.get(&VISITOR_IMPU.parse().unwrap()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn own_users_are_authenticated_from_the_own_sip_database() {
    let rig = Rig::start().await;
    let settings = rig.settings(OWN_IMPI, OWN_IMPU, "udp");
    let mut agent = SignallingUserAgent::connect(settings, isim(), randomness()).await.unwrap();
    agent.register().await.unwrap();
    assert_eq!((rig.visitors.vectors_issued(), rig.own.vectors_issued()), (0, 1));
    assert!(!rig.registry.get(&OWN_IMPU.parse().unwrap()).await.unwrap().unwrap().visitor);
}

#[tokio::test]
async fn every_aka_algorithm_authenticates() {
    for algorithm in DigestAlgorithm::ALL {
        let rig = Rig::start_with(|setup| setup.algorithm = algorithm).await;
        let registration = rig.visitor_agent("udp").await.register().await.unwrap();
        assert_eq!(registration.challenges_answered, 1, "{algorithm}");
    }
}

#[tokio::test]
async fn a_weaker_algorithm_than_accepted_is_not_answered() {
    let rig = Rig::start().await;
    let mut settings = rig.visitor("udp");
    settings.algorithms = vec![DigestAlgorithm::AkaV2Sha256];
    let mut agent = SignallingUserAgent::connect(settings, isim(), randomness()).await.unwrap();
    let refused = agent.register().await.unwrap_err();
    assert!(
        matches!(refused, SignallingError::AlgorithmNotAccepted { offered, .. } if offered == "AKAv1-MD5")
    );
}
