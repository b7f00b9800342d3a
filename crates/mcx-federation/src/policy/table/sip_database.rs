//! `mcx.sipdatabase.v1`.

use mcx_types::Entity::{MigrationManagement, SipCore};

use super::internal;
use crate::policy::Caller::{OwnEntity, OwnOperator};
use crate::policy::MethodRule;

pub(super) const RULES: &[MethodRule] = &[
    // Steps 5 and 6, and the authentication of own users.
    internal(
        "/mcx.sipdatabase.v1.SipAuthenticationService/GetSipAuthenticationInformation",
        &[OwnEntity(SipCore), OwnEntity(MigrationManagement)],
    ),
    internal(
        "/mcx.sipdatabase.v1.SipAuthenticationService/Resynchronise",
        &[OwnEntity(SipCore), OwnEntity(MigrationManagement)],
    ),
    internal("/mcx.sipdatabase.v1.SubscriberService/CreateSubscriber", &[OwnOperator]),
    internal("/mcx.sipdatabase.v1.SubscriberService/GetSubscriber", &[OwnOperator]),
    internal("/mcx.sipdatabase.v1.SubscriberService/ListSubscribers", &[OwnOperator]),
    internal("/mcx.sipdatabase.v1.SubscriberService/UpdateSubscriber", &[OwnOperator]),
    internal("/mcx.sipdatabase.v1.SubscriberService/DeleteSubscriber", &[OwnOperator]),
    internal("/mcx.sipdatabase.v1.SubscriberService/ImportSubscribers", &[OwnOperator]),
    internal("/mcx.sipdatabase.v1.KeyEncryptionKeyService/RotateKeyEncryptionKey", &[OwnOperator]),
];
