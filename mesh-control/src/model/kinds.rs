//! Which kinds exist, and which of them are acted on.

/// A kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    ServiceEntry,
    WorkloadEntry,
    VirtualService,
    DestinationRule,
    /// It exists, but nothing acts on it yet.
    Ignored,
    /// It belongs to somebody else: what to tell of it.
    Foreign(String),
}

impl Known {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::Ignored | Self::Foreign(_) => "",
        }
    }
}

/// The kinds of each API group, and the versions in which they exist.
const GROUPS: &[(&str, &[&str], &[&str])] = &[
    (
        "networking.istio.io",
        &["v1", "v1beta1", "v1alpha3"],
        &[
            "ServiceEntry",
            "WorkloadEntry",
            "VirtualService",
            "DestinationRule",
            "Gateway",
            "Sidecar",
            "WorkloadGroup",
            "EnvoyFilter",
            "ProxyConfig",
        ],
    ),
    (
        "security.istio.io",
        &["v1", "v1beta1"],
        &["PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication"],
    ),
    ("telemetry.istio.io", &["v1", "v1alpha1"], &["Telemetry"]),
    ("extensions.istio.io", &["v1alpha1"], &["WasmPlugin"]),
    (
        "",
        &["v1"],
        &[
            "Service",
            "Endpoints",
            "Pod",
            "Namespace",
            "Node",
            "ServiceAccount",
            "ConfigMap",
            "Secret",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "LimitRange",
            "ResourceQuota",
            "ReplicationController",
            "Event",
        ],
    ),
    ("apps", &["v1"], &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]),
    ("batch", &["v1"], &["Job", "CronJob"]),
    ("discovery.k8s.io", &["v1"], &["EndpointSlice"]),
    ("networking.k8s.io", &["v1"], &["Ingress", "IngressClass", "NetworkPolicy"]),
    ("autoscaling", &["v1", "v2"], &["HorizontalPodAutoscaler"]),
    ("policy", &["v1"], &["PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io", &["v1"], &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]),
    ("apiextensions.k8s.io", &["v1"], &["CustomResourceDefinition"]),
    (
        "admissionregistration.k8s.io",
        &["v1"],
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
    ),
    (
        "gateway.networking.k8s.io",
        &["v1", "v1beta1", "v1alpha2", "v1alpha3"],
        &[
            "Gateway",
            "GatewayClass",
            "HTTPRoute",
            "GRPCRoute",
            "TCPRoute",
            "TLSRoute",
            "UDPRoute",
            "ReferenceGrant",
            "BackendTLSPolicy",
        ],
    ),
];

/// Where the kinds live whose names have to be right.
const ISTIO: &str = "istio.io";

/// Finds a kind.
///
/// # Errors
/// If it looks like a kind of Istio that is not written as it should be. Kinds of others are theirs.
pub(super) fn find(api_version: &str, kind: &str) -> Result<Known, String> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let is_istio = |group: &str| group.strip_suffix(ISTIO).is_some_and(|rest| rest.ends_with('.'));
    let foreign = |why: String| Ok(Known::Foreign(format!("{why}, and is left alone")));
    let home = GROUPS.iter().find(|(name, _, kinds)| *name == group && kinds.contains(&kind));
    let Some((_, versions, _)) = home else {
        let elsewhere = GROUPS.iter().find(|(name, _, kinds)| is_istio(name) && kinds.contains(&kind));
        let why = match elsewhere {
            _ if api_version.is_empty() => {
                "apiVersion: required, for example networking.istio.io/v1".to_owned()
            }
            Some((group, versions, _)) => {
                format!("apiVersion: {api_version:?} has no kind {kind}; write {group}/{}", versions[0])
            }
            None => format!("kind: {kind:?} of apiVersion {api_version:?} is unknown"),
        };
        // The name of a group that nobody knows is not a slip.
        let known_group = GROUPS.iter().any(|(name, _, _)| *name == group);
        let slip = is_istio(group) || api_version.is_empty() || (known_group && elsewhere.is_some());
        return if slip { Err(why) } else { foreign(why) };
    };
    if !versions.contains(&version) {
        let why = format!("apiVersion: {kind} has no version {version:?}, only {}", versions.join(", "));
        return if is_istio(group) { Err(why) } else { foreign(why) };
    }
    Ok(match (group, kind) {
        ("networking.istio.io", "ServiceEntry") => Known::ServiceEntry,
        ("networking.istio.io", "WorkloadEntry") => Known::WorkloadEntry,
        ("networking.istio.io", "VirtualService") => Known::VirtualService,
        ("networking.istio.io", "DestinationRule") => Known::DestinationRule,
        _ => Known::Ignored,
    })
}
