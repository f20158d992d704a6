//! What a pod takes of a node, as the scheduler and the kubelet count it.

use super::{
    quantity::Quantity,
    shapes::{Amounts, Container, PodSpec},
};

/// The containers together, or the init container that needs most with the sidecars that run
/// before it, whichever is more; the requests of the whole pod instead, where it has some; and
/// what the runtime adds.
pub fn needs(spec: &PodSpec) -> Amounts {
    let mut sum = Amounts::new();
    for container in &spec.containers {
        add(&mut sum, &of_container(container));
    }
    let (mut sidecars, mut start) = (Amounts::new(), Amounts::new());
    for container in &spec.init_containers {
        let mut at_once = of_container(container);
        if container.is_sidecar() {
            add(&mut sum, &at_once);
            add(&mut sidecars, &at_once);
            at_once = sidecars.clone();
        } else {
            add(&mut at_once, &sidecars);
        }
        raise(&mut start, &at_once);
    }
    raise(&mut sum, &start);
    if let Some(whole) = &spec.resources {
        let mut whole = whole.clone();
        for (name, limit) in whole.limits {
            whole.requests.entry(name).or_insert(limit);
        }
        sum.extend(whole.requests);
    }
    add(&mut sum, &spec.overhead);
    sum
}

/// A limit without a request is the request.
fn of_container(container: &Container) -> Amounts {
    let mut asked = container.resources.requests.clone();
    for (name, limit) in &container.resources.limits {
        asked.entry(name.clone()).or_insert(*limit);
    }
    asked
}

pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        sum.entry(name.clone()).or_default().0 += amount.0;
    }
}

pub fn take(sum: &mut Amounts, less: &Amounts) {
    for (name, amount) in less {
        sum.entry(name.clone()).or_default().0 -= amount.0;
    }
}

fn raise(sum: &mut Amounts, to: &Amounts) {
    for (name, amount) in to {
        let held = sum.entry(name.clone()).or_default();
        *held = (*held).max(*amount);
    }
}

pub fn amount(of: &Amounts, name: &str) -> Quantity {
    of.get(name).copied().unwrap_or_default()
}

/// One thing that a node has too little of.
pub struct Lack {
    pub of: String,
    pub asked: Quantity,
    pub used: Quantity,
    pub has: Quantity,
}

/// What is missing, in the order in which Kubernetes looks: pods, cpu, memory, disk, the rest.
pub fn lacks(asked: &Amounts, used: &Amounts, pods: usize, has: &Amounts) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let (pods, most) = (Quantity::whole(pods as i64), amount(has, "pods"));
    if pods.0 + 1000 > most.0 {
        lacks.push(Lack { of: "pods".into(), asked: Quantity(1000), used: pods, has: most });
    }
    let first = ["cpu", "memory", "ephemeral-storage"];
    let rest = asked.keys().map(String::as_str).filter(|name| !first.contains(name));
    for name in first.into_iter().chain(rest) {
        let (asked, used, has) = (amount(asked, name), amount(used, name), amount(has, name));
        if asked.0 > 0 && asked.0 > has.0 - used.0 {
            lacks.push(Lack { of: name.into(), asked, used, has });
        }
    }
    lacks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actors::shapes::read;

    #[test]
    fn init_containers_sidecars_and_overhead_count_as_documented() {
        let cpu = |spec| amount(&needs(&read::<PodSpec>(&spec).unwrap()), "cpu").to_string();
        let one = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let side =
            |cpu: &str| json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}});
        assert_eq!(cpu(json!({"containers": [one("1"), one("500m")]})), "1500m");
        let init = json!({"containers": [one("1")], "initContainers": [one("3"), one("2")]});
        assert_eq!(cpu(init), "3");
        // The sidecar is there before the second init container, not before the first.
        let both = json!({"containers": [one("1")], "initContainers": [one("3"), side("1"), one("3")],
            "overhead": {"cpu": "250m"}});
        assert_eq!(cpu(both), "4250m");
        let limit = json!({"containers": [{"resources": {"limits": {"cpu": "2"}}}]});
        assert_eq!(cpu(limit), "2");
        let whole = json!({"containers": [one("1")], "resources": {"requests": {"cpu": "5"}}});
        assert_eq!(cpu(whole), "5");
    }
}
