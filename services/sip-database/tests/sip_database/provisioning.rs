//! Subscribers as operators provision them.

use mcx_aka::{Opc, SubscriberKey};
use mcx_proto::sipdatabase::v1::subscriber_keys::OperatorVariant;
use mcx_proto::sipdatabase::v1::subscriber_service_client::SubscriberServiceClient;
use mcx_proto::sipdatabase::v1::{
    CreateSubscriberRequest, DeleteSubscriberRequest, ErrorReason, ListSubscribersRequest, Subscriber,
    SubscriberKeys, UpdateSubscriberRequest,
};
use mcx_proto::types::v1::{AuthenticationScheme, SipIdentities};
use mcx_runtime::error::{RemoteError, decode_status};
use sip_database::client::{NewSubscriber, Reason};
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::fixture::{System, User, on_every_database};

on_every_database!(
    subscriber_is_read_back_as_created_and_never_with_its_keys,
    malformed_subscriber_is_refused_with_every_field_at_once,
    identities_are_of_one_subscriber_only,
    update_needs_the_present_etag_and_overwrites_nothing_otherwise,
    editing_a_subscriber_and_its_keys_never_resets_its_sequence_numbers,
    subscriber_made_again_goes_on_behind_its_last_sequence_number,
    repeated_request_gets_the_first_answer_and_another_one_is_refused,
    pages_hold_every_subscriber_once_in_order,
    import_is_repeatable_and_tells_what_it_refused,
);

fn raw(system: &System, replica: &crate::fixture::Replica) -> SubscriberServiceClient<Channel> {
    SubscriberServiceClient::new(system.operator_channel(replica))
}

fn alice() -> Subscriber {
    Subscriber {
        identities: Some(SipIdentities {
            impi: "alice@alpha.example".to_owned(),
            impus: vec!["sip:alice@alpha.example".to_owned(), "tel:+4930123".to_owned()],
        }),
        ..Subscriber::default()
    }
}

fn keys(octet: u8) -> SubscriberKeys {
    SubscriberKeys { k: vec![octet; 16], operator_variant: Some(OperatorVariant::Op(vec![octet; 16])) }
}

fn remote<T: std::fmt::Debug>(outcome: Result<T, tonic::Status>) -> RemoteError {
    decode_status(&outcome.unwrap_err())
}

async fn subscriber_is_read_back_as_created_and_never_with_its_keys(system: System) {
    let replica = system.replica().await;
    let mut client = raw(&system, &replica);
    let wanted = Subscriber {
        scheme: AuthenticationScheme::DigestAkav2Sha256.into(),
        amf: vec![0x80, 0x01],
        barred: true,
        ..alice()
    };
    let request = CreateSubscriberRequest {
        subscriber: Some(wanted.clone()),
        keys: Some(keys(0xa5)),
        request_id: String::new(),
    };
    let created = client.create_subscriber(request).await.unwrap().into_inner().subscriber.unwrap();
    assert!(created.create_time.is_some() && created.create_time == created.update_time);
    assert_eq!((created.etag.as_str(), created.key_encryption_key_id.as_str()), ("1", "2026-01"));
    let as_wanted = Subscriber {
        etag: String::new(),
        create_time: None,
        update_time: None,
        key_encryption_key_id: String::new(),
        ..created.clone()
    };
    assert_eq!(as_wanted, wanted);
    let read = system.operator(&replica).get(&"alice@alpha.example".parse().unwrap()).await.unwrap();
    assert_eq!(read, created);

    let stored: (Vec<u8>,) =
        system.open().statement("SELECT keys FROM subscriber").fetch_one().await.unwrap();
    assert!(!stored.0.windows(16).any(|window| window == [0xa5; 16]), "k is stored in the clear");
}

async fn malformed_subscriber_is_refused_with_every_field_at_once(system: System) {
    let replica = system.replica().await;
    let mut client = raw(&system, &replica);
    let request = CreateSubscriberRequest {
        subscriber: Some(Subscriber {
            identities: Some(SipIdentities {
                impi: "alice".to_owned(),
                impus: vec!["sip:alice@alpha.example".to_owned(), "alice".to_owned()],
            }),
            scheme: 99,
            amf: vec![1],
            ..Subscriber::default()
        }),
        keys: Some(SubscriberKeys { k: vec![1; 15], operator_variant: None }),
        request_id: "once".to_owned(),
    };
    let refused = remote(client.create_subscriber(request).await);
    let fields: Vec<&str> = refused.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    assert_eq!(
        fields,
        [
            "subscriber.identities.impi",
            "subscriber.identities.impus[1]",
            "subscriber.scheme",
            "subscriber.amf",
            "keys.k",
            "keys.operator_variant",
            "request_id"
        ]
    );
    let refused = remote(client.create_subscriber(CreateSubscriberRequest::default()).await);
    let fields: Vec<&str> = refused.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["subscriber", "keys"]);
}

async fn identities_are_of_one_subscriber_only(system: System) {
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    let alice = User::provisioned("alice", &operator).await;
    let bob = User::provisioned("bob", &operator).await;

    let again = operator.create(&alice.new, Uuid::new_v4()).await.unwrap_err();
    assert_eq!(again.reason(), Some(Reason::IdentityTaken));
    let mut thief = User::named("carol").new;
    thief.identities.impus.push(alice.identities().impus[0].clone());
    let stolen = operator.create(&thief, Uuid::new_v4()).await.unwrap_err();
    assert_eq!(stolen.reason(), Some(Reason::IdentityTaken));
    let unknown = operator.get(&thief.identities.impi).await.unwrap_err();
    assert_eq!(unknown.reason(), Some(Reason::SubscriberUnknown), "nothing is half created");

    let mut grasping = operator.get(&bob.identities().impi).await.unwrap();
    grasping.identities.as_mut().unwrap().impus.push("sip:alice@alpha.example".to_owned());
    let stolen = operator.update(grasping, Uuid::new_v4()).await.unwrap_err();
    assert_eq!(stolen.reason(), Some(Reason::IdentityTaken));
    assert_eq!(operator.get(&bob.identities().impi).await.unwrap().etag, "1");

    operator.delete(&alice.identities().impi, Uuid::new_v4()).await.unwrap();
    operator.create(&thief, Uuid::new_v4()).await.unwrap();
}

async fn update_needs_the_present_etag_and_overwrites_nothing_otherwise(system: System) {
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    let user = User::provisioned("alice", &operator).await;
    let impi = &user.identities().impi;
    let first = operator.get(impi).await.unwrap();

    let barred = Subscriber { barred: true, ..first.clone() };
    let second = operator.update(barred, Uuid::new_v4()).await.unwrap();
    assert_eq!((second.etag.as_str(), second.barred), ("2", true));
    let late = Subscriber { amf: vec![1, 2], ..first.clone() };
    let refused = operator.update(late, Uuid::new_v4()).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::EtagMismatch));
    assert_eq!(operator.get(impi).await.unwrap(), second);

    let without = Subscriber { etag: String::new(), ..second.clone() };
    let refused = operator.update(without, Uuid::new_v4()).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::InvalidRequest));
    let mut stranger = Subscriber { etag: "1".to_owned(), ..second.clone() };
    stranger.identities.as_mut().unwrap().impi = "nobody@alpha.example".to_owned();
    let refused = operator.update(stranger, Uuid::new_v4()).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::SubscriberUnknown));

    let request = |etag: &str| DeleteSubscriberRequest {
        impi: impi.to_string(),
        etag: etag.to_owned(),
        request_id: String::new(),
    };
    let mut client = raw(&system, &replica);
    let refused = remote(client.delete_subscriber(request("1")).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    client.delete_subscriber(request("2")).await.unwrap();
    let refused = remote(client.delete_subscriber(request("")).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "SUBSCRIBER_UNKNOWN"));
}

async fn editing_a_subscriber_and_its_keys_never_resets_its_sequence_numbers(system: System) {
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    let mut user = User::provisioned("alice", &operator).await;
    let client = system.sip_core(&replica);
    for round in 0..3_u8 {
        let made = client.authentication_information(user.identities(), None, 2, None).await.unwrap();
        for vector in &made.vectors {
            user.answer(vector).unwrap();
        }
        let present = operator.get(&user.identities().impi).await.unwrap();
        let edited = Subscriber { amf: vec![0, round + 1], ..present };
        if round == 1 {
            // New keys, as on a replaced card that took the old sequence numbers over.
            let key = SubscriberKey::from_octets([9; 16]);
            let opc = Opc::from_octets([8; 16]);
            let sequences = user.isim.sequences().clone();
            user.isim = mcx_aka::isim::Isim::new(&key, &opc).with_sequences(sequences);
            let request = UpdateSubscriberRequest {
                subscriber: Some(edited),
                keys: Some(SubscriberKeys {
                    k: vec![9; 16],
                    operator_variant: Some(OperatorVariant::Opc(vec![8; 16])),
                }),
                request_id: String::new(),
            };
            raw(&system, &replica).update_subscriber(request).await.unwrap();
        } else {
            operator.update(edited, Uuid::new_v4()).await.unwrap();
        }
    }
    let made = client.authentication_information(user.identities(), None, 1, None).await.unwrap();
    user.answer(&made.vectors[0]).unwrap();
}

async fn subscriber_made_again_goes_on_behind_its_last_sequence_number(system: System) {
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    let mut user = User::provisioned("alice", &operator).await;
    let client = system.sip_core(&replica);
    let made = client.authentication_information(user.identities(), None, 5, None).await.unwrap();
    for vector in &made.vectors {
        user.answer(vector).unwrap();
    }
    operator.delete(&user.identities().impi, Uuid::new_v4()).await.unwrap();
    let gone = client.authentication_information(user.identities(), None, 1, None).await.unwrap_err();
    assert_eq!(gone.reason(), Some(Reason::SubscriberUnknown));
    let again = operator.create(&user.new, Uuid::new_v4()).await.unwrap();
    assert_eq!(again.etag, "2", "an etag of the removed subscriber does not fit the new one");
    let made = client.authentication_information(user.identities(), None, 1, None).await.unwrap();
    user.answer(&made.vectors[0]).unwrap();
}

async fn repeated_request_gets_the_first_answer_and_another_one_is_refused(system: System) {
    let replica = system.replica().await;
    let mut client = raw(&system, &replica);
    let request_id = Uuid::new_v4().to_string();
    let create = CreateSubscriberRequest {
        subscriber: Some(alice()),
        keys: Some(keys(1)),
        request_id: request_id.clone(),
    };
    let first = client.create_subscriber(create.clone()).await.unwrap().into_inner();
    let present = first.subscriber.clone().unwrap();
    let update = UpdateSubscriberRequest {
        subscriber: Some(Subscriber { barred: true, ..present }),
        keys: None,
        request_id: Uuid::new_v4().to_string(),
    };
    let updated = client.update_subscriber(update.clone()).await.unwrap().into_inner();
    assert_eq!(client.create_subscriber(create.clone()).await.unwrap().into_inner(), first);
    assert_eq!(client.update_subscriber(update.clone()).await.unwrap().into_inner(), updated);

    let other_keys = CreateSubscriberRequest { keys: Some(keys(2)), ..create.clone() };
    let refused = remote(client.create_subscriber(other_keys).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    assert_eq!(refused.metadata["request_id"], request_id);
    let other_method =
        DeleteSubscriberRequest { impi: "alice@alpha.example".to_owned(), etag: String::new(), request_id };
    let refused = remote(client.delete_subscriber(other_method.clone()).await);
    assert_eq!(refused.reason, "REQUEST_ID_REUSED");

    let delete = DeleteSubscriberRequest { request_id: Uuid::new_v4().to_string(), ..other_method };
    client.delete_subscriber(delete.clone()).await.unwrap();
    client.delete_subscriber(delete).await.unwrap();

    // A request that was refused may be repeated once its cause is gone.
    let retried = CreateSubscriberRequest { request_id: Uuid::new_v4().to_string(), ..create };
    let blocker = CreateSubscriberRequest { request_id: String::new(), ..retried.clone() };
    client.create_subscriber(blocker).await.unwrap();
    assert_eq!(remote(client.create_subscriber(retried.clone()).await).reason, "IDENTITY_TAKEN");
    system.operator(&replica).delete(&"alice@alpha.example".parse().unwrap(), Uuid::new_v4()).await.unwrap();
    client.create_subscriber(retried).await.unwrap();
}

async fn pages_hold_every_subscriber_once_in_order(system: System) {
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    // Upper case before lower case, and a full stop before the at sign: the order is that of the octets, on every engine.
    let names = ["Zoe", "alice", "bob.b", "bob", "carol"];
    for name in names.iter().rev() {
        User::provisioned(name, &operator).await;
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    let mut sizes = Vec::new();
    loop {
        let page = operator.list(2, &token).await.unwrap();
        sizes.push(page.subscribers.len());
        seen.extend(page.subscribers.into_iter().map(|subscriber| subscriber.identities.unwrap().impi));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, names.map(|name| format!("{name}@alpha.example")));
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(operator.list(0, "").await.unwrap().subscribers.len(), 5);

    let request = ListSubscribersRequest { page_size: 1001, page_token: "made up".to_owned() };
    let refused = remote(raw(&system, &replica).list_subscribers(request).await);
    let fields: Vec<&str> = refused.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["page_token", "page_size"]);
}

async fn import_is_repeatable_and_tells_what_it_refused(system: System) {
    let mut config = system.config();
    config.import_batch_size = 7;
    let replica = system.replica_with(config, system.dependencies()).await;
    let operator = system.operator(&replica);
    let mut alice = User::provisioned("alice", &operator).await;
    let many = || (0..40).map(|number| User::named(&format!("user{number}")).new);
    let first = operator.import(many()).await.unwrap();
    assert_eq!((first.created_count, first.unchanged_count, first.refused_count), (40, 0, 0));

    let mut other_keys = User::named("alice").new;
    other_keys.key = SubscriberKey::from_octets([1; 16]);
    let mut thief = User::named("thief").new;
    thief.identities.impus = alice.identities().impus.clone();
    let late = User::named("late").new;
    let mut twice_late = User::named("too.late").new;
    twice_late.identities.impus = late.identities.impus.clone();
    let mixed: Vec<NewSubscriber> =
        many().chain([alice.new.clone(), other_keys, thief, late.clone(), late, twice_late]).collect();
    let second = operator.import(mixed).await.unwrap();
    assert_eq!((second.created_count, second.unchanged_count, second.refused_count), (1, 42, 3));
    let refusals: Vec<(u64, ErrorReason, &str)> = second
        .refusals
        .iter()
        .map(|refusal| (refusal.index, refusal.reason(), refusal.description.as_str()))
        .collect();
    assert_eq!(
        refusals,
        [
            (41, ErrorReason::IdentityTaken, "another subscriber has alice@alpha.example"),
            (42, ErrorReason::IdentityTaken, "another subscriber has sip:alice@alpha.example"),
            (45, ErrorReason::IdentityTaken, "another subscriber has sip:late@alpha.example"),
        ]
    );
    let client = system.sip_core(&replica);
    let made = client.authentication_information(alice.identities(), None, 1, None).await.unwrap();
    alice.answer(&made.vectors[0]).unwrap();
    let mut imported = User::named("user39");
    let made = client.authentication_information(imported.identities(), None, 1, None).await.unwrap();
    imported.answer(&made.vectors[0]).unwrap();
}
