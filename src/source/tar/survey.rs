//! The index pass: all headers of a tar, and the JSON among its members, once from front to back.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    io,
};

use super::{
    index::{Index, Piece, Sample},
    json::{self, JsonType},
    members::{Member, Members},
    names::{JSON, image_rank, key_and_field},
    stream::TarStream,
};
use crate::{digest::hex, source::kind::Tally};

/// More fields are not read, and of JSON objects not more keys.
const MOST_FIELDS: usize = 512;
/// Longer JSON is carried as text only.
const MOST_JSON_BYTES: u64 = 4 << 20;

/// A field of samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    /// Samples have it beside the image that is theirs.
    pub(super) is_column: bool,
    /// Bytes of all its members that are read.
    pub(super) bytes: u64,
    /// Bytes of the largest of them.
    pub(super) most_bytes: u64,
}

/// What a tar holds.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) index: Index,
    pub(super) fields: Vec<Field>,
    /// A sample has an image.
    pub(super) has_images: bool,
    /// The keys of JSON objects.
    pub(super) keys: BTreeMap<String, JsonType>,
    pub(super) tallies: Vec<Tally>,
    /// Tells its headers from those of another.
    pub(super) seal: String,
}

/// The piece that is the image of a sample.
pub(super) fn image_of<'a>(sample: &'a Sample, ranks: &[Option<usize>]) -> Option<&'a Piece> {
    let rank = |piece: &&Piece| ranks.get(usize::from(piece.field)).copied().flatten();
    let images = sample.pieces.iter().filter(|piece| rank(piece).is_some());
    images.min_by_key(rank)
}

/// Looks at every member of a tar.
///
/// # Errors
/// When it is damaged, cut off, or cannot be read.
pub(super) fn survey(stream: TarStream) -> io::Result<Surveyed> {
    let is_whole = matches!(stream, TarStream::Packed(_));
    let mut members = Members::of(stream);
    let mut survey = Survey {
        index: Index::new(is_whole),
        ..Survey::default()
    };
    while let Some(member) = members.next()? {
        survey.add(&member, &mut members)?;
    }
    survey.end_sample();
    if !members.is_ended {
        survey.count("tars have no mark at their end and may be cut off", b"");
    }
    survey.index.finish();
    Ok(Surveyed {
        index: survey.index,
        fields: survey.fields,
        has_images: survey.has_images,
        keys: survey.keys,
        tallies: survey.tallies,
        seal: hex(members.seal().as_ref()),
    })
}

#[derive(Default)]
struct Survey {
    index: Index,
    fields: Vec<Field>,
    numbers: HashMap<String, u16>,
    ranks: Vec<Option<usize>>,
    has_images: bool,
    keys: BTreeMap<String, JsonType>,
    tallies: Vec<Tally>,
    /// The sample that members are added to.
    open: Option<(Vec<u8>, Sample)>,
    /// Hashes of the keys so far.
    seen: HashSet<u64>,
}

impl Survey {
    fn add(&mut self, member: &Member, members: &mut Members) -> io::Result<()> {
        if let Some(refused) = member.refused {
            self.count(&format!("members {}", refused.as_str()), &member.name);
        }
        let Some((key, field)) = key_and_field(&member.name) else {
            if member.refused.is_none() {
                self.count(
                    "members have no key or no field in their names",
                    &member.name,
                );
            }
            return Ok(());
        };
        let Some(number) = self.number(field) else {
            self.count("members are of more than 512 fields", &member.name);
            return Ok(());
        };
        self.begin(key, member, number);
        let is_read = member.refused.is_none();
        let Some((_, sample)) = &mut self.open else {
            return Ok(());
        };
        sample.pieces.push(Piece {
            field: number,
            bytes: member.data..member.data + member.size,
            is_read,
        });
        let field = &mut self.fields[usize::from(number)];
        if is_read {
            field.bytes += member.size;
            field.most_bytes = field.most_bytes.max(member.size);
        }
        if is_read && field.name == JSON {
            self.add_json(member, members)?;
        }
        Ok(())
    }

    /// Goes on with the sample of `key`, or begins it: where another came before, or it has the field already.
    fn begin(&mut self, key: &[u8], member: &Member, field: u16) {
        if let Some((open, sample)) = &self.open
            && open == key
            && sample.pieces.iter().all(|piece| piece.field != field)
        {
            return;
        }
        self.end_sample();
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        if !self.seen.insert(hash.finish()) {
            self.count(
                "samples have the key of an earlier one of the same tar (each is a row)",
                key,
            );
        }
        let sample = Sample {
            header: member.header..member.data,
            pieces: Vec::new(),
        };
        self.open = Some((key.to_vec(), sample));
    }

    fn end_sample(&mut self) {
        let Some((key, sample)) = self.open.take() else {
            return;
        };
        let image = image_of(&sample, &self.ranks).map(|piece| piece.field);
        self.has_images |= image.is_some();
        let (mut images, mut parts) = (0, 0);
        for piece in &sample.pieces {
            let field = &mut self.fields[usize::from(piece.field)];
            field.is_column |= Some(piece.field) != image;
            images += usize::from(self.ranks[usize::from(piece.field)].is_some());
            let ends_as_image = field.name.rsplit_once('.');
            parts += usize::from(ends_as_image.is_some_and(|(_, end)| image_rank(end).is_some()));
        }
        if images > 1 {
            self.count(
                "samples have several images (the first of jpg, jpeg, png, webp, ... is the pair's)",
                &key,
            );
        }
        if images == 0 && parts > 1 {
            self.count(
                "samples are made of images whose names differ behind their first dot only, where a key ends",
                &key,
            );
        }
        self.index.push(&sample);
    }

    fn add_json(&mut self, member: &Member, members: &mut Members) -> io::Result<()> {
        if member.size > MOST_JSON_BYTES {
            self.count(
                "members of JSON are longer than 4 MiB: they give no columns",
                &member.name,
            );
            return Ok(());
        }
        let bytes = members.bytes(member)?;
        let Some(object) = json::object(&bytes) else {
            self.count(
                "members named .json are no JSON object: they give no columns",
                &member.name,
            );
            return Ok(());
        };
        for (key, value) in object {
            let Some(kind) = JsonType::of(&value) else {
                continue;
            };
            let has_room = self.keys.len() < MOST_FIELDS;
            match self.keys.get_mut(&key) {
                Some(known) => *known = known.with(kind),
                None if has_room => {
                    self.keys.insert(key, kind);
                }
                None => self.count("keys of JSON are beyond the first 512", key.as_bytes()),
            }
        }
        Ok(())
    }

    fn number(&mut self, name: String) -> Option<u16> {
        if let Some(&known) = self.numbers.get(&name) {
            return Some(known);
        }
        if self.fields.len() == MOST_FIELDS {
            return None;
        }
        let number = u16::try_from(self.fields.len()).ok()?;
        self.ranks.push(image_rank(&name));
        self.numbers.insert(name.clone(), number);
        self.fields.push(Field {
            name,
            is_column: false,
            bytes: 0,
            most_bytes: 0,
        });
        Some(number)
    }

    fn count(&mut self, what: &str, example: &[u8]) {
        Tally::count(&mut self.tallies, what, || {
            String::from_utf8_lossy(example).chars().take(200).collect()
        });
    }
}
