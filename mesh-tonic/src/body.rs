//! The body of a response, with errors that tonic understands.

use crate::status::status;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use mesh_core::dialect::Grpc;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;

/// The body of a response.
#[derive(Debug)]
pub struct ResponseBody {
    inner: mesh_core::body::ResponseBody<Grpc>,
}

impl ResponseBody {
    pub(crate) fn new(inner: mesh_core::body::ResponseBody<Grpc>) -> Self {
        Self { inner }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx).map_err(status)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
