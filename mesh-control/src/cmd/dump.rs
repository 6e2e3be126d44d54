//! `mesh dump`.

use super::{Failure, Output, values};
use mesh_core::Mesh;
use mesh_core::endpoint::{Endpoint, Protocol};
use mesh_core::resource::Kind;
use mesh_core::route::{Action, VirtualHost};
use mesh_core::snapshot::report::{ControlPlaneReport, Report, ResourceReport};
use mesh_core::snapshot::{Snapshot, TargetState};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;
use tokio::time::timeout;

/// What becomes of fields that have no effect: their key, and its title.
const UNUSED: [(&str, &str); 3] = [
    ("kept", "FIELDS NOT ACTED ON YET"),
    ("without_effect", "FIELDS WITHOUT EFFECT"),
    ("unknown", "UNKNOWN FIELDS"),
];
/// How long connections may take to end.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// Show what a client gets from the control plane for some targets, and what becomes of it
///
/// The control plane is the one of the environment, as for `mesh call`. Waits until everything about the targets is
/// known. Exits with 1 if a target cannot be used or a resource was refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: mesh dump greeter.default.svc.cluster.local:50051")]
pub(super) struct Dump {
    /// gRPC targets, `xds:///host:port` or `host:port`
    #[arg(required = true)]
    targets: Vec<String>,
    /// How long to wait for what is not known yet
    #[arg(long, default_value = "20s", value_parser = values::duration)]
    timeout: Duration,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Dump {
    pub(super) async fn run(self) -> Result<bool, Failure> {
        let mesh = Mesh::from_env().await?;
        let mut events = mesh.events();
        let mut handles = Vec::new();
        for target in &self.targets {
            handles.push(mesh.target(&values::target(target), Protocol::Http2)?);
        }
        let settled = async {
            while !is_settled(&mesh.report().await?) {
                // Missed events are no reason to stop: the report tells all.
                let _ = events.recv().await;
            }
            Ok::<_, Failure>(())
        };
        if let Ok(result) = timeout(self.timeout, settled).await {
            result?;
        }
        let report = mesh.report().await?;
        let dump = to_json(&report, &mesh.published().load(), &mesh_core::dump::Dump::new(&report));
        match self.output {
            Output::Text => print!("{}", to_text(&dump)),
            Output::Json => println!("{dump:#}"),
        }
        mesh.close(CLOSING_TIME).await;
        let good = is_good(&report);
        for doubt in self.targets.iter().filter_map(|target| values::doubt(&values::target(target))) {
            if !good {
                eprintln!("mesh: {doubt}");
            }
        }
        Ok(good)
    }
}

fn is_settled(report: &Report) -> bool {
    let known = !report.targets.iter().any(|(_, state)| matches!(state, TargetState::Pending));
    let waits = |resource: &ResourceReport| resource.status == "pending" && resource.rejection.is_none();
    known && !report.resources.iter().any(waits)
}

fn is_good(report: &Report) -> bool {
    report.targets.iter().all(|(_, state)| matches!(state, TargetState::Routed(_)))
        && report.resources.iter().all(|resource| resource.rejection.is_none())
}

fn to_json(report: &Report, snapshot: &Snapshot, unused: &mesh_core::dump::Dump) -> Value {
    let mut endpoints: Vec<_> = report.endpoints.iter().collect();
    endpoints.sort_by(|one, other| one.label().cmp(other.label()));
    json!({
        "control_plane": report.control_plane.as_ref().map(control_plane_json),
        "authorities": report.authorities.iter().map(control_plane_json).collect::<Vec<_>>(),
        "targets": report.targets.iter().map(|(spec, state)| {
            let (status, why, hosts) = match state {
                TargetState::Pending => ("pending", waits_for(report, &spec.name), Vec::new()),
                TargetState::Failed(failure) => ("failed", Some(failure.to_error().to_string()), Vec::new()),
                TargetState::Routed(routes) => {
                    let own = routes.host.and_then(|host| routes.table.host(host));
                    let hosts = own.map(|host| virtual_host(host, snapshot));
                    ("routed", None, hosts.into_iter().collect())
                }
            };
            json!({"name": &*spec.name, "status": status, "why": why, "virtual_hosts": hosts})
        }).collect::<Vec<_>>(),
        "resources": report.resources.iter().zip(&unused.resources).map(|(resource, unused)| json!({
            "kind": resource.kind.as_str(),
            "name": &*resource.name,
            "status": resource.status,
            "version": resource.version.as_deref(),
            "bytes": resource.bytes.as_ref().map(|bytes| bytes.len()),
            "refused": resource.rejection.as_ref().map(|rejection| json!({
                "version": &*rejection.version,
                "reason": rejection.reason,
            })),
            "error": resource.error,
            "kept": unused.kept,
            "without_effect": unused.reported,
            "unknown": unused.unknown,
        })).collect::<Vec<_>>(),
        "endpoints": endpoints.into_iter().map(|endpoint| endpoint_json(endpoint)).collect::<Vec<_>>(),
    })
}

fn control_plane_json(control_plane: &ControlPlaneReport) -> Value {
    let servers = control_plane.servers.iter().map(
        |server| json!({"source": server.source, "connected": server.connected, "failures": server.outages}),
    );
    json!({
        "authorities": control_plane.authorities,
        "source": control_plane.source,
        "identifier": control_plane.identifier,
        "connected": control_plane.connected,
        "error": control_plane.error.as_deref(),
        "from_disk": control_plane.from_disk,
        "servers": servers.collect::<Vec<_>>(),
        "versions": control_plane.versions.iter()
            .map(|(kind, version)| (kind.as_str().to_owned(), json!(version)))
            .collect::<serde_json::Map<_, _>>(),
    })
}

/// Why a target is not known yet, if something can be said.
fn waits_for(report: &Report, target: &str) -> Option<String> {
    let listener = report.resources.iter().find(|it| it.kind == Kind::Listener && *it.name == *target)?;
    (listener.status != "present").then(|| format!("its Listener: {}", listener.status))
}

fn virtual_host(host: &VirtualHost, snapshot: &Snapshot) -> Value {
    let routes = host.routes().map(|(condition, route)| {
        let clusters = match &route.action {
            Action::Forward(forward) => forward
                .weights()
                .map(|(index, weight)| {
                    let cluster = snapshot.cluster(index).map(|view| view.cluster.name.to_string());
                    json!({"cluster": cluster, "weight": weight})
                })
                .collect(),
            Action::Unsupported(_) => Vec::new(),
        };
        let conditions = [
            (!condition.headers.is_empty(), "headers"),
            (!condition.query.is_empty(), "query parameters"),
            (condition.fraction.is_some(), "a share of requests"),
        ];
        json!({
            "name": &*route.name,
            "origin": route.origin.as_deref(),
            "path": condition.path.to_string(),
            "also_matches_on": conditions.iter().filter(|(on, _)| *on).map(|(_, what)| what).collect::<Vec<_>>(),
            "clusters": clusters,
            "unsupported": match &route.action {
                Action::Unsupported(what) => Some(what),
                Action::Forward(_) => None,
            },
        })
    });
    json!({"name": &*host.name, "routes": routes.collect::<Vec<_>>()})
}

fn endpoint_json(endpoint: &Endpoint) -> Value {
    let (answered, failed) = endpoint.load().totals();
    json!({
        "address": &**endpoint.label(),
        "state": format!("{:?}", endpoint.readiness()).to_lowercase(),
        "error": endpoint.error().as_deref(),
        "connections": endpoint.connections(),
        "pending": endpoint.load().pending(),
        "answered": answered,
        "failed": failed,
    })
}

/// The JSON for people.
fn to_text(dump: &Value) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(out, "CONTROL PLANE");
    match &dump["control_plane"] {
        Value::Null => out.push_str("  none\n"),
        it => write_control_plane(&mut out, it),
    }
    for it in list(&dump["authorities"]) {
        let names = list(&it["authorities"]).iter().map(text).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "\nCONTROL PLANE of xdstp names of {names}");
        write_control_plane(&mut out, &it);
    }
    let _ = writeln!(out, "\nTARGETS");
    for target in list(&dump["targets"]) {
        let _ = writeln!(
            out,
            "  {}  {}  {}",
            text(&target["name"]),
            text(&target["status"]),
            text(&target["why"])
        );
        for host in list(&target["virtual_hosts"]) {
            let _ = writeln!(out, "    virtual host {}", text(&host["name"]));
            for route in list(&host["routes"]) {
                let also = list(&route["also_matches_on"]).iter().map(text).collect::<Vec<_>>().join(", ");
                let also = if also.is_empty() { also } else { format!(" and {also}") };
                let _ = writeln!(out, "      {}{also}  {}", text(&route["path"]), text(&route["origin"]));
                for cluster in list(&route["clusters"]) {
                    let _ = writeln!(
                        out,
                        "        {:>5}  {}",
                        text(&cluster["weight"]),
                        text(&cluster["cluster"])
                    );
                }
                if !route["unsupported"].is_null() {
                    let _ = writeln!(out, "        not supported: {}", text(&route["unsupported"]));
                }
            }
        }
    }
    let _ = writeln!(out, "\nRESOURCES");
    let mut unused = BTreeSet::new();
    for resource in list(&dump["resources"]) {
        let (kind, name) = (text(&resource["kind"]), text(&resource["name"]));
        let _ = writeln!(
            out,
            "  {kind:<22} {name}  {}  {}",
            text(&resource["status"]),
            text(&resource["version"])
        );
        if !resource["refused"].is_null() {
            let refused = &resource["refused"];
            let _ = writeln!(out, "    refused {}: {}", text(&refused["version"]), text(&refused["reason"]));
        }
        if !resource["error"].is_null() {
            let _ = writeln!(out, "    the control plane reports: {}", text(&resource["error"]));
        }
        for (key, _) in UNUSED {
            let paths = list(&resource[key]).into_iter().map(|path| (key, kind.clone(), text(&path)));
            unused.extend(paths);
        }
    }
    let _ = writeln!(out, "\nENDPOINTS");
    for endpoint in list(&dump["endpoints"]) {
        let (address, state) = (text(&endpoint["address"]), text(&endpoint["state"]));
        let _ = writeln!(out, "  {address}  {state}  {}", text(&endpoint["error"]));
    }
    for (key, title) in UNUSED {
        let fields: Vec<_> = unused.iter().filter(|(of, ..)| *of == key).collect();
        if !fields.is_empty() {
            let _ = writeln!(out, "\n{title}");
        }
        for (_, kind, path) in fields {
            let _ = writeln!(out, "  {kind:<22} {path}");
        }
    }
    out
}

fn write_control_plane(out: &mut String, it: &Value) {
    let link = if it["connected"] == true { "connected" } else { "not connected" };
    // Writing to a string does not fail.
    let _ = writeln!(out, "  {}  {}  {link}", text(&it["source"]), text(&it["identifier"]));
    if !it["error"].is_null() {
        let _ = writeln!(out, "  last error: {}", text(&it["error"]));
    }
    if it["from_disk"] != 0 {
        let resources = text(&it["from_disk"]);
        let _ = writeln!(out, "  resources from the disk cache, which nobody has confirmed: {resources}");
    }
    let servers = list(&it["servers"]);
    for server in servers.iter().filter(|_| servers.len() > 1) {
        let state = match &server["connected"] {
            Value::Bool(true) => "works",
            Value::Bool(false) => "fails",
            _ => "stands by",
        };
        let _ =
            writeln!(out, "  server {}  {state}, failures {}", text(&server["source"]), server["failures"]);
    }
    for kind in [Kind::Listener, Kind::Route, Kind::Cluster, Kind::Endpoint] {
        let _ = writeln!(out, "  {:<22} version {}", kind.as_str(), text(&it["versions"][kind.as_str()]));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
