//! A file system in which nothing else is: the places are mounted into an empty one, read-only but
//! for those that may be written.
//!
//! It keeps what Landlock does not: sockets of other programs, modes and owners of files, and folders
//! that a user of its own could not pass through.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, mount_remount, move_mount, open_tree, unmount,
};

use crate::places::{Access, Places};

/// Shared memory of its own, at most half of the machine's.
const SHARED: &str = "/dev/shm";
const TEMPORARY: &str = "/tmp";

/// Makes the view and moves into it. The thread must have a mount namespace of its own.
pub(crate) fn enter(places: &Places, scratch: &Path) -> io::Result<()> {
    // What is mounted here is seen nowhere else.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let mut trees = Vec::new();
    for (path, access) in &places.by_path {
        let source = match access {
            Access::Hidden if path.is_dir() => continue,
            Access::Hidden => Path::new("/dev/null"),
            Access::Read | Access::Write => path,
        };
        trees.push((path.clone(), tree(source)?));
    }
    let temporary = Path::new(TEMPORARY);
    // Unless something is there that it would make writable.
    let inside = [Access::Read, Access::Hidden];
    let free = inside.iter().all(|access| !places.has_inside(temporary, *access));
    if free && !places.by_path.contains_key(temporary) {
        trees.push((temporary.to_owned(), tree(scratch)?));
    }
    trees.sort_by(|(one, _), (other, _)| one.cmp(other));
    let folder =
        |path: &PathBuf| places.by_path.get(path) == Some(&Access::Hidden) && path.is_dir();
    let hidden: Vec<PathBuf> = places.by_path.keys().filter(|path| folder(path)).cloned().collect();

    // The empty one. Sources are open, so it may cover any folder; this one exists.
    let root = scratch.canonicalize()?;
    mount("none", &root, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755,size=1m")?;
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let mut all: Vec<(PathBuf, Option<OwnedFd>)> =
        trees.into_iter().map(|(path, tree)| (path, Some(tree))).collect();
    all.extend(hidden.into_iter().map(|path| (path, None)));
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (path, tree) in all {
        let target = inside(&path);
        let Some(tree) = tree else {
            empty(&target, c"mode=0755,size=1m")?;
            continue;
        };
        if is_folder(&tree)? {
            fs::create_dir_all(&target)?;
        } else if !target.exists() {
            fs::create_dir_all(target.parent().unwrap_or(&root))?;
            File::create(&target)?;
        }
        move_mount(&tree, c"", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    empty(&inside(SHARED.as_ref()), c"mode=1777")?;
    for (name, real) in &places.names {
        let name = inside(name);
        if !name.exists() && !name.is_symlink() {
            fs::create_dir_all(name.parent().unwrap_or(&root))?;
            std::os::unix::fs::symlink(real, name)?;
        }
    }
    seal(&root, places)?;

    std::env::set_current_dir(&root)?;
    rustix::process::pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

fn tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn is_folder(tree: &OwnedFd) -> io::Result<bool> {
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode);
    Ok(kind == rustix::fs::FileType::Directory)
}

fn empty(target: &Path, options: &std::ffi::CStr) -> io::Result<()> {
    if target.is_dir() {
        mount("none", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options)?;
    }
    Ok(())
}

/// Makes all that is mounted below `root` read-only, but for what may be written.
fn seal(root: &Path, places: &Places) -> io::Result<()> {
    for (point, flags) in mounted(root)? {
        let path = Path::new("/").join(point.strip_prefix(root).unwrap_or(&point));
        let writes = [Path::new(SHARED), Path::new(TEMPORARY)].contains(&path.as_path())
            || places.by_path.get(&path) == Some(&Access::Write)
            || matches!(places.around(&path), Some((_, Access::Write)));
        if writes {
            continue;
        }
        let sealed = mount_remount(&point, MountFlags::BIND | MountFlags::RDONLY | flags, c"");
        let ours = path == Path::new("/") || places.by_path.contains_key(&path);
        match sealed {
            Ok(()) => {}
            Err(error) if ours => {
                let text = format!("{} cannot be made read-only: {error}", path.display());
                return Err(io::Error::new(error.kind(), text));
            }
            // What somebody else mounted further in stays as they have it.
            Err(_) => {}
        }
    }
    Ok(())
}

/// What is mounted at and below `root`, with the flags that a remount has to keep.
fn mounted(root: &Path) -> io::Result<Vec<(PathBuf, MountFlags)>> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(point), Some(options)) = (fields.next(), fields.next()) else { continue };
        let point = PathBuf::from(plain(point));
        if !point.starts_with(root) {
            continue;
        }
        let kept = options.split(',').map(|option| match option {
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            _ => MountFlags::empty(),
        });
        found.push((point, kept.fold(MountFlags::empty(), |all, one| all | one)));
    }
    Ok(found)
}

/// Spaces, tabs, line feeds and backslashes are octal numbers in mountinfo.
fn plain(point: &str) -> String {
    let signs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    signs.iter().fold(point.to_owned(), |text, (code, sign)| text.replace(code, sign))
}
