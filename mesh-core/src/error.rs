//! The one error type of the mesh: what went wrong, for which route, cluster and endpoint, and whether the request
//! may be sent again.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Any error, as tower's middleware passes it around.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error of the mesh.
///
/// [`kind`](Self::kind) says what happened, [`retry_safety`](Self::retry_safety) whether the request can have had an
/// effect. The message names the target, route, cluster and endpoint as far as they were known.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    safety: RetrySafety,
    target: Option<Arc<str>>,
    route: Option<Arc<str>>,
    cluster: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    detail: Cow<'static, str>,
    source: Option<BoxError>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// The bootstrap is missing or broken: see [`crate::bootstrap`].
    Bootstrap,
    /// A target or URL cannot be understood, or names a host that the mesh does not know and may not pass through.
    Target,
    /// No configuration arrived in time: the control plane is unreachable or silent.
    Unconfigured,
    /// The control plane says that a resource does not exist, or never answered for it.
    Missing,
    /// The control plane sent a resource that is invalid, and there is no earlier good one.
    Rejected,
    /// The configuration has no route for this request.
    NoRoute,
    /// The matched route asks for something that this version cannot do.
    Unsupported,
    /// The route leads to a cluster that does not exist.
    NoCluster,
    /// The cluster has no endpoint that may be used.
    NoEndpoint,
    /// The control plane has a share of the requests to the cluster dropped (`drop_overloads`), and this is one of them.
    Dropped,
    /// The cluster has endpoints, but none can be reached.
    Unreachable,
    /// A connection to the endpoint could not be made.
    Connect,
    /// The endpoint gave the request back unprocessed.
    Refused,
    /// The connection or the stream broke before the response was complete.
    Reset,
    /// The endpoint cancelled the stream.
    Cancelled,
    /// The endpoint says that it gets too much from us.
    Overloaded,
    /// The endpoint broke the protocol.
    Protocol,
    /// The time for the whole call is over.
    Deadline,
    /// The time for one try is over.
    TryTimeout,
    /// The caller's request body failed.
    RequestBody,
    /// The mesh was closed.
    Closed,
    /// A wrapped service failed for a reason of its own.
    Service,
}

/// Whether a failed request can have had an effect at its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetrySafety {
    /// Nothing of the request left this process.
    NeverSent,
    /// The peer says that it has not processed the request, or the protocol says so for it.
    Refused,
    /// The request may have been processed.
    Unknown,
}

impl RetrySafety {
    /// Whether the request may be sent again whatever its method.
    #[must_use]
    pub fn is_safe(self) -> bool {
        self != Self::Unknown
    }
}

impl Kind {
    /// A short, stable name for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Target => "target",
            Self::Unconfigured => "unconfigured",
            Self::Missing => "missing",
            Self::Rejected => "rejected",
            Self::NoRoute => "no_route",
            Self::Unsupported => "unsupported",
            Self::NoCluster => "no_cluster",
            Self::NoEndpoint => "no_endpoint",
            Self::Dropped => "dropped",
            Self::Unreachable => "unreachable",
            Self::Connect => "connect",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Cancelled => "cancelled",
            Self::Overloaded => "overloaded",
            Self::Protocol => "protocol",
            Self::Deadline => "deadline",
            Self::TryTimeout => "try_timeout",
            Self::RequestBody => "request_body",
            Self::Closed => "closed",
            Self::Service => "service",
        }
    }

    fn safety(self) -> RetrySafety {
        match self {
            Self::Refused => RetrySafety::Refused,
            Self::Reset
            | Self::Cancelled
            | Self::Overloaded
            | Self::Protocol
            | Self::Deadline
            | Self::TryTimeout
            | Self::RequestBody
            | Self::Service => RetrySafety::Unknown,
            _ => RetrySafety::NeverSent,
        }
    }
}

impl Error {
    /// An error of `kind` with the retry safety that goes with it.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            safety: kind.safety(),
            target: None,
            route: None,
            cluster: None,
            endpoint: None,
            detail: detail.into(),
            source: None,
        }))
    }

    /// Takes any error; one that already is a mesh error stays as it is.
    pub fn from_boxed(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(other) => Self::new(Kind::Service, "the service failed").with_source(other),
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether the request can have had an effect.
    #[must_use]
    pub fn retry_safety(&self) -> RetrySafety {
        self.0.safety
    }

    /// The target the call was made to, such as `echo.default.svc.cluster.local:7070`.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// The name of the matched route.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.0.route.as_deref()
    }

    /// The name of the cluster the route leads to.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.0.cluster.as_deref()
    }

    /// The address of the endpoint that was tried.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// The label of the endpoint that was tried, which is the endpoint's own.
    pub(crate) fn endpoint_label(&self) -> Option<&Arc<str>> {
        self.0.endpoint.as_ref()
    }

    /// Overrides the retry safety that goes with the kind.
    #[must_use]
    pub fn with_safety(mut self, safety: RetrySafety) -> Self {
        self.0.safety = safety;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what else may have to do with it.
    #[must_use]
    pub fn with_note(mut self, note: &str) -> Self {
        let cause = self.0.source.take().map(|cause| format!("{}; ", Chain(&*cause)));
        self.with_source(cause.unwrap_or_default() + note)
    }

    /// Names the target, unless one is named.
    #[must_use]
    pub fn with_target(mut self, target: &Arc<str>) -> Self {
        self.0.target.get_or_insert_with(|| target.clone());
        self
    }

    /// Names the route, unless one is named.
    #[must_use]
    pub fn with_route(mut self, route: &Arc<str>) -> Self {
        if !route.is_empty() {
            self.0.route.get_or_insert_with(|| route.clone());
        }
        self
    }

    /// Names the cluster, unless one is named.
    #[must_use]
    pub fn with_cluster(mut self, cluster: &Arc<str>) -> Self {
        self.0.cluster.get_or_insert_with(|| cluster.clone());
        self
    }

    /// Names the endpoint, unless one is named.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: &Arc<str>) -> Self {
        self.0.endpoint.get_or_insert_with(|| endpoint.clone());
        self
    }
}

/// Why something cannot be used: an error that is handed to every call that needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of error each call gets.
    pub kind: Kind,
    /// Its message.
    pub message: Arc<str>,
}

/// The error and all of its causes in one line.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn StdError + 'static));

// ===== impl Error =====

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.write_str(&inner.detail)?;
        let named = [
            ("target", &inner.target),
            ("route", &inner.route),
            ("cluster", &inner.cluster),
            ("endpoint", &inner.endpoint),
        ];
        let mut separator = " (";
        for (what, name) in named {
            if let Some(name) = name {
                write!(f, "{separator}{what} {name}")?;
                separator = ", ";
            }
        }
        if separator == ", " {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

// ===== impl Failure =====

impl Failure {
    /// A failure with a message.
    pub fn new(kind: Kind, message: impl Into<Arc<str>>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The error for one call.
    #[must_use]
    pub fn to_error(&self) -> Error {
        Error::new(self.kind, self.message.to_string())
    }
}

// ===== impl Chain =====

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_what_is_known() {
        let error = Error::new(Kind::Connect, "cannot connect")
            .with_cluster(&"reviews".into())
            .with_endpoint(&"10.0.0.1:80".into())
            .with_source("connection refused");
        assert_eq!(error.to_string(), "cannot connect (cluster reviews, endpoint 10.0.0.1:80)");
        assert_eq!(
            Chain(&error).to_string(),
            "cannot connect (cluster reviews, endpoint 10.0.0.1:80): connection refused"
        );
        assert_eq!(Error::new(Kind::Closed, "closed").to_string(), "closed");
    }

    #[test]
    fn the_first_name_stays() {
        let error = Error::new(Kind::Reset, "reset").with_endpoint(&"a".into()).with_endpoint(&"b".into());
        assert_eq!(error.endpoint(), Some("a"));
    }

    #[test]
    fn safety_follows_the_kind_unless_overridden() {
        assert_eq!(Error::new(Kind::Connect, "").retry_safety(), RetrySafety::NeverSent);
        assert_eq!(Error::new(Kind::Refused, "").retry_safety(), RetrySafety::Refused);
        assert_eq!(Error::new(Kind::Reset, "").retry_safety(), RetrySafety::Unknown);
        let error = Error::new(Kind::Reset, "").with_safety(RetrySafety::Refused);
        assert!(error.retry_safety().is_safe());
    }

    #[test]
    fn boxed_mesh_errors_come_back_whole() {
        let boxed: BoxError = Box::new(Error::new(Kind::NoRoute, "no route"));
        assert_eq!(Error::from_boxed(boxed).kind(), Kind::NoRoute);
        let foreign = Error::from_boxed("other".into());
        assert_eq!(foreign.kind(), Kind::Service);
        assert_eq!(foreign.source().unwrap().to_string(), "other");
    }
}
