//! `muster nodes`: where instances run, for administrators.

use muster_core::Timestamp;
use muster_core::plan::NotThere;
use muster_core::room::GroupId;
use muster_store::Clock;
use serde::Deserialize;
use serde_json::json;

use crate::answer::{Autoscalers, Device, Node, NodeDetails, NodeGroup, NodeMarked, Planned, Room};
use crate::arguments::{MarkNode, NodeGroups, Nodes, NodesVerb, OneNode};
use crate::failure::Failure;
use crate::hub::{Hub, parse};
use crate::list::List;
use crate::path::{parameter, segment};
use crate::{human, table};

#[derive(Deserialize)]
struct Groups {
    items: Vec<NodeGroup>,
}

const GIB: f64 = (1u64 << 30) as f64;

pub async fn nodes(hub: &Hub, arguments: &Nodes) -> Result<(), Failure> {
    match &arguments.verb {
        None => list(hub, arguments).await,
        Some(NodesVerb::Explain(node)) => explain(hub, node).await,
        Some(NodesVerb::Groups(arguments)) => groups(hub, arguments).await,
        Some(NodesVerb::Autoscalers(arguments)) => autoscalers(hub, arguments.json).await,
        Some(NodesVerb::Cordon(arguments)) => mark(hub, "cordon", arguments).await,
        Some(NodesVerb::Drain(arguments)) => mark(hub, "drain", arguments).await,
        Some(NodesVerb::Uncordon(OneNode { id, json })) => {
            let answer = hub.post(&path(id, "/uncordon"), |post| post).await?;
            marked(&answer, *json)
        }
    }
}

async fn list(hub: &Hub, arguments: &Nodes) -> Result<(), Failure> {
    if !arguments.group.is_empty() {
        are_there(hub, &arguments.group).await?;
    }
    let mut path = "/api/v1/nodes".to_owned();
    parameter(&mut path, "group", &arguments.group);
    parameter(&mut path, "stage", &arguments.stage);
    let (limit, json) = (arguments.limit, arguments.json);
    let list = List { path: &path, limit, json, none: "no nodes", see: "--limit" };
    list.print(hub, listed).await
}

/// A mistyped group has no nodes, which is not what one wants to hear.
async fn are_there(hub: &Hub, groups: &[String]) -> Result<(), Failure> {
    let Groups { items } = parse(&hub.get("/api/v1/node-groups").await?)?;
    let there: Vec<GroupId> = items.into_iter().map(|group| GroupId(group.id)).collect();
    match groups.iter().map(|name| GroupId(name.clone())).find(|name| !there.contains(name)) {
        Some(asked) => Err(Failure::usage(NotThere::Group { asked, there }.to_string())),
        None => Ok(()),
    }
}

fn listed(nodes: Vec<Node>) -> String {
    let rows = nodes.into_iter().map(|it| {
        let (of, free) = (&it.allocatable, &it.free);
        let named: Vec<String> = of
            .named
            .iter()
            .filter(|(_, all)| **all > 0)
            .map(|(name, all)| {
                let free = free.named.get(name).copied().unwrap_or(0);
                let name = name.rsplit('/').next().unwrap_or(name);
                format!("{}/{all} {name}", all - free.min(*all))
            })
            .collect();
        let stays = it.kept.as_ref().map(|kept| kept.because.replace('_', " "));
        vec![
            it.id,
            it.stage.name,
            it.group.unwrap_or_else(|| "-".into()),
            format!("{:.1}/{:.1}", of.cpu - free.cpu, of.cpu),
            format!("{:.1}/{:.1}", gib(of.memory.saturating_sub(free.memory)), gib(of.memory)),
            if named.is_empty() { "-".into() } else { named.join(", ") },
            human::count(it.instances.len() as u64),
            human::count(it.others),
            stays.unwrap_or_else(|| "-".into()),
        ]
    });
    let header =
        ["node", "stage", "group", "cores", "GiB", "devices", "instances", "others", "stays"];
    table::table(&header, rows.collect(), &[3, 4, 6, 7])
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}

fn path(id: &str, rest: &str) -> String {
    format!("/api/v1/nodes/{}{rest}", segment(id))
}

async fn mark(hub: &Hub, verb: &str, asked: &MarkNode) -> Result<(), Failure> {
    let body = json!({ "reason": asked.reason });
    let answer = hub.post_json(&path(&asked.id, &format!("/{verb}")), &body).await?;
    marked(&answer, asked.json)
}

fn marked(answer: &[u8], json: bool) -> Result<(), Failure> {
    if json {
        return table::print_json(answer);
    }
    let it: NodeMarked = parse(answer)?;
    let so = if it.changed { "" } else { "It was so already. " };
    table::print(&format!("{}: {so}{}", it.node, it.message))
}

async fn explain(hub: &Hub, asked: &OneNode) -> Result<(), Failure> {
    let node = hub.get(&path(&asked.id, "")).await?;
    let mut path = "/api/v1/plan?world=false".to_owned();
    parameter(&mut path, "without", [&asked.id]);
    let without = hub.get(&path).await?;
    if asked.json {
        let [node, without] = [&node, &without].map(|body| String::from_utf8_lossy(body));
        return table::print(&format!("{{\"node\":{node},\"without\":{without}}}"));
    }
    let now = Clock::system().now();
    table::put(&explained(&parse(&node)?, &parse(&without)?, now))
}

fn explained(details: &NodeDetails, without: &Planned, now: Timestamp) -> String {
    let it = &details.node;
    let since = it.stage.since.map(|since| format!(" Since {}.", human::ago(since, now)));
    let labels: Vec<String> =
        it.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let unneeded = it.unneeded_since.map(|since| human::ago(since, now));
    let mut text = format!("{}\n", it.id);
    text.push_str(&table::facts(
        14,
        vec![
            (
                "Stage",
                format!("{}.{}", it.stage.message.trim_end_matches('.'), since.unwrap_or_default()),
            ),
            ("Group", it.group.clone().unwrap_or_default()),
            ("Labels", labels.join(", ")),
            ("Taints", it.taints.join(", ")),
            ("Hubs", it.servers.join(", ")),
            (
                "Price",
                Some(it.price).filter(|price| *price > 0).map(human::count).unwrap_or_default(),
            ),
            ("Has", it.allocatable.to_string()),
            ("Instances have", held(&it.held_by_instances)),
            ("Others have", held(&it.held_by_others)),
            ("Free", it.free.to_string()),
            ("Not needed", unneeded.map(|ago| format!("since {ago}")).unwrap_or_default()),
            ("Stays", it.kept.as_ref().map(|kept| kept.message.clone()).unwrap_or_default()),
        ],
    ));
    let instances = it.instances.iter().map(|it| {
        let state = match it.idle_since {
            Some(since) => format!("idle since {}", human::ago(since, now)),
            None => it.state.clone(),
        };
        vec![it.id.clone(), it.model.clone(), state, it.asked.to_string()]
    });
    section(&mut text, &["instance", "model", "state", "asks for"], instances.collect());
    let tenants = details.tenants.iter().map(|it| {
        let moves = match (&it.stays_because, it.owner.as_str()) {
            (Some(why), _) => format!("no: {why}"),
            (None, "none") => "no: nobody would start it again".to_owned(),
            (None, "replicated") => "yes".to_owned(),
            (None, _) => "goes with the node".to_owned(),
        };
        vec![it.id.clone(), moves, it.asked.to_string()]
    });
    section(&mut text, &["others", "can be moved", "asks for"], tenants.collect());
    let devices = it.devices.iter().map(|device| {
        vec![device.id.clone(), device.name.clone(), human::bytes(device.memory), user(device, it)]
    });
    section(&mut text, &["device", "name", "memory", "used by"], devices.collect());
    for (title, actions) in [("Planned", &it.actions), ("Advised", &it.advice)] {
        if !actions.is_empty() {
            text.push_str(&format!("\n{title}\n"));
            actions.iter().for_each(|action| text.push_str(&format!("  {}\n", action.message)));
        }
    }
    let words = &without.words;
    let actions = words.actions.iter().chain(&words.advice);
    let new = actions.filter(|it| it.new).map(|it| it.message.clone());
    let held = words.held.iter().filter(|it| it.new);
    let held = held.map(|it| format!("{} would wait: {}", it.model, it.message));
    let all: Vec<String> = new.chain(held).collect();
    text.push_str(&format!("\nWithout {}\n", it.id));
    match &all[..] {
        [] => text.push_str("  The plan would be the same.\n"),
        all => all.iter().for_each(|line| text.push_str(&format!("  {line}\n"))),
    }
    text
}

fn section(text: &mut String, header: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        text.push_str(&format!("\n{}\n", table::table(header, rows, &[])));
    }
}

fn held(room: &Room) -> String {
    let nothing = room.cpu == 0.0 && room.memory == 0 && room.named.values().all(|of| *of == 0);
    if nothing { "nothing".to_owned() } else { room.to_string() }
}

fn user(device: &Device, node: &Node) -> String {
    let instance = device.instance.as_ref();
    let model = |id: &String| node.instances.iter().find(|it| it.id == *id).map(|it| &it.model);
    match (instance, device.used_by_others) {
        (Some(id), _) => format!("{} ({id})", model(id).map_or("an instance", String::as_str)),
        (None, true) => "other programs".to_owned(),
        (None, false) => "nobody".to_owned(),
    }
}

async fn groups(hub: &Hub, arguments: &NodeGroups) -> Result<(), Failure> {
    let body = hub.get("/api/v1/node-groups").await?;
    if arguments.json {
        return table::print_json(&body);
    }
    let Groups { items } = parse(&body)?;
    if items.is_empty() {
        return table::print("no groups");
    }
    table::print(&grouped(items, Clock::system().now()))
}

async fn autoscalers(hub: &Hub, json: bool) -> Result<(), Failure> {
    let body = hub.get("/api/v1/autoscalers").await?;
    if json {
        return table::print_json(&body);
    }
    let Autoscalers { items, unseen } = parse(&body)?;
    if let Some(why) = unseen {
        return Err(Failure::failed(format!("the cluster cannot be asked: {why}")));
    }
    if items.is_empty() {
        return table::print("none: instances of this hub are no pods of a cluster");
    }
    let lines = items.into_iter().map(|it| {
        let is_there = match it.present {
            Some(true) => "is there",
            Some(false) => "is not there",
            None => "not known",
        };
        let says: String = it.says.iter().map(|line| format!("  {line}\n")).collect();
        format!("{}: {is_there}\n{says}", it.name)
    });
    table::put(&lines.collect::<String>())
}

fn grouped(groups: Vec<NodeGroup>, now: Timestamp) -> String {
    let mut notes = String::new();
    let rows = groups.into_iter().map(|it| {
        notes.push_str(&note(&it, now));
        let boots = it.boot_seconds.and_then(human::seconds).unwrap_or_else(|| "-".into());
        let each = it.template.map_or("not known".into(), |of| of.allocatable.to_string());
        let size = format!("{} to {}", it.min, it.max);
        let (nodes, target) = (it.nodes.to_string(), it.target.to_string());
        vec![it.id, nodes, it.upcoming.to_string(), target, size, boots, each]
    });
    let header = ["group", "nodes", "to come", "target", "may be", "boots in", "each has"];
    let text = table::table(&header, rows.collect(), &[1, 2, 3]);
    if notes.is_empty() { text } else { format!("{text}\n\n{}", notes.trim_end()) }
}

/// What is to be said of a group beside its figures.
fn note(group: &NodeGroup, now: Timestamp) -> String {
    let mut lines = Vec::new();
    if let Some(order) = &group.order {
        lines.push(format!(
            "Ordered {}: {} in all.",
            human::ago(order.at, now),
            human::counted(u64::from(order.to), "node")
        ));
    }
    if let Some(failures) = &group.failures {
        let times = human::counted(u64::from(failures.in_a_row), "time");
        let next = human::ahead(failures.next_try, now);
        lines.push(format!("Failed {times}: {}; the next try is {next}.", failures.message));
    }
    let failed = group.machines.iter().filter_map(|it| Some((it, it.message.as_ref()?)));
    lines.extend(failed.map(|(it, why)| format!("Machine {} has {}: {why}.", it.id, it.state)));
    lines.extend(group.only_advised.iter().map(|why| format!("Only advised: {why}.")));
    lines.extend(group.unseen.iter().map(|why| format!("Not seen: {why}.")));
    if !group.healthy {
        lines.push("Too many of its nodes are not heard of: none is taken away.".to_owned());
    }
    lines.extend(group.actions.iter().map(|it| it.message.clone()));
    lines.extend(group.advice.iter().map(|it| format!("Advised: {}", it.message)));
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    if lines.is_empty() { lines } else { format!("{}\n{lines}", group.id) }
}
