//! Counts of HTTP requests, for `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Seconds: 0.25 ms doubled up to 65 s.
const BUCKETS: (f64, f64, u16) = (0.000_25, 2.0, 19);

/// Counts of HTTP requests.
pub struct Counts {
    /// Paths as in the API's description, cut at the slashes; `{..}` is any one piece. The last is
    /// for all that is unknown.
    routes: Vec<(Label, Vec<String>)>,
    requests: Family<Answered, Counter>,
    seconds: Family<Timed, Histogram, fn() -> Histogram>,
}

/// A route, by its place in the list.
#[derive(Clone, Copy)]
pub struct Route(usize);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Label(Arc<str>);

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        self.0.as_ref().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: Label,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    route: Label,
}

fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(BUCKETS.0, BUCKETS.1, BUCKETS.2))
}

impl Counts {
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let cut = |path: String| {
            let pieces = path.split('/').map(str::to_owned).collect();
            (Label(path.into()), pieces)
        };
        let mut routes: Vec<_> = paths.into_iter().map(cut).collect();
        routes.push((Label("unknown".into()), Vec::new()));
        let seconds = Family::new_with_constructor(buckets as fn() -> Histogram);
        Self { routes, requests: Family::default(), seconds }
    }

    pub fn route(&self, path: &str) -> Route {
        let fits = |pieces: &Vec<String>| {
            let mut path = path.split('/');
            pieces
                .iter()
                .all(|piece| path.next().is_some_and(|p| p == piece || piece.starts_with('{')))
                && path.next().is_none()
        };
        let known = self.routes.iter().position(|(_, pieces)| fits(pieces));
        Route(known.unwrap_or(self.routes.len() - 1))
    }

    pub fn answered(&self, route: Route, method: &Method, status: StatusCode, took: Duration) {
        let Some((route, _)) = self.routes.get(route.0) else { return };
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            _ => "other",
        };
        let answered = Answered { method, route: route.clone(), status: status.as_u16() };
        self.requests.get_or_create(&answered).inc();
        let timed = Timed { route: route.clone() };
        self.seconds.get_or_create(&timed).observe(took.as_secs_f64());
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "HTTP requests answered", self.requests.clone());
        let help = "Seconds from a request's head to its answer's head";
        registry.register("http_request_seconds", help, self.seconds.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_ids_are_one_route() {
        let counts = Counts::new(["/a".into(), "/a/{id}".into(), "/a/{id}/b".into()]);
        let name = |path| counts.routes[counts.route(path).0].0.0.to_string();
        assert_eq!(name("/a"), "/a");
        assert_eq!(name("/a/5"), "/a/{id}");
        assert_eq!(name("/a/5/b"), "/a/{id}/b");
        for unknown in ["/", "/a/", "/a/5/c", "/a/5/b/", "/x"] {
            let want = if unknown == "/a/" { "/a/{id}" } else { "unknown" };
            assert_eq!(name(unknown), want, "{unknown}");
        }
    }
}
