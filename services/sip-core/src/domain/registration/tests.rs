use super::*;
use crate::domain::request::RequestSource;

const START: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn policy() -> RegistrationPolicy {
    RegistrationPolicy {
        minimum_expiry: Duration::from_secs(60),
        maximum_expiry: Duration::from_secs(3600),
        default_expiry: Duration::from_secs(600),
        maximum_contacts: 2,
    }
}

fn update(uri: &str, expires: Option<u32>) -> ContactUpdate {
    ContactUpdate {
        uri: uri.to_owned(),
        address: SipAddress::parse(uri).unwrap(),
        expires,
        preference_thousandths: None,
        instance_id: None,
        parameters: Vec::new(),
    }
}

fn request(call_id: &str, sequence: u32, contacts: ContactChange) -> RegisterRequest {
    RegisterRequest {
        impu: "sip:alice@bravo.example".parse().unwrap(),
        impi: "alice@bravo.example".parse().unwrap(),
        credentials: None,
        contacts,
        call_id: call_id.to_owned(),
        sequence,
        path: Vec::new(),
        user_agent: None,
        source: RequestSource {
            address: "192.0.2.1:5060".parse().unwrap(),
            transport: SipTransport::Udp,
            connection: None,
        },
    }
}

fn apply(
    before: Option<Registration>,
    request: &RegisterRequest,
    now: Timestamp,
) -> Result<Applied, UpdateRefusal> {
    let proof =
        ProvenIdentity { associated_impus: vec![request.impu.clone()], visitor: true, authenticated_at: now };
    Registration::apply(before, request, &proof, &policy(), now)
}

fn registered(contacts: &[(&str, u32)]) -> Registration {
    let updates = contacts.iter().map(|(uri, expires)| update(uri, Some(*expires))).collect();
    let applied = apply(None, &request("call", 1, ContactChange::Update(updates)), START);
    applied.unwrap().registration.unwrap()
}

fn seconds(count: u64) -> Timestamp {
    START.saturating_add(Duration::from_secs(count))
}

#[test]
fn lifetimes_follow_the_policy() {
    for (asked, expected) in [
        (None, Ok(600)),
        (Some(60), Ok(60)),
        (Some(3600), Ok(3600)),
        (Some(3601), Ok(3600)),
        (Some(u32::MAX), Ok(3600)),
        (Some(59), Err(UpdateRefusal::IntervalTooBrief { minimum_seconds: 60 })),
        (Some(1), Err(UpdateRefusal::IntervalTooBrief { minimum_seconds: 60 })),
    ] {
        let change = ContactChange::Update(vec![update("sip:a@192.0.2.1", asked)]);
        let applied = apply(None, &request("call", 1, change), START);
        let left = applied.map(|applied| applied.registration.unwrap().contacts[0].seconds_left(START));
        assert_eq!(left, expected, "{asked:?}");
    }
}

#[test]
fn each_contact_is_added_refreshed_or_removed_by_itself() {
    use RegistrationChange::{Deregistered, Expired, Refreshed, Registered};
    let both = [("sip:a@192.0.2.1", 100), ("sip:b@192.0.2.2", 1000)];
    type Changes = &'static [RegistrationChange];
    let cases: [(&str, Option<u32>, u64, Changes, usize); 6] = [
        ("sip:c@192.0.2.3", Some(0), 10, &[], 2),
        ("sip:a@192.0.2.1", Some(0), 10, &[Deregistered], 1),
        ("sip:A@192.0.2.1", Some(0), 10, &[], 2),
        ("sip:a@192.0.2.1", Some(200), 10, &[Refreshed], 2),
        ("sip:a@192.0.2.1", Some(200), 100, &[Expired, Registered], 2),
        ("sip:b@192.0.2.2", Some(0), 2000, &[Expired, Expired], 0),
    ];
    for (uri, expires, after, changes, left) in cases {
        let change = ContactChange::Update(vec![update(uri, expires)]);
        let applied = apply(Some(registered(&both)), &request("call", 2, change), seconds(after)).unwrap();
        assert_eq!(applied.changes, changes, "{uri} {expires:?} after {after} s");
        assert_eq!(applied.registration.map_or(0, |registration| registration.contacts.len()), left);
    }
}

#[test]
fn a_refusal_changes_nothing_even_if_the_first_contact_was_fine() {
    let before = registered(&[("sip:a@192.0.2.1", 100)]);
    let new = update("sip:new@192.0.2.9", Some(100));
    for (change, call_id, sequence, expected) in [
        (vec![new.clone(), update("sip:a@192.0.2.1", Some(5))], "call", 2, None),
        (vec![new.clone(), update("sip:a@192.0.2.1", Some(100))], "call", 1, Some(UpdateRefusal::OutOfOrder)),
        (
            vec![new.clone(), update("sip:other@192.0.2.9", Some(100))],
            "call",
            2,
            Some(UpdateRefusal::TooManyContacts { maximum: 2 }),
        ),
    ] {
        let refused =
            apply(Some(before.clone()), &request(call_id, sequence, ContactChange::Update(change)), START);
        let expected = expected.unwrap_or(UpdateRefusal::IntervalTooBrief { minimum_seconds: 60 });
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn another_call_may_begin_with_any_sequence_number() {
    let before = registered(&[("sip:a@192.0.2.1", 100)]);
    let change = ContactChange::Update(vec![update("sip:a@192.0.2.1", Some(100))]);
    assert!(apply(Some(before), &request("other call", 0, change), START).is_ok());
}

#[test]
fn removing_all_is_in_order_too_and_a_query_changes_nothing() {
    let before = registered(&[("sip:a@192.0.2.1", 100), ("sip:b@192.0.2.2", 100)]);
    let late = apply(Some(before.clone()), &request("call", 1, ContactChange::RemoveAll), START);
    assert_eq!(late, Err(UpdateRefusal::OutOfOrder));
    let removed = apply(Some(before.clone()), &request("call", 2, ContactChange::RemoveAll), START).unwrap();
    assert_eq!((removed.registration, removed.changes.len()), (None, 2));
    let query = apply(Some(before.clone()), &request("call", 1, ContactChange::Query), START).unwrap();
    assert_eq!((query.registration, query.changes), (Some(before), vec![]));
}

#[test]
fn a_refresh_keeps_when_the_contact_was_first_registered() {
    let change = ContactChange::Update(vec![update("sip:a@192.0.2.1", Some(100))]);
    let before = registered(&[("sip:a@192.0.2.1", 100)]);
    let applied = apply(Some(before), &request("call", 2, change), seconds(50)).unwrap();
    let contact = &applied.registration.unwrap().contacts[0];
    assert_eq!((contact.registered_at, contact.expires_at), (START, seconds(150)));
}

#[test]
fn a_contact_is_never_shown_with_zero_seconds_while_it_lives() {
    let contact = &registered(&[("sip:a@192.0.2.1", 60)]).contacts[0];
    let just_before = Timestamp::from_micros(contact.expires_at.as_micros() - 1);
    assert_eq!((contact.seconds_left(just_before), contact.seconds_left(contact.expires_at)), (1, 0));
}

#[test]
fn a_registration_survives_the_shared_cache() {
    let registration = registered(&[("sip:a@192.0.2.1", 100)]);
    let bytes = serde_json::to_vec(&registration).unwrap();
    assert_eq!(serde_json::from_slice::<Registration>(&bytes).unwrap(), registration);
}
