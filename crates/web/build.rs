//! Lists the files of `web/dist`, or of the folder that `MUSTER_WEB_DIST` names. Never builds them:
//! `make web` does, before cargo.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs, io};

/// Checked in, so that cargo has a folder to watch before the app is built.
const KEEP: &str = ".gitignore";

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from)
}

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-env-changed=MUSTER_WEB_DIST");
    let root = variable("CARGO_MANIFEST_DIR").unwrap_or_default();
    let web = root.join("../../web");
    let given = variable("MUSTER_WEB_DIST");
    let dist = given.clone().unwrap_or_else(|| web.join("dist"));
    println!("cargo:rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    if dist.is_dir() {
        list(&dist.canonicalize()?, &mut files)?;
    }
    files.sort();
    if given.is_none() {
        warn_if_stale(&web, &files)?;
    }
    let mut list = String::from("&[\n");
    let dist = dist.canonicalize().unwrap_or(dist);
    for file in &files {
        let name = file.strip_prefix(&dist).unwrap_or(file).to_string_lossy().replace('\\', "/");
        let path = file.to_string_lossy();
        writeln!(list, "    ({name:?}, include_bytes!({path:?}).as_slice()),")
            .map_err(io::Error::other)?;
    }
    list.push_str("]\n");
    let out = variable("OUT_DIR").unwrap_or_default().join("files.rs");
    fs::write(out, list)
}

/// All files below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.file_name().is_some_and(|name| name != KEEP) {
            files.push(path);
        }
    }
    Ok(())
}

/// The binary would show another app than the sources describe.
fn warn_if_stale(web: &Path, built: &[PathBuf]) -> io::Result<()> {
    let mut sources = Vec::new();
    for folder in ["src", "public"] {
        let folder = web.join(folder);
        println!("cargo:rerun-if-changed={}", folder.display());
        if folder.is_dir() {
            list(&folder, &mut sources)?;
        }
    }
    let newest = |files: &[PathBuf]| -> io::Result<Option<SystemTime>> {
        let mut newest = None;
        for file in files {
            newest = newest.max(Some(fs::metadata(file)?.modified()?));
        }
        Ok(newest)
    };
    let (sources, built) = (newest(&sources)?, newest(built)?);
    if built.is_none() {
        println!(
            "cargo:warning=the web app is not built: `make web` first puts it into the binary"
        );
    } else if sources > built {
        println!("cargo:warning=web/dist is older than its sources: `make web` builds it anew");
    }
    Ok(())
}
