//! Calling a model server: the client side of the model-server contract.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use muster_cluster::Resolver;
use muster_core::retry::JobFailure;
use muster_core::{Address, InstanceId};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest answer that is read: this much, and for each input [`ANSWER_BYTES_PER_INPUT`] and
/// [`ANSWER_BYTES_PER_COLUMN`] for each column that the model declares.
const ANSWER_BYTES: usize = 1 << 20;
const ANSWER_BYTES_PER_INPUT: usize = 64 << 10;
const ANSWER_BYTES_PER_COLUMN: usize = 64;
const ANSWER_BYTES_AT_MOST: usize = 128 << 20;
/// A busy server that does not say when to come back is asked again after this.
const COME_BACK: Duration = Duration::from_secs(1);
/// Longest error text that is kept.
const ERROR_BYTES: usize = 2 << 10;

/// A connection over which nothing was said for so long is closed: shorter than [`HEALTH_INTERVAL`], since each takes
/// 24 KB, and there may be one to each of a thousand instances.
const IDLE_CONNECTION: Duration = Duration::from_secs(2);

/// Where nothing is encrypted the system's certificates are not read and no sessions are remembered: that takes a
/// while, and as much memory for each of a thousand instances.
static UNENCRYPTED: LazyLock<ClientConfig> = LazyLock::new(|| {
    let none = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
    let mut config = none.with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
});

/// One instance's model server.
#[derive(Clone)]
pub(crate) struct ModelServer {
    http: Client,
    base: String,
    /// A local instance has to prove on every answer that it is the process that was started.
    proof: Option<InstanceId>,
    /// Cancelled when it did not answer for too long.
    pub silent: CancellationToken,
}

/// How often an instance is asked whether it is still there, whatever it does; silent three times in a
/// row, it is unresponsive (I-24).
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
const HEALTH_FAILURES: u32 = 3;

impl ModelServer {
    pub(crate) fn new(instance: InstanceId, address: &Address) -> reqwest::Result<Self> {
        // T15: no redirects and no proxy, so that a call goes where the catalogue says.
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(IDLE_CONNECTION);
        let client = match address {
            Address::Url(url) if is_encrypted(url) => client,
            Address::Url(_) | Address::Socket(_) => {
                client.tls_backend_preconfigured(UNENCRYPTED.clone())
            }
        };
        Ok(match address {
            Address::Socket(path) => Self {
                http: client.unix_socket(path.as_str()).build()?,
                base: "http://instance".to_owned(),
                proof: Some(instance),
                silent: CancellationToken::new(),
            },
            Address::Url(url) => Self {
                http: client.dns_resolver(Arc::new(Resolver)).build()?,
                base: url.trim_end_matches('/').to_owned(),
                proof: None,
                silent: CancellationToken::new(),
            },
        })
    }

    /// Asks again and again whether it lives, until what this gives is dropped. Not only while a job runs:
    /// jobs may be over before it was silent often enough.
    pub(crate) fn watch(&self) -> DropGuard {
        let (server, over) = (self.clone(), CancellationToken::new());
        let watching = over.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = server.until_silent() => server.silent.cancel(),
                () = watching.cancelled() => {}
            }
        });
        over.drop_guard()
    }

    async fn until_silent(&self) {
        let (mut failures, mut next) = (0, Instant::now());
        while failures < HEALTH_FAILURES {
            next = (next + HEALTH_INTERVAL).max(Instant::now());
            tokio::time::sleep_until(next).await;
            failures = if self.is_alive().await { 0 } else { failures + 1 };
        }
    }

    /// Does it answer at all?
    async fn is_alive(&self) -> bool {
        let url = format!("{}/healthz", self.base);
        let answer = self.http.get(url).timeout(HEALTH_INTERVAL).send().await;
        answer.is_ok_and(|answer| answer.status() != StatusCode::NOT_FOUND)
    }

    /// Does it find the bad input of a batch by itself (contract B)?
    pub(crate) async fn splits_batches(&self) -> bool {
        let url = format!("{}/livez", self.base);
        let answer = self.http.get(url).timeout(Duration::from_secs(5)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Runs the model, which declares so many columns, on a JSON array of `inputs` texts and waits; gives
    /// the JSON records. Dropping the future closes the connection, which ends the work.
    pub(crate) async fn run(
        &self,
        body: Bytes,
        inputs: usize,
        columns: usize,
    ) -> Result<Bytes, JobFailure> {
        let url = format!("{}/run?orient=records", self.base);
        let answer = self.post(&url, body).await?;
        read(answer, most_bytes(inputs, columns)).await
    }

    /// Starts a job that goes on without us; `None` when the server knows no jobs.
    pub(crate) async fn submit(&self, body: Bytes) -> Result<Option<String>, JobFailure> {
        #[derive(Deserialize)]
        struct Submitted {
            job_id: String,
        }
        let url = format!("{}/job/submit?orient=records", self.base);
        let answer = match self.post(&url, body).await {
            Err(JobFailure::Refused { error }) if error.starts_with("404") => return Ok(None),
            Err(JobFailure::Refused { error }) if error.starts_with("405") => return Ok(None),
            answer => read(answer?, ANSWER_BYTES).await?,
        };
        let submitted: Submitted = serde_json::from_slice(&answer)
            .map_err(|_| bad("it did not give the job an id".to_owned()))?;
        // The id goes into a path: nothing but the characters of ids.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if submitted.job_id.is_empty() || !submitted.job_id.bytes().all(fits) {
            return Err(bad("the id it gave the job is not one".to_owned()));
        }
        Ok(Some(submitted.job_id))
    }

    /// Asks how a job is; a contract-B server answers when it ended or after `wait`.
    pub(crate) async fn job_status(
        &self,
        job: &str,
        wait: Duration,
    ) -> Result<JobStatus, JobFailure> {
        let url = format!("{}/job/status/{job}?wait={}", self.base, wait.as_secs());
        let body = self.get(&url, wait + Duration::from_secs(20), ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|_| bad("its job status is not one".to_owned()))
    }

    pub(crate) async fn job_result(
        &self,
        job: &str,
        inputs: usize,
        columns: usize,
    ) -> Result<Bytes, JobFailure> {
        let url = format!("{}/job/result/{job}?orient=records", self.base);
        self.get(&url, Duration::from_secs(300), most_bytes(inputs, columns)).await
    }

    /// Asks the server to stop a job. Servers of contract A cannot: then it runs to its end.
    pub(crate) async fn cancel_job(&self, job: &str) {
        let url = format!("{}/job/{job}/cancel", self.base);
        let asked = self.http.post(url).timeout(Duration::from_secs(10)).send().await;
        if let Err(error) = asked {
            tracing::debug!(%error, job, "the model server did not take the cancellation");
        }
    }

    async fn get(&self, url: &str, limit: Duration, most: usize) -> Result<Bytes, JobFailure> {
        let answer = self.http.get(url).timeout(limit).send().await;
        let answer = self.check(answer.map_err(|error| broken(&error))?).await?;
        read(answer, most).await
    }

    async fn post(&self, url: &str, body: Bytes) -> Result<Response, JobFailure> {
        let post = self.http.post(url).header(CONTENT_TYPE, "application/json").body(body);
        self.check(post.send().await.map_err(|error| broken(&error))?).await
    }

    /// Turns every status but 2xx into the failure it means.
    async fn check(&self, answer: Response) -> Result<Response, JobFailure> {
        if let Some(instance) = self.proof {
            let said = answer.headers().get("muster-instance").map(|value| value.as_bytes());
            if said != Some(instance.to_string().as_bytes()) {
                return Err(bad("another process answers at its address".to_owned()));
            }
        }
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        if matches!(status.as_u16(), 409 | 429 | 503) {
            return Err(JobFailure::GivenBack { after: come_back(answer.headers()) });
        }
        let body = read(answer, ERROR_BYTES * 8).await.unwrap_or_default();
        let error = error_text(&body);
        Err(match status.as_u16() {
            400..500 => JobFailure::Refused { error: format!("{} {error}", status.as_u16()) },
            500 => JobFailure::Model { error },
            // Our own model server says it in words.
            504 if self.proof.is_some() => JobFailure::Model { error },
            504 => JobFailure::Model { error: format!("its own time limit was over. {error}") },
            other => JobFailure::Model { error: format!("its server answered {other}. {error}") },
        })
    }
}

/// The state of an asynchronous job.
#[derive(Debug, Deserialize)]
pub(crate) struct JobStatus {
    pub status: String,
    #[serde(default)]
    pub error: Option<String>,
}

/// Without a connection nothing was sent: that is nobody's failed attempt. Whether the server is gone
/// is for its watcher to say.
fn broken(error: &reqwest::Error) -> JobFailure {
    if error.is_connect() {
        return JobFailure::GivenBack { after: COME_BACK };
    }
    JobFailure::Disconnected
}

fn bad(what: String) -> JobFailure {
    JobFailure::BadAnswer { what }
}

fn most_bytes(inputs: usize, columns: usize) -> usize {
    let row = ANSWER_BYTES_PER_INPUT + columns * ANSWER_BYTES_PER_COLUMN;
    ANSWER_BYTES.saturating_add(inputs.saturating_mul(row)).min(ANSWER_BYTES_AT_MOST)
}

fn come_back(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds
        .map_or(COME_BACK, Duration::from_secs)
        .clamp(Duration::from_millis(100), Duration::from_secs(60))
}

async fn read(answer: Response, most: usize) -> Result<Bytes, JobFailure> {
    let mut whole = BytesMut::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| JobFailure::Disconnected)?;
        if whole.len() + chunk.len() > most {
            return Err(JobFailure::TooLong { mib: most >> 20 });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// What a model server says of an error: `{"detail": ..}`, or the start of the text.
fn error_text(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Detail {
        detail: serde_json::Value,
    }
    let text = match serde_json::from_slice::<Detail>(body) {
        Ok(Detail { detail: serde_json::Value::String(text) }) => text,
        Ok(Detail { detail }) => detail.to_string(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let text = text.replace('\0', "\u{fffd}");
    let mut end = text.len().min(ERROR_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text[..end].trim() {
        "" => "it gave no reason".to_owned(),
        text => text.to_owned(),
    }
}

fn is_encrypted(url: &str) -> bool {
    url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encrypted_needs_certificates() {
        assert!(is_encrypted("https://a") && is_encrypted("HTTPS://a"));
        assert!(!is_encrypted("http://https:80") && !is_encrypted("http:"));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_fails_nobodys_attempt() {
        // Another test of this process may have done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let address = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address")
        };
        let url = Address::Url(format!("http://{address}"));
        let server = ModelServer::new(InstanceId(uuid::Uuid::nil()), &url).expect("a client");
        let failed = server.run(Bytes::from_static(b"[]"), 1, 0).await;
        assert_eq!(failed, Err(JobFailure::GivenBack { after: COME_BACK }));
        let asked = server.job_status("7", Duration::ZERO).await.map(|status| status.status);
        assert_eq!(asked, Err(JobFailure::GivenBack { after: COME_BACK }));
    }

    #[test]
    fn error_texts_are_the_servers_words_and_bounded() {
        assert_eq!(error_text(br#"{"detail": "no such file"}"#), "no such file");
        assert_eq!(error_text(br#"{"detail": [1]}"#), "[1]");
        assert_eq!(error_text(b" "), "it gave no reason");
        assert_eq!(error_text("ä".repeat(5000).as_bytes()).len(), ERROR_BYTES);
    }
}
