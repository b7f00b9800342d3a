//! The Milenage algorithm set: f1, f1\*, f2, f3, f4, f5 and f5\* around AES-128 (TS 35.205, TS 35.206).

use std::fmt;

use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes128Enc, Block};
use zeroize::Zeroizing;

use crate::parameter::{Amf, Autn, Rand};
use crate::response::{Res, Xres};
use crate::secret::{
    AnonymityKey, CipherKey, IntegrityKey, MessageAuthenticationCode, Opc, OperatorKey, REDACTED,
    SubscriberKey,
};
use crate::sequence_number::Sqn;
use crate::vector::AuthenticationVector;

/// One of the five output blocks: the left rotation r_i in bits and the constant c_i of TS 35.206 clause 4.1.
#[derive(Clone, Copy)]
struct Output {
    rotation: u32,
    constant: u128,
}

/// f1 (first half) and f1\* (second half).
const OUT1: Output = Output { rotation: 64, constant: 0 };
/// f5 (first 48 bits) and f2 (second half).
const OUT2: Output = Output { rotation: 0, constant: 1 };
/// f3.
const OUT3: Output = Output { rotation: 32, constant: 2 };
/// f4.
const OUT4: Output = Output { rotation: 64, constant: 4 };
/// f5\* (first 48 bits).
const OUT5: Output = Output { rotation: 96, constant: 8 };

/// Milenage for one subscriber: the key schedule of K is computed once and reused for every function.
#[derive(Clone)]
pub struct Milenage {
    cipher: Aes128Enc,
    opc: Zeroizing<u128>,
}

/// The outputs of all seven functions for one (RAND, SQN, AMF) (TS 35.205 clause 5.2).
///
/// `mac_s` here is f1\* under the AMF given; the MAC-S of an AUTS is f1\* under [`Amf::RESYNCHRONISATION`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MilenageOutput {
    /// f1, the network authentication code MAC-A.
    pub mac_a: MessageAuthenticationCode,
    /// f1\*, the resynchronisation code MAC-S.
    pub mac_s: MessageAuthenticationCode,
    /// f2, the response RES.
    pub res: Res,
    /// f3, the cipher key CK.
    pub ck: CipherKey,
    /// f4, the integrity key IK.
    pub ik: IntegrityKey,
    /// f5, the anonymity key AK.
    pub ak: AnonymityKey,
    /// f5\*, the anonymity key AK\* of resynchronisation.
    pub ak_star: AnonymityKey,
}

impl Opc {
    /// OPc = E_K(OP) xor OP (TS 35.206 clause 4.1).
    #[must_use]
    pub fn derive(key: &SubscriberKey, operator_key: &OperatorKey) -> Self {
        let cipher = Aes128Enc::new(&Array(*key.expose_octets()));
        let mut block = Array(*operator_key.expose_octets());
        cipher.encrypt_block(&mut block);
        let operator_key = operator_key.expose_octets();
        Self::from_octets(std::array::from_fn(|position| block[position] ^ operator_key[position]))
    }
}

impl Milenage {
    /// Prepares the functions for one subscriber.
    #[must_use]
    pub fn new(key: &SubscriberKey, opc: &Opc) -> Self {
        Self {
            cipher: Aes128Enc::new(&Array(*key.expose_octets())),
            opc: Zeroizing::new(u128::from_be_bytes(*opc.expose_octets())),
        }
    }

    /// MAC-A, the network authentication function f1 (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f1(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> MessageAuthenticationCode {
        let [out1] = self.encrypt([self.out1_input(self.temporary(rand), sqn, amf)]);
        MessageAuthenticationCode::from_octets(first_half(out1))
    }

    /// MAC-S, the resynchronisation function f1\* (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f1_star(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> MessageAuthenticationCode {
        let [out1] = self.encrypt([self.out1_input(self.temporary(rand), sqn, amf)]);
        MessageAuthenticationCode::from_octets(second_half(out1))
    }

    /// RES, the response function f2 (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f2(&self, rand: &Rand) -> Res {
        Res::from_f2(second_half(self.single(rand, OUT2)))
    }

    /// CK, the cipher key function f3 (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f3(&self, rand: &Rand) -> CipherKey {
        CipherKey::from_octets(self.single(rand, OUT3).to_be_bytes())
    }

    /// IK, the integrity key function f4 (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f4(&self, rand: &Rand) -> IntegrityKey {
        IntegrityKey::from_octets(self.single(rand, OUT4).to_be_bytes())
    }

    /// AK, the anonymity key function f5 (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f5(&self, rand: &Rand) -> AnonymityKey {
        AnonymityKey::from_octets(first_48_bits(self.single(rand, OUT2)))
    }

    /// AK\*, the anonymity key function f5\* of resynchronisation (TS 35.206 clause 4.1).
    #[must_use]
    pub fn f5_star(&self, rand: &Rand) -> AnonymityKey {
        AnonymityKey::from_octets(first_48_bits(self.single(rand, OUT5)))
    }

    /// All seven functions at once: six encryptions, five of them side by side.
    #[must_use]
    pub fn all_functions(&self, rand: &Rand, sqn: Sqn, amf: Amf) -> MilenageOutput {
        let temporary = self.temporary(rand);
        let [out1, out2, out3, out4, out5] = self.encrypt([
            self.out1_input(temporary, sqn, amf),
            self.input(temporary, OUT2),
            self.input(temporary, OUT3),
            self.input(temporary, OUT4),
            self.input(temporary, OUT5),
        ]);
        MilenageOutput {
            mac_a: MessageAuthenticationCode::from_octets(first_half(out1)),
            mac_s: MessageAuthenticationCode::from_octets(second_half(out1)),
            res: Res::from_f2(second_half(out2)),
            ck: CipherKey::from_octets(out3.to_be_bytes()),
            ik: IntegrityKey::from_octets(out4.to_be_bytes()),
            ak: AnonymityKey::from_octets(first_48_bits(out2)),
            ak_star: AnonymityKey::from_octets(first_48_bits(out5)),
        }
    }

    /// Makes one authentication vector (TS 33.102 clause 6.3.2).
    ///
    /// The caller draws `rand` from a secure random source and has made `sqn` durable before: neither may be used for
    /// a second vector.
    #[must_use]
    pub fn authentication_vector(&self, rand: Rand, sqn: Sqn, amf: Amf) -> AuthenticationVector {
        let temporary = self.temporary(&rand);
        let [out1, out2, out3, out4] = self.encrypt([
            self.out1_input(temporary, sqn, amf),
            self.input(temporary, OUT2),
            self.input(temporary, OUT3),
            self.input(temporary, OUT4),
        ]);
        let ak = AnonymityKey::from_octets(first_48_bits(out2));
        AuthenticationVector {
            rand,
            autn: Autn::from_parts(ak.conceal(sqn.to_octets()), amf, first_half(out1)),
            xres: Xres::expecting(Res::from_f2(second_half(out2))),
            ck: CipherKey::from_octets(out3.to_be_bytes()),
            ik: IntegrityKey::from_octets(out4.to_be_bytes()),
        }
    }

    /// TEMP = E_K(RAND xor OPc), which every output starts from.
    fn temporary(&self, rand: &Rand) -> u128 {
        let mut block = Array((u128::from_be_bytes(rand.0) ^ *self.opc).to_be_bytes());
        self.cipher.encrypt_block(&mut block);
        u128::from_be_bytes(block.0)
    }

    /// The cipher's input for OUT2 to OUT5: rot(TEMP xor OPc, r_i) xor c_i.
    fn input(&self, temporary: u128, output: Output) -> u128 {
        (temporary ^ *self.opc).rotate_left(output.rotation) ^ output.constant
    }

    /// The cipher's input for OUT1: TEMP xor rot(IN1 xor OPc, r1) xor c1, where IN1 is SQN ‖ AMF ‖ SQN ‖ AMF.
    fn out1_input(&self, temporary: u128, sqn: Sqn, amf: Amf) -> u128 {
        let half = u128::from(sqn.get() << 16 | u64::from(u16::from_be_bytes(amf.0)));
        let in1 = half << 64 | half;
        temporary ^ (in1 ^ *self.opc).rotate_left(OUT1.rotation) ^ OUT1.constant
    }

    /// One of OUT2 to OUT5 alone.
    fn single(&self, rand: &Rand, output: Output) -> u128 {
        let [out] = self.encrypt([self.input(self.temporary(rand), output)]);
        out
    }

    /// E_K(input) xor OPc for independent inputs; given together, the processor encrypts them side by side.
    fn encrypt<const N: usize>(&self, inputs: [u128; N]) -> [u128; N] {
        let mut blocks: [Block; N] = inputs.map(|input| Array(input.to_be_bytes()));
        self.cipher.encrypt_blocks(&mut blocks);
        blocks.map(|block| u128::from_be_bytes(block.0) ^ *self.opc)
    }
}

impl fmt::Debug for Milenage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Milenage").field(&format_args!("{REDACTED}")).finish()
    }
}

fn first_half(out: u128) -> [u8; 8] {
    ((out >> 64) as u64).to_be_bytes()
}

fn second_half(out: u128) -> [u8; 8] {
    (out as u64).to_be_bytes()
}

fn first_48_bits(out: u128) -> [u8; 6] {
    let octets = out.to_be_bytes();
    std::array::from_fn(|position| octets[position])
}
