//! What a plan does with instances and nodes, for people.

use std::fmt;

use super::{Action, InstanceView, KeptWhy, NodesMode, Stage, Why, World};
use crate::InstanceId;
use crate::room::{GroupId, NodeId};

impl Action {
    pub const NAMES: [&'static str; 11] = [
        "launch",
        "retire",
        "fail_waiting",
        "move_stranded",
        "add_nodes",
        "cordon",
        "uncordon",
        "evict",
        "remove_node",
        "drop_machines",
        "lower_target",
    ];

    /// Its word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Launch { .. } => "launch",
            Self::Retire { .. } => "retire",
            Self::FailWaiting { .. } => "fail_waiting",
            Self::MoveStranded { .. } => "move_stranded",
            Self::AddNodes { .. } => "add_nodes",
            Self::Cordon { .. } => "cordon",
            Self::Uncordon { .. } => "uncordon",
            Self::Evict { .. } => "evict",
            Self::RemoveNode { .. } => "remove_node",
            Self::DropMachines { .. } => "drop_machines",
            Self::LowerTarget { .. } => "lower_target",
        }
    }

    /// The node that it is about.
    pub fn node<'a>(&'a self, world: &'a World) -> Option<&'a NodeId> {
        match self {
            Self::Launch { place, .. } => place.as_ref().map(|place| &place.node),
            Self::Retire { instance, .. } => {
                world.instance(*instance)?.place.as_ref().map(|place| &place.node)
            }
            Self::Cordon { node, .. } | Self::Uncordon { node } | Self::RemoveNode { node, .. } => {
                Some(node)
            }
            Self::Evict { tenant, .. } => {
                world.tenants.iter().find(|it| it.id == *tenant)?.node.as_ref()
            }
            Self::FailWaiting { .. } | Self::MoveStranded { .. } | Self::AddNodes { .. } => None,
            Self::DropMachines { .. } | Self::LowerTarget { .. } => None,
        }
    }

    /// The group that it is about, also by its node.
    pub fn group<'a>(&'a self, world: &'a World) -> Option<&'a GroupId> {
        match self {
            Self::AddNodes { group, .. }
            | Self::DropMachines { group, .. }
            | Self::LowerTarget { group, .. } => Some(group),
            Self::Cordon { node, .. } | Self::Uncordon { node } | Self::RemoveNode { node, .. } => {
                world.nodes.iter().find(|it| it.id == *node)?.group.as_ref()
            }
            _ => None,
        }
    }

    /// A sentence: what is done, to whom and why.
    pub fn in_words(&self, world: &World) -> String {
        match self {
            Self::Launch { model, why, place: Some(place), .. } => {
                format!("Launch an instance of {model} on {}: {why}.", place.node)
            }
            Self::Launch { model, why, .. } => format!("Launch an instance of {model}: {why}."),
            Self::Retire { instance, cause } => match world.instance(*instance) {
                Some(it) => format!("Retire instance {instance} of {}: {cause}.", it.model),
                None => format!("Retire instance {instance}: {cause}."),
            },
            Self::FailWaiting { model, version, reason } => {
                format!("Fail what waits for {model} {version}: {}.", reason.trim_end_matches('.'))
            }
            Self::MoveStranded { model } => {
                format!("Move what waits for another version of {model} to the one there is.")
            }
            Self::AddNodes { group, count: 1, why } => format!("Order a node of {group}: {why}."),
            Self::AddNodes { group, count, why } => {
                format!("Order {count} nodes of {group}: {why}.")
            }
            Self::Cordon { node, why } => format!("Cordon {node}: {why}."),
            Self::Uncordon { node } => format!("Uncordon {node}: it stays."),
            Self::Evict { tenant, why } => format!("Evict {tenant}: {why}."),
            Self::RemoveNode { node, why } => format!("Remove {node}: {why}."),
            Self::DropMachines { group, machines } => {
                format!("Give back machines of {group} that are no nodes: {}.", machines.join(", "))
            }
            Self::LowerTarget { group, to } => {
                format!("Lower the target of {group} to {to}: more cannot be had.")
            }
        }
    }
}

impl World {
    pub fn instance(&self, id: InstanceId) -> Option<&InstanceView> {
        self.instances.iter().find(|it| it.id == id)
    }
}

impl Stage {
    /// As an instance's state is called everywhere.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Preparing { .. } => "preparing",
            Self::Starting { .. } => "starting",
            Self::Ready { .. } => "ready",
            Self::Draining => "draining",
        }
    }
}

impl NodesMode {
    pub const ALL: [Self; 3] = [Self::Delegate, Self::Advise, Self::Own];

    pub fn name(self) -> &'static str {
        match self {
            Self::Delegate => "delegate",
            Self::Advise => "advise",
            Self::Own => "own",
        }
    }
}

impl Why {
    pub const NAMES: [&'static str; 13] = [
        "reading",
        "preparing",
        "booting",
        "busy",
        "at_model_maximum",
        "at_hub_maximum",
        "no_room",
        "fits_nowhere",
        "node_starting",
        "no_node",
        "unseen",
        "gone",
        "backoff",
    ];

    /// Its word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Preparing { .. } => "preparing",
            Self::Booting { .. } => "booting",
            Self::Busy { .. } => "busy",
            Self::AtModelMaximum { .. } => "at_model_maximum",
            Self::AtHubMaximum { .. } => "at_hub_maximum",
            Self::NoRoom { .. } => "no_room",
            Self::FitsNowhere { .. } => "fits_nowhere",
            Self::CannotRun { .. } => "cannot_run",
            Self::NodeStarting { .. } => "node_starting",
            Self::NoNode { .. } => "no_node",
            Self::Unseen { .. } => "unseen",
            Self::Gone => "gone",
            Self::Backoff { .. } => "backoff",
        }
    }
}

impl KeptWhy {
    pub const NAMES: [&'static str; 13] = [
        "asked",
        "used",
        "needed",
        "at_minimum",
        "unneeded",
        "blocked",
        "no_room_elsewhere",
        "in_turn",
        "unhealthy",
        "unseen",
        "not_ready",
        "removal_refused",
        "cordoned_by_others",
    ];

    /// Its word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::Used => "used",
            Self::Needed => "needed",
            Self::AtMinimum { .. } => "at_minimum",
            Self::Unneeded { .. } => "unneeded",
            Self::Blocked { .. } => "blocked",
            Self::NoRoomElsewhere => "no_room_elsewhere",
            Self::InTurn => "in_turn",
            Self::Unhealthy => "unhealthy",
            Self::Unseen => "unseen",
            Self::NotReady => "not_ready",
            Self::RemovalRefused { .. } => "removal_refused",
            Self::CordonedByOthers => "cordoned_by_others",
        }
    }
}

impl fmt::Display for KeptWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { why } => write!(f, "It is to be kept: {why}."),
            Self::Used => f.write_str("More than half of it is used."),
            Self::Needed => f.write_str("What waits will run there."),
            Self::AtMinimum { min: 1 } => f.write_str("Its group keeps at least 1 node."),
            Self::AtMinimum { min } => write!(f, "Its group keeps at least {min} nodes."),
            Self::Unneeded { until } => {
                let until = until.to_minutes();
                write!(f, "Nobody needs it; it goes after {until} if that stays so.")
            }
            Self::RemovalRefused { until } => {
                let until = until.to_minutes();
                write!(f, "Its provider did not take one away; that is tried again after {until}.")
            }
            Self::Blocked { by, why } => write!(f, "{by} cannot be moved: {why}."),
            Self::NoRoomElsewhere => f.write_str("What runs on it has no room elsewhere."),
            Self::InTurn => f.write_str("Others go first."),
            Self::Unhealthy => {
                f.write_str("Too many nodes of its group, or of all, are not heard of.")
            }
            Self::Unseen => f.write_str("Not everything can be seen, so nothing is taken away."),
            Self::NotReady => f.write_str("It comes, goes, or is not heard of."),
            Self::CordonedByOthers => f.write_str("Somebody else cordoned or drained it."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that documents list are those that JSON has.
    #[test]
    fn names_are_those_of_json() {
        let scenarios = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios"));
        let mut seen = 0;
        for file in scenarios.expect("scenarios") {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("a text");
            let planned = super::super::read_planned(&text).expect("a world");
            let json = serde_json::to_value(&planned.plan).expect("a plan");
            for (at, action) in planned.plan.actions.iter().enumerate() {
                assert_eq!(json["actions"][at]["do"], action.name());
                assert!(Action::NAMES.contains(&action.name()));
                assert!(action.in_words(&planned.world).ends_with('.'));
                seen += 1;
            }
            for (at, kept) in planned.plan.kept.iter().enumerate() {
                assert_eq!(json["kept"][at]["why"]["because"], kept.why.name());
                assert!(KeptWhy::NAMES.contains(&kept.why.name()));
            }
            for (at, held) in planned.plan.held.iter().enumerate() {
                assert_eq!(json["held"][at]["why"]["because"], held.why.name());
                assert!(Why::NAMES.contains(&held.why.name()));
            }
        }
        assert!(seen > 10, "{seen}");
    }
}
