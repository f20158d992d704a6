//! Pods that a kubelet does not take, although they are bound to its node.

use serde::{Deserialize, Serialize};

use super::{
    super::{
        needs::{add, lacks},
        scheduler::is_wanted,
        shapes::{Amounts, Node, read},
    },
    Shared,
    pod::Worker,
    status::Verdict,
};
use crate::Resource;

/// The next pods are refused, on one node or on all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// `OutOfcpu`, `UnexpectedAdmissionError`, `NodeAffinity`, ..
    pub reason: String,
    pub message: String,
    #[serde(default)]
    pub node: Option<String>,
    /// How many of them; all without it.
    #[serde(default)]
    pub pods: Option<u32>,
}

impl Shared {
    pub fn refuse(&self, refusal: Refusal) {
        self.state().refusals.push(refusal);
    }

    /// The reason and message without `Pod was rejected: `.
    pub fn admit(&self, worker: &Worker) -> Result<(), Verdict> {
        let refuse = |reason: &str, message: &str| {
            let (reason, message) = (reason.to_owned(), message.to_owned());
            Err(Verdict { reason, message, disrupts: false })
        };
        if let Some(ordered) = self.ordered_refusal(&worker.node) {
            return refuse(&ordered.reason, &ordered.message);
        }
        if self.with_node(&worker.node, |node| node.shuts_down) {
            return refuse("NodeShutdown", "Pod was rejected as the node is shutting down.");
        }
        let object = self.objects.get(&Resource::nodes(), None, &worker.node);
        let Some(Ok(node)) = object.map(|object| read::<Node>(&object)) else { return Ok(()) };
        if !is_wanted(&worker.pod, &node) {
            return refuse("NodeAffinity", "Predicate NodeAffinity failed");
        }
        let others: Vec<_> = self
            .workers_on(&worker.node)
            .into_iter()
            .filter(|other| other.uid != worker.uid && !other.is_over() && !other.pod.is_over())
            .collect();
        let mut used = Amounts::new();
        others.iter().for_each(|other| add(&mut used, &other.needs));
        let lacks = lacks(&worker.needs, &used, others.len(), &node.status.allocatable);
        let Some(lack) = lacks.first() else { return Ok(()) };
        // Processor in thousandths, all else in whole.
        let amount = |of: super::super::quantity::Quantity| match lack.of.as_str() {
            "cpu" => of.0,
            _ => of.value(),
        };
        let message = format!(
            "Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}",
            lack.of,
            amount(lack.asked),
            amount(lack.used),
            amount(lack.has)
        );
        refuse(&format!("OutOf{}", lack.of), &message)
    }

    fn ordered_refusal(&self, node: &str) -> Option<Refusal> {
        let mut state = self.state();
        let of_node = |one: &Refusal| one.node.as_deref().is_none_or(|name| name == node);
        let at = state.refusals.iter().position(of_node)?;
        let refusal = state.refusals[at].clone();
        match &mut state.refusals[at].pods {
            Some(left) if *left > 1 => *left -= 1,
            Some(_) => drop(state.refusals.remove(at)),
            None => {}
        }
        Some(refusal)
    }
}
