//! The model folders of a hub: read at its start, and looked at again while it serves.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_core::{Model, ModelId};
use muster_model_server::folder::{self, Snapshot};
use muster_store::Store;
use tokio::sync::{oneshot, watch};

use crate::failure::Failure;

/// Folders of which at most so many bytes have to be read for their versions are read at once, as long as all
/// of them together take no longer than this; the others while the hub serves.
const AT_ONCE: u64 = 256 << 20;
const LONGEST: Duration = Duration::from_secs(2);
/// How often it is looked whether folders changed; less often if looks take more than this part of the time.
const LOOK: Duration = Duration::from_secs(5);
const LOOK_AT_LEAST: Duration = Duration::from_secs(60);
const SHARE: u32 = 1000;
/// A folder that was changed so often, each time just before an instance ended or so soon after the last
/// time, is most likely written by its model, which would be another version with each start: it is left
/// alone for a while.
const RESTLESS: u32 = 6;
const SOON: Duration = Duration::from_secs(20);
const LEFT_ALONE: Duration = Duration::from_secs(600);
/// Looks come at least this far apart, whatever instances say.
const SHORTEST: Duration = Duration::from_millis(300);

/// Which version of which model's folder is on this machine.
pub type Versions = BTreeMap<ModelId, String>;

pub fn versions(models: &[Model]) -> Versions {
    models.iter().map(|model| (model.id.clone(), model.version.clone())).collect()
}

pub struct Folders {
    dir: PathBuf,
    /// Where it is kept what files hash to.
    files: PathBuf,
    known: BTreeMap<PathBuf, Known>,
}

struct Known {
    /// The folder's files when it was read.
    snapshot: Snapshot,
    /// What it was when it was right last.
    model: Option<Model>,
    /// How often in a row it was changed by what seems to be its model, and when last.
    restless: u32,
    changed_at: Instant,
}

impl Folders {
    /// Reads every model folder in `dir`, as far as that does not take long.
    pub fn open(dir: &Path, files: PathBuf) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| {
            Failure::usage(format!("the models folder {} cannot be read: {error}", dir.display()))
        };
        let dir = dir.canonicalize().map_err(unreadable)?;
        let mut folders = Self { dir, files, known: BTreeMap::new() };
        folders.look(false).map_err(unreadable)?;
        Ok(folders)
    }

    /// The models; a folder that is not right any more is as it was, so that half an edit takes nothing away.
    pub fn models(&self) -> Vec<Model> {
        let mut ids = HashSet::new();
        let models = self.known.values().filter_map(|known| known.model.as_ref());
        models.filter(|model| ids.insert(&model.id)).cloned().collect()
    }

    /// Looks at all folders, `poked` by an instance or not, and reads those that changed as far as that does not
    /// take long; true if models are not as they were.
    pub fn look(&mut self, poked: bool) -> io::Result<bool> {
        let begun = Instant::now();
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && entry.path().is_dir() {
                there.insert(entry.path());
            }
        }
        let before = self.known.len();
        self.known.retain(|path, _| there.contains(path));
        let mut changed = self.known.len() < before;
        for path in there {
            let snapshot = Snapshot::of(&path).unwrap_or_default();
            let known = self.known.get_mut(&path);
            if known.is_none_or(|known| known.is_to_be_read(&snapshot, &path, poked)) {
                let most = if begun.elapsed() < LONGEST { AT_ONCE } else { 0 };
                changed |= self.read(path, snapshot, most);
            }
        }
        Ok(changed)
    }

    /// A folder whose version is not known yet, because its files are large.
    pub fn unread(&self) -> Option<PathBuf> {
        let unread = |known: &Known| known.model.as_ref().is_some_and(|model| !model.is_read());
        self.known.iter().find(|(_, known)| unread(known)).map(|(path, _)| path.clone())
    }

    /// Reads the files of a folder, however large they are.
    pub fn read_whole(&mut self, path: PathBuf) -> bool {
        let snapshot = Snapshot::of(&path).unwrap_or_default();
        self.read(path, snapshot, u64::MAX)
    }

    fn read(&mut self, path: PathBuf, snapshot: Snapshot, most: u64) -> bool {
        let folder = path.display().to_string();
        let known = self.known.remove(&path);
        let restless = known.as_ref().map_or(0, |known| known.restless);
        let before = known.and_then(|known| known.model);
        let (snapshot, model) = match folder::read_known(&path, Some(&self.files), most) {
            Ok(read) => (read.snapshot, Some(read.model)),
            Err(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                tracing::error!(folder, faults = faults.join("; "), "this is not a model folder");
                // One that was never read whole has no version to keep.
                (snapshot, before.clone().filter(Model::is_read))
            }
        };
        let id = model.as_ref().map(|model| &model.id);
        let others = self.known.values().filter_map(|known| known.model.as_ref());
        if let Some(id) = id.filter(|id| others.map(|other| &other.id).any(|other| other == *id)) {
            tracing::error!(folder, model.id = %id, "another folder has this model already");
        }
        let changed = model != before;
        let changed_at = Instant::now();
        self.known.insert(path, Known { snapshot, model, restless, changed_at });
        changed
    }
}

impl Known {
    fn is_to_be_read(&mut self, now: &Snapshot, path: &Path, poked: bool) -> bool {
        let Some(file) = self.snapshot.difference(now) else { return false };
        if self.restless < RESTLESS {
            let by_model = poked || self.changed_at.elapsed() < SOON;
            self.restless = if by_model { self.restless + 1 } else { 0 };
            return true;
        }
        if self.restless == RESTLESS {
            tracing::error!(
                folder = %path.display(), file = %file.display(),
                "it changes with each start: does its model write there? It is left alone for ten minutes"
            );
            self.restless += 1;
        }
        let over = self.changed_at.elapsed() >= LEFT_ALONE;
        if over {
            self.restless = 0;
        }
        over
    }
}

/// Tells the store of folders that changed. Looks every few seconds, and when `poked`.
pub async fn keep_up(
    mut folders: Folders,
    here: watch::Sender<Versions>,
    store: Store,
    mut poked: watch::Receiver<u64>,
) {
    let (mut untold, mut pause) = (false, LOOK);
    loop {
        let unread = folders.unread();
        let looks = unread.is_none();
        let mut by_instance = false;
        if looks {
            tokio::time::sleep(SHORTEST).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Ok(()) = poked.changed() => by_instance = true,
            }
        }
        let look = move || {
            let begun = Instant::now();
            let changed = match unread {
                Some(path) => folders.read_whole(path),
                None => folders.look(by_instance).unwrap_or_else(|error| {
                    tracing::error!(%error, folder = %folders.dir.display(), "the models folder cannot be read");
                    false
                }),
            };
            (folders, changed, begun.elapsed())
        };
        let (changed, took);
        match beside(look).await {
            Some(looked) => (folders, changed, took) = looked,
            None => return,
        }
        if looks {
            pause = (took * SHARE).clamp(LOOK, LOOK_AT_LEAST);
        }
        untold |= changed;
        if !untold {
            continue;
        }
        let models = folders.models();
        // First, so that nobody waits for what the catalogue has and this machine seems not to have.
        here.send_replace(versions(&models));
        match store.sync_models(models).await {
            Ok(_) => {
                tracing::info!("model folders changed: the catalogue has their new versions");
                untold = false;
            }
            Err(error) => {
                tracing::warn!(%error, "changed model folders are not in the catalogue yet");
            }
        }
    }
}

/// On a thread of its own, which a hub that stops does not wait for: reading large files takes long.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = oneshot::channel();
    let started = std::thread::Builder::new().name("folders".to_owned()).spawn(move || {
        // Nobody listens any more when the hub stops.
        drop(tell.send(work()));
    });
    if let Err(error) = started {
        tracing::error!(%error, "model folders are not looked at any more");
        return None;
    }
    told.await.ok()
}
