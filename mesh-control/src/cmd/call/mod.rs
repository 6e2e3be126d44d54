//! `mesh call`.

mod caller;
mod load;
mod summary;

use self::caller::Caller;
use self::load::Plan;
use super::{Failure, Output, values};
use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_core::Mesh;
use std::path::PathBuf;
use std::time::Duration;

/// How long connections may take to end after the last call.
const CLOSING_TIME: Duration = Duration::from_secs(1);

/// Call a service through the mesh and say who answered
///
/// The control plane is the one of the environment: GRPC_XDS_BOOTSTRAP (a file) or GRPC_XDS_BOOTSTRAP_CONFIG (its
/// content), as gRPC has them. Prints who answered, the statuses with their messages, and the latencies. Exits with 1
/// if any call failed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mesh call xds:///greeter.default.svc.cluster.local:50051 --method /helloworld.Greeter/SayHello
  mesh call greeter:50051 --method /helloworld.Greeter/SayHello -n 1000 --rate 200 -c 8 --header end-user=jason
  mesh call http://reviews:9080/reviews/1 -n 100 -o json")]
pub(super) struct Call {
    /// A gRPC target, `xds:///host:port` or `host:port`, or a URL, `http://host:port/path`
    target: String,
    /// The gRPC method, `/package.Service/Method`; or the HTTP method, such as POST
    #[arg(short, long)]
    method: Option<String>,
    /// How many calls to make
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Calls per second; as fast as they are answered if not given. Latencies count from when a call was due
    #[arg(long, value_parser = values::rate)]
    rate: Option<f64>,
    /// Calls in flight at the same time, at most
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,
    /// How long a call may take, waiting for configuration included
    #[arg(short, long, default_value = "20s", value_parser = values::duration)]
    deadline: Duration,
    /// A header to send, name=value; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = values::header)]
    headers: Vec<(String, String)>,
    /// What to send: the encoded gRPC message, or the HTTP body. Empty if not given
    #[arg(long, conflicts_with = "data_file")]
    data: Option<String>,
    /// A file with what to send
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Call {
    pub(super) async fn run(self) -> Result<bool, Failure> {
        let data: Bytes = match (&self.data, &self.data_file) {
            (Some(data), _) => data.clone().into(),
            (None, Some(file)) => std::fs::read(file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?
                .into(),
            (None, None) => Bytes::new(),
        };
        let mesh = Mesh::from_env().await?;
        let caller = self.caller(&mesh, data)?;
        let what = caller.to_string();
        let plan = Plan { count: self.count, rate: self.rate, concurrency: self.concurrency };
        let summary = load::run(caller, plan, mesh.clock().clone()).await;
        match self.output {
            Output::Text => print!("{}", summary.text(&what)),
            Output::Json => println!("{:#}", summary.json(&what)),
        }
        mesh.close(CLOSING_TIME).await;
        let failed = summary.failed() > 0;
        if let Some(doubt) = values::doubt(&values::target(&self.target)).filter(|_| failed) {
            eprintln!("mesh: {doubt}");
        }
        Ok(!failed)
    }

    fn caller(&self, mesh: &Mesh, data: Bytes) -> Result<Caller, Failure> {
        if self.target.starts_with("http://") || self.target.starts_with("https://") {
            let method = self.method.as_deref();
            return Caller::http(mesh, &self.target, method, &self.headers, data, self.deadline);
        }
        let Some(method) = &self.method else {
            let why =
                "a gRPC call needs --method /package.Service/Method; for HTTP write http://host:port/path";
            return Err(why.into());
        };
        let path = match method.matches('/').count() {
            2 if method.starts_with('/') => PathAndQuery::try_from(method.as_str()).ok(),
            1 if !method.starts_with('/') => PathAndQuery::try_from(format!("/{method}")).ok(),
            _ => None,
        };
        let path =
            path.ok_or_else(|| format!("{method:?} is not a method: write /package.Service/Method"))?;
        Caller::grpc(mesh, &values::target(&self.target), path, &self.headers, data, self.deadline)
    }
}
