//! `Debug` for the messages that hold secrets, so that none can reach a log by way of `{:?}`.

use std::fmt;

use crate::configuration::v1::{BootstrapServiceGetInitialUeConfigurationRequest, CreateUeEnrolmentResponse};
use crate::identity::v1::{ClientSecret, Password, Token};
use crate::sipdatabase::v1::{SubscriberKeys, subscriber_keys::OperatorVariant};
use crate::types::v1::AuthenticationVector;

impl fmt::Debug for AuthenticationVector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AuthenticationVector([redacted])")
    }
}

impl fmt::Debug for SubscriberKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SubscriberKeys([redacted])")
    }
}

impl fmt::Debug for OperatorVariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OperatorVariant([redacted])")
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password([redacted])")
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientSecret([redacted])")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token([redacted])")
    }
}

impl fmt::Debug for CreateUeEnrolmentResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CreateUeEnrolmentResponse([redacted])")
    }
}

impl fmt::Debug for BootstrapServiceGetInitialUeConfigurationRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BootstrapServiceGetInitialUeConfigurationRequest([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sipdatabase::v1::CreateSubscriberRequest;

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let secret = vec![0xa5; 16];
        let vector = AuthenticationVector {
            rand: secret.clone(),
            autn: secret.clone(),
            xres: secret.clone(),
            ck: secret.clone(),
            ik: secret.clone(),
        };
        let request = CreateSubscriberRequest {
            keys: Some(SubscriberKeys {
                k: secret.clone(),
                operator_variant: Some(OperatorVariant::Opc(secret)),
            }),
            ..Default::default()
        };
        let printed =
            format!("{vector:?} {request:?} {:?}", request.keys.as_ref().map(|keys| &keys.operator_variant));
        assert!(!printed.contains("165"), "{printed}");
        assert!(!printed.contains("a5"), "{printed}");
    }

    #[test]
    fn what_proves_who_somebody_is_does_not_show_either() {
        let value = "open-sesame".to_owned();
        let (password, secret, token) =
            (Password { value: value.clone() }, ClientSecret { value: value.clone() }, Token { value });
        let printed = format!("{password:?} {secret:?} {token:?}");
        assert!(!printed.contains("sesame"), "{printed}");
    }
}
