//! Ports for programs that must be told theirs.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Blocks of ports below the range from which the system gives ports to clients.
const FIRST: u16 = 21_000;
const BLOCK: u16 = 200;
const BLOCKS: u16 = 55;

/// No program listens on this port of a block; whoever holds it has the block.
const LOCK: u16 = 199;

/// Where `crossband dev` listens, counted from its base: gRPC, peers, probes, SIP and SIP over TLS of each system.
const TCP: [u16; 10] = [0, 1, 2, 60, 61, 100, 101, 102, 160, 161];
const UDP: [u16; 2] = [60, 160];

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
                let is_free =
                    TCP.iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, base + port)).is_ok())
                        && UDP.iter().all(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, base + port)).is_ok());
                is_free.then_some(Self { base, _lock: lock })
            })
            .expect("a block of ports is free")
    }
}
