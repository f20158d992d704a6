//! `muster nodes` and `muster plan`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use muster_core::plan::MOST_MORE;
use muster_core::room::GroupId;

/// List the machines on which instances run, for administrators
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  muster nodes
  muster nodes --stage booting --json | jq -r '.items[].id'
  muster nodes explain lab1
  muster nodes groups
  muster nodes drain lab1 --reason 'It gets a new disk.'

It needs a login with the permission ADMIN: see `muster login`.")]
pub struct Nodes {
    #[command(subcommand)]
    pub verb: Option<NodesVerb>,
    /// Only of this group; may be repeated
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// Only in this stage (booting, ready, unready, cordoned, drained, leaving); may be repeated
    #[arg(long, value_name = "STAGE")]
    pub stage: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub limit: usize,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum NodesVerb {
    /// Show what is on a node, why it is kept, and what the plan would do without it
    #[command(after_help = "\
Examples:
  muster nodes explain lab1
  muster nodes explain lab1 --json | jq .without.words.actions")]
    Explain(OneNode),
    /// List groups of nodes: their sizes, orders and failures
    #[command(after_help = "\
Examples:
  muster nodes groups
  muster nodes groups --json | jq '.items[].failures'")]
    Groups(NodeGroups),
    /// Say who else makes nodes of the Kubernetes cluster, and what they say
    #[command(after_help = "\
Examples:
  muster nodes autoscalers
  muster nodes autoscalers --json | jq '.items[] | select(.present)'")]
    Autoscalers(NodeGroups),
    /// Let a node get nothing new; what runs there stays
    #[command(after_help = "\
Examples:
  muster nodes cordon lab1 --reason 'It gets a new disk.'
  muster nodes uncordon lab1")]
    Cordon(MarkNode),
    /// Let a node take instances again, whoever cordoned or drained it
    #[command(after_help = "\
Examples:
  muster nodes uncordon lab1")]
    Uncordon(OneNode),
    /// Let a node get nothing new, and what runs there end when it has done what it works on
    #[command(after_help = "\
Examples:
  muster nodes drain lab1 --reason 'It gets a new disk.'
  muster nodes uncordon lab1

The node stays: `muster nodes explain lab1` says what is still on it.")]
    Drain(MarkNode),
}

impl Nodes {
    pub fn wants_json(&self) -> bool {
        match &self.verb {
            None => self.json,
            Some(NodesVerb::Explain(arguments) | NodesVerb::Uncordon(arguments)) => arguments.json,
            Some(NodesVerb::Cordon(arguments) | NodesVerb::Drain(arguments)) => arguments.json,
            Some(NodesVerb::Groups(arguments) | NodesVerb::Autoscalers(arguments)) => {
                arguments.json
            }
        }
    }
}

#[derive(Debug, Args)]
pub struct OneNode {
    /// The node's name
    #[arg(value_name = "NODE")]
    pub id: String,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct MarkNode {
    /// The node's name
    #[arg(value_name = "NODE")]
    pub id: String,
    /// Why; it is written down
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct NodeGroups {
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Show what the hub plans and why, or what it would plan, for administrators
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster plan
  muster plan --without lab1
  muster plan --with gpu-large=2
  muster plan --json > world.json
  muster plan --world world.json --without lab1
  kubectl get nodes,pods,pdb,ds,rs,jobs -A -o json | muster plan --dump -
  muster plan --dump cluster.json --without worker-3

Nothing is changed by a question. Of one with --without or --with, lines that begin with + are not so
as things are. With --world no hub is asked: the file is what --json printed, at whatever hub. With --dump
neither a hub nor a cluster is asked: the file is what kubectl printed of one. Else it needs a login with the
permission ADMIN: see `muster login`.")]
pub struct Plan {
    /// As if this node were not there; may be repeated
    #[arg(long, value_name = "NODE")]
    pub without: Vec<String>,
    /// As if this group had so many more nodes, ready and empty; may be repeated
    #[arg(long, value_name = "GROUP=N", value_parser = more)]
    pub with: Vec<(GroupId, u32)>,
    /// Plan for the world of this file, here and not at a hub
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// Plan for the Kubernetes cluster of this file, here and not at a hub; - reads what comes in
    #[arg(long, value_name = "FILE", conflicts_with = "world")]
    pub dump: Option<PathBuf>,
    /// Print the API's JSON, with all that was seen
    #[arg(long)]
    pub json: bool,
}

fn more(text: &str) -> Result<(GroupId, u32), String> {
    let parts = text.rsplit_once('=').filter(|(group, _)| !group.is_empty());
    let count = parts.and_then(|(group, count)| Some((group, count.parse::<u32>().ok()?)));
    match count.filter(|(_, count)| (1..=MOST_MORE).contains(count)) {
        Some((group, count)) => Ok((group.into(), count)),
        None => Err(format!("it is a group and how many nodes, 1 to {MOST_MORE}: GROUP=N")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_nodes_are_a_group_and_a_count() {
        assert_eq!(more("a=b=3"), Ok(("a=b".into(), 3)));
        for bad in ["a", "a=", "=3", "a=0", "a=-1", "a=1001", "a=many"] {
            assert!(more(bad).is_err(), "{bad}");
        }
    }
}
