//! Tars that are made here, as others write them and as nobody should.

use std::{io::Write, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{Float64Type, Int64Type},
};
use flate2::{Compression, write::GzEncoder};

use crate::{
    error::Result,
    source::{
        Location, Places, ReadPlan, RowPredicate, ShardReader, ShardSet,
        memory::{MemoryFile, MemoryPlace},
    },
};

/// A tar under way.
#[derive(Default, Clone)]
struct Archive(Vec<u8>);

impl Archive {
    fn header(name: &str, size: u64, kind: u8) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..108].copy_from_slice(b"0000644\0");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        Self::sealed(block)
    }

    fn sealed(mut block: [u8; 512]) -> [u8; 512] {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn add(self, name: &str, data: &[u8]) -> Self {
        self.add_as(b'0', name, data)
    }

    fn add_as(mut self, kind: u8, name: &str, data: &[u8]) -> Self {
        self.0.extend(Self::header(name, data.len() as u64, kind));
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn pax(self, lines: &[(&str, &str)]) -> Self {
        let mut record = String::new();
        for (key, value) in lines {
            let length = key.len() + value.len() + 3;
            let length = length + (length + 2).to_string().len();
            record.push_str(&format!("{length} {key}={value}\n"));
        }
        self.add_as(b'x', "pax", record.as_bytes())
    }

    fn pair(self, key: &str, image: &str, caption: &str) -> Self {
        let json = format!("{{\"n\": {}, \"caption\": \"of json\"}}", key.len());
        self.add(&format!("{key}.jpg"), image.as_bytes())
            .add(&format!("{key}.json"), json.as_bytes())
            .add(&format!("{key}.txt"), caption.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// A tar in memory.
struct Opened {
    set: ShardSet,
    file: Arc<MemoryFile>,
}

fn open_as(name: &str, bytes: Vec<u8>) -> Result<Opened> {
    let memory = Arc::new(MemoryPlace::default());
    let file = memory.put(name, bytes);
    let places = Places::default().with_place("mem", memory);
    let set = ShardSet::open(&[places.at(name)?])?;
    Ok(Opened { set, file })
}

fn open(bytes: Vec<u8>) -> Opened {
    open_as("mem://a.tar", bytes).unwrap_or_else(|error| panic!("{}", error.report()))
}

fn refused(name: &str, bytes: Vec<u8>) -> String {
    let error = open_as(name, bytes).err().unwrap();
    assert_eq!(error.bad_shard(), Some(name), "{}", error.report());
    error.report()
}

impl Opened {
    fn names(&self) -> Vec<&str> {
        let fields = self.set.schema.fields().iter();
        fields.map(|field| field.name().as_str()).collect()
    }

    fn read(&self, plan: ReadPlan) -> RecordBatch {
        let plan = ReadPlan {
            batch_rows: if plan.batch_rows == 0 {
                7
            } else {
                plan.batch_rows
            },
            batch_bytes: 1 << 20,
            ..plan
        };
        let reader = ShardReader::open(&self.set.shards[0], plan).unwrap();
        let groups = 0..self.set.shards[0].row_groups.len();
        let batches: Vec<RecordBatch> = groups
            .flat_map(|group| reader.row_group(group, None).unwrap())
            .map(|batch| batch.unwrap_or_else(|error| panic!("{}", error.report())))
            .collect();
        concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    fn all(&self) -> RecordBatch {
        self.read(ReadPlan {
            columns: (0..self.names().len()).collect(),
            row_numbers: true,
            ..ReadPlan::default()
        })
    }

    fn column(&self, name: &str) -> usize {
        self.set.schema.index_of(name).unwrap()
    }
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(name).unwrap();
    let values = column.as_string_view().iter();
    values.map(|value| value.map(str::to_owned)).collect()
}

fn images(batch: &RecordBatch) -> Vec<Option<String>> {
    let image = batch.column_by_name("image").unwrap().as_struct();
    let bytes = image.column(0).as_binary_view().iter();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    bytes.map(|bytes| bytes.map(text)).collect()
}

fn some(values: &[&str]) -> Vec<Option<String>> {
    values
        .iter()
        .map(|value| Some((*value).to_owned()))
        .collect()
}

#[test]
fn samples_are_rows_with_the_columns_of_their_members_and_json() {
    let bytes = Archive::default()
        .add_as(b'5', "d/", b"")
        .pair("d/a", "pixels", "a cat")
        .pair("d/bb", "more", "a dog")
        .add("c.PNG", b"png")
        .add("c.txt", b"caf\xe9")
        .add("c.seg.png", b"mask")
        .add(
            "c.json",
            b"{\"n\": 0.5, \"__row\": true, \"image\": [1, \"x\"], \"txt\": 3}",
        )
        .end();
    for (name, bytes) in [
        ("mem://a.tar", bytes.clone()),
        ("mem://a.tar.gz", gzipped(&bytes)),
        ("mem://a.tgz", gzipped(&bytes)),
        ("mem://a.tar.zst", zstd::encode_all(&bytes[..], 1).unwrap()),
    ] {
        let opened = open_as(name, bytes).unwrap();
        assert_eq!(
            opened.names(),
            [
                "__key__",
                "image",
                "json",
                "txt",
                "seg.png",
                "json.__row",
                "caption",
                "json.image",
                "n",
                "json.txt"
            ]
        );
        assert!(opened.set.notes.is_empty(), "{:?}", opened.set.notes);
        let all = opened.all();
        assert_eq!(texts(&all, "__key__"), some(&["d/a", "d/bb", "c"]));
        assert_eq!(images(&all), some(&["pixels", "more", "png"]));
        let paths = all.column_by_name("image").unwrap().as_struct();
        let paths: Vec<_> = paths.column(1).as_string_view().iter().collect();
        assert_eq!(paths, [Some("a.jpg"), Some("bb.jpg"), Some("c.png")]);
        assert_eq!(texts(&all, "txt")[..2], some(&["a cat", "a dog"]));
        assert_eq!(texts(&all, "txt")[2], None);
        assert_eq!(
            texts(&all, "caption")[1..],
            [Some("of json".to_owned()), None]
        );
        assert_eq!(texts(&all, "json.image")[2].as_deref(), Some("[1,\"x\"]"));
        let numbers = all
            .column_by_name("n")
            .unwrap()
            .as_primitive::<Float64Type>();
        assert_eq!(numbers.values().to_vec(), [3.0, 4.0, 0.5]);
        let rows = all
            .column_by_name("__row")
            .unwrap()
            .as_primitive::<Int64Type>();
        assert_eq!(rows.values().to_vec(), [0, 1, 2]);
        let masks = all.column_by_name("seg.png").unwrap().as_binary_view();
        assert_eq!(
            masks.iter().collect::<Vec<_>>(),
            [None, None, Some(&b"mask"[..])]
        );
    }
}

#[test]
fn long_names_come_from_gnu_and_pax() {
    let long = format!("{}/{}", "f".repeat(90), "n".repeat(200));
    let bytes = Archive::default()
        .add_as(b'L', "././@LongLink", format!("{long}.jpg\0").as_bytes())
        .add("cut.jpg", b"one")
        .pax(&[("path", &format!("{long}.txt")), ("mtime", "1.5")])
        .add("cut.txt", b"a caption")
        .pax(&[("path", "ü.jpg"), ("size", "3")])
        .add("x.jpg", b"two")
        .add_as(b'g', "pax", b"12 a=global\n")
        .add("ü.txt", b"umlaut")
        .end();
    let all = open(bytes).all();
    assert_eq!(texts(&all, "__key__"), some(&[&long, "ü"]));
    assert_eq!(images(&all), some(&["one", "two"]));
    assert_eq!(texts(&all, "txt"), some(&["a caption", "umlaut"]));
}

#[test]
fn a_prefix_is_part_of_a_ustar_name_and_sizes_may_be_binary() {
    let mut header = Archive::header("b.jpg", 0, b'0');
    header[345..348].copy_from_slice(b"a/c");
    header[124] = 0x80;
    header[125..136].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    let mut bytes = Archive::sealed(header).to_vec();
    bytes.extend(b"abc");
    bytes.resize(1024, 0);
    let opened = open(Archive(bytes).end());
    assert_eq!(texts(&opened.all(), "__key__"), some(&["a/c/b"]));
    assert_eq!(images(&opened.all()), some(&["abc"]));
}

#[test]
fn what_is_no_file_is_counted_and_the_sample_lacks_it() {
    let mut large = Archive::header("e.jpg", 300 << 20, b'0').to_vec();
    large.resize(512 + (300 << 20), 0);
    let mut bytes = Archive::default()
        .add_as(b'2', "a.jpg", b"")
        .add("a.txt", b"a link")
        .add_as(b'3', "b.jpg", b"")
        .add("b.txt", b"a device")
        .add_as(b'S', "c.jpg", b"holes")
        .add("c.txt", b"sparse")
        .pax(&[("GNU.sparse.major", "1")])
        .add("d.jpg", b"holes")
        .add("d.txt", b"sparse too");
    bytes.0.extend(large);
    let bytes = bytes
        .add("e.txt", b"too large")
        .add_as(b'Q', "f.jpg", b"what?")
        .add("f.txt", b"of no known kind")
        .add("nokey", b"?")
        .pair("g", "good", "good")
        .end();
    let opened = open(bytes);
    let all = opened.all();
    assert_eq!(all.num_rows(), 7);
    assert_eq!(images(&all)[..6], [const { None }; 6]);
    assert_eq!(images(&all)[6].as_deref(), Some("good"));
    let image = all.column_by_name("image").unwrap().as_struct();
    assert_eq!(
        image.column(1).null_count(),
        6,
        "a path would be looked for beside the tar"
    );
    let notes = opened.set.notes.join("\n");
    for note in [
        "1 members are links; first a.jpg in mem://a.tar",
        "1 members are devices or pipes; first b.jpg",
        "2 members are sparse files; first c.jpg",
        "1 members have more than 256 MiB; first e.jpg",
        "1 members are of a kind that is not known; first f.jpg",
        "1 members have no key or no field in their names; first nokey",
    ] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    assert_eq!(opened.set.notes.len(), 6);
    // Of what is refused nothing is read.
    assert!(
        opened.file.bytes_read() < 2 << 20,
        "{}",
        opened.file.bytes_read()
    );
}

/// To pass over 300 MiB of zeros in a file of some kilobytes.
#[test]
fn a_stream_that_unpacks_without_end_is_refused() {
    let mut bomb = gzipped(&Archive::header("a.jpg", 300 << 20, b'0'));
    let zeros = gzipped(&vec![0; 10 << 20]);
    (0..30).for_each(|_| bomb.extend(&zeros));
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    let report = refused("mem://b.tar.gz", bomb);
    assert!(report.contains("it unpacks to more than"), "{report}");
}

#[test]
fn keys_that_come_again_and_fields_that_collide_are_rows_and_told() {
    let bytes = Archive::default()
        .pair("a", "1", "one")
        .pair("b", "2", "two")
        .pair("a", "3", "three")
        .pair("a", "4", "four")
        .add("v1.5_1.jpg", b"x")
        .add("v1.5_2.jpg", b"y")
        .add("w.jpg", b"jpg")
        .add("w.png", b"png")
        .add("w.txt", b"both")
        .end();
    let opened = open(bytes);
    let all = opened.all();
    assert_eq!(
        texts(&all, "__key__"),
        some(&["a", "b", "a", "a", "v1", "w"])
    );
    let captions = texts(&all, "txt");
    assert_eq!(captions[..4], some(&["one", "two", "three", "four"]));
    assert_eq!(captions[4], None);
    assert_eq!(images(&all)[4], None);
    assert_eq!(images(&all)[5].as_deref(), Some("jpg"));
    let png = all.column_by_name("png").unwrap().as_binary_view();
    assert_eq!(png.value(5), b"png");
    let notes = opened.set.notes.join("\n");
    for note in [
        "2 samples have the key of an earlier one of the same tar (each is a row); first a in",
        "1 samples are made of images whose names differ behind their first dot only",
        "1 samples have several images",
    ] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
}

#[test]
fn damage_is_of_the_shard_and_says_where() {
    let sound = Archive::default()
        .pair("a", "1", "one")
        .pair("b", "2", "two");
    let mut wrong = sound.clone().end();
    wrong[3 * 1024 + 5] ^= 1;
    let report = refused("mem://a.tar", wrong);
    assert!(
        report.contains("wrong checksum, behind byte 3072"),
        "{report}"
    );
    let mut cut = sound.clone().add("c.jpg", &[7; 5000]).0;
    cut.truncate(cut.len() - 3000);
    let report = refused("mem://a.tar", cut.clone());
    assert!(
        report.contains("it ends within a member, behind byte 6144"),
        "{report}"
    );
    assert!(refused("mem://a.tgz", gzipped(&cut)).contains("it ends within a member"));
    let packed = gzipped(&sound.clone().end());
    refused("mem://a.tgz", packed[..packed.len() - 9].to_vec());
    assert!(refused("mem://a.tar", b"no tar at all".repeat(90)).contains("is no tar"));
    refused("mem://a.tar", Vec::new());
    let mut huge = Archive::header("a.jpg", 0, b'0');
    huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    let huge = Archive::sealed(huge).to_vec();
    assert!(refused("mem://a.tar", huge).contains("it ends within a member"));
    let pax = Archive::default().add_as(b'x', "pax", b"99999999999999999999 a=b\n");
    assert!(
        refused("mem://a.tar", pax.add("a.jpg", b"").end()).contains("a pax record is damaged")
    );
    let long = Archive::default().add_as(b'L', "long", &vec![b'n'; 100_000]);
    let opened = open(long.add("a.jpg", b"x").add("a.txt", b"y").end());
    assert!(opened.set.notes[0].contains("names or facts of more than 64 KiB"));
    // No end is no damage: some writers leave it out.
    let opened = open(sound.0);
    assert_eq!(opened.all().num_rows(), 2);
    assert!(
        opened.set.notes[0].contains("no mark at their end"),
        "{:?}",
        opened.set.notes
    );
}

fn many(rows: usize, image_bytes: usize) -> Archive {
    (0..rows).fold(Archive::default(), |archive, row| {
        let image = format!("{row:06}").repeat(image_bytes / 6);
        let json = format!("{{\"n\": {row}}}");
        archive
            .add(&format!("{row:06}.jpg"), image.as_bytes())
            .add(&format!("{row:06}.json"), json.as_bytes())
            .add(
                &format!("{row:06}.txt"),
                format!("caption {row}").as_bytes(),
            )
    })
}

/// A condition on a key of JSON reads JSON alone, and then the images of the rows that pass.
#[test]
fn only_what_is_wanted_is_read() {
    let bytes = many(2100, 30_000).end();
    let size = bytes.len() as u64;
    let opened = open(bytes);
    assert!(opened.set.shards[0].row_groups.len() > 2);
    let after_index = opened.file.bytes_read();
    assert!(after_index < size / 2, "{after_index}");
    let plan = |opened: &Opened| ReadPlan {
        columns: vec![opened.column("image"), opened.column("txt")],
        row_numbers: true,
        predicates: vec![RowPredicate {
            columns: vec![opened.column("n")],
            evaluate: Arc::new(|batch| {
                let numbers = batch.column(0).as_primitive::<Int64Type>();
                let passes = numbers.iter().map(|n| Some(n? % 500 == 7));
                Ok(passes.collect())
            }),
        }],
        ..ReadPlan::default()
    };
    let few = opened.read(plan(&opened));
    let captions: Vec<String> = (0..5).map(|n| format!("caption {}", 500 * n + 7)).collect();
    let captions: Vec<Option<String>> = captions.into_iter().map(Some).collect();
    assert_eq!(texts(&few, "txt"), captions);
    let images = images(&few);
    assert!(images[1].as_deref().unwrap().starts_with("000507000507"));
    let rows = few
        .column_by_name("__row")
        .unwrap()
        .as_primitive::<Int64Type>();
    assert_eq!(rows.values().to_vec(), [7, 507, 1007, 1507, 2007]);
    let read = opened.file.bytes_read() - after_index;
    assert!(read < 6 * 40_000 + 2100 * 40, "{read}");
    // From front to back it is the same.
    let packed = open_as("mem://a.tgz", gzipped(&many(2100, 30_000).end())).unwrap();
    assert_eq!(packed.set.shards[0].row_groups, [2100]);
    assert_eq!(packed.read(plan(&packed)), few);
}

#[test]
fn wanted_rows_of_a_stretch_are_read_alone() {
    let opened = open(many(50, 600).end());
    let plan = ReadPlan {
        columns: vec![opened.column("__key__")],
        batch_rows: 3,
        batch_bytes: 1 << 20,
        ..ReadPlan::default()
    };
    let reader = ShardReader::open(&opened.set.shards[0], plan).unwrap();
    let wanted = vec![0..1, 4..6, 48..50];
    let batches = reader.row_group(0, Some(wanted)).unwrap();
    let keys: Vec<_> = batches
        .flat_map(|batch| texts(&batch.unwrap(), "__key__"))
        .collect();
    assert_eq!(
        keys,
        some(&["000000", "000004", "000005", "000048", "000049"])
    );
}

#[test]
fn keys_of_json_in_several_tars_are_brought_to_one_type() {
    let memory = Arc::new(MemoryPlace::default());
    let jsons = [
        "{\"a\": 1, \"b\": 1, \"c\": true}",
        "{\"a\": 0.5, \"b\": \"x\"}",
        "{\"c\": null}",
    ];
    for (number, json) in jsons.iter().enumerate() {
        let archive = Archive::default()
            .add("k.jpg", b"x")
            .add("k.json", json.as_bytes());
        memory.put(&format!("mem://{number}.tar"), archive.end());
    }
    let places = Places::default().with_place("mem", memory);
    let all: Vec<Location> = (0..3)
        .map(|number| places.at(&format!("mem://{number}.tar")).unwrap())
        .collect();
    let set = ShardSet::open(&all).unwrap();
    let kinds = |name: &str| {
        set.schema
            .field_with_name(name)
            .unwrap()
            .data_type()
            .to_string()
    };
    assert_eq!(["a", "b", "c"].map(kinds), ["Float64", "Utf8", "Boolean"]);
    let plan = ReadPlan {
        columns: vec![set.schema.index_of("b").unwrap()],
        batch_rows: 10,
        batch_bytes: 1 << 20,
        ..ReadPlan::default()
    };
    let reader = ShardReader::open(&set.shards[0], plan).unwrap();
    let batch = reader.row_group(0, None).unwrap().next().unwrap().unwrap();
    assert_eq!(texts(&batch, "b"), some(&["1"]));
    assert!(set.lacking("txt").is_none());
}

#[test]
fn a_changed_member_is_another_tar() {
    let of = |caption: &str| {
        let bytes = many(50, 60_000).pair("x", "y", caption).end();
        open(bytes).set.shards[0].fingerprint.clone()
    };
    assert_eq!(of("same"), of("same"));
    assert_ne!(of("same"), of("some"));
}
