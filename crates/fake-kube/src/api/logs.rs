//! `pods/log`: what a container has printed, and what it goes on to print.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::logs::Line;
use crate::server::{Cut, full};
use crate::{Resource, Status};

use super::{Answer, Call, Kube};

pub(super) fn answer(kube: &Arc<Kube>, call: &Call) -> Answer {
    let of = Resource::pods();
    let name = call.name();
    let pod = kube.objects.get(&of, call.namespace.as_deref(), name);
    let pod = pod.ok_or_else(|| Status::not_found(&of, name))?;
    let container = container(&pod, call)?;
    if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let previous = call.flag("previous") && call.param("previous").is_some();
    let states = ["containerStatuses", "initContainerStatuses"]
        .iter()
        .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
    let state = states.into_iter().find(|state| state["name"] == container.as_str());
    let ran = |state: &Value| state["lastState"]["terminated"].is_object();
    match state {
        Some(state) if previous && !ran(state) => {
            return Err(Status::bad_request(format!(
                "previous terminated container {container:?} in pod {name:?} not found"
            )));
        }
        Some(state) if !previous && state["state"]["waiting"].is_object() && !ran(state) => {
            let why = state["state"]["waiting"]["reason"].as_str().unwrap_or("ContainerCreating");
            let ends = if why == "ContainerCreating" {
                "is waiting to start:"
            } else {
                "is waiting to start: trying and failing to pull image"
            };
            let why = if why == "ContainerCreating" { " ContainerCreating" } else { "" };
            return Err(Status::bad_request(format!(
                "container {container:?} in pod {name:?} {ends}{why}"
            )));
        }
        None if !previous && pod["status"]["phase"] == "Pending" => {
            return Err(Status::bad_request(format!(
                "container {container:?} in pod {name:?} is waiting to start: ContainerCreating"
            )));
        }
        _ => {}
    }
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let seen = kube.logs.seen(&uid, &container);
    let mut lines = match previous {
        true => kube.logs.previous(&uid, &container),
        false => kube.logs.lines(&uid, &container, 0),
    };
    let at = lines.len();
    let since = match (call.number::<i64>("sinceSeconds")?, call.param("sinceTime")) {
        (Some(seconds), _) => {
            Some(jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds))
        }
        (None, Some(text)) => {
            let bad = |_| Status::bad_request(format!("sinceTime: {text:?} is no time"));
            Some(text.parse().map_err(bad)?)
        }
        (None, None) => None,
    };
    lines.retain(|line| since.is_none_or(|since| line.at >= since));
    if let Some(tail) = call.number::<usize>("tailLines")? {
        lines.drain(..lines.len().saturating_sub(tail));
    }
    let shape = Text { times: call.flag("timestamps") && call.param("timestamps").is_some() };
    let mut first = shape.of(&lines);
    if let Some(limit) = call.number::<usize>("limitBytes")? {
        first.truncate(limit);
    }
    let follows = call.flag("follow") && call.param("follow").is_some() && !previous;
    let body = match follows {
        false => full(first),
        true => {
            let (out, mut taken) = mpsc::channel(64);
            let kube = Arc::clone(kube);
            tokio::spawn(follow(kube, (uid, container), at, (shape, first), (seen, out)));
            let frames = futures::stream::poll_fn(move |context| taken.poll_recv(context));
            StreamBody::new(frames).boxed_unsync()
        }
    };
    let mut answer = Response::new(body);
    let kind = header::HeaderValue::from_static("text/plain");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}

type Out = mpsc::Sender<Result<Frame<Bytes>, Cut>>;

async fn follow(
    kube: Arc<Kube>,
    (uid, container): (String, String),
    mut at: usize,
    (shape, first): (Text, Vec<u8>),
    (mut seen, out): (tokio::sync::watch::Receiver<(usize, bool)>, Out),
) {
    let send = async |text: Vec<u8>| out.send(Ok(Frame::data(Bytes::from(text)))).await.is_ok();
    if !first.is_empty() && !send(first).await {
        return;
    }
    loop {
        let (_, ended) = *seen.borrow_and_update();
        let lines = kube.logs.lines(&uid, &container, at);
        at += lines.len();
        if (!lines.is_empty() && !send(shape.of(&lines)).await) || ended {
            return;
        }
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            () = out.closed() => return,
        }
    }
}

#[derive(Clone, Copy)]
struct Text {
    times: bool,
}

impl Text {
    fn of(self, lines: &[Line]) -> Vec<u8> {
        let line = |line: &Line| match self.times {
            true => format!("{} {}\n", line.at, line.text),
            false => format!("{}\n", line.text),
        };
        lines.iter().map(line).collect::<String>().into_bytes()
    }
}

fn container(pod: &Value, call: &Call) -> Result<String, Status> {
    let names = |list: &str| -> Vec<String> {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.filter_map(|each| each["name"].as_str().map(str::to_owned)).collect()
    };
    let (own, before) = (names("containers"), names("initContainers"));
    let name = call.name();
    match call.param("container") {
        Some(asked) if own.iter().chain(&before).any(|each| each == asked) => Ok(asked.to_owned()),
        Some(asked) => {
            Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")))
        }
        None if own.len() == 1 => Ok(own.into_iter().next().unwrap_or_default()),
        None => {
            let known = own.join(" ");
            let more = if before.is_empty() {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", before.join(" "))
            };
            Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{known}]{more}"
            )))
        }
    }
}
