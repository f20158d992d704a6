//! Lives of clouds, drawn from a seed: nodes that are ordered, boot, fail, are taken away and given back, beside
//! models that have work and others who run there. `make simulate` runs many. See `docs/testing.md`.

mod cloud;

use muster_core::plan::{Action, KeptWhy, NodesMode, Plan, plan};

use crate::cloud::Cloud;

/// So many plans, and nothing has come to rest.
const STEPS: u32 = 20_000;

#[expect(clippy::disallowed_methods, reason = "a long run is asked for in the environment")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nodes_come_and_go_with_the_work() {
    let (first, worlds) = (asked("SEED").unwrap_or(1), asked("WORLDS").unwrap_or(200));
    let (mut plans, mut ordered, mut removed, mut inputs) = (0, 0, 0, 0);
    for seed in first..first + worlds {
        let mut cloud = Cloud::draw(seed);
        let mut told = Vec::new();
        match live(&mut cloud, &mut told) {
            Ok(steps) => plans += steps,
            Err(what) => {
                let last = told.len().saturating_sub(40);
                panic!(
                    "seed {seed}: {what}\nrepeat it with: SEED={seed} WORLDS=1 cargo test -p muster-core --test cloud\n  {}",
                    told[last..].join("\n  ")
                );
            }
        }
        ordered += cloud.ordered;
        removed += cloud.removed;
        inputs += cloud.done;
    }
    println!(
        "{worlds} clouds, {plans} plans, {inputs} inputs, {ordered} nodes ordered, {removed} removed: none with \
         something on it, none beyond its bounds, all came to rest"
    );
    assert!(worlds < 100 || (ordered > worlds / 2 && removed > worlds / 2), "too little happened");
}

fn live(cloud: &mut Cloud, told: &mut Vec<String>) -> Result<u32, String> {
    for step in 0..STEPS {
        let made = plan(&cloud.world, &cloud.policy, cloud.now);
        if !made.actions.is_empty() {
            told.push(format!("{}: {:?}", cloud.now, made.actions));
        }
        cloud.carry_out(&made)?;
        let again = plan(&cloud.world, &cloud.policy, cloud.now);
        never_twice(&made, &again)?;
        if !again.actions.is_empty() {
            // Carried out at once, as by a hub that looks again after each plan.
            continue;
        }
        if cloud.is_done() && again.next_look.is_none() {
            at_rest(cloud, &again)?;
            return Ok(step);
        }
        if !cloud.go_on(again.next_look) {
            at_rest(cloud, &again)?;
            return Ok(step);
        }
    }
    Err("it does not come to rest".into())
}

/// What was ordered a moment ago is not ordered once more. Who goes makes others wait anew, and headroom gives
/// way to work.
fn never_twice(made: &Plan, again: &Plan) -> Result<(), String> {
    let orders = |plan: &Plan| {
        let of = plan.actions.iter().filter_map(|action| match action {
            Action::AddNodes { group, why, .. } if why != "room for headroom" => {
                Some(group.clone())
            }
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    if made.actions.iter().any(|action| matches!(action, Action::Retire { .. })) {
        return Ok(());
    }
    let (first, second) = (orders(made), orders(again));
    match second.iter().find(|_| !first.is_empty()) {
        Some(group) => Err(format!(
            "more of {group} is ordered for what an order is for: {again:?} after {made:?}"
        )),
        None => Ok(()),
    }
}

fn at_rest(cloud: &Cloud, plan: &Plan) -> Result<(), String> {
    // Only what has no room, and gets none, may wait.
    let waits = cloud.world.models.iter().filter_map(|view| Some((view.id(), view.queue?.inputs)));
    let mut left = 0;
    for (model, inputs) in waits {
        left += inputs;
        if !plan.held.iter().any(|held| held.model == *model) {
            return Err(format!("{model} waits without a reason"));
        }
    }
    let Cloud { inputs, done, failed, .. } = cloud;
    if done + failed + left != *inputs {
        return Err(format!("of {inputs} inputs {done} are done, {failed} failed, {left} wait"));
    }
    let going = plan
        .kept
        .iter()
        .find(|kept| matches!(kept.why, KeptWhy::Unneeded { .. } | KeptWhy::InTurn));
    match going {
        Some(kept) if cloud.policy.nodes.mode == NodesMode::Own => Err(format!("{kept:?} at rest")),
        _ => Ok(()),
    }
}
