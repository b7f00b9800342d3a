//! Accounts as operators provision them.

use futures::stream;
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::account_service_client::AccountServiceClient;
use mcx_proto::identity::v1::get_account_request::Key;
use mcx_types::Entity;
use reqwest::StatusCode;
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{PASSWORD, System, fields, identities, on_every_database, password, reason, refusal};

on_every_database!(
    account_is_read_back_changed_and_removed,
    malformed_account_is_refused_with_every_field_at_once,
    identities_are_of_one_account_only,
    repeated_request_creates_once,
    passwords_are_checked_set_and_never_told,
    accounts_are_listed_in_pages,
    accounts_are_resolved_in_order_and_unknown_ones_named,
    import_is_repeatable_and_refuses_single_accounts,
    only_operators_provision_accounts,
    removed_user_comes_back_as_another,
);

fn create(account: proto::Account) -> proto::CreateAccountRequest {
    proto::CreateAccountRequest { account: Some(account), ..Default::default() }
}

fn by_mc_id(mc_id: &str) -> proto::GetAccountRequest {
    proto::GetAccountRequest { key: Some(Key::McId(mc_id.to_owned())) }
}

fn update(account: proto::Account) -> proto::UpdateAccountRequest {
    proto::UpdateAccountRequest { account: Some(account), ..Default::default() }
}

async fn account_is_read_back_changed_and_removed(system: System) {
    let made = system.user("alice").await;
    assert_eq!(
        (made.etag.as_str(), made.has_password, made.state()),
        ("1", true, proto::AccountState::Enabled)
    );
    let mut client = system.accounts();
    let read = client.get_account(by_mc_id(&made.mc_id)).await.unwrap().into_inner().account;
    assert_eq!(read.as_ref(), Some(&made));
    let by_subject = proto::GetAccountRequest { key: Some(Key::Subject(made.subject.clone())) };
    let read = client.get_account(by_subject.clone()).await.unwrap().into_inner().account;
    assert_eq!(read.as_ref(), Some(&made));

    let renamed = proto::Account { display_name: "Alice".to_owned(), ..made.clone() };
    let changed = client.update_account(update(renamed)).await.unwrap().into_inner().account.unwrap();
    assert_eq!((changed.etag.as_str(), changed.display_name.as_str()), ("2", "Alice"));
    assert_eq!(changed.subject, made.subject);
    assert_eq!(reason(client.update_account(update(made.clone())).await), "ETAG_MISMATCH");

    let delete = |etag: &str| proto::DeleteAccountRequest {
        mc_id: made.mc_id.clone(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    assert_eq!(reason(client.delete_account(delete("1")).await), "ETAG_MISMATCH");
    client.delete_account(delete("2")).await.unwrap();
    let unknown = refusal(client.get_account(by_mc_id(&made.mc_id)).await);
    assert_eq!((unknown.code, unknown.reason.as_str()), (Code::NotFound, "ACCOUNT_UNKNOWN"));
    assert_eq!(reason(client.get_account(by_subject).await), "ACCOUNT_UNKNOWN");
    assert_eq!(reason(client.delete_account(delete("")).await), "ACCOUNT_UNKNOWN");
    assert_eq!(reason(client.update_account(update(changed)).await), "ACCOUNT_UNKNOWN");
}

async fn malformed_account_is_refused_with_every_field_at_once(system: System) {
    let broken = proto::Account {
        mc_id: "al ice".to_owned(),
        mc_service_identities: vec![],
        scopes: vec!["3gpp:mc:ptt_service".to_owned(), "root".to_owned()],
        display_name: "\u{7}".to_owned(),
        state: 99,
        ..Default::default()
    };
    let request = proto::CreateAccountRequest { request_id: "1".to_owned(), ..create(broken) };
    assert_eq!(
        fields(system.accounts().create_account(request).await),
        [
            "request_id",
            "account.mc_id",
            "account.mc_service_identities",
            "account.scopes[1]",
            "account.display_name",
            "account.state",
        ]
    );
    assert_eq!(
        fields(system.accounts().create_account(proto::CreateAccountRequest::default()).await),
        ["account"]
    );
    assert_eq!(fields(system.accounts().get_account(proto::GetAccountRequest::default()).await), ["key"]);
    let page = proto::ListAccountsRequest { page_size: 1_001, ..Default::default() };
    assert_eq!(fields(system.accounts().list_accounts(page).await), ["page_size"]);
}

async fn identities_are_of_one_account_only(system: System) {
    system.user("alice").await;
    let mut client = system.accounts();
    let same_name = proto::Account {
        mc_service_identities: identities("other", "alpha.example"),
        ..system.account("alice")
    };
    let taken = refusal(client.create_account(create(same_name)).await);
    assert_eq!((taken.code, taken.metadata["constraint"].as_str()), (Code::AlreadyExists, "account_pkey"));
    let same_identity = proto::Account {
        mc_service_identities: identities("alice", "alpha.example"),
        ..system.account("bob")
    };
    let taken = refusal(client.create_account(create(same_identity)).await);
    assert_eq!(taken.metadata["constraint"], "mc_service_identity_pkey");
    assert_eq!(taken.metadata["mc_service_id"], "sip:alice@alpha.example");
    let bob = system.user("bob").await;
    let as_alice = proto::Account { mc_service_identities: identities("alice", "alpha.example"), ..bob };
    assert_eq!(reason(client.update_account(update(as_alice)).await), "IDENTITY_TAKEN");
}

async fn repeated_request_creates_once(system: System) {
    let mut client = system.accounts();
    let request = proto::CreateAccountRequest {
        request_id: Uuid::new_v4().to_string(),
        password: Some(password(PASSWORD)),
        ..create(system.account("alice"))
    };
    let first = client.create_account(request.clone()).await.unwrap().into_inner();
    let again = client.create_account(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = proto::CreateAccountRequest { account: Some(system.account("bob")), ..request };
    assert_eq!(reason(client.create_account(other).await), "REQUEST_ID_REUSED");
}

async fn passwords_are_checked_set_and_never_told(system: System) {
    let mut client = system.accounts();
    for bad in ["short", "password1234", "alice@alpha.example"] {
        let request =
            proto::CreateAccountRequest { password: Some(password(bad)), ..create(system.account("alice")) };
        assert_eq!(fields(client.create_account(request).await), ["password.value"], "{bad}");
    }
    let made =
        client.create_account(create(system.account("alice"))).await.unwrap().into_inner().account.unwrap();
    assert!(!made.has_password);
    assert_eq!(system.user_agent().login(&made.mc_id, "").await.status, StatusCode::FORBIDDEN);

    let set = |mc_id: &str, value: &str| proto::SetPasswordRequest {
        mc_id: mc_id.to_owned(),
        password: Some(password(value)),
        ..Default::default()
    };
    assert_eq!(fields(client.set_password(set(&made.mc_id, "short")).await), ["password.value"]);
    assert_eq!(
        fields(client.set_password(proto::SetPasswordRequest::default()).await),
        ["mc_id", "password"]
    );
    assert_eq!(reason(client.set_password(set("nobody", PASSWORD)).await), "ACCOUNT_UNKNOWN");
    assert_eq!(
        reason(
            client
                .unlock_account(proto::UnlockAccountRequest {
                    mc_id: "nobody".to_owned(),
                    ..Default::default()
                })
                .await
        ),
        "ACCOUNT_UNKNOWN"
    );
    client.set_password(set(&made.mc_id, PASSWORD)).await.unwrap();
    let tokens = system.user_agent().log_in(&made.mc_id).await;

    // Whoever had the old password has nothing more.
    client.set_password(set(&made.mc_id, "another-wet-otter-42")).await.unwrap();
    assert!(!system.introspect(tokens.access_token()).await.active);
    assert_eq!(system.user_agent().login(&made.mc_id, PASSWORD).await.status, StatusCode::FORBIDDEN);
    let stored: Vec<(String,)> =
        system.ground.database().statement("SELECT password_hash FROM account").fetch_all().await.unwrap();
    assert!(stored[0].0.starts_with("$argon2id$"), "{stored:?}");
}

async fn accounts_are_listed_in_pages(system: System) {
    for name in ["carol", "alice", "bob"] {
        system.user(name).await;
    }
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListAccountsRequest { page_size: 2, page_token };
        let page = system.accounts().list_accounts(request).await.unwrap().into_inner();
        names.extend(page.accounts.into_iter().map(|account| account.mc_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["alice@alpha.example", "bob@alpha.example", "carol@alpha.example"]);
}

async fn accounts_are_resolved_in_order_and_unknown_ones_named(system: System) {
    let (alice, bob) = (system.user("alice").await, system.user("bob").await);
    let mut client = AccountServiceClient::new(system.channel(Entity::MigrationManagement));
    let mc_ids = ["bob@alpha.example", "nobody", "alice@alpha.example"].map(str::to_owned).to_vec();
    let resolved =
        client.resolve_accounts(proto::ResolveAccountsRequest { mc_ids }).await.unwrap().into_inner();
    assert_eq!(resolved.accounts, [bob, alice]);
    assert_eq!(resolved.unknown_mc_ids, ["nobody"]);
    let bad = proto::ResolveAccountsRequest { mc_ids: vec!["alice".to_owned(), "al ice".to_owned()] };
    assert_eq!(fields(client.resolve_accounts(bad).await), ["mc_ids[1]"]);
    assert_eq!(fields(client.resolve_accounts(proto::ResolveAccountsRequest::default()).await), ["mc_ids"]);
}

async fn import_is_repeatable_and_refuses_single_accounts(system: System) {
    let clash = proto::Account {
        mc_service_identities: identities("user3", "alpha.example"),
        ..system.account("zoe")
    };
    let items = || {
        let mut accounts: Vec<proto::Account> =
            (0..150).map(|number| system.account(&format!("user{number}"))).collect();
        accounts.insert(120, proto::Account::default());
        accounts.push(clash.clone());
        stream::iter(accounts.into_iter().map(|account| proto::ImportAccountsRequest {
            account: Some(account),
            password: Some(password(PASSWORD)),
        }))
    };
    let first = system.accounts().import_accounts(items()).await.unwrap().into_inner();
    assert_eq!((first.created_count, first.unchanged_count, first.refused_count), (150, 0, 2));
    let refusals: Vec<(u64, &str)> =
        first.refusals.iter().map(|refusal| (refusal.index, refusal.reason().as_str_name())).collect();
    assert_eq!(refusals, [(120, "ERROR_REASON_INVALID_REQUEST"), (151, "ERROR_REASON_IDENTITY_TAKEN")]);
    let second = system.accounts().import_accounts(items()).await.unwrap().into_inner();
    assert_eq!((second.created_count, second.unchanged_count, second.refused_count), (0, 150, 2));
    system.user_agent().log_in("user7@alpha.example").await;
}

async fn only_operators_provision_accounts(system: System) {
    for entity in [Entity::MigrationManagement, Entity::McService] {
        let mut client = AccountServiceClient::new(system.channel(entity));
        let refused = refusal(client.create_account(create(system.account("alice"))).await);
        assert_eq!(refused.code, Code::PermissionDenied, "{entity}");
        let list = client.list_accounts(proto::ListAccountsRequest::default()).await;
        assert_eq!(refusal(list).code, Code::PermissionDenied, "{entity}");
    }
}

async fn removed_user_comes_back_as_another(system: System) {
    let before = system.user("alice").await;
    let tokens = system.user_agent().log_in(&before.mc_id).await;
    let delete = proto::DeleteAccountRequest { mc_id: before.mc_id.clone(), ..Default::default() };
    system.accounts().delete_account(delete).await.unwrap();
    assert!(!system.introspect(tokens.access_token()).await.active);
    let after = system.user("alice").await;
    assert_ne!(after.subject, before.subject);
    assert!(!system.introspect(tokens.access_token()).await.active);
    assert_eq!(system.user_agent().refresh(tokens.refresh_token()).await.refusal().1, "invalid_grant");
}
