//! Folders as archives: what is packed is unpacked as it was, and nothing else gets out of an archive.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use muster_model_server::folder;
use muster_model_server::folder::archive::{ArchiveError, Most, Unpacked, pack, unpack};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

const MOST: Most = Most { files: 1_000, bytes: 1 << 20 };

fn unpacked(archive: &[u8], most: Most) -> (TempDir, Result<Unpacked, ArchiveError>) {
    let dir = tempfile::tempdir().expect("a folder");
    let into = dir.path().join("m");
    fs::create_dir(&into).expect("a folder");
    let unpacked = unpack(archive, &into, most);
    (dir, unpacked)
}

/// Why it is not unpacked. Whatever the reason, nothing lies beside the folder.
fn refused(archive: &[u8], most: Most) -> String {
    let (dir, unpacked) = unpacked(archive, most);
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    match unpacked {
        Err(ArchiveError::Bad(why)) => why,
        other => panic!("it is taken: {other:?}"),
    }
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(tar).expect("bytes");
    gzip.finish().expect("bytes")
}

/// A file with whatever name: libraries refuse to write such.
fn entry(name: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    let bytes = &mut header.as_gnu_mut().expect("a header of GNU").name;
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

fn files(names: &[&str]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for name in names {
        archive.append(&entry(name, EntryType::Regular, 1), &b"x"[..]).expect("a file");
    }
    gzip(&archive.into_inner().expect("bytes"))
}

fn pack_whole(dir: &Path) -> Vec<u8> {
    let mut archive = Vec::new();
    pack(dir, &mut archive).expect("an archive");
    archive
}

#[test]
fn a_folder_is_the_same_after_it_was_packed_and_unpacked() {
    let root = tempfile::tempdir().expect("a folder");
    let dir = root.path().join("m");
    let long = format!("deep/{}/{}.txt", "d".repeat(120), "f".repeat(120));
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write("model.toml", "kind = 'python'\nversion = '2.1'\nexample = ['a']\n");
    write("predict.py", "def predict(inputs): return [{'n': 1} for _ in inputs]\n");
    write("run.sh", "echo\n");
    write(&long, "far away");
    write("größe.txt", "ü");
    for left_out in [".git/config", "__pycache__/predict.pyc", ".DS_Store"] {
        write(left_out, "no part of it");
    }
    let executable = fs::Permissions::from_mode(0o700);
    fs::set_permissions(dir.join("run.sh"), executable).expect("its mode");
    let archive = pack_whole(&dir);
    assert_eq!(archive, pack_whole(&dir), "the same bytes for the same content");
    let (into, unpacked) = unpacked(&archive, MOST);
    let unpacked = unpacked.expect("it is unpacked");
    assert_eq!(unpacked.files, 5);
    let (before, after) = (folder::read(&dir), folder::read(&unpacked.dir));
    let version = |folder: Result<folder::Folder, _>| folder.expect("a folder").model.version;
    assert_eq!(version(before), version(after));
    let mode = |name: &str| {
        let path = into.path().join("m").join(name);
        path.metadata().expect("a file").permissions().mode() & 0o777
    };
    assert_eq!((mode("run.sh"), mode("predict.py"), mode("deep")), (0o755, 0o644, 0o755));
    assert!(!into.path().join("m/.git").exists());
}

#[test]
fn a_folder_around_everything_is_not_the_model() {
    let (_dir, around) = unpacked(&files(&["solubility/predict.py", "solubility/a/b"]), MOST);
    assert!(around.expect("it is unpacked").dir.ends_with("m/solubility"));
    let (_dir, template) = unpacked(&files(&["model/framework/run.sh"]), MOST);
    assert!(template.expect("it is unpacked").dir.ends_with("m"));
}

#[test]
fn links_are_followed_inside_a_folder_and_nowhere_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let inside = dir.path().join("m");
    fs::create_dir_all(inside.join("sub")).expect("a folder");
    fs::write(inside.join("weights.bin"), "1234").expect("a file");
    fs::write(dir.path().join("secret"), "s").expect("a file");
    symlink("weights.bin", inside.join("current.bin")).expect("a link");
    let (into, unpacked) = unpacked(&pack_whole(&inside), MOST);
    assert_eq!(unpacked.expect("it is unpacked").files, 2);
    let copy = into.path().join("m/current.bin");
    assert!(copy.symlink_metadata().expect("a file").is_file());
    assert_eq!(fs::read_to_string(copy).expect("a file"), "1234");
    for (target, name) in [("../secret", "out"), ("sub", "folder"), ("nothing", "gone")] {
        let link = inside.join(name);
        symlink(target, &link).expect("a link");
        let fault = pack(&inside, std::io::sink()).expect_err("it is refused").to_string();
        assert!(fault.starts_with(&format!("{name}: it is a link")), "{fault}");
        fs::remove_file(link).expect("it goes");
    }
}

#[test]
fn what_lies_elsewhere_or_is_no_plain_file_is_refused() {
    for (names, why) in [
        (&["../x"][..], "leads out of the folder"),
        (&["a/../../x"], "leads out of the folder"),
        (&["/etc/x"], "an absolute path"),
        (&["a\nb"], "control characters"),
        (&["a", "a"], "a is there twice"),
        (&["a", "./a"], "a is there twice"),
        (&["Model.toml", "model.TOML"], "differ only in case"),
        (&["Data/a", "data/b"], "differ only in case"),
        (&["a", "a/b"], "a is a file and a folder"),
        (&["a/b", "a"], "a is a file and a folder"),
        (&[], "there is no file in it"),
        (&[".hidden", "__pycache__/x"], "there is no file in it"),
        (&[&"d/".repeat(40)[..], "x"], "too deep"),
    ] {
        let said = refused(&files(names), MOST);
        assert!(said.contains(why), "{names:?}: {said}");
    }
    for (kind, why) in [
        (EntryType::Symlink, "is a link"),
        (EntryType::Link, "is a link"),
        (EntryType::Char, "neither a file nor a folder"),
        (EntryType::Block, "neither a file nor a folder"),
        (EntryType::Fifo, "neither a file nor a folder"),
        (EntryType::GNUSparse, "neither a file nor a folder"),
    ] {
        let mut archive = Builder::new(Vec::new());
        let mut header = entry("node", kind, 0);
        header.set_link_name("/etc/passwd").expect("a target");
        header.set_cksum();
        archive.append(&header, std::io::empty()).expect("an entry");
        let said = refused(&gzip(&archive.into_inner().expect("bytes")), MOST);
        assert!(said.contains(why), "{kind:?}: {said}");
    }
    let mut archive = Builder::new(Vec::new());
    let long = b"17 path=../../x\n\0";
    archive.append(&entry("pax", EntryType::XHeader, 16), &long[..16]).expect("an entry");
    archive.append(&entry("x", EntryType::Regular, 1), &b"x"[..]).expect("a file");
    let said = refused(&gzip(&archive.into_inner().expect("bytes")), MOST);
    assert!(said.contains("leads out of the folder") || said.contains("no tar.gz"), "{said}");
}

#[test]
fn a_long_name_of_pax_is_read_and_may_not_lead_out() {
    for (name, good) in [("a/b.txt", true), ("../../b.txt", false)] {
        let record = |length: usize| format!("{length} path={name}\n");
        let length = (1..99).find(|length| record(*length).len() == *length).expect("a length");
        let record = record(length);
        let mut archive = Builder::new(Vec::new());
        let header = entry("pax", EntryType::XHeader, length as u64);
        archive.append(&header, record.as_bytes()).expect("an entry");
        archive.append(&entry("x", EntryType::Regular, 1), &b"x"[..]).expect("a file");
        let archive = gzip(&archive.into_inner().expect("bytes"));
        if good {
            let (dir, unpacked) = unpacked(&archive, MOST);
            unpacked.expect("it is unpacked");
            assert!(dir.path().join("m/a/b.txt").is_file());
        } else {
            assert!(refused(&archive, MOST).contains("leads out of the folder"));
        }
    }
}

#[test]
fn what_is_too_much_is_refused_before_it_is_on_disk() {
    let names: Vec<String> = (0..100_000).map(|n| format!("f{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let most = Most { files: 10_000, ..MOST };
    assert!(refused(&files(&names), most).contains("more than 10000 files"));
    // A bomb: 1 GiB of nothing in about a megabyte, said to be so, or not.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let header = entry("bomb", EntryType::Regular, 1 << 30);
    gzip.write_all(header.as_bytes()).expect("bytes");
    for _ in 0..1024 {
        gzip.write_all(&[0; 1 << 20]).expect("bytes");
    }
    let bomb = gzip.finish().expect("bytes");
    assert!(bomb.len() < 2 << 20);
    let (dir, result) = unpacked(&bomb, MOST);
    assert!(
        matches!(&result, Err(ArchiveError::Bad(why)) if why.contains("more than 1048576 bytes"))
    );
    assert!(!dir.path().join("m/bomb").exists());
    // What says more of a file is held in memory.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(entry("long", EntryType::GNULongName, 1 << 30).as_bytes()).expect("bytes");
    gzip.write_all(&[b'a'; 1 << 20]).expect("bytes");
    assert!(refused(&gzip.finish().expect("bytes"), MOST).contains("too long"));
}

#[test]
fn an_archive_that_is_not_whole_is_refused() {
    let whole = files(&["model.toml", "predict.py"]);
    for cut in [1, 20, whole.len() / 2, whole.len() - 1] {
        assert!(refused(&whole[..cut], MOST).contains("no tar.gz that is whole"), "{cut}");
    }
    let mut damaged = whole.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    assert!(refused(&damaged, MOST).contains("no tar.gz that is whole"));
    assert!(refused(b"no archive at all, but a text", MOST).contains("no tar.gz that is whole"));
    let behind = [&files(&["a"])[..], &gzip(&vec![0; 2 << 20])].concat();
    assert!(refused(&behind, MOST).contains("something stands behind its end"));
}

#[test]
fn a_description_that_is_too_long_is_not_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = File::create(dir.path().join("model.toml")).expect("a file");
    file.set_len(1 << 33).expect("its length");
    let faults = folder::read(dir.path()).expect_err("it is refused");
    assert!(faults[0].to_string().contains("at most 8388608 are read"), "{faults:?}");
}
