//! Models that misbehave: their requests end with a clear reason in bounded time, the others go on.

use std::time::Instant;

use crate::support::{Hub, LENGTHS, Output, World, cells};

const ONCE: &str = "[limits]\nmax_attempts = 1\njob_seconds = 2\nstart_seconds = 2\n";

/// The request fails with these words, and a good model works meanwhile.
fn fails(hub: &Hub, model: &str, words: &[&str]) {
    let begun = Instant::now();
    let run = hub.command(&["run", model, "--input", "abc"]);
    let failing = std::thread::spawn(move || Output::of(run));
    hub.good(&["run", "good", "--no-cache", "--input", "abc"]);
    let output = failing.join().expect("no panic");
    println!("{model}: {:?}: {}", begun.elapsed(), output.error.trim());
    output.fails(1, words);
}

#[test]
fn a_model_that_does_not_start_fails_its_requests_with_the_reason() {
    let world = World::new(&[
        ("good", "", LENGTHS),
        ("crashes", ONCE, "import os, sys\nprint('no licence', file=sys.stderr)\nos._exit(3)\n"),
        ("raises", ONCE, "import nothing_of_that_name\n"),
        ("never-ready", ONCE, "import time\ntime.sleep(600)\n"),
    ]);
    world.model("unbuildable", "", LENGTHS);
    world.write("models/unbuildable/requirements.txt", "--no-index\nno-such-package\n");
    let hub = world.hub();
    fails(&hub, "crashes", &["no licence"]);
    fails(&hub, "raises", &["nothing_of_that_name"]);
    fails(&hub, "never-ready", &["start time"]);
    fails(&hub, "unbuildable", &["no-such-package"]);
    let shown = hub.good(&["models", "--json"]).text;
    assert!(shown.contains("never-ready"));
}

#[test]
fn a_process_that_is_killed_once_while_it_loads_fails_nobodys_request() {
    let body = "import os, signal\n\
        if not os.path.exists('../killed'):\n\
        \x20   open('../killed', 'w').close()\n\
        \x20   os.kill(os.getpid(), signal.SIGKILL)\n";
    let world = World::new(&[("lengths", "", &format!("{body}{LENGTHS}"))]);
    let hub = world.hub();
    assert_eq!(hub.good(&["run", "lengths", "--input", "abc"]).text, "input,length\nabc,3\n");
}

#[test]
fn a_model_that_works_badly_fails_its_requests_with_the_reason() {
    let predict = |line: &str| format!("import os, time\ndef predict(inputs):\n    {line}\n");
    let bodies = [
        ("dies", predict("os._exit(4)"), "exit status: 4"),
        ("hangs", predict("time.sleep(600)"), "its time limit of 2 seconds"),
        ("garbage", predict("return [7 for _ in inputs]"), "a list of dicts"),
        ("few", predict("return []"), "0 rows for 1 inputs"),
        ("many", predict("return [{'n': 1}] * 2"), "2 rows for 1 inputs"),
        ("nested", predict("return [{'n': {'a': 1}} for _ in inputs]"), ""),
    ];
    let world = World::new(&[("good", "", LENGTHS)]);
    for (id, body, _) in &bodies {
        world.model(id, ONCE, body);
    }
    let hub = world.hub();
    for (id, _, words) in bodies.iter().filter(|(.., words)| !words.is_empty()) {
        fails(&hub, id, &[words]);
    }
    // What a cell may not hold is text: the row is not lost.
    let nested = hub.good(&["run", "nested", "--input", "abc", "--json"]).json();
    assert_eq!(nested["result"][0]["n"], "{'a': 1}");
}

#[test]
fn a_model_that_is_killed_for_its_memory_says_so() {
    let body =
        "def predict(inputs):\n    x = bytearray(400 << 20)\n    import time; time.sleep(60)\n";
    let limits = "[limits]\nmax_attempts = 1\nmemory_mib = 200\n";
    let world = World::new(&[("good", "", LENGTHS), ("hungry", limits, body)]);
    let hub = world.hub();
    fails(&hub, "hungry", &["more than 200 MiB of memory"]);
}

#[test]
fn one_bad_input_has_its_own_error_and_nan_is_an_empty_cell() {
    let body = "import os\n\
        def predict(inputs):\n\
        \x20   if 'crash' in inputs: os._exit(4)\n\
        \x20   if 'raise' in inputs: raise ValueError('cannot be read')\n\
        \x20   return [{'x': float('nan') if t == 'nan' else 1.5} for t in inputs]\n";
    let world = World::new(&[("picky", "", body)]);
    let hub = world.hub();
    world.write("in.txt", "a\nraise\nb\nnan\nc\ncrash\nd\ne\n");
    let run = hub.muster(&["run", "picky", "in.txt", "-o", "out.csv"]);
    run.fails(3, &["2 failed"]);
    let rows = cells(&world.read("out.csv"));
    assert_eq!(rows[0], ["input", "x", "error"]);
    assert_eq!(rows[2], ["raise", "", "ValueError: cannot be read"]);
    assert_eq!(rows[4], ["nan", "", ""]);
    assert_eq!(rows[6][..2], ["crash", ""]);
    assert!(rows[6][2].contains("exit status: 4"), "{rows:?}");
    for n in [1, 3, 5, 7, 8] {
        assert_eq!(rows[n][1..], ["1.5", ""], "{rows:?}");
    }
}

#[test]
fn a_model_in_the_template_layout_is_served_by_the_hub() {
    let world = World::new(&[]);
    world.write("models/eos0abc/metadata.json", r#"{"Identifier": "eos0abc", "Title": "Old"}"#);
    world.write("models/eos0abc/model/framework/run.sh", "cd /; python $1/code/main.py $2 $3\n");
    let main = "import csv, sys\n\
        rows = list(csv.reader(open(sys.argv[1])))[1:]\n\
        out = csv.writer(open(sys.argv[2], 'w'))\n\
        out.writerow(['length', 'text'])\n\
        for row in rows: out.writerow([len(row[0]), row[0].upper()])\n";
    world.write("models/eos0abc/model/framework/code/main.py", main);
    let hub = world.hub();
    world.write("in.csv", "name,smiles\nx,CCO\ny,c\n");
    let out = hub.good(&["run", "eos0abc", "in.csv", "-q"]).text;
    assert_eq!(out, "name,smiles,length,text\nx,CCO,3,CCO\ny,c,1,C\n");
}
