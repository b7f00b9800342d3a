//! The UDP listener.

use super::edge::{Reception, SipEdge};
use crate::domain::request::{RequestSource, SipTransport};
use bytes::Bytes;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// The largest datagram there is; what is beyond the message limit is dropped after it was read.
const DATAGRAM: usize = 65_535;

/// Receives datagrams until it is dropped.
pub(super) async fn serve(socket: Arc<UdpSocket>, edge: Arc<SipEdge>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, address) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // What an earlier answer met on its way (ICMP) shows here; the socket itself stays good.
                tracing::debug!(%error, "receiving a datagram failed");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let datagram = &buffer[..length];
        if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            // Keep-alives (RFC 5626 4.4.1, and the zero bytes of older UEs) open the path back and want no answer.
            continue;
        }
        let source = RequestSource { address, transport: SipTransport::Udp, connection: None };
        match edge.receive(&Bytes::copy_from_slice(datagram), source) {
            Reception::Silence => {}
            Reception::Reply(reply) => send(&socket, reply).await,
            Reception::Decide(deciding) => {
                let socket = Arc::clone(&socket);
                // Bounded by the permit that the request holds.
                tokio::spawn(async move { send(&socket, deciding.decide().await).await });
            }
        }
    }
}

async fn send(socket: &UdpSocket, reply: super::edge::Reply) {
    if let Err(error) = socket.send_to(&reply.bytes, reply.destination).await {
        tracing::debug!(%error, destination = %reply.destination, "sending a response failed");
    }
}
