//! Which kinds exist, and which of them are acted on.

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    ServiceEntry,
    WorkloadEntry,
    VirtualService,
    DestinationRule,
    /// It exists, but nothing acts on it yet.
    Ignored,
}

impl Known {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::Ignored => "",
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

/// Finds a kind, or says why there is none.
pub(super) fn find(api_version: &str, kind: &str) -> Result<Known, String> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let home = GROUPS.iter().find(|(name, _, kinds)| *name == group && kinds.contains(&kind));
    let Some((_, versions, _)) = home else {
        let elsewhere = GROUPS.iter().find(|(_, _, kinds)| kinds.contains(&kind));
        return Err(match elsewhere {
            Some((group, versions, _)) => {
                let wanted = [group, versions[0]]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("/");
                format!("apiVersion: {api_version:?} has no kind {kind}; write {wanted}")
            }
            None => format!("kind: {kind:?} of apiVersion {api_version:?} is unknown"),
        });
    };
    if !versions.contains(&version) {
        return Err(format!("apiVersion: {kind} has no version {version:?}, only {}", versions.join(", ")));
    }
    Ok(match (group, kind) {
        ("networking.istio.io", "ServiceEntry") => Known::ServiceEntry,
        ("networking.istio.io", "WorkloadEntry") => Known::WorkloadEntry,
        ("networking.istio.io", "VirtualService") => Known::VirtualService,
        ("networking.istio.io", "DestinationRule") => Known::DestinationRule,
        _ => Known::Ignored,
    })
}
