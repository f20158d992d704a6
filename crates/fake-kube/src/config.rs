//! What cluster is served.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use serde_json::Value;

use crate::actors::Actors;
use crate::{Kind, Resource};

#[derive(Clone)]
pub struct Config {
    /// The minor version of Kubernetes: `33` is 1.33. From 34 on a watch can send the initial events.
    pub minor: u16,
    /// 0: any that is free.
    pub port: u16,
    /// Kinds beside those that every cluster has.
    pub kinds: Vec<Kind>,
    /// How many changes are remembered; watches and pages of older ones have expired (410).
    pub history: usize,
    /// How often a quiet watch says up to where it is.
    pub bookmarks: Duration,
    /// Plain HTTP without.
    pub tls: Option<Tls>,
    /// Bearer tokens. Who has none is the administrator, as who has `admin`; who has another one is nobody (401).
    pub tokens: BTreeMap<String, User>,
    /// Says whether an object may be stored; its words are the answer (403).
    pub admission: Option<Arc<Admission>>,
    /// A scheduler, kubelets and what makes nodes; without, nobody acts on what is stored.
    pub actors: Option<Actors>,
}

pub type Admission = dyn Fn(&Asked<'_>) -> Result<(), String> + Send + Sync;

/// What admission is asked about.
pub struct Asked<'a> {
    pub verb: &'a str,
    pub of: &'a Resource,
    pub object: &'a Value,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            minor: 33,
            port: 0,
            kinds: Vec::new(),
            history: 50_000,
            bookmarks: Duration::from_secs(60),
            tls: None,
            tokens: BTreeMap::new(),
            admission: None,
            actors: None,
        }
    }
}

/// The administrator's token.
pub(crate) const ADMIN: &str = "admin";

/// Who calls.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
}

impl User {
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().chain(&["system:authenticated"]);
        Self { name: name.to_owned(), groups: groups.map(|&group| group.to_owned()).collect() }
    }

    pub fn admin() -> Self {
        Self::new("kubernetes-admin", &["system:masters"])
    }

    pub fn service_account(namespace: &str, name: &str) -> Self {
        let within = format!("system:serviceaccounts:{namespace}");
        let name = format!("system:serviceaccount:{namespace}:{name}");
        Self::new(&name, &["system:serviceaccounts", &within])
    }
}

/// A certificate for 127.0.0.1 with its key and the authority that signed it, as PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: String,
    pub key: String,
    pub authority: String,
}

impl Tls {
    /// An authority made for the moment, by the program `openssl`, and a certificate by it.
    pub fn throwaway() -> io::Result<Self> {
        let made = Made::new()?;
        let openssl = |command: &str| {
            let ran = Command::new("openssl")
                .args(command.split_whitespace())
                .current_dir(&made.0)
                .output()?;
            if ran.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            Err(io::Error::other(format!("openssl {command}: {said}")))
        };
        const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!(
            "req -x509 {KEY} -days 2 -subj /CN=fake-kube-authority -keyout ca.key -out ca.pem"
        ))?;
        openssl(&format!("req {KEY} -subj /CN=kube-apiserver -keyout key.pem -out asked.pem"))?;
        fs::write(
            made.0.join("extensions"),
            "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc\n\
             basicConstraints=CA:FALSE\n",
        )?;
        openssl(
            "x509 -req -in asked.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile extensions -out certificate.pem",
        )?;
        let read = |name: &str| fs::read_to_string(made.0.join(name));
        Ok(Self {
            certificate: read("certificate.pem")?,
            key: read("key.pem")?,
            authority: read("ca.pem")?,
        })
    }
}

/// A folder that goes with what was made in it.
struct Made(std::path::PathBuf);

impl Made {
    fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("fake-kube-{}", crate::objects::uid()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What stays is a folder among the temporary ones.
        drop(fs::remove_dir_all(&self.0));
    }
}
