//! Stands before an HTTP server and does what networks do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers 503 without asking the server.
    Busy,
    /// The server does what it was asked; nobody hears of it.
    AnswerLost,
    /// Takes the request and says nothing.
    Stall,
}

#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    server: SocketAddr,
    fault: Mutex<Option<Planned>>,
    seen: Mutex<Vec<String>>,
}

struct Planned {
    fault: Fault,
    times: u32,
    /// Only for requests whose first line has this in it.
    only: &'static str,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State { server, fault: Mutex::default(), seen: Mutex::default() });
        let proxy = Self { address, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((conn, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    // Whoever is cut off is what this is for.
                    drop(state.serve(conn).await);
                });
            }
        });
        proxy
    }

    /// The next `times` requests of this kind meet a fault.
    pub fn plan(&self, only: &'static str, fault: Fault, times: u32) {
        *self.state.fault.lock().expect("a lock") = Some(Planned { fault, times, only });
    }

    pub fn heal(&self) {
        *self.state.fault.lock().expect("a lock") = None;
    }

    /// How many requests had this in their first line.
    pub fn seen(&self, what: &str) -> usize {
        let seen = self.state.seen.lock().expect("a lock");
        seen.iter().filter(|line| line.contains(what)).count()
    }
}

impl State {
    fn next_fault(&self, line: &str) -> Option<Fault> {
        self.seen.lock().expect("a lock").push(line.to_owned());
        let mut planned = self.fault.lock().expect("a lock");
        let plan = planned.as_mut().filter(|plan| plan.times > 0 && line.contains(plan.only))?;
        plan.times -= 1;
        Some(plan.fault)
    }

    /// One request a connection: the server is told so, and its answer says so.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        let head = loop {
            if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if client.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
        while request.len() < head + length {
            if client.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let end = request.windows(2).position(|two| two == b"\r\n").expect("a line") + 2;
        let fault = self.next_fault(&String::from_utf8_lossy(&request[..end]));
        match fault {
            Some(Fault::Busy) => {
                let busy =
                    b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                return client.write_all(busy).await;
            }
            Some(Fault::Stall) => {
                // Until the client leaves.
                client.read_u8().await?;
                return Ok(());
            }
            Some(Fault::AnswerLost) | None => {}
        }
        let mut server = TcpStream::connect(self.server).await?;
        server.write_all(&request[..end]).await?;
        server.write_all(b"Connection: close\r\n").await?;
        server.write_all(&request[end..]).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        if fault.is_none() {
            client.write_all(&answer).await?;
        }
        Ok(())
    }
}
