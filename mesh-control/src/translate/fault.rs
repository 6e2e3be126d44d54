//! What filters do on single routes: injected faults, and which origins may ask.

use super::proto;
use crate::model::http_route::{Cors, Fault, GRPC_STATUSES, UnmatchedPreflights};
use crate::model::values::StringMatch;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::filters::common::fault::v3 as common;
use mesh_proto::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use mesh_proto::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault, fault_abort};
use mesh_proto::google::protobuf::Any;
use mesh_proto::pack_any;

pub(super) const FILTER: &str = "envoy.filters.http.fault";
pub(super) const CORS_FILTER: &str = "envoy.filters.http.cors";

pub(super) fn fault(fault: &Fault) -> Any {
    let delay = fault.delay.as_ref().and_then(|delay| {
        // A delay that says no time would be refused, and all the routes with it.
        let fixed = common::fault_delay::FaultDelaySecifier::FixedDelay(proto::duration(delay.fixed_delay?));
        Some(common::FaultDelay {
            percentage: Some(match delay.percentage {
                None => proto::whole_percent(u32::try_from(delay.percent).unwrap_or(0)),
                Some(percentage) => proto::percent(percentage.value),
            }),
            fault_delay_secifier: Some(fixed),
        })
    });
    let abort = fault.abort.as_ref().and_then(|abort| {
        let grpc = abort.grpc_status.as_deref();
        let error_type = match abort.http_status {
            Some(status) => fault_abort::ErrorType::HttpStatus(u32::try_from(status).ok()?),
            None => fault_abort::ErrorType::GrpcStatus(
                u32::try_from(GRPC_STATUSES.iter().position(|name| Some(*name) == grpc)?).ok()?,
            ),
        };
        Some(FaultAbort {
            // Without a share it is never injected.
            percentage: abort.percentage.map(|it| proto::percent(it.value)),
            error_type: Some(error_type),
            ..Default::default()
        })
    });
    pack_any(HttpFault { delay, abort, ..Default::default() })
}

pub(super) fn cors(cors: &Cors) -> Any {
    let exact = |origin: &String| StringMatch { exact: Some(origin.clone()), ..StringMatch::default() };
    let old: Vec<StringMatch> = cors.allow_origin.iter().map(exact).collect();
    let origins = if cors.allow_origins.is_empty() { &old } else { &cors.allow_origins };
    pack_any(CorsPolicy {
        allow_origin_string_match: origins.iter().filter_map(proto::string_matcher).collect(),
        allow_methods: cors.allow_methods.join(","),
        allow_headers: cors.allow_headers.join(","),
        expose_headers: cors.expose_headers.join(","),
        max_age: cors.max_age.map(|age| (age.as_millis() / 1000).to_string()).unwrap_or_default(),
        allow_credentials: cors.allow_credentials.map(proto::boolean),
        filter_enabled: Some(core::RuntimeFractionalPercent {
            default_value: Some(proto::whole_percent(100)),
            ..Default::default()
        }),
        forward_not_matching_preflights: Some(proto::boolean(
            cors.unmatched_preflights != Some(UnmatchedPreflights::Ignore),
        )),
        ..Default::default()
    })
}
