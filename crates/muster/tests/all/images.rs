//! Models that are images, on the command line, and on a hub that runs no pods.

use serde_json::{Value, json};

use crate::support::{Hub, LENGTHS, Output, World, end, until};

/// As an administrator, on a hub whose operator allows images of one registry.
fn admin<'w>(world: &'w World) -> Hub<'w> {
    assert_eq!(world.create_admin("root").code, 0);
    let hub = world.hub_with(&[], |command| {
        command.env("MUSTER_MODEL_IMAGES", "registry.example.org/lab/, models");
    });
    hub.good(&["login", "root", "--password-file", "password"]);
    hub
}

fn describe(world: &World, name: &str, description: &Value) {
    world.write(name, description.to_string());
}

#[test]
fn an_image_waits_on_a_hub_without_pods_and_says_so() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let hub = admin(&world);
    let mut far = json!({"id": "far", "image": "docker.io/far:1", "version": "1.2",
        "input": {"name": "text", "description": "A text"}, "limits": {"memory_most_mib": 8192},
        "pod": {"template": {"spec": {"priorityClassName": "low"}}, "unrestricted": "It runs as root."}});
    describe(&world, "far.json", &far);
    hub.muster(&["models", "add", "far.json"]).fails(2, &["docker.io/far:1", "model_images"]);
    far["image"] = json!("registry.example.org/lab/far:1");
    describe(&world, "far.json", &far);
    let added = hub.good(&["models", "add", "far.json"]).text;
    assert!(added.starts_with("far 1.2+") && added.contains("in the catalogue"), "{added}");
    describe(&world, "moved.json", &json!({"image": "models/far:2", "port": 8080}));
    let moved = hub.good(&["models", "edit", "far", "moved.json"]).text;
    assert!(moved.starts_with("far 1.2+") && moved[..16] != added[..16], "{added} {moved}");

    let shown = hub.good(&["models", "show", "far"]).text;
    for words in [
        "Runs           pod",
        "Image          models/far:2",
        "Port           8080",
        "at most 4,096 MiB; 8,192 MiB once it ran out of that",
        "Unrestricted   It runs as root.",
        "\"priorityClassName\": \"low\"",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let both = hub.good(&["models", "show", "far", "--json"]).json();
    assert_eq!((&both["image"], &both["runs"]), (&json!("models/far:2"), &json!("pod")));
    let all = hub.good(&["models", "--all"]).text;
    let runs = |id: &str| {
        let line = all.lines().find(|line| line.starts_with(id)).expect("a line");
        line.split_whitespace().nth(3).expect("a word").to_owned()
    };
    assert_eq!((runs("far"), runs("lengths")), ("pod".into(), "process".into()), "{all}");

    let run = hub.begin(&["run", "far", "--input", "abc", "--quiet"]);
    let request = || hub.good(&["requests", "--json"]).json()["items"][0].clone();
    until("it was submitted", || !request()["id"].is_null());
    let id = request()["id"].as_str().expect("an id").to_owned();
    let reason = || hub.good(&["show", &id, "--json"]).json()["waiting_reason"].clone();
    let why = "This hub cannot run the model: it is an image, and this hub runs no pods.";
    until("it is said why it waits", || reason() == why);
    assert_eq!(request()["phase"], "waiting");
    let card = hub.good(&["models", "far"]).text;
    assert!(card.contains(why), "{card}");
    // The others go on.
    assert_eq!(
        hub.good(&["run", "lengths", "--input", "abc", "--quiet"]).text,
        "input,length\nabc,3\n"
    );
    let instances = hub.good(&["instances", "--json"]).json();
    assert_eq!(
        (&instances["items"][0]["runs"], instances["items"].as_array().map(Vec::len)),
        (&json!("process"), Some(1))
    );
    assert!(hub.good(&["instances"]).text.contains(" process "));
    end(run);
}

#[test]
fn a_beginning_that_no_image_has_is_refused_at_the_start() {
    let world = World::new(&[]);
    let mut serve = world.command(&["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    serve.env("MUSTER_MODEL_IMAGES", "https://registry.example.org");
    Output::of(serve).fails(2, &["model_images", "https://registry.example.org"]);
}
