//! Links by which the pod of an instance fetches the archive of its model's folder: signed by the hub, for one
//! archive, one instance, and a while.

use std::fmt;
use std::sync::Arc;

use muster_core::{InstanceId, Timestamp};
use sha2::{Digest, Sha256};

/// Bytes that SHA-256 takes at a time.
const BLOCK: usize = 64;

/// Signs them with a key that all hubs on a database have.
#[derive(Clone)]
pub struct FolderLinks(Arc<[u8]>);

impl FolderLinks {
    pub fn new(key: Vec<u8>) -> Self {
        Self(key.into())
    }

    /// Where the archive is below the hub's address, until then.
    pub fn link(&self, content: &str, instance: InstanceId, until: Timestamp) -> String {
        let until = until.0 / 1_000_000;
        let signature = self.sign(content, instance, until);
        let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
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
        let ours = self.sign(content, instance, until);
        let digit = |at: usize| u8::from_str_radix(signature.get(at..at + 2)?, 16).ok();
        let given: Option<Vec<u8>> = (0..signature.len()).step_by(2).map(digit).collect();
        let Some(given) = given.filter(|given| given.len() == ours.len()) else { return false };
        // All of it, wherever it differs first: how long this takes says nothing.
        let differs = ours.iter().zip(&given).fold(0, |differs, (a, b)| differs | (a ^ b));
        differs == 0 && now.0 / 1_000_000 <= until
    }

    fn sign(&self, content: &str, instance: InstanceId, until: i64) -> [u8; 32] {
        hmac(&self.0, format!("folder {content} {instance} {until}").as_bytes())
    }
}

impl fmt::Debug for FolderLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FolderLinks")
    }
}

/// HMAC (RFC 2104) with SHA-256.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    let hashed = Sha256::digest(key);
    let key = if key.len() > BLOCK { &hashed[..] } else { key };
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use muster_core::InstanceId;
    use uuid::Uuid;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Cases 2 and 6 of RFC 4231: a short key, and one that is longer than a block.
    #[test]
    fn it_is_the_hmac_of_the_standard() {
        let short = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&short), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn a_link_is_for_one_archive_one_instance_and_a_while() {
        let links = FolderLinks::new(vec![7; 32]);
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
        let others = FolderLinks::new(vec![8; 32]);
        assert!(!others.holds(("abc", id(1)), 100, signature, at(0)));
    }
}
