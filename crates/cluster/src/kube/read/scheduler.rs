//! What the scheduler says of a pod.

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use muster_core::waits::{Reason, Scheduler};

use super::pod::condition;

/// Most reasons that are kept of one message, and the most of each.
const MOST_REASONS: usize = 20;
const LONGEST_REASON: usize = 200;

/// What it says, as long as no node has the pod.
pub fn scheduler(pod: &Pod) -> Scheduler {
    let status = pod.status.as_ref();
    let spec = pod.spec.as_ref();
    let gates = spec.and_then(|spec| spec.scheduling_gates.as_deref()).unwrap_or_default();
    if !gates.is_empty() {
        return Scheduler::Gated(gates.iter().map(|gate| gate.name.clone()).collect());
    }
    let nominated = status.and_then(|status| status.nominated_node_name.as_deref());
    if let Some(node) = nominated.filter(|node| !node.is_empty()) {
        return Scheduler::Nominated(node.into());
    }
    let Some(said) = condition(pod, "PodScheduled").filter(|it| it.status == "False") else {
        return Scheduler::Silent;
    };
    let message = said.message.as_deref().unwrap_or_default();
    match said.reason.as_deref().unwrap_or_default() {
        "SchedulerError" => Scheduler::Broken(message.to_owned()),
        // Its gates were taken away, and nobody looked since.
        "SchedulingGated" => Scheduler::Silent,
        _ => Scheduler::Unschedulable(reasons(message)),
    }
}

/// The condition by which it says that.
pub fn said(pod: &Pod) -> Option<&PodCondition> {
    condition(pod, "PodScheduled")
}

/// `0/5 nodes are available: 1 node(s) had untolerated taint(s), 4 Insufficient cpu. preemption: ..`: what comes
/// after the colon, part by part. A part without a number is one of all nodes. Nothing if it is written otherwise.
fn reasons(message: &str) -> Vec<Reason> {
    let Some((before, rest)) = message.split_once(" nodes are available: ") else {
        return Vec::new();
    };
    let all = before.rsplit_once('/').and_then(|(_, all)| all.parse::<u32>().ok()).unwrap_or(0);
    // What the scheduler tried after that is not about nodes.
    let ends = [". preemption:", ", preemption:", ". no new claims", ". still not schedulable"];
    let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    let mut reasons: Vec<Reason> = Vec::new();
    for part in rest[..end].trim_end_matches('.').split(", ") {
        let counted = part.split_once(' ').and_then(|(n, why)| Some((n.parse().ok()?, why)));
        match (counted, reasons.last_mut()) {
            (Some((nodes, why)), _) => reasons.push(Reason { nodes, why: short(why) }),
            // A comma of its own.
            (None, Some(last)) => last.why = short(&format!("{}, {part}", last.why)),
            (None, None) => reasons.push(Reason { nodes: all, why: short(part) }),
        }
    }
    reasons.truncate(MOST_REASONS);
    reasons
}

fn short(text: &str) -> String {
    text.trim().chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Vec<(u32, String)> {
        reasons(message).into_iter().map(|it| (it.nodes, it.why)).collect()
    }

    #[test]
    fn reasons_are_counted_as_they_are_written() {
        assert_eq!(
            read(
                "0/9 nodes are available: 2 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, \
                 3 Insufficient cpu, 4 Insufficient nvidia.com/gpu. preemption: 0/9 nodes are available: \
                 2 Preemption is not helpful for scheduling, 7 No preemption victims found for incoming pod."
            ),
            [
                (
                    2,
                    "node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }"
                        .into()
                ),
                (3, "Insufficient cpu".into()),
                (4, "Insufficient nvidia.com/gpu".into()),
            ]
        );
        let claims = "0/3 nodes are available: 3 Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.";
        assert_eq!(read(claims), [(3, "Insufficient memory".into())]);
        let volume = "0/4 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.";
        assert_eq!(read(volume), [(4, "pod has unbound immediate PersistentVolumeClaims".into())]);
        let comma = "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [a, b].";
        assert_eq!(read(comma), [(2, "node(s) didn't satisfy plugin(s) [a, b]".into())]);
    }

    #[test]
    fn other_words_have_no_reasons() {
        assert_eq!(read("no nodes available to schedule pods"), []);
        assert_eq!(read(""), []);
        assert_eq!(read("0/0 nodes are available: ."), [(0, String::new())]);
    }
}
