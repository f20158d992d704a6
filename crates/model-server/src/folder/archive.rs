//! A folder as one file, a tar.gz: written where it is pushed, and read by a hub, which believes nothing of it.
//!
//! Why gzip: browsers can make it by themselves, and every machine has a program for it.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use tar::{EntryType, Header, PaxExtensions};

use super::content::counts;
use super::{Fault, Snapshot};

/// Longest path in an archive, bytes, and how deep it may be.
const LONGEST_PATH: usize = 1024;
const LONGEST_NAME: usize = 255;
const DEEPEST: usize = 32;
/// Most bytes of what says more of the next file, such as its long name; and of what may stand behind the end.
const LONGEST_EXTENSION: u64 = 64 << 10;
const LONGEST_REST: u64 = 1 << 20;

/// How much of a folder is unpacked.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub files: u64,
    pub bytes: u64,
}

/// A folder that was unpacked.
#[derive(Debug)]
pub struct Unpacked {
    /// Where its files are: an archive may have a folder around them.
    pub dir: PathBuf,
    pub files: u64,
    pub bytes: u64,
}

/// Why an archive was not unpacked.
#[derive(Debug)]
pub enum ArchiveError {
    /// Something is wrong with it, in words.
    Bad(String),
    /// This machine cannot have its files.
    Io(io::Error),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
        }
    }
}

fn bad(what: impl Into<String>) -> ArchiveError {
    ArchiveError::Bad(what.into())
}

/// Writes what counts of a folder, in the same bytes for the same content. Says how many files.
pub fn pack(dir: &Path, out: impl Write) -> Result<u64, Fault> {
    let wrong = |path: &Path, what: String| Fault::new(path.display().to_string(), what);
    let dir = dir.canonicalize().map_err(|error| wrong(dir, error.to_string()))?;
    let snapshot = Snapshot::of(&dir).map_err(|error| wrong(&dir, error.to_string()))?;
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    let mut files = 0;
    for (path, is_link) in snapshot.all() {
        let whole = dir.join(path);
        if is_link {
            let leads_to = whole.canonicalize();
            if !leads_to.is_ok_and(|to| to.starts_with(&dir) && to.is_file()) {
                let what = "it is a link to a folder, out of the folder or to nothing; put what it leads to in its place";
                return Err(wrong(path, what.to_owned()));
            }
        }
        add(&mut archive, path, &whole).map_err(|error| wrong(path, error.to_string()))?;
        files += 1;
    }
    let end = || {
        archive.into_inner()?.finish()?.flush()?;
        Snapshot::of(&dir)
    };
    let after = end().map_err(|error| wrong(&dir, error.to_string()))?;
    match snapshot.difference(&after) {
        None => Ok(files),
        Some(path) => Err(wrong(path, "it was changed meanwhile; try again".to_owned())),
    }
}

fn add<W: Write>(archive: &mut tar::Builder<W>, path: &Path, file: &Path) -> io::Result<()> {
    let mut file = File::open(file)?;
    let about = file.metadata()?;
    let mut header = Header::new_ustar();
    header.set_size(about.len());
    header.set_mode(mode(about.permissions().mode()));
    header.set_entry_type(EntryType::Regular);
    let read = (&mut file).take(about.len());
    archive.append_data(&mut header, path, read)
}

/// Of the mode of a file only counts whether it can be run.
fn mode(mode: u32) -> u32 {
    if mode & 0o100 == 0 { 0o644 } else { 0o755 }
}

/// Unpacks an archive into an empty folder. What is no plain file or folder, lies elsewhere or is there twice is
/// refused; what does not count of a model is left out.
pub fn unpack(archive: impl Read, into: &Path, most: Most) -> Result<Unpacked, ArchiveError> {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(archive));
    let mut tree = Tree::default();
    let (mut unpacked, mut long) = (Unpacked { dir: into.to_owned(), files: 0, bytes: 0 }, None);
    open_to_all(into).map_err(ArchiveError::Io)?;
    let mut entries = 0;
    // Raw: what stands before a file, such as its long name, is read here, as far as it is short.
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        let (kind, size) = (entry.header().entry_type(), entry.size());
        entries += 1;
        // Beside each file may stand its long name and its folder.
        if unpacked.files > most.files || entries > most.files.saturating_mul(4).saturating_add(16)
        {
            return Err(bad(format!(
                "it has more than {} files; leave out what the model does not need",
                most.files
            )));
        }
        if matches!(kind, EntryType::XHeader | EntryType::GNULongName | EntryType::XGlobalHeader) {
            let said = extension(&mut entry, kind, size)?;
            if kind != EntryType::XGlobalHeader {
                long = said.or(long);
            }
            continue;
        }
        let name = long.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let path = path(&name)?;
        let is_dir = match kind {
            EntryType::Directory => true,
            EntryType::Regular | EntryType::Continuous => name.ends_with(b"/"),
            EntryType::Symlink | EntryType::Link => {
                return Err(bad(format!("{path} is a link; put what it leads to in its place")));
            }
            _ => return Err(bad(format!("{path} is neither a file nor a folder"))),
        };
        if path.is_empty() || !path.split('/').all(|name| counts(name.as_bytes())) {
            continue;
        }
        tree.take(&path, is_dir)?;
        let place = into.join(&path);
        if is_dir {
            make_dirs(into, &path).map_err(ArchiveError::Io)?;
            continue;
        }
        unpacked.files += 1;
        unpacked.bytes = unpacked.bytes.saturating_add(size);
        if unpacked.bytes > most.bytes {
            return Err(bad(format!("unpacked it has more than {} bytes", most.bytes)));
        }
        if let Some((folder, _)) = path.rsplit_once('/') {
            make_dirs(into, folder).map_err(ArchiveError::Io)?;
        }
        let mode = mode(entry.header().mode().unwrap_or(0o644));
        write(&mut entry, &place, size, mode)?;
    }
    if unpacked.files == 0 {
        return Err(bad("there is no file in it"));
    }
    // To the end, where gzip says whether all of it is as it was.
    let mut rest = archive.into_inner().take(LONGEST_REST + 1);
    if io::copy(&mut rest, &mut io::sink()).map_err(unreadable)? > LONGEST_REST {
        return Err(bad("something stands behind its end"));
    }
    unpacked.dir = inner(into).map_err(ArchiveError::Io)?;
    Ok(unpacked)
}

/// An archive is read from this machine's disk: what goes wrong is wrong with it.
fn unreadable(error: io::Error) -> ArchiveError {
    bad(format!("it is no tar.gz that is whole: {error}"))
}

/// What an entry says of the next one: its name, if it has one.
fn extension(
    entry: &mut impl Read,
    kind: EntryType,
    size: u64,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    if size > LONGEST_EXTENSION {
        return Err(bad("what it says of a file is too long"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(unreadable)?;
    if kind == EntryType::GNULongName {
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        return Ok(Some(bytes));
    }
    let mut name = None;
    for pair in PaxExtensions::new(&bytes) {
        let pair = pair.map_err(unreadable)?;
        match pair.key_bytes() {
            b"path" => name = Some(pair.value_bytes().to_vec()),
            key if key == b"size" || key.starts_with(b"GNU.sparse") => {
                return Err(bad("a file of it is too large, or has holes"));
            }
            _ => {}
        }
    }
    Ok(name)
}

/// A path as it is in the folder; nothing for the folder itself.
fn path(name: &[u8]) -> Result<String, ArchiveError> {
    let shown = || String::from_utf8_lossy(&name[..name.len().min(80)]).escape_debug().to_string();
    let text =
        std::str::from_utf8(name).map_err(|_| bad(format!("the name {} is not UTF-8", shown())))?;
    if text.starts_with('/') {
        return Err(bad(format!("{} is an absolute path", shown())));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(bad(format!("{} leads out of the folder", shown())));
    }
    let long = text.len() > LONGEST_PATH || parts.iter().any(|part| part.len() > LONGEST_NAME);
    if long || parts.len() > DEEPEST || text.chars().any(char::is_control) {
        return Err(bad(format!(
            "the path {} is too long, too deep or has control characters",
            shown()
        )));
    }
    Ok(parts.join("/"))
}

/// What an archive has so far, by lower-case paths: on some machines case does not tell files apart.
#[derive(Default)]
struct Tree(HashMap<String, (String, bool)>);

impl Tree {
    fn take(&mut self, path: &str, is_dir: bool) -> Result<(), ArchiveError> {
        for (end, _) in path.match_indices('/') {
            self.take_one(&path[..end], true)?;
        }
        self.take_one(path, is_dir)
    }

    fn take_one(&mut self, path: &str, is_dir: bool) -> Result<(), ArchiveError> {
        match self.0.get(&path.to_lowercase()) {
            None => {
                self.0.insert(path.to_lowercase(), (path.to_owned(), is_dir));
                Ok(())
            }
            Some((before, _)) if before != path => {
                Err(bad(format!("{before} and {path} differ only in case")))
            }
            Some((_, true)) if is_dir => Ok(()),
            Some((_, was_dir)) if *was_dir == is_dir => Err(bad(format!("{path} is there twice"))),
            Some(_) => Err(bad(format!("{path} is a file and a folder"))),
        }
    }
}

/// Models run as other users than the hub.
fn open_to_all(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o755))
}

fn make_dirs(into: &Path, path: &str) -> io::Result<()> {
    let mut dir = into.to_owned();
    for part in path.split('/') {
        dir.push(part);
        match fs::create_dir(&dir) {
            Ok(()) => open_to_all(&dir)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write(from: &mut impl Read, place: &Path, size: u64, mode: u32) -> Result<(), ArchiveError> {
    let mut file = File::create_new(place).map_err(ArchiveError::Io)?;
    let mut left = size;
    let mut piece = vec![0; 64 << 10];
    while left > 0 {
        let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match from.read(&mut piece[..wanted]).map_err(unreadable)? {
            0 => return Err(bad("it ends in the middle of a file")),
            read => {
                file.write_all(&piece[..read]).map_err(ArchiveError::Io)?;
                left -= read as u64;
            }
        }
    }
    file.set_permissions(Permissions::from_mode(mode)).map_err(ArchiveError::Io)
}

/// The folder that the archive has around everything, if it has one.
fn inner(dir: &Path) -> io::Result<PathBuf> {
    let known = ["model.toml", "model/framework", "MLmodel", "predict.py"];
    if known.iter().any(|name| dir.join(name).exists()) {
        return Ok(dir.to_owned());
    }
    let mut all = fs::read_dir(dir)?;
    let (first, second) = (all.next().transpose()?, all.next().transpose()?);
    Ok(match (first, second) {
        (Some(only), None) if only.file_type()?.is_dir() => only.path(),
        _ => dir.to_owned(),
    })
}
