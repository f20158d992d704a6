//! What is seen of an instance beside its state: where it runs, what it uses, what happened to it.

use serde_json::Value;

use crate::Timestamp;

/// What is new of an instance since somebody last asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// The machine it runs on, as long as that is known.
    pub node: Option<String>,
    pub pod: Option<Pod>,
    /// What it used meanwhile.
    pub usage: Usage,
    /// Things that happened, or happened again: `count` is of all times.
    pub events: Vec<Event>,
}

/// What a cluster says of the pod that an instance is.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// `Pending`, `Running`, `Evicted`, ..: one word to filter by.
    pub status: String,
    /// What the cluster says of it, as it says it; empty if it says nothing.
    pub message: String,
    /// All of it: conditions, container states, what the scheduler says and why.
    pub raw: Value,
}

/// Something that happened to an instance. What happens again under the same `source` and `uid` is the
/// same event, with a higher count.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Who tells it: `hub`, `kubernetes`, ..
    pub source: String,
    pub uid: String,
    /// One word: `ready`, `job_done`, `FailedScheduling`, ..
    pub kind: String,
    pub level: Level,
    /// For people; never an input or what a model wrote.
    pub message: String,
    pub count: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// In which order its source wrote what happened at the same time; 0 if it does not say.
    pub seq: u64,
    /// What the source says, as it says it.
    pub raw: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Normal,
    Warning,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Warning => "warning",
        }
    }
}

impl Event {
    /// Something that happens once.
    pub fn once(kind: &str, message: impl Into<String>, at: Timestamp) -> Self {
        Self {
            source: "hub".to_owned(),
            uid: kind.to_owned(),
            kind: kind.to_owned(),
            level: Level::Normal,
            message: message.into(),
            count: 1,
            first_at: at,
            last_at: at,
            seq: 0,
            raw: None,
        }
    }
}

/// What an instance used: samples at the same distance in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub samples: u64,
    /// Thousandths of a core.
    pub cpu: Gauge,
    /// Bytes that are resident.
    pub memory: Gauge,
}

/// The last sample, the largest, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    pub now: u64,
    pub peak: u64,
    pub sum: u64,
}

impl Usage {
    pub fn of(cpu_millicores: u64, memory_bytes: u64) -> Self {
        let gauge = |now| Gauge { now, peak: now, sum: now };
        Self { samples: 1, cpu: gauge(cpu_millicores), memory: gauge(memory_bytes) }
    }

    /// Adds what came later.
    pub fn add(&mut self, later: &Self) {
        if later.samples == 0 {
            return;
        }
        self.samples += later.samples;
        for (sum, later) in [(&mut self.cpu, later.cpu), (&mut self.memory, later.memory)] {
            sum.now = later.now;
            sum.peak = sum.peak.max(later.peak);
            sum.sum = sum.sum.saturating_add(later.sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_add_up_to_a_peak_and_a_sum() {
        let mut usage = Usage::default();
        for (cpu, memory) in [(500, 10), (1500, 30), (100, 20)] {
            usage.add(&Usage::of(cpu, memory));
        }
        usage.add(&Usage::default());
        assert_eq!(usage.samples, 3);
        assert_eq!(usage.cpu, Gauge { now: 100, peak: 1500, sum: 2100 });
        assert_eq!(usage.memory, Gauge { now: 20, peak: 30, sum: 60 });
    }
}
