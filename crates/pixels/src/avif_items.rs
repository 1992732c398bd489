//! The pictures of an AVIF file: which bytes make the primary one and its alpha, as items or as tracks.
//!
//! Of items at most [`MAX_ITEMS`] are read, so that no table is walked for long. Clean aperture is left alone, as Pillow
//! leaves it.

use std::collections::BTreeMap;

use crate::avif_boxes::{Boxes, Reader, find, truncated};
use crate::avif_check;
use crate::avif_track;
use crate::avif_turn::turn;
use crate::fault::Fault;
use crate::turn::Turn;

/// Items that a file may have: a grid of 4,095 tiles and their picture.
const MAX_ITEMS: usize = 4096;

/// Properties of an item that are looked at; libavif writes fewer than ten.
const MAX_PROPERTIES: usize = 64;

/// One coded picture, or several of one size side by side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) columns: usize,
    /// Columns and rows of a tile.
    pub(crate) tile: (u32, u32),
    /// AV1 streams in pieces, row by row.
    pub(crate) tiles: Vec<Vec<&'a [u8]>>,
    pub(crate) color: Option<Color>,
    /// How it is to be turned.
    pub(crate) turn: Turn,
}

/// The container's word on colour, which goes before the stream's. Numbers are those of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Color {
    pub(crate) primaries: u16,
    pub(crate) matrix: u16,
    pub(crate) full_range: bool,
}

/// The primary picture and its alpha.
#[derive(Debug, Clone)]
pub(crate) struct Pictures<'a> {
    pub(crate) color: Picture<'a>,
    pub(crate) alpha: Option<Picture<'a>>,
    /// The colours were multiplied by alpha.
    pub(crate) premultiplied: bool,
}

/// Finds the pictures of a file.
///
/// # Errors
///
/// `Unsupported` for other codecs and kinds of items, `Corrupt` and `Truncated` for tables that do not fit.
pub(crate) fn pictures(file: &[u8]) -> Result<Pictures<'_>, Fault> {
    let kind = find(file, b"ftyp").ok_or_else(truncated)?;
    avif_check::check_brand(kind)?;
    let sequence = !kind.starts_with(b"avif") && find(file, b"moov").is_some();
    if sequence {
        return avif_track::pictures(file);
    }
    let mut meta = Reader(find(file, b"meta").ok_or_else(truncated)?);
    avif_check::check(meta.0)?;
    meta.version()?;
    let items = Items::parse(file, meta.0)?;
    let color = items.picture(items.primary)?;
    let alpha = items.alphas.get(&items.primary).copied();
    let premultiplied = items.references.iter().any(|(kind, from, to)| {
        kind == b"prem" && *from == items.primary && alpha.is_some_and(|alpha| to.contains(&alpha))
    });
    let alpha = match alpha {
        Some(alpha) => Some(items.picture(alpha)?),
        None => items.alpha_of_tiles(&color)?,
    };
    Ok(Pictures {
        color,
        alpha,
        premultiplied,
    })
}

/// Kind, from which item, to which.
type Reference = ([u8; 4], u32, Vec<u32>);

#[derive(Debug, Default)]
struct Item<'a> {
    kind: [u8; 4],
    pieces: Vec<&'a [u8]>,
    /// Numbers of its properties, from one.
    properties: Vec<usize>,
}

#[derive(Debug, Default)]
struct Items<'a> {
    primary: u32,
    items: BTreeMap<u32, Item<'a>>,
    properties: Vec<([u8; 4], &'a [u8])>,
    references: Vec<Reference>,
    /// The alpha of an item.
    alphas: BTreeMap<u32, u32>,
}

impl<'a> Items<'a> {
    fn parse(file: &'a [u8], meta: &'a [u8]) -> Result<Self, Fault> {
        let mut items = Self::default();
        let mut primary = Reader(find(meta, b"pitm").ok_or_else(truncated)?);
        let (version, _) = primary.version()?;
        items.primary = primary.number(version > 0)?;
        items.read_kinds(find(meta, b"iinf").ok_or_else(truncated)?)?;
        let inner = find(meta, b"idat").unwrap_or_default();
        items.read_places(find(meta, b"iloc").ok_or_else(truncated)?, file, inner)?;
        items.read_properties(find(meta, b"iprp").ok_or_else(truncated)?)?;
        if let Some(references) = find(meta, b"iref") {
            items.read_references(references)?;
        }
        Ok(items)
    }

    fn read_kinds(&mut self, table: &[u8]) -> Result<(), Fault> {
        let mut table = Reader(table);
        let (version, _) = table.version()?;
        table.number(version > 0)?;
        for (_, entry) in Boxes(table.0).filter(|(kind, _)| kind == b"infe") {
            let mut entry = Reader(entry);
            let (version, _) = entry.version()?;
            let id = entry.number(version > 2)?;
            entry.u16()?;
            let kind = entry.array()?;
            self.items.entry(id).or_default().kind = kind;
            if self.items.len() > MAX_ITEMS {
                let message = format!("avif: more than {MAX_ITEMS} items");
                return Err(Fault::unsupported(message));
            }
        }
        Ok(())
    }

    fn read_places(&mut self, table: &[u8], file: &'a [u8], inner: &'a [u8]) -> Result<(), Fault> {
        let mut table = Reader(table);
        let (version, _) = table.version()?;
        let [sizes, more] = table.array()?;
        let size = |nibble: u8| usize::from(nibble & 15);
        let (offset_size, length_size, base_size) =
            (size(sizes >> 4), size(sizes), size(more >> 4));
        let index_size = if version > 0 { size(more) } else { 0 };
        let count = table.number(version > 1)?;
        for _ in 0..count {
            let id = table.number(version > 1)?;
            let construction = if version > 0 { table.u16()? & 15 } else { 0 };
            table.u16()?;
            let base = table.uint(base_size)?;
            let pieces = table.u16()?;
            let mut item = self.items.get_mut(&id);
            // Pieces may overlap, but make no more than the file.
            let mut room = file.len();
            for _ in 0..pieces {
                table.uint(index_size)?;
                let offset = base.saturating_add(table.uint(offset_size)?);
                let length = table.uint(length_size)?;
                if let Some(item) = &mut item {
                    let source = match construction {
                        0 => file,
                        1 => inner,
                        _ => return Err(Fault::unsupported("avif: items made of items")),
                    };
                    let piece = piece(source, offset, length)?;
                    room = room
                        .checked_sub(piece.len().max(1))
                        .ok_or_else(|| Fault::corrupt("avif: an item larger than the file"))?;
                    item.pieces.push(piece);
                } else if offset_size + length_size == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    fn read_properties(&mut self, properties: &'a [u8]) -> Result<(), Fault> {
        let list = find(properties, b"ipco").ok_or_else(truncated)?;
        self.properties = Boxes(list).take(MAX_ITEMS).collect();
        for (_, table) in Boxes(properties).filter(|(kind, _)| kind == b"ipma") {
            let mut table = Reader(table);
            let (version, flags) = table.version()?;
            for _ in 0..table.u32()? {
                let id = table.number(version > 0)?;
                let count = table.u8()?;
                let mut item = self.items.get_mut(&id);
                for _ in 0..count {
                    let number = match flags & 1 {
                        1 => table.u16()? & 0x7fff,
                        _ => u16::from(table.u8()? & 0x7f),
                    };
                    match &mut item {
                        Some(item) if item.properties.len() < MAX_PROPERTIES => {
                            item.properties.push(usize::from(number));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn read_references(&mut self, table: &[u8]) -> Result<(), Fault> {
        let mut table = Reader(table);
        let wide = table.version()?.0 > 0;
        for (kind, entry) in Boxes(table.0).take(MAX_ITEMS) {
            let mut entry = Reader(entry);
            let from = entry.number(wide)?;
            let to: Result<_, _> = (0..entry.u16()?).map(|_| entry.number(wide)).collect();
            let to: Vec<u32> = to?;
            if kind == *b"auxl" && self.is_alpha(from) {
                to.iter().for_each(|&id| {
                    self.alphas.entry(id).or_insert(from);
                });
            }
            self.references.push((kind, from, to));
        }
        Ok(())
    }

    fn item(&self, id: u32) -> Result<&Item<'a>, Fault> {
        let missing = || Fault::corrupt(format!("avif: no item {id}"));
        self.items.get(&id).ok_or_else(missing)
    }

    /// The properties of an item.
    fn properties_of<'b>(
        &'b self,
        item: &'b Item<'a>,
    ) -> impl Iterator<Item = ([u8; 4], &'a [u8])> + 'b {
        let numbers = item.properties.iter();
        numbers.filter_map(|number| self.properties.get(number.checked_sub(1)?).copied())
    }

    /// Alpha of a grid whose tiles have one each.
    fn alpha_of_tiles(&self, color: &Picture<'a>) -> Result<Option<Picture<'a>>, Fault> {
        let tiles = self.tiles(self.primary);
        let alphas: Option<Vec<u32>> = tiles.map(|tile| self.alphas.get(&tile).copied()).collect();
        let Some(alphas) = alphas.filter(|alphas| !alphas.is_empty()) else {
            return Ok(None);
        };
        let streams = alphas
            .into_iter()
            .map(|alpha| self.stream(self.item(alpha)?));
        Ok(Some(Picture {
            tiles: streams.collect::<Result<_, _>>()?,
            color: None,
            ..color.clone()
        }))
    }

    /// The items that a grid is made of, row by row.
    fn tiles(&self, id: u32) -> impl Iterator<Item = u32> + '_ {
        let references = self.references.iter();
        let tiles = references.filter(move |(kind, from, _)| kind == b"dimg" && *from == id);
        tiles.flat_map(|(_, _, to)| to).copied()
    }

    fn is_alpha(&self, id: u32) -> bool {
        let Ok(item) = self.item(id) else {
            return false;
        };
        self.properties_of(item).any(|(kind, content)| {
            kind == *b"auxC" && names_alpha(content.get(4..).unwrap_or_default())
        })
    }

    /// Width and height that an item declares.
    fn size(&self, item: &Item<'a>) -> Result<(u32, u32), Fault> {
        let (_, extents) = self
            .properties_of(item)
            .find(|(kind, _)| kind == b"ispe")
            .ok_or_else(|| Fault::corrupt("avif: an item without its size"))?;
        let mut extents = Reader(extents);
        extents.version()?;
        Ok((extents.u32()?, extents.u32()?))
    }

    fn stream(&self, item: &Item<'a>) -> Result<Vec<&'a [u8]>, Fault> {
        if item.kind != *b"av01" {
            return Err(Fault::unsupported(match &item.kind {
                b"hvc1" | b"hev1" => "heic image (HEVC)".to_owned(),
                other => format!("avif: item of kind {}", other.escape_ascii()),
            }));
        }
        let layered = |&(kind, _): &([u8; 4], &[u8])| matches!(&kind, b"a1op" | b"lsel" | b"a1lx");
        if self.properties_of(item).any(|property| layered(&property)) {
            return Err(Fault::unsupported("avif: layered picture"));
        }
        Ok(item.pieces.clone())
    }

    fn picture(&self, id: u32) -> Result<Picture<'a>, Fault> {
        let item = self.item(id)?;
        let (width, height) = self.size(item)?;
        let boxes = self.properties_of(item);
        let colors = boxes.filter(|(kind, _)| kind == b"colr");
        let picture = Picture {
            width,
            height,
            columns: 1,
            tile: (width, height),
            color: colors.filter_map(|(_, content)| color(content)).next(),
            turn: turn(self.properties_of(item)),
            ..Picture::default()
        };
        if item.kind == *b"grid" {
            return self.grid(id, item, picture);
        }
        Ok(Picture {
            tiles: vec![self.stream(item)?],
            ..picture
        })
    }

    fn grid(&self, id: u32, item: &Item<'a>, picture: Picture<'a>) -> Result<Picture<'a>, Fault> {
        let wrong = || Fault::corrupt("avif: tiles do not make the picture");
        let payload = item.pieces.concat();
        let mut reader = Reader(&payload);
        let [_, flags, rows, columns] = reader.array()?;
        let (rows, columns) = (usize::from(rows) + 1, usize::from(columns) + 1);
        let size = (
            reader.number(flags & 1 == 1)?,
            reader.number(flags & 1 == 1)?,
        );
        let tiles = self.tiles(id).map(|tile| self.item(tile));
        let tiles: Vec<&Item> = tiles.collect::<Result<_, _>>()?;
        let tile = self.size(tiles.first().ok_or_else(wrong)?)?;
        let fits = |count: usize, tile: u32, whole: u32| {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            let (tile, whole) = (u64::from(tile), u64::from(whole));
            // Every column is needed, and none is much wider than the picture.
            tile * (count - 1) < whole && tile * count >= whole && tile * count <= 2 * whole + 128
        };
        if tiles.len() != rows * columns
            || size != (picture.width, picture.height)
            || !fits(columns, tile.0, size.0)
            || !fits(rows, tile.1, size.1)
        {
            return Err(wrong());
        }
        // As libavif does, a tile's word on colour where the grid has none.
        let first = self.properties_of(tiles[0]);
        let mut colors = first.filter(|(kind, _)| kind == b"colr");
        let color = picture
            .color
            .or_else(|| colors.find_map(|(_, content)| color(content)));
        let streams = tiles.iter().map(|item| self.stream(item));
        Ok(Picture {
            columns,
            tile,
            color,
            tiles: streams.collect::<Result<_, _>>()?,
            ..picture
        })
    }
}

/// Whether the name of an auxiliary picture is that of alpha.
pub(crate) fn names_alpha(name: &[u8]) -> bool {
    name.starts_with(b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
        || name.starts_with(b"urn:mpeg:hevc:2015:auxid:1\0")
}

/// A part of the file.
pub(crate) fn piece(source: &[u8], offset: u64, length: u64) -> Result<&[u8], Fault> {
    let short = || Fault::truncated("avif: its picture is not in the file");
    let offset = usize::try_from(offset).map_err(|_| short())?;
    let rest = source.get(offset..).ok_or_else(short)?;
    // Zero: up to the end.
    let length = match length {
        0 => rest.len(),
        length => usize::try_from(length).map_err(|_| short())?,
    };
    rest.get(..length).ok_or_else(short)
}

/// What a colour box says in numbers; a profile says nothing here.
pub(crate) fn color(content: &[u8]) -> Option<Color> {
    let rest = content.strip_prefix(b"nclx")?;
    let &[p, q, _, _, m, n, range, ..] = rest else {
        return None;
    };
    Some(Color {
        primaries: u16::from_be_bytes([p, q]),
        matrix: u16::from_be_bytes([m, n]),
        full_range: range & 0x80 != 0,
    })
}
