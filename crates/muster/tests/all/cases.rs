//! What people send to hubs, and what stands between them and a hub: a real nginx as its packages configure
//! it and as docs/reverse-proxy.md does, the command line, and what is called from Python. The files of
//! the cases are in `tests/cases`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::support::{Hub, Output, World, cells, until};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts");
const PROXIES: &str = include_str!("../../../../docs/reverse-proxy.md");

/// Knows the letters of SMILES.
const SMILES: &str = "\
def predict(inputs):
    return [{'length': len(t)} if set(t) <= set('CONcno123=#()[]+-') else
            {'error': 'this is not a valid SMILES'} for t in inputs]
";
const SMILES_INPUT: &str = "input = {name = 'smiles', description = 'A molecule'}\n";

/// Answers 60 KB for each input.
const LONG: &str =
    "def predict(inputs):\n    return [{'long': (t + ' ') * 12000} for t in inputs]\n";
const LONG_LIMITS: &str =
    "cache = false\ninput = {name = 'text', description = ''}\n[limits]\nbatch_size = 50\n";
const LONG_ROWS: usize = 800;

fn is_installed(script: &str, arguments: &[&str]) {
    let made = Command::new(Path::new(SCRIPTS).join(script)).args(arguments).output();
    let made = made.expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A free port; somebody else might take it in between, which is seldom.
fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("an address").port()
}

/// A running nginx.
struct Nginx(Child);

impl Nginx {
    /// With these servers, which listen on `ports`.
    fn start(world: &World, servers: &str, ports: &[u16]) -> Self {
        is_installed("need-nginx", &[]);
        fs::create_dir_all(world.path("nginx/logs")).expect("a folder");
        let around =
            "worker_processes 1;\npid nginx.pid;\ndaemon off;\nerror_log stderr;\nevents { }\n";
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};\n"))
            .concat();
        world.write(
            "nginx/nginx.conf",
            format!("{around}http {{\naccess_log off;\n{paths}{servers}\n}}\n"),
        );
        let log = fs::File::create(world.path("nginx/log")).expect("a log");
        let debian = Path::new("/usr/sbin/nginx");
        let program = if debian.exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut nginx = Command::new("setpriv");
        nginx.args(["--pdeathsig", "TERM", program, "-p"]).arg(world.path("nginx"));
        nginx.arg("-c").arg(world.path("nginx/nginx.conf"));
        nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut nginx = Self(nginx.spawn().expect("nginx"));
        until("nginx listens", || {
            let ended = nginx.0.try_wait().expect("a child");
            assert_eq!(ended, None, "{}", world.read("nginx/log"));
            ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        if rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok() {
            drop(self.0.wait());
        }
    }
}

/// Somebody with a session, and `curl`.
struct Person<'w> {
    world: &'w World,
    url: String,
    auth: String,
}

impl<'w> Person<'w> {
    fn new(hub: &Hub<'w>) -> Self {
        let (world, url) = (hub.world, hub.url());
        let made = world.curl(&["-s", "-X", "POST", &format!("{url}/api/v1/sessions")]);
        let token = Output::of(made).json()["token"].as_str().expect("a token").to_owned();
        Self { world, url, auth: format!("Authorization: Bearer {token}") }
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        Output::of(self.world.curl(&[&["-s", "-H", &self.auth], arguments].concat()))
    }

    /// The answer to a file of the cases, when it has ended.
    fn post(&self, file: &str, query: &str, more: &[&str]) -> Value {
        let url = format!("{}/api/v1/requests?model=smiles&wait=50{query}", self.url);
        let data = format!("@{CASES}/{file}");
        let kind = ["-H", "Content-Type: text/csv", "--data-binary", &data];
        let kind = match more {
            ["-F", ..] => &[],
            ["-H", named] if named.starts_with("Content-Type") => &kind[2..],
            _ => &kind[..],
        };
        self.curl(&[&[&url[..]][..], kind, more].concat()).json()
    }

    /// Submits so many texts to the model that answers long ones, and waits.
    fn long(&self) -> String {
        let rows: Vec<String> = (0..LONG_ROWS).map(|n| format!("t{n:03}")).collect();
        self.world.write("long.csv", format!("text\n{}\n", rows.join("\n")));
        let url = format!("{}/api/v1/requests?model=long", self.url);
        let csv = ["-H", "Content-Type: text/csv", "--data-binary", "@long.csv"];
        let mut request = self.curl(&[&[&url[..]], &csv[..]].concat()).json();
        let id = request["id"].as_str().expect("an id").to_owned();
        while matches!(request["phase"].as_str(), Some("waiting" | "running")) {
            request = self.curl(&[&format!("{}/api/v1/requests/{id}?wait=50", self.url)]).json();
        }
        assert_eq!(request["phase"], "completed", "{request}");
        id
    }

    /// Begins to download slowly, and returns when some of it is there.
    fn download(&self, url: &str, file: &str, more: &[&str]) -> Child {
        let arguments = ["-s", "--limit-rate", "6M", "-H", &self.auth, "-o", file, url];
        let mut curl = self.world.curl(&[&arguments, more].concat());
        let curl = curl.stdin(Stdio::null()).spawn().expect("curl");
        let out = self.world.path(file);
        until("some of the result is there", || has_more_than(&out, 10_000));
        curl
    }
}

fn has_more_than(file: &Path, bytes: u64) -> bool {
    fs::metadata(file).is_ok_and(|file| file.len() > bytes)
}

fn code(mut child: Child) -> Option<i32> {
    child.wait().expect("it ends").code()
}

/// nginx with nothing but `proxy_pass`, so that it speaks HTTP/1.0 to the hub; slow, and without files of
/// its own, so that the hub is not done before the client is.
fn plain(port: u16, hub: &str) -> String {
    format!(
        "server {{ listen 127.0.0.1:{port}; proxy_max_temp_file_size 0; limit_rate 6m;\n\
         location / {{ proxy_pass http://{hub}; }} }}\n"
    )
}

/// Cases 1, 2 and 4: the request is deleted, or the hub is killed, in the middle.
#[test]
fn a_result_that_broke_off_never_looks_whole() {
    let world = World::new(&[("long", LONG_LIMITS, LONG)]);
    let mut hub = world.hub();
    let port = free_port();
    let _nginx = Nginx::start(&world, &plain(port, &hub.address), &[port]);
    let (through, direct) = (format!("http://127.0.0.1:{port}"), hub.url());
    let person = Person::new(&hub);
    let (id, other) = (person.long(), person.long());
    let path = format!("/api/v1/requests/{id}/result");
    // Its length is not known yet: nginx gets it all the same, and all rows are there.
    assert_eq!(code(person.download(&format!("{through}{path}"), "first.csv", &[])), Some(0));
    let first = fs::read(world.path("first.csv")).expect("a file");
    assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), LONG_ROWS + 1);
    assert_eq!(person.curl(&[&format!("{direct}{path}"), "-o", "direct.csv"]).code, 0);
    assert!(fs::read(world.path("direct.csv")).expect("a file") == first);

    let ways = [
        (format!("{through}{path}"), "proxied.csv", &[][..]),
        (format!("{direct}{path}"), "old.csv", &["--http1.0"][..]),
        (format!("{direct}{path}?format=json"), "new.json", &["--http1.1"][..]),
    ];
    let begin = |(url, file, more): &(String, &str, &[&str])| person.download(url, file, more);
    let cut: Vec<Child> = ways.iter().map(begin).collect();
    let delete = person.curl(&["-X", "DELETE", &format!("{direct}/api/v1/requests/{id}")]);
    assert!(delete.text.contains("is deleted"), "{delete:?}");
    for (curl, (_, file, _)) in cut.into_iter().zip(ways) {
        assert_eq!(code(curl), Some(18), "{file} broke off");
    }
    assert!(fs::read(world.path("proxied.csv")).expect("a file").len() < first.len());

    let path = format!("/api/v1/requests/{other}/result");
    let ways = [
        (format!("{through}{path}?format=arrow"), "proxied.arrow", &[][..]),
        (format!("{direct}{path}?format=ndjson"), "old.ndjson", &["--http1.0"][..]),
    ];
    let cut: Vec<Child> = ways.iter().map(begin).collect();
    hub.kill();
    for (curl, (_, file, _)) in cut.into_iter().zip(ways) {
        assert_eq!(code(curl), Some(18), "{file} broke off");
    }
}

/// Case 3, and what a person wants instead: the download goes on when the hub is there again.
#[test]
fn the_command_keeps_no_result_that_is_not_whole_and_goes_on_where_it_was() {
    let world = World::new(&[("long", LONG_LIMITS, LONG)]);
    let mut hub = world.hub();
    let port = free_port();
    let _nginx = Nginx::start(&world, &plain(port, &hub.address), &[port]);
    let through = format!("http://127.0.0.1:{port}");
    let person = Person::new(&hub);
    let id = person.long();
    let token = person.auth.strip_prefix("Authorization: Bearer ").expect("a token");
    let begin = |file: &str| {
        let mut command = world.command(&["result", &id, "-o", file]);
        command.env("MUSTER_HUB", &through);
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped()).stdin(Stdio::null());
        let command = command.spawn().expect("the binary");
        let part = world.path(&format!("{file}.part"));
        until("some of the result is there", || has_more_than(&part, 10_000));
        command
    };
    // The command is the person who submitted.
    let kept = serde_json::json!({"hubs": {&through: {"token": token}}});
    world.write("home/.config/muster/credentials.json", kept.to_string());
    let begun = begin("whole.csv");
    hub.kill();
    hub = world.hub_after(&hub);
    let done = Output::from(begun.wait_with_output().expect("it ends"));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        person.curl(&[&format!("{}/api/v1/requests/{id}/result", hub.url()), "-o", "it"]).code,
        0
    );
    assert!(
        fs::read(world.path("whole.csv")).expect("it") == fs::read(world.path("it")).expect("it")
    );

    let begun = begin("cut.csv");
    person.curl(&["-X", "DELETE", &format!("{}/api/v1/requests/{id}", hub.url())]);
    let done = Output::from(begun.wait_with_output().expect("it ends"));
    done.fails(1, &["broke off"]);
    for file in ["cut.csv", "cut.csv.part"] {
        assert!(!world.path(file).exists(), "{file} is there");
    }
}

/// Cases 5 to 8: real nginx, plain and as the document says.
#[test]
fn proxies_lead_to_the_hub() {
    let world = World::new(&[("smiles", SMILES_INPUT, SMILES)]);
    let hub = world.hub();
    let person = Person::new(&hub);
    let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
    let address = &hub.address;
    let servers = format!(
        "upstream hub {{ server {address}; }}\n\
         server {{ listen 127.0.0.1:{}; location / {{ proxy_pass http://{address}; }} }}\n\
         server {{ listen 127.0.0.1:{}; location / {{ proxy_pass http://{address}; proxy_set_header Host $host; }} }}\n\
         server {{ listen 127.0.0.1:{}; location /hub/ {{ proxy_pass http://{address}/; }} }}\n\
         server {{ listen 127.0.0.1:{}; location / {{ proxy_pass http://hub; }} }}\n",
        ports[0], ports[1], ports[2], ports[3]
    );
    let nginx = Nginx::start(&world, &servers, &ports);
    let at = |n: usize, path: &str| format!("http://127.0.0.1:{}{path}", ports[n]);

    // 6: which setting it is.
    for (n, host) in [(1, "Host: hub.example.org"), (3, "Host: x")] {
        let refused = person.curl(&["-H", host, &at(n, "/api/v1/models")]).json();
        assert_eq!(refused["status"], 400, "{refused}");
        assert!(
            refused["detail"].as_str().is_some_and(|d| d.contains("allowed_hosts")),
            "{refused}"
        );
    }
    let log = world.read("log");
    assert!(log.contains("allowed_hosts") && log.contains("hub.example.org"), "{log}");

    // 7: below a path nothing leads out of it, also where the hub was not told of the path.
    let deep = ["-H", "Accept: text/html", &at(2, "/hub/requests/1")];
    for (page, up) in [(&[&*at(2, "/hub/")][..], "./"), (&deep[..], "../")] {
        let shown = person.curl(page).text;
        assert!(shown.contains(&format!("<base href=\"{up}\"")), "{shown}");
        assert!(!shown.contains("href=\"/") && !shown.contains("src=\"/"), "{shown}");
    }
    let docs = at(2, "/hub/api/docs");
    let whole = person.curl(&["-L", "-w", "%{url_effective} %{http_code}", &docs]);
    let shown = at(2, "/hub/api/docs/");
    assert!(
        whole.text.ends_with(&format!("{shown} 200")),
        "{}",
        &whole.text[whole.text.len() - 99..]
    );
    let setup = person.curl(&[&at(2, "/hub/api/docs/swagger-initializer.js")]).text;
    assert!(setup.contains("../v1/openapi.json"), "{setup}");
    assert_eq!(
        person.curl(&[&at(2, "/hub/api/v1/openapi.json")]).json()["info"]["title"],
        "Muster"
    );

    // 8: a cookie of somebody else.
    let sessions = at(0, "/api/v1/sessions");
    let made = person.curl(&["-X", "POST", "-H", "Cookie: _sso=1", &sessions]).json();
    assert_eq!(made["state"], "live", "{made}");
    drop(nginx);
    drop(hub);

    // As the document says: by name, and below a path.
    let blocks: Vec<&str> = PROXIES.split("```nginx\n").skip(1).collect();
    let blocks: Vec<&str> = blocks.iter().filter_map(|block| block.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    let urls = ["http://hub.example.org", "http://example.org/hub"];
    for (block, public) in blocks.iter().zip(urls) {
        let port = free_port();
        let (scheme, rest) = public.split_once("://").expect("a URL");
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        let public = format!("{scheme}://{name}:{port}/{path}");
        let public = public.trim_end_matches('/');
        let hub = world.hub_with(&[], |hub| {
            hub.env("MUSTER_PUBLIC_URL", public).env("MUSTER_TRUSTED_PROXIES", "127.0.0.1");
        });
        let servers = block
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"))
            .replace("127.0.0.1:8080", &hub.address);
        let _nginx = Nginx::start(&world, &servers, &[port]);
        let resolve = format!("{name}:{port}:127.0.0.1");
        let curl = |more: &[&str]| {
            Output::of(world.curl(&[&["-s", "--resolve", &resolve], more].concat()))
        };
        let made = curl(&["-X", "POST", &format!("{public}/api/v1/sessions")]).json();
        let auth = format!("Authorization: Bearer {}", made["token"].as_str().expect("a token"));
        let submit = format!("{public}/api/v1/requests?model=smiles&wait=50");
        let file = format!("@{CASES}/semicolon.csv");
        let csv = ["-H", "Content-Type: text/csv", "--data-binary", &file];
        let sent = curl(&[&["-i", "-H", &auth, &submit], &csv[..]].concat()).text;
        let place = sent.lines().find_map(|line| line.strip_prefix("Location: "));
        let place = place.or(sent.lines().find_map(|line| line.strip_prefix("location: ")));
        let place = place.expect("where it is").trim();
        let found = curl(&["-H", &auth, &format!("http://{name}:{port}{place}")]).json();
        assert_eq!(found["phase"], "completed", "{sent}");
        let docs = curl(&["-L", "-o", "docs", "-w", "%{http_code}", &format!("{public}/")]);
        assert_eq!(docs.text, "200");
        let described = curl(&[&format!("{public}/api/v1/openapi.json")]).json();
        let below = described["servers"][0]["url"].as_str();
        assert_eq!(below, (!path.is_empty()).then_some(public));
        // Events are not held back until they fill a buffer.
        let url = format!("{public}/api/v1/events");
        let mut events =
            world.curl(&["-s", "-N", "--resolve", &resolve, "-o", "events", "-H", &auth, &url]);
        let mut events = events.spawn().expect("curl");
        until("an event or a comment came", || has_more_than(&world.path("events"), 0));
        events.kill().expect("it is ended");
        events.wait().expect("it ends");
        fs::remove_file(world.path("events")).expect("a file");
    }
}

/// Case 5: nginx gives up after 60 seconds without a byte.
#[test]
fn a_wait_is_answered_before_proxies_give_up() {
    let body = "import time\ndef predict(inputs):\n    time.sleep(130)\n";
    let world = World::new(&[("slow", "", body)]);
    let hub = world.hub();
    let person = Person::new(&hub);
    let port = free_port();
    let _nginx = Nginx::start(&world, &plain(port, &hub.address), &[port]);
    let url = format!("http://127.0.0.1:{port}/api/v1/requests?wait=60");
    let json =
        ["-H", "Content-Type: application/json", "-d", r#"{"model": "slow", "inputs": ["a"]}"#];
    let begun = Instant::now();
    let answer = person.curl(&[&json[..], &["-w", "%{http_code}", &url]].concat()).text;
    let took = begun.elapsed().as_secs();
    assert!(answer.ends_with("}201") && answer.contains("\"phase\":\""), "{answer}");
    assert!((45..58).contains(&took), "{took} s");
}

/// Inputs, and those that failed.
type Counts = (u64, u64);

/// Cases 9 to 12, 15 to 18, 20 to 30: files as people have them.
#[test]
fn files_are_read_as_they_are_meant_or_refused_with_what_they_are() {
    let world = World::new(&[("smiles", SMILES_INPUT, SMILES)]);
    let hub = world.hub();
    let person = Person::new(&hub);
    let gzip = ["-H", "Content-Encoding: gzip"];
    let read: &[(&str, &str, &[&str], Counts)] = &[
        ("two_members.csv.gz", "", &gzip, (4, 0)),
        ("two_members.csv.gz", "", &["-H", "Content-Encoding: GZIP"], (4, 0)),
        ("blocks_6000_rows.csv.gz", "", &gzip, (6000, 0)),
        ("semicolon.csv", "", &[], (2, 0)),
        ("semicolon_decimal_comma.csv", "", &[], (3, 0)),
        ("tabs.csv", "", &[], (2, 0)),
        ("sep_line.csv", "", &[], (2, 0)),
        ("sep_comma.csv", "", &[], (2, 0)),
        ("headerless_smiles_name.csv", "&header=absent&column=1", &[], (2, 0)),
        ("invisible_in_header.csv", "", &[], (1, 0)),
        ("one_column_unknown_name.csv", "", &[], (3, 1)),
        ("one_column_unknown_name.csv", "&header=used", &[], (2, 0)),
        ("empty_input_cell.csv", "", &[], (3, 1)),
        ("rows_of_commas.csv", "", &[], (2, 0)),
        ("trailing_empty_columns.csv", "", &[], (2, 0)),
        ("short_row.csv", "", &[], (2, 0)),
        ("semicolon.csv", "", &["-H", "Content-Type: application/vnd.ms-excel"], (2, 0)),
    ];
    for (file, query, more, (inputs, failed)) in read {
        let request = person.post(file, query, more);
        let got = (request["inputs"].as_u64(), request["failed"].as_u64());
        assert_eq!(got, (Some(*inputs), Some(*failed)), "{file} {query}: {request}");
        assert_eq!(request["phase"], "completed", "{file}");
    }
    let decimal = person.post("semicolon_decimal_comma.csv", "", &[]);
    assert_eq!(decimal["result"][0]["mass"], "46,07");
    assert_eq!(decimal["reading"]["separator"], ";");
    let gap = person.post("empty_input_cell.csv", "", &[]);
    assert_eq!(gap["result"][1]["error"], "the input is empty", "{gap}");
    assert_eq!(person.post("rows_of_commas.csv", "", &[])["reading"]["blank_lines_skipped"], 3);
    assert_eq!(person.post("short_row.csv", "", &[])["reading"]["short_rows"], 1);
    let header = person.post("one_column_unknown_name.csv", "", &[]);
    let asked = header["result"][0]["error"].as_str().expect("an error");
    assert!(asked.contains("header=used"), "{asked}");
    let form = format!("file=@{CASES}/semicolon.csv");
    let form = person.post("semicolon.csv", "", &["-F", &form]);
    assert_eq!((&form["inputs"], &form["failed"]), (&2.into(), &0.into()), "{form}");

    let refused: &[(&str, &[&str], u64, &[&str])] = &[
        ("member_then_garbage.csv.gz", &gzip, 400, &["follows"]),
        ("headerless_smiles_name.csv", &[], 422, &["header=absent", "column=1"]),
        ("molecules.sdf", &[], 422, &["SD", "smiles"]),
        ("login_page.csv", &[], 422, &["HTML"]),
        ("semicolon.csv", &["-H", "Content-Type: image/png"], 415, &["text/csv"]),
    ];
    for (file, more, status, words) in refused {
        let problem = person.post(file, "", more);
        assert_eq!(problem["status"], *status, "{file}: {problem}");
        let detail = problem["detail"].as_str().expect("words");
        for word in *words {
            assert!(detail.contains(word), "{file}: {word:?} is not said: {detail}");
        }
    }
}

/// Cases 19, 27 and 32, and the same files by the command.
#[test]
fn the_command_reads_files_by_their_names() {
    let world = World::new(&[("smiles", SMILES_INPUT, SMILES)]);
    let hub = world.hub();
    let file = |name: &str| format!("{CASES}/{name}");
    let tabs = hub.good(&["run", "smiles", &file("tabs.tsv"), "-q"]).text;
    assert_eq!(
        cells(&tabs),
        [["name", "smiles", "length"], ["ethanol", "CCO", "3"], ["benzene", "c1ccccc1", "8"]]
    );
    let members = hub.good(&["run", "smiles", &file("two_members.csv.gz"), "-q"]).text;
    assert_eq!(members.lines().count(), 5, "{members}");
    hub.muster(&["run", "smiles", &file("member_then_garbage.csv.gz")])
        .fails(2, &["cannot be read"]);
    hub.muster(&["run", "smiles", &file("molecules.sdf")]).fails(2, &["another kind", "SD"]);
    let spread = hub.good(&["run", "smiles", &file("semicolon.csv")]);
    assert!(spread.error.contains("separated by \";\""), "{spread:?}");
    let number =
        ["run", "smiles", &file("headerless_smiles_name.csv"), "--no-header", "--column", "1"];
    assert_eq!(hub.good(&number).text.lines().next(), Some("column_1,column_2,length"));
    let header = ["run", "smiles", &file("one_column_unknown_name.csv"), "--has-header", "-q"];
    assert_eq!(hub.good(&header).text, "molecule,length\nCCO,3\nc1ccccc1,8\n");
    world.write("table.txt", "name\tsmiles\nethanol\tCCO\n");
    assert_eq!(
        hub.good(&["run", "smiles", "table.txt", "-q"]).text,
        "name,smiles,length\nethanol,CCO,3\n"
    );
    let before = hub.good(&["requests", "--csv"]).text;
    for name in ["out.xls", "out.tsv", "out.csv.gz", "out.feather"] {
        hub.muster(&["run", "smiles", "--input", "CCO", "-o", name])
            .fails(2, &[".csv", ".parquet"]);
        assert!(!world.path(name).exists());
    }
    assert_eq!(hub.good(&["requests", "--csv"]).text, before, "nothing was submitted");
    hub.good(&["run", "smiles", "--input", "CCO", "-o", "out.txt", "--format", "csv"]);
    assert_eq!(world.read("out.txt"), "input,length\nCCO,3\n");
}

/// Cases 13, 14 and 29 with requests and pyarrow.
#[test]
fn what_is_called_from_python_reads_the_same() {
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    is_installed("need-clients", &[programs.to_str().expect("a path")]);
    let world = World::new(&[("smiles", SMILES_INPUT, SMILES)]);
    let hub = world.hub();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/cases.py");
    let mut python = Command::new(programs.join("bin/python"));
    python.args([script, &hub.url(), CASES]);
    world.at_home(&mut python);
    let said = Output::of(python);
    assert_eq!((said.code, said.text.trim()), (0, "good"), "{said:?}");
}
