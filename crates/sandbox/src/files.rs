//! Landlock: which files may be read and written, which ports used, which processes signalled.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath,
    PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use crate::Sandbox;
use crate::places::{Access, Places};

/// The newest that we know; an older kernel does what it can.
const NEWEST: ABI = ABI::V10;
/// Devices that programs write to. The last ones are GPUs.
const DEVICES: [&str; 8] = ["null", "zero", "full", "random", "urandom", "tty", "kfd", "dri"];
const SHARED: &str = "/dev/shm";

/// What Landlock holds here, or why it does not.
pub(crate) struct Locked {
    pub files: Result<(), String>,
    pub network: Result<(), String>,
    pub processes: Result<String, String>,
}

pub(crate) fn lock(places: &Places, sandbox: &Sandbox) -> io::Result<Locked> {
    let status = restrict(places, sandbox).map_err(io::Error::other)?;
    let (abi, why) = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => (effective_abi, ""),
        LandlockStatus::NotEnabled => (ABI::Unsupported, "the kernel's Landlock is switched off"),
        _ => (ABI::Unsupported, "the kernel has no Landlock, which came with Linux 5.13"),
    };
    let from = |first: ABI, older: &str| match abi {
        ABI::Unsupported => Err(why.to_owned()),
        abi if abi < first => Err(older.to_owned()),
        _ => Ok(()),
    };
    Ok(Locked {
        files: from(ABI::V1, ""),
        network: from(ABI::V4, "Landlock knows ports only from Linux 6.7 on"),
        processes: from(ABI::V6, "Landlock keeps signals only from Linux 6.12 on")
            .map(|()| "Landlock".to_owned()),
    })
}

fn restrict(places: &Places, sandbox: &Sandbox) -> Result<RestrictionStatus, RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::from_read(NEWEST);
    // Sockets of the system that answer names and log lines; the network is walled by itself.
    let read = if sandbox.network { read | AccessFs::ResolveUnix } else { read };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(NEWEST))?;
    if !sandbox.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut created = ruleset.create()?;
    for (path, access) in places.open() {
        let rights = if access == Access::Write { all } else { read };
        created = allow(created, &path, rights)?;
    }
    let device = AccessFs::WriteFile | AccessFs::IoctlDev | read;
    for name in DEVICES {
        created = allow(created, &Path::new("/dev").join(name), device)?;
    }
    for entry in std::fs::read_dir("/dev").into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"nvidia") {
            created = allow(created, &entry.path(), device)?;
        }
    }
    created = allow(created, SHARED.as_ref(), all)?;
    created.restrict_self()
}

/// What is not there, or not for this user, needs no rule.
fn allow(
    created: landlock::RulesetCreated,
    path: &Path,
    rights: landlock::BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => created.add_rule(PathBeneath::new(opened, rights)),
        Err(_) => Ok(created),
    }
}
