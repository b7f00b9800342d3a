//! What users are told of the functional aliases that they may activate.

use mcx_federation::access_token::Scope;
use mcx_proto::functionalalias::v1 as proto;
use mcx_testkit::authorized;
use tonic::Code;

use crate::fixture::{Home, alias, fields, id, on_every_database, refusal, told};

on_every_database!(
    user_is_told_only_of_aliases_that_she_may_activate,
    visitor_is_told_of_aliases_that_allow_visitors,
    user_without_the_scope_is_told_nothing,
    watcher_hears_of_changes_and_of_what_she_may_activate_from_now_on,
    watching_visitor_hears_when_visitors_are_allowed_and_no_longer,
    watcher_of_one_replica_hears_what_is_changed_at_another,
    watcher_that_comes_back_hears_all_that_she_missed,
    token_that_cannot_be_resumed_from_is_refused,
    stream_ends_with_the_access_token_and_with_the_server,
);

async fn user_is_told_only_of_aliases_that_she_may_activate(home: Home) {
    let system = home.start().await;
    let mine = system.create(alias("commander", &["alice", "bob"])).await;
    let other = system.create(alias("driver", &["bob"])).await;
    // An own user is no visitor.
    system.create(proto::FunctionalAlias { allow_visitors: true, ..alias("guest", &[]) }).await;
    assert_eq!(system.allowed(&system.token("alice")).await, [told(&mine)], "others are not told");
    let named = |names: &[&str]| proto::GetFunctionalAliasesRequest {
        functional_aliases: names.iter().map(|name| id(name)).collect(),
        page_size: 1,
        ..Default::default()
    };
    let ask = async |request, name: &str| {
        let request = authorized(request, &system.token(name));
        system.users().get_functional_aliases(request).await.map(tonic::Response::into_inner)
    };
    assert_eq!(ask(named(&["driver"]), "bob").await.unwrap().functional_aliases, [told(&other)]);
    assert!(ask(named(&["driver", "nowhere"]), "alice").await.unwrap().functional_aliases.is_empty());
    let first = ask(named(&[]), "bob").await.unwrap();
    assert_eq!((first.functional_aliases.len(), first.next_page_token.is_empty()), (1, false));
    let broken = proto::GetFunctionalAliasesRequest {
        functional_aliases: vec!["commander".to_owned()],
        page_size: 101,
        ..Default::default()
    };
    assert_eq!(fields(ask(broken, "alice").await), ["functional_aliases[0]", "page_size"]);
}

async fn visitor_is_told_of_aliases_that_allow_visitors(home: Home) {
    let system = home.start().await;
    system.create(alias("commander", &["alice"])).await;
    let open =
        system.create(proto::FunctionalAlias { allow_visitors: true, ..alias("guest", &["bob"]) }).await;
    assert_eq!(system.allowed(&system.visitor_token("alice")).await, [told(&open)]);
}

async fn user_without_the_scope_is_told_nothing(home: Home) {
    let system = home.start().await;
    let token = home.tokens.token("alice", &[Scope::GroupManagement]);
    let request = authorized(proto::GetFunctionalAliasesRequest::default(), &token);
    let refused = system.users().get_functional_aliases(request).await;
    assert_eq!(refusal(refused).code, Code::PermissionDenied);
    assert_eq!(refusal(system.watch(&token, "").await).code, Code::PermissionDenied);
}

async fn watcher_hears_of_changes_and_of_what_she_may_activate_from_now_on(home: Home) {
    let system = home.start().await;
    let first = system.create(alias("commander", &["alice"])).await;
    let mut alice = system.watch(&system.token("alice"), "").await.unwrap();
    assert_eq!(alice.snapshot().await, [told(&first)]);
    let changed = system.update(proto::FunctionalAlias { priority: 1, ..first.clone() }).await;
    assert_eq!(alice.next_alias().await, told(&changed));

    let joined = system.create(alias("driver", &["alice"])).await;
    assert_eq!(alice.next_alias().await, told(&joined));
    let mut last = joined;
    let mut versions = Vec::new();
    for priority in 1..4 {
        last = system.update(proto::FunctionalAlias { priority, ..last }).await;
    }
    while versions.last() != Some(&last.version) {
        versions.push(alice.next_alias().await.version);
    }
    assert_eq!(versions, [2, 3, 4], "what she may activate from now on is followed without a new call");

    let taken = system.update(proto::FunctionalAlias { allowed_users: vec![id("bob")], ..changed }).await;
    assert_eq!(alice.next_removed().await, taken.functional_alias);
    system.update(proto::FunctionalAlias { priority: 5, ..taken }).await;
    system.delete(&last).await;
    assert_eq!(alice.next_removed().await, last.functional_alias, "of the other she hears nothing any more");
}

async fn watching_visitor_hears_when_visitors_are_allowed_and_no_longer(home: Home) {
    let system = home.start().await;
    let made = system.create(alias("guest", &["bob"])).await;
    let mut visitor = system.watch(&system.visitor_token("carol"), "").await.unwrap();
    assert!(visitor.snapshot().await.is_empty());
    let opened = system.update(proto::FunctionalAlias { allow_visitors: true, ..made }).await;
    assert_eq!(visitor.next_alias().await, told(&opened));
    let closed = system.update(proto::FunctionalAlias { allow_visitors: false, ..opened }).await;
    assert_eq!(visitor.next_removed().await, closed.functional_alias);
    let opened = system.update(proto::FunctionalAlias { allow_visitors: true, ..closed }).await;
    assert_eq!(visitor.next_alias().await, told(&opened));
    system.delete(&opened).await;
    assert_eq!(visitor.next_removed().await, opened.functional_alias);
}

async fn watcher_of_one_replica_hears_what_is_changed_at_another(home: Home) {
    let (system, replica) = (home.start().await, home.start().await);
    let made = system.create(alias("commander", &["alice"])).await;
    let mut alice = system.watch(&system.token("alice"), "").await.unwrap();
    assert_eq!(alice.snapshot().await, [told(&made)]);
    let changed = replica.update(proto::FunctionalAlias { priority: 1, ..made }).await;
    assert_eq!(alice.next_alias().await, told(&changed));
    replica.delete(&changed).await;
    assert_eq!(alice.next_removed().await, changed.functional_alias);
}

async fn watcher_that_comes_back_hears_all_that_she_missed(home: Home) {
    let system = home.start().await;
    let kept = system.create(alias("kept", &["alice"])).await;
    let taken = system.create(alias("taken", &["alice"])).await;
    let removed = system.create(alias("removed", &["alice"])).await;
    let mut alice = system.watch(&system.token("alice"), "").await.unwrap();
    assert_eq!(alice.snapshot().await.len(), 3);
    let resume_token = alice.resume_token.clone();
    drop(alice);
    let changed = system.update(proto::FunctionalAlias { priority: 1, ..kept }).await;
    system.update(proto::FunctionalAlias { allowed_users: Vec::new(), ..taken.clone() }).await;
    system.delete(&removed).await;
    let joined = system.create(alias("joined", &["alice"])).await;

    // Another process of the system, on the same database.
    drop(system);
    let system = home.start().await;
    let mut alice = system.watch(&system.token("alice"), &resume_token).await.unwrap();
    assert_eq!(alice.next_alias().await, told(&changed));
    assert_eq!(alice.next_removed().await, taken.functional_alias);
    assert_eq!(alice.next_removed().await, removed.functional_alias);
    assert_eq!(alice.next_alias().await, told(&joined));
}

async fn token_that_cannot_be_resumed_from_is_refused(home: Home) {
    let system = home.start().await;
    let token = system.token("alice");
    let foreign = system.watch(&token, "1-0123456789abcdef-0000000000000001").await;
    assert_eq!(refusal(foreign).reason, "RESUME_TOKEN_FOREIGN");
    assert_eq!(fields(system.watch(&token, "yesterday").await), ["resume_token"]);
    let mut alice = system.watch(&token, "").await.unwrap();
    alice.snapshot().await;
    let resume_token = alice.resume_token.clone();
    system.create(alias("commander", &["alice"])).await;
    alice.next_alias().await;
    drop(system);
    home.forget_changes().await;
    let system = home.start().await;
    let refused = refusal(system.watch(&token, &resume_token).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::OutOfRange, "RESUME_TOKEN_COMPACTED"));
    assert_eq!(system.watch(&token, "").await.unwrap().snapshot().await.len(), 1);
}

async fn stream_ends_with_the_access_token_and_with_the_server(home: Home) {
    let system = home.start().await;
    // It is over, but believed for as long as clocks may differ: the stream ends as soon as it has begun.
    let mut claims = system.claims("alice");
    claims.exp = claims.iat - 1;
    claims.iat -= 10;
    let mut alice = system.watch(&home.tokens.sign(&claims), "").await.unwrap();
    let ended = loop {
        if let Err(status) = alice.next().await {
            break status;
        }
    };
    let refused = refusal::<()>(Err(ended));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "ACCESS_TOKEN_EXPIRED"));

    let mut bob = system.watch(&system.token("bob"), "").await.unwrap();
    bob.snapshot().await;
    drop(system.shutdown);
    let refused = refusal(bob.next().await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DRAINING"));
}
