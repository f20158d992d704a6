//! What every request passes before and after its route: the checks of its head, the headers of
//! every answer, the id, the figures, and a net under panics.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{self, AUTHORIZATION, HOST, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use tower::Service as _;

use crate::http::counts::Counts;
use crate::http::listen::{Peer, Place, Service};
use crate::http::network::{Addresses, client, holder, is_proxy};
use crate::http::pace::Pace;
use crate::http::problem::{Kind, Problem};
use crate::http::share::{Hold, Share};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A router behind the checks.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    router: Router,
    hosts: Hosts,
    ids: Ids,
    counts: Option<Arc<Counts>>,
    /// Requests under way that proxies brought, and the proxies.
    proxied: Arc<Share>,
    proxies: Vec<Addresses>,
}

/// Answered also when there is no place.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

impl Door {
    /// `counts` counts the requests, if they are to be counted. `proxied`: how many requests may be
    /// under way that these proxies brought, in all and of one network.
    pub fn new(
        router: Router,
        hosts: Hosts,
        counts: Option<Arc<Counts>>,
        proxied: (Arc<Share>, Vec<Addresses>),
    ) -> Self {
        let (proxied, proxies) = proxied;
        Self(Arc::new(Inner { router, hosts, ids: Ids::new(), counts, proxied, proxies }))
    }
}

impl Inner {
    /// A place for a request, if it came by a proxy: of the network it comes from.
    fn place(&self, request: &Request<Incoming>) -> Result<Option<Arc<Hold>>, Problem> {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let Some(peer) = peer.filter(|peer| is_proxy(*peer, &self.proxies)) else {
            return Ok(None);
        };
        let client = client(peer, request.headers(), &self.proxies);
        let hold = self.proxied.hold(Some(holder(client)), 1).map_err(|_| full())?;
        Ok(Some(Arc::new(hold)))
    }
}

fn full() -> Problem {
    let detail = "The hub has as many connections as it may have, in all or from your network. Close \
                  some, or try again.";
    Problem::new(Kind::Busy, detail)
}

impl Service for Door {
    async fn call(&self, request: Request<Incoming>, pace: &Arc<Pace>, place: Place) -> Response {
        let door = &*self.0;
        let begun = Instant::now();
        let id = door.ids.next();
        let route = door.counts.as_ref().map(|counts| counts.route(request.uri().path()));
        let method = request.method().clone();
        let admitted = check_head(&request, &door.hosts).and_then(|()| {
            if PROBES.contains(&request.uri().path()) {
                return Ok(None);
            }
            if place == Place::Spare { Err(full()) } else { door.place(&request) }
        });
        let mut response = match admitted {
            Err(problem) => problem.into_response(),
            Ok(hold) => {
                let routed = door.router.clone().call(request);
                match AssertUnwindSafe(routed).catch_unwind().await {
                    Ok(Ok(mut response)) => {
                        if let Some(hold) = hold {
                            response.extensions_mut().insert(hold);
                        }
                        response
                    }
                    Ok(Err(never)) => match never {},
                    Err(_) => {
                        tracing::error!(request.id = ?id, "a handler panicked");
                        Problem::internal().into_response()
                    }
                }
            }
        };
        let status = response.status();
        pace.linger(status.is_client_error() || status.is_server_error());
        add_headers(response.headers_mut(), id);
        if place == Place::Spare {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let (Some(counts), Some(route)) = (&door.counts, route) {
            counts.answered(route, &method, status, begun.elapsed());
        }
        response
    }
}

/// Headers that no answer goes without. The pages among the routes set their own policy.
fn add_headers(headers: &mut HeaderMap, id: HeaderValue) {
    let policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    headers.reserve(8);
    headers.insert(REQUEST_ID, id);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// What hyper lets pass although it is not a well-formed request for this server.
fn check_head<B>(request: &Request<B>, hosts: &Hosts) -> Result<(), Problem> {
    let bad = |detail: &str| Err(Problem::new(Kind::BadRequest, detail));
    let headers = request.headers();
    let mut all = headers.get_all(HOST).iter();
    let (Some(host), None) = (all.next(), all.next()) else {
        return bad("Send exactly one Host header.");
    };
    let Ok(host) = host.to_str() else { return bad("The Host header is not a host name.") };
    if request.uri().authority().is_some_and(|a| !a.as_str().eq_ignore_ascii_case(host)) {
        return bad("The Host header and the request's target name different hosts.");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if coding.is_some_and(|c| !c.as_bytes().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return bad("The only Transfer-Encoding that is understood is chunked.");
    }
    if !comes_from_here(request, host) {
        let detail = "Pages of other sites may not change anything here. Scripts: do not send \
                      cookies or an Origin; use `Authorization: Bearer TOKEN`.";
        return Err(Problem::new(Kind::CrossSite, detail));
    }
    if !hosts.allow(host) {
        return bad(
            "The Host header names a host that this hub does not answer for. The operator \
                    can allow it.",
        );
    }
    Ok(())
}

/// Is it harmless, or not sent by a page of another site? Browsers say which site a request comes
/// from; what has a cookie and does not say so is not believed.
fn comes_from_here<B>(request: &Request<B>, host: &str) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    let headers = request.headers();
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        Some(origin) => {
            let ours = origin.split_once("://").map(|(_, authority)| authority);
            ours.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        None => !headers.contains_key(header::COOKIE) || headers.contains_key(AUTHORIZATION),
    }
}

/// The host names that requests may be for: a page of another site whose name was made to point
/// here (DNS rebinding) is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    Any,
    /// Without ports, lower case.
    These(Vec<String>),
}

impl Hosts {
    /// The names that are configured, or what fits the address the server listens on.
    pub fn new(configured: &[String], listens: IpAddr) -> Self {
        if !configured.is_empty() {
            return Self::These(configured.iter().map(|host| name(host).to_lowercase()).collect());
        }
        if !listens.is_loopback() {
            return Self::Any;
        }
        let own = if listens.is_ipv6() { format!("[{listens}]") } else { listens.to_string() };
        Self::These(vec!["localhost".into(), "127.0.0.1".into(), "[::1]".into(), own])
    }

    fn allow(&self, host: &str) -> bool {
        match self {
            Self::Any => host.parse::<http::uri::Authority>().is_ok(),
            Self::These(hosts) => hosts.iter().any(|h| h.eq_ignore_ascii_case(name(host))),
        }
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Ids of HTTP requests, for the log and the person who reports a problem.
struct Ids {
    process: u32,
    next: AtomicU64,
}

impl Ids {
    fn new() -> Self {
        Self { process: getrandom::u32().unwrap_or(0), next: AtomicU64::new(1) }
    }

    fn next(&self) -> HeaderValue {
        let id = format!("{:08x}-{:08x}", self.process, self.next.fetch_add(1, Relaxed));
        HeaderValue::from_maybe_shared(bytes::Bytes::from(id))
            .unwrap_or(HeaderValue::from_static("0"))
    }
}

/// No route has this path.
pub async fn no_route(uri: Uri) -> Problem {
    let detail = if uri.path().len() > 1 && uri.path().ends_with('/') {
        "No route has this path. Paths do not end with a slash."
    } else {
        "No route has this path. The API is described at /api/docs."
    };
    Problem::new(Kind::NotFound, detail)
}

/// The route has other methods; the Allow header says which.
pub async fn no_method() -> Problem {
    let detail = "This route has other methods; the Allow header lists them.";
    Problem::new(Kind::MethodNotAllowed, detail)
}

/// A redirect within this server.
pub fn redirect(to: &'static str) -> Response {
    let mut response = (StatusCode::SEE_OTHER, Body::empty()).into_response();
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_servers_answer_for_loopback_names_only() {
        let hosts = Hosts::new(&[], IpAddr::from([127, 0, 0, 1]));
        for good in ["localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]:8080"] {
            assert!(hosts.allow(good), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "", "localhost:80:80"] {
            assert!(!hosts.allow(bad), "{bad}");
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let from = |method: &str, all: &[(&'static str, &'static str)]| {
            let mut request = Request::builder().method(method);
            for (name, value) in all {
                request = request.header(*name, *value);
            }
            comes_from_here(&request.body(()).expect("a request"), "hub.example:80")
        };
        let cookie = ("cookie", "__Host-muster=x");
        for evil in [
            &[("sec-fetch-site", "cross-site"), cookie][..],
            &[("sec-fetch-site", "same-site"), ("origin", "http://hub.example:80")],
            &[("origin", "https://evil.example"), cookie],
            &[("origin", "http://hub.example:80.evil.example")],
            &[("origin", "null"), cookie],
            &[cookie],
        ] {
            for method in ["POST", "PATCH", "DELETE", "PUT"] {
                assert!(!from(method, evil), "{method} {evil:?}");
            }
            assert!(from("GET", evil), "{evil:?}");
        }
        for good in [
            &[][..],
            &[("sec-fetch-site", "same-origin"), cookie],
            &[("sec-fetch-site", "none"), cookie],
            &[("origin", "http://HUB.example:80"), cookie],
            &[("authorization", "Bearer x"), cookie],
        ] {
            assert!(from("POST", good), "{good:?}");
        }
    }

    #[test]
    fn configured_names_replace_the_usual_ones() {
        let hosts = Hosts::new(&["Hub.Example".into()], IpAddr::from([0, 0, 0, 0]));
        assert!(hosts.allow("hub.example:443"));
        assert!(!hosts.allow("localhost"));
        assert_eq!(Hosts::new(&[], IpAddr::from([0, 0, 0, 0])), Hosts::Any);
    }
}
