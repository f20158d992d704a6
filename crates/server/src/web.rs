//! The web app: one page for every path that a person may open, and the files it names.

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, REFERRER_POLICY, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use muster_core::hex::hex;
use sha2::{Digest as _, Sha256};

use crate::http::door::no_route;
use crate::http::problem::Problem;

/// Stands in the page where the nonce of an answer goes.
const NONCE: &str = "__CSP_NONCE__";

/// Stands in the page where it says from where its addresses count.
const BASE: &str = "<base href=\"/\"";

/// What a hub whose binary was built without the app shows.
const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><base href=\"/\"><title>Muster</title>\
    <h1>The web app is not in this binary</h1>\
    <p>Build it, then the binary: <code>make web && cargo build --release -p muster</code>\
    <p>The API is there: <a href=api/docs/>its description</a>. So is the command line: \
    <code>muster models</code>";

/// The files of the built app: names and bytes, as in the crate `muster-web`.
#[derive(Clone, Copy, Default)]
pub struct WebFiles(pub &'static [(&'static str, &'static [u8])]);

impl fmt::Debug for WebFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files", self.0.len())
    }
}

/// The app, ready to be served.
#[derive(Clone)]
pub struct Web {
    page: Option<&'static str>,
    files: Arc<HashMap<&'static str, File>>,
    /// Of the page, which names all other files by what is in them.
    build: Option<Arc<str>>,
    /// Where browsers have the hub on its host, if the configuration says so: `/hub`.
    below: Option<String>,
}

#[derive(Default)]
struct File {
    plain: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

impl Web {
    pub fn new(files: WebFiles, below: &str) -> Self {
        let mut all: HashMap<&'static str, File> = HashMap::new();
        let (mut page, mut build) = (None, None);
        for &(name, bytes) in files.0 {
            if name == "index.html" {
                page = std::str::from_utf8(bytes).ok();
                let hash: [u8; 32] = Sha256::digest(bytes).into();
                build = Some(hex(&hash[..6]).into());
            } else if let Some(name) = name.strip_suffix(".br") {
                all.entry(name).or_default().brotli = Some(bytes);
            } else if let Some(name) = name.strip_suffix(".gz") {
                all.entry(name).or_default().gzip = Some(bytes);
            } else {
                all.entry(name).or_default().plain = Some(bytes);
            }
        }
        let below = (!below.is_empty()).then(|| below.replace('&', "&amp;").replace('"', "&quot;"));
        Self { page, files: Arc::new(all), build, below }
    }

    pub fn build(&self) -> Option<&str> {
        self.build.as_deref()
    }

    /// The page as it is at a path, with a nonce that only this answer has.
    fn page(&self, path: &str) -> Result<Response, Problem> {
        let base = format!("<base href=\"{}\"", self.base(path));
        let Some(page) = self.page else {
            return Ok(Html(NOT_BUILT.replacen(BASE, &base, 1)).into_response());
        };
        let page = page.replacen(BASE, &base, 1);
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| Problem::internal())?;
        let nonce = STANDARD.encode(nonce);
        let policy = HeaderValue::try_from(policy(&nonce)).map_err(|_| Problem::internal())?;
        let mut response = Html(page.replace(NONCE, &nonce)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        // Links to the hub's own pages carry where they come from, links elsewhere nothing.
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), microphone=(), geolocation=()"),
        );
        Ok(response)
    }

    /// From where the page's addresses count. A proxy may have taken the beginning of the path
    /// away: without a word about it, the way is up from the path that is left.
    fn base(&self, path: &str) -> String {
        match &self.below {
            Some(below) => format!("{below}/"),
            None => match path.matches('/').count() {
                0 | 1 => "./".to_owned(),
                depth => "../".repeat(depth - 1),
            },
        }
    }
}

/// Scripts and workers are the app's own files, styles also what Angular adds with the nonce; no
/// text becomes script but through the app's one policy, which lets its own workers pass.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' \
         'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
         manifest-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types angular default"
    )
}

/// The front page.
pub async fn front(State(web): State<Web>) -> Result<Response, Problem> {
    web.page("/")
}

/// What no route has: a file of the app, its page where somebody opens a path in a browser, or a
/// problem.
pub async fn page_or_file(State(web): State<Web>, request: Request) -> Result<Response, Problem> {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads || path == "/api" || path.starts_with("/api/") {
        return Err(no_route(request.uri().clone()).await);
    }
    if let Some((&name, file)) = web.files.get_key_value(path.trim_start_matches('/')) {
        return file.answer(name, request.headers());
    }
    if asks_for_html(request.headers()) {
        return web.page(path);
    }
    Err(no_route(request.uri().clone()).await)
}

fn asks_for_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

impl File {
    fn answer(&self, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let (coding, bytes) = self.coded(headers)?;
        let mut response = Body::from(bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind(name)));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        // A worker's policy is that of its script: one of them reads results.
        if name.starts_with("worker-") {
            let policy = HeaderValue::from_static("default-src 'none'; connect-src 'self'");
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        let kept = if is_hashed(name) { "max-age=31536000, immutable" } else { "max-age=3600" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
        Ok(response)
    }

    /// In the smallest coding that the client takes.
    fn coded(&self, headers: &HeaderMap) -> Result<(Option<&'static str>, Bytes), Problem> {
        let takes = |coding| takes(headers, coding);
        match (self.plain, self.brotli, self.gzip) {
            (Some(plain), ..) => Ok((None, Bytes::from_static(plain))),
            (_, Some(brotli), _) if takes("br") => Ok((Some("br"), Bytes::from_static(brotli))),
            (.., Some(gzip)) if takes("gzip") => Ok((Some("gzip"), Bytes::from_static(gzip))),
            (.., gzip) => {
                let mut plain = Vec::new();
                let mut reader = GzDecoder::new(gzip.unwrap_or_default());
                reader.read_to_end(&mut plain).map_err(|_| Problem::internal())?;
                Ok((None, plain.into()))
            }
        }
    }
}

/// Does the client take this coding? What it does not name it does not take.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(coding) && !refused
    })
}

/// Does the name change with what is in the file (`main-4QZ2XWPB.js`)?
fn is_hashed(name: &str) -> bool {
    let Some((stem, "js" | "css" | "woff2")) = name.rsplit_once('.') else { return false };
    let Some((stem, hash)) = stem.len().checked_sub(8).and_then(|at| stem.split_at_checked(at))
    else {
        return false;
    };
    stem.ends_with('-') && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json" | "webmanifest") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_taken_as_the_client_says() {
        let says = |text: &'static str, coding| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            takes(&headers, coding)
        };
        assert!(says("gzip, deflate, br, zstd", "br"));
        assert!(says("gzip;q=0.5", "gzip"));
        assert!(!says("gzip;q=0, br", "gzip"));
        assert!(!says("brotli", "br"));
        assert!(!takes(&HeaderMap::new(), "gzip"));
    }

    #[test]
    fn only_names_with_a_hash_are_kept_for_good() {
        for hashed in ["main-4QZ2XWPB.js", "chunk-Dv_o-R8q.js", "media/inter-normal-ABCD1234.woff2"]
        {
            assert!(is_hashed(hashed), "{hashed}");
        }
        for other in ["favicon.svg", "licences-of-all.txt", "main-short.js", "icons-12345678.svg"] {
            assert!(!is_hashed(other), "{other}");
        }
    }
}
