//! One connection to the hub, made anew when it breaks.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::Result;

/// Of every account.
pub const PASSWORD: &str = "tangible orchard 42 sings";
/// A name that a hub on this machine has, whatever its address is.
const HOST: &str = "localhost";
/// A request without an answer for so long has an unknown outcome.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Client {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// What is sent beside method and path.
#[derive(Default)]
pub struct Extra<'e> {
    pub token: Option<&'e str>,
    pub key: Option<&'e str>,
    pub body: Bytes,
    /// Of the body, if that is not JSON as it is.
    pub content: Option<&'e str>,
}

#[derive(Deserialize)]
struct Session {
    token: String,
}

pub struct Answer {
    pub status: StatusCode,
    /// Does it say when to come again?
    pub retry_after: bool,
    pub body: Bytes,
}

impl Client {
    /// Load is only for this machine.
    pub fn new(address: SocketAddr) -> Result<Self> {
        if !address.ip().is_loopback() {
            return Err(format!("{address} is not on this machine").into());
        }
        Ok(Self { address, sender: None })
    }

    pub async fn send(&mut self, method: Method, path: &str, extra: Extra<'_>) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        if let Some(token) = extra.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = extra.key {
            request = request.header("idempotency-key", key);
        }
        if !extra.body.is_empty() {
            request = request.header("content-type", extra.content.unwrap_or("application/json"));
        }
        let request = request.body(Full::new(extra.body))?;
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let exchange = async {
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let retry_after = answer.headers().contains_key("retry-after");
            let body = answer.into_body().collect().await?.to_bytes();
            Ok::<Answer, hyper::Error>(Answer { status, retry_after, body })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await??;
        self.sender = Some(sender);
        Ok(answer)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Whoever waits for an answer hears of it too.
            drop(connection.await);
        });
        Ok(sender)
    }

    pub async fn get<T: DeserializeOwned>(&mut self, path: &str, token: &str) -> Result<T> {
        let extra = Extra { token: Some(token), ..Extra::default() };
        let answer = self.send(Method::GET, path, extra).await?;
        answer.read()
    }

    pub async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        token: &str,
        body: Bytes,
    ) -> Result<T> {
        let extra = Extra { token: Some(token), body, ..Extra::default() };
        self.send(Method::POST, path, extra).await?.read()
    }

    /// The token of a new anonymous session.
    pub async fn session(&mut self) -> Result<String> {
        let answer = self.send(Method::POST, "/api/v1/sessions", Extra::default()).await?;
        Ok(answer.read::<Session>()?.token)
    }

    /// Makes an account.
    pub async fn sign_up(&mut self, name: &str) -> Result<()> {
        let person = json!({"name": name, "first_name": "A", "last_name": "B",
            "email": format!("{name}@example.org"), "password": PASSWORD});
        let extra = Extra { body: person.to_string().into(), ..Extra::default() };
        let answer = self.send(Method::POST, "/api/v1/accounts", extra).await?;
        answer.read::<Value>().map(drop)
    }

    /// The token of a new session of an account.
    pub async fn log_in(&mut self, name: &str) -> Result<String> {
        let body = json!({"name": name, "password": PASSWORD, "claim": false}).to_string();
        let extra = Extra { body: body.into(), ..Extra::default() };
        let answer = self.send(Method::POST, "/api/v1/session", extra).await?;
        Ok(answer.read::<Session>()?.token)
    }
}

impl Answer {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.status.is_success() {
            let text = String::from_utf8_lossy(&self.body);
            return Err(format!("the hub answered {}: {text}", self.status).into());
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}
