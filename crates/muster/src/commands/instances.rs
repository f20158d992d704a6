//! `muster instances` and `muster instance`: running copies of models, for administrators.

use muster_core::Timestamp;
use muster_store::Clock;
use serde_json::json;

use crate::answer::{Instance, InstanceDetails, InstanceEvent};
use crate::arguments::{
    InstanceEvents, InstanceLogs, InstanceVerb, Instances, OneInstance, StopInstance,
};
use crate::failure::Failure;
use crate::hub::{Hub, broken_off, parse};
use crate::list::List;
use crate::path::{parameter, segment};
use crate::{human, table};

const MIB: f64 = 1024.0 * 1024.0;

pub async fn instances(hub: &Hub, arguments: &Instances) -> Result<(), Failure> {
    let (limit, json, ended) = (arguments.limit, arguments.json, arguments.ended);
    let mut path = format!("/api/v1/instances?ended={ended}");
    parameter(&mut path, "model", &arguments.model);
    parameter(&mut path, "status", &arguments.status);
    parameter(&mut path, "cause", &arguments.cause);
    parameter(&mut path, "from", &arguments.from);
    parameter(&mut path, "to", &arguments.to);
    let none = if ended { "none ended" } else { "none runs" };
    let list = List { path: &path, limit, json, none, see: "--limit" };
    list.print(hub, |instances| listed(instances, ended, Clock::system().now())).await
}

fn listed(instances: Vec<Instance>, ended: bool, now: Timestamp) -> String {
    let starting = instances.iter().filter(|it| it.state == "starting");
    let said = starting.filter_map(|it| Some(format!("{}: {}", it.id, it.pod_message.as_ref()?)));
    let said: Vec<String> = said.collect();
    let rows = instances.into_iter().map(|it| {
        let state = match (&it.end, &it.pod_status) {
            (Some(end), _) => end.message.clone(),
            (None, Some(pod)) => format!("{} ({pod})", it.state),
            (None, None) => it.state.clone(),
        };
        let (cpu, memory) = match &it.resources {
            Some(used) if ended => (cores(used.cpu.average), mib(used.memory.peak)),
            Some(used) => (cores(used.cpu.now), mib(used.memory.now)),
            None => ("-".into(), "-".into()),
        };
        let jobs = human::count(it.jobs);
        let mut row =
            vec![it.id, it.model, state, human::ago(it.launched_at, now), jobs, cpu, memory];
        // Why one ended takes the room.
        if !ended {
            row.insert(2, it.runs);
        }
        row
    });
    let rows = rows.collect();
    if ended {
        let header = ["id", "model", "ended because", "launched", "jobs", "cpu avg", "MiB peak"];
        return table::table(&header, rows, &[4, 5, 6]);
    }
    let header = ["id", "model", "runs", "state", "launched", "jobs", "cpu", "MiB"];
    let text = table::table(&header, rows, &[5, 6, 7]);
    match &*said {
        [] => text,
        // Long as they are, they are no column.
        said => format!("{text}\n\nWhat the cluster says of pods that wait:\n{}", said.join("\n")),
    }
}

fn cores(cores: f64) -> String {
    format!("{cores:.2}")
}

fn mib(bytes: f64) -> String {
    human::count((bytes / MIB).round() as u64)
}

pub async fn instance(hub: &Hub, verb: &InstanceVerb) -> Result<(), Failure> {
    match verb {
        InstanceVerb::Show(OneInstance { id, json }) => {
            let body = hub.get(&path(id, "")).await?;
            if *json { table::print_json(&body) } else { table::print(&details(&parse(&body)?)) }
        }
        InstanceVerb::Events(arguments) => events(hub, arguments).await,
        InstanceVerb::Logs(arguments) => logs(hub, arguments).await,
        InstanceVerb::Stop(arguments) => stop(hub, arguments).await,
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/api/v1/instances/{}{rest}", segment(id))
}

fn details(details: &InstanceDetails) -> String {
    let it = &details.instance;
    let mut facts = vec![
        ("Model", format!("{} {}", it.model, it.model_version)),
        ("State", it.state.clone()),
        ("Runs", it.runs.clone()),
        ("Pod", it.pod_status.clone().unwrap_or_default()),
        ("It says", it.pod_message.clone().unwrap_or_default()),
        ("Node", it.node.clone().unwrap_or_default()),
        ("Asks for", it.asked.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Devices", it.devices.join(", ")),
        ("Launched", format!("{}: {}", it.launched_at, it.launch_cause)),
        ("Start took", it.start_seconds.and_then(human::seconds).unwrap_or_default()),
        ("Jobs", human::count(it.jobs)),
        ("Idle", it.idle_share.map(|share| format!("{:.0} %", share * 100.0)).unwrap_or_default()),
        ("Works on", it.requests.join(", ")),
    ];
    if let Some(used) = &it.resources {
        let (cpu, memory) = (&used.cpu, &used.memory);
        let cpu = [cpu.now, cpu.average, cpu.peak].map(cores);
        facts.push((
            "CPU",
            format!("{} cores now, {} on average, {} at most", cpu[0], cpu[1], cpu[2]),
        ));
        let memory = [memory.now, memory.average, memory.peak].map(mib);
        let words =
            format!("{} MiB now, {} on average, {} at most", memory[0], memory[1], memory[2]);
        facts.push(("Memory", words));
    }
    if let Some(stop) = &it.stop {
        facts.push(("Stop", format!("{} since {}: {}", stop.work, stop.asked_at, stop.reason)));
    }
    if let Some(end) = &it.end {
        facts.push(("Ended", format!("{}: {}", end.at, end.message)));
    }
    let rows = details.phases.iter().map(|phase| {
        let took = phase.seconds.and_then(human::seconds).unwrap_or_else(|| "-".into());
        vec![phase.phase.clone(), phase.at.to_string(), took, phase.cause.clone()]
    });
    let phases = table::table(&["phase", "at", "took", "cause"], rows.collect(), &[2]);
    format!("{}\n{}\n{phases}", it.id, table::facts(12, facts))
}

async fn events(hub: &Hub, arguments: &InstanceEvents) -> Result<(), Failure> {
    let path = path(&arguments.id, "/events");
    let (limit, json) = (arguments.limit, arguments.json);
    let list = List { path: &path, limit, json, none: "no events", see: "--limit" };
    let shown = |events: Vec<InstanceEvent>| {
        let rows = events.into_iter().map(|event| {
            let times = human::count(event.count);
            vec![event.kind, event.last_at.to_string(), times, event.source, event.message]
        });
        let header = ["kind", "last at", "times", "source", "message"];
        table::table(&header, rows.collect(), &[2])
    };
    list.print(hub, shown).await
}

async fn logs(hub: &Hub, arguments: &InstanceLogs) -> Result<(), Failure> {
    let path = path(&arguments.id, &format!("/logs?tail={}", arguments.tail));
    if !arguments.follow {
        let body = hub.get(&path).await?;
        return table::put(&printable(&String::from_utf8_lossy(&body)));
    }
    let mut answer = hub.stream(&format!("{path}&follow=true")).await?;
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(broken_off)? {
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.strip_prefix("data: ") {
                _ if line == "event: end\n" => return Ok(()),
                Some(line) => table::put(&printable(line))?,
                None => {}
            }
        }
    }
    Err(Failure::failed("the hub ended the stream before the instance ended").advice(
        "It stops, or you are no administrator any more. Follow the log again for the rest.",
    ))
}

/// A model writes what it likes; a terminal obeys it.
fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.replace("\r\n", "\n").chars().map(plain).collect()
}

async fn stop(hub: &Hub, arguments: &StopInstance) -> Result<(), Failure> {
    let mut body = json!({ "work": arguments.work });
    if let Some(seconds) = arguments.grace_seconds {
        body["grace_seconds"] = seconds.into();
    }
    if let Some(reason) = &arguments.reason {
        body["reason"] = reason.as_str().into();
    }
    let answer = hub.post_json(&path(&arguments.id, "/stop"), &body).await?;
    if arguments.json {
        return table::print_json(&answer);
    }
    let it: InstanceDetails = parse(&answer)?;
    table::print(&match it.instance.end {
        Some(end) => format!("it has ended: {}", end.message),
        None => "it gets nothing more and is about to stop".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_cannot_give_orders_to_a_terminal() {
        assert_eq!(printable("a\tb\r\n\u{1b}[2Jc\n"), "a\tb\n\u{fffd}[2Jc\n");
    }

    #[test]
    fn a_list_fits_a_terminal() {
        let one = || -> Instance {
            serde_json::from_str(
                r#"{"id": "0193a1b2-0000-7000-8000-000000000001", "model": "rdkit", "model_version": "1",
            "state": "ready", "runs": "elsewhere", "pod_status": null, "pod_message": null, "node": null, "launch_cause": "",
            "launched_at": "1970-01-01T00:00:00Z", "start_seconds": 1.5, "idle_share": 0.5,
            "jobs": 1200, "requests": [], "resources": {"cpu": {"now": 1.25, "peak": 2, "average": 1},
            "memory": {"now": 104857600, "peak": 1, "average": 1}}, "stop": null, "end": null}"#,
            )
            .expect("an instance")
        };
        let waits = Instance {
            id: "019".into(),
            state: "starting".into(),
            pod_status: Some("Pending".into()),
            pod_message: Some("0/9 nodes are available: 9 Insufficient cpu.".into()),
            ..one()
        };
        let text = listed(vec![one(), waits], false, Timestamp(0));
        assert!(text.ends_with("019: 0/9 nodes are available: 9 Insufficient cpu."), "{text}");
        assert!(text.contains("(Pending)"), "{text}");
        assert!(text.contains("1,200") && text.contains("1.25") && text.contains("100"), "{text}");
        assert!(text.contains("elsewhere"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
