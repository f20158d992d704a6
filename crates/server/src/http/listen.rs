//! Accepting connections and ending them: the limits of time and number that keep silent, slow
//! and too many clients from holding what others need.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep_until, timeout_at};
use tokio_util::task::TaskTracker;

use crate::http::network::{Addresses, holder, is_proxy};
use crate::http::pace::{Answer, Pace, Paced, Times};
use crate::http::refusals::Refusals;
use crate::http::share::{Hold, Share};

/// Connections that the kernel keeps while none is accepted.
const BACKLOG: u32 = 1024;
/// Most of a request. Named in what is said when there are more.
pub const HEADERS: usize = 64;
pub const HEAD_BYTES: usize = 32 << 10;
/// After an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a server is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Serving,
    /// Balancers shall notice before it takes nothing more.
    Leaving,
    Stopping,
}

/// Ends when the server stops, or is gone.
pub async fn stopping(life: &mut watch::Receiver<Life>) {
    drop(life.wait_for(|life| *life == Life::Stopping).await);
}

/// What `wait` gives, or nothing if the server begins to stop before that.
pub async fn until_stopping<T>(
    life: &watch::Receiver<Life>,
    wait: impl Future<Output = T>,
) -> Option<T> {
    let mut life = life.clone();
    tokio::select! {
        biased;
        done = wait => Some(done),
        () = stopping(&mut life) => None,
    }
}

/// The address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What answers requests on a listener.
pub trait Service: Clone + Send + Sync + 'static {
    /// `place`: what the connection has.
    fn call(
        &self,
        request: http::Request<Incoming>,
        pace: &Arc<Pace>,
        place: Place,
    ) -> impl Future<Output = http::Response<axum::body::Body>> + Send;
}

/// What a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Regular,
    /// All others are taken: only probes are answered, so that whoever looks after the hub sees that it
    /// lives.
    Spare,
}

/// Places of connections beside the regular ones, in all and of one network.
const SPARE: u64 = 64;
const SPARE_EACH: u64 = 8;
/// How long a connection on such a place may take to say what it wants, and may be idle.
const SPARE_TIME: Duration = Duration::from_secs(2);

/// How many may connect, and who counts as a network of its own.
pub struct Places {
    regular: Arc<Share>,
    spare: Arc<Share>,
    /// They bring the requests of many networks: those are counted, one by one.
    proxies: Vec<Addresses>,
}

impl Places {
    pub fn new(all: u32, each: u32, proxies: Vec<Addresses>) -> Self {
        let regular = Share::new(all.into(), each.into());
        Self { regular, spare: Share::new(SPARE, SPARE_EACH), proxies }
    }

    fn take(&self, peer: IpAddr) -> Option<(Hold, Place)> {
        let one = || Some(holder(peer)).filter(|_| !is_proxy(peer, &self.proxies));
        if let Ok(hold) = self.regular.hold(one(), 1) {
            return Some((hold, Place::Regular));
        }
        self.spare.hold(one(), 1).ok().map(|hold| (hold, Place::Spare))
    }
}

pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the server stops, then lets requests under way end, for `times.drain` at most.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: S,
    times: Times,
    places: Places,
    mut life: watch::Receiver<Life>,
) {
    let open = TaskTracker::new();
    let (cut, cut_off) = watch::channel(false);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping(&mut life) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some((hold, place)) = places.take(peer.ip()) else { continue };
                let (service, life) = (service.clone(), life.clone());
                let mut cut_off = cut_off.clone();
                open.spawn(async move {
                    tokio::select! {
                        () = connection(stream, (Peer(peer.ip()), place), service, (times, life)) => {}
                        _ = cut_off.wait_for(|cut| *cut) => {}
                    }
                    drop(hold);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    open.close();
    if tokio::time::timeout(times.drain, open.wait()).await.is_err() {
        tracing::warn!(connections = open.len(), "requests were cut off by the end of the server");
        cut.send_replace(true);
        open.wait().await;
    }
}

async fn connection<S: Service>(
    stream: TcpStream,
    (peer, place): (Peer, Place),
    service: S,
    (times, mut life): (Times, watch::Receiver<Life>),
) {
    let times = match place {
        Place::Regular => times,
        Place::Spare => {
            let [head, idle, write] =
                [times.head, times.idle, times.write].map(|t| t.min(SPARE_TIME));
            Times { head, idle, write, ..times }
        }
    };
    let accepted = Instant::now();
    // A client that says nothing costs no more than this task: hyper's buffers come after.
    let first = timeout_at((accepted + times.head).into(), stream.readable());
    let spoke = tokio::select! {
        first = first => matches!(first, Ok(Ok(()))),
        () = stopping(&mut life) => false,
    };
    if !spoke || stream.set_nodelay(true).is_err() {
        return;
    }
    let pace = Arc::new(Pace::new(accepted, times));
    let io = TokioIo::new(Refusals::new(Paced::new(stream, pace.clone())));
    let leaves = life.clone();
    let answer = service_fn(|mut request: http::Request<Incoming>| {
        let (service, pace, leaves) = (&service, &pace, &leaves);
        async move {
            pace.busy();
            request.extensions_mut().insert(peer);
            let mut response = service.call(request, pace, place).await;
            // Whoever comes again comes to another hub: one that is sent just before the end is lost.
            if *leaves.borrow() != Life::Serving {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let hold = response.extensions_mut().remove::<Arc<Hold>>();
            let answer = |body| Answer::new(body, pace.clone(), hold);
            Ok::<_, std::convert::Infallible>(response.map(answer))
        }
    });
    let http = http1::Builder::new()
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .header_read_timeout(None)
        .serve_connection(io, answer);
    let mut http = pin!(http);
    let mut timer = pin!(sleep_until((accepted + times.head).into()));
    let stopped = {
        let mut stopping = pin!(stopping(&mut life));
        poll_fn(|cx| {
            if let Poll::Ready(ended) = http.as_mut().poll(cx) {
                return Poll::Ready(Some(ended));
            }
            if stopping.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            poll_overdue(timer.as_mut(), &pace, cx).map(|()| Some(Ok(())))
        })
        .await
    };
    let ended = match stopped {
        Some(ended) => ended,
        None => {
            http.as_mut().graceful_shutdown();
            poll_fn(|cx| match http.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(ended),
                Poll::Pending => poll_overdue(timer.as_mut(), &pace, cx).map(Ok),
            })
            .await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Ready when the connection's client was too slow. To be called after each poll of the
/// connection; the timer is moved only when the deadline came nearer, or when it fired.
fn poll_overdue(mut timer: Pin<&mut Sleep>, pace: &Pace, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let Some(deadline) = pace.deadline() else { return Poll::Pending };
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        if timer.is_elapsed() || timer.deadline() > deadline.into() {
            timer.as_mut().reset(deadline.into());
        }
        ready!(timer.as_mut().poll(cx));
    }
}
