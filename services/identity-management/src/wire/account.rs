//! Accounts on the wire.

use mcx_proto::identity::v1 as proto;
use mcx_types::wire::mc_service_identities_to_wire;
use mcx_types::{McId, Violations};
use secrecy::SecretString;

use crate::app::accounts::Shown;
use crate::domain::account::{AccountState, AccountTerms};
use crate::domain::password::password_fault;

/// Decodes what an account says.
pub(crate) fn decode(violations: &mut Violations, account: Option<&proto::Account>) -> Option<AccountTerms> {
    let account = violations.require("account", account)?;
    let mc_id = violations.parse("account.mc_id", &account.mc_id);
    let identities =
        violations.mc_service_identities("account.mc_service_identities", &account.mc_service_identities);
    let scopes = super::scopes(violations, "account.scopes", &account.scopes);
    let display_name = super::display_name(violations, "account.display_name", &account.display_name);
    let state = match proto::AccountState::try_from(account.state) {
        Ok(proto::AccountState::Unspecified | proto::AccountState::Enabled) => Some(AccountState::Enabled),
        Ok(proto::AccountState::Disabled) => Some(AccountState::Disabled),
        Err(_) => {
            violations.add("account.state", "must be a known state");
            None
        }
    };
    Some(AccountTerms {
        mc_id: mc_id?,
        display_name: display_name?,
        service_identities: identities?,
        scopes: scopes?,
        state: state?,
    })
}

/// Decodes an optional password of that user: absent is `Some(None)`.
pub(crate) fn optional_password(
    violations: &mut Violations,
    password: Option<proto::Password>,
    mc_id: &str,
) -> Option<Option<SecretString>> {
    let Some(password) = password else { return Some(None) };
    let fault = mc_id.parse::<McId>().ok().and_then(|mc_id| password_fault(&password.value, &mc_id));
    let value = SecretString::from(password.value);
    if let Some(fault) = fault {
        violations.add("password.value", fault);
        return None;
    }
    Some(Some(value))
}

/// Decodes a required password of that user.
pub(crate) fn password(
    violations: &mut Violations,
    password: Option<proto::Password>,
    mc_id: &str,
) -> Option<SecretString> {
    let password = violations.require("password", password)?;
    optional_password(violations, Some(password), mc_id)?
}

pub(crate) fn encode((stored, locked_until): &Shown) -> proto::Account {
    let terms = &stored.value.terms;
    proto::Account {
        mc_id: terms.mc_id.to_string(),
        subject: stored.value.subject.to_string(),
        mc_service_identities: mc_service_identities_to_wire(&terms.service_identities),
        scopes: terms.scopes.names(),
        display_name: terms.display_name.clone(),
        state: match terms.state {
            AccountState::Enabled => proto::AccountState::Enabled,
            AccountState::Disabled => proto::AccountState::Disabled,
        }
        .into(),
        etag: stored.etag(),
        create_time: super::time(stored.created_at),
        update_time: super::time(stored.updated_at),
        locked_until: locked_until.map(Into::into),
        has_password: stored.value.has_password,
    }
}
