//! Ports for programs that must be told theirs.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;

/// Blocks of ports below the range from which the system gives ports to clients.
const FIRST: u16 = 21_000;
const BLOCK: u16 = 200;
const BLOCKS: u16 = 55;

/// No program listens on this port of a block; whoever holds it has the block.
const LOCK: u16 = 199;

/// What may be listened on, by TCP and some of it by UDP.
const USED: Range<u16> = 0..LOCK;

/// A block of ports that no other test has, in this process or another one, as long as this value lives.
#[derive(Debug)]
pub(crate) struct PortBlock {
    /// The first port of the block.
    pub(crate) base: u16,
    _lock: TcpListener,
}

impl PortBlock {
    /// A block whose ports are free.
    pub(crate) fn reserve() -> Self {
        let first = rand::random_range(0..BLOCKS);
        (0..BLOCKS)
            .map(|step| FIRST + (first + step) % BLOCKS * BLOCK)
            .find_map(|base| {
                let lock = TcpListener::bind((Ipv4Addr::LOCALHOST, base + LOCK)).ok()?;
                let is_free = |port: u16| {
                    let at = (Ipv4Addr::LOCALHOST, base + port);
                    TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
                };
                USED.into_iter().all(is_free).then_some(Self { base, _lock: lock })
            })
            .expect("a block of ports is free")
    }
}
