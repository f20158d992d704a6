//! What lies in a folder and is not what it seems.

use std::fs;
use std::path::Path;

use super::{Note, Snapshot};

const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";
/// A pointer is a few lines.
const POINTER_BYTES: u64 = 1 << 10;
const SCRIPT_BYTES: u64 = 1 << 20;
/// Most files of one kind that are named.
const NAMED: usize = 5;

pub(super) fn notes(dir: &Path, snapshot: &Snapshot) -> Vec<Note> {
    let named_as = |is_so: fn(&Path) -> bool| {
        let files = snapshot.files().filter(|file| is_so(&dir.join(file)));
        files.map(|file| file.display().to_string()).collect()
    };
    let pointers = named_as(is_pointer);
    let pointers = named(pointers, |file, more| {
        let what = "it is a Git LFS pointer, not the file itself; run `git lfs pull` in the folder";
        Note::missing(file, format!("{what}{more}"))
    });
    let scripts = named_as(has_windows_marks);
    let scripts = named(scripts, |file, more| {
        let what = "it has Windows line ends or a byte order mark; it is run without them if it is \
                    the model's command, else run `sed -i 's/\\r$//; 1s/^\\xef\\xbb\\xbf//'` on it";
        Note::missing(file, format!("{what}{more}"))
    });
    pointers.into_iter().chain(scripts).collect()
}

/// The first files, the last of them with how many more there are.
fn named(files: Vec<String>, note: impl Fn(String, String) -> Note) -> Vec<Note> {
    let left = files.len().saturating_sub(NAMED);
    let last = files.len().min(NAMED);
    let more = |n: usize| match left {
        1.. if n + 1 == last => format!(" (and {left} more)"),
        _ => String::new(),
    };
    files.into_iter().take(NAMED).enumerate().map(|(n, file)| note(file, more(n))).collect()
}

fn is_pointer(file: &Path) -> bool {
    let small = file.metadata().is_ok_and(|file| file.len() <= POINTER_BYTES);
    small && fs::read(file).is_ok_and(|bytes| bytes.starts_with(POINTER))
}

fn has_windows_marks(file: &Path) -> bool {
    let named = file.extension().is_some_and(|extension| extension == "sh");
    let small = file.metadata().is_ok_and(|file| file.len() <= SCRIPT_BYTES);
    if !small || !(named || file.extension().is_none()) {
        return false;
    }
    let Ok(bytes) = fs::read(file) else { return false };
    let script = named || bytes.starts_with(b"#!") || bytes.starts_with(b"\xef\xbb\xbf#!");
    script && script_text(&bytes).is_some()
}

/// The text of a shell script without Windows line ends and byte order mark, if it has any.
pub(crate) fn script_text(bytes: &[u8]) -> Option<String> {
    let marked = bytes.starts_with(b"\xef\xbb\xbf") || bytes.windows(2).any(|two| two == b"\r\n");
    let text = String::from_utf8_lossy(bytes);
    marked.then(|| text.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}
