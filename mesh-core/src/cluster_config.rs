//! A cluster given in code.

use crate::error::{Error, Kind};
use crate::net::Address;
use crate::policy::retry::RetryPolicy;
use crate::resource::cluster::{Cluster, EndpointSource};
use crate::resource::endpoint::{Assignment, LbEndpoint, LocalityEndpoints};
use crate::snapshot::StaticCluster;
use std::sync::Arc;
use std::time::Duration;

/// A cluster given in code: endpoints, and how to call them.
///
/// ```
/// use mesh_core::ClusterConfig;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), mesh_core::Error> {
/// let cluster = ClusterConfig::new("greeter")
///     .endpoint("127.0.0.1:50051")?
///     .endpoint("localhost:50052")?
///     .timeout(Duration::from_secs(1));
/// # assert_eq!(cluster.name(), "greeter");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    name: String,
    priorities: Vec<Vec<Address>>,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    retry: Option<RetryPolicy>,
}

impl ClusterConfig {
    /// A cluster without endpoints, retried as [`RetryPolicy::default`] says and without a time limit.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            priorities: vec![Vec::new()],
            timeout: None,
            connect_timeout: None,
            retry: Some(RetryPolicy::default()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds an endpoint; the forms are those of [`Address::parse`].
    ///
    /// # Errors
    ///
    /// [`Kind::Target`] if `address` is none.
    pub fn endpoint(mut self, address: &str) -> Result<Self, Error> {
        let address = Address::parse(address)
            .map_err(|error| Error::new(Kind::Target, format!("cluster {}: {error}", self.name)))?;
        // Twice the same would be no more than once: an endpoint is known by its address.
        let known = self.priorities.iter().any(|endpoints| endpoints.contains(&address));
        if let Some(endpoints) = self.priorities.last_mut()
            && !known
        {
            endpoints.push(address);
        }
        Ok(self)
    }

    /// Adds the endpoints that follow as a reserve, for when none of those before can be reached.
    #[must_use]
    pub fn reserve(mut self) -> Self {
        self.priorities.push(Vec::new());
        self
    }

    /// Limits the time of a call, retries included. Default: no limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Limits the time in which a connection is made. Default: [`DEFAULT_CONNECT_TIMEOUT`](crate::net::DEFAULT_CONNECT_TIMEOUT).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Tries again like this, or not at all. Default: [`RetryPolicy::default`].
    #[must_use]
    pub fn retry(mut self, policy: Option<RetryPolicy>) -> Self {
        self.retry = policy;
        self
    }
}

impl From<ClusterConfig> for StaticCluster {
    fn from(config: ClusterConfig) -> Self {
        let locality = |addresses: Vec<Address>| {
            vec![LocalityEndpoints::anywhere(addresses.into_iter().map(LbEndpoint::new))]
        };
        let assignment = Assignment::new(config.priorities.into_iter().map(locality).collect());
        let mut cluster = Cluster::new(config.name.into(), EndpointSource::Inline(Arc::new(assignment)));
        cluster.connect_timeout = config.connect_timeout;
        Self::new(cluster, config.timeout, config.retry)
    }
}
