//! What a machine that runs instances has for them: cores, memory and GPUs.

mod cgroup;
mod nvidia;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use muster_core::resources::{AMD_GPU, GPU};
use tokio::sync::{mpsc, watch};

pub use nvidia::is_uuid as is_nvidia_uuid;

/// How an instance is told which of NVIDIA's GPUs it may use.
pub const CUDA: &str = "CUDA_VISIBLE_DEVICES";

/// What is left to the hub and to the system if nothing is said: a tenth, and at most this.
const LARGEST_RESERVE: u64 = 2 << 30;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Thousandths of a core.
    pub cores_millis: u64,
    /// Bytes, without the reserve.
    pub memory: u64,
    pub gpus: Vec<Gpu>,
}

/// A GPU that an instance can have for itself, whole or as a part of its own (MIG).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    pub uuid: String,
    /// Empty if that is not known.
    pub name: String,
    /// Bytes; 0 if that is not known.
    pub memory: u64,
    pub mig: bool,
    /// Programs that are not the hub's used it when it was looked at.
    pub used_by_others: bool,
    /// The resource that models ask for it by.
    pub resource: &'static str,
}

/// What the operator says of the machine.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    pub reserve: Reserve,
    /// These GPUs and no others, by their UUIDs; `None`: those that are found.
    pub gpus: Option<Vec<String>>,
    /// The variable that tells an instance which GPUs are its own.
    pub gpu_variable: String,
    /// Where `nvidia-smi` is looked for.
    pub path: Option<OsString>,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self { reserve: Reserve::Usual, gpus: None, gpu_variable: CUDA.to_owned(), path: None }
    }
}

/// Memory that no instance is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// A tenth, at most 2 GiB.
    #[default]
    Usual,
    Percent(u8),
    Bytes(u64),
}

impl Reserve {
    fn of(self, memory: u64) -> u64 {
        match self {
            Self::Usual => (memory / 10).min(LARGEST_RESERVE),
            Self::Percent(percent) => memory / 100 * u64::from(percent.min(100)),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Machine {
    /// Looks at this machine. What cannot be seen of its GPUs is logged, and those are not there.
    pub async fn find(config: &MachineConfig) -> io::Result<Self> {
        let (cores_millis, memory) = room(Path::new("/proc"))?;
        let gpus = gpus(config).await;
        Ok(Self { cores_millis, memory: memory.saturating_sub(config.reserve.of(memory)), gpus })
    }
}

/// Cores and memory of this process: what the tightest of its groups leaves of the machine.
fn room(proc: &Path) -> io::Result<(u64, u64)> {
    let text = fs::read_to_string(proc.join("meminfo"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let no_total = || io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal");
    let memory = kib.ok_or_else(no_total)?.saturating_mul(1024);
    // Those that this process may run on: a container's CPU set counts.
    let cores = rustix::thread::sched_getaffinity(None)?.count();
    let limits = cgroup::limits(proc);
    let cores_millis = u64::from(cores) * 1000;
    Ok((
        limits.cores_millis.map_or(cores_millis, |limit| limit.min(cores_millis)),
        limits.memory.map_or(memory, |limit| limit.min(memory)),
    ))
}

async fn gpus(config: &MachineConfig) -> Vec<Gpu> {
    let is_nvidia = config.gpu_variable == CUDA;
    let resource = if is_nvidia { GPU } else { AMD_GPU };
    let unknown = |uuid: &String| {
        let (uuid, name) = (uuid.clone(), String::new());
        Gpu { uuid, name, memory: 0, mig: false, used_by_others: false, resource }
    };
    let listed = match &config.gpus {
        Some(listed) if listed.is_empty() => return Vec::new(),
        Some(listed) if !is_nvidia => return listed.iter().map(unknown).collect(),
        None if !is_nvidia => return Vec::new(),
        listed => listed.as_ref(),
    };
    let found = match nvidia::find(config.path.as_deref()).await {
        Ok(found) => found,
        Err(nvidia::Unseen::Absent) => {
            tracing::info!("there is no nvidia-smi: it is taken that there are no NVIDIA GPUs");
            // Whoever names them knows of them.
            return listed.into_iter().flatten().map(unknown).collect();
        }
        Err(nvidia::Unseen::Failed(error)) => {
            tracing::warn!(error, "the GPUs of this machine cannot be seen");
            return listed.into_iter().flatten().map(unknown).collect();
        }
    };
    let Some(listed) = listed else { return found };
    for uuid in listed.iter().filter(|uuid| !found.iter().any(|gpu| gpu.uuid == **uuid)) {
        tracing::warn!(
            uuid,
            "local.gpus names a GPU that nvidia-smi does not show: it is not used"
        );
    }
    found.into_iter().filter(|gpu| listed.contains(&gpu.uuid)).collect()
}

/// This machine as it was last seen. Its GPUs are looked at again only when one may be broken.
pub struct Facts {
    seen: watch::Receiver<Arc<Machine>>,
    doubts: mpsc::Sender<()>,
}

impl Facts {
    pub async fn start(config: MachineConfig) -> io::Result<Arc<Self>> {
        let machine = Machine::find(&config).await?;
        let (tell, seen) = watch::channel(Arc::new(machine));
        // Whoever doubts while it is looked has it looked at once more.
        let (doubts, mut doubted) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(()) = doubted.recv().await {
                let gpus = gpus(&config).await;
                let before = Arc::clone(&tell.borrow());
                if before.gpus != gpus {
                    tracing::warn!(
                        before = before.gpus.len(),
                        now = gpus.len(),
                        "its GPUs are others"
                    );
                    tell.send_replace(Arc::new(Machine { gpus, ..Machine::clone(&before) }));
                }
            }
        });
        Ok(Arc::new(Self { seen, doubts }))
    }

    pub fn now(&self) -> Arc<Machine> {
        Arc::clone(&self.seen.borrow())
    }

    pub fn changes(&self) -> watch::Receiver<Arc<Machine>> {
        self.seen.clone()
    }

    /// An instance that had GPUs failed.
    pub(crate) fn doubt_gpus(&self) {
        if self.doubts.try_send(()).is_err() {
            tracing::trace!("they are looked at again anyway");
        }
    }
}
