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
    /// In the namespaces of the deployments of machines.
    Machines,
}

impl Place {
    /// The namespace; none of the cluster. `own` is that of what the hub has there: pods, or machines.
    pub fn namespace(self, own: &str) -> Option<&str> {
        match self {
            Self::Models | Self::Machines => Some(own),
            Self::Cluster => None,
            Self::Default => Some("default"),
            Self::System => Some("kube-system"),
        }
    }
}

#[derive(PartialEq, Eq)]
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

    /// With which value of the chart its roles have it.
    pub fn value(&self) -> &'static str {
        match self.place {
            Place::Machines => "rbac.clusterApi",
            _ if OWNS.contains(self) => "rbac.ownNodes",
            _ if BUFFERS.contains(self) => "rbac.capacityBuffers",
            _ => "rbac.create",
        }
    }

    /// Without it no hub starts, or makes no nodes that are its own.
    pub fn is_needed(&self) -> bool {
        let pods = self.place == Place::Models && self.resource == "pods" && self.group.is_empty();
        pods || self.place == Place::Machines || OWNS.contains(self)
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

/// Of a hub that owns nodes.
pub static OWNS: [Right; 3] = [
    Right {
        place: Place::Cluster,
        group: "",
        resource: "nodes",
        verbs: &["get", "patch"],
        without: "no node can be given back",
    },
    own("pods", &["get"]),
    own("pods/eviction", &["create"]),
];

/// Of a hub that asks an autoscaler to keep room free.
pub static BUFFERS: [Right; 2] = [
    spare("", "podtemplates", &["list", "create", "delete"]),
    spare("autoscaling.x-k8s.io", "capacitybuffers", &["list", "create", "patch", "delete"]),
];

/// Of a hub whose nodes Cluster API makes, in the cluster that has the deployments. Who only advises patches nothing.
pub static MACHINES: [Right; 3] = [
    machines("machinedeployments", &["get", "patch"]),
    machines("machinedeployments/scale", &["get", "patch"]),
    machines("machines", &["list", "patch"]),
];

const fn own(resource: &'static str, verbs: &'static [&'static str]) -> Right {
    let without = "what others run on a node is not asked to go elsewhere";
    Right { place: Place::Cluster, group: "", resource, verbs, without }
}

const fn spare(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Right {
    let without = "no room is kept free for models that say so";
    Right { place: Place::Models, group, resource, verbs, without }
}

const fn machines(resource: &'static str, verbs: &'static [&'static str]) -> Right {
    let without = "no node is made or given back";
    Right { place: Place::Machines, group: "cluster.x-k8s.io", resource, verbs, without }
}

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
                Place::Machines => unreachable!("it is in no table"),
            };
            let group = if right.group.is_empty() { "core" } else { right.group };
            let (resource, verbs) = (right.resource, right.verbs.join(", "));
            format!("| `{place}` | {group} | `{resource}` | {verbs} | {} |", right.without)
        };
        let expected: Vec<String> = RIGHTS.iter().map(row).collect();
        let found: Vec<&str> = table.trim().lines().skip(2).collect();
        assert_eq!(found, expected);
    }

    /// Beside the table, as rules that are copied.
    #[test]
    fn the_documentation_has_the_rights_of_who_owns_nodes() {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Rule {
            api_groups: Vec<String>,
            resources: Vec<String>,
            verbs: Vec<String>,
        }
        let text = include_str!("../../../../docs/kubernetes.md");
        let text = text.split("### Rights to own nodes").nth(1).expect("it is there");
        let mut blocks = text.split("```yaml").skip(1);
        for rights in [&OWNS[..], &MACHINES, &BUFFERS] {
            let block = blocks.next().and_then(|it| it.split("```").next()).expect("rules");
            let rules: Vec<Rule> = serde_saphyr::from_str(block).expect("rules");
            let rule =
                |it: &Rule| (it.api_groups[0].clone(), it.resources[0].clone(), it.verbs.clone());
            // Templates of machines have kinds of their own.
            let found = rules.iter().map(rule).filter(|it| !it.0.starts_with("infrastructure."));
            let right = |it: &Right| {
                let verbs: Vec<String> = it.verbs.iter().map(|&verb| verb.to_owned()).collect();
                (it.group.to_owned(), it.resource.to_owned(), verbs)
            };
            let expected: Vec<_> = rights.iter().map(right).collect();
            assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }
}
