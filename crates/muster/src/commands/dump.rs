//! `muster plan --dump`: what is so in a cluster that kubectl wrote down, and what could be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use muster_cluster::kube::read::dump::{Dump, NotRead, Waiting, read, settled};
use muster_core::plan::{NodesPolicy, Planned, Policy, WhatIf, World};
use muster_core::room::{NodeStage, NodeView, Rooms, TenantId};
use muster_core::{Amounts, Timestamp};
use muster_store::Clock;
use serde::Serialize;
use serde_json::Value;

use super::plan::{lines, question, what_if};
use crate::answer::Planned as Answer;
use crate::arguments::Plan;
use crate::failure::Failure;
use crate::hub::parse;
use crate::{human, table};

const ADVICE: &str = "It is what `kubectl get nodes,pods,pdb,ds,rs,jobs -A -o json` prints; events and the config map \
     cluster-autoscaler-status may be in it too.";
/// Most lines of one kind that are shown; with --json there are all.
const SHOWN: usize = 50;
const GIB: f64 = (1u64 << 30) as f64;

/// Beside the plan, what a dump says.
#[derive(Serialize)]
struct Document<'d> {
    nodes: Vec<NodeLine<'d>>,
    waiting: &'d [WaitingLine],
    autoscalers: Vec<String>,
    not_read: &'d [NotRead],
}

#[derive(Serialize)]
struct NodeLine<'d> {
    node: &'d str,
    stage: &'static str,
    group: Option<&'d str>,
    pods: usize,
    held: Amounts,
    #[serde(skip)]
    view: &'d NodeView,
}

#[derive(Serialize)]
struct WaitingLine {
    #[serde(flatten)]
    it: Waiting,
    message: String,
    /// Of a question: is it not so as things are?
    new: bool,
}

pub fn plan(file: &Path, asked: &Plan) -> Result<(), Failure> {
    let dump = of_file(file)?;
    let now = dump.at.unwrap_or_else(|| Clock::system().now());
    let policy = Policy { nodes: NodesPolicy::of_a_moment(), ..Policy::default() };
    let question = what_if(asked);
    let is = Planned::new(dump.world.clone(), policy.clone(), now);
    let asked_for = is
        .what_if(&question)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let (world, before) = settled(&is.world);
    let today = Planned::new(world, policy.clone(), now);
    let (world, waits) = settled(&asked_for.world);
    let then = Planned::new(world, policy, now);
    let other = Some(&today.plan).filter(|_| question != WhatIf::default());
    let document = muster_server::plan_document(&then, other).map_err(Failure::failed)?;
    let waits = lines_of_waiting(&before, waits, &dump.said);
    let nodes = lines_of_nodes(&then.world);
    if asked.json {
        let autoscalers = dump.autoscalers.iter().map(ToString::to_string).collect();
        let own = Document { nodes, waiting: &waits, autoscalers, not_read: &dump.not_read };
        let mut whole: Value = parse(document.as_bytes())?;
        whole["words"]["dump"] =
            serde_json::to_value(&own).map_err(|error| Failure::failed(error.to_string()))?;
        return table::print_json(whole.to_string().as_bytes());
    }
    let answer: Answer = parse(document.as_bytes())?;
    table::put(&in_words(&answer, asked, &Told { dump: &dump, now, nodes, waits: &waits }))
}

struct Told<'d> {
    dump: &'d Dump,
    now: Timestamp,
    nodes: Vec<NodeLine<'d>>,
    waits: &'d [WaitingLine],
}

fn of_file(file: &Path) -> Result<Dump, Failure> {
    let shown = file.display();
    let mut bytes = Vec::new();
    let got = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(drop),
        false => std::fs::read(file).map(|all| bytes = all),
    };
    got.map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
    let bad = |why: String| Failure::usage(format!("{shown} is no dump: {why}.")).advice(ADVICE);
    let text = String::from_utf8(bytes).map_err(|_| bad("it is no text in UTF-8".to_owned()))?;
    read(&text).map_err(|no_dump| bad(no_dump.to_string()))
}

fn lines_of_waiting(
    before: &[Waiting],
    now: Vec<Waiting>,
    said: &BTreeMap<TenantId, String>,
) -> Vec<WaitingLine> {
    let before: BTreeMap<&TenantId, bool> =
        before.iter().map(|it| (&it.tenant, it.fits.is_some())).collect();
    let line = |it: Waiting| {
        let mut message = match (&it.fits, &it.lack) {
            (Some(node), _) if it.displaced => format!("There is room for it on {node}."),
            (Some(node), _) => format!("There is room for it on {node} now."),
            (None, Some(lack)) => match &it.nearest {
                Some(nearest) => format!("It fits nowhere: {lack}; {nearest} is nearest to it."),
                None => format!("It fits nowhere: {lack}."),
            },
            (None, None) => "It fits nowhere.".to_owned(),
        };
        if let Some(said) = said.get(&it.tenant) {
            message.push_str(&format!(" Of it is said: {said}."));
        }
        let new = before.get(&it.tenant) != Some(&it.fits.is_some());
        WaitingLine { it, message, new }
    };
    now.into_iter().map(line).collect()
}

fn lines_of_nodes(world: &World) -> Vec<NodeLine<'_>> {
    let mut rooms = Rooms::new(&world.nodes);
    rooms.put_tenants(&world.tenants);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in world.tenants.iter().filter_map(|it| it.node.as_ref()) {
        *counts.entry(&node.0).or_default() += 1;
    }
    let held = |view: &NodeView| rooms.find(&view.id).map(|index| rooms.get(index).held().clone());
    let mut nodes: Vec<NodeLine<'_>> = world
        .nodes
        .iter()
        .map(|view| NodeLine {
            node: &view.id.0,
            stage: view.stage.name(),
            group: view.group.as_ref().map(|group| group.0.as_str()),
            pods: counts.get(view.id.0.as_str()).copied().unwrap_or(0),
            held: held(view).unwrap_or_default(),
            view,
        })
        .collect();
    nodes.sort_by_key(|it| it.node);
    nodes
}

fn in_words(answer: &Answer, asked: &Plan, told: &Told<'_>) -> String {
    let Told { dump, now, nodes, waits } = told;
    let pods = dump.world.tenants.len() as u64;
    let mut text = format!(
        "{}Seen {now}: {} and {}.\n",
        question(asked),
        human::counted(dump.world.nodes.len() as u64, "node"),
        human::counted(pods, "pod"),
    );
    text.push_str(&lines(&answer.words));
    let mark = |new: bool| if new && !question(asked).is_empty() { '+' } else { ' ' };
    let waits = waits.iter().map(|it| format!("{} {}: {}", mark(it.new), it.it.tenant, it.message));
    section(&mut text, "Pods that wait", waits.collect());
    text.push_str(&format!("\nNodes\n{}\n", table_of(nodes)));
    let stages = nodes.iter().filter(|it| it.view.stage != NodeStage::Ready);
    let stages = stages.map(|it| format!("  {}: {}", it.node, it.view.stage));
    section(&mut text, "Not ready", stages.collect());
    let who = dump.autoscalers.iter().map(|it| format!("  {it} is there."));
    let groups = dump.groups.iter().map(|it| format!("  {it}."));
    section(&mut text, "The autoscaler", who.chain(groups).collect());
    let not_read = dump.not_read.iter().map(|it| format!("  {it}"));
    section(&mut text, "Not read", not_read.collect());
    text
}

fn section(text: &mut String, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}\n"));
    for line in lines.iter().take(SHOWN) {
        text.push_str(line);
        text.push('\n');
    }
    if let Some(more) = lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more, which --json shows\n"));
    }
}

fn table_of(nodes: &[NodeLine<'_>]) -> String {
    let rows = nodes.iter().map(|it| {
        let of = &it.view.allocatable;
        let names: BTreeSet<&String> =
            of.named.iter().filter(|(_, all)| **all > 0).map(|(name, _)| name).collect();
        let named = names.into_iter().map(|name| {
            let short = name.rsplit('/').next().unwrap_or(name);
            format!("{}/{} {short}", it.held.of(name), of.of(name))
        });
        let named: Vec<String> = named.collect();
        let cores = |of: u64| of as f64 / 1000.0;
        let gib = |of: u64| of as f64 / GIB;
        vec![
            it.node.to_owned(),
            it.stage.to_owned(),
            it.group.unwrap_or("-").to_owned(),
            format!("{:.1}/{:.1}", cores(it.held.cpu), cores(of.cpu)),
            format!("{:.1}/{:.1}", gib(it.held.memory), gib(of.memory)),
            if named.is_empty() { "-".into() } else { named.join(", ") },
            human::count(it.pods as u64),
        ]
    });
    let header = ["node", "stage", "group", "cores", "GiB", "devices", "pods"];
    table::table(&header, rows.collect(), &[3, 4, 6])
}
