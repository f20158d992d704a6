//! What an instance asks for of a machine, and what a machine has: exact integers.

pub(crate) mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The resource name of a GPU where a model gives none.
pub const GPU: &str = "nvidia.com/gpu";

/// That of AMD's.
pub const AMD_GPU: &str = "amd.com/gpu";

/// So much of something, or more, is as much as anybody asks for: it is not counted. The largest number that
/// every reader of JSON reads exactly.
pub const NOT_COUNTED: u64 = (1 << 53) - 1;

const MIB: u64 = 1 << 20;
const MOST_CORES: u64 = 10_000;
const MOST_GPUS: u64 = 1_000;
const MOST_LABELS: usize = 64;
/// What an instance whose model declares no CPU asks for, thousandths of a core.
const SOME_CPU: u64 = 100;

/// How much of each resource.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub storage: u64,
    pub pods: u64,
    /// GPUs and the like, by their resource names. One that is not there is zero.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, u64>,
}

/// A resource of which there is less than was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// `cpu`, `memory`, `storage`, `pods`, or a resource name.
    pub name: String,
    pub asked: u64,
    pub there: u64,
}

impl Amounts {
    pub fn of(&self, name: &str) -> u64 {
        self.named.get(name).copied().unwrap_or(0)
    }

    /// Adds; what is too much for the type is the most of it.
    pub fn add(&mut self, other: &Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.storage = self.storage.saturating_add(other.storage);
        self.pods = self.pods.saturating_add(other.pods);
        for (name, amount) in other.named.iter().filter(|(_, amount)| **amount > 0) {
            match self.named.get_mut(name) {
                Some(sum) => *sum = sum.saturating_add(*amount),
                None => drop(self.named.insert(name.clone(), *amount)),
            }
        }
    }

    /// What is left without `other`; nothing if there is less of anything.
    pub fn checked_sub(&self, other: &Self) -> Option<Self> {
        let mut named = self.named.clone();
        for (name, amount) in other.named.iter().filter(|(_, amount)| **amount > 0) {
            let left = named.get_mut(name)?;
            *left = left.checked_sub(*amount)?;
        }
        named.retain(|_, left| *left > 0);
        Some(Self {
            cpu: self.cpu.checked_sub(other.cpu)?,
            memory: self.memory.checked_sub(other.memory)?,
            storage: self.storage.checked_sub(other.storage)?,
            pods: self.pods.checked_sub(other.pods)?,
            named,
        })
    }

    pub fn fits_in(&self, room: &Self) -> bool {
        self.against(room).all(|(_, asked, there)| asked <= there)
    }

    /// What `room` has too little of.
    pub fn lacks(&self, room: &Self) -> Vec<Lack> {
        let lacking = self.against(room).filter(|(_, asked, there)| asked > there);
        lacking.map(|(name, asked, there)| Lack { name: name.to_owned(), asked, there }).collect()
    }

    fn against<'a>(&'a self, room: &'a Self) -> impl Iterator<Item = (&'a str, u64, u64)> {
        let common = [
            ("cpu", self.cpu, room.cpu),
            ("memory", self.memory, room.memory),
            ("storage", self.storage, room.storage),
            ("pods", self.pods, room.pods),
        ];
        let named = self.named.iter().filter(|(_, asked)| **asked > 0);
        common.into_iter().chain(named.map(|(name, asked)| (&**name, *asked, room.of(name))))
    }
}

impl PartialEq for Amounts {
    fn eq(&self, other: &Self) -> bool {
        fn named(amounts: &Amounts) -> impl Iterator<Item = (&String, &u64)> {
            amounts.named.iter().filter(|(_, amount)| **amount > 0)
        }
        let common = |a: &Self| (a.cpu, a.memory, a.storage, a.pods);
        common(self) == common(other) && named(self).eq(named(other))
    }
}

impl Eq for Amounts {}

/// What an instance of a model needs, as far as the model declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    pub cpu: Option<Millicores>,
    pub memory_mib: Option<u32>,
    pub storage_mib: Option<u32>,
    #[serde(deserialize_with = "gpus")]
    pub gpus: u32,
    /// The resource name of its GPUs.
    pub gpu: String,
    /// Labels that a node must have.
    pub node: BTreeMap<String, String>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu: None,
            memory_mib: None,
            storage_mib: None,
            gpus: 0,
            gpu: GPU.to_owned(),
            node: BTreeMap::new(),
        }
    }
}

impl Resources {
    /// What an instance asks for. `limit_mib` is the most memory it may have, `peak` the most that an
    /// instance of this version had, `largest_node` what the largest node has; both in bytes.
    ///
    /// Memory that is not declared is the peak and a quarter of it, before there is one a quarter of
    /// the limit; never more than the largest node has, so that it can be had somewhere. No memory
    /// beyond the limit is asked for.
    pub fn amounts(
        &self,
        limit_mib: Option<u32>,
        peak: Option<u64>,
        largest_node: Option<u64>,
    ) -> Amounts {
        let bytes = |mib: u32| u64::from(mib) * MIB;
        let limit = limit_mib.map(bytes);
        let measured = || {
            let guess = peak.map(|peak| peak.saturating_add(peak.div_ceil(4)));
            let guess = guess.or(limit.map(|limit| limit / 4)).unwrap_or(0);
            guess.min(largest_node.unwrap_or(u64::MAX))
        };
        let gpus = (self.gpus > 0).then(|| (self.gpu.clone(), u64::from(self.gpus)));
        Amounts {
            cpu: self.cpu.map_or(SOME_CPU, |cpu| u64::from(cpu.0)),
            memory: self.memory_mib.map_or_else(measured, bytes).min(limit.unwrap_or(u64::MAX)),
            storage: self.storage_mib.map_or(0, bytes),
            pods: 1,
            named: gpus.into_iter().collect(),
        }
    }

    /// Which fields are wrong, and what is wrong with them, in words. `limit_mib` is the most memory that
    /// an instance may have.
    pub fn faults(&self, limit_mib: u32) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.memory_mib == Some(0) {
            faults.push(("memory_mib", "is at least 1".to_owned()));
        }
        if self.memory_mib.is_some_and(|asked| asked > limit_mib) {
            let what = format!("is at most the memory_mib of limits, {limit_mib}");
            faults.push(("memory_mib", what));
        }
        let gpu = names::extended_resource(&self.gpu);
        faults.extend(gpu.err().map(|why| ("gpu", format!("{:?} {why}", short(&self.gpu)))));
        if self.node.len() > MOST_LABELS {
            faults.push(("node", format!("has at most {MOST_LABELS} labels")));
        }
        for (key, value) in self.node.iter().take(MOST_LABELS) {
            let bad_key = names::label_key(key).err();
            faults.extend(bad_key.map(|why| ("node", format!("key {:?} {why}", short(key)))));
            let bad_value = names::label_value(value).err();
            let of = |why| format!("{:?}, the value of {:?}, {why}", short(value), short(key));
            faults.extend(bad_value.map(|why| ("node", of(why))));
        }
        faults
    }
}

/// As much of a text as is repeated to whoever sent it.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Thousandths of a core. Written in cores, as a number with at most three decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millicores(pub u32);

impl fmt::Display for Millicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest text that is read as the same number: never more than three decimals.
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

impl Serialize for Millicores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % 1000 {
            0 => serializer.serialize_u32(self.0 / 1000),
            _ => serializer.serialize_f64(f64::from(self.0) / 1000.0),
        }
    }
}

impl<'de> Deserialize<'de> for Millicores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Cores)
    }
}

struct Cores;

impl Visitor<'_> for Cores {
    type Value = Millicores;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of cores, 0 to {MOST_CORES}, with at most three decimals")
    }

    fn visit_u64<E: Error>(self, cores: u64) -> Result<Millicores, E> {
        let bad = || E::invalid_value(Unexpected::Unsigned(cores), &self);
        let cores = Some(cores).filter(|cores| *cores <= MOST_CORES).ok_or_else(bad)?;
        Ok(Millicores((cores * 1000) as u32))
    }

    fn visit_i64<E: Error>(self, cores: i64) -> Result<Millicores, E> {
        match u64::try_from(cores) {
            Ok(cores) => self.visit_u64(cores),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(cores), &self)),
        }
    }

    fn visit_f64<E: Error>(self, cores: f64) -> Result<Millicores, E> {
        let bad = || E::invalid_value(Unexpected::Float(cores), &self);
        if !(0.0..=MOST_CORES as f64).contains(&cores) {
            return Err(bad());
        }
        let thousandths = (cores * 1000.0).round();
        // Both are the number that is nearest to the same decimal, or it has more decimals.
        if thousandths / 1000.0 != cores {
            return Err(bad());
        }
        Ok(Millicores(thousandths as u32))
    }
}

fn gpus<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_any(Gpus)
}

struct Gpus;

impl Visitor<'_> for Gpus {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of GPUs, 0 to {MOST_GPUS}")
    }

    fn visit_u64<E: Error>(self, gpus: u64) -> Result<u32, E> {
        let bad = || E::invalid_value(Unexpected::Unsigned(gpus), &self);
        Some(gpus).filter(|gpus| *gpus <= MOST_GPUS).map(|gpus| gpus as u32).ok_or_else(bad)
    }

    fn visit_i64<E: Error>(self, gpus: i64) -> Result<u32, E> {
        match u64::try_from(gpus) {
            Ok(gpus) => self.visit_u64(gpus),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(gpus), &self)),
        }
    }
}
