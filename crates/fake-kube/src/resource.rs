//! The kinds that are served, and how each is named.

/// What an object is one of.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
}

impl Resource {
    pub fn new(group: &str, version: &str, plural: &str) -> Self {
        Self { group: group.into(), version: version.into(), plural: plural.into() }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// As messages have it: `pods`, `deployments.apps`.
    pub fn qualified(&self) -> String {
        match self.group.as_str() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }
}

macro_rules! known {
    ($($name:ident = $group:literal $version:literal $plural:literal;)*) => {
        impl Resource {
            $(pub fn $name() -> Self { Self::new($group, $version, $plural) })*
        }
    };
}

known! {
    pods = "" "v1" "pods";
    nodes = "" "v1" "nodes";
    events = "" "v1" "events";
    namespaces = "" "v1" "namespaces";
    config_maps = "" "v1" "configmaps";
    secrets = "" "v1" "secrets";
    services = "" "v1" "services";
    service_accounts = "" "v1" "serviceaccounts";
    resource_quotas = "" "v1" "resourcequotas";
    pod_templates = "" "v1" "podtemplates";
    daemon_sets = "apps" "v1" "daemonsets";
    replica_sets = "apps" "v1" "replicasets";
    deployments = "apps" "v1" "deployments";
    stateful_sets = "apps" "v1" "statefulsets";
    jobs = "batch" "v1" "jobs";
    cron_jobs = "batch" "v1" "cronjobs";
    claims = "" "v1" "persistentvolumeclaims";
    ingresses = "networking.k8s.io" "v1" "ingresses";
    network_policies = "networking.k8s.io" "v1" "networkpolicies";
    disruption_budgets = "policy" "v1" "poddisruptionbudgets";
    leases = "coordination.k8s.io" "v1" "leases";
    new_events = "events.k8s.io" "v1" "events";
    priority_classes = "scheduling.k8s.io" "v1" "priorityclasses";
    roles = "rbac.authorization.k8s.io" "v1" "roles";
    role_bindings = "rbac.authorization.k8s.io" "v1" "rolebindings";
    cluster_roles = "rbac.authorization.k8s.io" "v1" "clusterroles";
    cluster_role_bindings = "rbac.authorization.k8s.io" "v1" "clusterrolebindings";
    pod_metrics = "metrics.k8s.io" "v1beta1" "pods";
    node_metrics = "metrics.k8s.io" "v1beta1" "nodes";
}

/// A kind as it is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    pub group: String,
    /// The preferred one first; it is the one that is stored.
    pub versions: Vec<String>,
    pub plural: String,
    pub kind: String,
    pub namespaced: bool,
    pub short: Vec<String>,
    /// Has a status that only its own path changes.
    pub status: bool,
    /// Where the number of replicas stands, `spec.replicas`, has a path of its own.
    pub scale: bool,
    /// Known by its schema: patched strategically, and not a custom resource.
    pub builtin: bool,
}

impl Kind {
    /// A custom kind: namespaced, with a status.
    pub fn custom(group: &str, versions: &[&str], plural: &str, kind: &str) -> Self {
        Self {
            group: group.to_owned(),
            versions: versions.iter().map(|&v| v.to_owned()).collect(),
            plural: plural.to_owned(),
            kind: kind.to_owned(),
            namespaced: true,
            short: Vec::new(),
            status: true,
            scale: false,
            builtin: false,
        }
    }

    pub fn with_scale(self) -> Self {
        Self { scale: true, ..self }
    }

    /// In no namespace.
    pub fn of_the_cluster(self) -> Self {
        Self { namespaced: false, ..self }
    }

    /// What it is stored as.
    pub fn resource(&self) -> Resource {
        Resource::new(&self.group, self.versions.first().map_or("v1", String::as_str), &self.plural)
    }

    pub fn singular(&self) -> String {
        self.kind.to_lowercase()
    }
}

/// Columns: group, plural, kind, short names, then `n`amespaced, `s`tatus, s`c`ale.
const BUILTIN: [(&str, &str, &str, &str, &str); 29] = [
    ("", "pods", "Pod", "po", "ns"),
    ("", "nodes", "Node", "no", "s"),
    ("", "events", "Event", "ev", "n"),
    ("", "namespaces", "Namespace", "ns", "s"),
    ("", "configmaps", "ConfigMap", "cm", "n"),
    ("", "secrets", "Secret", "", "n"),
    ("", "services", "Service", "svc", "ns"),
    ("", "serviceaccounts", "ServiceAccount", "sa", "n"),
    ("", "resourcequotas", "ResourceQuota", "quota", "ns"),
    ("", "podtemplates", "PodTemplate", "", "n"),
    ("apps", "daemonsets", "DaemonSet", "ds", "ns"),
    ("apps", "replicasets", "ReplicaSet", "rs", "nsc"),
    ("apps", "deployments", "Deployment", "deploy", "nsc"),
    ("apps", "statefulsets", "StatefulSet", "sts", "nsc"),
    ("batch", "jobs", "Job", "", "ns"),
    ("batch", "cronjobs", "CronJob", "cj", "ns"),
    ("", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", "ns"),
    ("networking.k8s.io", "ingresses", "Ingress", "ing", "ns"),
    ("networking.k8s.io", "networkpolicies", "NetworkPolicy", "netpol", "n"),
    ("policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", "ns"),
    ("coordination.k8s.io", "leases", "Lease", "", "n"),
    ("events.k8s.io", "events", "Event", "ev", "n"),
    ("scheduling.k8s.io", "priorityclasses", "PriorityClass", "pc", ""),
    ("rbac.authorization.k8s.io", "roles", "Role", "", "n"),
    ("rbac.authorization.k8s.io", "rolebindings", "RoleBinding", "", "n"),
    ("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", "", ""),
    ("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", "", ""),
    ("metrics.k8s.io", "pods", "PodMetrics", "", "n"),
    ("metrics.k8s.io", "nodes", "NodeMetrics", "", ""),
];

/// The kinds that every cluster has. Measured use is among them, and served once there is any.
pub fn builtin() -> Vec<Kind> {
    let kind = |(group, plural, kind, short, traits): (&str, &str, &str, &str, &str)| Kind {
        group: group.to_owned(),
        versions: vec![if group == "metrics.k8s.io" { "v1beta1" } else { "v1" }.to_owned()],
        plural: plural.to_owned(),
        kind: kind.to_owned(),
        namespaced: traits.contains('n'),
        short: if short.is_empty() { Vec::new() } else { vec![short.to_owned()] },
        status: traits.contains('s'),
        scale: traits.contains('c'),
        builtin: true,
    };
    BUILTIN.into_iter().map(kind).collect()
}
