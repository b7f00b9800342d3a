//! Every rpc of the contract, called with grpcurl by those who may, and refused to those who may not.

use std::cell::RefCell;

use mcx_federation::policy::RULES;
use mcx_federation::{Caller, Listener};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::grpcurl::{Grpcurl, Refused};
use crate::program::run_well;
use crate::reflection::contract;
use crate::systems::{ALPHA, BRAVO, Systems};

/// A third MC system, which exists on paper only.
const CHARLIE: &str = "charlie.example";

/// 16 octets, and 14, in base64.
const OCTETS_16: &str = "AAECAwQFBgcICQoLDA0ODw==";
const OCTETS_14: &str = "AAECAwQFBgcICQoLDA0=";

/// Somebody at a listener, who notes what she has called.
struct NotingCaller<'a> {
    grpcurl: Grpcurl,
    called: &'a RefCell<Vec<String>>,
}

impl NotingCaller<'_> {
    fn ask(&self, method: &str, data: &Value) -> Value {
        self.note(method);
        self.grpcurl.ask(method, data)
    }

    fn call(&self, method: &str, data: &Value) -> Result<Value, Refused> {
        self.note(method);
        self.grpcurl.call(method, data)
    }

    fn note(&self, method: &str) {
        self.called.borrow_mut().push(method.to_owned());
    }
}

fn identities(user: &str, domain: &str) -> Value {
    json!({ "impi": format!("{user}@{domain}"), "impus": [format!("sip:{user}@{domain}")] })
}

/// A fresh `request_id`.
fn request_id() -> String {
    Uuid::new_v4().to_string()
}

#[test]
fn every_rpc_answers_a_caller_who_may_and_refuses_an_operator_who_may_not() {
    let systems = Systems::start();
    let called = RefCell::new(Vec::new());
    let caller = |grpcurl| NotingCaller { grpcurl, called: &called };
    let (alpha, bravo) =
        (caller(Grpcurl::operator(&systems, ALPHA)), caller(Grpcurl::operator(&systems, BRAVO)));

    subscribers(&alpha);
    agreements_and_permits(&systems, &alpha);
    bindings(&bravo);
    registrations(&systems, &bravo);
    let rotated = alpha.ask("mcx.sipdatabase.v1.KeyEncryptionKeyService/RotateKeyEncryptionKey", &json!({}));
    assert_eq!(rotated["activeKeyId"], "first");

    let inside = |system, entity| caller(Grpcurl::new(&systems, (system, "grpc"), (system, entity)));
    let outside = |entity| caller(Grpcurl::new(&systems, (ALPHA, "peer"), (BRAVO, entity)));
    vectors_of_the_own_system(&inside(ALPHA, "sip-core"), &alpha);
    vectors_of_visitors(&inside(BRAVO, "sip-core"), &bravo);
    vectors_for_partners(&outside("migration-management"), &outside("operator"));

    let audited = alpha.ask(
        "mcx.migration.v1.AuditService/ListAuditRecords",
        &json!({ "peerMcSystemId": BRAVO, "decision": "AUDIT_DECISION_RELEASED" }),
    );
    assert!(!audited["auditRecords"].as_array().unwrap().is_empty());

    let mut called = called.take();
    called.sort();
    called.dedup();
    let signalling_plane: Vec<String> =
        contract().into_iter().filter(|method| is_of_signalling_plane(method)).collect();
    assert_eq!(called, signalling_plane);
    systems.stop();
}

/// The rpcs of TS 23.280 10.1.6.2. Each of the others is tested with its service, over the same listeners.
fn is_of_signalling_plane(method: &str) -> bool {
    const PROVISIONING: [&str; 5] = [
        "UserMigrationService/",
        "AdmissionPolicyService/",
        "PartnerService/",
        "/OfferUserMigrations",
        "/ReportUserMigrations",
    ];
    let packages = ["mcx.sipdatabase.", "mcx.sipcore.", "mcx.migration."];
    packages.iter().any(|package| method.starts_with(package))
        && !PROVISIONING.iter().any(|part| method.contains(part))
}

#[test]
fn every_other_rpc_for_operators_answers_an_empty_request_or_says_why_not() {
    let systems = Systems::start();
    let operator = Grpcurl::operator(&systems, ALPHA);
    let for_operators = RULES
        .iter()
        .filter(|rule| rule.listener == Listener::Internal && rule.callers.contains(&Caller::OwnOperator));
    let mut asked = 0;
    for method in for_operators.map(|rule| rule.method.trim_start_matches('/').to_owned()) {
        // A watch that may begin goes on for as long as it is watched.
        if is_of_signalling_plane(&method) || method.contains("/Watch") {
            continue;
        }
        asked += 1;
        if let Err(refused) = operator.call(&method, &json!({})) {
            assert_ne!(refused.code, "Unimplemented", "{method}");
            assert_ne!(refused.code, "Internal", "{method}");
            assert!(!refused.reason.is_empty(), "{method} is refused without a reason: {refused:?}");
        }
    }
    assert!(asked > 50, "{asked} rpcs were called");
    systems.stop();
}

fn subscribers(operator: &NotingCaller<'_>) {
    let rpc = |name: &str| format!("mcx.sipdatabase.v1.SubscriberService/{name}");
    let keys = json!({ "k": OCTETS_16, "op": OCTETS_16 });
    let subscriber = |name| json!({ "identities": identities(name, ALPHA) });
    let create = json!({ "subscriber": subscriber("dora"), "keys": keys, "requestId": request_id() });
    let created = operator.ask(&rpc("CreateSubscriber"), &create);
    // The same request again gets the first answer; another one for the same user is refused.
    assert_eq!(operator.ask(&rpc("CreateSubscriber"), &create), created);
    let again = json!({ "subscriber": subscriber("dora"), "keys": keys });
    let refused = operator.call(&rpc("CreateSubscriber"), &again);
    assert_eq!(refused, Err(Refused::new("AlreadyExists", "IDENTITY_TAKEN")));

    let impi = json!({ "impi": "dora@alpha.example" });
    let mut read = operator.ask(&rpc("GetSubscriber"), &impi);
    assert_eq!(read["subscriber"], created["subscriber"]);
    assert!(!read.to_string().contains(OCTETS_16), "keys never come out");
    read["subscriber"]["barred"] = true.into();
    let updated = operator.ask(&rpc("UpdateSubscriber"), &read);
    assert_ne!(updated["subscriber"]["etag"], created["subscriber"]["etag"]);
    let stale = operator.call(&rpc("UpdateSubscriber"), &read);
    assert_eq!(stale, Err(Refused::new("Aborted", "ETAG_MISMATCH")));

    let item = json!({ "subscriber": subscriber("emil"), "keys": keys });
    let imported = operator.ask(&rpc("ImportSubscribers"), &item);
    assert_eq!(imported["createdCount"], "1");
    let listed = operator.ask(&rpc("ListSubscribers"), &json!({}));
    assert_eq!(listed["subscribers"].as_array().unwrap().len(), 5);

    operator.ask(&rpc("DeleteSubscriber"), &impi);
    let gone = operator.call(&rpc("GetSubscriber"), &impi);
    assert_eq!(gone, Err(Refused::new("NotFound", "SUBSCRIBER_UNKNOWN")));
    let wrong = operator.call(&rpc("GetSubscriber"), &json!({ "impi": "nobody" }));
    assert_eq!(wrong, Err(Refused::new("InvalidArgument", "INVALID_REQUEST")));
}

fn agreements_and_permits(systems: &Systems, operator: &NotingCaller<'_>) {
    let rpc = |name: &str| format!("mcx.migration.v1.AgreementService/{name}");
    let folder = systems.folder.path().join(CHARLIE);
    run_well(["certs", "--mc-system", CHARLIE, "--directory", folder.to_str().unwrap()]);
    let trust_bundle = std::fs::read_to_string(folder.join("trust-bundle.pem")).unwrap();
    let agreement = json!({
        "partnerMcSystemId": CHARLIE, "peerEndpoints": ["charlie.example:7443"], "trustBundlePem": trust_bundle,
    });
    operator.ask(&rpc("CreateAgreement"), &json!({ "agreement": agreement, "requestId": request_id() }));
    let charlie = json!({ "partnerMcSystemId": CHARLIE });
    let mut read = operator.ask(&rpc("GetAgreement"), &charlie);
    read["agreement"]["state"] = "AGREEMENT_STATE_SUSPENDED".into();
    let updated = operator.ask(&rpc("UpdateAgreement"), &read);
    assert_eq!(updated["agreement"]["state"], "AGREEMENT_STATE_SUSPENDED");
    let listed = operator.ask(&rpc("ListAgreements"), &json!({}));
    assert_eq!(listed["agreements"].as_array().unwrap().len(), 2);

    permits(operator, || {
        let in_use = operator.call(&rpc("DeleteAgreement"), &charlie);
        assert_eq!(in_use, Err(Refused::new("FailedPrecondition", "AGREEMENT_IN_USE")));
    });

    operator.ask(&rpc("DeleteAgreement"), &charlie);
    let gone = operator.call(&rpc("GetAgreement"), &charlie);
    assert_eq!(gone, Err(Refused::new("NotFound", "AGREEMENT_UNKNOWN")));
    let imported = operator.ask(&rpc("ImportAgreements"), &json!({ "agreement": agreement }));
    assert_eq!(imported["createdCount"], "1");
}

fn permits(operator: &NotingCaller<'_>, while_there_are_some: impl Fn()) {
    let rpc = |name: &str| format!("mcx.migration.v1.PermitService/{name}");
    let permit = |name: &str| {
        json!({
            "primaryImpi": format!("{name}@{ALPHA}"),
            "partnerMcSystemId": CHARLIE,
            "partnerIdentities": identities(name, "visitors.charlie.example"),
        })
    };
    let created =
        operator.ask(&rpc("CreatePermit"), &json!({ "permit": permit("alice"), "requestId": request_id() }));
    while_there_are_some();
    let id = json!({ "permitId": created["permit"]["permitId"] });
    let mut read = operator.ask(&rpc("GetPermit"), &id);
    read["permit"]["state"] = "PERMIT_STATE_SUSPENDED".into();
    let updated = operator.ask(&rpc("UpdatePermit"), &read);
    assert_eq!(updated["permit"]["state"], "PERMIT_STATE_SUSPENDED");
    let imported = operator.ask(&rpc("ImportPermits"), &json!({ "permit": permit("bob") }));
    assert_eq!(imported["createdCount"], "1");

    let of_charlie = json!({ "partnerMcSystemId": CHARLIE });
    let listed = operator.ask(&rpc("ListPermits"), &of_charlie);
    let permits = listed["permits"].as_array().unwrap();
    assert_eq!(permits.len(), 2);
    for permit in permits {
        operator.ask(&rpc("DeletePermit"), &json!({ "permitId": permit["permitId"] }));
    }
    let gone = operator.call(&rpc("GetPermit"), &id);
    assert_eq!(gone, Err(Refused::new("NotFound", "PERMIT_UNKNOWN")));
}

fn bindings(operator: &NotingCaller<'_>) {
    let rpc = |name: &str| format!("mcx.migration.v1.BindingService/{name}");
    let binding = |name: &str| {
        json!({
            "partnerIdentities": identities(name, "visitors.bravo.example"),
            "primaryIdentities": identities(name, ALPHA),
            "primaryMcSystemId": ALPHA,
        })
    };
    let created = operator
        .ask(&rpc("CreateBinding"), &json!({ "binding": binding("emil"), "requestId": request_id() }));
    let id = json!({ "bindingId": created["binding"]["bindingId"] });
    let by_identity = json!({ "partnerImpi": "emil@visitors.bravo.example" });
    let mut read = operator.ask(&rpc("GetBinding"), &by_identity);
    assert_eq!(read["binding"], created["binding"]);
    read["binding"]["state"] = "BINDING_STATE_SUSPENDED".into();
    let updated = operator.ask(&rpc("UpdateBinding"), &read);
    assert_eq!(updated["binding"]["state"], "BINDING_STATE_SUSPENDED");
    let imported = operator.ask(&rpc("ImportBindings"), &json!({ "binding": binding("frida") }));
    assert_eq!(imported["createdCount"], "1");
    let listed = operator.ask(&rpc("ListBindings"), &json!({ "primaryMcSystemId": ALPHA, "pageSize": 2 }));
    assert_eq!(listed["bindings"].as_array().unwrap().len(), 2);
    assert_ne!(listed["nextPageToken"], Value::Null);

    operator.ask(&rpc("DeleteBinding"), &id);
    let gone = operator.call(&rpc("GetBinding"), &id);
    assert_eq!(gone, Err(Refused::new("NotFound", "BINDING_UNKNOWN")));
}

fn registrations(systems: &Systems, operator: &NotingCaller<'_>) {
    let rpc = |name: &str| format!("mcx.sipcore.v1.RegistrationService/{name}");
    systems.ue("register", &["--user", "alice"]);
    let impu = json!({ "impu": systems.subscriber("alice")["partner"]["impus"][0] });
    let read = operator.ask(&rpc("GetRegistration"), &impu);
    assert_eq!(read["registration"]["visitor"], true);
    let listed = operator.ask(&rpc("ListRegistrations"), &json!({}));
    assert_eq!(listed["registrations"], json!([read["registration"]]));

    operator.note(&rpc("WatchRegistrations"));
    let current = operator.grpcurl.first_of(&rpc("WatchRegistrations"), &json!({ "includeCurrent": true }));
    assert_eq!(current["change"], "REGISTRATION_CHANGE_CURRENT");
    assert_eq!(current["registration"], read["registration"]);

    assert_eq!(operator.ask(&rpc("Deregister"), &impu)["removedCount"], 1);
    let gone = operator.call(&rpc("GetRegistration"), &impu);
    assert_eq!(gone, Err(Refused::new("NotFound", "NOT_REGISTERED")));
}

/// Nothing but AKA's random parts changes from call to call.
fn assert_one_vector(answer: &Value) {
    let vectors = answer["authenticationInformation"]["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 1, "{answer}");
    for part in ["rand", "autn", "xres", "ck", "ik"] {
        assert!(vectors[0][part].is_string(), "{part}");
    }
}

fn not_for_you() -> Result<Value, Refused> {
    Err(Refused::new("PermissionDenied", "METHOD_NOT_ALLOWED"))
}

/// A token that no ISIM made for a challenge that nobody issued.
fn synchronisation_failure() -> Value {
    json!({ "rand": OCTETS_16, "auts": OCTETS_14 })
}

fn vectors_of_the_own_system(sip_core: &NotingCaller<'_>, operator: &NotingCaller<'_>) {
    let rpc = |name: &str| format!("mcx.sipdatabase.v1.SipAuthenticationService/{name}");
    let get = json!({ "identities": identities("alice", ALPHA) });
    assert_one_vector(&sip_core.ask(&rpc("GetSipAuthenticationInformation"), &get));
    let resynchronise = json!({
        "identities": identities("alice", ALPHA), "synchronisationFailure": synchronisation_failure(),
    });
    let refused = sip_core.call(&rpc("Resynchronise"), &resynchronise);
    assert_eq!(refused, Err(Refused::new("FailedPrecondition", "CHALLENGE_UNKNOWN")));

    assert_eq!(operator.call(&rpc("GetSipAuthenticationInformation"), &get), not_for_you());
    assert_eq!(operator.call(&rpc("Resynchronise"), &resynchronise), not_for_you());
}

fn vectors_of_visitors(sip_core: &NotingCaller<'_>, operator: &NotingCaller<'_>) {
    let rpc = |name: &str| format!("mcx.migration.v1.SipAuthenticationService/{name}");
    let visitor = identities("bob.alpha", "visitors.bravo.example");
    let get = json!({ "partnerIdentities": visitor });
    assert_one_vector(&sip_core.ask(&rpc("GetSipAuthenticationInformation"), &get));
    let resynchronise =
        json!({ "partnerIdentities": visitor, "synchronisationFailure": synchronisation_failure() });
    let refused = sip_core.call(&rpc("Resynchronise"), &resynchronise);
    assert_eq!(refused, Err(Refused::new("FailedPrecondition", "RESYNCHRONISATION_REFUSED")));

    assert_eq!(operator.call(&rpc("GetSipAuthenticationInformation"), &get), not_for_you());
    assert_eq!(operator.call(&rpc("Resynchronise"), &resynchronise), not_for_you());
}

fn vectors_for_partners(partner: &NotingCaller<'_>, operator_of_partner: &NotingCaller<'_>) {
    let rpc = |name: &str| format!("mcx.migration.v1.FederationService/{name}");
    let mut get = json!({
        "transactionId": request_id(),
        "primaryIdentities": identities("bob", ALPHA),
        "partnerImpi": "bob.alpha@visitors.bravo.example",
    });
    let answer = partner.ask(&rpc("GetSipAuthenticationInformation"), &get);
    assert_one_vector(&answer);
    assert_eq!(answer["transactionId"], get["transactionId"]);
    get["vectorCount"] = 2.into();
    let refused = partner.call(&rpc("GetSipAuthenticationInformation"), &get);
    assert_eq!(refused, Err(Refused::new("InvalidArgument", "VECTOR_COUNT_EXCEEDED")));

    let resynchronise = json!({
        "transactionId": request_id(),
        "primaryIdentities": identities("bob", ALPHA),
        "partnerImpi": "bob.alpha@visitors.bravo.example",
        "synchronisationFailure": synchronisation_failure(),
    });
    let refused = partner.call(&rpc("Resynchronise"), &resynchronise);
    assert_eq!(refused, Err(Refused::new("FailedPrecondition", "RESYNCHRONISATION_REFUSED")));

    assert_eq!(operator_of_partner.call(&rpc("GetSipAuthenticationInformation"), &get), not_for_you());
    assert_eq!(operator_of_partner.call(&rpc("Resynchronise"), &resynchronise), not_for_you());
}
