//! The tables that `tests/slt` reads, by the name that a file gives after `@over`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use clip_filter::{schema::ScoreColumn, score::MethodOptions};

use crate::{
    pictures,
    shards::{self, Pair, batch, bytes_column, good_pairs, hf_batch, mixed_pairs, text_column},
    world::{Mock, Scores, World},
};

/// A name, and what makes the world.
pub(crate) type Named = (&'static str, fn() -> World);

/// Every world; each of its tables of pairs is scored.
pub(crate) const WORLDS: [Named; 7] = [
    ("pairs", pairs),
    ("none", none),
    ("bytes", bytes),
    ("captions", captions),
    ("sizes", sizes),
    ("classes", classes),
    ("derived", derived),
];

/// `pairs`: 14 rows in two shards, rows 3 and 10 bad. `others`: 42 rows with every fault. `sized`: has a `width`
/// and a `status` of its own. `plain` and `uids`: no images.
fn pairs() -> World {
    let pairs = hf_batch(&mixed_pairs(14));
    let sized = hf_batch(&good_pairs(3));
    let sized = with_column(
        &sized,
        "width",
        Arc::new(Int64Array::from(vec![Some(7), None, Some(9)])),
    );
    let sized = with_column(&sized, "status", text(&[Some("new"), Some("old"), None]));
    let plain = batch(vec![
        (
            "rank",
            Arc::new(Int64Array::from(vec![Some(1), Some(3), None, Some(99)])),
        ),
        (
            "name",
            text(&[Some("one"), Some("three"), Some("nobody"), None]),
        ),
    ]);
    let uid = |row: usize| Some(format!("{row:032x}"));
    // Not in the order of the pairs, one twice, one unknown, one null.
    let wanted: StringArray = [uid(12), uid(3), uid(0), uid(12), uid(77), None]
        .into_iter()
        .collect();
    let world = World::new()
        .with("pairs", &[pairs.slice(0, 8), pairs.slice(8, 6)], 4)
        .with("others", &[hf_batch(&mixed_pairs(42))], 16)
        .with("sized", &[sized], 8)
        .with("plain", &[plain], 8)
        .with("uids", &[batch(vec![("uid", Arc::new(wanted))])], 8);
    scored(world, &["pairs", "others", "sized"])
}

/// `pairs` without a row, and `uids` without one.
fn none() -> World {
    let pairs = with_column(&hf_batch(&good_pairs(1)), "label", text(&[None]));
    let uids = batch(vec![("uid", text(&[None]))]);
    let world =
        World::new()
            .with("pairs", &[pairs.slice(0, 0)], 4)
            .with("uids", &[uids.slice(0, 0)], 4);
    scored(world, &["pairs"])
}

/// `pairs` with plain binary images, and columns that SQL knows only when they are quoted.
fn bytes() -> World {
    let pairs = mixed_pairs(14);
    let columns = batch(vec![
        ("Key", Arc::new((0..14).map(Some).collect::<Int64Array>())),
        ("jpg", bytes_column(&pairs)),
        ("TEXT", text_column(&pairs)),
        ("Class", text(&[Some("a"); 14])),
    ]);
    scored(World::new().with("pairs", &[columns], 5), &["pairs"])
}

/// `pairs` whose captions are good, too short, too long, links, file names, tags, white space, null.
fn captions() -> World {
    let captions = [
        Some("two dogs in the snow"),
        Some("a dog"),
        Some("see https://example.com for more"),
        Some("IMG_2041 of the beach house"),
        Some("my holiday picture.jpg from 2011"),
        Some("100% 50-50 [2011] (c) #1 !!!"),
        Some("ein Hund läuft über die Wiese"),
        Some("снег на крыше дома"),
        Some("  \t "),
        None,
        Some("photo of a red barn"),
        Some("photo 7 of a red barn"),
        Some("一只狗 在 雪地 里"),
        Some("word word word word word word"),
    ];
    let pairs: Vec<Pair> = (0..)
        .zip(captions)
        .map(|(row, caption)| Pair {
            bytes: Some(pictures::bmp(row)),
            path: None,
            text: caption.map(str::to_owned),
        })
        .collect();
    scored(
        World::new().with("pairs", &[hf_batch(&pairs)], 4),
        &["pairs"],
    )
}

/// `pairs` whose images have many sizes; the last three have none.
fn sizes() -> World {
    let sizes = [
        (200, 300),
        (204, 201),
        (400, 204),
        (612, 204),
        (608, 204),
        (204, 608),
        (300, 200),
    ];
    let mut pairs: Vec<Pair> = (0..)
        .zip(sizes)
        .map(|(row, (width, height))| {
            Pair::new(
                pictures::bmp_of(width, height, row),
                &format!("a picture {row}"),
            )
        })
        .collect();
    // Captions of one word, and of two that are too short.
    pairs.extend(
        ["landscape", "a b", "ab cde", "ab cd"]
            .map(|caption| Pair::new(pictures::bmp_of(256, 256, 9), caption)),
    );
    let mut bad = mixed_pairs(42).into_iter().filter(|pair| {
        pair.bytes
            .as_ref()
            .is_none_or(|bytes| !bytes.starts_with(b"BM"))
    });
    pairs.extend(bad.by_ref().take(3));
    scored(
        World::new().with("pairs", &[hf_batch(&pairs)], 4),
        &["pairs"],
    )
}

/// `pairs` in three shards with a `label`; several are equal in image, in caption, or in both.
fn classes() -> World {
    scored(repeated(), &["pairs"])
}

/// As `classes`, with every column that is computed from embeddings. The target set is the images of row 0 and 1.
fn derived() -> World {
    let world = repeated();
    world.score("pairs");
    let opened = world.open(Scores::Stored, Arc::new(Mock::default()));
    let target = opened.rows("SELECT image_embedding FROM pairs LIMIT 2");
    drop(opened);
    let path = world.path("target.parquet");
    shards::write(&path, &target);
    let method = MethodOptions::new().with_target(path);
    world.derive("pairs", method, &ScoreColumn::derived().collect::<Vec<_>>());
    world
}

fn repeated() -> World {
    let rows: [(Option<u32>, &str, Option<&str>); 14] = [
        (Some(1), "a red barn", Some("barn")),
        (Some(2), "a red barn", Some("barn")),
        (Some(1), "a red barn", Some("barn")),
        (Some(1), "a dog", Some("dog")),
        (Some(1), "a red barn", Some("dog")),
        (None, "a red barn", Some("barn")),
        (Some(3), "a grey cat", None),
        (Some(3), "a grey cat", None),
        (Some(4), "a grey cat", None),
        (Some(5), " ", Some("dog")),
        (Some(2), "a red barn", Some("barn")),
        (Some(6), "a bird", Some("bird")),
        (None, "a bird", Some("bird")),
        (Some(3), "a grey cat", None),
    ];
    let pairs: Vec<Pair> = rows
        .iter()
        .map(|(seed, caption, _)| Pair {
            bytes: seed.map(pictures::bmp),
            path: None,
            text: Some((*caption).to_owned()),
        })
        .collect();
    let labels: Vec<Option<&str>> = rows.iter().map(|(_, _, label)| *label).collect();
    let pairs = with_column(&hf_batch(&pairs), "label", text(&labels));
    let shards = [pairs.slice(0, 5), pairs.slice(5, 4), pairs.slice(9, 5)];
    World::new().with("pairs", &shards, 3)
}

fn scored(world: World, tables: &[&str]) -> World {
    for table in tables {
        world.score(table);
    }
    world
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<StringArray>())
}

/// `columns` and one more.
pub(crate) fn with_column(columns: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let schema = columns.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let all = names.zip(columns.columns().iter().cloned());
    batch(all.chain([(name, column)]).collect())
}
