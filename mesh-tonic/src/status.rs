//! Errors of the mesh as gRPC statuses.

use mesh_core::dialect::Grpc;
use mesh_core::error::Chain;
use mesh_core::{Error, Kind};
use std::error::Error as _;
use std::sync::Arc;
use tonic::{Code, Status};

/// The gRPC status of an error of the mesh, with the error as its source: see [`mesh_error`].
///
/// | Kind of error | Status |
/// |---|---|
/// | [`Deadline`](Kind::Deadline) | `DEADLINE_EXCEEDED` |
/// | [`Cancelled`](Kind::Cancelled), [`RequestBody`](Kind::RequestBody) | `CANCELLED` |
/// | [`Overloaded`](Kind::Overloaded) | `RESOURCE_EXHAUSTED` |
/// | [`Protocol`](Kind::Protocol) | `INTERNAL` |
/// | every other | `UNAVAILABLE` |
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
    fn codes() {
        let code = |kind| status(Error::new(kind, "")).code();
        assert_eq!(code(Kind::Deadline), Code::DeadlineExceeded);
        assert_eq!(code(Kind::Cancelled), Code::Cancelled);
        assert_eq!(code(Kind::Protocol), Code::Internal);
        for kind in [Kind::Missing, Kind::NoRoute, Kind::Unreachable, Kind::Closed, Kind::Unconfigured] {
            assert_eq!(code(kind), Code::Unavailable, "{kind:?}");
        }
    }
}
