//! NVIDIA's GPUs, as `nvidia-smi` shows them: <https://docs.nvidia.com/deploy/nvidia-smi/>.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use muster_core::resources::GPU;
use tokio::process::Command;

use super::Gpu;
use crate::proc;
use crate::program::{self, Said};

const PROGRAM: &str = "nvidia-smi";
/// Longest time for all that is asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer: machines have some dozens of GPUs, of seven parts each at most.
const LONGEST: u64 = 1 << 20;

const QUERY: &str = "--query-gpu=index,uuid,name,memory.total";
const MODES: &str = "--query-gpu=uuid,mig.mode.current";
const PROGRAMS: &str = "--query-compute-apps=gpu_uuid,pid";
const FORMAT: &str = "--format=csv,noheader";

/// Why nothing is known of GPUs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unseen {
    /// There is no such program.
    Absent,
    Failed(String),
}

/// Whole GPUs, and the parts of those that are in MIG mode; such a GPU is none by itself.
pub(super) async fn find(path: Option<&OsStr>) -> Result<Vec<Gpu>, Unseen> {
    let asked = async {
        let whole = whole(&ask(path, &[QUERY, FORMAT]).await?)?;
        if whole.is_empty() {
            return Ok(whole);
        }
        // Old drivers do not know what they are asked here: they have no MIG mode.
        let modes = ask(path, &[MODES, FORMAT]).await.unwrap_or_default();
        let used = ask(path, &[PROGRAMS, FORMAT]).await.unwrap_or_default();
        let whole = with_use(whole, &used, &proc::tree(std::process::id() as i32));
        Ok(with_parts(whole, &ask(path, &["-L"]).await?, &modes))
    };
    let late = || Unseen::Failed(format!("{PROGRAM} took more than {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))
}

async fn ask(path: Option<&OsStr>, arguments: &[&str]) -> Result<String, Unseen> {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().envs(path.map(|path| ("PATH", path)));
    let said = program::run(command, "", LONGEST).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unseen::Absent,
        _ => Unseen::Failed(format!("{PROGRAM}: {error}")),
    })?;
    let Said { status, out, err } = said;
    if !status.success() {
        let said = [out.trim(), err.trim()].join(" ");
        let said: String = said.trim().chars().take(200).collect();
        return Err(Unseen::Failed(format!("{PROGRAM} {}: {status}: {said}", arguments.join(" "))));
    }
    Ok(out)
}

/// `0, GPU-8f2b.., NVIDIA H100 80GB HBM3, 81559 MiB`, one a line.
fn whole(text: &str) -> Result<Vec<Gpu>, Unseen> {
    let mut gpus: Vec<Gpu> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // Without GPUs it says so, and ends well.
        if line == "No devices were found" {
            continue;
        }
        let Some(gpu) = gpu(line) else {
            let line: String = line.chars().take(200).collect();
            return Err(Unseen::Failed(format!("{PROGRAM} says {line:?}, which is no GPU")));
        };
        if !gpus.iter().any(|other| other.uuid == gpu.uuid) {
            gpus.push(gpu);
        }
    }
    Ok(gpus)
}

fn gpu(line: &str) -> Option<Gpu> {
    let (index, rest) = line.split_once(',')?;
    let (uuid, rest) = rest.split_once(',')?;
    let (name, memory) = rest.rsplit_once(',')?;
    index.trim().parse::<u32>().ok()?;
    let uuid = uuid.trim();
    if !is_uuid(uuid) {
        return None;
    }
    // Where a GPU shares the memory of the machine this is [N/A].
    let mib: u64 = memory.trim().strip_suffix(" MiB").and_then(|mib| mib.parse().ok()).unwrap_or(0);
    let (uuid, name) = (uuid.to_owned(), name.trim().to_owned());
    Some(Gpu {
        uuid,
        name,
        memory: mib.saturating_mul(1 << 20),
        mig: false,
        used_by_others: false,
        resource: GPU,
    })
}

/// Of a GPU, or of a part of one.
pub fn is_uuid(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/');
    (text.starts_with("GPU-") || text.starts_with("MIG-"))
        && text.len() > 4
        && text.len() <= 100
        && text.bytes().all(plain)
}

/// `GPU-8f2b.., 4711`, one a line. A process that cannot be told is somebody else's; those of a GPU's
/// parts are told of the GPU.
fn with_use(mut whole: Vec<Gpu>, used: &str, ours: &[i32]) -> Vec<Gpu> {
    for (uuid, pid) in used.lines().filter_map(|line| line.split_once(',')) {
        let is_ours = pid.trim().parse().is_ok_and(|pid: i32| ours.contains(&pid));
        if let Some(gpu) = whole.iter_mut().find(|gpu| gpu.uuid == uuid.trim()) {
            gpu.used_by_others |= !is_ours;
        }
    }
    whole
}

/// `-L` has a line for each GPU, and below it one for each of its parts:
/// `  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-..)`.
fn with_parts(whole: Vec<Gpu>, list: &str, modes: &str) -> Vec<Gpu> {
    let in_mig_mode = |uuid: &str| {
        modes.lines().any(|line| {
            let (gpu, mode) = line.split_once(',').unwrap_or_default();
            gpu.trim() == uuid && mode.trim() == "Enabled"
        })
    };
    let mut all = Vec::new();
    for gpu in whole {
        let lines = list.lines().skip_while(|line| !line.contains(&format!("UUID: {})", gpu.uuid)));
        let below = lines.skip(1).take_while(|line| !line.starts_with("GPU "));
        let parts: Vec<Gpu> = below.filter_map(|line| part(line, &gpu)).collect();
        if parts.is_empty() && !in_mig_mode(&gpu.uuid) {
            all.push(gpu);
        } else {
            all.extend(parts);
        }
    }
    all
}

fn part(line: &str, of: &Gpu) -> Option<Gpu> {
    let (profile, rest) = line.trim().strip_prefix("MIG ")?.split_once(' ')?;
    let uuid = rest.split_once("(UUID: ")?.1.strip_suffix(')')?;
    if !is_uuid(uuid) {
        return None;
    }
    // `3g.20gb`: its name says its memory, about.
    let size =
        profile.split('.').find_map(|part| part.trim_end_matches(['+', '-']).strip_suffix("gb"));
    let gib: u64 = size.and_then(|size| size.parse().ok()).unwrap_or(0);
    Some(Gpu {
        uuid: uuid.to_owned(),
        name: format!("{} MIG {profile}", of.name),
        memory: gib.saturating_mul(1 << 30),
        mig: true,
        used_by_others: of.used_by_others,
        resource: GPU,
    })
}
