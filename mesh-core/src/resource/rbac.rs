//! `RBAC`: which calls a server accepts (gRFC A41).

use super::address::{Cidr, read_cidr};
use super::invalid::{At, Checked, Invalid};
use super::matcher::{HeaderMatch, StringMatch};
use mesh_proto::envoy::config::rbac::v3 as proto;
use mesh_proto::envoy::config::route::v3::HeaderMatcher;
use mesh_proto::envoy::extensions::filters::http::rbac::v3 as filter;
use mesh_proto::envoy::r#type::matcher::v3::{PathMatcher, path_matcher};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// How deep conditions may be nested.
const MAX_DEPTH: usize = 32;

/// Which calls a server accepts.
#[derive(Clone, Debug)]
pub struct Rbac {
    /// What becomes of the calls that a policy covers; none accepts everything.
    pub action: Option<RbacAction>,
    /// The policies, by name.
    pub policies: BTreeMap<Arc<str>, RbacPolicy>,
}

/// What becomes of the calls that a policy covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RbacAction {
    /// They alone are accepted.
    Allow,
    /// They are refused.
    Deny,
}

/// Who may do what.
#[derive(Clone, Debug)]
pub struct RbacPolicy {
    /// The calls; one of these has to hold.
    pub permissions: Vec<Permission>,
    /// The callers; one of these has to hold.
    pub principals: Vec<Principal>,
}

/// A condition on a call.
#[derive(Clone, Debug)]
pub enum Permission {
    /// Holds always.
    Any,
    /// Never holds: what it is about is not there in a call.
    Never,
    /// All hold.
    All(Vec<Permission>),
    /// One holds.
    OneOf(Vec<Permission>),
    /// It does not hold.
    Not(Box<Permission>),
    /// On a header.
    Header(HeaderMatch),
    /// On the path, without the query.
    Path(StringMatch),
    /// On the server's address.
    DestinationIp(Cidr),
    /// On the server's port; the end is not included.
    DestinationPort(Range<u32>),
    /// On the server name that TLS asked for.
    ServerName(StringMatch),
}

/// A condition on a caller.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Holds always.
    Any,
    /// Never holds: what it is about is not there in a call.
    Never,
    /// All hold.
    All(Vec<Principal>),
    /// One holds.
    OneOf(Vec<Principal>),
    /// It does not hold.
    Not(Box<Principal>),
    /// The caller showed a certificate, and a name in it is this, if one is given.
    Authenticated(Option<StringMatch>),
    /// On the caller's address.
    SourceIp(Cidr),
    /// On a header.
    Header(HeaderMatch),
    /// On the path, without the query.
    Path(StringMatch),
}

impl Rbac {
    pub(super) fn from_proto(proto: &filter::Rbac) -> Checked<Self> {
        if proto.matcher.is_some() {
            return Err(Invalid::new("is not supported")).at("matcher");
        }
        let Some(rules) = &proto.rules else {
            return Ok(Self { action: None, policies: BTreeMap::new() });
        };
        Self::from_rules(rules).at("rules")
    }

    fn from_rules(proto: &proto::Rbac) -> Checked<Self> {
        let action = match proto::rbac::Action::try_from(proto.action) {
            Ok(proto::rbac::Action::Allow) => Some(RbacAction::Allow),
            Ok(proto::rbac::Action::Deny) => Some(RbacAction::Deny),
            Ok(proto::rbac::Action::Log) => None,
            Err(_) => return Err(Invalid::new(format!("{} is unknown", proto.action))).at("action"),
        };
        let policies = proto.policies.iter().map(|(name, policy)| {
            let policy = RbacPolicy::from_proto(policy).at(&format!("policies[{name}]"))?;
            Ok((Arc::from(name.as_str()), policy))
        });
        Ok(Self { action, policies: policies.collect::<Checked<_>>()? })
    }
}

impl RbacPolicy {
    fn from_proto(proto: &proto::Policy) -> Checked<Self> {
        for (given, name) in [
            (proto.condition.is_some(), "condition"),
            (proto.checked_condition.is_some(), "checked_condition"),
        ] {
            if given {
                return Err(Invalid::new("is not supported")).at(name);
            }
        }
        Ok(Self {
            permissions: permissions(&proto.permissions, "permissions", 0)?,
            principals: principals(&proto.principals, "principals", 0)?,
        })
    }
}

fn permissions(protos: &[proto::Permission], name: &str, depth: usize) -> Checked<Vec<Permission>> {
    let protos = protos.iter().enumerate();
    protos.map(|(index, proto)| permission(proto, depth + 1).at_index(name, index)).collect()
}

fn permission(proto: &proto::Permission, depth: usize) -> Checked<Permission> {
    use proto::permission::Rule;
    check_depth(depth)?;
    #[expect(deprecated, reason = "istiod sends `metadata`")]
    Ok(match &proto.rule {
        Some(Rule::AndRules(set)) => {
            Permission::All(permissions(&set.rules, "rules", depth).at("and_rules")?)
        }
        Some(Rule::OrRules(set)) => {
            Permission::OneOf(permissions(&set.rules, "rules", depth).at("or_rules")?)
        }
        Some(Rule::NotRule(not)) => Permission::Not(Box::new(permission(not, depth + 1).at("not_rule")?)),
        Some(Rule::Any(_)) => Permission::Any,
        Some(Rule::Header(matcher)) => Permission::Header(header(matcher).at("header")?),
        Some(Rule::UrlPath(matcher)) => Permission::Path(path(matcher).at("url_path")?),
        Some(Rule::DestinationIp(cidr)) => Permission::DestinationIp(read_cidr(cidr).at("destination_ip")?),
        Some(Rule::DestinationPort(port)) => Permission::DestinationPort(*port..port.saturating_add(1)),
        Some(Rule::DestinationPortRange(range)) => {
            let end = |value: i32| u32::try_from(value).unwrap_or(0);
            Permission::DestinationPort(end(range.start)..end(range.end))
        }
        Some(Rule::RequestedServerName(name)) => {
            Permission::ServerName(StringMatch::from_proto(name).at("requested_server_name")?)
        }
        // gRFC A41: there are no metadata, so only the inverse holds.
        Some(Rule::Metadata(matcher)) if matcher.invert => Permission::Any,
        Some(Rule::Metadata(_) | Rule::SourcedMetadata(_)) => Permission::Never,
        Some(Rule::Matcher(_)) => return Err(Invalid::new("is not supported")).at("matcher"),
        Some(Rule::UriTemplate(_)) => return Err(Invalid::new("is not supported")).at("uri_template"),
        None => return Err(Invalid::new("is missing")).at("rule"),
    })
}

fn principals(protos: &[proto::Principal], name: &str, depth: usize) -> Checked<Vec<Principal>> {
    let protos = protos.iter().enumerate();
    protos.map(|(index, proto)| principal(proto, depth + 1).at_index(name, index)).collect()
}

fn principal(proto: &proto::Principal, depth: usize) -> Checked<Principal> {
    use proto::principal::Identifier;
    check_depth(depth)?;
    #[expect(deprecated, reason = "istiod sends `metadata` and `source_ip`")]
    Ok(match &proto.identifier {
        Some(Identifier::AndIds(set)) => Principal::All(principals(&set.ids, "ids", depth).at("and_ids")?),
        Some(Identifier::OrIds(set)) => Principal::OneOf(principals(&set.ids, "ids", depth).at("or_ids")?),
        Some(Identifier::NotId(not)) => Principal::Not(Box::new(principal(not, depth + 1).at("not_id")?)),
        Some(Identifier::Any(_)) => Principal::Any,
        Some(Identifier::Authenticated(caller)) => {
            let name = caller.principal_name.as_ref().map(StringMatch::from_proto).transpose();
            Principal::Authenticated(name.at("principal_name").at("authenticated")?)
        }
        Some(Identifier::SourceIp(cidr)) => Principal::SourceIp(read_cidr(cidr).at("source_ip")?),
        Some(Identifier::DirectRemoteIp(cidr)) => {
            Principal::SourceIp(read_cidr(cidr).at("direct_remote_ip")?)
        }
        Some(Identifier::RemoteIp(cidr)) => Principal::SourceIp(read_cidr(cidr).at("remote_ip")?),
        Some(Identifier::Header(matcher)) => Principal::Header(header(matcher).at("header")?),
        Some(Identifier::UrlPath(matcher)) => Principal::Path(path(matcher).at("url_path")?),
        Some(Identifier::Metadata(matcher)) if matcher.invert => Principal::Any,
        Some(Identifier::Metadata(_) | Identifier::SourcedMetadata(_)) => Principal::Never,
        // Istio names the caller of mTLS by this state.
        Some(Identifier::FilterState(state)) if state.key == "io.istio.peer_principal" => {
            use mesh_proto::envoy::r#type::matcher::v3::filter_state_matcher::Matcher;
            let name = match &state.matcher {
                Some(Matcher::StringMatch(name)) => StringMatch::from_proto(name),
                _ => Err(Invalid::new("is not supported")),
            };
            Principal::Authenticated(Some(name.at("filter_state")?))
        }
        Some(Identifier::FilterState(_)) => return Err(Invalid::new("is not supported")).at("filter_state"),
        Some(Identifier::Custom(_)) => return Err(Invalid::new("is not supported")).at("custom"),
        None => return Err(Invalid::new("is missing")).at("identifier"),
    })
}

/// gRFC A41: what gRPC itself decides about may be no condition.
fn header(proto: &HeaderMatcher) -> Checked<HeaderMatch> {
    let name = proto.name.to_ascii_lowercase();
    if name == ":scheme" || name.starts_with("grpc-") {
        return Err(Invalid::new(format!("{name:?} may be no condition"))).at("name");
    }
    HeaderMatch::from_proto(proto)
}

fn path(proto: &PathMatcher) -> Checked<StringMatch> {
    match &proto.rule {
        Some(path_matcher::Rule::Path(path)) => StringMatch::from_proto(path).at("path"),
        None => Err(Invalid::new("is missing")).at("path"),
    }
}

fn check_depth(depth: usize) -> Checked<()> {
    if depth > MAX_DEPTH {
        return Err(Invalid::new(format!("conditions are nested more than {MAX_DEPTH} deep")));
    }
    Ok(())
}
