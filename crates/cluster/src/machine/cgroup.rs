//! What control groups leave to this process: <https://docs.kernel.org/admin-guide/cgroup-v2.html>,
//! <https://docs.kernel.org/admin-guide/cgroup-v1/>. A group has at most what each group above it has.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// `None`: as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub cores_millis: Option<u64>,
    pub memory: Option<u64>,
}

/// A mounted hierarchy of groups, and where in it this process is.
struct Hierarchy {
    /// The folder of its group, and those above it.
    groups: Vec<PathBuf>,
    /// Of version 1: what it controls. Version 2 controls everything.
    controllers: Option<Vec<String>>,
}

pub(super) fn limits(proc: &Path) -> Limits {
    let read = |name: &str| fs::read_to_string(proc.join("self").join(name)).unwrap_or_default();
    let (mounts, groups) = (read("mountinfo"), read("cgroup"));
    let mut limits = Limits::default();
    for hierarchy in mounts.lines().filter_map(|mount| hierarchy(mount, &groups)) {
        let controls = |name: &str| {
            let all = hierarchy.controllers.as_ref();
            all.is_none_or(|all| all.iter().any(|controller| controller == name))
        };
        let version_2 = hierarchy.controllers.is_none();
        for group in &hierarchy.groups {
            let number =
                |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse().ok();
            if version_2 {
                least(&mut limits.memory, number("memory.max"));
                // Beyond this it is slowed down until it has less.
                least(&mut limits.memory, number("memory.high"));
                least(&mut limits.cores_millis, cpu_max(&group.join("cpu.max")));
            } else {
                if controls("memory") {
                    least(&mut limits.memory, number("memory.limit_in_bytes"));
                }
                if controls("cpu") {
                    // -1 is no quota, and no number here.
                    let (quota, period) = (number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"));
                    least(&mut limits.cores_millis, quota.zip(period).and_then(cores));
                }
            }
        }
    }
    limits
}

fn least(limit: &mut Option<u64>, other: Option<u64>) {
    *limit = (*limit).into_iter().chain(other).min();
}

/// `200000 100000`, or `max 100000`.
fn cpu_max(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    cores((quota.parse().ok()?, period.parse().ok()?))
}

fn cores((quota, period): (u64, u64)) -> Option<u64> {
    quota.saturating_mul(1000).checked_div(period).map(|cores| cores.max(1))
}

/// A line of `mountinfo` (proc(5)): `36 35 98:0 /root /mount/point options [..] - type source options`.
fn hierarchy(mount: &str, groups: &str) -> Option<Hierarchy> {
    let (before, after) = mount.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (unescaped(before.next()?), unescaped(before.next()?));
    let mut after = after.split(' ');
    let controllers = match (after.next()?, after.nth(1)?) {
        ("cgroup2", _) => None,
        ("cgroup", options) => Some(options.split(',').map(str::to_owned).collect::<Vec<_>>()),
        _ => return None,
    };
    // `4:cpu,cpuacct:/path`; of version 2: `0::/path`.
    let of_this = |line: &&str| {
        let named = line.split(':').nth(1).unwrap_or_default();
        match &controllers {
            None => line.starts_with("0::"),
            Some(all) => named.split(',').any(|name| all.iter().any(|other| other == name)),
        }
    };
    let group = groups.lines().find(of_this)?.splitn(3, ':').nth(2)?;
    let below = below(group, &root);
    let all = below.ancestors().map(|group| Path::new(&point).join(group)).collect();
    Some(Hierarchy { groups: all, controllers })
}

/// Where below a mount a group is. In a container the mount may begin at the group itself, or the path be
/// one of outside: then the mount's top is its group.
fn below(group: &str, root: &str) -> PathBuf {
    let inside = match Path::new(group).strip_prefix(root) {
        Ok(inside) => inside,
        Err(_) => Path::new(""),
    };
    let inside = inside.strip_prefix("/").unwrap_or(inside);
    let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
    if plain { inside.to_owned() } else { PathBuf::new() }
}

/// Spaces and the like stand as octal digits.
fn unescaped(text: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(text.to_owned(), |text, (code, sign)| text.replace(code, sign))
}
