//! What an identity management server says of itself, and what its ID tokens say of the user (OpenID Connect Discovery, Core 2).

use std::str::FromStr;

use http::StatusCode;
use mcx_types::{McService, McServiceId, Subject};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGenderClaim, CoreGrantType,
    CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, ClientId, IdToken, IdTokenVerifier, IssuerUrl, Nonce,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::https::HttpsClient;
use super::IdentityError;

type Metadata = openidconnect::ProviderMetadata<
    RevocationEndpoint,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type UserToken =
    IdToken<McServiceClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

/// RFC 8414 2.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RevocationEndpoint {
    revocation_endpoint: Option<Url>,
}

impl AdditionalProviderMetadata for RevocationEndpoint {}

/// TS 33.180 B.8.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct McServiceClaims {
    mcptt_id: Option<String>,
    mcvideo_id: Option<String>,
    mcdata_id: Option<String>,
}

impl AdditionalClaims for McServiceClaims {}

/// An identity management server, by its own account.
pub(super) struct Provider {
    metadata: Metadata,
    keys: CoreJsonWebKeySet,
}

/// Who an ID token is about.
pub(super) struct User {
    pub(super) subject: Subject,
    pub(super) identities: Vec<(McService, McServiceId)>,
}

impl Provider {
    pub(super) async fn discover(https: &HttpsClient, issuer: &str) -> Result<Self, IdentityError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        super::url(&url)?;
        let metadata: Metadata = get(https, "GET discovery", &url).await?;
        if metadata.issuer().as_str() != issuer {
            return Err(IdentityError::Malformed("the issuer calls itself otherwise"));
        }
        let keys = get(https, "GET keys", metadata.jwks_uri().as_str()).await?;
        Ok(Self { metadata, keys })
    }

    pub(super) fn authorization_endpoint(&self) -> &Url {
        self.metadata.authorization_endpoint().url()
    }

    pub(super) fn revocation_endpoint(&self) -> Option<&Url> {
        self.metadata.additional_metadata().revocation_endpoint.as_ref()
    }

    /// Verifies an ID token (OpenID Connect Core 3.1.3.7); the nonce where there was a request that had one.
    pub(super) fn user(
        &self,
        id_token: &SecretString,
        client_id: &str,
        nonce: Option<&Nonce>,
    ) -> Result<User, IdentityError> {
        let token = UserToken::from_str(id_token.expose_secret())
            .map_err(|_| IdentityError::Malformed("the id token is not a json web token"))?;
        let issuer: IssuerUrl = self.metadata.issuer().clone();
        let verifier = IdTokenVerifier::new_public_client(
            ClientId::new(client_id.to_owned()),
            issuer,
            self.keys.clone(),
        )
        .set_allowed_algs([CoreJwsSigningAlgorithm::EcdsaP256Sha256]);
        let expected = |found: Option<&Nonce>| match nonce {
            Some(nonce) if found.map(Nonce::secret) != Some(nonce.secret()) => {
                Err("the nonce is another".to_owned())
            }
            _ => Ok(()),
        };
        let claims = token
            .claims(&verifier, expected)
            .map_err(|error| IdentityError::IdTokenNotBelieved(error.to_string()))?;
        let subject =
            claims.subject().parse().map_err(|_| IdentityError::Malformed("the id token names no user"))?;
        let mut identities = Vec::new();
        let ids = claims.additional_claims();
        for (service, id) in [
            (McService::Ptt, &ids.mcptt_id),
            (McService::Video, &ids.mcvideo_id),
            (McService::Data, &ids.mcdata_id),
        ] {
            if let Some(id) = id {
                let id =
                    id.parse().map_err(|_| IdentityError::Malformed("the id token has no mc service id"))?;
                identities.push((service, id));
            }
        }
        Ok(User { subject, identities })
    }
}

async fn get<T: for<'de> Deserialize<'de>>(
    https: &HttpsClient,
    name: &'static str,
    url: &str,
) -> Result<T, IdentityError> {
    let answer = https.send(name, https.get(url)).await?;
    if answer.status != StatusCode::OK {
        return Err(super::refused(&answer));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|_| IdentityError::Malformed("discovery or keys cannot be read"))
}
