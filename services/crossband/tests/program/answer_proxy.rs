//! Stands in front of an entity that UEs call and knows single requests apart: it passes them on, and can lose the answer to one that was
//! carried out.

use std::net::SocketAddr;
use std::sync::Arc;

use crossband::certificates::Certificates;
use crossband::config::identity_files;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mcx_federation::{OwnIdentity, spiffe_server_client_config, unauthenticated_server_config};
use mcx_types::{Entity, McSystemId};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The proxy; it ends with this value, cutting every connection.
pub(crate) struct AnswerProxy {
    losing: watch::Sender<Losing>,
}

/// Which answers are lost.
#[derive(Debug, Clone, Default)]
struct Losing {
    /// Those to requests whose path ends so.
    path: Option<&'static str>,
    /// How many were.
    count: usize,
    /// The proxy is gone.
    is_over: bool,
}

struct Sides {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    target: SocketAddr,
}

impl AnswerProxy {
    /// Stands at `address` in front of an entity that listens at `target`, and shows its certificate.
    pub(crate) async fn start(
        address: SocketAddr,
        target: SocketAddr,
        system: &McSystemId,
        certificates: &Certificates,
        entity: Entity,
    ) -> Self {
        let own = OwnIdentity::load(&identity_files(&certificates.directory, entity.as_str())).unwrap();
        let mut server = (*unauthenticated_server_config(&own)).clone();
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = spiffe_server_client_config(certificates.authority_pem.as_bytes(), system).unwrap();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let sides = Arc::new(Sides {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            target,
        });
        let listener = TcpListener::bind(address).await.unwrap();
        let losing = watch::Sender::<Losing>::default();
        let shared = losing.clone();
        tokio::spawn(async move {
            let mut ended = shared.subscribe();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = ended.wait_for(|losing| losing.is_over) => return,
                };
                if let Ok((stream, _)) = accepted {
                    tokio::spawn(carry(Arc::clone(&sides), stream, shared.clone()));
                }
            }
        });
        Self { losing }
    }

    /// From now on answers to requests whose path ends so are lost, with the connection on which they would come: the entity has done
    /// what it was asked, and nobody knows.
    pub(crate) fn lose_answers_to(&self, path: &'static str) {
        self.losing.send_modify(|losing| losing.path = Some(path));
    }

    /// From now on no answer is lost; how many were.
    pub(crate) fn heal(&self) -> usize {
        let mut lost = 0;
        self.losing.send_modify(|losing| {
            losing.path = None;
            lost = std::mem::take(&mut losing.count);
        });
        lost
    }
}

impl Drop for AnswerProxy {
    fn drop(&mut self) {
        self.losing.send_modify(|losing| losing.is_over = true);
    }
}

/// Carries one connection until one side, or a lost answer, ends it for both.
async fn carry(sides: Arc<Sides>, stream: TcpStream, losing: watch::Sender<Losing>) {
    let mut ended = losing.subscribe();
    // A listener that is gone looks like one: the connection ends before anything is said on it.
    let Ok(upstream) = TcpStream::connect(sides.target).await else { return };
    let name = ServerName::try_from("localhost").unwrap();
    let Ok(upstream) = sides.connector.connect(name, upstream).await else { return };
    let Ok(downstream) = sides.acceptor.accept(stream).await else { return };
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(upstream));
    let Ok((sender, upstream)) = handshake.await else { return };

    let (cut, mut is_cut) = watch::channel(false);
    let pass = service_fn(move |request| pass(request, sender.clone(), losing.clone(), cut.clone()));
    let downstream = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(downstream), pass);
    tokio::select! {
        _ = upstream => {}
        _ = downstream => {}
        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
        _ = ended.wait_for(|losing| losing.is_over) => {}
    }
}

async fn pass(
    request: Request<Incoming>,
    mut upstream: SendRequest<Incoming>,
    losing: watch::Sender<Losing>,
    cut: watch::Sender<bool>,
) -> Result<Response<Incoming>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let answer = upstream.send_request(request).await?;
    let is_lost = losing.borrow().path.is_some_and(|lost| path.ends_with(lost));
    if !is_lost {
        return Ok(answer);
    }
    // To its end, so that everything has been done.
    answer.into_body().collect().await?;
    losing.send_modify(|losing| losing.count += 1);
    cut.send_replace(true);
    std::future::pending().await
}
