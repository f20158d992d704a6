//! Somebody who works beside the hub's instances, and may be too late (I-11).

use std::sync::Arc;
use std::time::Duration;

use muster_core::InstanceId;
use muster_core::answer::read_records;
use muster_core::retry::Retry;
use muster_store::{Claim, ClaimedTask, TaskBack, TaskDone};

use crate::life::{Hub, World};

impl World<'_> {
    /// Somebody who claims work beside the hub's instances and may answer when it is too late.
    pub async fn ghost(&mut self, model: usize, lease: u64, hub: &Hub<'_>) {
        let claim = Claim {
            instance: InstanceId(hub.store.clock().id()),
            model: format!("m{model}").parse().expect("an id"),
            version: "1".into(),
            max_inputs: self.scenario.models[model].batch,
            lease: Duration::from_millis(lease),
            ahead: false,
        };
        let claimed = tokio::time::timeout(Duration::from_millis(1), hub.store.claim(claim)).await;
        self.ghosts.push(match claimed {
            Ok(Ok(tasks)) => tasks,
            _ => vec![],
        });
    }

    pub async fn ghost_answers(&mut self, number: usize, hub: &Hub<'_>) {
        let Some(tasks) = self.ghosts.get(number).cloned() else { return };
        for task in tasks {
            let Ok(inputs) = hub.store.load_inputs(&task).await else { continue };
            let inputs: Vec<String> = serde_json::from_slice(&inputs).expect("texts");
            let row = |input| serde_json::json!({"echo": input, "ghost": number});
            let rows: Vec<serde_json::Value> = inputs.iter().map(row).collect();
            let rows = serde_json::to_vec(&rows).expect("JSON");
            let part = Arc::new(read_records(&rows, inputs.len(), &[]).expect("records"));
            let (key, attempt) = (task.key, task.attempt);
            let done = TaskDone { key, attempt, part, cached: 0, predictions: vec![] };
            let current = hub.watch.attempt(key.request.0, key.position).await;
            let taken = hub.store.complete(vec![done]).await;
            if matches!(taken.as_deref(), Ok([true])) && current != Some(attempt) {
                self.fail(format!("I-11: attempt {attempt} was taken, {current:?} was leased"));
            }
        }
    }

    pub async fn ghost_gives_back(&mut self, number: usize, hub: &Hub<'_>) {
        let Some(tasks) = self.ghosts.get(number).cloned() else { return };
        let retry = Retry::Again { after: Duration::from_secs(1), counts: false };
        let back = |task: &ClaimedTask| TaskBack {
            key: task.key,
            attempt: task.attempt,
            retry: retry.clone(),
        };
        for back in tasks.iter().map(back) {
            let before = hub.watch.attempt(back.key.request.0, back.key.position).await;
            let (key, attempt) = (back.key, back.attempt);
            drop(hub.store.give_back(vec![back]).await);
            let after = hub.watch.attempt(key.request.0, key.position).await;
            if before.is_some() && before != Some(attempt) && after.is_none() {
                self.fail(format!("I-11: attempt {attempt} gave back attempt {before:?}"));
            }
        }
    }
}
