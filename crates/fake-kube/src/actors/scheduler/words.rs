//! How kube-scheduler says why no node fits.

use std::collections::BTreeMap;

pub type Counts = BTreeMap<String, usize>;

pub fn count(reasons: &mut Counts, reason: &str) {
    *reasons.entry(reason.to_owned()).or_default() += 1;
}

/// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).`
pub fn none_available(nodes: usize, reasons: &Counts) -> String {
    let mut counted: Vec<_> = reasons.iter().map(|(why, many)| format!("{many} {why}")).collect();
    counted.sort();
    let mut said = format!("0/{nodes} nodes are available");
    if !counted.is_empty() {
        said.push_str(": ");
        said.push_str(&counted.join(", "));
    }
    said.push('.');
    said
}
