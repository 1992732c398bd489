//! Plans before and after functions of the model were hoisted.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arrow::{
    array::{
        ArrayRef, AsArray, BinaryArray, Float32Array, Int64Array, RecordBatch, StringArray,
        StructArray,
    },
    datatypes::{DataType, Field, Float32Type, Schema, SchemaRef},
    util::pretty::pretty_format_batches,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{MemTable, Session, TableProvider},
    common::Result,
    datasource::TableType,
    execution::session_state::SessionStateBuilder,
    logical_expr::Expr,
    physical_plan::{ExecutionPlan, displayable},
    prelude::{SessionConfig, SessionContext},
};

use super::CallKind;
use crate::{
    config::ByteSize,
    encode::MockFactory,
    engine::{
        BatchSize, Beside, EncodeOptions, EncodeRuntime, Loaded, MemoryNeeds, MemoryPlan, Purpose,
        ShardTable, planner,
    },
    preprocess::PathPolicy,
    score::cosine,
    source::{Location, ShardSet},
    summary::Counters,
};

#[path = "../../../tests/it/pictures.rs"]
mod pictures;

/// A table that answers `clip_image_embedding(image)` with its column `stored`.
#[derive(Debug)]
pub(super) struct StoredTable(MemTable);

impl StoredTable {
    pub(super) fn provided(
        &self,
        call: CallKind,
        image: Option<&str>,
        text: Option<&str>,
    ) -> Option<String> {
        let asked = (call, image, text);
        (asked == (CallKind::ImageEmbedding, Some("image"), None)).then(|| "stored".to_owned())
    }
}

#[async_trait]
impl TableProvider for StoredTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, filters, limit).await
    }
}

struct Engine {
    context: SessionContext,
    counters: Arc<Counters>,
    loads: Arc<AtomicUsize>,
    _directory: tempfile::TempDir,
}

/// Rows of the shard behind `pairs`.
const ROWS: u32 = 40;

fn pairs() -> RecordBatch {
    let id = Int64Array::from_iter_values(0..i64::from(ROWS));
    let image = (0..ROWS).map(|row| match row {
        3 => None,
        4 => Some(pictures::cut_bmp(row)),
        5 => Some(b"no image".to_vec()),
        _ => Some(pictures::bmp(row)),
    });
    let text = (0..ROWS).map(|row| match row {
        5 | 6 => None,
        7 => Some("  ".to_owned()),
        _ => Some(format!("caption {row}")),
    });
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(id) as ArrayRef, false),
        ("image", Arc::new(BinaryArray::from_iter(image)), true),
        ("text", Arc::new(StringArray::from_iter(text)), true),
    ])
    .unwrap()
}

fn write(path: &Path, batch: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn loaded() -> Loaded {
    Loaded {
        factory: Arc::new(MockFactory::try_new().unwrap()),
        options: EncodeOptions {
            threads: 2,
            model_batch_rows: 4,
            max_pixels: 1_000_000,
            reading: Default::default(),
            paths: PathPolicy {
                directories: Vec::new(),
                allow_external: false,
                max_bytes: 1 << 20,
            },
        },
        memory: MemoryPlan {
            encoders: 1,
            intra_threads: 1,
            decode_bytes: 1 << 24,
            encoder_bytes: 1 << 20,
            page_bytes: 1 << 20,
            batch_bytes: 1 << 20,
            batch_rows: 4,
            row_group_bytes: 1 << 20,
            operator_bytes: 1 << 20,
        },
        needs: MemoryNeeds {
            limit: ByteSize(1 << 30),
            threads: 2,
            most_encoders: 1,
            encoder_bytes: 1 << 20,
            model_batch_rows: 4,
            image_bytes: 1 << 10,
            purpose: Purpose::Queries,
        },
    }
}

impl Engine {
    fn new() -> Self {
        Self::with_partitions(1)
    }

    fn with_partitions(partitions: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pairs.parquet");
        write(&path, &pairs());
        let counters = Arc::new(Counters::default());
        let loads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&loads);
        let load = move |_: &Beside| {
            counted.fetch_add(1, Relaxed);
            Ok(loaded())
        };
        let runtime = Arc::new(EncodeRuntime::lazy(Arc::new(load), Arc::clone(&counters)));
        let builder = SessionStateBuilder::new()
            .with_config(
                SessionConfig::new()
                    .with_target_partitions(partitions)
                    .with_batch_size(4),
            )
            .with_default_features();
        let context = SessionContext::new_with_state(
            planner::with_clip_functions(builder, &runtime, directory.path()).build(),
        );
        let set = Arc::new(ShardSet::open(&[Location::local(path)]).unwrap());
        let table = ShardTable::new(
            set,
            "image",
            BatchSize {
                rows: 4,
                bytes: 1 << 20,
            },
            Arc::clone(&counters),
        );
        context.register_table("pairs", Arc::new(table)).unwrap();
        Self {
            context,
            counters,
            loads,
            _directory: directory,
        }
    }

    fn add(&self, name: &str, batch: RecordBatch) {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        self.context.register_table(name, Arc::new(table)).unwrap();
    }

    async fn plan(&self, sql: &str) -> String {
        let plan = self.context.sql(sql).await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    }

    async fn rows(&self, sql: &str) -> RecordBatch {
        let frame = self.context.sql(sql).await.unwrap();
        let batches = frame.collect().await.unwrap();
        arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    async fn rows_of_statement(&self, sql: &str) {
        self.context
            .sql(sql)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
    }

    async fn table(&self, sql: &str) -> String {
        pretty_format_batches(&[self.rows(sql).await])
            .unwrap()
            .to_string()
    }

    async fn error(&self, sql: &str) -> String {
        let result = match self.context.sql(sql).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        result.unwrap_err().strip_backtrace()
    }

    fn encoded(&self) -> u64 {
        self.counters.rows_done.load(Relaxed)
    }
}

fn operators(plan: &str) -> usize {
    plan.matches("ClipEncodeExec").count()
}

#[tokio::test]
async fn calls_of_one_query_share_one_operator_above_cheap_conditions() {
    let engine = Engine::new();
    let plan = engine
        .plan(
            "SELECT id, clip_score(image, text), clip_score(image, text) * 2 AS twice FROM pairs \
             WHERE id > 3 AND clip_score(image, text) > -2 ORDER BY clip_score(image, text) DESC",
        )
        .await;
    insta::assert_snapshot!(plan, @r"
    SortExec: expr=[clip_score(pairs.image,pairs.text)@1 DESC], preserve_partitioning=[false]
      ProjectionExec: expr=[id@0 as id, __clip_1_score@1 as clip_score(pairs.image,pairs.text), __clip_1_score@1 * 2 as twice]
        FilterExec: __clip_1_score@1 > -2
          ProjectionExec: expr=[id@0 as id, __clip_1_score@4 as __clip_1_score]
            ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score]
              CooperativeExec
                ShardScanExec: shards=1, columns=[id, image, text, __shard], filter=id > Int64(3)
    ");
}

#[tokio::test]
async fn embeddings_and_score_are_one_operator() {
    let engine = Engine::new();
    let plan = engine
        .plan(
            "SELECT clip_image_embedding(image), clip_text_embedding(text), clip_score(image, text) \
             FROM pairs",
        )
        .await;
    insta::assert_snapshot!(plan, @r"
    ProjectionExec: expr=[__clip_2_image@4 as clip_image_embedding(pairs.image), __clip_3_text@5 as clip_text_embedding(pairs.text), __clip_1_score@3 as clip_score(pairs.image,pairs.text)]
      ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score, __clip_2_image, __clip_3_text]
        CooperativeExec
          ShardScanExec: shards=1, columns=[image, text, __shard]
    ");
}

#[tokio::test]
async fn an_image_that_meets_several_texts_is_encoded_once() {
    let engine = Engine::new();
    let sql = "SELECT id, clip_score(image, 'a dog') AS dog, clip_score(image, 'a cat') AS cat, \
               clip_score(image, text) AS own FROM pairs WHERE id < 3 OR id = 6 ORDER BY id";
    insta::assert_snapshot!(engine.plan(sql).await, @r"
    SortExec: expr=[id@0 ASC NULLS LAST], preserve_partitioning=[false]
      ProjectionExec: expr=[id@0 as id, clip_cosine(__clip_2_image@5, a dog) as dog, clip_cosine(__clip_2_image@5, a cat) as cat, __clip_1_score@4 as own]
        ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score, __clip_2_image]
          CooperativeExec
            ShardScanExec: shards=1, columns=[id, image, text, __shard], filter=id < Int64(3) OR id = Int64(6)
    ");
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +----+---------------+--------------+-------------+
    | id | dog           | cat          | own         |
    +----+---------------+--------------+-------------+
    | 0  | -0.66405743   | -0.34466976  | -0.25597557 |
    | 1  | -0.44494194   | -0.15630135  | 0.6586726   |
    | 2  | -0.0041341186 | -0.4832064   | -0.22253782 |
    | 6  | 0.14718378    | -0.062487364 |             |
    +----+---------------+--------------+-------------+
    ");
    assert_eq!(engine.encoded(), 4);
    assert_eq!(engine.counters.images_decoded.load(Relaxed), 4);
}

#[tokio::test]
async fn a_group_by_and_a_having_clause_share_with_the_select_list() {
    let engine = Engine::new();
    let plan = engine
        .plan(
            "SELECT clip_score(image, text) > 0 AS good, count(*), avg(clip_score(image, text)) FROM pairs \
             GROUP BY clip_score(image, text) > 0 HAVING max(clip_score(image, text)) > -1",
        )
        .await;
    insta::assert_snapshot!(plan, @r"
    ProjectionExec: expr=[__clip_1_score > Int64(0)@0 as good, count(Int64(1))@1 as count(*), avg(__clip_1_score)@2 as avg(clip_score(pairs.image,pairs.text))]
      FilterExec: max(__clip_1_score)@3 > -1, projection=[__clip_1_score > Int64(0)@0, count(Int64(1))@1, avg(__clip_1_score)@2]
        AggregateExec: mode=Single, gby=[__clip_1_score@0 > 0 as __clip_1_score > Int64(0)], aggr=[count(Int64(1)), avg(__clip_1_score), max(__clip_1_score)]
          ProjectionExec: expr=[__clip_1_score@3 as __clip_1_score]
            ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score]
              CooperativeExec
                ShardScanExec: shards=1, columns=[image, text, __shard]
    ");
}

#[tokio::test]
async fn a_subquery_shares_with_the_query_around_it() {
    let engine = Engine::new();
    let sql = "WITH scored AS (SELECT *, clip_score(image, text) AS s FROM pairs WHERE id < 10) \
               SELECT t.id, t.s, clip_score(t.image, t.text) - t.s AS zero \
               FROM (SELECT * FROM scored WHERE s > -2) AS t WHERE clip_score(t.image, t.text) > -2 \
               ORDER BY t.id";
    insta::assert_snapshot!(engine.plan(sql).await, @r"
    SortExec: expr=[id@0 ASC NULLS LAST], preserve_partitioning=[false]
      ProjectionExec: expr=[id@0 as id, __clip_1_score@1 as s, __clip_1_score@1 - __clip_1_score@1 as zero]
        FilterExec: __clip_1_score@1 > -2
          ProjectionExec: expr=[id@0 as id, __clip_1_score@4 as __clip_1_score]
            ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score]
              CooperativeExec
                ShardScanExec: shards=1, columns=[id, image, text, __shard], filter=id < Int64(10)
    ");
    let rows = engine.rows(sql).await;
    assert_eq!(rows.num_rows(), 5);
    assert!(
        rows.column(2)
            .as_primitive::<Float32Type>()
            .iter()
            .all(|zero| zero == Some(0.0))
    );
}

#[tokio::test]
async fn a_window_function_shares_too() {
    let engine = Engine::new();
    let plan = engine
        .plan(
            "SELECT id, clip_score(image, text), rank() OVER (ORDER BY clip_score(image, text)) AS place \
             FROM pairs",
        )
        .await;
    insta::assert_snapshot!(plan, @r#"
    ProjectionExec: expr=[id@0 as id, __clip_1_score@1 as clip_score(pairs.image,pairs.text), rank() ORDER BY [__clip_1_score ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW@2 as place]
      BoundedWindowAggExec: wdw=[rank() ORDER BY [__clip_1_score ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW: Field { "rank() ORDER BY [__clip_1_score ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW": UInt64 }, frame: RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW], mode=[Sorted]
        SortExec: expr=[__clip_1_score@1 ASC NULLS LAST], preserve_partitioning=[false]
          ProjectionExec: expr=[id@0 as id, __clip_1_score@4 as __clip_1_score]
            ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score]
              CooperativeExec
                ShardScanExec: shards=1, columns=[id, image, text, __shard]
    "#);
}

#[tokio::test]
async fn a_join_encodes_the_side_that_holds_the_columns() {
    let engine = Engine::new();
    engine.add("names", pairs().project(&[0, 2]).unwrap());
    let sql = "SELECT p.id, clip_score(p.image, p.text) AS own, clip_score(p.image, n.text) AS other \
               FROM pairs p JOIN names n ON p.id = n.id AND clip_score(p.image, p.text) > -2 \
               WHERE clip_score(p.image, n.text) > -2 ORDER BY p.id";
    insta::assert_snapshot!(engine.plan(sql).await, @r"
    SortExec: expr=[id@0 ASC NULLS LAST], preserve_partitioning=[false]
      ProjectionExec: expr=[id@0 as id, __clip_1_score@1 as own, clip_cosine(__clip_2_image@2, __clip_3_text@3) as other]
        HashJoinExec: mode=CollectLeft, join_type=Inner, on=[(id@0, id@0)], filter=clip_cosine(__clip_2_image@0, __clip_3_text@1) > -2, projection=[id@0, __clip_1_score@1, __clip_2_image@2, __clip_3_text@4]
          FilterExec: __clip_1_score@1 > -2
            ProjectionExec: expr=[id@0 as id, __clip_1_score@4 as __clip_1_score, __clip_2_image@5 as __clip_2_image]
              ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score, __clip_2_image]
                CooperativeExec
                  ShardScanExec: shards=1, columns=[id, image, text, __shard]
          ProjectionExec: expr=[id@0 as id, __clip_3_text@2 as __clip_3_text]
            ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_3_text]
              DataSourceExec: partitions=1, partition_sizes=[1]
    ");
    let rows = engine.rows(sql).await;
    assert_eq!(rows.num_rows(), 35);
    assert_eq!(rows.column(1), rows.column(2));
}

#[tokio::test]
async fn a_condition_over_both_inputs_is_asked_above_an_inner_join() {
    let engine = Engine::new();
    engine.add("words", pairs().project(&[0, 2]).unwrap());
    let sql = "SELECT p.id FROM pairs p JOIN words w ON clip_score(p.image, w.text) > 2";
    assert_eq!(
        engine
            .context
            .sql(sql)
            .await
            .unwrap()
            .count()
            .await
            .unwrap(),
        0
    );
    let error = engine
        .error("SELECT p.id FROM pairs p LEFT JOIN words w ON clip_score(p.image, w.text) > 2")
        .await;
    insta::assert_snapshot!(error, @r"
    hoist_clip_calls
    caused by
    Error during planning: clip_score cannot compare both inputs of this join in its condition: join first, in a subquery, and call clip_score on its columns
    ");
}

#[tokio::test]
async fn an_outer_join_makes_up_null_scores() {
    let engine = Engine::new();
    let sql = "SELECT a.id, clip_score(b.image, b.text) IS NULL AS missing, \
               clip_text_embedding(coalesce(b.text, 'none')) IS NULL AS coalesced \
               FROM pairs a LEFT JOIN pairs b ON a.id = b.id + 1 WHERE a.id < 2 ORDER BY a.id";
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +----+---------+-----------+
    | id | missing | coalesced |
    +----+---------+-----------+
    | 0  | true    | false     |
    | 1  | false   | false     |
    +----+---------+-----------+
    ");
}

#[tokio::test]
async fn a_subquery_in_a_condition_is_rewritten_inside() {
    let engine = Engine::new();
    let sql = "SELECT id FROM pairs WHERE id IN (SELECT id FROM pairs WHERE clip_score(image, text) > -2) \
               AND clip_score(image, text) >= (SELECT max(clip_score(image, text)) FROM pairs)";
    let plan = engine.plan(sql).await;
    // Two share; the third encodes only what the semi-join leaves.
    assert_eq!(operators(&plan), 2, "{plan}");
    assert_eq!(engine.rows(sql).await.num_rows(), 1);
    let correlated = "SELECT count(*) FROM pairs a WHERE EXISTS (SELECT 1 FROM pairs b \
                      WHERE b.id = a.id AND clip_score(b.image, b.text) > -2)";
    insta::assert_snapshot!(engine.table(correlated).await, @r"
    +----------+
    | count(*) |
    +----------+
    | 35       |
    +----------+
    ");
}

#[tokio::test]
async fn union_inputs_and_distinct_rows_keep_their_columns() {
    let engine = Engine::new();
    let sql = "SELECT DISTINCT id, clip_score(image, text) > -2 AS good FROM pairs WHERE id < 3 \
               UNION ALL SELECT id, clip_score(image, text) > -2 FROM pairs WHERE id = 7 ORDER BY id";
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +----+------+
    | id | good |
    +----+------+
    | 0  | true |
    | 1  | true |
    | 2  | true |
    | 7  |      |
    +----+------+
    ");
    let sql = "SELECT DISTINCT ON (id < 20) id < 20 AS low, clip_score(image, text) IS NOT NULL FROM pairs \
               ORDER BY id < 20, clip_score(image, text) DESC NULLS LAST";
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +-------+------------------------------------------------+
    | low   | clip_score(pairs.image,pairs.text) IS NOT NULL |
    +-------+------------------------------------------------+
    | false | true                                           |
    | true  | true                                           |
    +-------+------------------------------------------------+
    ");
}

#[tokio::test]
async fn computed_arguments_are_projected_first() {
    let engine = Engine::new();
    let sql = "SELECT clip_score(image, upper(text)) AS loud, clip_score(image, text) AS plain FROM pairs \
               WHERE id < 2";
    insta::assert_snapshot!(engine.plan(sql).await, @r"
    ProjectionExec: expr=[__clip_2_score@4 as loud, clip_cosine(__clip_3_image@5, __clip_4_text@6) as plain]
      ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_4_text]
        ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_2_score, __clip_3_image]
          ProjectionExec: expr=[image@0 as image, text@1 as text, __shard@2 as __shard, upper(text@1) as __clip_1_arg]
            CooperativeExec
              ShardScanExec: shards=1, columns=[image, text, __shard], filter=id < Int64(2)
    ");
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +------------+-------------+
    | loud       | plain       |
    +------------+-------------+
    | 0.30389068 | -0.25597557 |
    | 0.27647892 | 0.6586726   |
    +------------+-------------+
    ");
}

#[tokio::test]
async fn a_limit_stops_early() {
    let engine = Engine::new();
    let sql = "SELECT clip_score(image, text) FROM pairs LIMIT 3";
    insta::assert_snapshot!(engine.plan(sql).await, @r"
    ProjectionExec: expr=[__clip_1_score@3 as clip_score(pairs.image,pairs.text)]
      GlobalLimitExec: skip=0, fetch=3
        ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score]
          GlobalLimitExec: skip=0, fetch=3
            CooperativeExec
              ShardScanExec: shards=1, columns=[image, text, __shard]
    ");
    assert_eq!(engine.rows(sql).await.num_rows(), 3);
    assert_eq!(engine.encoded(), 3);
    let engine = Engine::new();
    let sql = "SELECT id FROM pairs WHERE clip_score(image, text) > -2 LIMIT 2";
    assert_eq!(engine.rows(sql).await.num_rows(), 2);
    assert!(engine.encoded() < u64::from(ROWS), "{}", engine.encoded());
}

#[tokio::test]
async fn rows_that_a_subquery_cuts_are_not_encoded() {
    let engine = Engine::new();
    let sql =
        "SELECT id, clip_score(image, text) FROM (SELECT * FROM pairs ORDER BY id DESC LIMIT 5)";
    assert_eq!(engine.rows(sql).await.num_rows(), 5);
    assert_eq!(engine.encoded(), 5);
    let engine = Engine::new();
    let sql = "SELECT clip_score(image, text) FROM pairs WHERE id IN (SELECT max(id) FROM pairs)";
    assert_eq!(engine.rows(sql).await.num_rows(), 1);
    assert_eq!(engine.encoded(), 1);
}

#[tokio::test]
async fn each_function_is_null_only_where_its_own_arguments_are_bad() {
    let engine = Engine::new();
    let sql = "SELECT id, clip_score(image, text) IS NULL AS score, \
               clip_image_embedding(image) IS NULL AS image, clip_text_embedding(text) IS NULL AS text \
               FROM pairs WHERE id BETWEEN 2 AND 8 ORDER BY id";
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +----+-------+-------+-------+
    | id | score | image | text  |
    +----+-------+-------+-------+
    | 2  | false | false | false |
    | 3  | true  | true  | false |
    | 4  | true  | true  | false |
    | 5  | true  | true  | true  |
    | 6  | true  | false | true  |
    | 7  | true  | false | true  |
    | 8  | false | false | false |
    +----+-------+-------+-------+
    ");
    let engine = Engine::new();
    let sql = "SELECT count(clip_image_embedding(image)) FROM pairs";
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +------------------------------------------+
    | count(clip_image_embedding(pairs.image)) |
    +------------------------------------------+
    | 37                                       |
    +------------------------------------------+
    ");
    assert_eq!(engine.counters.captions_encoded.load(Relaxed), 0);
    let sql = "SELECT count(clip_text_embedding(text)) FROM pairs";
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +----------------------------------------+
    | count(clip_text_embedding(pairs.text)) |
    +----------------------------------------+
    | 37                                     |
    +----------------------------------------+
    ");
    assert_eq!(engine.counters.images_decoded.load(Relaxed), 38);
}

#[tokio::test]
async fn a_score_is_the_cosine_of_the_embeddings() {
    let engine = Engine::new();
    let rows = engine
        .rows(
            "SELECT clip_score(image, text), clip_image_embedding(image), clip_text_embedding(text), \
             clip_score(image, 'caption 0'), clip_text_embedding('caption 0') FROM pairs",
        )
        .await;
    let vector = |column: usize, row: usize| -> Option<Vec<f32>> {
        let lists = rows.column(column).as_list::<i32>();
        use arrow::array::Array;
        lists.is_valid(row).then(|| {
            let values = lists.value(row);
            values.as_primitive::<Float32Type>().values().to_vec()
        })
    };
    for (score, text) in [(0, 2), (3, 4)] {
        let expected: Float32Array = (0..rows.num_rows())
            .map(|row| Some(cosine(&vector(1, row)?, &vector(text, row)?)))
            .collect();
        assert_eq!(rows.column(score).as_primitive::<Float32Type>(), &expected);
    }
    let length: f32 = vector(1, 0)
        .unwrap()
        .iter()
        .map(|value| value * value)
        .sum();
    assert!((length - 1.0).abs() < 1e-6);
}

#[tokio::test]
async fn a_constant_text_is_encoded_once() {
    let engine = Engine::new();
    for _ in 0..2 {
        let sql = "SELECT id, clip_score(image, 'a dog'), clip_text_embedding('a dog') FROM pairs \
                   WHERE clip_score(image, 'a dog') > clip_score(image, concat('a ', 'cat'))";
        engine.rows(sql).await;
    }
    assert_eq!(engine.counters.captions_encoded.load(Relaxed), 2);
    let nulls = "SELECT clip_text_embedding(NULL) IS NULL, clip_text_embedding(' ') IS NULL, \
                 clip_score(image, NULL) IS NULL FROM pairs LIMIT 1";
    insta::assert_snapshot!(engine.table(nulls).await, @r#"
    +-----------------------------------+----------------------------------------+--------------------------------------+
    | clip_text_embedding(NULL) IS NULL | clip_text_embedding(Utf8(" ")) IS NULL | clip_score(pairs.image,NULL) IS NULL |
    +-----------------------------------+----------------------------------------+--------------------------------------+
    | true                              | true                                   | true                                 |
    +-----------------------------------+----------------------------------------+--------------------------------------+
    "#);
}

#[tokio::test]
async fn the_model_is_loaded_by_the_first_query_that_needs_it() {
    let engine = Engine::new();
    engine
        .rows("SELECT count(*) FROM pairs WHERE text LIKE 'caption%'")
        .await;
    engine.error("SELECT clip_score(image) FROM pairs").await;
    assert_eq!(engine.loads.load(Relaxed), 0);
    engine
        .rows("SELECT clip_score(image, text) FROM pairs")
        .await;
    engine.rows("SELECT clip_text_embedding('x')").await;
    assert_eq!(engine.loads.load(Relaxed), 1);
}

#[tokio::test]
async fn a_table_that_holds_the_answer_needs_no_operator() {
    let engine = Engine::new();
    let list = Arc::new(Field::new("element", DataType::Float32, true));
    let schema = Arc::new(Schema::new(vec![
        Field::new("image", DataType::Binary, true),
        Field::new("stored", DataType::List(list), true),
    ]));
    let table = MemTable::try_new(schema, vec![vec![]]).unwrap();
    let table = Arc::new(StoredTable(table));
    engine.context.register_table("store", table).unwrap();
    let sql = "SELECT clip_image_embedding(s.image), clip_score(s.image, 'a dog') AS dog \
               FROM (SELECT * FROM store LIMIT 5) AS s WHERE clip_score(s.image, 'a cat') > 0.2";
    insta::assert_snapshot!(engine.plan(sql).await, @r"
    ProjectionExec: expr=[stored@0 as clip_image_embedding(s.image), clip_cosine(stored@0, a dog) as dog]
      FilterExec: CAST(clip_cosine(stored@0, a cat) AS Float64) > 0.2
        DataSourceExec: partitions=1, partition_sizes=[0], fetch=5
    ");
    assert_eq!(engine.loads.load(Relaxed), 0);
}

#[tokio::test]
async fn structs_and_other_text_types_are_taken() {
    let engine = Engine::new();
    let batch = pairs();
    let bytes = Field::new("bytes", DataType::Binary, true);
    let path = Field::new("path", DataType::Utf8, true);
    let image = StructArray::from(vec![
        (Arc::new(bytes), Arc::clone(batch.column(1))),
        (
            Arc::new(path),
            Arc::new(StringArray::new_null(batch.num_rows())) as ArrayRef,
        ),
    ]);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let text = arrow::compute::cast(batch.column(2), &dictionary).unwrap();
    let large = arrow::compute::cast(batch.column(2), &DataType::LargeUtf8).unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::clone(batch.column(0)), false),
        ("image", Arc::new(image) as ArrayRef, true),
        ("text", text, true),
        ("large", large, true),
    ]);
    engine.add("structs", batch.unwrap());
    let sql = "SELECT count(*), count(clip_score(s.image, s.text)), count(clip_score(s.image, s.large)) \
               FROM structs s JOIN pairs p ON s.id = p.id \
               WHERE clip_score(s.image, s.text) = clip_score(p.image, p.text)";
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +----------+-----------------------------------+------------------------------------+
    | count(*) | count(clip_score(s.image,s.text)) | count(clip_score(s.image,s.large)) |
    +----------+-----------------------------------+------------------------------------+
    | 35       | 35                                | 35                                 |
    +----------+-----------------------------------+------------------------------------+
    ");
}

#[tokio::test]
async fn errors_name_the_function_and_what_to_write() {
    let engine = Engine::new();
    let queries = [
        "SELECT clip_score(image) FROM pairs",
        "SELECT clip_score(text, image) FROM pairs",
        "SELECT clip_image_embedding(id) FROM pairs",
        "SELECT clip_text_embedding(image) FROM pairs",
        "SELECT clip_text_embedding()",
        "SELECT (SELECT max(clip_score(a.image, b.text)) FROM pairs b) FROM pairs a",
        "SELECT clip_text_embedding(CASE WHEN clip_score(image, text) > 0 THEN text END) FROM pairs",
        "SELECT clip_score(image, text || random()) FROM pairs",
    ];
    let mut errors = String::new();
    for query in queries {
        errors.push_str(&format!("{}\n", engine.error(query).await));
    }
    insta::assert_snapshot!(errors, @r"
    Error during planning: clip_score(BinaryView): clip_score takes (image, text), an image: binary, or struct<bytes: binary, path: string>, and a string
    Error during planning: clip_score(Utf8View, BinaryView): clip_score takes (image, text), an image: binary, or struct<bytes: binary, path: string>, and a string
    Error during planning: clip_image_embedding(Int64): clip_image_embedding takes (image), an image: binary, or struct<bytes: binary, path: string>
    Error during planning: clip_text_embedding(BinaryView): clip_text_embedding takes (text), a string
    Error during planning: clip_text_embedding(): clip_text_embedding takes (text), a string
    hoist_clip_calls
    caused by
    Error during planning: clip_score is called on a column of the outer query: call it there, in a subquery of its FROM clause, and refer to that column
    hoist_clip_calls
    caused by
    Error during planning: clip_text_embedding is called on what another CLIP function gives: name the inner call in a subquery of the FROM clause and use its column
    hoist_clip_calls
    caused by
    Error during planning: clip_score is called on a value that no row holds: it takes columns, constants and what is computed from them
    ");
}

#[tokio::test]
async fn a_view_encodes_only_what_is_asked_of_it() {
    let engine = Engine::new();
    let view = "CREATE VIEW scored AS SELECT id, clip_score(image, text) AS s, \
                clip_image_embedding(image) AS i, clip_text_embedding(text) AS t FROM pairs";
    engine.rows_of_statement(view).await;
    let count = "SELECT count(*) FROM scored";
    assert_eq!(operators(&engine.plan(count).await), 0);
    insta::assert_snapshot!(engine.plan("SELECT id FROM scored WHERE id > 5 LIMIT 3").await, @r"
    GlobalLimitExec: skip=0, fetch=3
      CooperativeExec
        ShardScanExec: shards=1, columns=[id], filter=id > Int64(5)
    ");
    insta::assert_snapshot!(engine.plan("SELECT id, t FROM scored LIMIT 3").await, @r"
    ProjectionExec: expr=[id@0 as id, __clip_3_text@2 as t]
      GlobalLimitExec: skip=0, fetch=3
        ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_3_text]
          GlobalLimitExec: skip=0, fetch=3
            CooperativeExec
              ShardScanExec: shards=1, columns=[id, text]
    ");
    insta::assert_snapshot!(engine.plan("SELECT id FROM scored WHERE s > 0").await, @r"
    FilterExec: __clip_1_score@1 > 0, projection=[id@0]
      ProjectionExec: expr=[id@0 as id, __clip_1_score@4 as __clip_1_score]
        ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_1_score]
          CooperativeExec
            ShardScanExec: shards=1, columns=[id, image, text, __shard]
    ");
}

#[tokio::test]
async fn rows_that_a_query_reads_twice_are_encoded_once() {
    let engine = Engine::new();
    let sql = "WITH scored AS (SELECT id, text, clip_score(image, text) AS s FROM pairs) \
               SELECT a.id, a.s, clip_image_embedding(p.image) IS NULL AS missing \
               FROM scored a JOIN scored b ON a.id = b.id + 1 JOIN pairs p ON p.id = a.id \
               WHERE a.s >= (SELECT max(s) FROM scored) ORDER BY a.id";
    insta::assert_snapshot!(engine.plan(sql).await, @r"
    ScalarSubqueryExec: subqueries=1
      SortExec: expr=[id@0 ASC NULLS LAST], preserve_partitioning=[false]
        ProjectionExec: expr=[id@0 as id, s@1 as s, __clip_4_image@2 IS NULL as missing]
          HashJoinExec: mode=CollectLeft, join_type=Inner, on=[(id@0, id@0)], projection=[id@0, s@1, __clip_4_image@3]
            HashJoinExec: mode=CollectLeft, join_type=Inner, on=[(id@0, b.id + Int64(1)@1)], projection=[id@0, s@1]
              ProjectionExec: expr=[id@0 as id, __clip_2_score@1 as s]
                FilterExec: __clip_2_score@1 >= scalar_subquery(<pending>)
                  ProjectionExec: expr=[id@0 as id, __clip_2_score@1 as __clip_2_score]
                    SharedRowsExec: id=1
                      ProjectionExec: expr=[id@3 as id, __clip_2_score@4 as __clip_2_score, __clip_4_image@5 as __clip_4_image]
                        ClipEncodeExec: model=mock, device=mock, batch=4, added=[__clip_2_score, __clip_4_image]
                          CooperativeExec
                            ShardScanExec: shards=1, columns=[image, text, __shard, id]
              ProjectionExec: expr=[id@0 as id, id@0 + 1 as b.id + Int64(1)]
                CooperativeExec
                  ShardScanExec: shards=1, columns=[id], filter=DynamicFilter [ empty ]
            ProjectionExec: expr=[id@0 as id, __clip_4_image@2 as __clip_4_image]
              SharedRowsExec: id=1, shown above
      AggregateExec: mode=Single, gby=[], aggr=[max(scored.s)]
        ProjectionExec: expr=[__clip_2_score@1 as s]
          SharedRowsExec: id=1, shown above
    ");
    insta::assert_snapshot!(engine.table(sql).await, @r"
    +----+------------+---------+
    | id | s          | missing |
    +----+------------+---------+
    | 16 | 0.72138125 | false   |
    +----+------------+---------+
    ");
    assert_eq!(engine.encoded(), u64::from(ROWS));
}

#[tokio::test]
async fn rows_are_not_shared_where_that_costs_more() {
    let engine = Engine::new();
    // Different rows.
    let sql = "SELECT clip_score(image, text) FROM pairs WHERE id < 3 UNION ALL \
               SELECT clip_score(image, text) FROM pairs WHERE id < 4";
    assert_eq!(operators(&engine.plan(sql).await), 2);
    // A limit that stops one of them early.
    let sql = "(SELECT id FROM pairs WHERE clip_score(image, text) > 0 LIMIT 1) UNION ALL \
               (SELECT id FROM pairs WHERE clip_score(image, text) > 0 LIMIT 1)";
    assert_eq!(operators(&engine.plan(sql).await), 2);
    // Images would be written to a file.
    let sql = "SELECT image, clip_score(image, text) FROM pairs UNION ALL \
               SELECT image, clip_score(image, text) FROM pairs";
    assert_eq!(operators(&engine.plan(sql).await), 2);
    let sql = "SELECT clip_score(image, text) FROM pairs UNION ALL \
               SELECT clip_score(image, text) FROM pairs";
    assert_eq!(operators(&engine.plan(sql).await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_do_not_change_the_result() {
    let sql = "WITH scored AS (SELECT *, clip_score(image, text) AS s FROM pairs) \
               SELECT a.id, count(*), max(b.s), max(clip_score(a.image, 'a dog')) \
               FROM scored a JOIN scored b ON a.id % 7 = b.id % 7 AND a.s > b.s \
               WHERE b.s < (SELECT avg(s) FROM scored) GROUP BY a.id ORDER BY a.id";
    let one = Engine::with_partitions(1).table(sql).await;
    assert_eq!(Engine::with_partitions(4).table(sql).await, one);
    assert!(one.lines().count() > 10, "{one}");
}

#[tokio::test]
async fn a_pair_with_a_bad_caption_is_not_decoded() {
    let engine = Engine::new();
    engine
        .rows("SELECT count(clip_score(image, text)) FROM pairs")
        .await;
    // All but two bad captions, a null image and one that is none.
    assert_eq!(engine.counters.images_decoded.load(Relaxed), 36);
    assert_eq!(engine.counters.rows_bad.load(Relaxed), 5);
}

#[tokio::test]
async fn statements_around_a_query_are_rewritten_inside() {
    let engine = Engine::new();
    for statement in [
        "CREATE TABLE kept AS SELECT id, clip_score(image, text) AS s FROM pairs",
        "INSERT INTO kept SELECT id, clip_score(image, text) FROM pairs",
        "PREPARE scores AS SELECT max(clip_score(image, $1)) FROM pairs",
    ] {
        engine.rows_of_statement(statement).await;
    }
    let counted = engine.table("SELECT count(*), count(s) FROM kept").await;
    insta::assert_snapshot!(counted, @r"
    +----------+---------------+
    | count(*) | count(kept.s) |
    +----------+---------------+
    | 80       | 70            |
    +----------+---------------+
    ");
    let executed = engine.rows("EXECUTE scores('a dog')").await;
    let direct = engine
        .rows("SELECT max(clip_score(image, 'a dog')) FROM pairs")
        .await;
    assert_eq!(executed.column(0), direct.column(0));
    let analyzed = engine
        .table("EXPLAIN ANALYZE SELECT clip_score(image, text) FROM pairs")
        .await;
    assert!(analyzed.contains("rows_bad=5"), "{analyzed}");
}

/// Queries over a table `$t`, whose rows have the score `$a` under the alias `a` and `$b` under `b`.
const QUERIES: [&str; 16] = [
    "SELECT a.* FROM pairs a JOIN $t b ON a.id = b.id WHERE $b > 0 ORDER BY a.id",
    "SELECT a.id, $a FROM $t a LEFT JOIN $t b ON a.id = b.id * 2 AND $b > 0 ORDER BY a.id, 2",
    "SELECT id, $a AS s FROM $t a FULL JOIN $t b USING (id) WHERE $b > 0 OR $a IS NULL ORDER BY id",
    "SELECT a.id % 2 AS odd, a.id % 3 AS third, max($a), count(*) FROM $t a \
     GROUP BY ROLLUP (a.id % 2, a.id % 3) ORDER BY 1, 2",
    "SELECT $a > 0 AS good, $a IS NULL AS bad, count(*) FROM $t a \
     GROUP BY GROUPING SETS (($a > 0), ($a IS NULL)) ORDER BY 1, 2",
    "SELECT count(DISTINCT $a), sum($a) FILTER (WHERE $a > 0) FROM $t a",
    "SELECT a.id FROM $t a WHERE $a IS NOT NULL EXCEPT SELECT b.id FROM $t b WHERE $b > 0 ORDER BY 1",
    "SELECT a.id FROM $t a WHERE a.id NOT IN (SELECT b.id FROM $t b WHERE $b > 0) ORDER BY 1",
    "SELECT a.id FROM $t a WHERE $a > 0 OR EXISTS (SELECT 1 FROM $t b WHERE b.id = a.id + 1 AND $b > 0) \
     ORDER BY 1",
    "SELECT * FROM (SELECT a.id, rank() OVER (PARTITION BY a.id % 3 ORDER BY $a DESC NULLS LAST, a.id) AS r \
     FROM $t a WHERE a.id > 1) WHERE r <= 2 ORDER BY id",
    "SELECT a.id, CASE WHEN a.id < 9 THEN $a ELSE -$a END, $a BETWEEN -0.5 AND 0.5 FROM $t a ORDER BY a.id",
    "SELECT x.id, x.s FROM (SELECT a.id, $a AS s FROM $t a UNION ALL SELECT b.id, $b FROM $t b) x \
     WHERE x.s > 0 ORDER BY x.id",
    "SELECT a.id, (SELECT count(*) FROM $t b WHERE b.id = a.id + 1 AND $b > 0) FROM $t a WHERE $a > 0 ORDER BY 1",
    "WITH c AS (SELECT a.id, $a AS s FROM $t a), d AS (SELECT avg(s) AS mean FROM c) \
     SELECT c.id FROM c, d WHERE c.s > d.mean ORDER BY c.s DESC, c.id LIMIT 7",
    "SELECT DISTINCT ON (a.id % 4) a.id % 4 AS cell, a.id, $a FROM $t a \
     ORDER BY a.id % 4, $a DESC NULLS LAST, a.id",
    "SELECT a.id FROM $t a WHERE a.id < 20 ORDER BY $a DESC NULLS LAST, a.id OFFSET 2 LIMIT 5",
];

#[tokio::test]
async fn queries_give_what_they_give_over_stored_scores() {
    let engine = Engine::new();
    engine
        .rows_of_statement(
            "CREATE TABLE scored AS SELECT *, clip_score(image, text) AS s FROM pairs",
        )
        .await;
    for query in QUERIES {
        let called = query
            .replace("$t", "pairs")
            .replace("$a", "clip_score(a.image, a.text)")
            .replace("$b", "clip_score(b.image, b.text)");
        let stored = query
            .replace("$t", "scored")
            .replace("$a", "a.s")
            .replace("$b", "b.s");
        let stored = engine.rows(&stored).await;
        let called = engine.rows(&called).await;
        assert!(stored.num_rows() > 0, "{query}");
        assert_eq!(called.columns(), stored.columns(), "{query}");
    }
}
