//! The mesh: what an application makes once and shares.

use crate::bootstrap::{Bootstrap, DiskCache, ListenerTemplate, Node};
use crate::clock::Clock;
use crate::cluster::Settings;
use crate::cluster_config::ClusterConfig;
use crate::dump::Dump;
use crate::endpoint::Protocol;
use crate::error::{Error, Kind};
use crate::net::h2_driver::KeepAlive;
use crate::net::{Dialer, Environment};
use crate::policy::retry_budget::RetryBudgetConfig;
use crate::resource::providers::CertificateProviders;
use crate::resource::{Kind as ResourceKinds, Local};
use crate::snapshot::driver::{Command, Driver};
use crate::snapshot::handle::{TargetHandle, Targets};
use crate::snapshot::report::Report;
use crate::snapshot::{Fallback, Origin, Published, Served, StaticCluster, TargetSpec};
use crate::telemetry::events::Event;
use crate::telemetry::metrics::{self, Sample};
use crate::xds::CONFIGURATION_TIMEOUT;
use crate::xds::client::Client;
use crate::xds::directory::Directory;
use crate::xds::disk::Disk;
use crate::xds::in_process::ControlPlane;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::AbortHandle;

/// The scheme of targets that the control plane knows.
const XDS_SCHEME: &str = "xds";
/// The scheme of targets that were given in code.
const STATIC_SCHEME: &str = "static";

/// A service mesh inside the process.
///
/// Cheap to clone. It holds one stream to the control plane, however many clients use it, and is independent of every
/// other `Mesh` in the process. When the last clone and the last client made from it are gone, every task it started
/// ends; [`close`](Self::close) does the same in an orderly way.
#[derive(Clone)]
pub struct Mesh {
    targets: Arc<Targets>,
    templates: Arc<Templates>,
}

/// Makes a [`Mesh`].
#[derive(Default)]
pub struct Builder {
    directory: Option<Directory>,
    local: Local,
    node: Node,
    templates: Templates,
    disk_cache: Option<DiskCache>,
    clusters: Vec<ClusterConfig>,
    dialer: Dialer,
    clock: Option<Clock>,
    settings: Settings,
}

/// The names of the Listeners that targets stand for.
#[derive(Debug, Default)]
struct Templates {
    default: ListenerTemplate,
    /// Whether the control plane treats us as a sidecar, which asks for no Listener by name.
    sidecar: bool,
    authorities: BTreeMap<String, ListenerTemplate>,
}

impl Mesh {
    /// A mesh configured by the control plane that the environment names: `GRPC_XDS_BOOTSTRAP` or
    /// `GRPC_XDS_BOOTSTRAP_CONFIG`, as gRPC has them.
    ///
    /// Does not wait for the control plane: calls do, as long as they may.
    ///
    /// # Errors
    ///
    /// [`Kind::Bootstrap`] if the bootstrap is missing or broken.
    #[expect(clippy::unused_async, reason = "a tokio runtime has to be there, which an async function shows")]
    pub async fn from_env() -> Result<Self, Error> {
        Self::builder().bootstrap(Bootstrap::from_env()?).build()
    }

    /// A mesh configured by the control plane of `bootstrap`.
    ///
    /// # Errors
    ///
    /// [`Kind::Bootstrap`] outside of a tokio runtime.
    pub fn from_bootstrap(bootstrap: Bootstrap) -> Result<Self, Error> {
        Self::builder().bootstrap(bootstrap).build()
    }

    /// A mesh to be configured in code.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What a URI leads to: `xds:///host:port`, a service that the control plane knows, `xds://authority/host:port`, one
    /// that an authority of the bootstrap knows (gRFC A47), or `static:///name`, a cluster that was given to the
    /// [`Builder`].
    ///
    /// # Errors
    ///
    /// [`Kind::Target`] if the URI is none of these, or the bootstrap does not have the authority.
    pub fn target(&self, uri: &str, protocol: Protocol) -> Result<Arc<TargetHandle>, Error> {
        let fail = |why: &str| {
            let detail = format!("{uri:?} is not a target: {why}; write xds:///host:port or static:///name");
            Err(Error::new(Kind::Target, detail))
        };
        let Some((scheme, rest)) = uri.split_once(':') else { return fail("it has no scheme") };
        let (authority, name) = match rest.strip_prefix("//") {
            Some(rest) => match rest.split_once('/') {
                Some(parts) => parts,
                None => return fail("two slashes begin an authority; the name follows the third"),
            },
            None => ("", rest.strip_prefix('/').unwrap_or(rest)),
        };
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return fail("its name is empty, or has a character that names cannot have");
        }
        match scheme {
            XDS_SCHEME if authority.is_empty() => {
                let origin = self.origin(name, Fallback::Refuse);
                Ok(self.to(name, protocol, Served::ByName, origin))
            }
            XDS_SCHEME => match self.templates.authorities.get(authority) {
                Some(template) => {
                    let origin = listener(template, name, Fallback::Refuse);
                    Ok(self.to(name, protocol, Served::ByName, origin))
                }
                None => fail(&format!("the bootstrap has no authority {authority:?}")),
            },
            _ if !authority.is_empty() => fail("only xds: targets have an authority"),
            STATIC_SCHEME => Ok(self.to(name, protocol, Served::ByName, Origin::Static(name.into()))),
            _ => fail("the scheme is not known"),
        }
    }

    /// The service that the control plane knows by `name`, such as `host:port`, for requests of any
    /// [authority](Served::ByAuthority); `fallback` says what to do if it knows none.
    #[must_use]
    pub fn discovered(&self, name: &str, protocol: Protocol, fallback: Fallback) -> Arc<TargetHandle> {
        self.to(name, protocol, Served::ByAuthority, self.origin(name, fallback))
    }

    fn origin(&self, name: &str, fallback: Fallback) -> Origin {
        match self.templates.sidecar {
            true => Origin::Sidecar { fallback },
            false => listener(&self.templates.default, name, fallback),
        }
    }

    fn to(&self, name: &str, protocol: Protocol, served: Served, origin: Origin) -> Arc<TargetHandle> {
        self.targets.get(TargetSpec { name: name.into(), protocol, served, origin })
    }

    /// Tells the time and draws random numbers.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.targets.environment().clock
    }

    /// Where snapshots are found.
    #[must_use]
    pub fn published(&self) -> &Published {
        self.targets.published()
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.targets.environment().events.watch()
    }

    /// Where everything stands.
    ///
    /// # Errors
    ///
    /// [`Kind::Closed`] if the mesh is closed.
    pub async fn report(&self) -> Result<Report, Error> {
        let (reply, report) = oneshot::channel();
        self.targets.command(Command::Report(reply));
        report.await.map_err(|_| Error::new(Kind::Closed, "the mesh is closed"))
    }

    /// What the control plane sent and nothing is done with, resource by resource.
    ///
    /// # Errors
    ///
    /// [`Kind::Closed`] if the mesh is closed.
    pub async fn dump(&self) -> Result<Dump, Error> {
        Ok(Dump::new(&self.report().await?))
    }

    /// Runs `task` until it is done or the mesh ends: for what is built on top of a mesh. It must not hold a `Mesh`, which
    /// would then not end.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.targets.environment().tasks.spawn(task)
    }

    /// Everything that can be measured, at this moment: see `docs/metrics.md`.
    ///
    /// # Errors
    ///
    /// [`Kind::Closed`] if the mesh is closed.
    pub async fn metrics(&self) -> Result<Vec<Sample>, Error> {
        let report = self.report().await?;
        let mut samples = report.samples(&self.published().load(), self.clock().now());
        samples.push(metrics::TASKS.sample([], self.tasks() as f64));
        Ok(samples)
    }

    /// Tasks that the mesh has started and that have not ended.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.targets.environment().tasks.count()
    }

    /// Closes the mesh: new calls fail at once, the stream to the control plane ends, the disk cache is written if it is behind,
    /// load is reported once more, and calls in flight may finish within `deadline`. Whether they all did; those that did not are
    /// cut off.
    pub async fn close(&self, deadline: Duration) -> bool {
        let tasks = &self.targets.environment().tasks;
        self.targets.command(Command::Close);
        if tasks.ended(deadline).await {
            return true;
        }
        tasks.kill();
        // They end at their next poll; this only lets them be polled.
        tasks.ended(Duration::from_secs(1)).await;
        false
    }
}

impl Builder {
    /// Asks the control plane of `bootstrap`.
    #[must_use]
    pub fn bootstrap(mut self, bootstrap: Bootstrap) -> Self {
        if !bootstrap.unknown.is_empty() {
            tracing::warn!(
                fields = bootstrap.unknown.join(", "),
                "the bootstrap has fields that are not understood"
            );
        }
        self.directory = Some(Directory::new(&bootstrap));
        let sidecar = bootstrap.servers.first().is_some_and(|server| server.features.sidecar);
        let providers = CertificateProviders::new(bootstrap.certificate_providers.into_keys());
        self.local = Local { providers, sidecar };
        self.node = bootstrap.node;
        let authorities = bootstrap.authorities.into_iter();
        self.templates = Templates {
            default: bootstrap.client_listener_template,
            sidecar,
            authorities: authorities.map(|(name, authority)| (name, authority.listener_template)).collect(),
        };
        self.disk_cache = bootstrap.disk_cache.or(self.disk_cache);
        self
    }

    /// Keeps the last good configuration in a file, so that a process can start, and serve, while every control plane is
    /// away. Default: what the bootstrap says, else no file.
    #[must_use]
    pub fn disk_cache(mut self, cache: DiskCache) -> Self {
        self.disk_cache = Some(cache);
        self
    }

    /// Asks a control plane in this process instead, which needs no bootstrap.
    #[must_use]
    pub fn control_plane(mut self, control_plane: impl ControlPlane) -> Self {
        self.directory = Some(Directory::in_process(Arc::new(control_plane)));
        self
    }

    /// Says who asks the control plane.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.node = node;
        self
    }

    /// Adds a cluster that needs no control plane; its target is `static:///name`.
    #[must_use]
    pub fn cluster(mut self, cluster: ClusterConfig) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Makes connections through `dialer`. Default: the system's sockets.
    #[must_use]
    pub fn dialer(mut self, dialer: Dialer) -> Self {
        self.dialer = dialer;
        self
    }

    /// Makes every random decision follow from `seed`.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.clock = Some(Clock::seeded(seed));
        self
    }

    /// Pings HTTP/2 connections like this. Default: [`KeepAlive::default`].
    #[must_use]
    pub fn keepalive(mut self, keepalive: KeepAlive) -> Self {
        self.settings.keepalive = keepalive;
        self
    }

    /// Limits the retries to each cluster like this. Default: [`RetryBudgetConfig::default`].
    #[must_use]
    pub fn retry_budget(mut self, budget: RetryBudgetConfig) -> Self {
        self.settings.budget = budget;
        self
    }

    /// Makes the mesh and starts its tasks.
    ///
    /// # Errors
    ///
    /// [`Kind::Bootstrap`] if two clusters have the same name, or outside of a tokio runtime.
    pub fn build(self) -> Result<Mesh, Error> {
        if Handle::try_current().is_err() {
            return Err(Error::new(Kind::Bootstrap, "a mesh needs a tokio runtime: make it inside of one"));
        }
        let mut statics = BTreeMap::new();
        for config in self.clusters {
            let name: Arc<str> = config.name().into();
            let cluster: StaticCluster = config.into();
            if statics.insert(name.clone(), cluster).is_some() {
                return Err(Error::new(Kind::Bootstrap, format!("two clusters are called {name}")));
            }
        }
        let timeout = self.directory.as_ref().map_or(CONFIGURATION_TIMEOUT, Directory::configuration_timeout);
        let environment = Environment::new(self.dialer, self.clock.unwrap_or_else(Clock::system));
        let client = self.directory.map(|directory| {
            let disk = self
                .disk_cache
                .map(|config| Disk::open::<ResourceKinds>(config, &directory, &self.node, &environment));
            let mut client = Client::new(directory, &self.node, self.local, disk, environment.clone());
            if self.templates.sidecar {
                client.subscribe_all(ResourceKinds::Listener);
                client.subscribe_all(ResourceKinds::Cluster);
            }
            client
        });
        let published = Arc::new(Published::new(timeout));
        let (commands, received) = mpsc::unbounded_channel();
        let driver = Driver::new(
            Arc::new(self.node),
            client,
            statics,
            self.settings,
            received,
            published.clone(),
            environment.clone(),
        );
        environment.tasks.spawn(driver.run());
        let templates = Arc::new(self.templates);
        Ok(Mesh { targets: Targets::new(published, commands, environment), templates })
    }
}

fn listener(template: &ListenerTemplate, name: &str, fallback: Fallback) -> Origin {
    Origin::ControlPlane { listener: template.name(name).into(), fallback }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").field("tasks", &self.tasks()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("directory", &self.directory)
            .field("node", &self.node)
            .field("clusters", &self.clusters)
            .finish_non_exhaustive()
    }
}
