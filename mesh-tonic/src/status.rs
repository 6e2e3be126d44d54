//! Errors of the mesh as gRPC statuses.

use mesh_core::dialect::Grpc;
use mesh_core::error::Chain;
use mesh_core::{Error, Kind};
use std::error::Error as _;
use std::sync::Arc;
use tonic::{Code, Status};

/// The gRPC status of an error of the mesh, with the error as its source: see [`mesh_error`].
///
/// | Kind of error | Status | When |
/// |---|---|---|
/// | [`Bootstrap`](Kind::Bootstrap), [`Target`](Kind::Target) | `UNAVAILABLE` | no call gets there: the mesh or the channel cannot be made |
/// | [`Unconfigured`](Kind::Unconfigured) | `UNAVAILABLE` | the control plane cannot be reached or is silent |
/// | [`Missing`](Kind::Missing) | `UNAVAILABLE` | the control plane does not know the target |
/// | [`Rejected`](Kind::Rejected) | `UNAVAILABLE` | what it sent for the target is invalid, and there is nothing older |
/// | [`NoRoute`](Kind::NoRoute), [`Unsupported`](Kind::Unsupported) | `UNAVAILABLE` | no route matches, or the one that does asks for what is not supported |
/// | [`NoCluster`](Kind::NoCluster), [`NoEndpoint`](Kind::NoEndpoint) | `UNAVAILABLE` | the route leads nowhere |
/// | [`Dropped`](Kind::Dropped) | `UNAVAILABLE` | the control plane has a share of the requests dropped |
/// | [`Unreachable`](Kind::Unreachable), [`Connect`](Kind::Connect) | `UNAVAILABLE` | no connection |
/// | [`Refused`](Kind::Refused), [`Reset`](Kind::Reset) | `UNAVAILABLE` | the endpoint gave the request back, or the connection broke |
/// | [`TryTimeout`](Kind::TryTimeout) | `UNAVAILABLE` | no try was answered in its time, and time of the call is left |
/// | [`Closed`](Kind::Closed), [`Service`](Kind::Service) | `UNAVAILABLE` | the mesh was closed; a layer of the user failed |
/// | [`Deadline`](Kind::Deadline) | `DEADLINE_EXCEEDED` | the time of the call is over |
/// | [`Cancelled`](Kind::Cancelled) | `CANCELLED` | the endpoint cancelled the stream |
/// | [`RequestBody`](Kind::RequestBody) | `CANCELLED` | the caller's messages ended in an error; if that is a status, it is this |
/// | [`Overloaded`](Kind::Overloaded) | `RESOURCE_EXHAUSTED` | the endpoint says `ENHANCE_YOUR_CALM` |
/// | [`Protocol`](Kind::Protocol) | `INTERNAL` | the endpoint broke the rules of HTTP/2 |
///
/// What is missing, unreachable or misconfigured is `UNAVAILABLE` and never, say, `NOT_FOUND`: gRPC leaves the other codes
/// to the application (gRFC A54).
#[must_use]
pub fn status(error: Error) -> Status {
    // A request body of tonic fails with a status of its own.
    if error.kind() == Kind::RequestBody
        && let Some(status) = error.source().and_then(|source| source.downcast_ref::<Status>())
    {
        return status.clone();
    }
    let code = Code::from_i32(Grpc.code(&error).into());
    let mut status = Status::new(code, Chain(&error).to_string());
    status.set_source(Arc::new(error));
    status
}

/// The error of the mesh behind a status; none if the status came from the server.
#[must_use]
pub fn mesh_error(status: &Status) -> Option<&Error> {
    status.source()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_stays_within_reach() {
        let error = Error::new(Kind::Connect, "cannot connect").with_source("refused");
        let status = status(error);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "cannot connect: refused");
        assert_eq!(mesh_error(&status).unwrap().kind(), Kind::Connect);
        assert!(mesh_error(&Status::unavailable("from the server")).is_none());
    }

    #[test]
    fn the_callers_own_status_comes_back() {
        let error = Error::new(Kind::RequestBody, "body").with_source(Status::data_loss("mine"));
        assert_eq!(status(error).code(), Code::DataLoss);
    }

    #[test]
    fn every_kind_has_the_code_of_the_table() {
        for (kind, code) in [
            (Kind::Bootstrap, Code::Unavailable),
            (Kind::Target, Code::Unavailable),
            (Kind::Unconfigured, Code::Unavailable),
            (Kind::Missing, Code::Unavailable),
            (Kind::Rejected, Code::Unavailable),
            (Kind::NoRoute, Code::Unavailable),
            (Kind::Unsupported, Code::Unavailable),
            (Kind::NoCluster, Code::Unavailable),
            (Kind::NoEndpoint, Code::Unavailable),
            (Kind::Dropped, Code::Unavailable),
            (Kind::Unreachable, Code::Unavailable),
            (Kind::Connect, Code::Unavailable),
            (Kind::Refused, Code::Unavailable),
            (Kind::Reset, Code::Unavailable),
            (Kind::Cancelled, Code::Cancelled),
            (Kind::Overloaded, Code::ResourceExhausted),
            (Kind::Protocol, Code::Internal),
            (Kind::Deadline, Code::DeadlineExceeded),
            (Kind::TryTimeout, Code::Unavailable),
            (Kind::RequestBody, Code::Cancelled),
            (Kind::Closed, Code::Unavailable),
            (Kind::Service, Code::Unavailable),
        ] {
            assert_eq!(status(Error::new(kind, "")).code(), code, "{kind:?}");
        }
    }
}
