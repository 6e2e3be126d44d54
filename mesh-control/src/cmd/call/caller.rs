//! One call, and what became of it.

use crate::cmd::Failure;
use crate::raw::RawCodec;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http_body_util::{BodyExt, Full};
use mesh_core::Mesh;
use mesh_core::error::Chain;
use mesh_core::overrides::{CallTrace, Decision, Overrides};
use mesh_tonic::Channel;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// Makes calls, all alike.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    target: String,
    what: What,
    headers: http::HeaderMap,
    data: Bytes,
    deadline: Duration,
}

#[derive(Clone, Debug)]
enum What {
    Grpc { client: tonic::client::Grpc<Channel>, path: PathAndQuery },
    Http { client: mesh_hyper::Client, method: http::Method, url: http::Uri },
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) ok: bool,
    pub(super) status: String,
    pub(super) message: String,
    /// The endpoint that answered, and its cluster.
    pub(super) answered: Option<(Arc<str>, Arc<str>)>,
}

impl Caller {
    pub(super) fn grpc(
        mesh: &Mesh,
        target: &str,
        path: PathAndQuery,
        headers: &[(String, String)],
        data: Bytes,
        deadline: Duration,
    ) -> Result<Self, Failure> {
        let client = tonic::client::Grpc::new(Channel::new(mesh, target)?);
        let what = What::Grpc { client, path };
        Ok(Self { target: target.to_owned(), what, headers: header_map(headers)?, data, deadline })
    }

    pub(super) fn http(
        mesh: &Mesh,
        url: &str,
        method: Option<&str>,
        headers: &[(String, String)],
        data: Bytes,
        deadline: Duration,
    ) -> Result<Self, Failure> {
        let target = http::Uri::try_from(url).map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        let method = method.unwrap_or(if data.is_empty() { "GET" } else { "POST" });
        let method = http::Method::try_from(method)
            .map_err(|_| format!("{method:?} is not an HTTP method: write, say, POST"))?;
        let what = What::Http { client: mesh_hyper::Client::new(mesh), method, url: target };
        Ok(Self { target: url.to_owned(), what, headers: header_map(headers)?, data, deadline })
    }

    /// Makes a call.
    pub(super) async fn call(&self) -> Outcome {
        let trace = CallTrace::default();
        let overrides = Overrides::default().timeout(self.deadline).trace(&trace);
        let (ok, status, message) = match &self.what {
            What::Grpc { client, path } => {
                let mut request = tonic::Request::new(self.data.clone());
                *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
                request.extensions_mut().insert(overrides);
                match unary(client.clone(), request, path.clone()).await {
                    Ok(_) => (true, code_name(Code::Ok).to_owned(), String::new()),
                    Err(status) => (false, code_name(status.code()).to_owned(), status.message().to_owned()),
                }
            }
            What::Http { client, method, url } => {
                let mut request = http::Request::new(Full::new(self.data.clone()));
                *request.method_mut() = method.clone();
                *request.uri_mut() = url.clone();
                *request.headers_mut() = self.headers.clone();
                request.extensions_mut().insert(overrides);
                exchange(client, request).await
            }
        };
        Outcome { ok, status, message, answered: who_answered(&trace) }
    }
}

async fn unary(
    mut client: tonic::client::Grpc<Channel>,
    request: tonic::Request<Bytes>,
    path: PathAndQuery,
) -> Result<(), Status> {
    client.ready().await?;
    client.unary(request, path, RawCodec).await.map(drop)
}

async fn exchange(
    client: &mesh_hyper::Client,
    request: http::Request<Full<Bytes>>,
) -> (bool, String, String) {
    let failed = |error: &mesh_core::Error| (false, format!("{:?}", error.kind()), Chain(error).to_string());
    match client.request(request).await {
        Ok(response) => {
            let status = response.status();
            let (mut body, mut result) = (response.into_body(), Ok(()));
            // The call is over when its body is.
            while let Some(frame) = body.frame().await {
                if let Err(error) = frame {
                    result = Err(error);
                    break;
                }
            }
            match result {
                Ok(()) => (
                    !status.is_client_error() && !status.is_server_error(),
                    status.to_string(),
                    String::new(),
                ),
                Err(error) => failed(&error),
            }
        }
        Err(error) => failed(&error),
    }
}

/// The endpoint whose answer was the final one, and its cluster.
fn who_answered(trace: &CallTrace) -> Option<(Arc<str>, Arc<str>)> {
    let (mut of, mut tried, mut answered) = (Arc::from(""), None, None);
    for (_, decision) in trace.decisions() {
        match decision {
            Decision::Route { cluster, .. } => of = cluster,
            Decision::Try(endpoint) => (tried, answered) = (Some(endpoint), None),
            Decision::Answer { .. } => answered.clone_from(&tried),
            _ => {}
        }
    }
    answered.map(|endpoint| (endpoint, of))
}

fn header_map(headers: &[(String, String)]) -> Result<http::HeaderMap, Failure> {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.append(http::HeaderName::try_from(name)?, http::HeaderValue::try_from(value)?);
    }
    Ok(map)
}

/// The name of a code as gRPC's documentation writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Grpc { path, .. } => write!(f, "{} {path}", self.target),
            What::Http { method, .. } => write!(f, "{method} {}", self.target),
        }
    }
}
