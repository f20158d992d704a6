//! The echo model's log: every input that it was sent, and when it answered.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::{Result, clock};

pub struct RowLog {
    file: Option<Mutex<File>>,
    instance: String,
}

impl RowLog {
    /// Without a path nothing is written.
    pub fn append_to(path: Option<&Path>) -> Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        let file = path.map(open).transpose()?.map(Mutex::new);
        Ok(Self { file, instance: format!("echo-{}", std::process::id()) })
    }

    /// `inputs` is the JSON array that was sent.
    pub fn begin(&self, call: u64, inputs: &[u8]) -> Result<()> {
        let line = |t, instance: &str| {
            let head = format!(r#"{{"t":{t},"instance":"{instance}","call":{call},"begin":"#);
            [head.as_bytes(), inputs, b"}\n"].concat()
        };
        self.write(line)
    }

    pub fn end(&self, call: u64) -> Result<()> {
        let line = |t, instance: &str| {
            format!("{{\"t\":{t},\"instance\":\"{instance}\",\"call\":{call},\"end\":true}}\n")
                .into_bytes()
        };
        self.write(line)
    }

    fn write(&self, line: impl Fn(u64, &str) -> Vec<u8>) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let line = line(clock::micros(), &self.instance);
        file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)?;
        Ok(())
    }
}
