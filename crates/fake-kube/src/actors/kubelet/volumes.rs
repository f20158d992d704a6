//! Volumes are folders of this machine. Nothing is mounted where a container wants it: an argument or a variable of the
//! pod that begins with the place of a mount means its folder.

use std::fs;
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
        let failed = |error: std::io::Error| {
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
                fs::write(folder.join(file), bytes).map_err(failed)?;
            }
        }
        mounted.push((mount.mount_path.trim_end_matches('/').to_owned(), folder));
    }
    // The longest first: one may lie within another.
    mounted.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    Ok(mounted)
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
