//! From a program's words to what the walls may have to do with them.

use crate::Sandbox;

/// How programs say that there is no network.
const NETWORK: [&str; 9] = [
    "network is unreachable",
    "temporary failure in name resolution",
    "name or service not known",
    "could not resolve host",
    "failed to resolve",
    "nameresolutionerror",
    "getaddrinfo",
    "max retries exceeded with url",
    "urlopen error",
];
/// How they say that a file may not be written or is not there.
const FILES: [&str; 3] =
    ["read-only file system", "permission denied", "no such file or directory"];

pub(crate) fn advice(sandbox: &Sandbox, text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    // Landlock refuses a connection like a file.
    let refused = says(&["permission denied"]) && says(&["connect", "http", "socket"]);
    if !sandbox.network && (says(&NETWORK) || refused) {
        return Some(
            "This model runs without a network: its model.toml, or an administrator, can give it \
             one with network = \"all\"."
                .to_owned(),
        );
    }
    if !says(&FILES) || !names_a_path_outside(sandbox, &text) {
        return None;
    }
    Some(
        "Inside its walls a model reads its own folder, its environment and the system, and writes \
         only into its scratch folder (TMPDIR and HOME). The hub's settings model_reads and \
         model_writes open more."
            .to_owned(),
    )
}

/// An absolute path in quotes or behind a space that is neither scratch nor of the model.
fn names_a_path_outside(sandbox: &Sandbox, text: &str) -> bool {
    let starts = text.match_indices('/').filter(|(at, _)| {
        text[..*at].chars().next_back().is_none_or(|before| " '\"([=:".contains(before))
    });
    let scratch = sandbox.scratch.to_string_lossy().to_lowercase();
    starts.map(|(at, _)| &text[at..]).any(|path| !path.starts_with(scratch.as_str()))
        || text.contains("read-only")
        || text.contains("permission denied")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_walls_refused_is_named() {
        let sandbox = Sandbox { scratch: "/data/scratch/1".into(), ..Sandbox::default() };
        let says = |text: &str| sandbox.advice(text).unwrap_or_default();
        for text in [
            "OSError: [Errno 101] Network is unreachable",
            "URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
            "PermissionError: [Errno 13] Permission denied in connect",
        ] {
            assert!(says(text).contains("without a network"), "{text}");
        }
        for text in [
            "PermissionError: [Errno 13] Permission denied: '/models/x/cache'",
            "OSError: [Errno 30] Read-only file system: 'notes.txt'",
            "FileNotFoundError: [Errno 2] No such file or directory: '/srv/weights.bin'",
        ] {
            assert!(says(text).contains("only into its scratch folder"), "{text}");
        }
        let own = "No such file or directory: '/data/scratch/1/out'";
        for text in ["ValueError: no molecule", "No such file or directory: 'x'", own] {
            assert_eq!(says(text), "", "{text}");
        }
        let open = Sandbox { network: true, ..sandbox };
        assert_eq!(open.advice("Network is unreachable"), None);
    }
}
