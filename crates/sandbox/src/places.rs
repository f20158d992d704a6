//! Which places of the file system code inside may use, and how.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Sandbox;

/// What programs need of any Linux system.
const SYSTEM: [&str; 14] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/etc",
    "/proc",
    "/sys",
    "/nix",
    "/run/current-system",
    "/run/opengl-driver",
];
/// Where a name server is written down, if `/etc` only points there.
const NAMES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// How a place may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    Read,
    Write,
    Hidden,
}

/// Places by their real paths: a folder stands before what is in it.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub by_path: BTreeMap<PathBuf, Access>,
    /// Names that stand for a real path: `/bin` for `/usr/bin`.
    pub names: Vec<(PathBuf, PathBuf)>,
}

/// All places of a sandbox. Those to read that are not there are left out.
pub(crate) fn of(sandbox: &Sandbox) -> io::Result<Places> {
    let mut places = Places::default();
    let system = SYSTEM.iter().map(Path::new).chain(["/dev".as_ref()]);
    let names = NAMES.iter().map(Path::new);
    for path in system.chain(names).chain(sandbox.read.iter().map(PathBuf::as_path)) {
        places.add(path, Access::Read);
    }
    for path in &sandbox.hidden {
        places.add(path, Access::Hidden);
    }
    // What is named to be read or written is so although a folder around it is hidden.
    for path in &sandbox.read {
        places.add(path, Access::Read);
    }
    for path in sandbox.write.iter().chain(&sandbox.own).chain([&sandbox.scratch]) {
        let real = path.canonicalize().map_err(|error| {
            io::Error::new(error.kind(), format!("{} cannot be used: {error}", path.display()))
        })?;
        places.by_path.insert(real.clone(), Access::Write);
        places.name(path, real);
    }
    places.drop_needless();
    Ok(places)
}

impl Places {
    fn add(&mut self, path: &Path, access: Access) {
        let Ok(real) = path.canonicalize() else { return };
        if real != Path::new("/") {
            self.by_path.insert(real.clone(), access);
            self.name(path, real);
        }
    }

    fn name(&mut self, path: &Path, real: PathBuf) {
        if path.is_absolute() && path != real {
            self.names.push((path.to_owned(), real));
        }
    }

    /// The place that decides about a path inside of it.
    pub fn around(&self, path: &Path) -> Option<(&Path, Access)> {
        let mut parents = path.ancestors().skip(1);
        parents.find_map(|parent| {
            self.by_path.get_key_value(parent).map(|(path, access)| (path.as_path(), *access))
        })
    }

    /// Is this said of something in this place?
    pub fn has_inside(&self, path: &Path, access: Access) -> bool {
        let inside = self.by_path.iter().filter(|(other, _)| *other != path);
        let mut inside = inside.filter(|(other, _)| other.starts_with(path));
        inside.any(|(_, other)| access == *other)
    }

    /// Places that give no more than the one around them.
    fn drop_needless(&mut self) {
        let needless: Vec<PathBuf> = self
            .by_path
            .iter()
            .filter(|(path, access)| match self.around(path) {
                Some((_, Access::Write)) => **access != Access::Hidden,
                Some((_, around)) => around == **access,
                None => **access == Access::Hidden,
            })
            .map(|(path, _)| path.clone())
            .collect();
        self.by_path.retain(|path, _| !needless.contains(path));
    }

    /// What may be read or written, without what is hidden in it: a folder that holds something
    /// hidden is given entry by entry.
    pub fn open(&self) -> Vec<(PathBuf, Access)> {
        let mut open = Vec::new();
        for (path, access) in &self.by_path {
            if *access != Access::Hidden {
                self.open_in(path, *access, &mut open);
            }
        }
        open
    }

    fn open_in(&self, path: &Path, access: Access, open: &mut Vec<(PathBuf, Access)>) {
        if !self.has_inside(path, Access::Hidden) {
            return open.push((path.to_owned(), access));
        }
        let Ok(entries) = fs::read_dir(path) else { return };
        for entry in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            // Other places speak for themselves.
            if !self.by_path.contains_key(&entry) && !entry.is_symlink() {
                self.open_in(&entry, access, open);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_place_is_left_out_and_what_is_named_in_it_is_not() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("its real path");
        for folder in ["hub/data/env", "hub/data/secret", "hub/bin", "scratch"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        let sandbox = Sandbox {
            read: vec![root.join("hub"), root.join("hub/data/env")],
            hidden: vec![root.join("hub/data"), "/nowhere".into()],
            scratch: root.join("scratch"),
            ..Sandbox::default()
        };
        let mut places = of(&sandbox).expect("places");
        places.by_path.retain(|path, _| path.starts_with(root.join("hub")));
        let mut open = places.open();
        open.sort();
        let read = |name: &str| (root.join(name), Access::Read);
        assert_eq!(open, [read("hub/bin"), read("hub/data/env")]);
    }
}
