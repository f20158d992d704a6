//! What clients expect that were not written for it, and not for Muster.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The binary, killed at the end.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().expect("a process");
        self.0.wait().expect("its end");
    }
}

fn serve(folder: &Path, more: &[&str]) -> (Served, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-kube"))
        .arg("--kubeconfig")
        .arg(folder.join("kubeconfig"))
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary");
    let said = child.stdout.take().expect("what it says");
    let mut url = String::new();
    BufReader::new(said).read_line(&mut url).expect("its address");
    (Served(child), url.trim().to_owned())
}

#[test]
fn kubectl_and_the_python_client_find_what_they_expect() {
    ask(&["--version", "1.37", "--tls"], &[]);
}

/// From 1.34 on watches can begin with all there is, and clients ask for that: an older server refuses it.
#[test]
fn clients_watch_an_older_server_too() {
    ask(&["--version", "1.33"], &["--only", "watch"]);
}

fn ask(of: &[&str], more: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let actors = folder.path().join("actors.json");
    let images = r#"{ "kubelet": { "images": { "busybox:1": {} } } }"#;
    std::fs::write(&actors, images).expect("a file");
    let actors = actors.to_str().expect("a path");
    let (_served, url) = serve(folder.path(), &[of, &["--actors", actors]].concat());
    assert!(url.starts_with("http"), "{url}");
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubectl");
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kube-contract");
    let ran = Command::new(contract)
        .arg(&programs)
        .args(more)
        .env("KUBECONFIG", folder.path().join("kubeconfig"))
        .output()
        .expect("the contract");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!said.contains("left out: "), "all of it can be asked here: {said}");
}

#[test]
fn the_binary_says_what_is_wrong_with_its_arguments() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeconfig");
    for (more, words) in [
        (["--version", "2.0"], "a version is 1.N"),
        (["--kind", "machines"], "a kind is GROUP/VERSION/PLURAL/KIND"),
        (["--actors", "/nowhere"], "No such file"),
    ] {
        let ran = Command::new(env!("CARGO_BIN_EXE_fake-kube"))
            .arg("--kubeconfig")
            .arg(&file)
            .args(more)
            .output()
            .expect("the binary");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && said.contains(words), "{more:?}: {said}");
    }
}
