//! What to say to a control plane whose resources are refused, and when.

use crate::clock::Instant;
use crate::policy::backoff::Backoff;
use mesh_proto::google::rpc::Status;
use std::time::Duration;

/// `INVALID_ARGUMENT`: the code of a NACK.
const NACK_CODE: i32 = 3;

/// The longest refusal that is sent, in bytes. Servers put it into their logs, and gRPC into a status.
pub(super) const MAX_NACK: usize = 8 << 10;
/// The longest piece of a name or a reason in it, in bytes.
const MAX_PIECE: usize = 512;

/// Everything that is wrong with one response, for one NACK: a line `name: field path: reason` each.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    message: String,
    unsaid: usize,
}

impl Refusals {
    pub(super) fn add(&mut self, subject: &str, reason: &str) {
        if self.message.len() + subject.len().min(MAX_PIECE) + reason.len().min(MAX_PIECE) > MAX_NACK {
            self.unsaid += 1;
            return;
        }
        if !self.message.is_empty() {
            self.message.push('\n');
        }
        clip(&mut self.message, subject);
        self.message.push_str(": ");
        clip(&mut self.message, reason);
    }

    /// The message, if anything was wrong.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.unsaid > 0 {
            self.message.push_str(&format!("\nand {} more", self.unsaid));
        }
        Some(self.message).filter(|message| !message.is_empty())
    }
}

/// What makes a request a NACK.
pub(super) fn refusal(message: String) -> Status {
    Status { code: NACK_CODE, message, details: Vec::new() }
}

fn clip(message: &mut String, piece: &str) {
    if piece.len() <= MAX_PIECE {
        message.push_str(piece);
    } else {
        let end = (0..=MAX_PIECE).rev().find(|&end| piece.is_char_boundary(end)).unwrap_or(0);
        message.push_str(&piece[..end]);
        message.push('…');
    }
}

/// The wait before answering a server that repeats itself, doubling up to five seconds.
const PAUSE: Backoff =
    Backoff { base: Duration::from_millis(100), factor: 2.0, max: Duration::from_secs(5), jitter: 0.0 };
/// A response within this time after an answer may be one to it.
const AT_ONCE: Duration = Duration::from_secs(1);
/// So many accepted responses without news in a row are no cause for concern.
const PATIENCE: u32 = 8;

/// Slows down the exchange with a server that answers every answer by saying the same again, which some do upon a
/// NACK: without it both would be busy for ever.
#[derive(Debug, Default)]
pub(super) struct Pace {
    answered: Option<Instant>,
    repetitions: u32,
    until: Option<Instant>,
}

impl Pace {
    /// A response came.
    pub(super) fn heard(&mut self, now: Instant, news: bool, refused: bool) {
        let answered = self.answered.take();
        if news {
            self.repetitions = 0;
        } else if let Some(answered) = answered {
            let at_once = now < answered + AT_ONCE;
            self.repetitions = if at_once { self.repetitions.saturating_add(1) } else { 0 };
        }
        let allowed = if refused { 1 } else { PATIENCE };
        let pause = PAUSE.delay(self.repetitions.saturating_sub(allowed), 0);
        self.until = (!pause.is_zero()).then(|| now + pause);
    }

    /// The answer is sent.
    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
        self.until = None;
    }

    /// When to answer, if not at once.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Time has passed.
    pub(super) fn fire(&mut self, now: Instant) {
        if self.permits(now) {
            self.until = None;
        }
    }

    /// Whether to answer now.
    pub(super) fn permits(&self, now: Instant) -> bool {
        // So far in the future it can only be if the clock was set back.
        self.until.is_none_or(|until| until <= now || until > now + PAUSE.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn every_error_is_told_until_it_gets_too_much() {
        let mut refusals = Refusals::default();
        assert_eq!(Refusals::default().finish(), None);
        refusals.add("a", "b: c");
        refusals.add("d", "e");
        let mut message = Refusals::default();
        std::mem::swap(&mut message, &mut refusals);
        assert_eq!(message.finish().unwrap(), "a: b: c\nd: e");
        for _ in 0..100 {
            refusals.add(&"ü".repeat(40_000), "bad");
        }
        let message = refusals.finish().unwrap();
        assert!(message.len() < MAX_NACK + 100, "{}", message.len());
        assert!(message.ends_with("more"), "{message}");
    }

    #[test]
    fn who_repeats_himself_is_answered_ever_more_slowly() {
        let mut pace = Pace::default();
        let mut now = Clock::system().now();
        let start = now;
        pace.heard(now, true, true);
        for _ in 0..100 {
            now = pace.until().unwrap_or(now);
            assert!(pace.permits(now));
            pace.answered(now);
            pace.heard(now, false, true);
        }
        assert!(now - start > Duration::from_secs(400), "{:?}", now - start);
        pace.answered(now);
        pace.heard(now, true, true);
        assert!(pace.permits(now), "news is answered at once");
        pace.answered(now);
        pace.heard(now + AT_ONCE, false, true);
        assert!(pace.permits(now + AT_ONCE), "and so is a repetition that takes its time");
    }
}
