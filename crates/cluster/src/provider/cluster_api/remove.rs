//! Machines go: they are marked, and the group is made smaller by as many.
//!
//! Two hubs may do it at once, and each may die anywhere. So the deployment carries the order's id and both sizes
//! before it is made smaller; who comes later with the same id goes on, and never makes it smaller twice.

use std::time::Duration;

use http::Method;
use muster_core::room::Refusal;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::read::{goes, is_rolling, replicas, text};
use super::{Deployment, TRIES, other};
use crate::kube::client::Failed;

/// Its machine set takes those first that have it.
const VICTIM: &str = "cluster.x-k8s.io/delete-machine";
/// How long a machine set may take to pick who goes.
const PICKED: Duration = Duration::from_secs(1);
/// How values of ours begin.
const OURS: &str = "muster/";
/// Which order makes the group smaller, and how.
const ORDER: &str = "muster.dev/order";

/// What an order does with the size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sizes {
    from: u32,
    to: u32,
}

impl Sizes {
    fn write(self, order: Uuid) -> String {
        format!("{order} from {} to {}", self.from, self.to)
    }

    /// What stands on the deployment, if it is of this order.
    fn read(deployment: &Value, order: Uuid) -> Option<Self> {
        let text = text(&deployment["metadata"]["annotations"][ORDER]);
        let (from, to) = text.strip_prefix(&format!("{order} from "))?.split_once(" to ")?;
        Some(Self { from: from.parse().ok()?, to: to.parse().ok()? })
    }
}

impl Deployment<'_> {
    /// Exactly these machines go. Those that go already change nothing.
    pub(super) async fn remove(&self, names: &[String], order: Uuid) -> Result<(), Refusal> {
        let version = self.api.version().await?;
        let mark = format!("{OURS}{order}");
        match self.make_smaller(version, names, order, &mark).await {
            Ok(()) => Ok(()),
            Err(why) => {
                // They stay, and may get work again: nobody else shall take them for those to go.
                if let Err(failed) = self.unmark(version, &mark).await {
                    let Refusal { class, message } = why;
                    let message = format!(
                        "{message}; and the annotation {VICTIM} is still on {}: {failed}",
                        names.join(", ")
                    );
                    return Err(Refusal { class, message });
                }
                Err(why)
            }
        }
    }

    async fn make_smaller(
        &self,
        version: &str,
        names: &[String],
        order: Uuid,
        mark: &str,
    ) -> Result<(), Refusal> {
        for _ in 0..2 * TRIES {
            let found = self.get(version).await.map_err(|failed| self.refused(&failed))?;
            let is = replicas(&found);
            let begun = Sizes::read(&found, order);
            if begun.is_some_and(|sizes| sizes.to == is && sizes.from != is) {
                return Ok(());
            }
            let machines = self.machines(version).await.map_err(|failed| self.refused(&failed))?;
            if machines.iter().filter(|it| !goes(it)).count() > is as usize {
                // What was to go before still has to be picked.
                sleep(PICKED).await;
                continue;
            }
            let named =
                |it: &&Value| names.iter().any(|name| *name == text(&it["metadata"]["name"]));
            let going: Vec<&Value> = machines.iter().filter(|it| named(it) && !goes(it)).collect();
            if going.is_empty() {
                return Ok(());
            }
            if let Some(sizes) = begun.filter(|sizes| sizes.from != is) {
                let why = format!(
                    "{} was to have {} and has {is}: somebody else resized it",
                    self.words(),
                    sizes.to
                );
                return Err(other(why));
            }
            if is_rolling(&found) {
                return Err(other(format!("{} is rolled out anew just now", self.words())));
            }
            let sizes = Sizes { from: is, to: is.saturating_sub(going.len() as u32) };
            match self.step(version, &found, &machines, &going, (order, sizes), mark).await? {
                Step::Done => return Ok(()),
                Step::Again => {}
            }
        }
        Err(other(format!("{} is changed by others all the time", self.words())))
    }

    async fn step(
        &self,
        version: &str,
        found: &Value,
        machines: &[Value],
        going: &[&Value],
        (order, sizes): (Uuid, Sizes),
        mark: &str,
    ) -> Result<Step, Refusal> {
        let refused = |failed: &Failed| self.refused(failed);
        let goes_too = |it: &&Value| !going.iter().any(|other| std::ptr::eq(*other, *it));
        for it in machines.iter().filter(|it| !goes(it)).filter(goes_too) {
            let (name, its) =
                (text(&it["metadata"]["name"]), text(&it["metadata"]["annotations"][VICTIM]));
            if it["metadata"]["annotations"][VICTIM].is_null() {
                continue;
            }
            // It would go instead.
            if !its.starts_with(OURS) {
                let why = format!(
                    "machine {name} has the annotation {VICTIM} of somebody else and would go instead"
                );
                return Err(other(why));
            }
            self.write_mark(version, it, None).await.map_err(|failed| refused(&failed))?;
        }
        // The order stands on the deployment before anything is marked.
        let noted = json!({"metadata": {
            "resourceVersion": found["metadata"]["resourceVersion"],
            "annotations": {ORDER: sizes.write(order)},
        }});
        let path = self.path(version);
        let noted: Result<Value, Failed> =
            self.api.calls.call(Method::PATCH, &path, Some(&noted)).await;
        let noted = match noted {
            Ok(noted) => noted,
            Err(failed) if failed.is(409) => return Ok(Step::Again),
            Err(failed) => return Err(refused(&failed)),
        };
        for it in going {
            match self.write_mark(version, it, Some(mark)).await {
                Ok(()) => {}
                // It changed, or is gone: all is read again.
                Err(failed) if failed.is(409) || failed.is(404) => return Ok(Step::Again),
                Err(failed) => return Err(refused(&failed)),
            }
        }
        match self.scale(version, &noted, sizes.to).await {
            Ok(_) => Ok(Step::Done),
            // Written by somebody else, or it is not known whether it was done: reading it says that.
            Err(failed) if failed.is(409) || matches!(failed, Failed::Lost { .. }) => {
                Ok(Step::Again)
            }
            Err(failed) => Err(refused(&failed)),
        }
    }

    /// Writes who has it gone, or takes that away, of the machine that was read.
    async fn write_mark(
        &self,
        version: &str,
        machine: &Value,
        mark: Option<&str>,
    ) -> Result<(), Failed> {
        let path = self.machine(version, text(&machine["metadata"]["name"]));
        let patch = json!({"metadata": {
            "uid": machine["metadata"]["uid"], "annotations": {VICTIM: mark},
        }});
        let done: Result<Value, Failed> =
            self.api.calls.call(Method::PATCH, &path, Some(&patch)).await;
        done.map(drop)
    }

    async fn unmark(&self, version: &str, mark: &str) -> Result<(), Failed> {
        let machines = self.machines(version).await?;
        let its = |it: &&Value| it["metadata"]["annotations"][VICTIM] == mark && !goes(it);
        for machine in machines.iter().filter(its) {
            match self.write_mark(version, machine, None).await {
                Err(failed) if !failed.is(404) => return Err(failed),
                _ => {}
            }
        }
        Ok(())
    }
}

enum Step {
    Done,
    Again,
}
