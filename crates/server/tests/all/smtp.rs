//! An SMTP server of the test's own (aiosmtpd), which ends with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

const NEED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/need-smtp");
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/tests/all/smtp_server.py");

pub struct SmtpServer {
    pub url: String,
    said: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

/// A message as the server took it.
#[derive(Debug, Deserialize)]
pub struct Message {
    pub from: String,
    pub to: Vec<String>,
    pub subject: String,
    pub text: String,
}

impl Message {
    /// What stands behind the `#` of its link to a page.
    pub fn token(&self, page: &str) -> &str {
        let start = format!("https://hub.example.org{page}#");
        let mut lines = self.text.lines();
        lines.find_map(|line| line.strip_prefix(&start)).expect("a link").trim()
    }
}

impl SmtpServer {
    /// With the files of a certificate and its key it speaks TLS only.
    pub async fn start(certificate: &[PathBuf]) -> Self {
        let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smtp");
        let made = Command::new(NEED).arg(&programs).output().expect("a shell");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = tokio::process::Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(programs.join("bin/python"))
            .arg(SERVER)
            .args(certificate)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("an SMTP server");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let port = said.next_line().await.expect("a line").expect("a port");
        Self { url: format!("smtp://127.0.0.1:{port}"), said, _child: child }
    }

    /// The next message.
    pub async fn message(&mut self) -> Message {
        let line = tokio::time::timeout(Duration::from_secs(20), self.said.next_line()).await;
        let line = line.expect("mail in time").expect("a line").expect("a message");
        serde_json::from_str(&line).expect("a message")
    }
}
