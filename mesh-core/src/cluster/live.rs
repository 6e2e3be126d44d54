//! What the owner of the configuration keeps of a cluster, to change it.

use super::account::Account;
use super::ledger::Ledger;
use super::view::{Cluster, ClusterState, ClusterView, Mark};
use crate::balance::{MembersBuilder, P2c, Registry};
use crate::endpoint::{ConnectOptions, ConnectTimeout, EndpointKey, Protocol};
use crate::error::Failure;
use crate::net::h2_driver::KeepAlive;
use crate::net::{Address, DEFAULT_CONNECT_TIMEOUT, DnsFamily, Environment};
use crate::policy::retry_budget::{RetryBudget, RetryBudgetConfig};
use crate::resource::cluster::{Cluster as ClusterResource, EndpointSource};
use crate::resource::endpoint::{Assignment, Health, LbEndpoint};
use crate::resource::tls::TransportSocket;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

/// What the user of the mesh decides about every cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// When HTTP/2 connections are pinged.
    pub keepalive: KeepAlive,
    /// How generous the retry budget of a cluster is.
    pub budget: RetryBudgetConfig,
}

/// A cluster, and the means to change it.
#[derive(Debug)]
pub struct LiveCluster {
    cluster: Arc<Cluster>,
    settings: Settings,
    connect_timeout: ConnectTimeout,
    ledger: Ledger,
    priorities: Vec<MembersBuilder>,
    /// What they were made of.
    made_of: Option<MadeOf>,
    mark: Arc<Mark>,
}

impl LiveCluster {
    /// A cluster without configuration.
    #[must_use]
    pub fn new(name: Arc<str>, protocol: Protocol, settings: Settings, environment: &Environment) -> Self {
        let ledger = Ledger::new(name.clone());
        let cluster = Cluster {
            name,
            protocol,
            budget: RetryBudget::new(settings.budget, environment.clock.now()),
            retries: AtomicU64::new(0),
            resends: AtomicU64::new(0),
            budget_exhausted: AtomicU64::new(0),
        };
        let connect_timeout = ConnectTimeout::default();
        let (cluster, mark) = (Arc::new(cluster), Arc::new(Mark));
        Self { cluster, settings, connect_timeout, ledger, priorities: Vec::new(), made_of: None, mark }
    }

    /// Waits for its configuration.
    #[must_use]
    pub fn pending(&self) -> ClusterView {
        self.view(ClusterState::Pending, Account::default())
    }

    /// Cannot be used; its endpoints are let go.
    pub fn fail(&mut self, failure: Failure) -> ClusterView {
        self.priorities.clear();
        self.made_of = None;
        self.view(ClusterState::Failed(failure), Account::default())
    }

    /// Is made of other clusters, the best first: their priorities follow each other (gRFC A37).
    pub fn join(&mut self, parts: &[Arc<ClusterView>]) -> ClusterView {
        self.priorities.clear();
        self.made_of = None;
        let priorities = parts.iter().flat_map(|part| match &part.state {
            ClusterState::Ready { priorities, .. } => priorities.as_slice(),
            _ => &[],
        });
        let state = ClusterState::Ready { priorities: priorities.cloned().collect(), picker: Arc::new(P2c) };
        let account = Account::join(parts.iter().map(|part| &part.account));
        let mut timeouts = parts.iter().map(|part| part.connect_timeout);
        let first = timeouts.next().flatten();
        let connect_timeout = first.filter(|first| timeouts.all(|other| other == Some(*first)));
        ClusterView { connect_timeout, ..self.view(state, account) }
    }

    /// Takes on configuration and endpoints; the endpoints that stay keep their connections.
    pub fn update(
        &mut self,
        resource: &Arc<ClusterResource>,
        assignment: &Arc<Assignment>,
        registry: &mut Registry,
        environment: &Arc<Environment>,
    ) -> ClusterView {
        let before = self.made_of.take();
        let same = before.as_ref().filter(|before| Arc::ptr_eq(&before.resource, resource));
        let made = match same {
            Some(before) => before.with(assignment.clone()),
            None => {
                self.connect_timeout.set(resource.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT));
                MadeOf::new(resource.clone(), assignment.clone(), self.connect_options(resource))
            }
        };
        let count = assignment.priorities.len().max(self.priorities.len());
        self.priorities.reserve_exact(count - self.priorities.len());
        self.priorities.resize_with(count, || MembersBuilder::new(self.connect_timeout.clone()));
        // Those that come are there, in every priority, before those that go are let go.
        let mut gone = Vec::with_capacity(count);
        for (priority, builder) in self.priorities.iter_mut().enumerate() {
            let (mut old, mut new) = (
                before.as_ref().map(|before| before.pieces(priority)).unwrap_or_default(),
                made.pieces(priority),
            );
            if same.is_some() {
                trim(&mut old, &mut new);
            }
            let mut leaving = before.as_ref().map(|before| before.members(&old)).unwrap_or_default();
            let mut coming = made.members(&new);
            differ(&mut leaving, &mut coming);
            builder.add(coming.into_iter().map(Member::key), registry, environment);
            gone.push(leaving.into_iter().map(Member::key).collect::<Vec<_>>());
        }
        for (builder, keys) in self.priorities.iter_mut().zip(gone) {
            builder.remove(&keys, registry);
        }
        self.made_of = Some(made);
        self.priorities.truncate(assignment.priorities.len());
        let priorities: Vec<_> = self.priorities.iter().map(MembersBuilder::members).collect();
        let account = self.ledger.account(resource, assignment, &priorities);
        self.view(ClusterState::Ready { priorities, picker: Arc::new(P2c) }, account)
    }

    /// How endpoints are connected to that are not secured.
    fn connect_options(&self, resource: &ClusterResource) -> ConnectOptions {
        let family = match &resource.endpoints {
            EndpointSource::Dns(dns) => dns.family,
            _ => DnsFamily::default(),
        };
        ConnectOptions {
            protocol: self.cluster.protocol,
            family,
            keepalive: self.settings.keepalive,
            tls: false,
            unsupported: None,
        }
    }

    fn view(&self, state: ClusterState, account: Account) -> ClusterView {
        let (cluster, mark) = (self.cluster.clone(), self.mark.clone());
        let connect_timeout = Some(self.connect_timeout.get());
        ClusterView { cluster, state, connect_timeout, account, ambient: None, retired: false, mark }
    }
}

/// What the priorities of a cluster were made of.
#[derive(Clone, Debug)]
struct MadeOf {
    resource: Arc<ClusterResource>,
    assignment: Arc<Assignment>,
    options: ConnectOptions,
    /// How endpoints are connected to that are not secured, and how those that are; shared by the endpoints.
    plain: OnceLock<Arc<ConnectOptions>>,
    secured: OnceLock<Arc<ConnectOptions>>,
    /// And those that cannot be connected to, for each way that is not known.
    unsupported: BTreeMap<Arc<str>, Arc<ConnectOptions>>,
}

/// An endpoint that may be given requests, and how it is connected to.
#[derive(Clone, Copy, Debug)]
struct Member<'a> {
    endpoint: &'a LbEndpoint,
    options: &'a Arc<ConnectOptions>,
}

impl MadeOf {
    fn new(resource: Arc<ClusterResource>, assignment: Arc<Assignment>, options: ConnectOptions) -> Self {
        let transport = &resource.transport;
        let sockets = transport.matches.iter().map(|found| &found.socket).chain([&transport.otherwise]);
        let unsupported = sockets.filter_map(TransportSocket::unsupported).map(|why| {
            (why.clone(), Arc::new(ConnectOptions { unsupported: Some(why.clone()), ..options.clone() }))
        });
        let unsupported = unsupported.collect();
        Self { resource, assignment, options, plain: OnceLock::new(), secured: OnceLock::new(), unsupported }
    }

    /// The same with other endpoints.
    fn with(&self, assignment: Arc<Assignment>) -> Self {
        Self { assignment, ..self.clone() }
    }

    /// How endpoints are connected to.
    fn options(&self, socket: &TransportSocket) -> &Arc<ConnectOptions> {
        if let Some(options) = socket.unsupported().and_then(|why| self.unsupported.get(why)) {
            return options;
        }
        let tls = socket.is_tls();
        let shared = if tls { &self.secured } else { &self.plain };
        shared.get_or_init(|| Arc::new(ConnectOptions { tls, ..self.options.clone() }))
    }

    /// The endpoints of a priority.
    fn pieces(&self, priority: usize) -> Vec<&Arc<[LbEndpoint]>> {
        let localities = self.assignment.priorities.get(priority).into_iter().flatten();
        localities.flat_map(|locality| locality.endpoints.pieces()).collect()
    }

    /// Those of some endpoints that may be given requests.
    fn members<'a>(&'a self, pieces: &[&'a Arc<[LbEndpoint]>]) -> Vec<Member<'a>> {
        let transport = &self.resource.transport;
        let all = transport.matches.is_empty().then_some(&transport.otherwise);
        let endpoints = pieces.iter().flat_map(|piece| piece.iter());
        let healthy = endpoints.filter(|endpoint| endpoint.health == Health::Healthy);
        let socket =
            |endpoint: &LbEndpoint| all.unwrap_or_else(|| transport.select(endpoint.metadata.as_deref()));
        healthy.map(|endpoint| Member { endpoint, options: self.options(socket(endpoint)) }).collect()
    }
}

impl<'a> Member<'a> {
    /// What makes it the same as another.
    fn id(self) -> (&'a Address, Option<&'a Arc<str>>, &'a ConnectOptions) {
        (&self.endpoint.address, self.endpoint.hostname(), self.options)
    }

    fn key(self) -> EndpointKey {
        EndpointKey {
            address: self.endpoint.address.clone(),
            hostname: self.endpoint.hostname().cloned(),
            options: self.options.clone(),
        }
    }
}

/// Cuts off what both begin and end with: pieces that two versions share hold nothing that comes or goes, because no
/// endpoint occurs twice.
fn trim<'a>(old: &mut Vec<&'a Arc<[LbEndpoint]>>, new: &mut Vec<&'a Arc<[LbEndpoint]>>) {
    cut(old, new, |old, new| Arc::ptr_eq(old, new));
}

/// Leaves in `old` what is not in `new`, and the other way round.
///
/// Control planes keep the order, so that one change among many thousand is found by comparing from both ends.
fn differ<'a>(old: &mut Vec<Member<'a>>, new: &mut Vec<Member<'a>>) {
    cut(old, new, |old, new| old.id() == new.id());
    if old.is_empty() || new.is_empty() {
        return;
    }
    let ids = |members: &[Member<'a>]| members.iter().map(|member| member.id()).collect::<HashSet<_>>();
    let (in_old, in_new) = (ids(old), ids(new));
    old.retain(|member| !in_new.contains(&member.id()));
    new.retain(|member| !in_old.contains(&member.id()));
}

/// Cuts off what two lists begin and end with.
fn cut<T>(old: &mut Vec<T>, new: &mut Vec<T>, same: impl Fn(&T, &T) -> bool) {
    let both = |(old, new): &(&T, &T)| same(old, new);
    let head = old.iter().zip(new.iter()).take_while(both).count();
    old.drain(..head);
    new.drain(..head);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(both).count();
    old.truncate(old.len() - tail);
    new.truncate(new.len() - tail);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::net::Dialer;
    use crate::resource::endpoint::LocalityEndpoints;
    use std::time::Duration;

    fn pieces(ports: impl IntoIterator<Item = u16>) -> Vec<Arc<[LbEndpoint]>> {
        let endpoint = |port| LbEndpoint::new(Address::host_port("10.0.0.1", port));
        ports.into_iter().map(|port| [endpoint(port)].into()).collect()
    }

    /// The ports in what is left of two lists of pieces.
    fn trimmed(old: &[Arc<[LbEndpoint]>], new: &[Arc<[LbEndpoint]>]) -> (Vec<u16>, Vec<u16>) {
        let (mut old, mut new): (Vec<_>, Vec<_>) = (old.iter().collect(), new.iter().collect());
        trim(&mut old, &mut new);
        let port = |endpoint: &LbEndpoint| match endpoint.address {
            Address::Ip(address) => address.port(),
            _ => 0,
        };
        let ports = |pieces: Vec<&Arc<[LbEndpoint]>>| {
            pieces.into_iter().flat_map(|piece| piece.iter()).map(port).collect()
        };
        (ports(old), ports(new))
    }

    #[test]
    fn an_endpoint_stays_the_same_when_its_cluster_is_more_patient() {
        let environment = Arc::new(Environment::new(Dialer::default(), Clock::seeded(1)));
        let mut registry = Registry::default();
        let mut live = LiveCluster::new("c".into(), Protocol::Http2, Settings::default(), &environment);
        let endpoints = LocalityEndpoints::anywhere([LbEndpoint::new(Address::host_port("10.0.0.1", 1))]);
        let assignment = Arc::new(Assignment::new(vec![vec![endpoints]]));
        let mut after = |seconds| {
            let mut resource = ClusterResource::new("c".into(), EndpointSource::Inline(assignment.clone()));
            resource.connect_timeout = Some(Duration::from_secs(seconds));
            let view = live.update(&Arc::new(resource), &assignment, &mut registry, &environment);
            let ClusterState::Ready { priorities, .. } = &view.state else { panic!("{view:?}") };
            priorities[0].iter().next().unwrap().clone()
        };
        let (first, second) = (after(5), after(6));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(second.connect_timeout(), Duration::from_secs(6));
    }

    #[test]
    fn only_what_lies_between_shared_pieces_is_left() {
        let old = pieces(1..=5);
        assert_eq!(trimmed(&old, &old), (vec![], vec![]));
        let mut new = old.clone();
        new[2] = pieces([9]).remove(0);
        assert_eq!(trimmed(&old, &new), (vec![3], vec![9]));
        new.insert(3, pieces([10]).remove(0));
        assert_eq!(trimmed(&old, &new), (vec![3], vec![9, 10]));
        assert_eq!(trimmed(&old, &old[..3]), (vec![4, 5], vec![]));
        assert_eq!(trimmed(&old[2..], &old), (vec![], vec![1, 2]));
        assert_eq!(trimmed(&[], &old[..1]), (vec![], vec![1]));
    }

    #[test]
    fn pieces_that_are_equal_but_not_shared_are_left() {
        assert_eq!(trimmed(&pieces([1, 2]), &pieces([1, 2])), (vec![1, 2], vec![1, 2]));
    }

    #[test]
    fn a_piece_is_not_cut_off_at_both_ends() {
        let one = pieces([1]);
        let twice = [one[0].clone(), one[0].clone()];
        assert_eq!(trimmed(&one, &twice), (vec![], vec![1]));
    }
}
