//! Connections: accepted, served, and cut where a fault says so.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::api::{self, Kube};
use crate::config::Tls;

/// The connection ends here.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on demand")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

pub(crate) type Body = UnsyncBoxBody<Bytes, Cut>;

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(Cut::from).boxed_unsync()
}

pub(crate) fn acceptor(tls: &Tls) -> io::Result<TlsAcceptor> {
    let bad = |error: &dyn std::fmt::Display| io::Error::other(format!("the certificate: {error}"));
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(tls.certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(tls.key.as_bytes()).map_err(|e| bad(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&e))?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(|e| bad(&e))?, key)
        .map_err(|e| bad(&e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until it is dropped; the connections end with it.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, kube: Arc<Kube>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, most likely: they come back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if !kube.faults.is_away() {
            connections.spawn(connection(stream, tls.clone(), Arc::clone(&kube)));
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, kube: Arc<Kube>) {
    let mut changed = kube.faults.changed();
    let serve = async {
        // Small answers leave at once.
        drop(stream.set_nodelay(true));
        match tls {
            None => http(stream, &kube).await,
            // A client that does not trust the certificate ends the handshake: its own affair.
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    http(stream, &kube).await;
                }
            }
        }
    };
    let away = async { while !kube.faults.is_away() && changed.changed().await.is_ok() {} };
    tokio::select! {
        () = serve => {}
        () = away => {}
    }
}

async fn http(stream: impl AsyncRead + AsyncWrite + Unpin + Send, kube: &Arc<Kube>) {
    let service = service_fn(|request: http::Request<Incoming>| api::answer(kube, request));
    // Ends with an error when it is cut, or when the client goes away in the middle.
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}
