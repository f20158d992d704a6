//! A world with what was planned for it: what is shown to administrators, and what a bug report is.

use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Plan, Policy, World, plan};
use crate::room::{GroupId, NodeId};
use crate::{ServerId, Timestamp};

/// Most nodes of a group that a question may add.
pub const MOST_MORE: u32 = 1000;

/// What a hub saw when it looked last, and what it made of that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub world: World,
    pub policy: Policy,
    pub now: Timestamp,
    pub plan: Plan,
    /// The hubs that launch instances on a node.
    pub servers: Vec<(NodeId, ServerId)>,
}

/// A world that is asked about: as it is, but for this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhatIf {
    pub without: Vec<NodeId>,
    /// So many more nodes of these groups, ready and empty.
    pub with: Vec<(GroupId, u32)>,
}

/// What a question is about is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotThere {
    Node {
        asked: NodeId,
        there: Vec<NodeId>,
    },
    Group {
        asked: GroupId,
        there: Vec<GroupId>,
    },
    /// Nobody knows what a node of it would be.
    Template {
        group: GroupId,
    },
}

/// Names that are told to somebody who asked for another one.
const TOLD: usize = 20;

impl Planned {
    pub fn new(world: World, policy: Policy, now: Timestamp) -> Self {
        let plan = plan(&world, &policy, now);
        Self { world, policy, now, plan, servers: Vec::new() }
    }

    /// What would be planned then.
    ///
    /// # Errors
    ///
    /// If it is about a node or group that is not there, or nobody knows what a node of the group would be.
    pub fn what_if(&self, question: &WhatIf) -> Result<Self, NotThere> {
        let mut world: Option<World> = None;
        for node in &question.without {
            let now = world.as_ref().unwrap_or(&self.world);
            if now.nodes.iter().all(|it| it.id != *node) {
                return Err(self.no_node(node));
            }
            world = Some(now.without(node));
        }
        for (group, count) in &question.with {
            let now = world.as_ref().unwrap_or(&self.world);
            let Some(view) = now.groups.iter().find(|it| it.id == *group) else {
                return Err(self.no_group(group));
            };
            if view.template.is_none() {
                return Err(NotThere::Template { group: group.clone() });
            }
            world = Some(now.with(group, *count));
        }
        let Some(world) = world else { return Ok(self.clone()) };
        let servers = self.servers.clone();
        Ok(Self { servers, ..Self::new(world, self.policy.clone(), self.now) })
    }

    pub fn no_node(&self, asked: &NodeId) -> NotThere {
        let there = self.world.nodes.iter().map(|node| node.id.clone()).collect();
        NotThere::Node { asked: asked.clone(), there }
    }

    pub fn no_group(&self, asked: &GroupId) -> NotThere {
        let there = self.world.groups.iter().map(|group| group.id.clone()).collect();
        NotThere::Group { asked: asked.clone(), there }
    }

    /// Would whoever was shown one of them see nothing else in the other? What waits is not shown here.
    pub fn shows_what(&self, other: &Self) -> bool {
        let (mine, its) = (&self.world, &other.world);
        let plan = |it: &Self| Plan { next_look: None, ..it.plan.clone() };
        plan(self) == plan(other)
            && self.policy == other.policy
            && self.servers == other.servers
            && mine.nodes == its.nodes
            && mine.groups == its.groups
            && mine.instances == its.instances
            && mine.unseen == its.unseen
            && mine.tenants == its.tenants
    }
}

/// The members of a file: those of a scenario of the tests, and of `GET /api/v1/plan`, of which only the
/// world, the policy and the time count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    world: World,
    #[serde(default)]
    policy: Policy,
    now: Timestamp,
    #[serde(default, rename = "what")]
    _what: IgnoredAny,
    #[serde(default, rename = "plan")]
    _plan: IgnoredAny,
    #[serde(default, rename = "words")]
    _words: IgnoredAny,
}

/// Reads a world from a file and plans for it. What the file does not say of a model is as of an empty one.
///
/// # Errors
///
/// What is wrong with the file, in words.
pub fn read_planned(text: &str) -> Result<Planned, String> {
    let mut whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    complete(&mut whole);
    let File { world, policy, now, .. } =
        serde_json::from_value(whole).map_err(|error| error.to_string())?;
    Ok(Planned::new(world, policy, now))
}

/// Of models whose members are not all there, as they are left out of files that people write.
pub(super) fn complete(whole: &mut Value) {
    let models = whole.pointer_mut("/world/models").and_then(Value::as_array_mut);
    for view in models.into_iter().flatten() {
        let Some(said) = view.get("model").and_then(Value::as_object).cloned() else { continue };
        let mut model = nothing_said();
        model.extend(said);
        view["model"] = Value::Object(model);
    }
}

fn nothing_said() -> Map<String, Value> {
    let model = json!({
        "version": "1", "source": {"from": "folder", "path": "models/it"}, "card": {},
        "input": {"name": "input", "description": ""}, "outputs": [], "example": [],
        "limits": {}, "cache": true,
    });
    model.as_object().cloned().unwrap_or_default()
}

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { asked, there } => {
                write!(f, "There is no node {asked}. {}", others("nodes", there))
            }
            Self::Group { asked, there } => {
                write!(f, "There is no group {asked}. {}", others("groups", there))
            }
            Self::Template { group } => {
                write!(f, "Nobody knows yet what a node of {group} would be: none was seen.")
            }
        }
    }
}

fn others(what: &str, there: &[impl fmt::Display]) -> String {
    let names: Vec<String> = there.iter().take(TOLD).map(ToString::to_string).collect();
    match there.len() {
        0 => format!("There are no {what} at all."),
        all if all > TOLD => {
            format!("The {what} are {} and {} more.", names.join(", "), all - TOLD)
        }
        _ => format!("The {what} are {}.", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../tests/scenarios/an_idle_gpu_is_given_up.json");

    #[test]
    fn what_was_planned_is_planned_again_from_its_file() {
        let planned = read_planned(FILE).expect("a world");
        let written: Value = serde_json::from_str(FILE).expect("JSON");
        assert_eq!(serde_json::to_value(&planned.plan).expect("a plan"), written["plan"]);
        let again = json!({"world": planned.world, "policy": planned.policy, "now": planned.now});
        assert_eq!(read_planned(&again.to_string()), Ok(planned));
    }

    #[test]
    fn a_file_that_is_none_is_refused_by_what_is_wrong_with_it() {
        let wrong = |text: &str| read_planned(text).expect_err("no world");
        assert!(wrong("{").contains("EOF"), "{}", wrong("{"));
        assert!(wrong("{}").contains("world"), "{}", wrong("{}"));
        let typo = wrong(r#"{"world": {}, "polcy": {}, "now": "2026-01-01T00:00:00Z"}"#);
        assert!(typo.contains("polcy"), "{typo}");
        let node = wrong(r#"{"world": {"models": 3}, "now": "2026-01-01T00:00:00Z"}"#);
        assert!(node.contains('3'), "{node}");
    }

    #[test]
    fn a_question_about_what_is_not_there_is_answered_with_what_is() {
        let planned = read_planned(FILE).expect("a world");
        let ask = |without: &str| {
            planned.what_if(&WhatIf { without: vec![without.into()], with: vec![] })
        };
        let told = ask("lab2").expect_err("it is not there").to_string();
        assert_eq!(told, "There is no node lab2. The nodes are lab1.");
        let with = WhatIf { without: vec![], with: vec![("gpus".into(), 1)] };
        let told = planned.what_if(&with).expect_err("it is not there").to_string();
        assert_eq!(told, "There is no group gpus. There are no groups at all.");
        let without = ask("lab1").expect("a plan");
        assert!(without.world.nodes.is_empty() && without.plan != planned.plan);
        // The second time it is not there any more.
        let twice = WhatIf { without: vec!["lab1".into(), "lab1".into()], with: vec![] };
        assert!(planned.what_if(&twice).is_err());
    }

    #[test]
    fn only_what_is_shown_counts_as_a_change() {
        let planned = read_planned(FILE).expect("a world");
        let mut later = planned.clone();
        later.now = planned.now + std::time::Duration::from_secs(5);
        later.plan.next_look = None;
        assert!(later.shows_what(&planned));
        later.world.nodes[0].keep = Some("it is for a demonstration".into());
        assert!(!later.shows_what(&planned));
    }
}
