//! `HTTPFault`: delays and failures on purpose.

use super::invalid::{At, Checked, Invalid, duration};
use super::matcher::{Fraction, HeaderMatch};
use mesh_proto::envoy::extensions::filters::common::fault::v3 as common;
use mesh_proto::envoy::extensions::filters::http::fault::v3 as proto;
use std::time::Duration;

/// Delays and failures on purpose (gRFC A33).
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// The delay, and for which share of requests.
    pub delay: Option<(Delay, Fraction)>,
    /// The failure, and for which share of requests.
    pub abort: Option<(Abort, Fraction)>,
    /// The requests that this is for; all, if there is no condition.
    pub headers: Vec<HeaderMatch>,
    /// The cluster that this is for; all, if it is none.
    pub upstream_cluster: Option<Box<str>>,
    /// Faults at once, at most; none is any number.
    pub max_active: Option<u32>,
}

/// How long a request is delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// This long.
    Fixed(Duration),
    /// As its header `x-envoy-fault-delay-request` says, in milliseconds.
    Header,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// With this HTTP status.
    Http(u16),
    /// With this gRPC status.
    Grpc(u32),
    /// As its header `x-envoy-fault-abort-request` or `x-envoy-fault-abort-grpc-request` says.
    Header,
}

impl Fault {
    pub(super) fn from_proto(proto: &proto::HttpFault) -> Checked<Self> {
        let headers = proto.headers.iter().enumerate();
        let headers =
            headers.map(|(index, header)| HeaderMatch::from_proto(header).at_index("headers", index));
        Ok(Self {
            delay: proto.delay.as_ref().map(read_delay).transpose().at("delay")?,
            abort: proto.abort.as_ref().map(read_abort).transpose().at("abort")?,
            headers: headers.collect::<Checked<_>>()?,
            upstream_cluster: (!proto.upstream_cluster.is_empty())
                .then(|| proto.upstream_cluster.as_str().into()),
            max_active: proto.max_active_faults.as_ref().map(|max| max.value),
        })
    }
}

fn read_delay(proto: &common::FaultDelay) -> Checked<(Delay, Fraction)> {
    use common::fault_delay::FaultDelaySecifier as Specifier;
    let delay = match &proto.fault_delay_secifier {
        Some(Specifier::FixedDelay(delay)) => {
            Delay::Fixed(duration(Some(delay)).at("fixed_delay")?.unwrap_or_default())
        }
        Some(Specifier::HeaderDelay(_)) => Delay::Header,
        None => return Err(Invalid::new("one of fixed_delay and header_delay is needed")),
    };
    let share = proto.percentage.as_ref().map(Fraction::from_proto).transpose().at("percentage")?;
    Ok((delay, share.unwrap_or_default()))
}

fn read_abort(proto: &proto::FaultAbort) -> Checked<(Abort, Fraction)> {
    use proto::fault_abort::ErrorType;
    let abort = match proto.error_type {
        Some(ErrorType::HttpStatus(status @ 200..=599)) => Abort::Http(status as u16),
        Some(ErrorType::HttpStatus(status)) => {
            return Err(Invalid::new(format!("{status} is not between 200 and 599"))).at("http_status");
        }
        Some(ErrorType::GrpcStatus(code @ 0..=16)) => Abort::Grpc(code),
        Some(ErrorType::GrpcStatus(code)) => {
            return Err(Invalid::new(format!("{code} is no gRPC status"))).at("grpc_status");
        }
        Some(ErrorType::HeaderAbort(_)) => Abort::Header,
        None => return Err(Invalid::new("one of http_status, grpc_status and header_abort is needed")),
    };
    let share = proto.percentage.as_ref().map(Fraction::from_proto).transpose().at("percentage")?;
    Ok((abort, share.unwrap_or_default()))
}
