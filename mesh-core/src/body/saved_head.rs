//! The head of a request, to send it again.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use smallvec::SmallVec;

/// A copy of the head of a request, but for its extensions, which costs no allocation while there are few headers.
#[derive(Clone, Debug)]
pub(crate) struct SavedHead {
    method: Method,
    uri: Uri,
    version: Version,
    headers: SmallVec<[(HeaderName, HeaderValue); 4]>,
}

impl SavedHead {
    /// Copies `head`, but for its extensions.
    pub(crate) fn of(head: &Parts) -> Self {
        let mut headers = SmallVec::with_capacity(head.headers.len());
        for (name, value) in &head.headers {
            headers.push((name.clone(), value.clone()));
        }
        Self { method: head.method.clone(), uri: head.uri.clone(), version: head.version, headers }
    }

    /// The head once more.
    pub(crate) fn to_parts(&self) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method.clone();
        head.uri = self.uri.clone();
        head.version = self.version;
        head.headers.extend(self.headers.iter().cloned().map(|(name, value)| (Some(name), value)));
        head
    }
}
