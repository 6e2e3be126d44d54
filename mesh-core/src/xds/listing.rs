//! Whether a control plane has listed all that it has of a kind.

use super::features::UNLISTED_GRACE;
use crate::clock::Instant;
use std::time::Duration;

/// How much of everything of a kind was listed, as far as that matters outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listed {
    /// Too little to tell what there is not.
    #[default]
    Open,
    /// All: what is not known is not there.
    All,
    /// The control plane did not list anything in the time for that.
    Silent,
}

/// How much of everything of a kind was listed.
///
/// A state of the world comes in one response. A list of the incremental protocol may come in any number of them, and nothing
/// marks the last: it is thought complete once the control plane has been silent for [`UNLISTED_GRACE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Listing {
    /// Nothing.
    #[default]
    None,
    /// It was asked for, and has to begin by the time `until`.
    Asked { until: Instant },
    /// It has not begun in time.
    Silent,
    /// A part, and maybe all: all at the time `until` unless more comes, and then later, but not after `latest`.
    Part { until: Instant, latest: Instant },
    /// All.
    Complete,
}

impl Listing {
    /// It was asked for on this stream, and has to begin within the time `limit`.
    pub(super) fn asked(&mut self, now: Instant, limit: Duration) {
        if *self == Self::None {
            *self = Self::Asked { until: now + limit };
        }
    }

    /// All of it came.
    pub(super) fn complete(&mut self) {
        *self = Self::Complete;
    }

    /// Some of it came. A control plane that is never silent has told all after the time `limit`.
    pub(super) fn part(&mut self, now: Instant, limit: Duration) {
        let latest = match *self {
            Self::None | Self::Asked { .. } | Self::Silent => now + limit,
            Self::Part { latest, .. } => latest,
            Self::Complete => return,
        };
        *self = Self::Part { until: latest.min(now + UNLISTED_GRACE), latest };
    }

    /// The stream is gone, and with it what was on its way.
    pub(super) fn interrupt(&mut self) {
        if !matches!(self, Self::Complete | Self::Silent) {
            *self = Self::None;
        }
    }

    pub(super) fn listed(self) -> Listed {
        match self {
            Self::None | Self::Asked { .. } | Self::Part { .. } => Listed::Open,
            Self::Silent => Listed::Silent,
            Self::Complete => Listed::All,
        }
    }

    /// When [`fire`](Self::fire) has to be called next.
    pub(super) fn next_timer(self) -> Option<Instant> {
        match self {
            Self::Asked { until } | Self::Part { until, .. } => Some(until),
            Self::None | Self::Silent | Self::Complete => None,
        }
    }

    /// Draws the conclusion from silence.
    pub(super) fn fire(&mut self, now: Instant) {
        if self.next_timer().is_some_and(|until| until <= now) {
            *self = if let Self::Asked { .. } = self { Self::Silent } else { Self::Complete };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const LIMIT: Duration = Duration::from_secs(15);

    #[test]
    fn a_list_in_parts_is_complete_after_a_silence() {
        let (mut listing, now) = (Listing::default(), Clock::system().now());
        let second = now + UNLISTED_GRACE - Duration::from_millis(1);
        listing.part(now, LIMIT);
        listing.fire(second);
        listing.part(second, LIMIT);
        listing.fire(now + UNLISTED_GRACE);
        assert_ne!(listing.listed(), Listed::All, "the second part begins the silence anew");
        assert_eq!(listing.next_timer(), Some(second + UNLISTED_GRACE));
        listing.fire(second + UNLISTED_GRACE);
        assert_eq!(listing.listed(), Listed::All);
        listing.part(second + LIMIT, LIMIT);
        listing.interrupt();
        assert_eq!((listing, listing.next_timer()), (Listing::Complete, None), "what comes later is news");
    }

    #[test]
    fn a_control_plane_that_never_falls_silent_is_not_waited_for_without_end() {
        let (mut listing, start) = (Listing::default(), Clock::system().now());
        let mut now = start;
        while listing.listed() != Listed::All {
            listing.part(now, LIMIT);
            now += UNLISTED_GRACE / 2;
            listing.fire(now);
        }
        assert_eq!(now - start, LIMIT);
    }

    #[test]
    fn a_list_that_does_not_begin_in_time_may_still_come() {
        let (mut listing, now) = (Listing::default(), Clock::system().now());
        listing.asked(now, LIMIT);
        listing.interrupt();
        listing.fire(now + LIMIT);
        assert_eq!(listing.listed(), Listed::Open, "nobody is asked any more");
        listing.asked(now, LIMIT);
        listing.fire(now + LIMIT - Duration::from_millis(1));
        assert_eq!((listing.listed(), listing.next_timer()), (Listed::Open, Some(now + LIMIT)));
        listing.fire(now + LIMIT);
        listing.interrupt();
        listing.asked(now + LIMIT, LIMIT);
        assert_eq!((listing.listed(), listing.next_timer()), (Listed::Silent, None));
        listing.part(now + LIMIT, LIMIT);
        assert_eq!(listing.listed(), Listed::Open);
        listing.fire(now + LIMIT + UNLISTED_GRACE);
        listing.asked(now + LIMIT, LIMIT);
        assert_eq!((listing.listed(), listing.next_timer()), (Listed::All, None));
    }

    #[test]
    fn a_stream_that_ends_within_the_list_has_told_nothing() {
        let (mut listing, now) = (Listing::default(), Clock::system().now());
        listing.part(now, LIMIT);
        listing.interrupt();
        listing.fire(now + LIMIT);
        assert_eq!(listing, Listing::None);
    }
}
