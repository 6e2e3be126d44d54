//! What a disk cache looks like: its format, its length and its checksum, whose resources it holds, and these.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use std::fmt;

/// How the file begins.
pub(super) const MAGIC: [u8; 8] = *b"mesh-xds";
/// The version of the format.
const FORMAT: u32 = 3;
/// Magic, format, length of the content, checksum of the content.
pub(super) const HEADER: usize = 8 + 4 + 8 + 8;

/// A resource as the file has it.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    /// The type URL.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The resource, as it came over the wire.
    #[prost(bytes = "bytes", tag = "3")]
    pub resource: Bytes,
    /// When its time to live ends, in milliseconds since 1970; 0 if it lives for ever.
    #[prost(uint64, tag = "4")]
    pub expires: u64,
}

/// What the file holds.
#[derive(Clone, PartialEq, Message)]
pub struct Content {
    /// Whose resources they are, and which control planes they came from.
    #[prost(string, tag = "1")]
    pub origin: String,
    /// When it was written, in seconds since 1970.
    #[prost(uint64, tag = "2")]
    pub written: u64,
    /// The resources.
    #[prost(message, repeated, tag = "3")]
    pub records: Vec<Record>,
}

/// The number of the field [`Content::records`].
const RECORDS: u32 = 3;

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusable {
    /// It is something else.
    Foreign,
    /// It has another format than this version of the mesh reads.
    Format(u32),
    /// It ends too early, or goes on for too long.
    Length,
    /// It was damaged.
    Checksum,
    /// Its content makes no sense.
    Garbled,
    /// Its resources are those of another node, or came from other control planes.
    Origin(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is no disk cache, and is left as it is"),
            Self::Format(format) => write!(f, "format {format}, only {FORMAT} is understood"),
            Self::Length => f.write_str("its length is not what it should be"),
            Self::Checksum => f.write_str("damaged: the checksum is wrong"),
            Self::Garbled => f.write_str("its content cannot be decoded"),
            Self::Origin(origin) => write!(f, "written for another node or other control planes: {origin}"),
        }
    }
}

/// The room that a file has for records.
#[derive(Debug)]
pub struct Room {
    left: u64,
}

impl Room {
    /// That of a file which must not exceed `max_bytes`, with resources of `origin`.
    #[must_use]
    pub fn new(max_bytes: u64, origin: &str) -> Self {
        // Whenever it is written.
        let rest = Content { origin: origin.to_owned(), written: u64::MAX, records: Vec::new() };
        Self { left: max_bytes.saturating_sub((HEADER + rest.encoded_len()) as u64) }
    }

    /// Whether there is room for a record, which is taken then.
    pub fn take(&mut self, record: &Record) -> bool {
        let size = size(record);
        let fits = size <= self.left;
        self.left -= if fits { size } else { 0 };
        fits
    }
}

/// Writes a file with the records of `origin`, at so many seconds since 1970.
#[must_use]
pub fn encode<'a>(origin: &str, written: u64, records: impl IntoIterator<Item = &'a Record>) -> Vec<u8> {
    let mut file = vec![0; HEADER];
    let rest = Content { origin: origin.to_owned(), written, records: Vec::new() };
    file.extend(rest.encode_to_vec());
    records.into_iter().for_each(|record| prost::encoding::message::encode(RECORDS, record, &mut file));
    let (mut header, body) = file.split_at_mut(HEADER);
    header.put_slice(&MAGIC);
    header.put_u32(FORMAT);
    header.put_u64(body.len() as u64);
    header.put_u64(checksum(body));
    file
}

/// Reads the content of a file.
///
/// # Errors
///
/// Why it is not to be used.
pub fn decode(mut file: Bytes, origin: &str) -> Result<Content, Unusable> {
    if !file.starts_with(&MAGIC) {
        return Err(Unusable::Foreign);
    }
    if file.len() < HEADER {
        return Err(Unusable::Length);
    }
    file.advance(MAGIC.len());
    let format = file.get_u32();
    if format != FORMAT {
        return Err(Unusable::Format(format));
    }
    let (length, sum) = (file.get_u64(), file.get_u64());
    if length != file.len() as u64 {
        return Err(Unusable::Length);
    }
    if sum != checksum(&file) {
        return Err(Unusable::Checksum);
    }
    let content = Content::decode(file).map_err(|_| Unusable::Garbled)?;
    if content.origin != origin {
        return Err(Unusable::Origin(content.origin));
    }
    Ok(content)
}

/// FNV-1a: finds accidents, which is all that is asked of it.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The bytes that a record takes up in a file.
pub(super) fn size(record: &Record) -> u64 {
    prost::encoding::message::encoded_len(RECORDS, record) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(records: usize) -> Content {
        let record = |index| Record {
            type_url: "type.googleapis.com/t".to_owned(),
            name: format!("name-{index}"),
            resource: Bytes::from(vec![index as u8; 100]),
            expires: index as u64,
        };
        Content { origin: "here".to_owned(), written: 7, records: (0..records).map(record).collect() }
    }

    fn file(records: usize) -> Vec<u8> {
        encode("here", 7, &content(records).records)
    }

    #[test]
    fn what_is_written_is_read() {
        for records in [0, 1, 100] {
            assert_eq!(decode(file(records).into(), "here"), Ok(content(records)));
        }
    }

    #[test]
    fn a_file_that_does_not_fit_is_not_used() {
        let good = file(3);
        let changed = |at: usize, to: u8| {
            let mut file = good.clone();
            file[at] = to;
            file
        };
        let garbled = {
            let body = [0xFF; 5];
            let mut file = good[..12].to_vec();
            file.put_u64(body.len() as u64);
            file.put_u64(checksum(&body));
            file.put_slice(&body);
            file
        };
        for (what, file, reason) in [
            ("empty", Vec::new(), Unusable::Foreign),
            ("another file", b"{\"a\": 1}".to_vec(), Unusable::Foreign),
            ("another magic", changed(0, b'M'), Unusable::Foreign),
            ("only the magic", good[..8].to_vec(), Unusable::Length),
            ("only a part of the header", good[..20].to_vec(), Unusable::Length),
            ("an earlier format", changed(11, 2), Unusable::Format(2)),
            ("a later format", changed(11, 4), Unusable::Format(4)),
            ("one byte short", good[..good.len() - 1].to_vec(), Unusable::Length),
            ("one byte more", [&good[..], &[0]].concat(), Unusable::Length),
            ("a wrong length", changed(12, 1), Unusable::Length),
            ("a wrong checksum", changed(HEADER - 1, good[HEADER - 1] ^ 1), Unusable::Checksum),
            ("a flipped bit", changed(good.len() - 5, good[good.len() - 5] ^ 4), Unusable::Checksum),
            ("senseless content", garbled, Unusable::Garbled),
        ] {
            assert_eq!(decode(file.into(), "here"), Err(reason), "{what}");
        }
        assert_eq!(decode(good.into(), "there"), Err(Unusable::Origin("here".to_owned())));
    }
}
