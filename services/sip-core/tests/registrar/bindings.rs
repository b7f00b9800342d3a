//! Contacts, their lifetimes, and who is told (RFC 3261 10.3).

use crate::raw::RawUe;
use crate::rig::{Rig, VISITOR_IMPU};
use ezk_sip_types::Name;
use futures::StreamExt;
use mcx_sip::{NameAddress, Response, SipAddress};
use sip_core::app::WatchEvent;
use sip_core::domain::registration::RegistrationChange;
use std::time::Duration;

fn contacts(response: &Response) -> Vec<(String, Option<String>, Option<String>)> {
    assert_eq!(response.status, 200);
    NameAddress::parse_list(response.header_values(Name::CONTACT))
        .unwrap()
        .into_iter()
        .map(|contact| {
            let parameter = |name| contact.parameter(name).map(str::to_owned);
            (contact.uri.clone(), parameter("expires"), parameter("q"))
        })
        .collect()
}

fn entry(uri: &str, expires: &str, q: Option<&str>) -> (String, Option<String>, Option<String>) {
    (uri.to_owned(), Some(expires.to_owned()), q.map(str::to_owned))
}

#[tokio::test]
async fn contacts_are_added_refreshed_and_removed_one_by_one_and_all_at_once() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let two =
        "<sip:a@192.0.2.1>;q=0.7;expires=100, <sip:b@192.0.2.2;transport=tcp>;expires=99999;+g.3gpp.mcptt";
    let answer = ue.registered(&[("Contact", two), ("Expires", "500")]).await;
    assert_eq!(
        contacts(&answer),
        [
            entry("sip:a@192.0.2.1", "100", Some("0.700")),
            entry("sip:b@192.0.2.2;transport=tcp", "7200", None)
        ]
    );
    assert!(answer.header_values(Name::CONTACT).any(|value| value.contains(";+g.3gpp.mcptt;")));
    assert_eq!(
        answer.header(Name::P_ASSOCIATED_URI),
        Some("<sip:alice@visitors.bravo.example>, <tel:+4930123456>")
    );
    assert_eq!(answer.header(Name::DATE), Some("Sun, 22 Nov 2026 00:00:00 GMT"));

    // The same URI written differently is the same contact (RFC 3261 19.1.4).
    let answer = ue.registered(&[("Contact", "<SIP:%61@192.0.2.1>;expires=200")]).await;
    assert_eq!(contacts(&answer)[0], entry("SIP:%61@192.0.2.1", "200", None));
    let answer = ue.registered(&[]).await;
    assert_eq!(contacts(&answer).len(), 2);
    let answer = ue.registered(&[("Contact", "<sip:a@192.0.2.1>;expires=0")]).await;
    assert_eq!(contacts(&answer), [entry("sip:b@192.0.2.2;transport=tcp", "7200", None)]);
    let answer = ue.registered(&[("Contact", "*"), ("Expires", "0")]).await;
    assert_eq!(contacts(&answer), []);
}

#[tokio::test]
async fn a_contact_without_any_lifetime_gets_the_default() {
    let rig = Rig::start().await;
    let answer = RawUe::new(&rig).await.registered(&[("Contact", "sip:a@192.0.2.1")]).await;
    assert_eq!(contacts(&answer), [entry("sip:a@192.0.2.1", "600", None)]);
}

#[tokio::test]
async fn a_lifetime_too_short_is_refused_before_a_vector_is_spent() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let request = ue.register(&[("Contact", "<sip:a@192.0.2.1>;expires=59")]);
    let response = ue.exchange(&request).await;
    assert_eq!((response.status, response.header(Name::MIN_EXPIRES)), (423, Some("60")));
    assert_eq!(rig.visitors.vectors_issued(), 0);
}

#[tokio::test]
async fn a_user_agent_told_423_asks_for_longer() {
    let rig = Rig::start().await;
    let mut settings = rig.visitor("udp");
    settings.expires = Duration::from_secs(10);
    let mut agent =
        mcx_ue::SignallingUserAgent::connect(settings, crate::home::isim(), crate::rig::randomness())
            .await
            .unwrap();
    assert_eq!(agent.register().await.unwrap().expires, Duration::from_secs(60));
}

#[tokio::test]
async fn a_request_older_than_the_last_of_its_call_changes_nothing() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let challenge = ue.challenged().await;
    let authorization = ue.answer(&challenge).to_string();
    let late = ue.register(&[("Contact", "<sip:a@192.0.2.1>;expires=0"), ("Authorization", &authorization)]);
    ue.registered(&[("Contact", "<sip:a@192.0.2.1>")]).await;
    assert_eq!(ue.exchange(&late).await.status, 500);
    assert_eq!(rig.registry.list(None, 10).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn an_identity_has_no_more_contacts_than_allowed() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let five: Vec<String> = (0..5).map(|number| format!("<sip:a@192.0.2.{number}>")).collect();
    assert_eq!(ue.registered(&[("Contact", &five.join(","))]).await.status, 403);
    assert_eq!(contacts(&ue.registered(&[("Contact", &five[..4].join(","))]).await).len(), 4);
}

#[tokio::test]
async fn malformed_contacts_are_told() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    for (headers, expected) in [
        (vec![("Contact", "*")], 400),
        (vec![("Contact", "*"), ("Expires", "1")], 400),
        (vec![("Contact", "*"), ("Contact", "<sip:a@192.0.2.1>"), ("Expires", "0")], 400),
        (vec![("Contact", "<sip:a@192.0.2.1>;q=2")], 400),
        (vec![("Contact", "<sip:a@192.0.2.1>;expires=soon")], 400),
        (vec![("Contact", "<sip:a@192.0.2.1")], 400),
        (vec![("Contact", "<mailto:a@example.org>")], 416),
        (vec![("Contact", "<sip:a@192.0.2.1>"), ("Expires", "-1")], 400),
        (vec![("Authorization", "Digest username=\"x")], 400),
    ] {
        let request = ue.register(&headers);
        assert_eq!(ue.exchange(&request).await.status, expected, "{headers:?}");
    }
    assert_eq!(rig.visitors.vectors_issued(), 0);
}

#[tokio::test]
async fn watchers_see_what_is_there_then_every_change_and_the_end() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    ue.registered(&[("Contact", "<sip:a@192.0.2.1>;expires=100, <sip:b@192.0.2.2>;expires=200")]).await;
    let mut watch = rig.registry.watch(None, true);
    let Some(Ok(WatchEvent::Current(current))) = watch.next().await else {
        panic!("no current registration")
    };
    assert_eq!(current.contacts.len(), 2);
    ue.registered(&[("Contact", "<sip:b@192.0.2.2>;expires=200")]).await;
    rig.clock.advance(Duration::from_secs(100));
    assert_eq!(rig.registrations.sweep(now(&rig)).await.unwrap(), 1);
    let removed = rig.registry.deregister(&VISITOR_IMPU.parse().unwrap(), None).await.unwrap();
    assert_eq!(removed, Some(1));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let Some(Ok(WatchEvent::Changed(event))) = watch.next().await else { panic!("no change") };
        seen.push((event.change, event.registration.contacts.len()));
    }
    assert_eq!(
        seen,
        [
            (RegistrationChange::Refreshed, 2),
            (RegistrationChange::Expired, 1),
            // The registration that ended is shown as it was.
            (RegistrationChange::Deregistered, 1)
        ]
    );
}

#[tokio::test]
async fn a_registration_that_is_not_refreshed_ends_and_is_told_once() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    ue.registered(&[("Contact", "<sip:a@192.0.2.1>;expires=100")]).await;
    let mut watch = rig.registry.watch(Some(VISITOR_IMPU.parse().unwrap()), false);
    // The subscription is in effect when the stream is first asked; a registration marks that moment.
    rig.clock.advance(Duration::from_secs(100));
    assert_eq!(rig.registry.get(&VISITOR_IMPU.parse().unwrap()).await.unwrap(), None);
    assert_eq!(rig.registrations.sweep(now(&rig)).await.unwrap(), 1);
    assert_eq!(rig.registrations.sweep(now(&rig)).await.unwrap(), 0);
    let Some(Ok(WatchEvent::Changed(event))) = watch.next().await else { panic!("no change") };
    assert_eq!(event.change, RegistrationChange::Expired);
    assert_eq!(rig.registry.list(None, 10).await.unwrap().0, []);
}

#[tokio::test]
async fn an_operator_can_remove_one_contact_of_several() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    ue.registered(&[("Contact", "<sip:a@192.0.2.1>, <sip:b@192.0.2.2>")]).await;
    let impu = VISITOR_IMPU.parse().unwrap();
    let contact = SipAddress::parse("sip:b@192.0.2.2").unwrap();
    assert_eq!(rig.registry.deregister(&impu, Some(&contact)).await.unwrap(), Some(1));
    assert_eq!(rig.registry.deregister(&impu, Some(&contact)).await.unwrap(), None);
    assert_eq!(rig.registry.get(&impu).await.unwrap().unwrap().contacts[0].uri, "sip:a@192.0.2.1");
}

fn now(rig: &Rig) -> mcx_types::Timestamp {
    mcx_types::Clock::now(&*rig.clock)
}
