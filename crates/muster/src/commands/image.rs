//! `muster model image`: a model folder as a container image, which a hub on a cluster runs as pods.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use muster_core::image;
use muster_model_server::Kind;
use muster_model_server::folder::archive::{self, Most};
use muster_model_server::folder::{self, Folder};
use serde_json::json;

use crate::arguments::ImageFolder;
use crate::config::Environment;
use crate::failure::{Failure, io_failure};
use crate::table;

/// Programs that build images, as they are looked for.
const BUILDERS: [&str; 3] = ["buildah", "podman", "docker"];
/// Where it listens; who is not root may.
const PORT: u16 = 8080;
/// Nobody's number, as images without a root have it.
const USER: u32 = 65_532;

pub fn image(arguments: &ImageFolder, environment: &Environment) -> Result<(), Failure> {
    let folder = folder::read(&arguments.dir).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| format!("fault: {fault}")).collect();
        Failure::usage(faults.join("\n")).advice("See `muster model check`.")
    })?;
    if matches!(folder.kind, Kind::Http { .. }) {
        let what = "this folder is a server elsewhere; there is nothing to put into an image";
        return Err(Failure::usage(what));
    }
    for (what, name) in [("--base", Some(&arguments.base)), ("--tag", arguments.tag.as_ref())] {
        let checked = name.map_or(Ok(()), |name| image::check(name));
        checked.map_err(|why| Failure::usage(format!("{what} is no name of an image: {why}")))?;
    }
    let builder = match (arguments.build, &arguments.tag) {
        (false, _) => None,
        (true, None) => return Err(Failure::usage("--build needs --tag, the image's name")),
        (true, Some(tag)) => Some((find(arguments, environment)?, tag)),
    };
    let id = folder.model.id.as_str();
    let into = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{id}-image")));
    write(&folder, &into, arguments)?;
    for note in &folder.notes {
        table::print(&format!("note: {note}"))?;
    }
    let shown = into.display();
    table::print(&format!("{shown}/Containerfile and its context are written"))?;
    match builder {
        Some((builder, tag)) => build(&builder, &into, tag)?,
        None => {
            let tag = arguments.tag.as_deref().unwrap_or("NAME:TAG");
            table::print(&format!("Build it:\n  buildah build --tag {tag} {shown}"))?;
        }
    }
    if arguments.tag.is_some() {
        table::print(&format!(
            "When the cluster can have it:\n  muster models add {shown}/model.json"
        ))?;
    }
    Ok(())
}

fn write(folder: &Folder, into: &Path, arguments: &ImageFolder) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::failed(format!("{} cannot be written: {error}", into.display()))
    };
    if into.read_dir().is_ok_and(|mut all| all.next().is_some()) {
        let what = format!("{} is there already, and is not empty", into.display());
        return Err(Failure::usage(what).advice("Name another folder with --output."));
    }
    let model = into.join("model");
    fs::create_dir_all(&model).map_err(failed)?;
    // As it would be pushed: what does not count is left out, links are followed.
    let packed = tempfile::NamedTempFile::new().map_err(failed)?;
    let archive = File::create(packed.path()).map_err(failed)?;
    archive::pack(&folder.dir, archive)
        .map_err(|fault| Failure::usage(format!("fault: {fault}")))?;
    let most = Most { files: u64::MAX, bytes: u64::MAX };
    let unpacked = archive::unpack(File::open(packed.path()).map_err(failed)?, &model, most);
    unpacked.map_err(|error| Failure::usage(format!("fault: {error}")))?;
    let program = match &arguments.muster {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(io_failure("the path of this program"))?,
    };
    fs::copy(&program, into.join("muster")).map_err(|error| {
        Failure::usage(format!("{} cannot be copied: {error}", program.display()))
    })?;
    let id = folder.model.id.as_str();
    fs::write(into.join("Containerfile"), containerfile(&arguments.base, id)).map_err(failed)?;
    if let Some(tag) = &arguments.tag {
        let description = format!("{:#}\n", description(folder, tag));
        fs::write(into.join("model.json"), description).map_err(failed)?;
    }
    Ok(())
}

/// The image prepares its environment when it is built, and needs neither root nor a place to write but `/tmp`.
fn containerfile(base: &str, id: &str) -> String {
    let words = |words: &[&str]| json!(words).to_string();
    let (program, model) = ("/usr/local/bin/muster", format!("/models/{id}"));
    // Whoever builds the image builds it inside a container: that is the wall.
    let prepare =
        [program, "model", "prepare", &model, "--environments", "/environments", "--no-walls"];
    let listen = format!("0.0.0.0:{PORT}");
    let serve =
        [program, "model-server", &model, "--listen", &listen, "--environments", "/environments"];
    format!(
        "FROM {base}\n\
         COPY muster {program}\n\
         COPY model {model}\n\
         RUN {}\n\
         ENV HOME=/tmp\n\
         USER {USER}:{USER}\n\
         EXPOSE {PORT}\n\
         ENTRYPOINT {}\n",
        words(&prepare),
        words(&serve)
    )
}

/// What `muster models add` takes.
fn description(folder: &Folder, tag: &str) -> serde_json::Value {
    let model = &folder.model;
    json!({
        "id": model.id,
        "image": tag,
        "port": PORT,
        "version": model.version,
        "card": model.card,
        "input": model.input,
        "outputs": model.outputs,
        "example": model.example,
        "limits": model.limits,
        "resources": model.resources,
        "cache": model.cache,
    })
}

/// The program that builds: the one that was named, or the first that is there.
fn find(arguments: &ImageFolder, environment: &Environment) -> Result<PathBuf, Failure> {
    let path = environment.get("PATH").unwrap_or_default();
    let there = |name: &str| {
        std::env::split_paths(path).map(|dir| dir.join(name)).find(|program| program.is_file())
    };
    match &arguments.builder {
        Some(name) if name.contains('/') => Ok(name.into()),
        Some(name) => {
            there(name).ok_or_else(|| Failure::usage(format!("there is no {name} on the PATH")))
        }
        None => BUILDERS.into_iter().find_map(there).ok_or_else(|| {
            let what = format!("there is none of {} on the PATH", BUILDERS.join(", "));
            Failure::usage(what)
                .advice("Leave --build out: what is written can be built elsewhere.")
        }),
    }
}

fn build(builder: &Path, context: &Path, tag: &str) -> Result<(), Failure> {
    let mut command = Command::new(builder);
    command.args(["build", "--tag", tag, "--file"]).arg(context.join("Containerfile")).arg(context);
    let name = builder.display();
    let status = command.stdin(Stdio::null()).status();
    let status =
        status.map_err(|error| Failure::failed(format!("{name} cannot be started: {error}")))?;
    if status.success() {
        return table::print(&format!("{tag} is built"));
    }
    let advice = format!("What it said stands above. The context stays in {}.", context.display());
    Err(Failure::failed(format!("{name} did not build it ({status})")).advice(advice))
}
