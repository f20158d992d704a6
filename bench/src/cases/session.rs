//! What a session costs a request: `GET /api/v1/session`, which needs one, beside `GET /livez`, which
//! does not. The difference has the answer's JSON in it, so it is an upper bound. That a warm session costs
//! no statement is a test of the server.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;

use super::Bench;
use crate::Result;
use crate::hub::Hub;
use crate::load::client::{Client, Extra};
use crate::models::{Python, python};
use crate::report::Line;

/// Microseconds of the hub's processor time.
const MOST: f64 = 30.0;
const ROUNDS: u32 = 4;

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("session")?;
    python(&place.models, &Python { min_instances: 0, ..Python::default() })?;
    let hub = place.hub(bench, None, &[]).await?;
    let mut client = Client::new(hub.address)?;
    let token = client.session().await?;
    let round = Duration::from_secs(bench.pick(4, 2));
    let (mut without, mut with) = (Spent::default(), Spent::default());
    for _ in 0..ROUNDS {
        without.add(&hub, &mut client, "/livez", None, round).await?;
        with.add(&hub, &mut client, "/api/v1/session", Some(&token), round).await?;
    }
    hub.stop().await?;
    let more = with.each() - without.each();
    Ok(vec![Line {
        case: "a warm session".into(),
        figure: format!(
            "{more:.0} µs of the hub's time ({:.0} µs a call instead of {:.0}; {} calls)",
            with.each(),
            without.each(),
            with.calls
        ),
        target: format!("<= {MOST} µs"),
        reached: Some(more <= MOST),
        raw: json!({
            "with_us": with.each(), "without_us": without.each(), "calls": [with.calls, without.calls],
        }),
    }])
}

#[derive(Default)]
struct Spent {
    calls: u32,
    cpu_seconds: f64,
}

impl Spent {
    /// Calls one after the other for as long as a round lasts.
    async fn add(
        &mut self,
        hub: &Hub,
        client: &mut Client,
        path: &str,
        token: Option<&str>,
        round: Duration,
    ) -> Result<()> {
        let (begun, cpu) = (Instant::now(), hub.cpu_seconds()?);
        while begun.elapsed() < round {
            let extra = Extra { token, ..Extra::default() };
            let answer = client.send(Method::GET, path, extra).await?;
            if !answer.status.is_success() {
                return Err(format!("{path} answered {}", answer.status).into());
            }
            self.calls += 1;
        }
        self.cpu_seconds += hub.cpu_seconds()? - cpu;
        Ok(())
    }

    /// Microseconds of a call.
    fn each(&self) -> f64 {
        self.cpu_seconds * 1e6 / f64::from(self.calls.max(1))
    }
}
