//! What the Cluster Autoscaler writes down of itself: a text in old releases, YAML in newer ones.

use std::fmt;

use serde::Deserialize;

use super::super::pod::short;

/// How it goes with one of its groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStatus {
    pub name: String,
    pub is_healthy: bool,
    pub target: Option<u32>,
    pub min: Option<u32>,
    pub max: Option<u32>,
    /// Its word for what it does: `NoActivity`, `InProgress`, `Backoff`.
    pub scale_up: String,
    /// Why it makes no more for a while.
    pub failed: Option<String>,
}

/// The groups that a status names; that is the member `status` of its map.
///
/// # Errors
///
/// Why it cannot be read.
pub fn groups(status: &str) -> Result<Vec<GroupStatus>, String> {
    if status.starts_with("Cluster-autoscaler status at") || status.contains("\nNodeGroups:") {
        return Ok(of_text(status));
    }
    let read: Document =
        serde_saphyr::from_str(status).map_err(|error| short(&error.to_string()))?;
    Ok(read.node_groups.into_iter().map(Group::into_status).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    /// All of them have it.
    #[serde(rename = "autoscalerStatus")]
    _status: String,
    #[serde(default)]
    node_groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Group {
    name: String,
    health: Health,
    scale_up: Activity,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Health {
    status: String,
    cloud_provider_target: Option<u32>,
    min_size: Option<u32>,
    max_size: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Activity {
    status: String,
    backoff_info: Option<Backoff>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Backoff {
    error_code: String,
    error_message: String,
}

impl Group {
    fn into_status(self) -> GroupStatus {
        let failed = self.scale_up.backoff_info.map(|it| {
            let parts = [it.error_code, it.error_message];
            let said: Vec<String> = parts.into_iter().filter(|it| !it.is_empty()).collect();
            short(&said.join(": "))
        });
        GroupStatus {
            name: self.name,
            is_healthy: self.health.status == "Healthy",
            target: self.health.cloud_provider_target,
            min: self.health.min_size,
            max: self.health.max_size,
            scale_up: self.scale_up.status,
            failed: failed.filter(|it| !it.is_empty()),
        }
    }
}

/// Lines `Name:`, `Health:`, `ScaleUp:` after `NodeGroups:`.
fn of_text(status: &str) -> Vec<GroupStatus> {
    let mut groups: Vec<GroupStatus> = Vec::new();
    let Some((_, rest)) = status.split_once("NodeGroups:") else { return groups };
    for line in rest.lines() {
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        let value = value.trim();
        let word = || value.split(' ').next().unwrap_or_default();
        match (key, groups.last_mut()) {
            ("Name", _) => {
                groups.push(GroupStatus { name: short(value), ..GroupStatus::default() })
            }
            ("Health", Some(group)) => {
                let number = |name: &str| {
                    let (_, after) = value.split_once(name)?;
                    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                    after[..end].parse().ok()
                };
                group.is_healthy = word() == "Healthy";
                group.target = number("cloudProviderTarget=");
                group.min = number("minSize=");
                group.max = number("maxSize=");
            }
            ("ScaleUp", Some(group)) => word().clone_into(&mut group.scale_up),
            _ => {}
        }
    }
    groups
}

impl fmt::Display for GroupStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = if self.is_healthy { "healthy" } else { "not healthy" };
        write!(f, "{} is {health}", self.name)?;
        if let Some(target) = self.target {
            write!(f, ", its target is {target}")?;
        }
        if let (Some(min), Some(max)) = (self.min, self.max) {
            write!(f, " of {min} to {max}")?;
        }
        match (self.scale_up.as_str(), &self.failed) {
            (_, Some(why)) => write!(f, "; it is left alone for a while: {why}"),
            ("Backoff", None) => f.write_str("; it is left alone for a while"),
            ("InProgress", None) => f.write_str("; it becomes larger"),
            _ => Ok(()),
        }
    }
}
