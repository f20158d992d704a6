//! How a cluster is for a hub, asked when somebody wants to know.

use std::time::Duration;

use muster_core::room::Scaler;
use muster_core::{Check, CheckState as State};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{Calls, Failed};
use super::scalers::scalers;
use super::start::{Missing, missing};
use crate::{Sight, Watched};

/// How old an answer may be: one is a dozen calls.
const FRESH: Duration = Duration::from_secs(10);

type Told = (Instant, Result<Vec<Scaler>, String>);

/// Asks a cluster. It watches nothing and changes nothing.
pub struct Survey {
    calls: Calls,
    sees_cluster: bool,
    scalers: Mutex<Option<Told>>,
}

impl Survey {
    pub fn new(client: kube::Client, namespace: Option<&str>, sees_cluster: bool) -> Self {
        let namespace = namespace.unwrap_or(client.default_namespace()).to_owned();
        Self { calls: Calls { client, namespace }, sees_cluster, scalers: Mutex::default() }
    }

    /// Who makes nodes.
    ///
    /// # Errors
    ///
    /// Why the API cannot be asked.
    pub async fn scalers(&self) -> Result<Vec<Scaler>, String> {
        let mut last = self.scalers.lock().await;
        if let Some((at, told)) = &*last
            && at.elapsed() < FRESH
        {
            return told.clone();
        }
        let told = scalers(&self.calls, self.sees_cluster).await;
        let told = told.map_err(|failed| failed.in_full());
        *last = Some((Instant::now(), told.clone()));
        told
    }

    /// Does the API answer, does it know the hub, and may the hub do what it has to?
    pub async fn examine(&self) -> Vec<Check> {
        let (api, is_there) = match missing(&self.calls).await {
            Ok(missing) => (self.rights(&missing), true),
            Err(failed) => (check("kubernetes", State::Broken, self.away(&failed)), false),
        };
        let mut checks = vec![api];
        if is_there {
            checks.push(autoscalers(self.scalers().await));
        }
        checks
    }

    fn rights(&self, Missing { needed, wished }: &Missing) -> Check {
        let namespace = &self.calls.namespace;
        let (state, what) = match (&needed[..], &wished[..]) {
            ([], []) => (State::Good, "it may do all that it has to".to_owned()),
            ([], wished) => {
                (State::Note, format!("it may not {}, so less is told of pods", wished.join(", ")))
            }
            (needed, _) => {
                let needed = needed.join(", ");
                (State::Broken, format!("it may not {needed}: docs/kubernetes.md has the role"))
            }
        };
        check("kubernetes", state, format!("namespace {namespace}: {what}"))
    }

    fn away(&self, failed: &Failed) -> String {
        let advice = failed.advice().is_some();
        let says = if advice { "the API cannot be used" } else { "the API does not answer" };
        format!("{says}: {}", failed.in_full())
    }
}

fn check(name: &str, state: State, what: String) -> Check {
    Check::new(name, state, what)
}

/// What is seen of the cluster, as an administrator is told of it.
pub fn sights(watches: &[Watched]) -> Check {
    let said = watches.iter().filter_map(|watched| match &watched.sight {
        Sight::Fresh { .. } => None,
        Sight::Blind { since, why } => {
            Some((true, format!("{}: {why}, since {since}", watched.what)))
        }
        Sight::Forbidden { why } => Some((false, format!("{}: {why}", watched.what))),
    });
    let (blind, said): (Vec<bool>, Vec<String>) = said.unzip();
    match &*said {
        [] => check("cluster", State::Good, "all that is watched is seen".to_owned()),
        said => {
            let state = if blind.contains(&true) { State::Broken } else { State::Note };
            check("cluster", state, format!("not seen: {}", said.join("; ")))
        }
    }
}

pub(super) fn autoscalers(told: Result<Vec<Scaler>, String>) -> Check {
    let told = match told {
        Ok(told) => told,
        Err(why) => return check("autoscalers", State::Note, format!("not known: {why}")),
    };
    let one = |it: &Scaler| {
        let is_there = match it.is_there {
            Some(true) => "is there",
            Some(false) => "is not there",
            None => "not known",
        };
        match &*it.says {
            [] => format!("{} {is_there}", it.name),
            says => format!("{} {is_there} ({})", it.name, says.join("; ")),
        }
    };
    let state = if told.iter().any(|it| it.is_there.is_none()) { State::Note } else { State::Good };
    check("autoscalers", state, told.iter().map(one).collect::<Vec<_>>().join(", "))
}
