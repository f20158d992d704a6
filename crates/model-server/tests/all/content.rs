//! A version is of all bytes of a folder, and what a model predicts is of its version.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use muster_core::instance::StartFault;
use muster_model_server::{Limits, ServeError, folder};

use crate::support::{Folder, PATIENCE, until};

const WEIGHTS: &str = "weights.bin";
const SAYS_WEIGHTS: &str = "\
kind = 'command'
command = ['sh', 'run.sh', '{input}', '{output}']
";
const RUN: &str = "\
while [ -e ../wait ]; do touch ../waits; sleep 0.02; done
{ echo said; sed 1d \"$1\" | while read -r line; do cat weights.bin; echo; done; } > \"$2\"
";

fn command() -> Folder {
    Folder::new(&[("model.toml", SAYS_WEIGHTS), ("run.sh", RUN), (WEIGHTS, "old")])
}

fn version(folder: &Folder) -> String {
    folder::read(&folder.dir()).expect("it is right").model.version
}

/// As the hub reads it: with what it knows, and at most so many bytes.
fn known(folder: &Folder, most: u64) -> folder::Folder {
    let place = folder.beside("files");
    folder::read_known(&folder.dir(), Some(&place), most).expect("it is right")
}

/// Writes over a file so that its length and its time stay the same.
fn overwrite(file: &Path, bytes: &[u8], at: u64) {
    let modified = file.metadata().expect("it is there").modified().expect("a time");
    let file = File::options().write(true).open(file).expect("it is there");
    file.write_all_at(bytes, at).expect("it is written");
    file.set_times(FileTimes::new().set_modified(modified)).expect("its time is set");
}

#[test]
fn a_version_covers_the_last_byte_of_a_large_file() {
    let folder = command();
    let weights = folder.dir().join(WEIGHTS);
    File::create(&weights).and_then(|file| file.set_len(80 << 20)).expect("a large file");
    let first = version(&folder);
    assert_eq!(known(&folder, u64::MAX).model.version, first);
    overwrite(&weights, b"x", (80 << 20) - 1);
    let second = version(&folder);
    assert_ne!(first, second);
    assert_eq!(known(&folder, u64::MAX).model.version, second, "not what was known before");
    overwrite(&weights, b"\0", (80 << 20) - 1);
    assert_eq!((version(&folder), known(&folder, u64::MAX).model.version), (first.clone(), first));
}

#[test]
fn another_file_with_the_same_length_and_time_in_its_place_is_another_version() {
    let folder = command();
    let weights = folder.dir().join(WEIGHTS);
    let first = known(&folder, u64::MAX).model.version;
    let other = folder.beside("other");
    fs::write(&other, "new").expect("a file");
    let modified = weights.metadata().expect("it is there").modified().expect("a time");
    let times = FileTimes::new().set_modified(modified);
    File::options().write(true).open(&other).and_then(|it| it.set_times(times)).expect("a time");
    fs::rename(&other, &weights).expect("it is put there");
    assert_ne!(known(&folder, u64::MAX).model.version, first);
}

#[test]
fn files_are_read_once_and_again_when_that_was_lost() {
    let folder = command();
    let unknown = known(&folder, 0).model;
    assert!(!unknown.is_read() && unknown.version == "0+", "{}", unknown.version);
    let whole = known(&folder, u64::MAX).model;
    assert!(whole.is_read());
    assert_eq!(known(&folder, 0).model.version, whole.version, "nothing had to be read");
    // What is there but makes no sense is as if it was not there.
    for entry in fs::read_dir(folder.beside("files")).expect("a folder") {
        fs::write(entry.expect("a file").path(), "{\"weights.bin\": 1").expect("it is spoilt");
    }
    assert!(!known(&folder, 0).model.is_read());
    assert_eq!(known(&folder, u64::MAX).model.version, whole.version);
    assert!(known(&folder, 0).model.is_read());
    // Only what changed.
    folder.write("note.txt", "abc");
    assert!(!known(&folder, 2).model.is_read());
    assert!(known(&folder, 3).model.is_read());
}

#[test]
fn links_count_as_what_they_lead_to() {
    let folder = command();
    fs::write(folder.beside("one"), "1").expect("a file");
    symlink("../one", folder.dir().join("link")).expect("a link");
    let first = version(&folder);
    fs::write(folder.beside("one"), "2").expect("a file");
    let second = version(&folder);
    symlink(".", folder.dir().join("loop")).expect("a link");
    let third = version(&folder);
    fs::remove_file(folder.beside("one")).expect("it is gone");
    let fourth = version(&folder);
    let all = [&first, &second, &third, &fourth];
    assert!(all.iter().enumerate().all(|(n, one)| !all[..n].contains(one)), "{all:?}");
}

#[test]
fn a_touched_file_changes_no_version() {
    let folder = command();
    let before = known(&folder, u64::MAX);
    let inode = folder.dir().join(WEIGHTS).metadata().expect("it is there").ino();
    folder.write(WEIGHTS, "old");
    let after = known(&folder, u64::MAX);
    assert_eq!(folder.dir().join(WEIGHTS).metadata().expect("it is there").ino(), inode);
    assert_eq!(before.model.version, after.model.version);
    assert_eq!(before.snapshot.difference(&after.snapshot), Some(Path::new(WEIGHTS)));
}

#[tokio::test]
async fn a_command_is_not_run_with_other_files_than_it_was_started_with() {
    let folder = command();
    let mut server = folder.serve().await;
    assert_eq!(server.run(&["a"]).await[0]["said"], "old");
    overwrite(&folder.dir().join(WEIGHTS), b"new", 0);
    let (status, detail) = server.fail(&["a"]).await;
    assert_eq!(status, 503, "{detail}");
    assert!(detail.contains("the model's folder was changed (weights.bin)"), "{detail}");
    let ended = tokio::time::timeout(PATIENCE, &mut server.running).await.expect("it ends");
    let error = ended.expect("no panic").expect_err("its folder changed");
    assert!(matches!(&error, ServeError::Changed(file) if file == WEIGHTS), "{error}");
}

#[tokio::test]
async fn what_was_answered_while_the_folder_changed_is_thrown_away() {
    for body in [
        None,
        Some(
            "import os, time\n\
                             def predict(inputs):\n    \
                             while os.path.exists('../wait'):\n        \
                             open('../waits', 'w').close()\n        time.sleep(0.02)\n    \
                             return [{'said': open('weights.bin').read()} for _ in inputs]\n",
        ),
    ] {
        let folder = match body {
            None => command(),
            Some(body) => {
                let folder = Folder::python(body, "");
                folder.write(WEIGHTS, "old");
                folder
            }
        };
        let server = folder.serve().await;
        fs::write(folder.beside("wait"), "").expect("a file");
        let change = async {
            until("it works", || folder.beside("waits").exists()).await;
            folder.write("another.txt", "");
            fs::remove_file(folder.beside("wait")).expect("it was there");
        };
        let ((status, detail), ()) = tokio::join!(server.fail(&["a"]), change);
        assert_eq!(status, 500, "{detail}");
        assert!(detail.contains("was changed while it worked (another.txt)"), "{detail}");
    }
}

#[tokio::test]
async fn a_server_for_another_version_than_the_folder_has_does_not_start() {
    let folder = command();
    let mut options = folder.options(Limits::default()).0;
    options.version = Some("0+12345678".to_owned());
    let serve = tokio::time::timeout(Duration::from_secs(20), muster_model_server::serve(options));
    let error = serve.await.expect("it ends").expect_err("it is another one");
    assert_eq!(error.fault(), StartFault::Passing);
    let said = error.to_string();
    assert!(said.contains("0+12345678") && said.contains(&version(&folder)), "{said}");
    // Half an edit.
    let mut options = folder.options(Limits::default()).0;
    options.version = Some(version(&folder));
    folder.write("model.toml", "kind = ");
    let error = muster_model_server::serve(options).await.expect_err("it is not right");
    assert_eq!(error.fault(), StartFault::Passing);
    assert!(error.to_string().contains("model.toml"), "{error}");
}
