//! The end of a server.

use std::sync::Arc;
use std::time::Duration;

use mcx_runtime::server::{Drained, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::harness::{System, TestService};

#[tokio::test]
async fn a_call_under_way_is_finished_and_nothing_new_is_accepted() {
    let system = System::new();
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let service = {
        let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
        TestService::new(move |request| {
            let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
            async move {
                entered.notify_one();
                leave.notified().await;
                Ok(request.into_inner())
            }
        })
    };
    let mut server = system.serve(service, ServerConfig::default()).await;
    let mut client = system.client(server.address);
    let call = tokio::spawn(async move { client.ask("finish me").await });
    entered.notified().await;
    server.shutdown.cancel();
    server.readiness.wait_until_not_serving().await;
    // The listening socket closes a moment after; until then a connection is taken but not answered.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    leave.notify_one();
    assert_eq!(call.await.unwrap().unwrap().into_inner().text, "finish me");
    assert_eq!((&mut server.serving).await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn a_stream_that_never_ends_is_cut_when_the_time_is_over() {
    let system = System::new();
    let config = ServerConfig { drain_timeout: Duration::from_millis(20), ..ServerConfig::default() };
    let mut server = system.serve(TestService::echo(), config).await;
    let mut stream = system.client(server.address).watch("for ever").await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    server.shutdown.cancel();
    assert_eq!((&mut server.serving).await.unwrap(), Drained::Cut(1));
    assert!(stream.message().await.is_err(), "the connection is really gone");
}

#[tokio::test]
async fn a_client_that_is_half_open_does_not_hold_up_the_end() {
    let system = System::new();
    let config = ServerConfig {
        drain_timeout: Duration::from_millis(20),
        handshake_timeout: Duration::from_millis(100),
        ..ServerConfig::default()
    };
    let mut server = system.serve(TestService::echo(), config).await;
    // One that has not begun its handshake, and one that has finished it and says nothing more.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut mute = system.mute_connection(server.address).await;
    server.shutdown.cancel();
    assert_eq!((&mut server.serving).await.unwrap(), Drained::Cut(1));
    let mut buffer = Vec::new();
    let _ = mute.read_to_end(&mut buffer).await;
    let _ = silent.read_to_end(&mut buffer).await;
}

#[tokio::test]
async fn a_server_that_is_dropped_lets_go_of_its_address_and_its_connections() {
    let system = System::new();
    let server = system.serve(TestService::echo(), ServerConfig::default()).await;
    let mut stream = system.client(server.address).watch("for ever").await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    let address = server.address;
    drop(server);
    assert!(stream.message().await.is_err());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
