//! A catalogue entry: how to run a model, its limits, and its card.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::instance::Runs;
use crate::{Column, ModelId, Resources};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub id: ModelId,
    /// The declared version and the first 8 hex digits of the folder's content hash: `1.0.0+3fa9c1d2`;
    /// `1.0.0+` as long as the folder's files are being read. Predictions of one version are never served
    /// for another.
    pub version: String,
    pub source: Source,
    pub card: Card,
    /// Name and description of the one input column.
    pub input: InputColumn,
    /// The model's output columns, as far as it declares them.
    pub outputs: Vec<Column>,
    /// Inputs that the model's author gives as an example.
    pub example: Vec<String>,
    pub limits: ModelLimits,
    /// What an instance of it needs.
    #[serde(default)]
    pub resources: Resources,
    /// May predictions be kept and used again?
    pub cache: bool,
    /// What its own code may reach; an external server sees to that itself.
    #[serde(default)]
    pub network: Network,
    /// What an administrator says of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
}

/// What an administrator says of a model's pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PodSettings {
    /// What its pods have beyond the hub's template or instead of it: a strategic merge patch of `metadata`
    /// (labels, annotations) and `spec`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub template: Value,
    /// Why it may run as root, and as its image says, instead of as Kubernetes' `restricted` level has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrestricted: Option<String>,
    /// Its processors are limited to what it asks for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub limit_cpu: bool,
}

/// What of the network a model's code may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    #[default]
    None,
    All,
}

impl Network {
    pub const ALL: [Self; 2] = [Self::None, Self::All];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::All => "all",
        }
    }
}

/// Where instances of the model come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Source {
    /// A folder that `muster model-server` serves, one process an instance.
    Folder { path: String },
    /// A folder that was pushed to the hub: each hub has it unpacked under the hash of its archive, and serves
    /// it like any other folder; or each pod of it fetches it.
    Pushed {
        content: String,
        /// A version that is tried before it takes the place of the last good one: the model's own id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trial_of: Option<ModelId>,
        /// Instances are pods that fetch the archive. The hub says it, whatever the catalogue has.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        in_pods: bool,
    },
    /// An external server: it outlives the hub. One instance.
    Server { url: String },
    /// An image that serves the model-server contract at a port: each instance is a pod, which outlives
    /// the hub.
    Image {
        image: String,
        #[serde(default = "http_port")]
        port: u16,
    },
}

impl Source {
    /// Where the model server of an image listens if nothing is said.
    pub const HTTP: u16 = 80;

    /// Where instances of it run.
    pub fn runs(&self) -> Runs {
        match self {
            Self::Folder { .. } | Self::Pushed { in_pods: false, .. } => Runs::Process,
            Self::Server { .. } => Runs::Elsewhere,
            Self::Image { .. } | Self::Pushed { in_pods: true, .. } => Runs::Pod,
        }
    }
}

impl Model {
    /// Is it a version that is being tried? Only its example is run.
    pub fn is_trial(&self) -> bool {
        matches!(self.source, Source::Pushed { trial_of: Some(_), .. })
    }
}

fn http_port() -> u16 {
    Source::HTTP
}

#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Card {
    pub title: String,
    pub description: String,
    pub interpretation: String,
    pub licence: String,
    pub publication: String,
    pub source_code: String,
    pub tags: Vec<String>,
    /// What it is for, in a word or two: `Toxicity`.
    pub task: String,
}

impl Card {
    /// The description's first sentence, or its first line if that is shorter.
    pub fn sentence(&self) -> &str {
        let line = self.description.trim_start().lines().next().unwrap_or_default();
        let end = line.match_indices(". ").map(|(at, _)| at + 1).next();
        end.map_or(line, |end| &line[..end]).trim_end()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputColumn {
    pub name: String,
    pub description: String,
    /// Other header names that mean this column, for example `canonical_smiles`.
    #[serde(default)]
    pub also: Vec<String>,
    /// As far as somebody said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<InputKind>,
}

/// What the inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    Smiles,
    Dna,
    Protein,
    Text,
}

impl InputKind {
    pub const ALL: [Self; 4] = [Self::Smiles, Self::Dna, Self::Protein, Self::Text];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Smiles => "smiles",
            Self::Dna => "dna",
            Self::Protein => "protein",
            Self::Text => "text",
        }
    }
}

impl InputColumn {
    /// What was said, or what its names and description tell.
    pub fn kind(&self) -> InputKind {
        self.kind.unwrap_or_else(|| {
            let also = self.also.iter().map(String::as_str);
            let all: Vec<&str> = also.chain([&*self.name, &*self.description]).collect();
            let all = all.join(" ").to_lowercase();
            let word = |word: &str| all.split(|c: char| !c.is_alphanumeric()).any(|it| it == word);
            match () {
                () if all.contains("smiles") || all.contains("molecul") => InputKind::Smiles,
                () if word("dna") => InputKind::Dna,
                () if word("protein") || word("peptide") => InputKind::Protein,
                () => InputKind::Text,
            }
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelLimits {
    /// Most inputs in one call of an instance.
    pub batch_size: u32,
    pub min_instances: u32,
    pub max_instances: u32,
    /// Nodes of groups have room for so many more instances than run.
    // Hubs that do not know it yet read models that do not say it.
    #[serde(skip_serializing_if = "is_zero")]
    pub spare_instances: u32,
    /// Longest time that making the model's environment takes, seconds.
    pub prepare_seconds: u32,
    /// Longest time from launch to ready, seconds, without what making the environment takes.
    pub start_seconds: u32,
    /// Longest time of one call, seconds.
    pub job_seconds: u32,
    /// How long an instance may be idle, seconds.
    pub idle_seconds: u32,
    /// Most resident memory of an instance, MiB.
    pub memory_mib: u32,
    /// The same of one that follows one which ran out of it; 0: no more. Of pods.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_most_mib: u32,
    /// How often a task is tried before its request fails.
    pub max_attempts: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self {
            batch_size: 100,
            min_instances: 0,
            max_instances: 1,
            spare_instances: 0,
            prepare_seconds: 3600,
            start_seconds: 300,
            job_seconds: 600,
            idle_seconds: 300,
            memory_mib: 4096,
            memory_most_mib: 0,
            max_attempts: 3,
        }
    }
}

impl ModelLimits {
    pub fn prepare(&self) -> Duration {
        Duration::from_secs(u64::from(self.prepare_seconds))
    }

    pub fn start(&self) -> Duration {
        Duration::from_secs(u64::from(self.start_seconds))
    }

    pub fn job(&self) -> Duration {
        Duration::from_secs(u64::from(self.job_seconds))
    }

    /// Inputs that all instances together can be given at once.
    pub fn most_at_once(&self) -> u64 {
        u64::from(self.batch_size.max(1)) * u64::from(self.max_instances.max(1))
    }

    pub fn idle(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle_seconds))
    }
}

impl ModelLimits {
    /// What is wrong with them, in words.
    pub fn faults(&self) -> Vec<&'static str> {
        let wrong = [
            (self.batch_size == 0 || self.batch_size > 100_000, "batch_size is 1 to 100000"),
            (
                self.max_instances == 0 || self.min_instances > self.max_instances,
                "max_instances is at least 1 and at least min_instances",
            ),
            (self.spare_instances > self.max_instances, "spare_instances is at most max_instances"),
            (
                self.job_seconds == 0 || self.start_seconds == 0 || self.max_attempts == 0,
                "job_seconds, start_seconds and max_attempts are at least 1",
            ),
            (self.prepare_seconds == 0, "prepare_seconds is at least 1"),
            (self.memory_mib < 16, "memory_mib is at least 16"),
            (
                self.memory_most_mib != 0 && self.memory_most_mib < self.memory_mib,
                "memory_most_mib is 0 or at least memory_mib",
            ),
        ];
        wrong.into_iter().filter_map(|(wrong, what)| wrong.then_some(what)).collect()
    }
}

/// Longest texts of a model that comes over the API, characters.
const VERSION: usize = 64;
const NAME: usize = 100;
const TEXT: usize = 20_000;
/// Most columns, examples and tags.
const MOST: usize = 1_000;

impl Model {
    /// False: its folder's files are being read, and what its version is nobody knows yet.
    pub fn is_read(&self) -> bool {
        !matches!(self.source, Source::Folder { .. }) || !self.version.ends_with('+')
    }

    /// What is wrong with a description that comes over the API, in words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> =
            self.limits.faults().into_iter().map(|what| format!("limits: {what}")).collect();
        let resources = self.resources.faults(self.limits.memory_mib);
        faults.extend(
            resources.into_iter().map(|(field, what)| format!("resources: {field} {what}")),
        );
        let mut check = |good: bool, what: &str| {
            if !good {
                faults.push(what.to_owned());
            }
        };
        let visible = self.version.bytes().all(|b| b.is_ascii_graphic());
        let length = self.version.len();
        check(visible && (1..=VERSION).contains(&length), "version: 1 to 64 visible characters");
        let name = |name: &str| {
            (1..=NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control)
        };
        let mut columns: Vec<&str> = self.outputs.iter().map(|column| &*column.name).collect();
        let (named, many) = (columns.iter().all(|column| name(column)), columns.len());
        check(named && name(&self.input.name), "input, outputs: a name has 1 to 100 characters");
        columns.sort_unstable();
        columns.dedup();
        check(columns.len() == many, "outputs: two columns have the same name");
        let card = &self.card;
        let mut words = self.outputs.iter().map(|column| &*column.unit).chain([&*card.task]);
        let words = words.all(|word| word.is_empty() || name(word));
        check(words, "a unit and a task have at most 100 characters, all of them visible");
        let lists = [many, self.example.len(), card.tags.len(), self.input.also.len()];
        check(lists.iter().all(|list| *list <= MOST), "a list has at most 1000 elements");
        let texts = [
            &card.title,
            &card.description,
            &card.interpretation,
            &card.licence,
            &card.publication,
            &card.source_code,
            &self.input.description,
        ];
        let lists = card.tags.iter().chain(&self.example).chain(&self.input.also);
        let described = self.outputs.iter().map(|column| &column.description);
        let short = |text: &String| text.chars().count() <= TEXT;
        let short = texts.into_iter().chain(lists).chain(described).all(short);
        check(short, "a text has at most 20000 characters");
        faults
    }
}

/// Applies a JSON merge patch (RFC 7396): members that are null go, objects are merged, everything
/// else is put in place.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        if !patch.is_null() {
            target.clone_from(patch);
        }
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        match value {
            Value::Null => drop(members.remove(name)),
            Value::Object(_) => merge(members.entry(name).or_insert(Value::Null), value),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_card_begins_with_its_first_sentence() {
        for (description, sentence) in [
            ("Weight of a molecule. From its SMILES.", "Weight of a molecule."),
            ("At 25.5 degrees, in water", "At 25.5 degrees, in water"),
            ("\n One line \nand more. Here.", "One line"),
            ("", ""),
        ] {
            let card = Card { description: description.into(), ..Card::default() };
            assert_eq!(card.sentence(), sentence);
        }
    }

    #[test]
    fn what_inputs_are_is_what_was_said_or_what_their_names_tell() {
        use InputKind::{Dna, Protein, Smiles, Text};
        for (name, description, also, kind) in [
            ("smiles", "", "", Smiles),
            ("structure", "Molecules as InChI", "", Smiles),
            ("input", "", "canonical_smiles", Smiles),
            ("primer", "A strand of DNA, 5' to 3'", "", Dna),
            ("sequence", "A protein, one letter an amino acid", "", Protein),
            ("abstract", "What they knew of glucoproteins and cDNA", "", Text),
        ] {
            let (name, description) = (name.to_owned(), description.to_owned());
            let mut input =
                InputColumn { name, description, also: vec![also.to_owned()], kind: None };
            assert_eq!(input.kind(), kind, "{input:?}");
            for said in InputKind::ALL {
                input.kind = Some(said);
                assert_eq!(input.kind(), said);
            }
        }
    }

    #[test]
    fn a_merge_patch_changes_what_it_names() {
        for (target, patch, merged) in [
            (json!({"a": 1, "b": 2}), json!({"a": 3}), json!({"a": 3, "b": 2})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null}}), json!({"a": {"c": 2}})),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": 1}), json!({"a": {"b": 2}}), json!({"a": {"b": 2}})),
            (json!({}), json!({"a": {"b": null}}), json!({"a": {}})),
            (json!({"a": 1}), Value::Null, json!({"a": 1})),
        ] {
            let mut got = target.clone();
            merge(&mut got, &patch);
            assert_eq!(got, merged, "{target} {patch}");
            merge(&mut got, &patch);
            assert_eq!(got, merged, "once more changes nothing");
        }
    }

    #[test]
    fn limits_that_cannot_work_are_told_together() {
        assert_eq!(ModelLimits::default().faults(), Vec::<&str>::new());
        let bad = ModelLimits {
            batch_size: 0,
            min_instances: 2,
            spare_instances: 2,
            job_seconds: 0,
            memory_mib: 15,
            memory_most_mib: 14,
            ..ModelLimits::default()
        };
        assert_eq!(bad.faults().len(), 6);
    }
}
