//! Volumes are folders of this machine. Nothing is mounted where a container wants it: an argument or a variable of the
//! pod that begins with the place of a mount means its folder.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::Value;

use super::super::{shapes::Container, text};
use super::Shared;
use crate::Resource;

/// Where a container wants it, and where it is.
pub type Mounted = (String, PathBuf);

/// The error is what the kubelet says of the pod.
pub fn mount(
    shared: &Shared,
    (namespace, dir): (&str, &Path),
    volumes: &[Value],
    container: &Container,
) -> Result<Vec<Mounted>, String> {
    let mut mounted = Vec::new();
    for mount in &container.volume_mounts {
        let named = |volume: &&Value| volume["name"] == mount.name.as_str();
        let Some(volume) = volumes.iter().find(named) else {
            return Err(format!("there is no volume {:?}", mount.name));
        };
        let claim = text(volume, "/persistentVolumeClaim/claimName");
        let folder = match claim {
            "" => dir.join("volumes").join(&mount.name),
            claim => shared.scratch.path().join("claims").join(namespace).join(claim),
        };
        // Only that of its folders, which is made.
        let folder = match mount.sub_path.as_deref() {
            Some(path) => folder.join(path),
            None => folder,
        };
        let failed = |error: io::Error| {
            format!("MountVolume.SetUp failed for volume {:?}: {error}", mount.name)
        };
        fs::create_dir_all(&folder).map_err(failed)?;
        for (of, kind, name) in [
            (Resource::config_maps(), "configmap", text(volume, "/configMap/name")),
            (Resource::secrets(), "secret", text(volume, "/secret/secretName")),
        ] {
            if name.is_empty() {
                continue;
            }
            let Some(found) = shared.objects.get(&of, Some(namespace), name) else {
                return Err(format!(
                    "MountVolume.SetUp failed for volume {:?} : {kind} {name:?} not found",
                    mount.name
                ));
            };
            for (file, content) in found["data"].as_object().into_iter().flatten() {
                let content = content.as_str().unwrap_or_default();
                let bytes = match kind {
                    "secret" => base64::engine::general_purpose::STANDARD
                        .decode(content)
                        .unwrap_or_default(),
                    _ => content.as_bytes().to_vec(),
                };
                put(&folder.join(file), &bytes).map_err(failed)?;
            }
        }
        mounted.push((mount.mount_path.trim_end_matches('/').to_owned(), folder));
    }
    // The longest first: one may lie within another.
    mounted.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    Ok(mounted)
}

/// As a kubelet does it: who reads meanwhile has the old file or the new one, whole.
fn put(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(file).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let dir = file.parent().unwrap_or(file);
    let mut beside = tempfile::Builder::new().prefix("..").tempfile_in(dir)?;
    beside.write_all(bytes)?;
    beside.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    beside.persist(file)?;
    Ok(())
}

/// What a path within a mount is on this machine.
pub fn place(mounted: &[Mounted], value: &str) -> String {
    for (path, folder) in mounted {
        if let Some(rest) = value.strip_prefix(path.as_str())
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return format!("{}{rest}", folder.display());
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_a_file_while_it_is_written_anew_reads_it_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("models.yaml");
        let texts = ["a", "b"].map(|text| text.repeat(1 << 20).into_bytes());
        put(&file, &texts[0]).expect("it is written");
        std::thread::scope(|scope| {
            let writes = scope.spawn(|| {
                for at in 1..=200 {
                    put(&file, &texts[at % 2]).expect("it is written");
                }
            });
            while !writes.is_finished() {
                let read = fs::read(&file).expect("it is there");
                assert!(texts.contains(&read), "{} bytes of it", read.len());
            }
        });
        let names = fs::read_dir(dir.path()).expect("a folder");
        assert_eq!(names.count(), 1, "nothing is left beside it");
    }

    #[test]
    fn paths_within_mounts_are_those_of_their_folders() {
        let mounted = [("/data".to_owned(), PathBuf::from("/x/1"))];
        for (value, expected) in [
            ("/data", "/x/1"),
            ("/data/a", "/x/1/a"),
            ("/database", "/database"),
            ("a=/data", "a=/data"),
        ] {
            assert_eq!(place(&mounted, value), expected);
        }
    }
}
