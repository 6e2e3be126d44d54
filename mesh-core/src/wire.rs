//! The protobuf wire format, for looking at a message without decoding all of it, and its durations.

use mesh_proto::google::protobuf;
use prost::encoding::{DecodeContext, WireType, skip_field};
use std::fmt;
use std::time::Duration;

/// A field of a message, as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// Its number.
    pub(crate) number: u32,
    /// Its value.
    pub(crate) value: Value<'a>,
    /// All of it: key, length and value.
    pub(crate) whole: &'a [u8],
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// A whole number, a truth value or an enumerated one.
    Varint(u64),
    /// Eight or four bytes, or a group, which no message that is read has.
    Other,
    /// A text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// Why a message cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a protobuf message: {}", self.0)
    }
}

const NUMBER: Malformed = Malformed("a number does not end");
const KEY: Malformed = Malformed("a field has no valid number and type");
const LENGTH: Malformed = Malformed("a field exceeds the message");

/// The fields of an encoded message in their order; ends after the first error.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(LENGTH)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(NUMBER)?;
            self.rest = rest;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return Err(NUMBER);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(NUMBER)
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.rest;
        let key = u32::try_from(self.varint()?).map_err(|_| KEY)?;
        let number = key >> 3;
        if number == 0 {
            return Err(KEY);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| LENGTH)?;
                Value::Bytes(self.take(len)?)
            }
            3 => skip_field(WireType::StartGroup, number, &mut self.rest, DecodeContext::default())
                .map(|()| Value::Other)
                .map_err(|_| Malformed("a group does not end"))?,
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(KEY),
        };
        Ok(Field { number, value, whole: &start[..start.len() - self.rest.len()] })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Takes the fields `number` out of a message: their values go to `taken`, everything else to `rest`.
pub(crate) fn split<'a>(
    message: &'a [u8],
    number: u32,
    rest: &mut Vec<u8>,
    mut taken: impl FnMut(&'a [u8]),
) -> Result<(), Malformed> {
    for field in Fields::of(message) {
        let field = field?;
        match field.value {
            Value::Bytes(value) if field.number == number => taken(value),
            _ => rest.extend_from_slice(field.whole),
        }
    }
    Ok(())
}

/// A duration of any length, unless it is negative or not valid.
pub(crate) fn duration(proto: &protobuf::Duration) -> Option<Duration> {
    let nanos = u32::try_from(proto.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(proto.seconds).ok()?, nanos))
}

/// A duration as it is sent.
pub(crate) fn duration_to_proto(duration: Duration) -> protobuf::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    protobuf::Duration { seconds, nanos: duration.subsec_nanos().cast_signed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::envoy::config::cluster::v3::Cluster;
    use prost::Message;

    #[test]
    fn the_fields_make_up_the_message() {
        let cluster = Cluster {
            name: "a".into(),
            lb_policy: 300,
            ignore_health_on_host_removal: true,
            ..Default::default()
        };
        let bytes = cluster.encode_to_vec();
        let fields: Vec<_> = Fields::of(&bytes).map(Result::unwrap).collect();
        let seen: Vec<_> = fields.iter().map(|field| (field.number, field.value)).collect();
        assert_eq!(seen, [(1, Value::Bytes(b"a")), (6, Value::Varint(300)), (32, Value::Varint(1))]);
        let whole: Vec<u8> = fields.iter().flat_map(|field| field.whole).copied().collect();
        assert_eq!(whole, bytes);
    }

    #[test]
    fn garbage_ends_in_an_error() {
        let endless_key = [&[0xff; 9][..], &[1, 0]].concat();
        let garbage =
            [&[0x0a][..], &[0x0a, 2, 1], &[0x0b], &[0x0c], &[0x00, 0], &[0x09, 1], &[0xff; 20], &endless_key];
        for bytes in garbage {
            assert!(Fields::of(bytes).last().unwrap().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn groups_and_fixed_numbers_are_stepped_over() {
        let bytes = [0x0b, 0x08, 1, 0x0c, 0x15, 1, 2, 3, 4, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x20, 1];
        let fields: Vec<_> = Fields::of(&bytes).map(Result::unwrap).collect();
        let seen: Vec<_> =
            fields.iter().map(|field| (field.number, field.value, field.whole.len())).collect();
        let other = Value::Other;
        assert_eq!(seen, [(1, other, 4), (2, other, 5), (3, other, 9), (4, Value::Varint(1), 2)]);
    }

    #[test]
    fn durations_are_checked() {
        let read = |seconds, nanos| duration(&protobuf::Duration { seconds, nanos });
        assert_eq!(read(1, 500_000_000), Some(Duration::from_millis(1500)));
        assert_eq!(read(i64::MAX, 0), Some(Duration::from_secs(i64::MAX as u64)));
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, i32::MIN)] {
            assert_eq!(read(seconds, nanos), None);
        }
    }

    #[test]
    fn durations_are_sent_as_they_are_read() {
        for sent in [Duration::ZERO, Duration::new(1, 5), Duration::from_secs(i64::MAX as u64)] {
            assert_eq!(duration(&duration_to_proto(sent)), Some(sent));
        }
        assert_eq!(duration_to_proto(Duration::MAX).seconds, i64::MAX);
    }

    #[test]
    fn a_message_is_split() {
        let bytes = [0x0a, 1, b'x', 0x10, 7, 0x0a, 1, b'y'];
        let (mut rest, mut taken) = (Vec::new(), Vec::new());
        split(&bytes, 1, &mut rest, |value| taken.push(value)).unwrap();
        assert_eq!((rest, taken), (vec![0x10, 7], vec![&b"x"[..], b"y"]));
    }
}
