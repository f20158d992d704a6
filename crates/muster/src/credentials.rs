//! The person's tokens, one a hub, in a file that only they can read.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `credentials.json` in the person's folder.
pub struct Credentials {
    dir: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct Tokens {
    /// By the hub's URL.
    hubs: BTreeMap<String, Token>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    token: String,
}

/// Keeps other commands from writing at the same time.
pub struct Locked<'c> {
    credentials: &'c Credentials,
    _lock: File,
}

impl Credentials {
    pub fn in_dir(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub fn token(&self, hub: &str) -> io::Result<Option<String>> {
        Ok(self.read()?.hubs.remove(hub).map(|token| token.token))
    }

    /// Waits until no other command writes.
    pub fn lock(&self) -> io::Result<Locked<'_>> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let lock = File::create(self.dir.join("credentials.lock"))?;
        lock.lock()?;
        Ok(Locked { credentials: self, _lock: lock })
    }

    fn read(&self) -> io::Result<Tokens> {
        match fs::read(self.dir.join("credentials.json")) {
            // A file that cannot be understood is replaced: there is nothing to save in it.
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tokens::default()),
            Err(error) => Err(error),
        }
    }
}

impl Locked<'_> {
    pub fn token(&self, hub: &str) -> io::Result<Option<String>> {
        self.credentials.token(hub)
    }

    pub fn keep(&self, hub: &str, token: &str) -> io::Result<()> {
        let mut tokens = self.credentials.read()?;
        tokens.hubs.insert(hub.to_owned(), Token { token: token.to_owned() });
        let dir = &self.credentials.dir;
        let new = dir.join("credentials.json.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(&tokens)?)?;
        fs::rename(new, dir.join("credentials.json"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn tokens_are_kept_for_each_hub_and_only_their_owner_can_read_them() {
        let root = tempfile::tempdir().expect("a folder");
        let credentials = Credentials::in_dir(root.path().join("muster"));
        assert_eq!(credentials.token("http://a").expect("no file is fine"), None);
        let locked = credentials.lock().expect("a lock");
        locked.keep("http://a", "one").expect("it is kept");
        locked.keep("http://b", "two").expect("it is kept");
        locked.keep("http://a", "three").expect("it is kept");
        assert_eq!(credentials.token("http://a").expect("a file").as_deref(), Some("three"));
        assert_eq!(credentials.token("http://b").expect("a file").as_deref(), Some("two"));
        let file = fs::metadata(root.path().join("muster/credentials.json")).expect("a file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}
