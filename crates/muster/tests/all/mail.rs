//! Mail of the real binary to a server that wants STARTTLS.

use std::process::Command;

use serde_json::json;

use crate::smtp::SmtpServer;
use crate::support::{Output, PASSWORD, World, until};

/// A certificate for `localhost` that vouches for itself, and its key.
fn certificate(world: &World) -> [std::path::PathBuf; 2] {
    let files = ["certificate.pem", "key.pem"].map(|name| world.path(name));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=mail of a test"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&files[0])
        .arg("-keyout")
        .arg(&files[1])
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_over_tls_to_a_server_with_a_certificate_that_is_trusted_and_to_no_other() {
    let world = World::new(&[]);
    let files = certificate(&world);
    let mut smtp = SmtpServer::start(&files).await;
    let url = smtp.url.replace("127.0.0.1", "localhost") + "?tls=required";
    for trusted in [false, true] {
        let hub = world.hub_with(&[], |command| {
            command.env("MUSTER_MAIL_URL", &url);
            command.env("MUSTER_MAIL_FROM", "Muster <hub@example.org>");
            command.env("MUSTER_PUBLIC_URL", "https://hub.example.org");
            if trusted {
                command.env("SSL_CERT_FILE", &files[0]);
            }
        });
        let name = if trusted { "ada" } else { "grace" };
        let person = json!({"name": name, "first_name": "A", "last_name": "B",
            "email": format!("{name}@example.org"), "password": PASSWORD});
        let (person, url) = (person.to_string(), format!("{}/api/v1/accounts", hub.url()));
        let signed_up = ["--silent", "--fail-with-body", "--json", &person, &url];
        let signed_up = Output::of(world.curl(&signed_up));
        assert_eq!(signed_up.code, 0, "{signed_up:?}");
        if trusted {
            // The first one: the other mail never came.
            let message = smtp.message().await;
            assert_eq!(message.from, "hub@example.org");
            assert_eq!(message.to, ["ada@example.org"]);
            assert_eq!(message.subject, "Confirm your address");
            assert!(!message.token("/account/email").is_empty());
        } else {
            until("the hub says why", || world.read("log").contains("mail was not sent"));
            assert!(
                world.read("log").contains("invalid peer certificate"),
                "{}",
                world.read("log")
            );
        }
    }
}
