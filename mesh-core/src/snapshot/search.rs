//! The search for what stands behind one destination, step by step; the steps are those of `outbound.rs`.

use super::asked::Asked;
use super::claim::{Claim, Grade, Way};
use super::destination::{Called, Destination, service};
use super::homes::only;
use super::outbound::{Behind, place};
use super::told::{Heard, Told};
use crate::resource::listener::{HttpManager, RouteSource, TcpProxy};
use crate::resource::route::{Domain, RouteConfig};
use crate::resource::{Cidr, Kind};
use crate::route::serving;
use crate::xds::Listed;
use std::collections::BTreeSet;
use std::sync::Arc;

/// istiod's virtual host for requests to what is in no registry, where they are not allowed.
const BLOCK_ALL: &str = "block_all";
/// istiod's cluster for the same.
const BLACK_HOLE: &str = "BlackHoleCluster";

/// The search for what stands behind one destination.
pub(super) struct Search<'s, 'a, T> {
    name: &'s str,
    pub(super) destination: Destination,
    /// The addresses that it is known to have.
    pub(super) homes: BTreeSet<Cidr>,
    pub(super) claims: Vec<Claim<'a>>,
    /// A listener that may claim the destination, but is led elsewhere.
    pub(super) unclear: Option<Arc<str>>,
    /// Listeners that may claim the destination, but were refused.
    pub(super) refused: Vec<Arc<str>>,
    told: &'a T,
    pub(super) asked: Asked,
}

impl<'s, 'a, T: Told> Search<'s, 'a, T> {
    pub(super) fn new(name: &'s str, destination: Destination, told: &'a T) -> Self {
        Self {
            name,
            destination,
            homes: BTreeSet::new(),
            claims: Vec::new(),
            unclear: None,
            refused: Vec::new(),
            told,
            asked: Asked::default(),
        }
    }

    /// Whether it is a service of the mesh, or may be one.
    pub(super) fn is_service(&mut self) -> bool {
        let names = self.destination.clusters().chain(self.destination.wildcard_clusters()).collect();
        self.first_cluster(names).is_some() || self.told.listed(Kind::Cluster) != Listed::All
    }

    /// The first of these clusters that there is.
    fn first_cluster(&mut self, names: Vec<String>) -> Option<Arc<str>> {
        let names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
        let found = names.iter().find(|name| self.told.has_cluster(name)).cloned();
        for name in names {
            if !self.asked.clusters.contains(&name) {
                self.asked.clusters.push(name);
            }
        }
        found
    }

    pub(super) fn run(&mut self) -> Behind<'a> {
        let exact = self.by_name().or_else(|| self.by_routes()).or_else(|| self.by_share());
        if let Some(behind) = exact {
            return behind;
        }
        let listeners = self.told.listed(Kind::Listener);
        if listeners == Listed::Open {
            return Behind::Unknown;
        }
        if let Some(behind) = self.own_cluster(self.destination.clusters().collect()) {
            return behind;
        }
        match self.told.listed(Kind::Cluster) {
            Listed::Open => return Behind::Unknown,
            Listed::Silent => return Behind::Silent(Kind::Cluster),
            Listed::All => {}
        }
        let wildcard = self.by_wildcard();
        let wildcard = wildcard.or_else(|| self.own_cluster(self.destination.wildcard_clusters().collect()));
        if let Some(behind) = wildcard {
            return behind;
        }
        if listeners == Listed::Silent {
            return Behind::Silent(Kind::Listener);
        }
        self.by_port().or_else(|| self.by_rest()).unwrap_or(Behind::Nothing)
    }

    /// The best claim by a name like `called`; none if others that are as good lead elsewhere.
    fn best(&self, fits: impl Fn(Called, Grade) -> bool) -> Option<Behind<'a>> {
        let fitting = || {
            self.claims.iter().filter_map(|claim| match claim {
                Claim::Names(called, grade, way) if fits(*called, *grade) => Some(((*called, *grade), *way)),
                _ => None,
            })
        };
        let (best, way) = fitting().reduce(|best, next| if next.0 > best.0 { next } else { best })?;
        let alike = |other: Way<'_>| match (way, other) {
            (Way::Tcp(proxy), Way::Tcp(other)) => proxy == other,
            _ => true,
        };
        let agreed = fitting().filter(|(name, _)| *name == best).all(|(_, other)| alike(other));
        // A range of addresses that is as long as another is the same.
        (agreed || best.1 != Grade::Own).then(|| way.into())
    }

    /// Step 1.
    fn by_name(&self) -> Option<Behind<'a>> {
        let at_home = |name: &&Arc<str>| {
            let ip = place(name).and_then(|(ip, _)| ip);
            ip.is_some_and(|ip| self.destination.ip == Some(ip) || self.homes.contains(&only(ip)))
        };
        if let Some(refused) = self.refused.iter().find(at_home) {
            return Some(Behind::Refused(refused.clone()));
        }
        self.best(|called, grade| called == Called::Exactly && grade >= Grade::Own)
    }

    /// Step 2.
    fn by_routes(&mut self) -> Option<Behind<'a>> {
        let managers: Vec<_> = self.managers().map(|(manager, _)| manager).collect();
        managers.into_iter().find_map(|manager| {
            if let RouteSource::Named(name) = &manager.routes
                && !self.asked.routes.contains(name)
            {
                self.asked.routes.push(name.clone());
            }
            match self.routes(manager) {
                Heard::There(config) => {
                    let host = serving(config, self.name)?;
                    let any = host.domains.iter().all(|domain| *domain == Domain::Any);
                    (!any).then_some(Behind::Http(manager))
                }
                Heard::Gone => None,
                Heard::Open => Some(Behind::Http(manager)),
            }
        })
    }

    /// Step 3.
    fn by_share(&self) -> Option<Behind<'a>> {
        self.best(|called, grade| called == Called::Exactly && grade < Grade::Own)
    }

    /// Step 5 for listeners.
    fn by_wildcard(&self) -> Option<Behind<'a>> {
        self.best(|called, _| called != Called::Exactly)
    }

    /// Step 4: the first of these clusters that there is.
    fn own_cluster(&mut self, names: Vec<String>) -> Option<Behind<'a>> {
        let found = self.first_cluster(names)?;
        Some(match (self.refused.iter().find(|name| place(name).is_some()), &self.unclear) {
            (Some(refused), _) => Behind::Refused(refused.clone()),
            (None, Some(unclear)) if self.destination.ip.is_none() => Behind::Unclear(unclear.clone()),
            (None, _) => Behind::Cluster(found),
        })
    }

    /// Step 6.
    fn by_port(&self) -> Option<Behind<'a>> {
        // What was bound to an address of another service is of no concern.
        let may_take = |name: &&Arc<str>| match place(name) {
            Some((Some(bound), _)) => bound.is_unspecified() || bound.is_loopback(),
            Some((None, _)) => true,
            None => false,
        };
        if let Some(refused) = self.refused.iter().find(may_take) {
            return Some(Behind::Refused(refused.clone()));
        }
        let http = self.managers().find(|(_, any)| *any).map(|(manager, _)| match self.routes(manager) {
            Heard::There(config)
                if serving(config, self.name).is_some_and(|host| *host.name == *BLOCK_ALL) =>
            {
                Behind::Blocked
            }
            _ => Behind::Http(manager),
        });
        let rest = || {
            self.claims.iter().filter_map(|claim| match claim {
                Claim::Rest(Way::Tcp(proxy)) => Some(*proxy),
                _ => None,
            })
        };
        let is_free = |proxy: &TcpProxy| {
            proxy.clusters.iter().all(|(name, _)| service(name).is_none()) || rest().any(|rest| rest == proxy)
        };
        http.or_else(|| {
            self.claims.iter().find_map(|claim| match claim {
                Claim::Any(proxy) if is_free(proxy) => Some(Way::Tcp(proxy).into()),
                _ => None,
            })
        })
    }

    /// Step 7.
    fn by_rest(&self) -> Option<Behind<'a>> {
        if let Some(refused) = self.refused.iter().find(|name| place(name).is_none()) {
            return Some(Behind::Refused(refused.clone()));
        }
        self.claims.iter().find_map(|claim| match claim {
            Claim::Rest(way) => Some((*way).into()),
            _ => None,
        })
    }

    /// What leads to the routes of the port, and whether that takes every host.
    fn managers(&self) -> impl Iterator<Item = (&'a HttpManager, bool)> {
        self.claims.iter().filter_map(|claim| match claim {
            Claim::Port(manager, any) => Some((*manager, *any)),
            _ => None,
        })
    }

    fn routes(&self, manager: &'a HttpManager) -> Heard<&'a RouteConfig> {
        match &manager.routes {
            RouteSource::Named(name) => self.told.routes(name),
            RouteSource::Inline(config) => Heard::There(config),
        }
    }
}

impl<'a> From<Way<'a>> for Behind<'a> {
    fn from(way: Way<'a>) -> Self {
        match way {
            Way::Http(manager) => Self::Http(manager),
            Way::Tcp(proxy) if proxy.clusters.iter().all(|(name, _)| **name == *BLACK_HOLE) => Self::Blocked,
            Way::Tcp(proxy) => Self::Tcp(proxy),
        }
    }
}
