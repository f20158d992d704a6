//! Probes of containers: HTTP, a connection, a command.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    super::shapes::{Container, HttpGet, Probe},
    process::{Process, Program, Spawner},
};

/// Where the probes of a container go.
pub struct Target<'a> {
    pub ip: &'a str,
    pub container: &'a Container,
    pub env: &'a BTreeMap<String, String>,
    pub dir: &'a std::path::Path,
    pub spawner: &'a Spawner,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    Well,
    Ill,
}

/// Asks for ever, and tells each time that a threshold is reached and every failure.
pub async fn watch(
    target: &Target<'_>,
    probe: &Probe,
    mut tell: impl FnMut(Result<Found, String>) -> std::ops::ControlFlow<()>,
) {
    let seconds = |value: Option<u64>, default| Duration::from_secs(value.unwrap_or(default));
    sleep(seconds(probe.initial_delay_seconds, 0)).await;
    let (mut well, mut ill) = (0, 0);
    let limit = seconds(probe.timeout_seconds.filter(|limit| *limit > 0), 1);
    let period = seconds(probe.period_seconds.filter(|period| *period > 0), 10);
    loop {
        let asked = timeout(limit, ask(target, probe)).await;
        let said = match asked.unwrap_or_else(|_| Err(too_slow(target, probe))) {
            Ok(()) => {
                (well, ill) = (well + 1, 0);
                let enough = well >= probe.success_threshold.unwrap_or(1).max(1);
                enough.then_some(Ok(Found::Well)).into_iter().collect::<Vec<_>>()
            }
            Err(why) => {
                (well, ill) = (0, ill + 1);
                let enough = ill >= probe.failure_threshold.unwrap_or(3).max(1);
                [Err(why)].into_iter().chain(enough.then_some(Ok(Found::Ill))).collect()
            }
        };
        for one in said {
            if tell(one).is_break() {
                return;
            }
        }
        sleep(period).await;
    }
}

fn too_slow(target: &Target, probe: &Probe) -> String {
    match &probe.http_get {
        Some(get) => format!(
            "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            url(target, get)
        ),
        None => "command timed out".into(),
    }
}

async fn ask(target: &Target<'_>, probe: &Probe) -> Result<(), String> {
    if let Some(get) = &probe.http_get {
        return http(target, get).await;
    }
    if let Some(socket) = &probe.tcp_socket {
        let (host, port) =
            (socket.host.as_deref().unwrap_or(target.ip), port(&socket.port, target.container));
        let connected = TcpStream::connect((host, port)).await;
        return connected.map(drop).map_err(|error| dialled(host, port, &error));
    }
    if let Some(exec) = &probe.exec {
        return command(target, &exec.command).await;
    }
    Err("missing probe handler".into())
}

async fn http(target: &Target<'_>, get: &HttpGet) -> Result<(), String> {
    let (host, port) =
        (get.host.as_deref().unwrap_or(target.ip), port(&get.port, target.container));
    let url = url(target, get);
    let failed = |why: String| format!("Get {url:?}: {why}");
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| failed(dialled(host, port, &error)))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let named = get.http_headers.iter().any(|header| header.name.eq_ignore_ascii_case("host"));
    let mut request = http::Request::get(path);
    if !named {
        request = request.header("host", format!("{host}:{port}"));
    }
    request = request
        .header("user-agent", "kube-probe/1.36")
        .header("accept", "*/*")
        .header("connection", "close");
    for header in &get.http_headers {
        request = request.header(&header.name, &header.value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(error.to_string()))?;
    let answer = sender.send_request(request).await;
    connection.abort();
    let status = answer.map_err(|error| failed(error.to_string()))?.status().as_u16();
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(format!("HTTP probe failed with statuscode: {status}"))
    }
}

fn url(target: &Target, get: &HttpGet) -> String {
    let host = get.host.as_deref().unwrap_or(target.ip);
    let path = get.path.as_deref().unwrap_or("/");
    format!("http://{host}:{}{path}", port(&get.port, target.container))
}

fn dialled(host: &str, port: u16, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        _ => error.to_string(),
    };
    format!("dial tcp {host}:{port}: {why}")
}

/// A number, or the name of a port of the container; 0 of one that is not there.
pub fn port(port: &Value, container: &Container) -> u16 {
    let number = |number: u64| u16::try_from(number).unwrap_or_default();
    if let Some(number) = port.as_u64().map(number) {
        return number;
    }
    let name = port.as_str().unwrap_or_default();
    let named = container.ports.iter().find(|port| port.name.as_deref() == Some(name));
    named.map(|port| port.container_port).or_else(|| name.parse().ok()).unwrap_or_default()
}

pub async fn command(target: &Target<'_>, line: &[String]) -> Result<(), String> {
    let program =
        Program { line: line.to_vec(), env: target.env.clone(), dir: target.dir.to_owned() };
    let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let kept = said.clone();
    let keep = std::sync::Arc::new(move |line: &str| {
        if let Ok(mut said) = kept.lock() {
            said.push_str(line);
        }
    });
    let process = target.spawner.start(&program, keep).await?;
    let exit = Process::wait(&mut process.exit()).await;
    let said = said.lock().map(|said| said.clone()).unwrap_or_default();
    if exit.code == 0 { Ok(()) } else { Err(said) }
}
