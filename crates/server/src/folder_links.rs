//! Links by which the pod of an instance fetches the archive of its model's folder: signed by the hub, for one
//! archive, one instance, and a while.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use muster_core::hex::hex;
use muster_core::{InstanceId, Timestamp};
use sha2::Sha256;

/// Signs them with a key that all hubs on a database have.
#[derive(Clone)]
pub struct FolderLinks(Hmac<Sha256>);

impl FolderLinks {
    /// `None`: such a key cannot be used.
    pub fn new(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// Where the archive is below the hub's address, until then.
    pub fn link(&self, content: &str, instance: InstanceId, until: Timestamp) -> String {
        let until = until.0 / 1_000_000;
        let signature = self.sign(content, instance, until).finalize().into_bytes();
        let signature = hex(&signature);
        format!("/api/v1/folders/{content}?instance={instance}&until={until}&signature={signature}")
    }

    /// Is it a link of this hub that holds now?
    pub(crate) fn holds(
        &self,
        (content, instance): (&str, InstanceId),
        until: i64,
        signature: &str,
        now: Timestamp,
    ) -> bool {
        let digit = |at: usize| u8::from_str_radix(signature.get(at..at + 2)?, 16).ok();
        let given: Option<Vec<u8>> = (0..signature.len()).step_by(2).map(digit).collect();
        let is_ours = |given: Vec<u8>| {
            // It takes the same time wherever the two differ.
            self.sign(content, instance, until).verify_slice(&given).is_ok()
        };
        given.is_some_and(is_ours) && now.0 / 1_000_000 <= until
    }

    fn sign(&self, content: &str, instance: InstanceId, until: i64) -> Hmac<Sha256> {
        self.0.clone().chain_update(format!("folder {content} {instance} {until}"))
    }
}

impl fmt::Debug for FolderLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FolderLinks")
    }
}

#[cfg(test)]
mod tests {
    use muster_core::InstanceId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_link_is_for_one_archive_one_instance_and_a_while() {
        let links = FolderLinks::new(&[7; 32]).expect("a key");
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let id = |n| InstanceId(Uuid::from_u128(n));
        let link = links.link("abc", id(1), at(100));
        let signature = link.rsplit_once('=').expect("a signature").1;
        assert!(link.starts_with("/api/v1/folders/abc?instance="), "{link}");
        assert!(links.holds(("abc", id(1)), 100, signature, at(100)));
        for (content, instance, until, now) in
            [("abc", 1, 100, 101), ("abc", 1, 101, 100), ("abd", 1, 100, 100), ("abc", 2, 100, 100)]
        {
            assert!(!links.holds((content, id(instance)), until, signature, at(now)), "{content}");
        }
        for wrong in ["", "00", "zz", &signature[1..], &signature[2..], &format!("{signature}00")] {
            assert!(!links.holds(("abc", id(1)), 100, wrong, at(0)), "{wrong}");
        }
        let others = FolderLinks::new(&[8; 32]).expect("a key");
        assert!(!others.holds(("abc", id(1)), 100, signature, at(0)));
    }
}
