//! Authentication vectors, made by one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use mcx_aka::{Amf, IndexValue, Milenage, Opc, Rand, Sequence, Sqn, SubscriberKey};

/// Vectors per second with the key schedule made once, and with it made for every vector, as for a subscriber just read.
pub(crate) fn rates(duration: Duration) -> Result<(f64, f64)> {
    let key = SubscriberKey::from_hex("fec86ba6eb707ed08905757b1bb44b8f")?;
    let opc = Opc::from_hex("1006020f0a478bf6b699f15c062e42b3")?;
    let prepared = Milenage::new(&key, &opc);
    let with_prepared = rate(duration, |rand, sqn| {
        black_box(prepared.authentication_vector(rand, sqn, Amf([0, 0])));
    })?;
    let with_new = rate(duration, |rand, sqn| {
        black_box(Milenage::new(black_box(&key), &opc).authentication_vector(rand, sqn, Amf([0, 0])));
    })?;
    Ok((with_prepared, with_new))
}

fn rate(duration: Duration, make: impl Fn(Rand, Sqn)) -> Result<f64> {
    const ROUND: u64 = 1_000;
    let begun = Instant::now();
    let mut made = 0;
    while begun.elapsed() < duration {
        for number in made..made + ROUND {
            let sqn = Sqn::new(Sequence::new(number)?, IndexValue::ZERO);
            make(Rand(u128::from(number).to_be_bytes()), sqn);
        }
        made += ROUND;
    }
    Ok(made as f64 / begun.elapsed().as_secs_f64())
}
