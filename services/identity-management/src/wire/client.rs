//! OAuth clients on the wire.

use mcx_proto::identity::v1 as proto;
use mcx_types::Violations;
use secrecy::SecretString;

use crate::domain::client::{Client, ClientAuthentication, is_client_id, redirect_uri_fault};
use crate::store::Stored;

/// The most redirect URIs of a client.
const REDIRECT_URI_LIMIT: usize = 16;

/// Decodes a client.
pub(crate) fn decode(violations: &mut Violations, client: Option<&proto::Client>) -> Option<Client> {
    let client = violations.require("client", client)?;
    let before = violations.as_slice().len();
    if !is_client_id(&client.client_id) {
        violations.add("client.client_id", "must be 1 to 128 letters, digits, '-', '_' or '.'");
    }
    let authentication = match proto::ClientAuthentication::try_from(client.authentication) {
        Ok(proto::ClientAuthentication::None) => Some(ClientAuthentication::None),
        Ok(proto::ClientAuthentication::SecretBasic) => Some(ClientAuthentication::SecretBasic),
        Ok(proto::ClientAuthentication::Unspecified) | Err(_) => {
            violations.add("client.authentication", "must be a known authentication");
            None
        }
    };
    if client.redirect_uris.is_empty() || client.redirect_uris.len() > REDIRECT_URI_LIMIT {
        violations.add("client.redirect_uris", format_args!("must hold 1 to {REDIRECT_URI_LIMIT} URIs"));
    }
    for (index, uri) in client.redirect_uris.iter().enumerate() {
        if let Some(fault) = redirect_uri_fault(uri) {
            violations.add(format!("client.redirect_uris[{index}]"), fault);
        }
    }
    let scopes = super::scopes(violations, "client.scopes", &client.scopes);
    let display_name = super::display_name(violations, "client.display_name", &client.display_name);
    let decoded = Client {
        client_id: client.client_id.clone(),
        authentication: authentication?,
        redirect_uris: client.redirect_uris.clone(),
        scopes: scopes?,
        display_name: display_name?,
    };
    (violations.as_slice().len() == before).then_some(decoded)
}

/// Decodes the secret of a client: absent is `Some(None)`.
pub(crate) fn secret(
    violations: &mut Violations,
    secret: Option<proto::ClientSecret>,
    authentication: i32,
) -> Option<Option<SecretString>> {
    let Some(secret) = secret else { return Some(None) };
    let is_good =
        (32..=256).contains(&secret.value.len()) && secret.value.bytes().all(|byte| byte.is_ascii_graphic());
    let value = SecretString::from(secret.value);
    if authentication == i32::from(proto::ClientAuthentication::None) {
        violations.add("secret", "must be absent where the client does not authenticate");
        return None;
    }
    if !is_good {
        violations.add("secret.value", "must be 32 to 256 printable ASCII characters");
        return None;
    }
    Some(Some(value))
}

pub(crate) fn encode(stored: &Stored<Client>) -> proto::Client {
    let client = &stored.value;
    proto::Client {
        client_id: client.client_id.clone(),
        authentication: match client.authentication {
            ClientAuthentication::None => proto::ClientAuthentication::None,
            ClientAuthentication::SecretBasic => proto::ClientAuthentication::SecretBasic,
        }
        .into(),
        redirect_uris: client.redirect_uris.clone(),
        scopes: client.scopes.names(),
        display_name: client.display_name.clone(),
        etag: stored.etag(),
        create_time: super::time(stored.created_at),
        update_time: super::time(stored.updated_at),
    }
}
