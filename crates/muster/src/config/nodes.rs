//! What the operator says of nodes that come and go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use muster_cluster::provider::{CommandConfig, MachineDeployment};
use muster_core::Amounts;
use muster_core::plan::{NodesMode, NodesPolicy};
use muster_core::resources::Millicores;
use muster_core::room::{GroupId, GroupSettings};

use super::Environment;
use super::kubernetes::Kubernetes;
use super::server::size;
use super::settings::Settings;

/// Who makes nodes, and which groups of them are the hub's.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    pub policy: NodesPolicy,
    pub groups: BTreeMap<GroupId, GroupSettings>,
    /// Nothing if nobody is asked.
    pub maker: Option<Maker>,
}

/// Who makes them.
#[derive(Clone, Debug)]
pub enum Maker {
    Command(CommandConfig),
    ClusterApi(ClusterApiConfig),
}

/// Cluster API, of the cluster that has its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterApiConfig {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub groups: BTreeMap<GroupId, MachineDeployment>,
}

/// `shared`: the database is one that several hubs can use; `pods`: where instances are pods.
pub fn read(
    settings: &Settings,
    environment: &Environment,
    shared: bool,
    pods: Option<&Kubernetes>,
) -> Result<Nodes, String> {
    let mode = settings.read("nodes.mode", "delegate, advise or own", |text| match text {
        "delegate" => Some(NodesMode::Delegate),
        "advise" => Some(NodesMode::Advise),
        "own" => Some(NodesMode::Own),
        _ => None,
    })?;
    let seconds = |key: &str, from: u32| {
        let like = format!("a whole number of seconds, {from} to 86400");
        let read = |text: &str| text.parse().ok().filter(|n: &u32| (from..=86400).contains(n));
        Ok::<u32, String>(settings.read(key, &like, read)?.unwrap_or(from))
    };
    let like = "amounts such as nodes=10,cpu=64,memory=256GiB,nvidia.com/gpu=4";
    let (most_nodes, most) =
        settings.read("nodes.most", like, |text| amounts(text, true))?.unwrap_or_default();
    let policy = NodesPolicy {
        mode: mode.unwrap_or_default(),
        unneeded_seconds: seconds("nodes.unneeded_seconds", 1)?,
        empty_seconds: seconds("nodes.empty_seconds", 1)?,
        settled_seconds: seconds("nodes.settled_seconds", 1)?,
        ask_seconds: seconds("nodes.ask_seconds", 1)?,
        boot_limit_seconds: seconds("nodes.boot_seconds", 1)?,
        drain_limit_seconds: seconds("nodes.drain_seconds", 1)?,
        most_nodes,
        most,
    };
    let patience = Duration::from_secs(u64::from(seconds("nodes.command_seconds", 1)?));
    let (groups, places) = groups(settings)?;
    let provider = settings.read("nodes.provider", "command or cluster-api", |text| {
        ["command", "cluster-api"].into_iter().find(|known| *known == text)
    })?;
    if policy.mode == NodesMode::Delegate {
        return Ok(Nodes { policy, ..Nodes::default() });
    }
    let mode = settings.text("nodes.mode").unwrap_or_default();
    if groups.is_empty() {
        return Err(format!("nodes.mode = {mode:?} needs nodes.groups: those that are the hub's"));
    }
    match pods {
        None if !shared => {
            return Err(format!(
                "nodes.mode = {mode:?} needs database.url: a node is a machine with a hub, and hubs share a PostgreSQL"
            ));
        }
        Some(pods) if !pods.sees_cluster => {
            return Err(format!(
                "nodes.mode = {mode:?} needs kubernetes.sees = \"cluster\": else the hub sees no nodes"
            ));
        }
        _ => {}
    }
    let maker = match provider.unwrap_or("command") {
        "cluster-api" => {
            let pods = pods.ok_or(
                "nodes.provider = \"cluster-api\" needs cluster = \"kubernetes\": its machines are nodes of one",
            )?;
            Maker::ClusterApi(cluster_api(settings, pods, &groups, places)?)
        }
        _ => {
            let program = settings.text("nodes.command").ok_or_else(|| {
                format!(
                    "nodes.mode = {mode:?} needs nodes.command, which makes the nodes, or nodes.provider = \"cluster-api\""
                )
            })?;
            let environment = environment.for_provider();
            Maker::Command(CommandConfig { program: program.into(), environment, patience })
        }
    };
    Ok(Nodes { policy, groups, maker: Some(maker) })
}

/// Which of its deployments the groups are: of their own names, if nothing is said.
fn cluster_api(
    settings: &Settings,
    pods: &Kubernetes,
    groups: &BTreeMap<GroupId, GroupSettings>,
    mut places: Places,
) -> Result<ClusterApiConfig, String> {
    let everywhere = settings.text("nodes.namespace");
    let of = groups.keys().map(|group| {
        let (namespace, name) = places.remove(group).unwrap_or_default();
        let namespace = namespace.or_else(|| everywhere.map(str::to_owned)).ok_or_else(|| {
            format!("nodes.group.{group} needs a namespace, or nodes.namespace: where its MachineDeployment is")
        })?;
        let name = name.unwrap_or_else(|| group.0.clone());
        for text in [&namespace, &name] {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
            if text.is_empty() || text.len() > 253 || !text.bytes().all(fits) {
                return Err(format!(
                    "nodes.group.{group}: {text:?} is no name in Kubernetes: a-z, 0-9, '-' and '.'"
                ));
            }
        }
        Ok((group.clone(), MachineDeployment { namespace, name }))
    });
    let groups = of.collect::<Result<_, String>>()?;
    let kubeconfig = settings.text("nodes.kubeconfig").map(PathBuf::from);
    if let Some(file) = kubeconfig.as_ref().filter(|file| !file.is_file()) {
        return Err(format!("nodes.kubeconfig: there is no file {}", file.display()));
    }
    // Another file has contexts of its own.
    let context = pods.context.clone().filter(|_| kubeconfig.is_none());
    let kubeconfig = kubeconfig.or_else(|| pods.kubeconfig.clone());
    Ok(ClusterApiConfig { kubeconfig, context, groups })
}

/// The namespace and name that are said of groups.
type Places = BTreeMap<GroupId, (Option<String>, Option<String>)>;

/// Those of the list, and those of which the file says more.
fn groups(settings: &Settings) -> Result<(BTreeMap<GroupId, GroupSettings>, Places), String> {
    let mut groups: BTreeMap<GroupId, GroupSettings> = BTreeMap::new();
    let mut places = Places::new();
    let listed = settings.text("nodes.groups").unwrap_or_default().split(',').map(str::trim);
    for (at, name) in listed.filter(|name| !name.is_empty()).enumerate() {
        let priority = -i32::try_from(at).unwrap_or(i32::MAX);
        let group = GroupSettings { priority, ..GroupSettings::default() };
        if groups.insert(name.into(), group).is_some() {
            return Err(format!("nodes.groups names {name:?} twice"));
        }
    }
    for (key, value) in &settings.groups {
        let wrong = |must_be: &str| {
            format!(
                "nodes.group.{key} = {:?} (from {}) must be {must_be}",
                value.text, value.origin
            )
        };
        let Some((name, key)) = key.rsplit_once('.') else {
            return Err(wrong("a table with min, max, priority, spare, namespace or name"));
        };
        let group = groups.entry(name.into()).or_default();
        let text = value.text.as_str();
        match key {
            "min" => group.min = Some(text.parse().map_err(|_| wrong("a whole number"))?),
            "max" => group.max = Some(text.parse().map_err(|_| wrong("a whole number"))?),
            "priority" => group.priority = text.parse().map_err(|_| wrong("a whole number"))?,
            "spare" => {
                let (_, spare) = amounts(text, false)
                    .ok_or_else(|| wrong("amounts such as cpu=2,memory=4GiB"))?;
                group.spare = Some(spare);
            }
            "namespace" => places.entry(name.into()).or_default().0 = Some(text.to_owned()),
            "name" => places.entry(name.into()).or_default().1 = Some(text.to_owned()),
            _ => return Err(wrong("one of min, max, priority, spare, namespace and name")),
        }
    }
    for (name, group) in &groups {
        if let (Some(min), Some(max)) = (group.min, group.max)
            && min > max
        {
            return Err(format!(
                "nodes.group.{name}: its minimum of {min} is above its maximum of {max}"
            ));
        }
    }
    Ok((groups, places))
}

/// `cpu=2,memory=4GiB`, each once; with a number of nodes where that makes sense.
fn amounts(text: &str, with_nodes: bool) -> Option<(Option<u32>, Amounts)> {
    let (mut nodes, mut amounts) = (None, Amounts::default());
    let mut seen = Vec::new();
    for pair in text.split(',') {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        if seen.contains(&key) {
            return None;
        }
        seen.push(key);
        match key {
            "nodes" if with_nodes => nodes = Some(value.parse().ok()?),
            "cpu" => {
                let cores: Millicores = serde_json::from_str(value).ok()?;
                amounts.cpu = u64::from(cores.0);
            }
            "memory" => amounts.memory = size(value)?,
            "storage" => amounts.storage = size(value)?,
            // The name of a resource, such as nvidia.com/gpu.
            name if name.contains('/') => amounts.set(name, value.parse().ok()?),
            _ => return None,
        }
    }
    Some((nodes, amounts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment;
    use crate::config::known::SETTINGS;

    fn nodes(variables: &[(&str, &str)], file: &str) -> Result<Nodes, String> {
        let variables = environment(variables);
        let path = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(path.path(), file).expect("it is written");
        let settings = Settings::resolve(SETTINGS, &[], &variables, Some(path.path()))?;
        read(&settings, &variables, true, super::super::kubernetes::read(&settings)?.as_ref())
    }

    fn program(nodes: Nodes) -> Option<PathBuf> {
        match nodes.maker? {
            Maker::Command(command) => Some(command.program),
            Maker::ClusterApi(_) => None,
        }
    }

    const OWN: [(&str, &str); 2] =
        [("MUSTER_NODES_MODE", "own"), ("MUSTER_NODES_COMMAND", "/opt/pool")];

    #[test]
    fn groups_are_those_of_the_list_and_of_the_file() {
        let file = "[nodes.group.b]\nmin = 1\nmax = 4\nspare = 'cpu=0.5,memory=1GiB'\n\
                    [nodes.group.'c.d']\npriority = 7";
        let groups = [&OWN[..], &[("MUSTER_NODES_GROUPS", "a, b")]].concat();
        let read = nodes(&groups, file).expect("they are read");
        let of = |name: &str| read.groups[&GroupId::from(name)].clone();
        assert_eq!((of("a").priority, of("b").priority, of("c.d").priority), (0, -1, 7));
        assert_eq!((of("b").min, of("b").max), (Some(1), Some(4)));
        let spare = of("b").spare.expect("spare");
        assert_eq!((spare.cpu, spare.memory), (500, 1 << 30));
        assert_eq!(program(read), Some("/opt/pool".into()));
    }

    #[test]
    fn limits_of_all_nodes_are_read() {
        let most = ("MUSTER_NODES_MOST", "nodes=3,cpu=16,nvidia.com/gpu=2");
        let all = [&OWN[..], &[most, ("MUSTER_NODES_GROUPS", "a")]].concat();
        let policy = nodes(&all, "").expect("they are read").policy;
        assert_eq!((policy.most_nodes, policy.most.cpu), (Some(3), 16_000));
        assert_eq!(policy.most.of("nvidia.com/gpu"), 2);
        assert_eq!((policy.unneeded_seconds, policy.boot_limit_seconds), (600, 900));
    }

    #[test]
    fn whoever_delegates_asks_nobody() {
        let read = nodes(&[("MUSTER_NODES_GROUPS", "a"), OWN[1]], "").expect("it is read");
        assert!(read.maker.is_none() && read.groups.is_empty());
    }

    const CAPI: [(&str, &str); 3] = [
        ("MUSTER_NODES_MODE", "own"),
        ("MUSTER_NODES_PROVIDER", "cluster-api"),
        ("MUSTER_CLUSTER", "kubernetes"),
    ];

    #[test]
    fn groups_of_cluster_api_are_deployments_by_their_namespace_and_name() {
        let file = "[nodes]\nnamespace = 'clusters'\ngroups = ['cpu']\n\
                    [nodes.group.gpu]\nnamespace = 'lab'\nname = 'gpu-workers'\nmax = 3\n";
        let read = nodes(&CAPI, file).expect("they are read");
        assert_eq!(read.groups[&GroupId::from("gpu")].max, Some(3));
        let Some(Maker::ClusterApi(made)) = read.maker else { panic!("{read:?}") };
        let of = |group: &str| {
            let MachineDeployment { namespace, name } = &made.groups[&GroupId::from(group)];
            format!("{namespace}/{name}")
        };
        assert_eq!((of("cpu"), of("gpu")), ("clusters/cpu".into(), "lab/gpu-workers".into()));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let group = ("MUSTER_NODES_GROUPS", "a");
        for (more, file, says) in [
            (vec![("MUSTER_NODES_MODE", "all")], "", "delegate, advise or own"),
            (vec![("MUSTER_NODES_MODE", "own"), group], "", "needs nodes.command"),
            (CAPI[..2].to_vec(), "[nodes.group.a]", "needs nodes.groups"),
            ([&CAPI[..2], &[group]].concat(), "", "needs cluster = \"kubernetes\""),
            ([&CAPI[..], &[group]].concat(), "", "nodes.group.a needs a namespace"),
            (CAPI.to_vec(), "[nodes.group.a]\nnamespace = 'A'", "\"A\" is no name"),
            (
                [&CAPI[..], &[group, ("MUSTER_KUBERNETES_SEES", "namespace")]].concat(),
                "",
                "needs kubernetes.sees",
            ),
            (vec![group, ("MUSTER_NODES_PROVIDER", "magic")], "", "command or cluster-api"),
            (OWN.to_vec(), "", "needs nodes.groups"),
            ([&OWN[..], &[("MUSTER_NODES_GROUPS", "a,a")]].concat(), "", "twice"),
            (vec![group, ("MUSTER_NODES_MOST", "cpu=much")], "", "nodes.most"),
            (vec![group, ("MUSTER_NODES_MOST", "cpu=1,cpu=2")], "", "nodes.most"),
            (vec![group, ("MUSTER_NODES_BOOT_SECONDS", "0")], "", "nodes.boot_seconds"),
            (vec![group], "[nodes.group.a]\nmin = -1", "nodes.group.a.min"),
            (vec![group], "[nodes.group.a]\nmin = 3\nmax = 2", "above its maximum of 2"),
            (vec![group], "[nodes.group.a]\nlargest = 3", "one of min, max, priority, spare,"),
            (vec![group], "[nodes.group.a]\nspare = 'nodes=1'", "cpu=2,memory=4GiB"),
            (vec![group], "[nodes.group]\na = 3", "a table with"),
        ] {
            let refused = nodes(&more, file).expect_err(says);
            assert!(refused.contains(says), "{refused}");
        }
        let all = [&OWN[..], &[group]].concat();
        let settings = Settings::resolve(SETTINGS, &[], &environment(&all), None).expect("it fits");
        let alone = read(&settings, &environment(&all), false, None).expect_err("SQLite");
        assert!(alone.contains("needs database.url"), "{alone}");
    }
}
