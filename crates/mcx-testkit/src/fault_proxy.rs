//! A TCP proxy that makes a network go wrong, at the moment a test chooses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// They are forwarded.
    #[default]
    None,
    /// What the server sends is forwarded this much later.
    Delay(Duration),
    /// Nothing arrives, either way, and no connection ends; what was held back arrives when the fault is over.
    Blackhole,
    /// What the client sends arrives; as soon as the server answers the connection is cut. Nobody knows whether it was done.
    CutAtAnswer,
    /// Nobody is there: connections are closed, and new ones as soon as they are made.
    Down,
}

/// The proxy; it ends with this value, cutting every connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    route: watch::Sender<Route>,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct Route {
    target: SocketAddr,
    fault: Fault,
}

impl FaultProxy {
    /// Forwards to `target` from a free local port.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a local port can be bound");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (route, routes) = watch::channel(Route { target, fault: Fault::None });
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, routes.clone()));
            }
        });
        Self { address, route, connections, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins a fault, or with [`Fault::None`] ends it, for all connections.
    pub fn set(&self, fault: Fault) {
        self.route.send_modify(|route| route.fault = fault);
    }

    /// Forwards new connections to another server.
    pub fn redirect(&self, target: SocketAddr) {
        self.route.send_modify(|route| route.target = target);
    }

    /// How many connections were tried so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// Carries one connection until one side or a fault ends it, and then ends it for both.
async fn carry(client: TcpStream, mut routes: watch::Receiver<Route>) {
    let Route { target, fault } = *routes.borrow();
    if fault == Fault::Down {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, Direction::ToServer, routes.clone()) => {}
        () = pump(from_server, to_client, Direction::ToClient, routes.clone()) => {}
        _ = routes.wait_for(|route| route.fault == Fault::Down) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut routes: watch::Receiver<Route>,
) {
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        // A proxy that was dropped forwards nothing more.
        let Ok(route) = routes.wait_for(|route| route.fault != Fault::Blackhole).await.map(|route| *route)
        else {
            return;
        };
        match (route.fault, direction) {
            (Fault::CutAtAnswer, Direction::ToClient) => return,
            (Fault::Delay(delay), Direction::ToClient) => tokio::time::sleep(delay).await,
            _ => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
