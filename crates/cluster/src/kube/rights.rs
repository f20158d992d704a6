//! What the hub's account may do. The table in `docs/kubernetes.md` and the roles of the chart say the same.

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the namespace of the pods.
    Models,
    Cluster,
    /// In the namespace `default`, where Kubernetes writes events of what is in no namespace.
    Default,
    /// In the namespace `kube-system`.
    System,
}

impl Place {
    /// The namespace; none of the cluster.
    pub fn namespace(self, models: &str) -> Option<&str> {
        match self {
            Self::Models => Some(models),
            Self::Cluster => None,
            Self::Default => Some("default"),
            Self::System => Some("kube-system"),
        }
    }
}

pub struct Right {
    pub place: Place,
    pub group: &'static str,
    /// With `=` and a name if it is of one object alone.
    pub resource: &'static str,
    pub verbs: &'static [&'static str],
    /// What does not work without it.
    pub without: &'static str,
}

impl Right {
    /// As people write it: `daemonsets.apps`.
    pub fn named(&self) -> String {
        match self.group {
            "" => self.resource.to_owned(),
            group => format!("{}.{group}", self.resource),
        }
    }

    /// Without it no hub starts.
    pub fn is_needed(&self) -> bool {
        self.place == Place::Models && self.resource == "pods" && self.group.is_empty()
    }
}

const NO_ROOM: &str = "the hub cannot say where there is room";
const SEEN: &[&str] = &["list", "watch"];

pub const RIGHTS: [Right; 12] = [
    Right {
        place: Place::Models,
        group: "",
        resource: "pods",
        verbs: &["create", "get", "list", "watch", "patch", "delete"],
        without: "no pod can be run",
    },
    Right {
        place: Place::Models,
        group: "",
        resource: "pods/log",
        verbs: &["get"],
        without: "what models write is not shown",
    },
    Right {
        place: Place::Models,
        group: "",
        resource: "events",
        verbs: SEEN,
        without: "nothing is told of pulls, scale-ups and evictions",
    },
    Right {
        place: Place::Models,
        group: "metrics.k8s.io",
        resource: "pods",
        verbs: &["list"],
        without: "what pods use is not shown",
    },
    seen("", "nodes", NO_ROOM),
    seen("", "pods", NO_ROOM),
    seen("policy", "poddisruptionbudgets", "no node is ever said to be one that could go"),
    seen("apps", "daemonsets", "new nodes seem to have more room than they will"),
    Right {
        place: Place::Default,
        group: "",
        resource: "events",
        verbs: SEEN,
        without: "nothing is told of what happens to nodes",
    },
    Right {
        place: Place::System,
        group: "",
        resource: "configmaps=cluster-autoscaler-status",
        verbs: &["get"],
        without: "what the Cluster Autoscaler says of itself is not shown",
    },
    Right {
        place: Place::Cluster,
        group: "karpenter.sh",
        resource: "nodepools",
        verbs: &["list"],
        without: "pools of Karpenter are not shown",
    },
    Right {
        place: Place::Cluster,
        group: "karpenter.sh",
        resource: "nodeclaims",
        verbs: &["list"],
        without: "claims of Karpenter are not shown",
    },
];

const fn seen(group: &'static str, resource: &'static str, without: &'static str) -> Right {
    Right { place: Place::Cluster, group, resource, verbs: SEEN, without }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_the_same_rights() {
        let text = include_str!("../../../../docs/kubernetes.md");
        let table = text.split("<!-- The table of rights. -->").nth(1).expect("it is there");
        let table = table.split("<!-- End of the table of rights. -->").next().expect("its end");
        let row = |right: &Right| {
            let place = match right.place {
                Place::Models => "models",
                Place::Cluster => "cluster",
                Place::Default => "default",
                Place::System => "kube-system",
            };
            let group = if right.group.is_empty() { "core" } else { right.group };
            let (resource, verbs) = (right.resource, right.verbs.join(", "));
            format!("| `{place}` | {group} | `{resource}` | {verbs} | {} |", right.without)
        };
        let expected: Vec<String> = RIGHTS.iter().map(row).collect();
        let found: Vec<&str> = table.trim().lines().skip(2).collect();
        assert_eq!(found, expected);
    }
}
