//! The user that code inside runs as, and its privileges: none.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// Users whom nobody else gives away: below the dynamic users of systemd, above those of people,
/// and within what a container maps.
const FIRST: u32 = 60_578;
/// Who builds environments, and owns them.
pub const BUILDER: u32 = 61_183;
/// GPUs that only a group may use.
const RENDERERS: [&str; 3] = ["/dev/kfd", "/dev/dri/renderD128", "/dev/dri/renderD129"];

/// May this process change users?
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// The user of a model: always the same one, so that what it may keep stays its own.
pub fn user_of(model: &str) -> u32 {
    // FNV-1a: the same in every version of this program.
    let mut hash = 0x811c_9dc5_u32;
    for byte in model.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    FIRST + hash % (BUILDER - FIRST)
}

/// Says how it went; without a user of its own the thread at least loses its capabilities.
pub(crate) fn become_user(user: Option<u32>) -> (Option<u32>, Result<String, String>) {
    let changed = match user {
        Some(user) => change(user).map_err(|error| format!("its own user cannot be had: {error}")),
        None => Err("the hub's user: a user of its own needs a hub that is root".to_owned()),
    };
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    // No kernel without ambient capabilities is supported; where there are none nothing is lost.
    let ambient = clear_ambient_capability_set();
    match ambient.and_then(|()| set_capabilities(None, none)) {
        Ok(()) => (user.filter(|_| changed.is_ok()), changed),
        Err(error) => (user, Err(format!("its capabilities cannot be dropped: {error}"))),
    }
}

/// May this user, whom nothing belongs to, read the file or list the folder?
pub(crate) fn reads(path: &Path, user: u32) -> bool {
    may(path, user, if path.is_dir() { 0o5 } else { 0o4 })
}

/// May it pass through the folder?
pub(crate) fn passes(path: &Path, user: u32) -> bool {
    may(path, user, 0o1)
}

fn may(path: &Path, user: u32, needs: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.uid() == user || found.mode() & needs == needs)
}

fn change(user: u32) -> rustix::io::Result<String> {
    let owner = |path: &&str| std::fs::metadata(path).ok().map(|device| device.gid());
    let groups: Vec<Gid> =
        RENDERERS.iter().filter_map(owner).filter(|gid| *gid != 0).map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(format!("user {user} without capabilities"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_user_is_its_own_and_stays_the_same() {
        assert_eq!(user_of("rdkit-descriptors"), user_of("rdkit-descriptors"));
        assert_ne!(user_of("rdkit-descriptors"), user_of("primer-tm"));
        for model in 0..10_000 {
            assert!((FIRST..BUILDER).contains(&user_of(&format!("model-{model}"))));
        }
    }
}
