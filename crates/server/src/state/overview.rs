//! How the models do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::{Model, ModelId};
use muster_store::{Figures, InstanceState, Store};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::http::problem::Problem;

/// How old the figures that are shown may be.
const FRESH: Duration = Duration::from_millis(250);

/// `ready`: an instance runs. `starting`: one starts. `preparing`: the environment is being made that one
/// starts in. `cold`: one starts when somebody needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    Ready,
    Starting,
    Preparing,
    Cold,
}

/// How the models do, looked up at most every [`FRESH`] however often it is asked for.
#[derive(Default)]
pub struct Overview(Mutex<Option<(Instant, Arc<Moment>)>>);

/// The models' business at one moment.
#[derive(Default)]
pub struct Moment {
    figures: HashMap<ModelId, Figures>,
    /// Of each model and version, how far its first instance is.
    instances: HashMap<(ModelId, String), ModelState>,
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
            let state = match instance.state {
                InstanceState::Ready { .. } => ModelState::Ready,
                InstanceState::Starting => ModelState::Starting,
                InstanceState::Preparing => ModelState::Preparing,
                InstanceState::Draining { .. } => continue,
            };
            let first = seen.instances.entry((instance.model, instance.version)).or_insert(state);
            *first = state.min(*first);
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
    pub fn state(&self, model: &Model) -> ModelState {
        let key = (model.id.clone(), model.version.clone());
        self.instances.get(&key).copied().unwrap_or(ModelState::Cold)
    }
}
