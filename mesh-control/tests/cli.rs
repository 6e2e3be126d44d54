//! The program `mesh`, run as a process.

use mesh_testkit::ads::{Resources, Server};
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::net::Listener;
use mesh_testkit::resources::{any, assignment, cluster, listener, route, routes};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(30);

fn mesh(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    command.args(args).env_remove("GRPC_XDS_BOOTSTRAP").env_remove("GRPC_XDS_BOOTSTRAP_CONFIG");
    command.env_remove("RUST_LOG").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> Output {
    timeout(LONG, command.output()).await.expect("the program does not end").unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

const GOOD: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo, namespace: default}
spec:
  hosts: [echo.example.com]
  ports:
  - {number: 80, name: grpc, protocol: GRPC}
  resolution: STATIC
  endpoints:
  - address: 127.0.0.1
";

/// A control plane with service `echo:80` at a backend, and the bootstrap that leads to it.
async fn control_plane() -> (Server, Resources, Backend, String) {
    let listening = Listener::loopback().await.unwrap();
    let address = listening.local_address().unwrap();
    let backend = Backend::http2("a", listening);
    let resources = Resources::new();
    resources.set([
        any(&listener("echo:80", "r")),
        any(&routes("r", "echo:80", vec![route("/", &[("c", 1)])])),
        any(&cluster("c")),
        any(&assignment("c", &[&address])),
    ]);
    let listening = Listener::loopback().await.unwrap();
    let bootstrap = format!(
        r#"{{"xds_servers":[{{"server_uri":"{}","channel_creds":[{{"type":"insecure"}}]}}],"node":{{"id":"me"}}}}"#,
        listening.local_address().unwrap()
    );
    let server = resources.serve_on(listening);
    (server, resources, backend, bootstrap)
}

#[tokio::test]
async fn help_names_the_commands() {
    let output = run(&mut mesh(&["--help"])).await;
    assert!(output.status.success());
    for command in ["serve", "check", "call", "dump"] {
        assert!(stdout(&output).contains(command), "{}", stdout(&output));
        let output = run(&mut mesh(&[command, "--help"])).await;
        assert!(output.status.success() && stdout(&output).contains("Example"), "{command}");
    }
}

#[tokio::test]
async fn check_says_what_is_wrong_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    write(dir.path(), "good.yaml", GOOD);
    let output = run(&mut mesh(&["check", path])).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("no errors"), "{}", stdout(&output));
    write(dir.path(), "bad.yaml", &GOOD.replace("hosts:", "hots:").replace("name: echo,", "name: other,"));
    for command in [&["check", path][..], &["serve", "--check", "--config", path]] {
        let output = run(&mut mesh(command)).await;
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        let text = stdout(&output);
        assert!(text.contains("bad.yaml:5") && text.contains("hots"), "{text}");
    }
    let output = run(&mut mesh(&["serve", "--listen", "127.0.0.1:0", "--config", path])).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("bad.yaml:5"), "{}", stderr(&output));
}

#[tokio::test]
async fn serve_does_not_open_itself_to_others_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let output = run(&mut mesh(&["serve", "--listen", "0.0.0.0:0", "--config", path])).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--allow-remote"), "{}", stderr(&output));
}

#[cfg(unix)]
#[tokio::test]
async fn serve_says_where_it_listens_and_ends_well_when_told() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "good.yaml", GOOD);
    let path = dir.path().to_str().unwrap();
    let start = || {
        let mut command = mesh(&["serve", "--listen", "127.0.0.1:0", "--config", path]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    };
    let (mut child, mut lines) = start();
    let line = timeout(LONG, lines.next_line()).await.unwrap().unwrap().unwrap();
    let address = line.rsplit_once("listening on ").unwrap().1;
    tokio::net::TcpStream::connect(address).await.unwrap();
    let bootstrap = timeout(LONG, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(bootstrap.contains("GRPC_XDS_BOOTSTRAP_CONFIG") && bootstrap.contains(address), "{bootstrap}");
    end(&mut child, "-TERM").await;
    // As soon as it has said a word.
    let (mut child, mut lines) = start();
    timeout(LONG, lines.next_line()).await.unwrap().unwrap().unwrap();
    end(&mut child, "-INT").await;
}

/// Sends a signal, upon which the process must end by itself, and well.
#[cfg(unix)]
async fn end(child: &mut tokio::process::Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    let status = timeout(LONG, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "{signal}");
}

#[tokio::test]
async fn call_tells_who_answered_and_how() {
    let (_server, _resources, backend, bootstrap) = control_plane().await;
    let call = |more: &[&str]| {
        let mut command = mesh(&["call", "echo:80", "--method", "/mesh.test.Echo/Unary"]);
        command.args(more).env("GRPC_XDS_BOOTSTRAP_CONFIG", &bootstrap);
        command
    };
    let output =
        run(&mut call(&["-n", "20", "-c", "4", "-o", "json", "-H", "x-who=me", "--data", "raw"])).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["calls"], &json["failed"]), (&20.into(), &0.into()));
    assert_eq!(
        (&json["answered_by"][0]["calls"], &json["answered_by"][0]["cluster"]),
        (&20.into(), &"c".into())
    );
    assert_eq!(json["statuses"][0]["status"], "OK");
    assert!(json["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
    assert_eq!(backend.requests(), 20);
    assert!(backend.seen().iter().all(|seen| seen.headers["x-who"] == "me"));

    backend.set(Behavior::GrpcStatus(5));
    let output = run(&mut call(&[])).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("1 failed") && stdout(&output).contains("NOT_FOUND"),
        "{}",
        stdout(&output)
    );
    assert!(stdout(&output).contains("127.0.0.1"), "the endpoint answered all the same: {}", stdout(&output));
}

#[tokio::test]
async fn call_speaks_http_too() {
    let (_server, resources, _backend, bootstrap) = control_plane().await;
    let listening = Listener::loopback().await.unwrap();
    let address = listening.local_address().unwrap();
    let backend = Backend::http1("h", listening);
    resources.set([any(&assignment("c", &[&address]))]);
    let mut command = mesh(&["call", "http://echo:80/path?x=1", "-n", "3", "-o", "json"]);
    let output = run(command.env("GRPC_XDS_BOOTSTRAP_CONFIG", &bootstrap)).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["statuses"][0]["status"], "200 OK");
    assert_eq!(json["answered_by"][0]["calls"], 3);
    assert_eq!((backend.requests(), backend.seen()[0].path.as_str()), (3, "/path?x=1"));
}

#[tokio::test]
async fn mistakes_are_explained() {
    let cases: [(&[&str], &str); 5] = [
        (&["call", "echo:80"], "GRPC_XDS_BOOTSTRAP"),
        (&["call", "echo:80", "--header", "nonsense"], "name=value"),
        (&["call", "echo:80", "--deadline", "5"], "300ms"),
        (&["call", "echo:80", "--rate", "0"], "calls per second"),
        (&["call", "echo:80", "--data-file", "/nowhere"], "/nowhere"),
    ];
    for (args, expected) in cases {
        let output = run(&mut mesh(args)).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(expected), "{args:?}: {}", stderr(&output));
    }
    let (_server, _resources, _backend, bootstrap) = control_plane().await;
    for args in [&["call", "echo:80"][..], &["call", "echo:80", "--method", "nonsense"]] {
        let output = run(mesh(args).env("GRPC_XDS_BOOTSTRAP_CONFIG", &bootstrap)).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("/package.Service/Method"), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn dump_shows_what_became_of_a_target() {
    let (_server, resources, _backend, bootstrap) = control_plane().await;
    let dump = |args: &[&str]| {
        let mut command = mesh(&["dump"]);
        command.args(args).env("GRPC_XDS_BOOTSTRAP_CONFIG", &bootstrap);
        command
    };
    let output = run(&mut dump(&["echo:80"])).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    for part in ["connected", "echo:80  routed", "RouteConfiguration     r  present", "127.0.0.1:"] {
        assert!(stdout(&output).contains(part), "{part} is not in\n{}", stdout(&output));
    }
    let server = r#"[{"server_uri": "127.0.0.1:1", "channel_creds": [{"type": "insecure"}]}]"#;
    let more = format!(r#", "authorities": {{"far": {{"xds_servers": {server}}}}}}}"#);
    let bootstrap = format!("{}{more}", bootstrap.strip_suffix('}').unwrap());
    let output = run(mesh(&["dump", "echo:80"]).env("GRPC_XDS_BOOTSTRAP_CONFIG", &bootstrap)).await;
    let told = "CONTROL PLANE of xdstp names of far\n  127.0.0.1:1    not connected\n";
    assert!(stdout(&output).contains(told), "{}", stdout(&output));
    let output = run(&mut dump(&["nobody", "--timeout", "100ms"])).await;
    assert!(output.status.code() == Some(1) && stderr(&output).contains("host:port"), "{}", stderr(&output));
    let output = run(&mut dump(&["nobody:80", "--timeout", "3s"])).await;
    let told = "nobody:80  pending  its Listener: does not exist";
    assert!(output.status.code() == Some(1) && stdout(&output).contains(told), "{}", stdout(&output));
    let mut checked = cluster("c");
    checked.health_checks = vec![Default::default()];
    resources.set([any(&checked)]);
    let output = run(&mut dump(&["echo:80"])).await;
    let told = "FIELDS WITHOUT EFFECT\n  Cluster                health_checks\n";
    assert!(stdout(&output).contains(told), "{}", stdout(&output));
    let mut broken = cluster("c");
    broken.lb_policy = 99;
    resources.set([any(&broken)]);
    let output = run(&mut dump(&["echo:80", "-o", "json"])).await;
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let refused = json["resources"].as_array().unwrap().iter().find(|it| !it["refused"].is_null()).unwrap();
    assert_eq!((&refused["kind"], &refused["name"]), (&"Cluster".into(), &"c".into()));
}

#[tokio::test]
async fn dump_says_that_what_is_in_force_comes_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _resources, _backend, bootstrap) = control_plane().await;
    let dump = || {
        let mut command = mesh(&["dump", "echo:80"]);
        command
            .env("GRPC_XDS_BOOTSTRAP_CONFIG", &bootstrap)
            .env("MESH_DISK_CACHE", folder.path().join("cache"));
        command
    };
    let output = run(&mut dump()).await;
    assert!(!stdout(&output).contains("from the disk cache"), "{}", stdout(&output));
    drop(server);
    let output = run(&mut dump()).await;
    let told = "  resources from the disk cache, which nobody has confirmed: 4\n";
    assert!(stdout(&output).contains(told), "{}{}", stdout(&output), stderr(&output));
}

#[tokio::test]
async fn a_control_plane_that_is_away_is_named_as_the_reason() {
    let bootstrap = r#"{"xds_servers": [{"server_uri": "127.0.0.1:1", "channel_creds": [{"type": "insecure"}]}], "node": {"id": "a"}}"#;
    let mut command = mesh(&["call", "echo:80", "--method", "/a.B/C", "-d", "3s"]);
    let output = run(command.env("GRPC_XDS_BOOTSTRAP_CONFIG", bootstrap)).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for part in
        ["1 call, 1 failed", "DEADLINE_EXCEEDED: ", "there is no configuration yet", "the control plane: "]
    {
        assert!(stdout(&output).contains(part), "{part} is not in\n{}", stdout(&output));
    }
}

#[tokio::test]
async fn counts_and_listening_addresses_that_make_no_sense_are_refused() {
    let output = run(&mut mesh(&["call", "echo:80", "-n", "0"])).await;
    assert!(output.status.code() == Some(2) && stderr(&output).contains("--count"), "{}", stderr(&output));
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.yaml", GOOD);
    let path = dir.path().to_str().unwrap();
    let output = run(&mut mesh(&["serve", "--config", path, "--listen", "nowhere"])).await;
    assert!(output.status.code() == Some(2) && stderr(&output).contains("HOST:PORT"), "{}", stderr(&output));
    let output = run(&mut mesh(&["check", path])).await;
    assert!(stdout(&output).contains("1 object, no errors, no warnings"), "{}", stdout(&output));
}
