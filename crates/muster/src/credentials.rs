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

/// A session at a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub token: String,
    /// The user name; absent for an anonymous session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
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

    pub fn token(&self, hub: &str) -> io::Result<Option<Token>> {
        Ok(self.read()?.hubs.remove(hub))
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
    pub fn token(&self, hub: &str) -> io::Result<Option<Token>> {
        self.credentials.token(hub)
    }

    /// Keeps a token for a hub, or none.
    pub fn keep(&self, hub: &str, token: Option<Token>) -> io::Result<()> {
        let mut tokens = self.credentials.read()?;
        match token {
            Some(token) => drop(tokens.hubs.insert(hub.to_owned(), token)),
            None => drop(tokens.hubs.remove(hub)),
        }
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
        let token = |text: &str, name: Option<&str>| {
            Some(Token { token: text.into(), name: name.map(str::to_owned) })
        };
        locked.keep("http://a", token("one", None)).expect("it is kept");
        locked.keep("http://b", token("two", None)).expect("it is kept");
        locked.keep("http://a", token("three", Some("ada"))).expect("it is kept");
        assert_eq!(credentials.token("http://a").expect("a file"), token("three", Some("ada")));
        assert_eq!(credentials.token("http://b").expect("a file"), token("two", None));
        locked.keep("http://b", None).expect("it is forgotten");
        assert_eq!(credentials.token("http://b").expect("a file"), None);
        let file = fs::metadata(root.path().join("muster/credentials.json")).expect("a file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}
