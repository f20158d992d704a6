use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::cgroup::{Limits, limits};
use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A made-up /proc and the groups that it speaks of.
struct Tree(TempDir);

impl Tree {
    fn new(mountinfo: &str, cgroup: &str, files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().expect("a folder"));
        let here = tree.0.path().display().to_string();
        tree.write("proc/self/mountinfo", &mountinfo.replace("HERE", &here));
        tree.write("proc/self/cgroup", cgroup);
        tree.write("proc/meminfo", "MemFree: 1 kB\nMemTotal:       33554432 kB\nBuffers: 2 kB\n");
        for (name, text) in files {
            tree.write(name, text);
        }
        tree
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn proc(&self) -> PathBuf {
        self.0.path().join("proc")
    }

    fn limits(&self) -> (Option<u64>, Option<u64>) {
        let Limits { cores_millis, memory } = limits(&self.proc());
        (cores_millis, memory)
    }
}

const V2: &str = "22 1 8:1 / / rw - ext4 /dev/sda rw\n\
                  30 22 0:26 / HERE/cg rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "31 22 0:27 / HERE/cg/memory rw - cgroup cgroup rw,memory\n\
                  32 22 0:28 / HERE/cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                  33 22 0:29 / HERE/cg/pids rw - cgroup cgroup rw,pids\n";

#[test]
fn the_tightest_of_all_groups_above_counts() {
    let tree = Tree::new(
        V2,
        "0::/a.slice/b.service\n",
        &[
            ("cg/a.slice/memory.max", "8589934592\n"),
            ("cg/a.slice/cpu.max", "150000 100000\n"),
            ("cg/a.slice/b.service/memory.max", "max\n"),
            ("cg/a.slice/b.service/cpu.max", "max 100000\n"),
            ("cg/a.slice/c.service/memory.max", "1\n"),
        ],
    );
    assert_eq!(tree.limits(), (Some(1500), Some(8 * GIB)));
    tree.write("cg/a.slice/b.service/memory.max", "4294967296\n");
    tree.write("cg/a.slice/b.service/cpu.max", "25000 50000\n");
    assert_eq!(tree.limits(), (Some(500), Some(4 * GIB)));
    tree.write("cg/memory.max", "1073741824");
    tree.write("cg/a.slice/memory.high", "536870912");
    assert_eq!(tree.limits(), (Some(500), Some(GIB / 2)), "nor more than where it is slowed down");
}

#[test]
fn groups_of_version_1_are_read_where_they_are() {
    let groups =
        "5:pids:/x\n4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n1:name=systemd:/y\n0::/\n";
    let tree = Tree::new(
        V1,
        groups,
        &[
            ("cg/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cg/memory/docker/memory.limit_in_bytes", "2147483648\n"),
            ("cg/memory/docker/1/memory.limit_in_bytes", "3221225472\n"),
            ("cg/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1\n"),
            ("cg/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000\n"),
        ],
    );
    assert_eq!(tree.limits(), (None, Some(2 * GIB)));
    tree.write("cg/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "250000\n");
    assert_eq!(tree.limits().0, Some(2500));
    tree.write("cg/cpu,cpuacct/docker/cpu.cfs_quota_us", "50000\n");
    tree.write("cg/cpu,cpuacct/docker/cpu.cfs_period_us", "0\n");
    assert_eq!(tree.limits().0, Some(2500), "a period of nothing is none");
}

#[test]
fn in_a_container_the_mount_is_its_group() {
    let files = [("cg/memory.max", "1073741824"), ("cg/cpu.max", "max 100000")];
    for cgroup in ["0::/", "0::/docker/1", "0::/../../system.slice/x"] {
        assert_eq!(Tree::new(V2, cgroup, &files).limits(), (None, Some(GIB)), "{cgroup}");
    }
    // Mounted from within: its root is the container's own group.
    let mounted = V2.replace("0:26 / ", "0:26 /docker/1 ");
    let tree = Tree::new(&mounted, "0::/docker/1/sub\n", &files);
    tree.write("cg/sub/memory.max", "1048576");
    assert_eq!(tree.limits(), (None, Some(MIB)));
    let spaced = V2.replace("HERE/cg", "HERE/c\\040g");
    let tree = Tree::new(&spaced, "0::/", &[("c g/memory.max", "5")]);
    assert_eq!(tree.limits().1, Some(5));
}

#[test]
fn what_cannot_be_read_limits_nothing() {
    for (mountinfo, cgroup) in [("", ""), (V2, ""), ("", "0::/"), ("x - y", "::"), (V2, "0::/gone")]
    {
        assert_eq!(Tree::new(mountinfo, cgroup, &[]).limits(), (None, None));
    }
    let garbage = [("cg/memory.max", "lots"), ("cg/cpu.max", "-1 x"), ("cg/memory.high", "")];
    assert_eq!(Tree::new(V2, "0::/", &garbage).limits(), (None, None));
}

#[test]
fn a_machine_is_what_its_groups_leave_less_the_reserve() {
    let tree =
        Tree::new(V2, "0::/", &[("cg/cpu.max", "100 100000"), ("cg/memory.max", "8589934592")]);
    assert_eq!(room(&tree.proc()).expect("a machine"), (1, 8 * GIB));
    let (cores, memory) = room(&Tree::new("", "", &[]).proc()).expect("a machine");
    assert_eq!(memory, 32 * GIB);
    assert!(cores >= 1000 && cores % 1000 == 0, "{cores}");
    tree.write("proc/meminfo", "garbage");
    assert!(room(&tree.proc()).is_err());

    for (reserve, memory, left) in [
        (Reserve::Usual, 10 * GIB, GIB),
        (Reserve::Usual, 512 * GIB, 2 * GIB),
        (Reserve::Percent(50), 4 * GIB, 2 * GIB),
        (Reserve::Percent(0), 4 * GIB, 0),
        (Reserve::Bytes(5), 4 * GIB, 5),
    ] {
        let of = reserve.of(memory);
        assert!(of <= left && left - of < 100, "{reserve:?}: {of}");
    }
}

/// A folder with a `nvidia-smi` that is this script.
struct Stub(TempDir);

impl Stub {
    fn new(script: &str) -> Self {
        let stub = Self(tempfile::tempdir().expect("a folder"));
        stub.set(script);
        stub
    }

    fn set(&self, script: &str) {
        // Renamed into place: a program that is being written cannot be started.
        let (new, program) = (self.0.path().join("new"), self.0.path().join("nvidia-smi"));
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("its mode");
        fs::rename(new, program).expect("a script");
    }

    fn config(&self) -> MachineConfig {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        MachineConfig { path: Some(path.into()), ..MachineConfig::default() }
    }

    async fn gpus(&self) -> Vec<Gpu> {
        gpus(&self.config()).await
    }
}

/// Two GPUs; the second is in MIG mode and has two parts.
const TWO: &str = r#"echo "$*" >> "$(dirname "$0")/calls"
case "$1" in
--query-gpu=index,uuid,name,memory.total)
    echo "0, GPU-aaaa-1, NVIDIA A100-SXM4-40GB, 40960 MiB"
    echo "1, GPU-bbbb-2, NVIDIA A100-SXM4-40GB, 40960 MiB" ;;
--query-gpu=uuid,mig.mode.current)
    echo "GPU-aaaa-1, Disabled"
    echo "GPU-bbbb-2, Enabled" ;;
--query-compute-apps=gpu_uuid,pid)
    cat "$(dirname "$0")/programs" 2>/dev/null ;;
-L)
    echo "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa-1)"
    echo "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb-2)"
    echo "  MIG 3g.20gb     Device  0: (UUID: MIG-cccc-3)"
    echo "  MIG 1g.5gb      Device  1: (UUID: MIG-GPU-bbbb-2/1/0)" ;;
esac"#;

fn uuids(gpus: &[Gpu]) -> Vec<&str> {
    gpus.iter().map(|gpu| &*gpu.uuid).collect()
}

#[tokio::test]
async fn whole_gpus_and_parts_of_gpus_are_devices() {
    let stub = Stub::new(TWO);
    let found = stub.gpus().await;
    assert_eq!(uuids(&found), ["GPU-aaaa-1", "MIG-cccc-3", "MIG-GPU-bbbb-2/1/0"]);
    let name = "NVIDIA A100-SXM4-40GB".to_owned();
    let whole = Gpu {
        uuid: "GPU-aaaa-1".into(),
        name,
        memory: 40 * GIB,
        mig: false,
        used_by_others: false,
        resource: GPU,
    };
    assert_eq!(found[0], whole);
    assert_eq!(found[1].name, "NVIDIA A100-SXM4-40GB MIG 3g.20gb");
    assert_eq!((found[1].memory, found[1].mig), (20 * GIB, true));
    let calls = fs::read_to_string(stub.0.path().join("calls")).expect("calls");
    assert_eq!(calls.lines().count(), 4, "{calls}");
    assert!(calls.lines().next().is_some_and(|call| call.ends_with("--format=csv,noheader")));

    // In MIG mode without parts it is of no use.
    stub.set(&TWO.replace("  MIG", "  NIG"));
    assert_eq!(uuids(&stub.gpus().await), ["GPU-aaaa-1"]);
    // Old drivers do not know the mode.
    let old = TWO.replace("    echo \"GPU-aaaa-1, Disabled\"", "    exit 2");
    stub.set(&old);
    assert_eq!(stub.gpus().await, found);
    stub.set(&old.replace("  MIG", "  NIG"));
    assert_eq!(uuids(&stub.gpus().await), ["GPU-aaaa-1", "GPU-bbbb-2"]);
}

#[tokio::test]
async fn a_gpu_that_other_programs_use_says_so() {
    let stub = Stub::new(TWO);
    let used = async |programs: String| -> Vec<bool> {
        fs::write(stub.0.path().join("programs"), programs).expect("a file");
        stub.gpus().await.iter().map(|gpu| gpu.used_by_others).collect()
    };
    let ours = std::process::id();
    assert_eq!(used(format!("GPU-aaaa-1, {ours}\n")).await, [false, false, false]);
    assert_eq!(used(format!("GPU-aaaa-1, {ours}\nGPU-aaaa-1, 1\n")).await, [true, false, false]);
    assert_eq!(used("GPU-bbbb-2, [N/A]\nGPU-gone, 5\n".into()).await, [false, true, true]);
    assert_eq!(used("garbage\n,,\n".into()).await, [false, false, false]);
    stub.set(&TWO.replace("    cat \"$(dirname \"$0\")/programs\" 2>/dev/null", "    exit 2"));
    assert_eq!(stub.gpus().await.len(), 3, "it is no fault if nobody knows");
}

#[tokio::test]
async fn a_gpu_without_memory_of_its_own_or_with_a_comma_in_its_name_is_one() {
    let stub = Stub::new("[ $1 != -L ] && echo '0, GPU-a, NVIDIA GB10, rev 2, [N/A]'; true");
    let found = stub.gpus().await;
    assert_eq!((&*found[0].name, found[0].memory), ("NVIDIA GB10, rev 2", 0));
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn without_a_program_that_answers_there_are_no_gpus() {
    let nowhere = MachineConfig { path: Some("/nowhere".into()), ..MachineConfig::default() };
    assert_eq!(gpus(&nowhere).await, []);
    for script in [
        "echo 'No devices were found'",
        "echo 'NVIDIA-SMI has failed because it couldn'\"'\"'t communicate with the driver'; exit 9",
        "echo '0, GPU-a, X, 5 MiB'; exit 15",
        "echo '<html>'",
        "printf '\\377\\376'",
        "echo '0, ../../etc, X, 5 MiB'",
        "echo 'x, GPU-a, X, 5 MiB'",
        "echo '0, GPU-a'",
        "head -c 3000000 /dev/zero | tr '\\0' 'x'",
        "case $1 in -L) exit 1;; *) echo '0, GPU-a, X, 5 MiB';; esac",
        "",
    ] {
        assert_eq!(Stub::new(script).gpus().await, [], "{script}");
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_what_it_started() {
    let stub = Stub::new("sleep 60 & echo $! > \"$(dirname \"$0\")/child\"; sleep 60");
    let began = Instant::now();
    assert_eq!(stub.gpus().await, []);
    let took = began.elapsed();
    assert!((5..9).contains(&took.as_secs()), "{took:?}");
    let child = fs::read_to_string(stub.0.path().join("child")).expect("its number");
    let child: i32 = child.trim().parse().expect("a number");
    let gone = || crate::proc::find(child).is_none_or(|process| process.zombie);
    while !gone() && began.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(gone());
}

#[tokio::test]
async fn the_operator_says_which_gpus_are_used() {
    let stub = Stub::new(TWO);
    let with = |list: &[&str]| MachineConfig {
        gpus: Some(list.iter().map(|uuid| (*uuid).to_owned()).collect()),
        ..stub.config()
    };
    let found = gpus(&with(&["MIG-cccc-3", "GPU-gone-9"])).await;
    assert_eq!((uuids(&found), found[0].memory), (vec!["MIG-cccc-3"], 20 * GIB));
    assert_eq!(gpus(&with(&[])).await, [], "none of them");
    fs::remove_file(stub.0.path().join("nvidia-smi")).expect("it goes");
    let named = gpus(&with(&["GPU-x"])).await;
    assert_eq!((uuids(&named), named[0].resource), (vec!["GPU-x"], GPU));

    // AMD's are those that are named.
    let stub = Stub::new(TWO);
    let amd = |gpus: Option<Vec<String>>| MachineConfig {
        gpu_variable: "ROCR_VISIBLE_DEVICES".into(),
        gpus,
        ..stub.config()
    };
    let named = gpus(&amd(Some(vec!["GPU-amd".into(), "1".into()]))).await;
    assert_eq!((uuids(&named), named[0].resource), (vec!["GPU-amd", "1"], AMD_GPU));
    assert_eq!(gpus(&amd(None)).await, []);
    assert!(!stub.0.path().join("calls").exists(), "NVIDIA's program is not asked");
}

#[tokio::test]
async fn gpus_are_looked_at_at_the_start_and_when_one_is_in_doubt() {
    let stub = Stub::new(TWO);
    let facts = Facts::start(stub.config()).await.expect("a machine");
    let before = facts.now();
    assert!(before.gpus.len() == 3 && before.cores_millis > 0 && before.memory > 0, "{before:?}");
    stub.set("case $1 in -L) ;; *) echo '0, GPU-aaaa-1, X, 5 MiB';; esac");
    assert_eq!(facts.now(), before, "nobody doubts");
    let mut changes = facts.changes();
    facts.doubt_gpus();
    let changed = tokio::time::timeout(Duration::from_secs(20), changes.changed()).await;
    changed.expect("a look").expect("a change");
    let now = facts.now();
    assert_eq!((uuids(&now.gpus), now.memory), (vec!["GPU-aaaa-1"], before.memory));
}
