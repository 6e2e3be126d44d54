//! What is known of one subscribed resource.

use crate::clock::Instant;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// What is known of one subscribed resource.
#[derive(Debug)]
pub struct Entry<V> {
    /// The resource, or why there is none.
    pub state: State<V>,
    /// Why the newest version was refused; the version before it stays in force if there is one, unless
    /// `fail_on_data_errors` forbids it.
    pub rejection: Option<Rejection>,
    /// What the control plane says is wrong with it; if it is present it stays in force all the same.
    pub error: Option<Reported>,
    /// When `state`, `rejection` or `error` changed last here.
    pub(super) updated: Option<Instant>,
    /// Whether it was asked for by its name, and not only along with everything.
    pub(super) named: bool,
    /// Whether what is present comes from elsewhere, and this control plane has not confirmed it.
    pub(super) inherited: bool,
    /// Whether an older version may not be used either: because of `fail_on_data_errors`, or because its time to live is over.
    pub(super) forfeited: bool,
    /// Whether it is wanted no more, but the control plane does not know that yet.
    pub(super) leaving: bool,
    /// The request on the present stream that named this resource first; the first request is 1.
    pub(super) asked_in: Option<u64>,
    /// The response that mentioned it last.
    pub(super) seen_in: u64,
    /// When to conclude that the resource does not exist.
    pub(super) deadline: Option<Instant>,
    /// When to conclude that the control plane does not have it, having said what it has without mentioning it: the response
    /// may have crossed the request for it, or more responses may follow. Gone once it is mentioned.
    pub(super) grace: Option<Instant>,
    /// When its time to live is over.
    pub(super) expires: Option<Instant>,
    /// The earliest alarm that is set for it.
    pub(super) alarm: Option<Instant>,
}

/// The state of one subscribed resource.
#[derive(Debug)]
pub enum State<V> {
    /// Asked for, or about to be; if there is a rejection nothing better was ever received.
    Pending,
    /// Received and valid.
    Present(Present<V>),
    /// Not there.
    Absent(Absence),
}

/// A resource that was received and is valid.
#[derive(Clone, Debug)]
pub struct Present<V> {
    /// The resource.
    pub value: V,
    /// As it came over the wire.
    pub bytes: Bytes,
    /// Its own version (delta), or that of the response that brought it (state of the world); empty if it comes from the
    /// disk cache and no control plane has confirmed it.
    pub version: Arc<str>,
    /// When it came; from the disk cache: when it was put in force.
    pub since: Instant,
}

/// Why a resource is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The control plane answered without it. It may still come: [`TimedOut`](Self::TimedOut) is the final word.
    Unlisted,
    /// The control plane said that there is none.
    NotFound,
    /// The control plane did not send it within the time for that.
    TimedOut,
    /// Likewise, but this control plane is known to be slow at times: the resource may well exist (gRFC A88).
    Unanswered,
    /// The control plane took it away.
    Deleted,
    /// Its time to live ended before the control plane renewed it.
    Expired,
    /// The control plane cannot or may not deliver it: [`Entry::error`] says why.
    Failed,
    /// Nobody was asked: its name begins like one that says who has the resource, and goes on otherwise.
    Malformed,
    /// Nobody was asked: its name is one of another type.
    OtherKind,
    /// Nobody was asked: the bootstrap does not have the authority in its name.
    UnknownAuthority,
}

impl Absence {
    /// What became of the resource, to follow its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unlisted => "does not exist: the control plane answered without it",
            Self::NotFound => "does not exist: the control plane has none of this name",
            Self::TimedOut => "does not exist: the control plane did not send it in time",
            Self::Unanswered => "is not known: the control plane has not answered in time",
            Self::Deleted => "does not exist any more: the control plane took it away",
            Self::Expired => "is out of date: the control plane did not renew it within its time to live",
            Self::Malformed => "cannot be asked for: an xdstp name is xdstp://authority/type/id",
            Self::OtherKind => "cannot be asked for: its name is one of another type",
            Self::UnknownAuthority => "cannot be asked for: the bootstrap does not have its authority",
            Self::Failed => "cannot be had: the control plane reports an error",
        }
    }
}

/// A refused version of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The version that was refused: its own (delta), or that of the response (state of the world).
    pub version: Arc<str>,
    /// Why it was refused: `field path: reason`.
    pub reason: String,
    /// As it came over the wire.
    pub bytes: Bytes,
    /// When it came last.
    pub at: Instant,
    /// Whether it was refused for the type it was said to have, so that its bytes were not looked at.
    pub(super) foreign: bool,
}

/// An error that the control plane reports for a resource (gRFC A88).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The gRPC status code, such as 5 for `NOT_FOUND`.
    pub code: i32,
    /// What the control plane says.
    pub message: String,
    /// When it said so last.
    pub at: Instant,
}

/// How far the client has come with a resource: `envoy.admin.v3.ClientResourceStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Asked for; nothing has come yet.
    Requested,
    /// It does not exist, or no more.
    DoesNotExist,
    /// What came last is in force.
    Acked,
    /// What came last was refused.
    Nacked,
    /// The control plane reports an error.
    ReceivedError,
    /// The control plane did not answer in time.
    Timeout,
}

/// The gRPC status code for what does not exist.
pub(super) const NOT_FOUND: i32 = 5;
/// The gRPC status code for what is not for this client.
pub(super) const PERMISSION_DENIED: i32 = 7;

impl<V> Entry<V> {
    pub(super) fn new(named: bool) -> Self {
        Self {
            state: State::Pending,
            rejection: None,
            error: None,
            updated: None,
            named,
            inherited: false,
            forfeited: false,
            leaving: false,
            asked_in: None,
            seen_in: 0,
            deadline: None,
            grace: None,
            expires: None,
            alarm: None,
        }
    }

    /// For a name that nobody can be asked for.
    pub(super) fn absent(absence: Absence) -> Self {
        Self { state: State::Absent(absence), ..Self::new(true) }
    }

    /// The resource, if there is a valid one.
    #[must_use]
    pub fn value(&self) -> Option<&V> {
        self.present().map(|present| &present.value)
    }

    /// The resource and where it comes from, if there is a valid one.
    #[must_use]
    pub fn present(&self) -> Option<&Present<V>> {
        match &self.state {
            State::Present(present) => Some(present),
            _ => None,
        }
    }

    /// What is wrong with a resource that is in force all the same, to follow its name (gRFC A88's ambient errors).
    #[must_use]
    pub fn ambient(&self) -> Option<String> {
        self.present()?;
        let reported =
            |error: &Reported| format!("is kept, but the control plane reports: {}", error.message);
        match &self.rejection {
            Some(rejection) => {
                Some(format!("is kept, because a newer one was refused: {}", rejection.reason))
            }
            None => self.error.as_ref().map(reported),
        }
    }

    /// Why there is no such resource, to follow its name; empty if there is one or it is waited for.
    #[must_use]
    pub fn trouble(&self) -> String {
        match (&self.state, &self.rejection, &self.error) {
            (State::Absent(absence), _, Some(error)) if !error.message.is_empty() => {
                format!("{}: {}", absence.as_str(), error.message)
            }
            (State::Absent(absence), ..) => absence.as_str().to_owned(),
            (State::Pending, Some(rejection), _) => format!("was refused: {}", rejection.reason),
            _ => String::new(),
        }
    }

    /// How far the client has come with it.
    #[must_use]
    pub fn status(&self) -> Status {
        match (&self.state, &self.rejection, &self.error) {
            (_, Some(_), _) => Status::Nacked,
            (_, _, Some(error)) if error.code == NOT_FOUND => Status::DoesNotExist,
            (_, _, Some(_)) => Status::ReceivedError,
            (State::Pending, ..) => Status::Requested,
            (State::Present(_), ..) => Status::Acked,
            (State::Absent(Absence::Unanswered), ..) => Status::Timeout,
            (State::Absent(Absence::Failed), ..) => Status::ReceivedError,
            (State::Absent(_), ..) => Status::DoesNotExist,
        }
    }

    /// When what is present came, or when it became what it is, as a date; given the present as both.
    #[must_use]
    pub fn updated_at(&self, now: Instant, wall: SystemTime) -> Option<SystemTime> {
        let updated = self.present().map(|present| present.since).or(self.updated);
        date(updated?, now, wall)
    }

    /// Whether its error is this one, whenever that came.
    pub(super) fn says(&self, error: Option<&Reported>) -> bool {
        match (&self.error, error) {
            (Some(before), Some(error)) => before.is_like(error),
            (before, error) => before.is_none() && error.is_none(),
        }
    }

    /// Whether it is a part of everything that this control plane has not confirmed.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.inherited && !self.named && self.present().is_some()
    }

    /// Whether it is present because the disk cache had it, and no control plane has confirmed it.
    pub(super) fn is_from_disk(&self) -> bool {
        self.inherited && self.present().is_some_and(|present| present.version.is_empty())
    }

    /// Whether it is as good as the control plane has it.
    pub(super) fn is_clean(&self) -> bool {
        matches!(self.state, State::Present(_)) && self.rejection.is_none() && self.error.is_none()
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gRPC status {}", self.code)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl Reported {
    /// Whether both say the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.code, &self.message) == (other.code, &other.message)
    }

    /// [`at`](Self::at) as a date, given the present as both.
    #[must_use]
    pub fn date(&self, now: Instant, wall: SystemTime) -> Option<SystemTime> {
        date(self.at, now, wall)
    }
}

impl Rejection {
    /// [`at`](Self::at) as a date, given the present as both.
    #[must_use]
    pub fn date(&self, now: Instant, wall: SystemTime) -> Option<SystemTime> {
        date(self.at, now, wall)
    }
}

fn date(at: Instant, now: Instant, wall: SystemTime) -> Option<SystemTime> {
    wall.checked_sub(now.saturating_duration_since(at))
}
