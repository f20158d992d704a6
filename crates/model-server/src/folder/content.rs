//! What a folder holds: its files as the file system tells of them, and a hash over all of their bytes.
//!
//! Bytes are read once: what they hash to is remembered, and believed as long as the file system says that
//! nobody wrote to the file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blake3::Hasher;
use serde::{Deserialize, Serialize};

/// Bytes of a file that are read at once.
const CHUNK: usize = 1 << 20;
/// After so many bytes what was learned is written down, in case that the rest is interrupted.
const WRITTEN_AFTER: u64 = 1 << 30;
/// The times of files stand still for a tick of the kernel, at most this long.
const TICK: Duration = Duration::from_millis(20);

/// A folder's files at one moment. Hidden files, `__pycache__` and `.pyc` files do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, Seen>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// Where it leads, if it is a link.
    link: Option<PathBuf>,
    /// Of the file, or of the one that the link leads to. Folders behind links are not entered.
    stat: Option<Stat>,
}

/// Whoever writes to a file, or puts another one in its place, changes this: nobody can set `changed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stat {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Snapshot {
    pub fn of(dir: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        look(dir, Path::new(""), &mut files)?;
        Ok(Self(files))
    }

    /// The files, each by its path in the folder.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter(|(_, seen)| seen.link.is_none()).map(|(path, _)| &**path)
    }

    /// All that counts: each path, and whether it is a link.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.0.iter().map(|(path, seen)| (&**path, seen.link.is_some()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first file that is not as it is in the other one.
    pub fn difference<'a>(&'a self, other: &'a Self) -> Option<&'a Path> {
        let changed = |(path, seen): &(&PathBuf, &Seen)| other.0.get(*path) != Some(*seen);
        let new = |path: &&PathBuf| !self.0.contains_key(*path);
        let changed = self.0.iter().find(changed).map(|(path, _)| path);
        changed.or_else(|| other.0.keys().find(new)).map(PathBuf::as_path)
    }

    /// How many bytes have to be read for the digest.
    pub(super) fn unread(&self, memory: &Memory) -> u64 {
        let stats = self.0.iter().filter_map(|(path, seen)| Some((path, seen.stat.as_ref()?)));
        stats.filter(|(path, stat)| memory.find(path, stat).is_none()).map(|(_, it)| it.bytes).sum()
    }

    /// The first 8 hex digits of a hash over names and contents; of these files only if they are still as
    /// they are in here when it is done.
    pub(super) fn digest(&self, dir: &Path, memory: &mut Memory) -> io::Result<String> {
        self.let_time_pass();
        let (mut all, mut read) = (Hasher::new(), 0);
        for (path, Seen { link, stat }) in &self.0 {
            let mut add = |bytes: &[u8]| {
                all.update(&(bytes.len() as u64).to_le_bytes());
                all.update(bytes);
            };
            add(path.as_os_str().as_bytes());
            add(link.as_ref().map_or(b"", |target| target.as_os_str().as_bytes()));
            let Some(stat) = stat else { continue };
            let hash = match memory.find(path, stat) {
                Some(hash) => hash.to_owned(),
                None => {
                    read += stat.bytes;
                    memory.learn(path, stat, hash_of(&dir.join(path))?)
                }
            };
            add(hash.as_bytes());
            if read >= WRITTEN_AFTER {
                memory.write(self);
                read = 0;
            }
        }
        memory.write(self);
        Ok(all.finalize().to_hex()[..8].to_owned())
    }

    /// Who writes to a file twice in one tick leaves it with the time it had: its bytes are read after the
    /// tick of the last write that is known.
    fn let_time_pass(&self) {
        let newest = self.0.values().filter_map(|seen| Some(seen.stat.as_ref()?.changed)).max();
        let Some((seconds, nanoseconds)) = newest else { return };
        #[expect(clippy::disallowed_methods, reason = "files get their times from this clock")]
        let now = SystemTime::now();
        let written = Duration::new(seconds.max(0) as u64, nanoseconds.max(0) as u32);
        let since = UNIX_EPOCH.checked_add(written).map(|at| now.duration_since(at));
        // What seems to be written later was so by another machine's clock.
        let since = since.and_then(Result::ok).unwrap_or_default();
        std::thread::sleep(TICK.saturating_sub(since));
    }
}

impl Stat {
    fn of(file: &fs::Metadata) -> Self {
        Self {
            bytes: file.len(),
            inode: file.ino(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

fn look(dir: &Path, inside: &Path, files: &mut BTreeMap<PathBuf, Seen>) -> io::Result<()> {
    for entry in fs::read_dir(dir.join(inside))? {
        let entry = entry?;
        let name = entry.file_name();
        let bytes = name.as_bytes();
        if !counts(bytes) {
            continue;
        }
        let (kind, path) = (entry.file_type()?, inside.join(&name));
        let seen = if kind.is_dir() {
            look(dir, &path, files)?;
            continue;
        } else if kind.is_symlink() {
            // Nobody may read what it leads to, or nothing is there: then there are no bytes.
            let leads_to = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file);
            let link = Some(fs::read_link(entry.path())?);
            Seen { link, stat: leads_to.as_ref().map(Stat::of) }
        } else if kind.is_file() {
            Seen { link: None, stat: Some(Stat::of(&entry.metadata()?)) }
        } else {
            continue;
        };
        files.insert(path, seen);
    }
    Ok(())
}

/// Is a file or folder of this name a part of the model?
pub(super) fn counts(name: &[u8]) -> bool {
    !(name.starts_with(b".") || name == b"__pycache__" || name.ends_with(b".pyc"))
}

fn hash_of(file: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(file)?, Hasher::new());
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finalize().to_hex().to_string()),
            Ok(bytes) => drop(hash.update(&chunk[..bytes])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the files of one folder hash to, as far as they were read before.
#[derive(Default)]
pub(super) struct Memory {
    /// Where it is kept, if it is.
    file: Option<PathBuf>,
    known: BTreeMap<String, Known>,
    learned: bool,
}

#[derive(Serialize, Deserialize)]
struct Known {
    stat: Stat,
    hash: String,
}

impl Memory {
    /// Of the folder `dir`, kept in `place`. What cannot be read there is not known.
    pub(super) fn of(dir: &Path, place: &Path) -> Self {
        let name = blake3::hash(dir.as_os_str().as_bytes()).to_hex();
        let file = place.join(format!("{}.json", &name[..32]));
        let text = fs::read(&file).unwrap_or_default();
        let known = serde_json::from_slice(&text).unwrap_or_default();
        Self { file: Some(file), known, learned: false }
    }

    fn find(&self, path: &Path, stat: &Stat) -> Option<&str> {
        let known = self.known.get(&*path.to_string_lossy())?;
        (known.stat == *stat).then_some(&*known.hash)
    }

    fn learn(&mut self, path: &Path, stat: &Stat, hash: String) -> String {
        let known = Known { stat: stat.clone(), hash: hash.clone() };
        self.known.insert(path.to_string_lossy().into_owned(), known);
        self.learned = true;
        hash
    }

    /// Writes down what was learned, without what is not there any more.
    fn write(&mut self, files: &Snapshot) {
        let Some(file) = self.file.as_deref().filter(|_| self.learned) else { return };
        self.known.retain(|path, _| files.0.contains_key(Path::new(path)));
        if let Err(error) = write_whole(file, &self.known) {
            tracing::warn!(%error, file = %file.display(), "hashes of a model's files are not kept: they are read again");
        }
        self.learned = false;
    }
}

/// Others may read and write it at the same time.
fn write_whole(file: &Path, known: &BTreeMap<String, Known>) -> io::Result<()> {
    let place = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(place)?;
    let mut part = tempfile::NamedTempFile::new_in(place)?;
    serde_json::to_writer(io::BufWriter::new(part.as_file_mut()), known)?;
    part.persist(file)?;
    Ok(())
}
