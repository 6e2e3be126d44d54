//! Cuts what comes over a gRPC stream into messages.
//!
//! A message that comes in one piece is not copied; any other is copied once, into memory of its own size.

use super::keep::keep;
use bytes::{Bytes, BytesMut};

/// The largest message that is accepted. istiod sends a few kilobytes per service; a mesh of ten thousand services
/// stays below this.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Length of the prefix of a gRPC message: a flag and the length of the message.
pub(super) const PREFIX: usize = 5;

/// Cuts what comes over a gRPC stream into messages.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// What came last, and how much of it is used.
    piece: Bytes,
    used: usize,
    /// The message of which only the beginning has come.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    message: BytesMut,
    len: usize,
}

impl Inbox {
    /// Takes what came in; only when [`next`](Self::next) has no more messages.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.piece = match &self.piece[self.used..] {
            [] => piece,
            // The piece before ended within a prefix.
            rest => [rest, &piece].concat().into(),
        };
        self.used = 0;
    }

    /// The next message that is complete.
    ///
    /// # Errors
    ///
    /// Why what came is no message, or too large.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, String> {
        let rest = &self.piece[self.used..];
        let (message, used) = match &mut self.begun {
            Some(begun) => {
                let part = &rest[..rest.len().min(begun.len - begun.message.len())];
                begun.message.extend_from_slice(part);
                let complete = begun.message.len() == begun.len;
                (complete.then(|| std::mem::take(&mut begun.message).freeze()), part.len())
            }
            None => {
                let Some((prefix, rest)) = rest.split_first_chunk() else { return Ok(None) };
                let len = length(*prefix)?;
                match rest.get(..len) {
                    Some(message) => (Some(keep(message, &self.piece)), PREFIX + len),
                    None => {
                        let mut message = BytesMut::with_capacity(len);
                        message.extend_from_slice(rest);
                        self.begun = Some(Begun { message, len });
                        (None, PREFIX + rest.len())
                    }
                }
            }
        };
        self.used += used;
        if message.is_some() {
            self.begun = None;
        }
        if self.used == self.piece.len() {
            (self.piece, self.used) = (Bytes::new(), 0);
        }
        Ok(message)
    }
}

/// The length of the message that follows.
fn length([compressed, len @ ..]: [u8; PREFIX]) -> Result<usize, String> {
    if compressed != 0 {
        return Err("the control plane sent a compressed message, which was not offered".to_owned());
    }
    let len = u32::from_be_bytes(len) as usize;
    if len > MAX_MESSAGE {
        return Err(format!("a message of {len} bytes exceeds the limit of {MAX_MESSAGE} bytes"));
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let len = (message.len() as u32).to_be_bytes();
        [&[0][..], &len, message].concat()
    }

    /// What comes out of what comes in pieces of a length.
    fn cut(stream: &[u8], piece: usize) -> Vec<Bytes> {
        let (mut inbox, mut messages) = (Inbox::default(), Vec::new());
        for piece in stream.chunks(piece) {
            inbox.push(Bytes::copy_from_slice(piece));
            while let Some(message) = inbox.next().unwrap() {
                messages.push(message);
            }
        }
        assert!(inbox.begun.is_none() && inbox.piece.is_empty(), "nothing is kept of what is done with");
        messages
    }

    #[test]
    fn messages_come_out_however_they_were_cut() {
        let messages = [vec![1; 100], vec![], vec![2; 7], vec![3; 1000], vec![], vec![4]];
        let stream = messages.iter().flat_map(|message| framed(message)).collect::<Vec<_>>();
        for piece in 1..=stream.len() {
            assert_eq!(cut(&stream, piece), messages, "pieces of {piece}");
        }
    }

    #[test]
    fn a_message_that_comes_in_one_piece_is_not_copied() {
        let piece = Bytes::from(framed(&[7; 1000]));
        let mut inbox = Inbox::default();
        inbox.push(piece.clone());
        assert_eq!(inbox.next().unwrap().unwrap().as_ptr(), piece[PREFIX..].as_ptr());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (prefix, why) in [([1, 0, 0, 0, 1], "compressed"), ([0, 0xff, 0, 0, 0], "exceeds the limit")] {
            let mut inbox = Inbox::default();
            inbox.push(Bytes::copy_from_slice(&prefix));
            assert!(inbox.next().unwrap_err().contains(why));
        }
    }
}
