//! Descriptions of models as they are sent.

use std::num::NonZeroU16;

use axum::extract::Request;
use muster_core::image;
use muster_core::model::{Card, InputColumn, ModelLimits, Network, PodSettings, merge};
use muster_core::pointer::escaped;
use muster_core::{Column, Model, ModelId, Resources, Source};
use muster_store::{Entry, Owner};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::url;
use crate::app::App;
use crate::http::problem::{At, Kind, Problem};
use crate::identity::ModelEditor;
use crate::origin;
use crate::reading::open_json;

const MOST_BYTES: u64 = 256 << 10;

/// What can be edited of a folder's model.
const LAYER: [&str; 5] = ["card", "limits", "resources", "cache", "network"];
/// The same of models of the API, beside what says where they come from.
const ALL: [&str; 8] =
    ["version", "card", "input", "outputs", "example", "limits", "resources", "cache"];
const ELSEWHERE: [&str; 1] = ["address"];
const OF_IMAGE: [&str; 3] = ["image", "port", "pod"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewModel {
    id: ModelId,
    address: Option<String>,
    image: Option<String>,
    port: Option<NonZeroU16>,
    version: String,
    #[serde(default)]
    card: Card,
    input: InputColumn,
    #[serde(default)]
    outputs: Vec<Column>,
    #[serde(default)]
    example: Vec<String>,
    #[serde(default)]
    limits: ModelLimits,
    #[serde(default)]
    resources: Resources,
    #[serde(default)]
    cache: bool,
    pod: Option<PodSettings>,
}

impl NewModel {
    /// Where it comes from, and that in a text: what runs from elsewhere is another version.
    fn source(&self, app: &App) -> Result<(Source, String), Problem> {
        let of_image = [("port", self.port.is_some()), ("pod", self.pod.is_some())];
        match (&self.address, &self.image) {
            (Some(address), None) => match of_image.into_iter().find(|(_, given)| *given) {
                Some((name, _)) => {
                    let what = format!("{name}: only a model that is an image has one.");
                    Err(bad(what).at(At::Pointer(format!("/{name}"))))
                }
                None => allowed(app, address).map(elsewhere),
            },
            (None, Some(image)) => {
                allowed_image(app, image)?;
                Ok(of_an_image(image.clone(), self.port.map_or(Source::HTTP, NonZeroU16::get)))
            }
            (Some(_), Some(_)) => {
                Err(bad("it has an address or an image, not both.")
                    .at(At::Pointer("/image".into())))
            }
            (None, None) => Err(bad("it needs an `address` (a server elsewhere) or an `image`.")
                .at(At::Pointer("/address".into()))),
        }
    }
}

fn elsewhere(address: String) -> (Source, String) {
    (Source::Server { url: address.clone() }, address)
}

fn of_an_image(image: String, port: u16) -> (Source, String) {
    let text = format!("{image} {port}");
    (Source::Image { image, port }, text)
}

/// A model of the API, with everything that is wrong with it.
pub async fn read_new(app: &App, editor: &ModelEditor, request: Request) -> Result<Model, Problem> {
    let body = read_object(app, request).await?;
    for_administrators(editor, body.contains_key("pod"))?;
    let new: NewModel = serde_json::from_value(Value::Object(body.clone())).map_err(|error| {
        let good = json!({"id": "x", "version": "",
                "input": {"name": "", "description": ""}});
        let fits = |part: &Value| {
            let mut whole = good.clone();
            merge(&mut whole, part);
            serde_json::from_value::<NewModel>(whole).is_ok()
        };
        bad(error.to_string()).at(place(&body, fits))
    })?;
    let (source, from) = new.source(app)?;
    let model = Model {
        version: full_version(&new.version, &from),
        id: new.id,
        source,
        card: new.card,
        input: new.input,
        outputs: new.outputs,
        example: new.example,
        limits: new.limits,
        resources: new.resources,
        cache: new.cache,
        network: Network::None,
        pod: new.pod,
    };
    check(app, &model)?;
    Ok(model)
}

/// A merge patch over the description of the model that was seen.
pub async fn read_change(
    app: &App,
    editor: &ModelEditor,
    request: Request,
    seen: &Entry,
) -> Result<Value, Problem> {
    let mut patch = read_object(app, request).await?;
    for_administrators(editor, patch.contains_key("pod"))?;
    let known = match (seen.owner, &seen.model.source) {
        (Owner::Folder | Owner::Push, _) => LAYER.to_vec(),
        (Owner::Api, Source::Image { .. }) => [&OF_IMAGE[..], &ALL[..]].concat(),
        (Owner::Api, _) => [&ELSEWHERE[..], &ALL[..]].concat(),
    };
    if let Some(other) = patch.keys().find(|name| !known.contains(&name.as_str())) {
        let shown: String = other.chars().take(64).collect();
        let detail = format!("{shown:?} cannot be edited here; there are: {}.", known.join(", "));
        return Err(bad(detail).at(At::Pointer(format!("/{}", escaped(other)))));
    }
    let moved =
        ["address", "image", "port", "version"].iter().any(|name| patch.contains_key(*name));
    if seen.owner == Owner::Api && moved {
        let (source, from) = moved_to(app, &mut patch, seen)?;
        let old = &seen.model.version;
        let declared = match text(&mut patch, "version")? {
            Some(version) => version,
            None => old.rsplit_once('+').map_or(old.as_str(), |(declared, _)| declared).to_owned(),
        };
        patch.insert("version".into(), full_version(&declared, &from).into());
        let source = serde_json::to_value(source).map_err(|_| Problem::internal())?;
        patch.insert("source".into(), source);
    }
    let whole = Value::Object(patch.clone());
    let fits = |part: &Value| seen.patched(part).is_ok();
    check(app, &seen.patched(&whole).map_err(|what| bad(what).at(place(&patch, fits)))?)?;
    Ok(whole)
}

/// Where the model comes from after the change, as [`NewModel::source`] has it.
fn moved_to(
    app: &App,
    patch: &mut Map<String, Value>,
    seen: &Entry,
) -> Result<(Source, String), Problem> {
    let Source::Image { image, port } = &seen.model.source else {
        return match text(patch, "address")? {
            Some(address) => allowed(app, &address).map(elsewhere),
            None => Ok(elsewhere(url(seen).unwrap_or_default().to_owned())),
        };
    };
    let image = match text(patch, "image")? {
        Some(image) => {
            allowed_image(app, &image)?;
            image
        }
        None => image.clone(),
    };
    let port = match patch.remove("port") {
        Some(port) => serde_json::from_value::<Option<NonZeroU16>>(port)
            .map_err(|_| bad("port: a whole number, 1 to 65535.").at(At::Pointer("/port".into())))?
            .map_or(Source::HTTP, NonZeroU16::get),
        None => *port,
    };
    Ok(of_an_image(image, port))
}

fn text(patch: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Problem> {
    match patch.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => {
            let what = format!("{name}: a text; it cannot be taken away.");
            Err(bad(what).at(At::Pointer(format!("/{name}"))))
        }
    }
}

/// Editors set image, port and what an instance needs; the rest of a pod is not theirs.
fn for_administrators(editor: &ModelEditor, given: bool) -> Result<(), Problem> {
    if !given || editor.is_admin {
        return Ok(());
    }
    let detail = "`pod` is for the permission ADMIN: leave it out. Image, port, limits and resources are \
                  yours to set.";
    Err(Problem::new(Kind::Forbidden, detail).at(At::Pointer("/pod".into())))
}

/// The member that does not fit, or the member of that one.
fn place(body: &Map<String, Value>, fits: impl Fn(&Value) -> bool) -> At {
    let Some((name, value)) = body.iter().find(|(name, value)| !fits(&json!({ *name: value })))
    else {
        return At::Nowhere;
    };
    let mut inner = value.as_object().into_iter().flatten();
    let inner = inner.find(|(inner, value)| !fits(&json!({ name: { *inner: value } })));
    let inner = inner.map(|(inner, _)| format!("/{}", escaped(inner))).unwrap_or_default();
    At::Pointer(format!("/{}{inner}", escaped(name)))
}

/// What comes from elsewhere is another version.
fn full_version(declared: &str, from: &str) -> String {
    let hash = Sha256::digest(from.as_bytes());
    format!("{declared}+{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

fn allowed(app: &App, text: &str) -> Result<String, Problem> {
    origin::check(text, &app.config.model_addresses).map_err(|why| {
        Problem::new(Kind::ModelAddress, format!("The address cannot be used: {why}."))
            .at(At::Pointer("/address".into()))
    })
}

fn allowed_image(app: &App, name: &str) -> Result<(), Problem> {
    let refused = |why: &str| {
        Problem::new(Kind::ModelImage, format!("The image cannot be used: {why}."))
            .at(At::Pointer("/image".into()))
    };
    image::check(name).map_err(refused)?;
    if app.config.model_images.iter().any(|prefix| prefix.allows(name)) {
        return Ok(());
    }
    Err(refused(&format!("the operator does not allow {name}; the setting is model_images")))
}

pub(super) fn check(app: &App, model: &Model) -> Result<(), Problem> {
    let faults = model.faults();
    if !faults.is_empty() {
        let resources = model.resources.faults(model.limits.memory_mib);
        let at = match resources.first() {
            Some((field, _)) if resources.len() == faults.len() => {
                At::Pointer(format!("/resources/{field}"))
            }
            _ => At::Nowhere,
        };
        return Err(bad(faults.join("; ")).at(at));
    }
    for (at, name) in model.pod.iter().flat_map(PodSettings::images) {
        allowed_image(app, name).map_err(|problem| problem.at(At::Pointer(format!("/pod{at}"))))?;
    }
    let of_pod = model.pod.iter().flat_map(PodSettings::faults).collect::<Vec<_>>();
    if let Some((place, _)) = of_pod.first() {
        let all = of_pod.iter().map(|(at, what)| format!("pod{at}: {what}"));
        let all = all.collect::<Vec<_>>().join("; ");
        return Err(bad(all).at(At::Pointer(format!("/pod{place}"))));
    }
    let (most, models) = (app.config.max_instances, app.store.models());
    let others = models.iter().filter(|other| other.id != model.id);
    let others: u32 = others.map(|other| other.limits.min_instances).sum();
    let minimum = model.limits.min_instances;
    if minimum == 0 || others.saturating_add(minimum) <= most {
        return Ok(());
    }
    let what = format!(
        "limits: min_instances is {minimum}, other models keep {others}, and this hub runs at most \
         {most} instances of all models together; the setting is max_instances"
    );
    Err(bad(what).at(At::Pointer("/limits/min_instances".into())))
}

fn bad(what: impl AsRef<str>) -> Problem {
    let detail = format!("The description cannot be used: {}", what.as_ref());
    Problem::new(Kind::BadModel, detail)
}

async fn read_object(app: &App, request: Request) -> Result<Map<String, Value>, Problem> {
    let mut upload = open_json(&app.reader, request, MOST_BYTES).await?;
    let mut body = Vec::new();
    while let Some(piece) = upload.next().await? {
        body.extend_from_slice(&piece);
    }
    let text = std::str::from_utf8(&body)
        .map_err(|_| Problem::new(Kind::NotUtf8, "The body must be JSON in UTF-8."))?;
    serde_json::from_str(text).map_err(|error| {
        let detail = format!("The body must be a JSON object: {error}.");
        Problem::new(Kind::BadJson, detail)
    })
}
