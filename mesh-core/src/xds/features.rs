//! What the bootstrap says about how a control plane is to be taken: `server_features` (gRFC A53, A88).

use std::time::Duration;

/// A resource that the control plane has not sent after this time does not exist (gRFC A27).
pub const RESOURCE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call waits for configuration. A little longer than [`RESOURCE_TIMEOUT`], so that a call which was there
/// first learns which resource is missing.
pub const CONFIGURATION_TIMEOUT: Duration = Duration::from_secs(17);
/// [`CONFIGURATION_TIMEOUT`] where a control plane gets [`TRANSIENT_RESOURCE_TIMEOUT`].
pub const TRANSIENT_CONFIGURATION_TIMEOUT: Duration = Duration::from_secs(32);
/// [`RESOURCE_TIMEOUT`] with [`resource_timer_is_transient_error`](Features::resource_timer_is_transient_error) (gRFC A88).
pub const TRANSIENT_RESOURCE_TIMEOUT: Duration = Duration::from_secs(30);
/// A resource left out of a response that may have crossed our request counts as absent after this time, and a
/// resource that is wanted again is asked for again once its unsubscription is as old: the longest time that a message
/// is thought to travel. A list that may come in several responses is complete once none has followed for this time.
pub const UNLISTED_GRACE: Duration = Duration::from_millis(250);

/// How a control plane is to be taken. By default a deletion takes effect and a refused update does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `fail_on_data_errors`: a resource whose update is refused, or that the control plane reports as missing or
    /// forbidden, is dropped instead of kept.
    pub fail_on_data_errors: bool,
    /// `ignore_resource_deletion`: a resource that the control plane takes away is kept, and the deletion is its
    /// [`error`](super::cache::Entry::error).
    pub ignore_resource_deletion: bool,
    /// `resource_timer_is_transient_error`: silence means that the control plane is slow, and is borne longer.
    pub resource_timer_is_transient_error: bool,
}

impl Features {
    /// The time after which silence means something.
    #[must_use]
    pub fn resource_timeout(&self) -> Duration {
        if self.resource_timer_is_transient_error { TRANSIENT_RESOURCE_TIMEOUT } else { RESOURCE_TIMEOUT }
    }

    /// Whether a deleted resource stays in force.
    #[must_use]
    pub fn keep_deleted(&self) -> bool {
        self.ignore_resource_deletion && !self.fail_on_data_errors
    }
}
