//! What makes another run of one, and what does not.

use std::sync::Arc;

use super::*;
use crate::{
    config::{ByteSize, Orientation, Truncated},
    schema::ScoreColumn,
    select::SoftCap,
    sink::LocalCommit,
    source::{ColumnBinding, ImageLayout, Location, Shard, ShardIdentity, ShardSet},
};

fn options() -> RunOptions {
    let scoring = ScoreOptions::new(["in.parquet"])
        .with_threads(2)
        .with_memory_limit(ByteSize(1 << 30));
    RunOptions::deciding(scoring)
        .with_output("out.parquet")
        .with_added([ScoreColumn::STATUS, ScoreColumn::WIDTH])
        .with_command("clip-filter in.parquet out.parquet")
}

fn shards(path: &str, fingerprint: &str) -> BoundShards {
    let mut shard = Shard::remembered(Location::local(path), 3);
    shard.fingerprint = fingerprint.to_owned();
    BoundShards {
        set: Arc::new(ShardSet::remembered(vec![shard], "image", "text")),
        binding: ColumnBinding {
            image: "image".to_owned(),
            layout: ImageLayout::Bytes,
            text: "text".to_owned(),
            classes: None,
            key: None,
        },
        identities: vec![ShardIdentity {
            path: path.to_owned(),
            given: path.to_owned(),
            fingerprint: fingerprint.to_owned(),
            size_bytes: 100,
            rows: 3,
        }],
    }
}

fn of(options: &RunOptions) -> String {
    identity(options, &shards("in.parquet", "f")).unwrap()
}

/// One change of the options.
type Change = (&'static str, fn(&mut RunOptions));

#[test]
fn everything_that_decides_the_output_makes_another_run() {
    let changes: [Change; 43] = [
        ("output", |it| it.output = Some("other.parquet".into())),
        ("rejects", |it| it.rejects = Some("bad.parquet".into())),
        ("changes", |it| it.changes = Some("c.parquet".into())),
        ("store", |it| it.scoring.scores = Some("scores".into())),
        ("add", |it| it.add.push(ScoreColumn::HEIGHT)),
        ("folders are names", |it| {
            it.scoring.places = it.scoring.places.clone().without_folders();
        }),
        ("partition by", |it| it.partition_by = vec!["kind".into()]),
        ("partition columns in files", |it| {
            it.partition_columns = crate::sink::PartitionColumns::InFiles;
        }),
        ("prefix", |it| it.prefix = "new_".to_owned()),
        ("condition", |it| {
            it.select.condition = Some("width > 3".into())
        }),
        ("min_score", |it| it.select.min_score = Some(0.3)),
        ("keep a fraction", |it| {
            it.select.keep = "0.3".parse().unwrap()
        }),
        ("keep another", |it| it.select.keep = "0.4".parse().unwrap()),
        ("keep rows", |it| it.select.keep = Keep::Rows(7)),
        ("order", |it| it.select.order = Order::AlignDiverse),
        ("order by clip_score", |it| {
            it.select.order = Order::ClipScore
        }),
        ("order by s_cliploss", |it| {
            it.select.order = Order::Cliploss
        }),
        ("solver", |it| it.select.solver = Solver::Cover),
        ("the other solver", |it| it.select.solver = Solver::Paper),
        ("balance", |it| {
            it.select.balance = Some("kind:min=3".parse().unwrap());
        }),
        ("balance bounds", |it| {
            it.select.balance = Some("kind:min=4".parse().unwrap());
        }),
        ("weights", |it| it.select.weights = Some(SoftCap::default())),
        ("dedup", |it| it.select.dedup = Some(0.1)),
        ("bad rows kept", |it| it.on_error = OnError::Keep),
        ("bad rows fail", |it| it.on_error = OnError::Fail),
        ("image column", |it| {
            it.scoring.columns.image = Some("jpg".into());
        }),
        ("text column", |it| {
            it.scoring.columns.text = Some("txt".into());
        }),
        ("label column", |it| {
            it.scoring.columns.labels.column = Some("kind".into());
        }),
        ("class names", |it| {
            it.scoring.columns.labels.class_names = Some(vec!["cat".into()]);
        }),
        ("prompts", |it| {
            it.scoring.columns.labels.prompts = vec!["a {}".into()];
        }),
        ("embeddings", |it| {
            it.scoring.embeddings = Some(EmbeddingType::F32);
        }),
        ("max pixels", |it| it.scoring.max_pixels = 1),
        ("orientation", |it| {
            it.scoring.reading.orientation = Orientation::Apply;
        }),
        ("truncated", |it| {
            it.scoring.reading.truncated = Truncated::Fill;
        }),
        ("paths", |it| it.scoring.allow_external_paths = true),
        ("adapted", |it| {
            it.scoring.method.adaptation = Adaptation::Fit(Method::Closed);
        }),
        ("adapted as published", |it| {
            it.scoring.method.adaptation = Adaptation::Fit(Method::Infonce);
        }),
        ("adapters", |it| {
            it.scoring.method.adaptation = Adaptation::Given("a.safetensors".into());
        }),
        ("cells", |it| it.scoring.method.cells = Some(5)),
        ("neighbours", |it| it.scoring.method.neighbours = Some(5)),
        ("weight", |it| it.scoring.method.diversity_weight = 0.2),
        ("target set", |it| {
            it.scoring.method.target = Some("t.parquet".into());
        }),
        ("seed", |it| it.scoring.method.seed = 1),
    ];
    let mut seen = vec![("nothing", of(&options()))];
    for (name, change) in changes {
        let mut changed = options();
        change(&mut changed);
        let identity = of(&changed);
        let same = seen.iter().find(|(_, known)| *known == identity);
        assert_eq!(same, None, "{name}");
        seen.push((name, identity));
    }
    for other in [shards("moved.parquet", "f"), shards("in.parquet", "g")] {
        let identity = identity(&options(), &other).unwrap();
        assert!(seen.iter().all(|(_, known)| *known != identity));
    }
    let mut columns = options();
    columns.scoring.derived = vec![ScoreColumn::SAS];
    assert_ne!(of(&columns), of(&options()));
}

#[test]
fn what_decides_no_output_makes_no_other_run() {
    let changes: [Change; 13] = [
        ("inputs", |it| {
            it.scoring.inputs = vec!["./in.parquet".into()]
        }),
        ("threads", |it| it.scoring.threads = 7),
        ("memory limit", |it| {
            it.scoring.memory_limit = ByteSize(3 << 30);
        }),
        ("batch size", |it| it.scoring.model_batch_rows = Some(3)),
        ("only new", |it| it.scoring.only_new = true),
        ("overwrite", |it| it.overwrite = true),
        ("dry run", |it| it.dry_run = true),
        ("report", |it| it.reported = vec![ScoreColumn::SAS]),
        ("command", |it| it.command = "another".to_owned()),
        ("work", |it| it.work = Some("w".into())),
        ("places", |it| {
            let places = std::mem::take(&mut it.places);
            it.places = places.with_scheme("mem", Arc::new(LocalCommit));
        }),
        ("order of columns", |it| it.add.reverse()),
        ("a column twice", |it| it.add.push(ScoreColumn::STATUS)),
    ];
    for (name, change) in changes {
        let mut changed = options();
        change(&mut changed);
        assert_eq!(of(&changed), of(&options()), "{name}");
    }
}

/// A list that a killed run has left must not be taken for another version's.
#[test]
fn the_names_are_stable() {
    let (options, shards) = (options(), shards("in.parquet", "f"));
    let facts = RunIdentity::new(&options, &shards);
    let text = serde_json::to_string(&facts).unwrap();
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let expected = [
        r#"{"format":1,"program":"VERSION","shards":[{"path":"in.parquet","fingerprint":"f"}],"#,
        r#""scoring":{"image_column":null,"text_column":null,"label_column":null,"class_names":null,"#,
        r#""prompts":[],"store":null,"stored_embeddings":null,"max_pixels":178956970,"#,
        r#""external_paths":false,"method":{"adapters":"none","cells":null,"neighbours":null,"#,
        r#""diversity_weight":0.1,"target_set":null,"seed":0},"more_columns":[]},"#,
        r#""selection":{"condition":null,"min_score":null,"keep":"all","order":"default","#,
        r#""solver":"exact","balance":null,"dedup":null,"bad_rows":"drop"},"#,
        r#""output":{"place":"out.parquet","rejects":null,"changes":null,"#,
        r#""added":["status","width"],"prefix":""}}"#,
    ];
    assert_eq!(text, expected.concat());
}
