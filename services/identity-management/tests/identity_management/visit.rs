//! Two MC systems, and a user of one who may migrate to the other.

use std::time::Duration;

use identity_management::client::IdentityManagementClient;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mcx_proto::identity::v1 as proto;
use mcx_store::sealing::{KeyRing, SealedSecret};
use mcx_types::{Clock, Entity};
use p256::SecretKey;
use p256::pkcs8::EncodePrivateKey;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{Engine, SCOPES, System, UE, identities};
use crate::user_agent::Answer;

/// What a security token is refused with, whatever is wrong with it.
pub(crate) const ASSERTION_REFUSED: (u16, &str, &str) = (400, "invalid_grant", "the assertion is not valid");

/// Alice of `alpha.example`, who may migrate to `bravo.example`.
pub(crate) struct Visit {
    pub(crate) alpha: System,
    pub(crate) bravo: System,
    pub(crate) alice: proto::Account,
    pub(crate) migration_id: Uuid,
    pub(crate) visitor: proto::Visitor,
}

impl Visit {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::to(System::named("bravo.example", engine).await, engine).await
    }

    /// To this partner.
    pub(crate) async fn to(bravo: System, engine: Engine) -> Self {
        let alpha = System::named("alpha.example", engine).await;
        bravo.trust(&alpha).await;
        let alice = alpha.user("alice").await;
        let migration_id = Uuid::new_v4();
        let visitor = proto::Visitor {
            migration_id: migration_id.to_string(),
            primary_mc_system_id: "alpha.example".to_owned(),
            primary_issuer: alpha.replica.issuer.clone(),
            primary_subject: alice.subject.clone(),
            mc_service_identities: identities("visitor-17", "bravo.example"),
            scopes: SCOPES[..2].iter().map(|&scope| scope.to_owned()).collect(),
            valid_until: None,
        };
        let visit = Self { alpha, bravo, alice, migration_id, visitor };
        visit.at_bravo().put_visitors(vec![visit.visitor.clone()]).await.unwrap();
        visit.at_alpha().put_exchange_targets(vec![visit.target()]).await.unwrap();
        visit
    }

    pub(crate) fn at_alpha(&self) -> IdentityManagementClient {
        let channel = self.alpha.channel(Entity::MigrationManagement);
        IdentityManagementClient::new(channel, Duration::from_secs(10))
    }

    pub(crate) fn at_bravo(&self) -> IdentityManagementClient {
        let channel = self.bravo.channel(Entity::MigrationManagement);
        IdentityManagementClient::new(channel, Duration::from_secs(10))
    }

    pub(crate) fn resource(&self) -> String {
        format!("{}/token", self.bravo.replica.issuer)
    }

    pub(crate) fn target(&self) -> proto::ExchangeTarget {
        proto::ExchangeTarget {
            migration_id: self.migration_id.to_string(),
            subject: self.alice.subject.clone(),
            partner_mc_system_id: "bravo.example".to_owned(),
            resource: self.resource(),
            valid_until: None,
        }
    }

    /// Logs in at home and exchanges: a security token.
    pub(crate) async fn security_token(&self) -> String {
        let agent = self.alpha.user_agent();
        let tokens = agent.log_in(&self.alice.mc_id).await;
        let exchanged = agent.exchange(tokens.access_token(), &self.resource()).await;
        exchanged.access_token().to_owned()
    }

    /// Goes all the way.
    pub(crate) async fn arrive(&self) -> Answer {
        let answer = self.bravo.user_agent().bring(&self.security_token().await).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }

    /// The key with which alpha signs, as only alpha can know it.
    async fn signing_key(&self) -> (String, EncodingKey) {
        let keys = self.alpha.ground.database();
        let (kid, octets, key_id): (String, Vec<u8>, String) = keys
            .statement(
                "SELECT kid, sealed_key, key_encryption_key_id FROM signing_key WHERE state = 'ACTIVE'",
            )
            .fetch_one()
            .await
            .unwrap();
        let text = std::fs::read_to_string(self.alpha.ground.config().key_file).unwrap();
        let bound_to = [b"mcx.identity.v1 signing key\0", kid.as_bytes()].concat();
        let scalar =
            KeyRing::parse(&text).unwrap().open(&bound_to, &SealedSecret { key_id, octets }).unwrap();
        let key = SecretKey::from_slice(&scalar).unwrap().to_pkcs8_der().unwrap();
        (kid, EncodingKey::from_ec_der(key.as_bytes()))
    }

    /// A security token as alpha makes them, with changes of header and claims.
    pub(crate) async fn forged(&self, change: impl FnOnce(&mut Header, &mut Value)) -> String {
        let (kid, key) = self.signing_key().await;
        let now = self.bravo.ground.clock.now().as_micros() / 1_000_000;
        let mut header =
            Header { kid: Some(kid), typ: Some("JWT".to_owned()), ..Header::new(Algorithm::ES256) };
        let mut claims = json!({
            "iss": self.alpha.replica.issuer, "sub": self.alice.subject, "aud": [UE, self.resource()],
            "iat": now, "exp": now + 300, "jti": Uuid::new_v4().to_string(),
        });
        change(&mut header, &mut claims);
        if header.alg == Algorithm::HS256 {
            return encode(&header, &claims, &EncodingKey::from_secret(b"guessed")).unwrap();
        }
        encode(&header, &claims, &key).unwrap()
    }
}

/// As that of the fixture, with a [`Visit`].
macro_rules! on_every_database {
    ($($names:tt)*) => { mcx_testkit::on_every_database!(crate::visit::Visit::new; $($names)*); };
}
pub(crate) use on_every_database;
