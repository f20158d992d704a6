//! What the operator says of the machine that instances run on.

use std::collections::BTreeMap;

use muster_cluster::machine::{CUDA, MachineConfig, Reserve, is_nvidia_uuid};

use muster_core::Resources;

use super::Environment;
use super::server::size;
use super::settings::Settings;

pub fn read(settings: &Settings, environment: &Environment) -> Result<MachineConfig, String> {
    let like = "a size such as 4GiB, a share such as 5%, or 0";
    let reserve = settings.read("local.reserve_memory", like, reserve)?.unwrap_or_default();
    let like = "the name of a variable such as ROCR_VISIBLE_DEVICES";
    let gpu_variable = settings.read("local.gpu_variable", like, |text| {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        // Whatever else instances are told is not for a list of GPUs.
        let ends =
            text.ends_with("_DEVICES") || text.ends_with("_ORDINAL") || text.ends_with("_MASK");
        let good = ends && text.bytes().all(named) && !text.starts_with("MUSTER_");
        good.then(|| text.to_owned())
    })?;
    let gpu_variable = gpu_variable.unwrap_or_else(|| CUDA.to_owned());
    let like = match &*gpu_variable {
        CUDA => "UUIDs such as GPU-8f2b1c3d-.. (nvidia-smi -L shows them), each once, or none",
        _ => "names of GPUs without spaces, each once, or none",
    };
    let gpus = settings.read("local.gpus", like, |text| {
        if text.trim() == "none" {
            return Some(Vec::new());
        }
        let all: Vec<&str> = text.split(',').map(str::trim).collect();
        let good = |(at, gpu): (usize, &&str)| {
            let name = !gpu.is_empty() && gpu.bytes().all(|byte| byte.is_ascii_graphic());
            let fits = gpu_variable != CUDA || is_nvidia_uuid(gpu);
            name && fits && !all[..at].contains(gpu)
        };
        let good = all.iter().enumerate().all(good);
        good.then(|| all.iter().map(|gpu| (*gpu).to_owned()).collect())
    })?;
    let path = environment.get("PATH").map(Into::into);
    Ok(MachineConfig { reserve, gpus, gpu_variable, path })
}

/// As Kubernetes names nodes.
pub fn name(text: &str) -> Option<String> {
    let named =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let good = bytes.len() <= 63 && ends(bytes.first()) && ends(bytes.last());
    (good && text.bytes().all(named)).then(|| text.to_owned())
}

/// Each a label that a model's `[resources]` can ask for.
pub fn labels(text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for pair in text.split(',') {
        let (key, value) = pair.split_once('=')?;
        labels.insert(key.trim().to_owned(), value.trim().to_owned()).is_none().then_some(())?;
    }
    let node = Resources { node: labels.clone(), ..Resources::default() };
    node.faults(u32::MAX).is_empty().then_some(labels)
}

fn reserve(text: &str) -> Option<Reserve> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u8 = percent.trim().parse().ok()?;
        return (percent < 100).then_some(Reserve::Percent(percent));
    }
    if text == "0" { Some(Reserve::Bytes(0)) } else { size(text).map(Reserve::Bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment;
    use crate::config::known::SETTINGS;

    #[test]
    fn what_the_operator_says_of_the_machine_is_read_or_refused_by_name() {
        let machine = |variables: &[_]| {
            let variables = environment(variables);
            let settings = Settings::resolve(SETTINGS, &[], &variables, None).expect("it resolves");
            read(&settings, &variables)
        };
        let usual = machine(&[("PATH", "/bin")]).expect("it fits");
        assert_eq!((usual.reserve, usual.gpus, &*usual.gpu_variable), (Reserve::Usual, None, CUDA));
        assert_eq!(usual.path, Some("/bin".into()));
        for (text, is) in [
            ("4GiB", Reserve::Bytes(4 << 30)),
            ("0", Reserve::Bytes(0)),
            ("5%", Reserve::Percent(5)),
        ] {
            let set = machine(&[("MUSTER_LOCAL_RESERVE_MEMORY", text)]).expect("it fits");
            assert_eq!(set.reserve, is);
        }
        let gpus = ("MUSTER_LOCAL_GPUS", "GPU-8f2b, MIG-1c3d");
        assert_eq!(name("lab-1.example"), Some("lab-1.example".into()));
        for wrong in ["", "-a", "a-", "A", "a b", "a/b", &"a".repeat(64)] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        let read = labels("disk=fast, example.org/zone=a").expect("they are read");
        assert_eq!((read["disk"].as_str(), read["example.org/zone"].as_str()), ("fast", "a"));
        for wrong in ["disk", "=a", "disk=fast,disk=slow", "a b=c", "disk=f st"] {
            assert_eq!(labels(wrong), None, "{wrong}");
        }
        let two = machine(&[gpus]).expect("it fits").gpus.expect("GPUs");
        assert_eq!(two, ["GPU-8f2b", "MIG-1c3d"]);
        let none = machine(&[("MUSTER_LOCAL_GPUS", "none")]).expect("it fits").gpus;
        assert_eq!(none, Some(vec![]));
        let amd = ("MUSTER_LOCAL_GPU_VARIABLE", "ROCR_VISIBLE_DEVICES");
        let amd = machine(&[amd, ("MUSTER_LOCAL_GPUS", "0,1")]).expect("it fits");
        assert_eq!(amd.gpus.expect("GPUs"), ["0", "1"]);
        for (variable, wrong) in [
            ("MUSTER_LOCAL_RESERVE_MEMORY", "much"),
            ("MUSTER_LOCAL_RESERVE_MEMORY", "-1"),
            ("MUSTER_LOCAL_RESERVE_MEMORY", "100%"),
            ("MUSTER_LOCAL_GPUS", "0,1"),
            ("MUSTER_LOCAL_GPUS", "GPU-a,,GPU-b"),
            ("MUSTER_LOCAL_GPUS", "GPU-a,GPU-a"),
            ("MUSTER_LOCAL_GPUS", "GPU-a b"),
            ("MUSTER_LOCAL_GPU_VARIABLE", "PATH"),
            ("MUSTER_LOCAL_GPU_VARIABLE", "A=B_DEVICES"),
        ] {
            let refused = machine(&[(variable, wrong)]).expect_err(wrong);
            assert!(refused.contains("local.") && refused.contains(variable), "{refused}");
        }
    }
}
