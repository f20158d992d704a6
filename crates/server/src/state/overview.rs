//! How the models do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::{Model, ModelId};
use muster_store::{Figures, InstanceState, Store};
use tokio::sync::Mutex;

use crate::http::problem::Problem;

/// How old the figures that are shown may be.
const FRESH: Duration = Duration::from_millis(250);

/// How the models do, looked up at most every [`FRESH`] however often it is asked for.
#[derive(Default)]
pub struct Overview(Mutex<Option<(Instant, Arc<Moment>)>>);

/// The models' business at one moment.
#[derive(Default)]
pub struct Moment {
    figures: HashMap<ModelId, Figures>,
    /// Of each model and version: is one of its instances ready? Starting ones are not.
    instances: HashMap<(ModelId, String), bool>,
}

impl Overview {
    pub async fn look(&self, store: &Store) -> Result<Arc<Moment>, Problem> {
        let mut last = self.0.lock().await;
        if let Some((at, seen)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(seen.clone());
        }
        let mut seen = Moment { figures: store.model_figures().await?, ..Moment::default() };
        for instance in store.instances().await? {
            let ready = matches!(instance.state, InstanceState::Ready { .. });
            if ready || instance.state == InstanceState::Starting {
                *seen.instances.entry((instance.model, instance.version)).or_default() |= ready;
            }
        }
        let seen = Arc::new(seen);
        *last = Some((Instant::now(), seen.clone()));
        Ok(seen)
    }
}

impl Moment {
    pub fn figures(&self, model: &Model) -> Figures {
        self.figures.get(&model.id).copied().unwrap_or_default()
    }

    /// The word for how soon the model could begin.
    pub fn state(&self, model: &Model) -> &'static str {
        match self.instances.get(&(model.id.clone(), model.version.clone())) {
            Some(true) => "ready",
            Some(false) => "starting",
            None => "cold",
        }
    }
}
