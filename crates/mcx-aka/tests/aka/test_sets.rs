//! TS 35.208 clause 4, test sets 1 to 6, and what follows from them.
//!
//! Key to AMF and f1 to f5\* are the published values. AUTN to the responses were computed from them by another
//! implementation, for SQN_MS equal to the set's SQN, AMF\* = 0000, and the REGISTER of [`register`]. Note that the
//! published f1\* is under the set's AMF, so it is not the MAC-S of the AUTS.

use mcx_aka::digest::{DigestInput, QopParameters, QualityOfProtection};
use mcx_aka::isim::Isim;
use mcx_aka::{Amf, Autn, Auts, Milenage, Opc, OperatorKey, Rand, Sqn, SubscriberKey};

/// One test set; hexadecimal digits unless told otherwise.
pub(crate) struct TestSet {
    /// K.
    pub(crate) key: &'static str,
    /// RAND.
    pub(crate) rand: &'static str,
    /// SQN.
    pub(crate) sqn: &'static str,
    /// AMF.
    pub(crate) amf: &'static str,
    /// OP.
    pub(crate) op: &'static str,
    /// OPc.
    pub(crate) opc: &'static str,
    /// MAC-A.
    pub(crate) f1: &'static str,
    /// MAC-S under the set's AMF.
    pub(crate) f1_star: &'static str,
    /// RES.
    pub(crate) f2: &'static str,
    /// AK.
    pub(crate) f5: &'static str,
    /// CK.
    pub(crate) f3: &'static str,
    /// IK.
    pub(crate) f4: &'static str,
    /// AK\*.
    pub(crate) f5_star: &'static str,
    /// AUTN.
    pub(crate) autn: &'static str,
    /// AUTS.
    pub(crate) auts: &'static str,
    /// base64(RAND ‖ AUTN), no server data.
    pub(crate) nonce: &'static str,
    /// AKAv1-MD5 with qop=auth.
    pub(crate) aka_v1_response: &'static str,
    /// AKAv1-MD5 without qop.
    pub(crate) aka_v1_response_without_qop: &'static str,
    /// AKAv2-MD5 password (base64).
    pub(crate) aka_v2_password: &'static str,
    /// AKAv2-MD5 with qop=auth.
    pub(crate) aka_v2_response: &'static str,
    /// Empty password, as it accompanies `auts`, MD5, qop=auth.
    pub(crate) response_with_auts: &'static str,
    /// AKAv2-SHA-256 password (base64).
    pub(crate) aka_v2_sha256_password: &'static str,
    /// AKAv2-SHA-256 with qop=auth.
    pub(crate) aka_v2_sha256_response: &'static str,
}

/// The six sets.
pub(crate) const TEST_SETS: [TestSet; 6] = [
    TestSet {
        key: "465b5ce8b199b49faa5f0a2ee238a6bc",
        rand: "23553cbe9637a89d218ae64dae47bf35",
        sqn: "ff9bb4d0b607",
        amf: "b9b9",
        op: "cdc202d5123e20f62b6d676ac72cb318",
        opc: "cd63cb71954a9f4e48a5994e37a02baf",
        f1: "4a9ffac354dfafb3",
        f1_star: "01cfaf9ec4e871e9",
        f2: "a54211d5e3ba50bf",
        f5: "aa689c648370",
        f3: "b40ba9a3c58b2a05bbf0d987b21bf8cb",
        f4: "f769bcd751044604127672711c6d3441",
        f5_star: "451e8beca43b",
        autn: "55f328b43577b9b94a9ffac354dfafb3",
        auts: "ba853f3c123ccf44e93596e355c6",
        nonce: "I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=",
        aka_v1_response: "bb0edc6d685507946a46a7308002bfc6",
        aka_v1_response_without_qop: "47da78d34de11f7794bb495b1b66b486",
        aka_v2_password: "shzt3q8CWaZnCAWqs3WmEQ==",
        aka_v2_response: "645242e981ba594320ba17cfae426130",
        response_with_auts: "1a84622150e079999796c5d0593a8fa9",
        aka_v2_sha256_password: "wpC+5dv/7kC35JEI2hluv8XcBd+vf8XcfedJBan1buk=",
        aka_v2_sha256_response: "bcd3207265ad85f392dd352a134288142ab91f9b05e329d66b231a228820bce3",
    },
    TestSet {
        key: "0396eb317b6d1c36f19c1c84cd6ffd16",
        rand: "c00d603103dcee52c4478119494202e8",
        sqn: "fd8eef40df7d",
        amf: "af17",
        op: "ff53bade17df5d4e793073ce9d7579fa",
        opc: "53c15671c60a4b731c55b4a441c0bde2",
        f1: "5df5b31807e258b0",
        f1_star: "a8c016e51ef4a343",
        f2: "d3a628ed988620f0",
        f5: "c47783995f72",
        f3: "58c433ff7a7082acd424220f2b67c556",
        f4: "21a8c1f929702adb3e738488b9f5c5da",
        f5_star: "30f1197061c1",
        autn: "39f96cd9800faf175df5b31807e258b0",
        auts: "cd7ff630bebc1fb5eba74924b0e0",
        nonce: "wA1gMQPc7lLER4EZSUIC6Dn5bNmAD68XXfWzGAfiWLA=",
        aka_v1_response: "d2dbbc135d96f6a578befe560a5d897e",
        aka_v1_response_without_qop: "24c67b12ee5112b9abb11c9785510462",
        aka_v2_password: "SPm4KbygyM5ajfwCry1oYA==",
        aka_v2_response: "bfa8b15b4a26ca47d602788236dd13ca",
        response_with_auts: "64d6a7b3b39285375d38ee52c5c3a0e0",
        aka_v2_sha256_password: "glupm0GfvJkAmj5nc1Vi0Zi5iQkdxAaMrsEE0oniIF8=",
        aka_v2_sha256_response: "283c9f3170bed0fb7092cc9d285cfae989a2df1fb2a3088a964f379a4673a08a",
    },
    TestSet {
        key: "fec86ba6eb707ed08905757b1bb44b8f",
        rand: "9f7c8d021accf4db213ccff0c7f71a6a",
        sqn: "9d0277595ffc",
        amf: "725c",
        op: "dbc59adcb6f9a0ef735477b7fadf8374",
        opc: "1006020f0a478bf6b699f15c062e42b3",
        f1: "9cabc3e99baf7281",
        f1_star: "95814ba2b3044324",
        f2: "8011c48c0c214ed2",
        f5: "33484dc2136b",
        f3: "5dbdbb2954e8f3cde665b046179a5098",
        f4: "59a92d3b476a0443487055cf88b2307b",
        f5_star: "deacdd848cc6",
        autn: "ae4a3a9b4c97725c9cabc3e99baf7281",
        auts: "43aeaaddd33a9f8be774d095d08b",
        nonce: "n3yNAhrM9NshPM/wx/caaq5KOptMl3JcnKvD6ZuvcoE=",
        aka_v1_response: "962256d7ae0133577d1ade4e5c6af138",
        aka_v1_response_without_qop: "d40ba6dd7c3c524927dd53e280db5f66",
        aka_v2_password: "K6RHmgDiXiFLM6eBNGa60w==",
        aka_v2_response: "807b0ae76deff67db7087ce384d5dab2",
        response_with_auts: "4bb07a48794924ad1278d0ce2a717c7a",
        aka_v2_sha256_password: "Cfp27lgJNdkqal7T/zQvhwnu3xPNSGtxjHCEZ8Abebo=",
        aka_v2_sha256_response: "b39f11cc20cadbded5707c15798be910ac7a90fdfa6e5ed65f0af06033456522",
    },
    TestSet {
        key: "9e5944aea94b81165c82fbf9f32db751",
        rand: "ce83dbc54ac0274a157c17f80d017bd6",
        sqn: "0b604a81eca8",
        amf: "9e09",
        op: "223014c5806694c007ca1eeef57f004f",
        opc: "a64a507ae1a2a98bb88eb4210135dc87",
        f1: "74a58220cba84c49",
        f1_star: "ac2cc74a96871837",
        f2: "f365cd683cd92e96",
        f5: "f0b9c08ad02e",
        f3: "e203edb3971574f5a94b0d61b816345d",
        f4: "0c4524adeac041c4dd830d20854fc46b",
        f5_star: "6085a86c6f63",
        autn: "fbd98a0b3c869e0974a58220cba84c49",
        auts: "6be5e2ed83cb7685bae0a5680aa6",
        nonce: "zoPbxUrAJ0oVfBf4DQF71vvZigs8hp4JdKWCIMuoTEk=",
        aka_v1_response: "e8aceb675ab4f115a268041609407e03",
        aka_v1_response_without_qop: "c5d4977eb1c5793f55cbb05c67745c37",
        aka_v2_password: "tkefkL0n+tSF/vbOOHwjvQ==",
        aka_v2_response: "6e97a7f19d507d72627772dba57b4027",
        response_with_auts: "15f21099159f82f5ea40f42e90fbd8f2",
        aka_v2_sha256_password: "8cW3yKhO2yBX07AR7YE+6Sh0z3Bn2T6DjFozJDz1py0=",
        aka_v2_sha256_response: "d29e17d7c887d56774e17dab40a7043260a5b3086ca17bf6d1378c9ceed92702",
    },
    TestSet {
        key: "4ab1deb05ca6ceb051fc98e77d026a84",
        rand: "74b0cd6031a1c8339b2b6ce2b8c4a186",
        sqn: "e880a1b580b6",
        amf: "9f07",
        op: "2d16c5cd1fdf6b22383584e3bef2a8d8",
        opc: "dcf07cbd51855290b92a07a9891e523e",
        f1: "49e785dd12626ef2",
        f1_star: "9e85790336bb3fa2",
        f2: "5860fc1bce351e7e",
        f5: "31e11a609118",
        f3: "7657766b373d1c2138f307e3de9242f9",
        f4: "1c42e960d89b8fa99f2744e0708ccb53",
        f5_star: "fe2555e54aa9",
        autn: "d961bbd511ae9f0749e785dd12626ef2",
        auts: "16a5f450ca1f782c7adc092ecaf5",
        nonce: "dLDNYDGhyDObK2ziuMShhtlhu9URrp8HSeeF3RJibvI=",
        aka_v1_response: "e8352d9f1db12f78815fbe144b3c6f31",
        aka_v1_response_without_qop: "4a3171684536d0588beba55bd27c20e6",
        aka_v2_password: "GZa/1cX0s6d9puUPhVy/Ow==",
        aka_v2_response: "b1f9318759a4389c34f05041481904d3",
        response_with_auts: "e0f221c3d10f267ecc350a4773e581e2",
        aka_v2_sha256_password: "X2ZiK9HrwI57CuiN1V+tqgbNOTmeeW3PvfEUiyYstS0=",
        aka_v2_sha256_response: "f9b5e2cdc4885d5c1e9ec97ad197457f941815c62a794033467d681801ddaf53",
    },
    TestSet {
        key: "6c38a116ac280c454f59332ee35c8c4f",
        rand: "ee6466bc96202c5a557abbeff8babf63",
        sqn: "414b98222181",
        amf: "4464",
        op: "1ba00a1a7c6700ac8c3ff3e96ad08725",
        opc: "3803ef5363b947c6aaa225e58fae3934",
        f1: "078adfb488241a57",
        f1_star: "80246b8d0186bcf1",
        f2: "16c8233f05a0ac28",
        f5: "45b0f69ab06c",
        f3: "3f8c7587fe8e4b233af676aede30ba3b",
        f4: "a7466cc1e6b2a1337d49d3b66e95d7b4",
        f5_star: "1f53cd2b1113",
        autn: "04fb6eb891ed4464078adfb488241a57",
        auts: "5e1855093092c6b5a5bee94751e0",
        nonce: "7mRmvJYgLFpVervv+Lq/YwT7briR7URkB4rftIgkGlc=",
        aka_v1_response: "4de8be579df7f48cb9ad21cb60b8286a",
        aka_v1_response_without_qop: "488f79bb35908caddbe5847e7fd634d6",
        aka_v2_password: "nzldcj+hc1D/SbE/e+b18Q==",
        aka_v2_response: "21d8095d3fdeda372c0653be9ed1e31f",
        response_with_auts: "fc03e7755b01b7fef8503d1eddc76007",
        aka_v2_sha256_password: "zRO0KcWCT0xPW8tPmiUDPYj7J2VUcTvjNacrLCXPBFU=",
        aka_v2_sha256_response: "8e64d47e6e165645eef41c5072df4913bcebd9f9161099eb8db1e7d6f04c369a",
    },
];

impl TestSet {
    pub(crate) fn key(&self) -> SubscriberKey {
        SubscriberKey::from_hex(self.key).expect("the table holds a key")
    }

    pub(crate) fn operator_key(&self) -> OperatorKey {
        OperatorKey::from_hex(self.op).expect("the table holds an operator key")
    }

    pub(crate) fn opc(&self) -> Opc {
        Opc::from_hex(self.opc).expect("the table holds an OPc")
    }

    pub(crate) fn milenage(&self) -> Milenage {
        Milenage::new(&self.key(), &self.opc())
    }

    pub(crate) fn isim(&self) -> Isim {
        Isim::new(&self.key(), &self.opc())
    }

    pub(crate) fn rand(&self) -> Rand {
        Rand::from_hex(self.rand).expect("the table holds a RAND")
    }

    pub(crate) fn sqn(&self) -> Sqn {
        let value = u64::from_str_radix(self.sqn, 16).expect("the table holds an SQN");
        Sqn::try_from(value).expect("the table holds 48 bits")
    }

    pub(crate) fn amf(&self) -> Amf {
        Amf::from_hex(self.amf).expect("the table holds an AMF")
    }

    pub(crate) fn autn(&self) -> Autn {
        Autn::from_hex(self.autn).expect("the table holds an AUTN")
    }

    pub(crate) fn auts(&self) -> Auts {
        Auts::from_hex(self.auts).expect("the table holds an AUTS")
    }
}

/// The REGISTER of the table, with qop=auth.
pub(crate) fn register(nonce: &str) -> DigestInput<'_> {
    DigestInput {
        username: "user1@home1.example",
        realm: "home1.example",
        method: "REGISTER",
        uri: "sip:home1.example",
        nonce,
        qop: Some(QopParameters {
            quality: QualityOfProtection::Authentication,
            nonce_count: "00000001",
            cnonce: "0a4f113b",
        }),
    }
}
