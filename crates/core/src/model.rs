//! A catalogue entry: how to run a model, its limits, and its card.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Column, ModelId};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub id: ModelId,
    /// The declared version and the first 8 hex digits of the folder's content hash:
    /// `1.0.0+3fa9c1d2`. Predictions of one version are never served for another.
    pub version: String,
    pub source: Source,
    pub card: Card,
    /// Name and description of the one input column.
    pub input: InputColumn,
    /// The model's output columns, as far as it declares them.
    pub outputs: Vec<Column>,
    /// Inputs that the model's author gives as an example.
    pub example: Vec<String>,
    pub limits: ModelLimits,
    /// May predictions be kept and used again?
    pub cache: bool,
}

/// Where instances of the model come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Source {
    /// A folder that `muster model-server` serves, one process an instance.
    Folder { path: String },
    /// A model server that runs elsewhere and outlives the hub. One instance.
    Server { url: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Card {
    pub title: String,
    pub description: String,
    pub interpretation: String,
    pub licence: String,
    pub publication: String,
    pub source_code: String,
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputColumn {
    pub name: String,
    pub description: String,
    /// Other header names that mean this column, for example `canonical_smiles`.
    #[serde(default)]
    pub also: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelLimits {
    /// Most inputs in one call of an instance.
    pub batch_size: u32,
    pub min_instances: u32,
    pub max_instances: u32,
    /// Longest time from launch to ready, seconds.
    pub start_seconds: u32,
    /// Longest time of one call, seconds.
    pub job_seconds: u32,
    /// How long an instance may be idle, seconds.
    pub idle_seconds: u32,
    /// Most resident memory of an instance, MiB.
    pub memory_mib: u32,
    /// How often a task is tried before its request fails.
    pub max_attempts: u32,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self {
            batch_size: 100,
            min_instances: 0,
            max_instances: 1,
            start_seconds: 300,
            job_seconds: 600,
            idle_seconds: 300,
            memory_mib: 4096,
            max_attempts: 3,
        }
    }
}

impl ModelLimits {
    pub fn start(&self) -> Duration {
        Duration::from_secs(u64::from(self.start_seconds))
    }

    pub fn job(&self) -> Duration {
        Duration::from_secs(u64::from(self.job_seconds))
    }

    pub fn idle(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_seconds))
    }
}
