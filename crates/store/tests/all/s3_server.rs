//! An S3 server of the test's own (moto), which ends with it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures::TryStreamExt;
use muster_store::Objects;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::until;

const NEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/need-s3");

pub struct S3Server {
    pub address: SocketAddr,
    /// The bucket as somebody else sees it.
    pub bucket: AmazonS3,
    child: Child,
    _folder: TempDir,
}

impl S3Server {
    /// With an empty bucket.
    pub async fn start() -> Self {
        // Whoever came first has decided.
        drop(rustls::crypto::ring::default_provider().install_default());
        let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("s3");
        let made = Command::new(NEED).arg(&programs).output().expect("a shell");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let output = File::create(&log).expect("a file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(programs.join("bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("an S3 server");
        let told = || {
            let said = std::fs::read_to_string(&log).expect("its log");
            let url =
                said.split("Running on http://").nth(1)?.split_once('\n')?.0.trim().to_owned();
            url.parse::<SocketAddr>().ok()
        };
        until("the S3 server says where it is", async || told().is_some()).await;
        let address = told().expect("an address");
        let mut builder = AmazonS3Builder::new().with_bucket_name("muster");
        for (name, value) in options(address) {
            builder = builder.with_config(name.parse().expect("an option"), value);
        }
        let bucket = builder.build().expect("a bucket");
        let server = Self { address, bucket, child, _folder: folder };
        let made = server.ask("PUT /muster").await;
        assert!(made.starts_with("HTTP/1.1 200"), "{made}");
        server
    }

    /// Sends a request without a body; the whole answer as text.
    pub async fn ask(&self, what: &str) -> String {
        let mut conn = TcpStream::connect(self.address).await.expect("the S3 server");
        let host = self.address;
        let head = format!(
            "{what} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        conn.write_all(head.as_bytes()).await.expect("it is sent");
        let mut answer = String::new();
        conn.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    pub async fn names(&self) -> Vec<String> {
        let all: Vec<_> = self.bucket.list(None).try_collect().await.expect("a list");
        let mut names: Vec<String> = all.iter().map(|meta| meta.location.to_string()).collect();
        names.sort();
        names
    }

    pub async fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = name.into();
        let object = self.bucket.get(&path).await.expect("the object").bytes().await;
        let mut bytes = object.expect("its bytes").to_vec();
        change(&mut bytes);
        self.bucket.put(&path, PutPayload::from(bytes)).await.expect("it is changed");
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("it ends");
    }
}

/// The bucket, by way of an address.
pub fn objects(address: SocketAddr) -> Objects {
    Objects::S3 { url: "s3://muster/hub".into(), options: options(address) }
}

/// One that does not wait long for an answer.
pub fn hasty_objects(address: SocketAddr) -> Objects {
    let mut options = options(address);
    options.push(("timeout".into(), "500ms".into()));
    Objects::S3 { url: "s3://muster/hub".into(), options }
}

fn options(address: SocketAddr) -> Vec<(String, String)> {
    let endpoint = format!("http://{address}");
    let all = [
        ("endpoint", endpoint.as_str()),
        ("allow_http", "true"),
        ("region", "us-east-1"),
        ("access_key_id", "test"),
        ("secret_access_key", "test"),
    ];
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
