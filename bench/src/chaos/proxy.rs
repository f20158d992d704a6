//! A wire that can be late, cut, silent, or lose the answer to what it has delivered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Result;

/// What is cut into slices: the beginning of a chunk, in pieces of so many bytes.
const SLICED: usize = 48;
const SLICE: usize = 3;

/// How a wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Open,
    Late {
        millis: u64,
    },
    Slices,
    /// Every connection is reset, also new ones.
    Reset,
    /// The server's side of each connection ends; the client's is still read.
    HalfClose,
    /// Nothing is delivered, nothing is refused.
    Silent,
    /// What asks for an effect is delivered; the answer is not, and the connection is reset.
    LoseAnswers,
}

pub struct Proxy {
    pub address: SocketAddr,
    pub to: SocketAddr,
    way: Arc<watch::Sender<Way>>,
}

impl Proxy {
    /// `effects`: texts that ask the server for an effect, such as `COMMIT`.
    pub async fn start(to: SocketAddr, effects: &'static [&'static str]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let way = Arc::new(watch::channel(Way::Open).0);
        let ways = Arc::clone(&way);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = ways.subscribe();
                tokio::spawn(async move {
                    let wire = Wire { way, effects, lost: AtomicBool::new(false) };
                    // Whoever is cut off is what this is for.
                    drop(wire.join(client, to).await);
                });
            }
        });
        Ok(Self { address, to, way })
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// One connection.
struct Wire {
    way: watch::Receiver<Way>,
    effects: &'static [&'static str],
    /// The next answer is not delivered.
    lost: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Server,
    Client,
}

impl Wire {
    async fn join(&self, mut client: TcpStream, to: SocketAddr) -> std::io::Result<()> {
        if self.is(Way::Reset) {
            return client.set_zero_linger();
        }
        let mut server = TcpStream::connect(to).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let reset = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let both = async {
                tokio::try_join!(
                    self.pump(from_client, to_server, Towards::Server),
                    self.pump(from_server, to_client, Towards::Client)
                )
            };
            tokio::select! {
                ended = both => ended.is_err(),
                () = self.until(Way::Reset) => true,
            }
        };
        if reset {
            client.set_zero_linger()?;
            server.set_zero_linger()?;
        }
        Ok(())
    }

    async fn pump(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        towards: Towards,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read?,
                () = self.until(Way::HalfClose), if towards == Towards::Client => 0,
            };
            if read == 0 {
                return to.shutdown().await;
            }
            let chunk = &buffer[..read];
            let way = *self.way.borrow();
            match way {
                Way::Late { millis } => tokio::time::sleep(Duration::from_millis(millis)).await,
                Way::Silent => self.until_not(Way::Silent).await,
                Way::LoseAnswers if towards == Towards::Server && self.asks(chunk) => {
                    self.lost.store(true, Ordering::SeqCst);
                }
                _ => {}
            }
            if towards == Towards::Client && self.lost.load(Ordering::SeqCst) {
                return Err(std::io::Error::other("the answer is lost"));
            }
            let sliced = if way == Way::Slices { read.min(SLICED) } else { 0 };
            for slice in chunk[..sliced].chunks(SLICE) {
                to.write_all(slice).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            to.write_all(&chunk[sliced..]).await?;
        }
    }

    fn asks(&self, chunk: &[u8]) -> bool {
        let has = |text: &&str| chunk.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        self.effects.iter().any(has)
    }

    fn is(&self, way: Way) -> bool {
        *self.way.borrow() == way
    }

    async fn until(&self, wanted: Way) {
        if self.way.clone().wait_for(|way| *way == wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn until_not(&self, unwanted: Way) {
        // Its end is the end of the run.
        drop(self.way.clone().wait_for(|way| *way != unwanted).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each line with itself; gives what it was sent.
    async fn server() -> (SocketAddr, Arc<std::sync::Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        all.lock().expect("a lock").extend_from_slice(&buffer[..read]);
                        stream.write_all(&buffer[..read]).await.expect("a write");
                    }
                });
            }
        });
        (address, seen)
    }

    async fn ask(address: SocketAddr, text: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut buffer = vec![0; text.len()];
        stream.read_exact(&mut buffer).await?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }

    #[tokio::test]
    async fn each_way_is_what_it_says() {
        let (address, seen) = server().await;
        let proxy = Proxy::start(address, &["COMMIT"]).await.expect("a proxy");
        for way in [Way::Open, Way::Slices, Way::Late { millis: 1 }] {
            proxy.set(way);
            assert_eq!(ask(proxy.address, "hello").await.expect("an answer"), "hello", "{way:?}");
        }
        for way in [Way::Reset, Way::HalfClose] {
            proxy.set(way);
            assert!(ask(proxy.address, "hello").await.is_err(), "{way:?}");
        }
        proxy.set(Way::LoseAnswers);
        assert_eq!(ask(proxy.address, "SELECT").await.expect("an answer"), "SELECT");
        assert!(ask(proxy.address, "COMMIT").await.is_err());
        assert!(seen.lock().expect("a lock").ends_with(b"COMMIT"), "it was applied");
        proxy.set(Way::Silent);
        let asked = tokio::spawn(ask(proxy.address, "hello"));
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!asked.is_finished());
        proxy.set(Way::Open);
        assert_eq!(asked.await.expect("no panic").expect("an answer"), "hello");
    }
}
