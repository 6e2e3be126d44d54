//! The protobuf wire format, for looking at a message without decoding all of it.

use super::invalid::{Checked, Invalid};

/// A field of a message, as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Its number.
    pub(super) number: u32,
    /// Its value.
    pub(super) value: Value<'a>,
    /// All of it: key, length and value.
    pub(super) whole: &'a [u8],
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// A whole number, a truth value or an enumerated one.
    Varint(u64),
    /// Eight or four bytes.
    Fixed,
    /// A text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// The fields of an encoded message in their order; ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn field(&mut self) -> Option<Field<'a>> {
        let start = self.rest;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number != 0)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups are not used by any resource.
            _ => return None,
        };
        Some(Field { number, value, whole: &start[..start.len() - self.rest.len()] })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Checked<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or_else(|| Invalid::new("cannot be decoded: not a protobuf message")))
    }
}

/// Takes the fields `number` out of a message: their values go to `taken`, everything else to `rest`.
pub(super) fn split<'a>(
    message: &'a [u8],
    number: u32,
    rest: &mut Vec<u8>,
    mut taken: impl FnMut(&'a [u8]),
) -> Checked<()> {
    for field in Fields::of(message) {
        let field = field?;
        match field.value {
            Value::Bytes(value) if field.number == number => taken(value),
            _ => rest.extend_from_slice(field.whole),
        }
    }
    Ok(())
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
        for bytes in [&[0x0a][..], &[0x0a, 2, 1], &[0x0b], &[0x00, 0], &[0x09, 1], &[0xff; 20]] {
            assert!(Fields::of(bytes).last().unwrap().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_message_is_split() {
        let bytes = [0x0a, 1, b'x', 0x10, 7, 0x0a, 1, b'y'];
        let (mut rest, mut taken) = (Vec::new(), Vec::new());
        split(&bytes, 1, &mut rest, |value| taken.push(value)).unwrap();
        assert_eq!((rest, taken), (vec![0x10, 7], vec![&b"x"[..], b"y"]));
    }
}
