//! OAuth clients as operators provision them.

use mcx_proto::identity::v1 as proto;
use tonic::Code;

use crate::fixture::{System, UE, client, create_client, fields, on_every_database, reason, refusal};

on_every_database!(
    client_is_read_back_changed_and_removed,
    malformed_client_is_refused_with_every_field_at_once,
    secret_belongs_to_clients_that_show_it,
    tokens_of_a_removed_client_cannot_be_refreshed,
);

fn update(client: proto::Client) -> proto::UpdateClientRequest {
    proto::UpdateClientRequest { client: Some(client), ..Default::default() }
}

fn secret() -> Option<proto::ClientSecret> {
    Some(proto::ClientSecret { value: "0123456789abcdef0123456789abcdef".to_owned() })
}

async fn client_is_read_back_changed_and_removed(system: System) {
    let mut clients = system.clients();
    let made =
        clients.create_client(create_client(client("app"))).await.unwrap().into_inner().client.unwrap();
    let get = proto::GetClientRequest { client_id: "app".to_owned() };
    let read = clients.get_client(get.clone()).await.unwrap().into_inner().client;
    assert_eq!(read.as_ref(), Some(&made));
    let taken = refusal(clients.create_client(create_client(client("app"))).await);
    assert_eq!((taken.code, taken.metadata["constraint"].as_str()), (Code::AlreadyExists, "client_pkey"));

    let named = proto::Client { display_name: "App".to_owned(), ..made.clone() };
    let changed = clients.update_client(update(named)).await.unwrap().into_inner().client.unwrap();
    assert_eq!((changed.etag.as_str(), changed.display_name.as_str()), ("2", "App"));
    assert_eq!(reason(clients.update_client(update(made)).await), "ETAG_MISMATCH");
    let all = clients.list_clients(proto::ListClientsRequest::default()).await.unwrap().into_inner().clients;
    assert_eq!(all.iter().map(|client| client.client_id.as_str()).collect::<Vec<_>>(), ["app", UE]);

    let delete = |etag: &str| proto::DeleteClientRequest {
        client_id: "app".to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    assert_eq!(reason(clients.delete_client(delete("1")).await), "ETAG_MISMATCH");
    clients.delete_client(delete("2")).await.unwrap();
    assert_eq!(reason(clients.get_client(get).await), "CLIENT_UNKNOWN");
    assert_eq!(reason(clients.delete_client(delete("")).await), "CLIENT_UNKNOWN");
    assert_eq!(reason(clients.update_client(update(changed)).await), "CLIENT_UNKNOWN");
}

async fn malformed_client_is_refused_with_every_field_at_once(system: System) {
    let broken = proto::Client {
        client_id: "a b".to_owned(),
        redirect_uris: vec!["https://good.example/".to_owned(), "http://evil.example/".to_owned()],
        scopes: vec![],
        ..Default::default()
    };
    assert_eq!(
        fields(system.clients().create_client(create_client(broken)).await),
        ["client.client_id", "client.authentication", "client.redirect_uris[1]", "client.scopes"]
    );
}

async fn secret_belongs_to_clients_that_show_it(system: System) {
    let mut clients = system.clients();
    let public = proto::CreateClientRequest { secret: secret(), ..create_client(client("app")) };
    assert_eq!(fields(clients.create_client(public).await), ["secret"]);
    let confidential =
        proto::Client { authentication: proto::ClientAuthentication::SecretBasic.into(), ..client("app") };
    assert_eq!(fields(clients.create_client(create_client(confidential.clone())).await), ["secret"]);
    let short = proto::ClientSecret { value: "short".to_owned() };
    let request = proto::CreateClientRequest { secret: Some(short), ..create_client(confidential.clone()) };
    assert_eq!(fields(clients.create_client(request).await), ["secret.value"]);

    // A public client that becomes a confidential one needs its first secret; later ones are optional.
    let made =
        clients.create_client(create_client(client("app"))).await.unwrap().into_inner().client.unwrap();
    let confidential = proto::Client { etag: made.etag, ..confidential };
    assert_eq!(fields(clients.update_client(update(confidential.clone())).await), ["secret"]);
    let request = proto::UpdateClientRequest { secret: secret(), ..update(confidential) };
    let made = clients.update_client(request).await.unwrap().into_inner().client.unwrap();
    clients.update_client(update(made)).await.unwrap();
}

async fn tokens_of_a_removed_client_cannot_be_refreshed(system: System) {
    let alice = system.user("alice").await;
    let tokens = system.user_agent().log_in(&alice.mc_id).await;
    let delete = proto::DeleteClientRequest { client_id: UE.to_owned(), ..Default::default() };
    system.clients().delete_client(delete).await.unwrap();
    assert_eq!(system.user_agent().refresh(tokens.refresh_token()).await.refusal().1, "invalid_client");
    system.clients().create_client(create_client(client(UE))).await.unwrap();
    assert_eq!(system.user_agent().refresh(tokens.refresh_token()).await.refusal().1, "invalid_grant");
}
