//! Folders that were pushed: read and checked when they come, and unpacked on each hub, from object storage, under
//! the hash of their archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use muster_core::hex::hex;
use muster_core::instance::StartFault;
use muster_core::{Model, ModelId, Source};
use muster_model_server::Kind;
use muster_model_server::folder::archive::{ArchiveError, Most, unpack};
use muster_model_server::folder::{self, Folder};
use muster_server::{FolderRefused, PushedFolder, Pushes};
use muster_store::Store;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::folders::Versions;

/// How often it is looked which folders are needed, beside the times when the catalogue changes; and sooner while
/// one could not be had.
const LOOK: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(2);
/// A folder that no version of the catalogue needs goes after this: instances of it may still finish their work.
const KEPT: Duration = Duration::from_secs(3600);

/// Where each is unpacked.
pub fn place(data: &Path) -> PathBuf {
    data.join("folders")
}

/// Why a folder is not there.
#[derive(Debug)]
pub struct Missing {
    pub why: String,
    pub fault: StartFault,
}

impl Missing {
    pub fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), fault: StartFault::Passing }
    }

    pub fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), fault: StartFault::Lasting }
    }
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        Self::passing(error.to_string())
    }
}

impl From<FolderRefused> for Missing {
    fn from(refused: FolderRefused) -> Self {
        match refused {
            FolderRefused::Io(error) => error.into(),
            refused => Self::lasting(refused.to_string()),
        }
    }
}

#[derive(Clone)]
pub struct PushedFolders {
    place: PathBuf,
    most: Most,
}

impl PushedFolders {
    /// What was left half unpacked goes.
    pub fn open(data: &Path, most: Most) -> io::Result<Self> {
        let place = place(data);
        DirBuilder::new().recursive(true).mode(0o711).create(&place)?;
        let parts = place.join(".parts");
        match fs::remove_dir_all(&parts) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        DirBuilder::new().mode(0o700).create(parts)?;
        Ok(Self { place, most })
    }

    /// How the API takes folders in. `runs_here`: instances run on this machine, so that the folder has its place
    /// already when the first of them starts.
    pub fn takes(&self, most_bytes: u64, walls: bool, runs_here: bool) -> Pushes {
        let folders = self.clone();
        let read = move |id: &ModelId, content: &str, archive: &Path| {
            let (dir, folder, pushed) = folders.unpack(id, archive)?;
            let (files, refused) = (pushed, check(id, &folder));
            refused?;
            let mut model = folder.model;
            model.source =
                Source::Pushed { content: content.to_owned(), trial_of: None, in_pods: false };
            let notes = folder.notes.iter().map(ToString::to_string).collect();
            if runs_here {
                folders.put(&dir, &folder.dir, content)?;
            }
            Ok(PushedFolder { model, files, notes })
        };
        Pushes::new(most_bytes, self.place.join(".parts"), walls, read)
    }

    /// Unpacks and reads an archive, in a folder that goes by itself.
    fn unpack(
        &self,
        id: &ModelId,
        archive: &Path,
    ) -> Result<(tempfile::TempDir, Folder, u64), FolderRefused> {
        let dir = tempfile::tempdir_in(self.place.join(".parts"))?;
        // The name of a folder is that of its model, where it says no other.
        let into = dir.path().join(id.as_str());
        fs::create_dir(&into)?;
        let unpacked =
            unpack(File::open(archive)?, &into, self.most).map_err(|error| match error {
                ArchiveError::Bad(what) => FolderRefused::Archive(what),
                ArchiveError::Io(error) => error.into(),
            })?;
        let mut at = unpacked.dir;
        if at != into {
            let named = dir.path().join("inner").join(id.as_str());
            fs::create_dir(dir.path().join("inner"))?;
            fs::rename(&at, &named)?;
            at = named;
        }
        match folder::read(&at) {
            Ok(folder) => Ok((dir, folder, unpacked.files)),
            Err(faults) => {
                let shown = |fault: &folder::Fault| {
                    fault
                        .to_string()
                        .replace(&format!("{}/", at.display()), "")
                        .replace(&*at.to_string_lossy(), id.as_str())
                };
                Err(FolderRefused::Faults(faults.iter().map(shown).collect()))
            }
        }
    }

    /// Gives a folder that was unpacked its place. Who comes second finds it there.
    fn put(&self, _kept: &tempfile::TempDir, folder: &Path, content: &str) -> io::Result<()> {
        let place = self.place.join(content);
        match fs::rename(folder, &place) {
            Err(_) if place.is_dir() => Ok(()),
            renamed => renamed,
        }
    }

    /// Has what the catalogue needs unpacked, tells what is there, and removes what is not needed any more.
    pub async fn keep(self, store: Store, here: watch::Sender<Versions>) {
        let (mut checked, mut unneeded) = (BTreeSet::new(), BTreeMap::new());
        loop {
            let (mut missing, changed) = (false, store.models_changed());
            let needed = needed(&store);
            for (content, model) in &needed {
                if !checked.contains(content) {
                    let archive = async {
                        let pieces = store.get_folder(content).await;
                        pieces.map_err(|error| Missing::passing(error.to_string()))
                    };
                    match self.have(content, (&model.id, &model.version), archive).await {
                        Ok(()) => drop(checked.insert(content.clone())),
                        Err(error) => {
                            missing = true;
                            tracing::warn!(model.id = %model.id, error = error.why, "a pushed folder is not here yet; it is tried again");
                        }
                    }
                }
                let there = here_now(&store, &checked);
                tell(&store, &here, there);
            }
            tell(&store, &here, here_now(&store, &checked));
            self.remove_unneeded(&needed, &mut checked, &mut unneeded);
            tokio::select! {
                () = changed, if !missing => {}
                () = tokio::time::sleep(if missing { AGAIN } else { LOOK }) => {}
            }
        }
    }

    /// Has a folder unpacked, of just that version, from its archive if it is not there.
    pub async fn have<S, E>(
        &self,
        content: &str,
        (id, version): (&ModelId, &str),
        archive: impl Future<Output = Result<S, Missing>>,
    ) -> Result<(), Missing>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: fmt::Display,
    {
        let place = self.place.join(content);
        let is_right = {
            let (place, version) = (place.clone(), version.to_owned());
            move || folder::read(&place).is_ok_and(|folder| folder.model.version == version)
        };
        if place.is_dir() {
            if beside(is_right.clone()).await? {
                return Ok(());
            }
            tracing::error!(folder = %place.display(), "an unpacked folder was changed; it is unpacked again");
            fs::remove_dir_all(&place)?;
        }
        let mut part = tempfile::NamedTempFile::new_in(self.place.join(".parts"))?;
        let mut hash = Sha256::new();
        let mut stream = pin!(archive.await?);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| Missing::passing(error.to_string()))?;
            hash.update(&piece);
            part.write_all(&piece)?;
        }
        if hex(&hash.finalize()) != content {
            return Err(Missing::passing("its archive came damaged"));
        }
        let (folders, id, content) = (self.clone(), id.clone(), content.to_owned());
        let unpacked = beside(move || {
            let (dir, folder, _) = folders.unpack(&id, part.path())?;
            muster_store::crash_point("while-unpacking");
            Ok::<(), FolderRefused>(folders.put(&dir, &folder.dir, &content)?)
        });
        unpacked.await??;
        match beside(is_right).await? {
            true => Ok(()),
            false => Err(Missing::lasting("its folder is of another version than its archive was")),
        }
    }

    fn remove_unneeded(
        &self,
        needed: &BTreeMap<String, Model>,
        checked: &mut BTreeSet<String>,
        unneeded: &mut BTreeMap<String, Instant>,
    ) {
        let Ok(all) = fs::read_dir(&self.place) else { return };
        let names = all.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let old: Vec<String> =
            names.filter(|name| !name.starts_with('.') && !needed.contains_key(name)).collect();
        unneeded.retain(|name, _| old.contains(name));
        for name in old {
            let since = *unneeded.entry(name.clone()).or_insert_with(Instant::now);
            if since.elapsed() < KEPT {
                continue;
            }
            checked.remove(&name);
            match fs::remove_dir_all(self.place.join(&name)) {
                Ok(()) => {
                    tracing::info!(folder = name, "an unpacked folder that nobody needs is removed")
                }
                Err(error) => tracing::warn!(%error, folder = name, "an unpacked folder stays"),
            }
        }
    }
}

/// The content of each pushed version that the catalogue has, and one of its models.
fn needed(store: &Store) -> BTreeMap<String, Model> {
    let models = store.models();
    let content = |model: &Model| match &model.source {
        Source::Pushed { content, .. } => Some(content.clone()),
        _ => None,
    };
    models.iter().filter_map(|model| Some((content(model)?, Model::clone(model)))).collect()
}

fn here_now(store: &Store, checked: &BTreeSet<String>) -> Versions {
    let models = store.models();
    let here = models.iter().filter(|model| match &model.source {
        Source::Pushed { content, .. } => checked.contains(content),
        _ => false,
    });
    here.map(|model| (model.id.clone(), model.version.clone())).collect()
}

/// Tells which versions are here, and that the plan may look again.
fn tell(store: &Store, here: &watch::Sender<Versions>, there: Versions) {
    if *here.borrow() != there {
        here.send_replace(there);
        store.tell_node();
    }
}

/// What a folder may be of a machine's own, and not of one that is pushed.
fn check(id: &ModelId, folder: &Folder) -> Result<(), FolderRefused> {
    let mut faults = Vec::new();
    if folder.model.id != *id {
        faults.push(format!(
            "model.toml: its id is {}; push it as that, or take `id` out",
            folder.model.id
        ));
    }
    if matches!(folder.kind, Kind::Http { .. }) {
        let what = "model.toml: a server elsewhere is no folder to push; it is added with its address (POST /api/v1/catalogue)";
        faults.push(what.to_owned());
    }
    faults.extend(folder.model.faults());
    if faults.is_empty() { Ok(()) } else { Err(FolderRefused::Faults(faults)) }
}

async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Missing> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Missing::passing(error.to_string()))
}

#[cfg(test)]
mod tests {
    use muster_model_server::folder::archive::pack;

    use super::*;

    #[test]
    fn a_folder_has_its_place_only_where_instances_run() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("m");
        fs::create_dir(&folder).expect("a folder");
        let toml = "version = '1'\nkind = 'python'\nexample = ['a']\n";
        fs::write(folder.join("model.toml"), toml).expect("a file");
        fs::write(folder.join("predict.py"), "def predict(inputs): return inputs\n")
            .expect("a file");
        let archive = dir.path().join("m.tar.gz");
        pack(&folder, File::create(&archive).expect("a file")).expect("it is packed");
        let id: ModelId = "m".parse().expect("an id");
        for (runs_here, number) in [(false, 0), (true, 1)] {
            let data = dir.path().join("data");
            let pushed =
                PushedFolders::open(&data, Most { files: 100, bytes: 1 << 20 }).expect("a place");
            let takes = pushed.takes(1 << 20, true, runs_here);
            let read = takes.read(&id, "c0ffee", &archive).ok().expect("a model");
            assert_eq!(read.model.version.split('+').next(), Some("1"));
            let names = fs::read_dir(place(&data)).expect("a folder").flatten();
            let kept = names.filter(|entry| entry.file_name() == "c0ffee").count();
            assert_eq!(kept, number);
            let parts = fs::read_dir(place(&data).join(".parts")).expect("a folder");
            assert_eq!(parts.count(), 0);
        }
    }
}
