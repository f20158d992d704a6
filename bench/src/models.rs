//! Model folders for the cases, written anew for each run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Result;

/// Answers each input with itself, like `muster-bench echo`, in a Python process kept warm.
const PREDICT: &str = r#"import itertools, json, os, time

PAUSE = @PAUSE@
LOG = @LOG@
calls = itertools.count(1)
log = os.open(LOG, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644) if LOG else None


def note(**line):
    if log is not None:
        line = {"t": time.time_ns() // 1000, "instance": "python-%d-%s" % (os.getpid(), BORN), **line}
        os.write(log, (json.dumps(line) + "\n").encode())


def predict(inputs):
    call = next(calls)
    note(call=call, begin=inputs)
    if PAUSE:
        time.sleep(PAUSE)
    rows = [{"echo": text} for text in inputs]
    note(call=call, end=True)
    return rows


# Process numbers are those of a namespace: the time tells instances apart.
BORN = time.time_ns()
note(call=0, ready=True)
"#;

/// A Python model.
pub struct Python<'m> {
    pub name: &'m str,
    /// How long each call takes, milliseconds, without computing.
    pub pause: u64,
    pub batch: u32,
    pub min_instances: u32,
    pub max_instances: u32,
    pub idle_seconds: u32,
    pub log: Option<&'m Path>,
}

impl Default for Python<'_> {
    fn default() -> Self {
        Self {
            name: "trivial",
            pause: 0,
            batch: 1000,
            min_instances: 1,
            max_instances: 1,
            idle_seconds: 3600,
            log: None,
        }
    }
}

const ECHO: &str = "version = \"1\"\ncache = false\nexample = [\"a\"]\n\
     [[outputs]]\nname = \"echo\"\nkind = \"string\"\n";

pub fn python(models: &Path, model: &Python<'_>) -> Result<()> {
    let folder = folder(models, model.name)?;
    let log = match model.log {
        Some(path) => {
            // It is there before the model is, which may only write to it.
            fs::write(path, "")?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
            serde_json::to_string(path)?
        }
        None => "None".to_owned(),
    };
    let pause = format!("{}", model.pause as f64 / 1000.0);
    fs::write(
        folder.join("predict.py"),
        PREDICT.replace("@PAUSE@", &pause).replace("@LOG@", &log),
    )?;
    let Python { batch, min_instances, max_instances, idle_seconds, .. } = model;
    let text = format!(
        "kind = \"python\"\n{ECHO}[limits]\nbatch_size = {batch}\nmin_instances = {min_instances}\n\
         max_instances = {max_instances}\nidle_seconds = {idle_seconds}\n"
    );
    fs::write(folder.join("model.toml"), text)?;
    Ok(())
}

/// A model that is served at `url`.
pub fn http(models: &Path, name: &str, url: &str, batch: u32) -> Result<()> {
    let folder = folder(models, name)?;
    let text = format!(
        "kind = \"http\"\nurl = \"{url}\"\n{ECHO}[limits]\nbatch_size = {batch}\nmin_instances = 1\n\
         idle_seconds = 3600\n"
    );
    fs::write(folder.join("model.toml"), text)?;
    Ok(())
}

/// A copy of one of the sample models with one instance that stays.
pub fn sample(models: &Path, from: &Path, name: &str) -> Result<PathBuf> {
    let folder = folder(models, name)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
    }
    let file = folder.join("model.toml");
    let text = fs::read_to_string(&file)?;
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("max_instances")).collect();
    let text =
        text.join("\n").replace("[limits]", "[limits]\nmin_instances = 1\nmax_instances = 1");
    fs::write(file, text)?;
    Ok(folder)
}

fn folder(models: &Path, name: &str) -> Result<PathBuf> {
    let folder = models.join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
