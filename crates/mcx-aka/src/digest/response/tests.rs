//! The published examples of digest without AKA, which fix the hashing itself.

use super::*;

/// RFC 7616 clause 3.9.1.
const HTTP_AUTH_EXAMPLE: DigestInput<'_> = DigestInput {
    username: "Mufasa",
    realm: "http-auth@example.org",
    method: "GET",
    uri: "/dir/index.html",
    nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    qop: Some(QopParameters {
        quality: QualityOfProtection::Authentication,
        nonce_count: "00000001",
        cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    }),
};

#[test]
fn example_of_rfc_2617_gives_its_published_response() {
    let input = DigestInput {
        username: "Mufasa",
        realm: "testrealm@host.com",
        method: "GET",
        uri: "/dir/index.html",
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        qop: Some(QopParameters {
            quality: QualityOfProtection::Authentication,
            nonce_count: "00000001",
            cnonce: "0a4f113b",
        }),
    };
    let key = DigestKey::from_password("Circle Of Life");
    let computed = response(&input, DigestAlgorithm::AkaV1Md5, &key);
    assert_eq!(computed.as_deref(), Ok("6629fae49393a05397450978507c4ef1"));
}

#[test]
fn md5_example_of_rfc_7616_gives_its_published_response() {
    let key = DigestKey::from_password("Circle of Life");
    let computed = response(&HTTP_AUTH_EXAMPLE, DigestAlgorithm::AkaV2Md5, &key);
    assert_eq!(computed.as_deref(), Ok("8ca523f5e9506fed4657c9700eebdbec"));
}

#[test]
fn sha_256_example_of_rfc_7616_gives_its_published_response() {
    let key = DigestKey::from_password("Circle of Life");
    let computed = response(&HTTP_AUTH_EXAMPLE, DigestAlgorithm::AkaV2Sha256, &key);
    assert_eq!(computed.as_deref(), Ok("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"));
}
