//! A simple balancer: requests go in turns to the servers whose `/readyz` is fine. A request that
//! reached a server is never sent again.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Result;

/// How often servers are asked whether they are ready, and how long they may take to say so.
const LOOK: Duration = Duration::from_millis(200);
const ANSWER: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(2);

/// The answer when no server is ready: nothing was sent to anybody.
pub const NOBODY: &[u8] = b"no server is ready";

pub struct Balancer {
    pub address: SocketAddr,
    ready: watch::Receiver<Vec<SocketAddr>>,
}

impl Balancer {
    pub async fn start(servers: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (seen, ready) = watch::channel(Vec::new());
        tokio::spawn(look(servers, seen));
        let balance = Arc::new(Balance { ready: ready.clone(), turn: AtomicUsize::new(0) });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let balance = Arc::clone(&balance);
                tokio::spawn(async move {
                    let service = service_fn(|request| balance.pass_on(request));
                    let http = hyper::server::conn::http1::Builder::new();
                    // A client that left is what happens.
                    drop(http.serve_connection(TokioIo::new(client), service).await);
                });
            }
        });
        Ok(Self { address, ready })
    }

    /// Waits until so many servers are ready.
    pub async fn until_ready(&self, servers: usize, patience: Duration) -> Result<()> {
        let mut ready = self.ready.clone();
        ready.mark_unchanged();
        let enough = async {
            // The look that is under way may have begun before.
            ready.changed().await?;
            ready.changed().await?;
            ready.wait_for(|ready| ready.len() >= servers).await.map(drop)
        };
        match tokio::time::timeout(patience, enough).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(format!("not {servers} servers are ready after {patience:?}").into()),
        }
    }
}

async fn look(servers: Vec<SocketAddr>, seen: watch::Sender<Vec<SocketAddr>>) {
    while !seen.is_closed() {
        let mut asked = tokio::task::JoinSet::new();
        for server in servers.clone() {
            asked.spawn(async move {
                let ready = tokio::time::timeout(ANSWER, is_ready(server)).await;
                matches!(ready, Ok(Ok(true))).then_some(server)
            });
        }
        let mut ready: Vec<SocketAddr> = asked.join_all().await.into_iter().flatten().collect();
        ready.sort();
        seen.send_replace(ready);
        tokio::time::sleep(LOOK).await;
    }
}

async fn is_ready(server: SocketAddr) -> Result<bool> {
    let request = Request::builder().uri("/readyz").header("host", server.to_string());
    let stream = TcpStream::connect(server).await?;
    Ok(ask(stream, request.body(Full::default())?).await?.status() == StatusCode::OK)
}

async fn ask(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>> {
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, Full::new(body)))
    };
    let answer = answer.await;
    connection.abort();
    answer
}

struct Balance {
    ready: watch::Receiver<Vec<SocketAddr>>,
    turn: AtomicUsize,
}

impl Balance {
    async fn pass_on(
        &self,
        request: Request<Incoming>,
    ) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
        let answer = match self.try_pass_on(request).await {
            Ok(answer) => answer,
            Err(error) => say(StatusCode::BAD_GATEWAY, error.to_string().into()),
        };
        Ok(answer)
    }

    async fn try_pass_on(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let ready = self.ready.borrow().clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for n in 0..ready.len() {
            let server = ready[(turn + n) % ready.len()];
            // Until there is a connection nothing was sent: the next one may have it.
            let connected = tokio::time::timeout(CONNECT, TcpStream::connect(server)).await;
            let Ok(Ok(stream)) = connected else { continue };
            head.headers.insert("host", server.to_string().parse()?);
            head.headers.insert("connection", "close".parse()?);
            let mut request = Request::new(Full::new(body));
            (*request.method_mut(), *request.uri_mut()) = (head.method, head.uri);
            *request.headers_mut() = head.headers;
            let mut answer = ask(stream, request).await?;
            answer.headers_mut().remove("connection");
            answer.headers_mut().remove("transfer-encoding");
            return Ok(answer);
        }
        Ok(say(StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(NOBODY)))
    }
}

fn say(status: StatusCode, words: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(words));
    *answer.status_mut() = status;
    answer
}
