//! A program that the operator names makes nodes and takes them away.
//!
//! It gets one JSON object on its standard input and answers with one on its standard output; the contract
//! is in `docs/providers.md`. One call is made at a time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use muster_core::Amounts;
use muster_core::resources::{GPU, Millicores, NOT_COUNTED};
use muster_core::room::{
    FailureClass, GroupId, Labels, MachineState, NodeId, Refusal, Template, Told, ToldMachine,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Answer, Groups, Provider};
use crate::program;

/// Longest answer: some hundred bytes for each of ten thousand machines.
const LONGEST: u64 = 8 << 20;
/// Of what it says when it fails, so much is kept.
const KEPT: usize = 500;
const LONGEST_NAME: usize = 253;
const MIB: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub struct CommandConfig {
    pub program: PathBuf,
    pub environment: Vec<(OsString, OsString)>,
    /// The longest time for one call.
    pub patience: Duration,
}

pub struct Command {
    config: CommandConfig,
    one: Mutex<()>,
}

impl Command {
    pub fn new(config: CommandConfig) -> Self {
        Self { config, one: Mutex::default() }
    }

    async fn call(&self, what: Value) -> Result<String, Refusal> {
        let one = self.one.lock().await;
        let CommandConfig { program, environment, patience } = &self.config;
        let mut command = tokio::process::Command::new(program);
        let environment = environment.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(environment);
        let input = format!("{what}\n");
        let ran = tokio::time::timeout(*patience, program::run(command, &input, LONGEST)).await;
        drop(one);
        let name = program.display();
        let late = |_| other(format!("{name} took more than {} s", patience.as_secs()));
        let said = ran.map_err(late)?.map_err(|error| other(format!("{name}: {error}")))?;
        if !said.err.trim().is_empty() {
            tracing::info!(program = %name, said = last(&said.err), "the provider says");
        }
        if said.status.success() {
            return Ok(said.out);
        }
        if let Ok(ErrorReply { error }) = serde_json::from_str(&said.out) {
            return Err(Refusal { class: error.class, message: last(&error.message).to_owned() });
        }
        let words = [&said.err, &said.out].map(|text| last(text));
        let words = words.into_iter().find(|text| !text.is_empty()).unwrap_or("it said nothing");
        Err(other(format!("{name}: {}: {words}", said.status)))
    }

    async fn order(&self, what: Value) -> Result<(), Refusal> {
        let said = self.call(what).await?;
        // Nothing, or an empty object, is a yes.
        match said.trim() {
            "" => Ok(()),
            text => {
                serde_json::from_str::<Yes>(text).map(|Yes {}| ()).map_err(|e| self.garbled(&e))
            }
        }
    }

    fn garbled(&self, error: &serde_json::Error) -> Refusal {
        other(format!("{} answers what is not understood: {error}", self.config.program.display()))
    }
}

impl Provider for Command {
    fn groups(&self) -> Answer<'_, Groups> {
        Box::pin(async {
            let said = self.call(json!({"do": "groups"})).await?;
            let reply: GroupsReply = serde_json::from_str(&said).map_err(|e| self.garbled(&e))?;
            let mut groups = BTreeMap::new();
            for group in reply.groups {
                let id = GroupId(group.id.clone());
                let told = told(group).map_err(|wrong| other(format!("group {id}: {wrong}")))?;
                if groups.insert(id.clone(), Ok(told)).is_some() {
                    return Err(other(format!("it names the group {id} twice")));
                }
            }
            Ok(groups.into_iter().collect())
        })
    }

    fn resize<'a>(&'a self, group: &'a GroupId, to: u32, order: Uuid) -> Answer<'a, ()> {
        let what = json!({"do": "resize", "group": group, "to": to, "order": order});
        Box::pin(self.order(what))
    }

    fn remove<'a>(
        &'a self,
        group: &'a GroupId,
        machines: &'a [String],
        order: Uuid,
    ) -> Answer<'a, ()> {
        let what = json!({"do": "remove", "group": group, "machines": machines, "order": order});
        Box::pin(self.order(what))
    }
}

fn other(message: String) -> Refusal {
    Refusal { class: FailureClass::Other, message }
}

/// The end of what was said: there the reason stands.
fn last(text: &str) -> &str {
    let text = text.trim();
    let from = text.len().saturating_sub(KEPT);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[from..]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Yes {}

#[derive(Deserialize)]
struct ErrorReply {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    class: FailureClass,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupsReply {
    groups: Vec<GroupReply>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupReply {
    id: String,
    min: Option<u32>,
    max: Option<u32>,
    target: u32,
    template: Option<TemplateReply>,
    #[serde(default)]
    price: u64,
    machines: Vec<MachineReply>,
}

/// What a machine of the group has, in the words of `[resources]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateReply {
    cpu: Millicores,
    memory_mib: u64,
    storage_mib: Option<u64>,
    #[serde(default)]
    gpus: u32,
    gpu: Option<String>,
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineReply {
    id: String,
    node: Option<String>,
    state: StateReply,
    class: Option<FailureClass>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateReply {
    Booting,
    Running,
    Failed,
    Leaving,
}

fn told(group: GroupReply) -> Result<Told, String> {
    named(&group.id)?;
    let mut machines: Vec<ToldMachine> = Vec::new();
    for MachineReply { id, node, state, class, message } in group.machines {
        named(&id)?;
        node.as_deref().map(named).transpose()?;
        if machines.iter().any(|machine| machine.id == id) {
            return Err(format!("it names the machine {id} twice"));
        }
        let state = match state {
            StateReply::Booting => MachineState::Booting,
            StateReply::Running => MachineState::Running,
            StateReply::Leaving => MachineState::Leaving,
            StateReply::Failed => MachineState::Failed {
                class: class.unwrap_or(FailureClass::Other),
                message: message.map(|text| last(&text).to_owned()).unwrap_or_default(),
            },
        };
        machines.push(ToldMachine { id, node: node.map(NodeId), state });
    }
    let template = group.template.map(template).transpose()?;
    let GroupReply { min, max, target, price, .. } = group;
    Ok(Told { target, min, max, template, price, machines })
}

fn template(reply: TemplateReply) -> Result<Template, String> {
    let bytes = |mib: u64| mib.checked_mul(MIB).filter(|bytes| *bytes <= NOT_COUNTED);
    let memory = bytes(reply.memory_mib).ok_or("memory_mib is more than any machine has")?;
    let storage = reply.storage_mib.map_or(Some(NOT_COUNTED), bytes);
    let storage = storage.ok_or("storage_mib is more than any machine has")?;
    if reply.cpu.0 == 0 || memory == 0 {
        return Err("its template has no cpu or no memory_mib".to_owned());
    }
    let gpu = reply.gpu.unwrap_or_else(|| GPU.to_owned());
    let named = (reply.gpus > 0).then(|| (gpu, u64::from(reply.gpus)));
    let allocatable = Amounts {
        cpu: u64::from(reply.cpu.0),
        memory,
        storage,
        pods: NOT_COUNTED,
        named: named.into_iter().collect(),
    };
    Ok(Template { labels: reply.labels, taints: Vec::new(), allocatable })
}

fn named(name: &str) -> Result<(), String> {
    let good = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    good.then_some(()).ok_or_else(|| {
        format!("{name:?} is no name: 1 to {LONGEST_NAME} printable characters without spaces")
    })
}
