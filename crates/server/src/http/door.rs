//! What every request passes before and after its route: the checks of its head, the headers of
//! every answer, the id, the figures, and a net under panics.

use std::collections::HashSet;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{self, AUTHORIZATION, HOST, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use hyper::body::Incoming;
use tower::Service as _;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::http::cookie;
use crate::http::counts::Counts;
use crate::http::listen::{Peer, Place, Service};
use crate::http::network::{Addresses, client, holder, is_proxy};
use crate::http::pace::Pace;
use crate::http::problem::{Kind, Problem};
use crate::http::share::{Hold, Share};
use crate::http::whole::whole;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Bytes of answers to HTTP/1.0 that may be in files at one time.
const FILES: u64 = 4 << 30;

/// A router behind the checks.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    router: Router,
    hosts: Hosts,
    sites: Sites,
    /// Hosts that were refused and told of.
    strangers: Mutex<HashSet<String>>,
    ids: Ids,
    counts: Option<Arc<Counts>>,
    /// Requests under way that proxies brought, and the proxies.
    proxied: Arc<Share>,
    proxies: Vec<Addresses>,
    /// For answers that are written before they are sent.
    files: Arc<Share>,
}

/// Answered also when there is no place.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

impl Door {
    /// `counts` counts the requests, if they are to be counted. `proxied`: how many requests may be
    /// under way that these proxies brought, in all and of one network.
    pub fn new(
        router: Router,
        (hosts, sites): (Hosts, Sites),
        counts: Option<Arc<Counts>>,
        proxied: (Arc<Share>, Vec<Addresses>),
    ) -> Self {
        let (proxied, proxies) = proxied;
        let (ids, strangers) = (Ids::new(), Mutex::default());
        let files = Share::new(FILES, FILES);
        Self(Arc::new(Inner {
            router,
            hosts,
            sites,
            strangers,
            ids,
            counts,
            proxied,
            proxies,
            files,
        }))
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
    async fn call(
        &self,
        mut request: Request<Incoming>,
        pace: &Arc<Pace>,
        place: Place,
    ) -> Response {
        let door = &*self.0;
        let begun = Instant::now();
        let id = door.ids.next();
        let route = door.counts.as_ref().map(|counts| counts.route(request.uri().path()));
        let method = request.method().clone();
        let is_old = request.version() < Version::HTTP_11;
        if is_old {
            // What is packed on the way has no length.
            request.headers_mut().remove(header::ACCEPT_ENCODING);
        }
        let admitted = check_head(&request, &door.hosts, &door.sites).and_then(|()| {
            if PROBES.contains(&request.uri().path()) {
                return Ok(None);
            }
            let place = if place == Place::Spare { Err(full()) } else { door.place(&request) };
            place.map_err(Refused::Problem)
        });
        let mut response = match admitted {
            Err(Refused::Problem(problem)) => problem.into_response(),
            Err(Refused::Host(host)) => {
                door.tell_of(host);
                let detail = "The Host header names a host that this hub does not answer for. \
                              Whoever runs it can allow it: the setting is `allowed_hosts`, or \
                              `public_url`; behind a proxy see docs/reverse-proxy.md.";
                Problem::new(Kind::BadRequest, detail).into_response()
            }
            Ok(hold) => {
                let routed = door.router.clone().call(request);
                let routed = async {
                    match routed.await {
                        Ok(response) if is_old => Ok(whole(response, &door.files).await),
                        routed => routed,
                    }
                };
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

impl Inner {
    /// Tells the operator of a host that was refused, once, and of a few only: anybody can send some.
    fn tell_of(&self, host: String) {
        const MOST: usize = 16;
        let mut told = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST && told.insert(host.clone()) {
            tracing::warn!(
                ?host,
                "a request was refused for its Host header; if it is a name of this hub, add it to \
                 allowed_hosts (MUSTER_ALLOWED_HOSTS)"
            );
        }
    }
}

/// Why a request does not get past the door.
enum Refused {
    Problem(Problem),
    Host(String),
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
fn check_head<B>(request: &Request<B>, hosts: &Hosts, sites: &Sites) -> Result<(), Refused> {
    let refused = |kind, detail: &str| Err(Refused::Problem(Problem::new(kind, detail)));
    let bad = |detail: &str| refused(Kind::BadRequest, detail);
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
    if !sites.may_change(request, host) {
        let detail = "Pages of other sites may not change anything here with the hub's cookie, and \
                      without it only those in the setting `cors_origins`. Scripts: do not send an \
                      Origin or the hub's cookie; use `Authorization: Bearer TOKEN`.";
        return refused(Kind::CrossSite, detail);
    }
    if hosts.allow(host) { Ok(()) } else { Err(Refused::Host(host.to_owned())) }
}

/// Whose pages may change something, as `scheme://host` and a port that is not the usual one.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// Where browsers reach the hub, if it knows.
    pub ours: Option<String>,
    /// Others that may, with a token.
    pub others: Vec<String>,
}

impl Sites {
    /// Is it harmless, or sent by whom it is said to come from? Browsers say which site a page is from;
    /// what has the hub's cookie and does not say so is not believed.
    fn may_change<B>(&self, request: &Request<B>, host: &str) -> bool {
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return true;
        }
        let headers = request.headers();
        let by_cookie = cookie::says_who_asks(headers);
        let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        let is = |site: &String| origin.is_some_and(|origin| origin.eq_ignore_ascii_case(site));
        if self.others.iter().any(is) {
            return !by_cookie;
        }
        if let Some(site) = headers.get("sec-fetch-site") {
            return matches!(site.as_bytes(), b"same-origin" | b"none");
        }
        let Some(origin) = origin else { return !by_cookie };
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
            || self.ours.as_ref().is_some_and(is)
    }

    /// Answers the questions of browsers for pages of other sites. Cookies are never for them.
    pub fn layer(&self) -> CorsLayer {
        let origins = self.others.iter().filter_map(|origin| origin.parse().ok());
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE];
        let sent = [
            AUTHORIZATION,
            header::ACCEPT,
            header::CONTENT_ENCODING,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_RANGE,
            header::RANGE,
            HeaderName::from_static("idempotency-key"),
        ];
        let seen = [
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            REQUEST_ID,
        ];
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods(methods)
            .allow_headers(sent)
            .expose_headers(seen)
            .max_age(Duration::from_secs(3600))
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
    /// The names that are configured, or what fits the address the server listens on; and where
    /// browsers reach it, if it is known.
    pub fn new(configured: &[String], public: Option<&str>, listens: IpAddr) -> Self {
        let public = public.and_then(|origin| origin.split_once("://"));
        let public = public.map(|(_, host)| name(host).to_lowercase());
        if !configured.is_empty() {
            let names = configured.iter().map(|host| name(host).to_lowercase());
            return Self::These(names.chain(public).collect());
        }
        if !listens.is_loopback() {
            return Self::Any;
        }
        let own = if listens.is_ipv6() { format!("[{listens}]") } else { listens.to_string() };
        let names = ["localhost".into(), "127.0.0.1".into(), "[::1]".into(), own];
        Self::These(names.into_iter().chain(public).collect())
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

/// A redirect within this server, relative to the path that was asked for: so it holds as well where a
/// proxy puts the hub below a path.
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
        let hosts = Hosts::new(&[], None, IpAddr::from([127, 0, 0, 1]));
        for good in ["localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]:8080"] {
            assert!(hosts.allow(good), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "", "localhost:80:80"] {
            assert!(!hosts.allow(bad), "{bad}");
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let sites = Sites {
            ours: Some("https://hub.example.org".into()),
            others: vec!["https://lab.example".into()],
        };
        let from = |method: &str, all: &[(&'static str, &'static str)]| {
            let mut request = Request::builder().method(method);
            for (name, value) in all {
                request = request.header(*name, *value);
            }
            sites.may_change(&request.body(()).expect("a request"), "hub.example:80")
        };
        let cookie = ("cookie", "__Host-muster=x");
        for evil in [
            &[("sec-fetch-site", "cross-site"), cookie][..],
            &[("sec-fetch-site", "same-site"), ("origin", "http://hub.example:80")],
            &[("origin", "https://evil.example"), cookie],
            &[("origin", "http://hub.example:80.evil.example")],
            &[("origin", "null"), cookie],
            &[("origin", "https://lab.example"), ("sec-fetch-site", "cross-site"), cookie],
            &[("origin", "https://lab.example"), cookie, ("cookie", "x=1")],
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
            &[("cookie", "_sso=1; other=__Host-muster")],
            &[("origin", "https://hub.example.org"), cookie],
            &[("origin", "https://lab.example"), ("sec-fetch-site", "cross-site")],
            &[("origin", "https://lab.example"), ("authorization", "Bearer x"), cookie],
        ] {
            assert!(from("POST", good), "{good:?}");
        }
    }

    #[test]
    fn configured_names_replace_the_usual_ones() {
        let all = IpAddr::from([0, 0, 0, 0]);
        let public = Hosts::new(&["a.example".into()], Some("https://Hub.example:8443"), all);
        assert!(public.allow("hub.example") && public.allow("a.example:1"));
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let public = Hosts::new(&[], Some("https://hub.example"), loopback);
        assert!(public.allow("hub.example") && public.allow("localhost"));
        let hosts = Hosts::new(&["Hub.Example".into()], None, all);
        assert!(hosts.allow("hub.example:443"));
        assert!(!hosts.allow("localhost"));
        assert_eq!(Hosts::new(&[], None, all), Hosts::Any);
    }
}
