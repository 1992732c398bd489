//! `clip-filter report` and `--report`.

use serde_json::Value;

use crate::{
    program::{Place, Ran},
    shards::{self, Pair},
};

/// Pairs of which every fourth image occurs twice and every seventh is bad, in two shards.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let mut pairs = shards::mixed_pairs(80);
    for row in (4..80).step_by(4) {
        pairs[row].bytes = pairs[row - 4].bytes.clone();
    }
    for (shard, pairs) in pairs.chunks(50).enumerate() {
        shards::write_pairs(&place.path(&format!("in/{shard}.parquet")), pairs, 16);
    }
    place
}

/// [`place`] with a score store that has scores from embeddings too.
fn stored() -> Place {
    let place = place();
    place
        .mock(
            "score in --scores scores --add sas,sds,dup_max_sim,selection_score --cells 3 --quiet",
        )
        .exits(0);
    place
}

fn sql(place: &Place, query: &str) -> Vec<Value> {
    let ran = place.mock_with("sql --scores scores --format ndjson --quiet", &[query]);
    let lines = ran.exits(0).stdout;
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The one number that a query gives.
fn number(place: &Place, query: &str) -> f64 {
    let rows = sql(place, query);
    let row = rows[0].as_object().unwrap();
    row.values().next().unwrap().as_f64().unwrap()
}

fn sum(numbers: &Value) -> u64 {
    let numbers = numbers.as_array().unwrap().iter();
    numbers.map(|number| number.as_u64().unwrap()).sum()
}

/// Rows that a rule removed.
fn removed(report: &Value, rule: &str) -> u64 {
    let steps = report["cascade"].as_array().unwrap().iter();
    steps
        .filter(|step| step["rule"] == rule)
        .map(|step| step["removed"].as_u64().unwrap())
        .sum()
}

/// Every number adds up.
#[track_caller]
fn check_sums(report: &Value) {
    let rows = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(
        rows("rows_kept") + rows("rows_cut") + rows("rows_bad"),
        rows("rows_in")
    );
    let steps = report["cascade"].as_array().unwrap();
    let all: u64 = steps
        .iter()
        .map(|step| step["removed"].as_u64().unwrap())
        .sum();
    assert_eq!(all, rows("rows_cut") + rows("rows_bad"), "{steps:#?}");
    assert_eq!(removed(report, "bad"), rows("rows_bad"));
    assert_eq!(steps.last().unwrap()["left"], report["rows_kept"]);
    for score in report["scores"].as_array().unwrap() {
        assert_eq!(
            sum(&score["histogram"]["rows"]),
            score["scores"]["count"].as_u64().unwrap()
        );
    }
    let score = &report["scores"][0]["histogram"];
    assert_eq!(
        (sum(&score["rows"]), sum(&score["kept"])),
        (rows("rows_eligible"), rows("rows_kept"))
    );
    for gallery in report["galleries"].as_array().unwrap() {
        for row in gallery["rows"].as_array().unwrap() {
            let row = &report["rows"][usize::try_from(row.as_u64().unwrap()).unwrap()];
            assert_eq!(row["kept"] == true, row["removed_by"].is_null());
        }
    }
}

#[test]
fn numbers_are_those_of_sql_over_the_same_store() {
    let place = stored();
    let condition = "rank < 40 AND width > 3 AND clip_score > -0.2";
    let report = place
        .mock_with(
            "report scores --json --quiet --min-score -0.1 --keep 0.5 --where",
            &[condition],
        )
        .exits(0)
        .json();
    check_sums(&report);
    let count = |query: &str| number(&place, &format!("SELECT count(*) FROM pairs WHERE {query}"));
    let field = |name: &str| report[name].as_f64().unwrap();
    assert_eq!(field("rows_in"), count("true"));
    assert_eq!(field("rows_bad"), count("rank < 40 AND clip_score IS NULL"));
    assert_eq!(
        removed(&report, "early_condition") as f64,
        count("NOT rank < 40")
    );
    let eligible = format!("clip_score IS NOT NULL AND {condition}");
    assert_eq!(field("rows_eligible"), count(&eligible));
    let below = count(&format!("{eligible} AND clip_score < CAST(-0.1 AS FLOAT)"));
    assert_eq!(removed(&report, "min_score") as f64, below);
    for (status, rows) in report["bad"].as_object().unwrap() {
        let query = format!("rank < 40 AND status = '{status}'");
        assert_eq!(rows.as_f64().unwrap(), count(&query), "{status}");
    }
    for score in report["scores"].as_array().unwrap() {
        let name = score["name"].as_str().unwrap();
        let histogram = &score["histogram"];
        let bins = histogram["rows"].as_array().unwrap();
        let (low, high) = (
            histogram["low"].as_f64().unwrap(),
            histogram["high"].as_f64().unwrap(),
        );
        for bin in [0, 1, 57, 200, 333, 399] {
            let edge = low + (high - low) * (bin as f64 / bins.len() as f64);
            let above: u64 = bins[bin..].iter().map(|rows| rows.as_u64().unwrap()).sum();
            let query = format!("{eligible} AND CAST({name} AS DOUBLE) >= {edge:?}");
            assert_eq!(above as f64, count(&query), "{name} from bin {bin}");
        }
        let mean = format!("SELECT avg(CAST({name} AS DOUBLE)) FROM pairs WHERE {eligible}");
        let found = score["scores"]["mean"].as_f64().unwrap();
        assert!((found - number(&place, &mean)).abs() < 1e-9, "{name}");
    }
    let groups = "SELECT cell, count(*) AS n FROM pairs WHERE rank < 40 AND clip_score IS NOT NULL GROUP BY cell";
    for group in sql(&place, groups) {
        let name = format!("cell {}", group["cell"]);
        let list = report["groups"]["list"].as_array().unwrap();
        let found = list
            .iter()
            .find(|found| found["name"] == name.as_str())
            .unwrap();
        assert_eq!(found["rows"], group["n"], "{name}");
    }
    let best = format!(
        "SELECT __row FROM pairs WHERE {eligible} ORDER BY clip_score DESC, __shard, __row LIMIT 1"
    );
    let first = &report["rows"]
        [usize::try_from(report["galleries"][0]["rows"][0].as_u64().unwrap()).unwrap()];
    let reference = first["reference"].as_str().unwrap();
    assert!(
        reference.ends_with(&format!(":{}", sql(&place, &best)[0]["__row"])),
        "{reference}"
    );
}

#[test]
fn a_run_tells_what_each_of_its_rules_removed() {
    let cases: [(&str, &[&str], &[&str]); 7] = [
        ("--keep 0.5", &[], &["budget"]),
        ("--min-score 0.05", &[], &["min_score"]),
        ("--keep 1 --where", &["rank < 40"], &["early_condition"]),
        (
            "--keep 0.4 --where",
            &["rank < 40 AND clip_score < 0.3"],
            &["early_condition", "condition", "budget"],
        ),
        ("--keep 1 --dedup 0.05 --cells 2", &[], &["duplicate"]),
        ("--keep-rows 9 --solver cover --cells 2", &[], &["budget"]),
        (
            "--keep 0.5 --balance rank:max=0.2 --on-error keep --min-score -0.5",
            &[],
            &["budget"],
        ),
    ];
    for scores in ["", "--scores scores"] {
        let place = place();
        for (args, more, rules) in cases {
            let args = format!(
                "in out.parquet --overwrite --quiet --json --report report.html {scores} {args}"
            );
            let ran = place.mock_with(&args, more).exits(0);
            let report = ran.json();
            let page = std::fs::read_to_string(place.path("report.html")).unwrap();
            let kept = format!("{} of {} rows kept", report["rows_kept"], report["rows_in"]);
            assert!(page.contains(&kept), "{args}");
            // The same selection, looked at without a run.
            if !scores.is_empty() {
                let args = args
                    .replace("in out.parquet", "report in")
                    .replace("--overwrite", "")
                    .replace("--report report.html", "")
                    .replace("--on-error keep", "");
                let report = place.mock_with(&args, more).exits(0).json();
                check_sums(&report);
                for name in ["rows_in", "rows_kept", "rows_cut", "rows_bad", "bad"] {
                    assert_eq!(report[name], report[name], "{args}: {name}");
                }
                for rule in rules {
                    assert!(removed(&report, rule) > 0, "{args}: {rule}");
                }
            }
        }
    }
}

#[test]
fn the_report_changes_nothing_of_the_output() {
    let place = place();
    place.mock("in plain.parquet --keep 0.5 --quiet").exits(0);
    place
        .mock("in shown.parquet --keep 0.5 --quiet --report report.html")
        .exits(0);
    let (plain, shown) = (place.path("plain.parquet"), place.path("shown.parquet"));
    assert_eq!(shards::read(&plain), shards::read(&shown));
    let keys = |path| {
        let footer = shards::footer(path);
        let pairs = footer.file_metadata().key_value_metadata().unwrap().clone();
        let mut keys: Vec<String> = pairs.into_iter().map(|pair| pair.key).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&plain), keys(&shown));
    assert_eq!(
        place.names(),
        ["in", "plain.parquet", "report.html", "shown.parquet"]
    );
}

/// A caption that would take over a page that is not careful.
pub(crate) fn hostile_caption() -> String {
    let start = "\u{202e}gnirts\u{2066} </script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 1\">\" ' onmouseover='window.hacked = 1' &amp; {{ report }} ";
    let rest = "долго ".chars().cycle();
    let left = 10_000 - start.chars().count();
    start.chars().chain(rest.take(left)).collect()
}

#[test]
fn untrusted_text_is_escaped_everywhere() {
    let place = Place::new();
    let mut pairs = shards::good_pairs(20);
    for pair in &mut pairs {
        pair.text = Some(hostile_caption());
    }
    pairs[3] = Pair::at("<script>path</script>.jpg");
    pairs[3].text = Some("<script>of a bad row</script>".to_owned());
    let name = "<script>window.hacked = 1<script>.parquet";
    shards::write_pairs(&place.path(name), &pairs, 8);
    let ran = place.mock_with(
        "--dry-run --report report.html --quiet --where",
        &["text <> '<script>'", name],
    );
    ran.exits(0);
    let page = std::fs::read_to_string(place.path("report.html")).unwrap();
    assert!(page.len() < 5 << 20, "{} bytes", page.len());
    let scripts: Vec<&str> = page.split("<script").skip(1).collect();
    let known = [r#" type="application/json" id="facts">"#, ">"];
    assert_eq!(scripts.len(), known.len());
    assert!(
        scripts
            .iter()
            .zip(known)
            .all(|(script, start)| script.starts_with(start))
    );
    for text in [
        "&lt;script&gt;path",
        "&lt;script&gt;of a bad row",
        "&lt;script&gt;window.hacked",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for text in ["http:", "https:", "onerror=\"", "<img src=x"] {
        assert!(!page.contains(text), "{text}");
    }
    let ran = place
        .mock_with("score --scores scores --quiet", &[name])
        .exits(0);
    assert_eq!(ran.stdout, "");
    let text = place.mock("report scores --text --quiet").exits(0).stdout;
    assert!(!text.contains('\u{202e}') && text.contains("\\u{202e}"));
}

#[test]
fn an_output_is_reported_on_by_itself() {
    let place = place();
    place
        .mock("in out.parquet --keep 0.5 --quiet --add sas,sds,cell,image_embedding,text_embedding,status --cells 2 --prefix x_ --on-error keep")
        .exits(0);
    let report = place
        .mock("report out.parquet --json --quiet")
        .exits(0)
        .json();
    check_sums(&report);
    let written = shards::read(&place.path("out.parquet"));
    assert_eq!(report["rows_in"], written.num_rows());
    assert_eq!(
        (&report["rows_cut"], &report["subject"]["kind"]),
        (&0.into(), &"output".into())
    );
    assert!(
        report["command"]
            .as_str()
            .unwrap()
            .contains("in out.parquet --keep 0.5")
    );
    assert_eq!(report["selection"], "keep 0.5 by x_s_cliploss");
    let scores = shards::floats(&written, "x_clip_score");
    let highest = scores.into_iter().flatten().fold(f32::MIN, f32::max);
    let found = report["scores"][0]["scores"]["max"].as_f64().unwrap();
    assert!((found - f64::from(highest)).abs() < 1e-6);
    let names: Vec<&str> = report["scores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|score| score["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["clip_score", "sas", "sds"]);
    assert!(report["density"].is_object() && report["duplicates"].is_object());
    // A selection from what is there.
    let half = place
        .mock("report out.parquet --json --quiet --keep 0.5")
        .exits(0)
        .json();
    assert!(half["rows_cut"].as_u64().unwrap() > 0);
}

#[test]
fn a_store_is_reported_on_where_its_shards_are_gone() {
    let place = stored();
    let whole = place
        .mock("report scores --json --quiet --keep 0.5")
        .exits(0)
        .json();
    assert!(whole["rows"][0]["caption"].is_string());
    std::fs::rename(place.path("in"), place.path("moved")).unwrap();
    let alone = place
        .mock("report scores --json --quiet --keep 0.5")
        .exits(0)
        .json();
    check_sums(&alone);
    for name in [
        "rows_in",
        "rows_kept",
        "rows_cut",
        "rows_bad",
        "scores",
        "cascade",
        "density",
        "groups",
    ] {
        assert_eq!(whole[name], alone[name], "{name}");
    }
    let notes = alone["notes"].to_string();
    assert!(notes.contains("no images and no captions"), "{notes}");
    assert_eq!(alone["rows"][0]["caption"], Value::Null);
    place.mock("report scores -o report.html --quiet").exits(0);
    let moved = place
        .mock("report moved --scores scores --json --quiet --keep 0.5")
        .exits(0)
        .json();
    assert_eq!(moved["rows"][0]["caption"], whole["rows"][0]["caption"]);
}

#[test]
fn near_duplicates_are_found_and_shown_together() {
    let place = stored();
    let report = place.mock("report scores --json --quiet").exits(0).json();
    let found = &report["duplicates"];
    assert!(found["groups_found"].as_u64().unwrap() > 0);
    let group = &found["groups"][0];
    assert!(group["cosine"].as_f64().unwrap() > 0.99 && group["size"].as_u64().unwrap() > 1);
    let dedup = place
        .mock("report scores --json --quiet --dedup 0.05")
        .exits(0)
        .json();
    assert!(removed(&dedup, "duplicate") > 0);
    assert!(
        dedup["duplicates"]["chosen"]
            .as_str()
            .unwrap()
            .contains("--dedup")
    );
}

#[test]
fn text_shows_histograms_and_tables() {
    let place = stored();
    let text = place
        .mock("report scores --text --quiet --keep 0.5")
        .exits(0)
        .stdout;
    for part in [
        "selection   keep 0.5 by clip_score",
        "clip_score",
        "cut at",
        "█",
        "░",
        "^",
        "density",
        "balance",
        "groups by cell",
        "duplicates",
        "Just above the cut",
        "truncated_image",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[track_caller]
fn refused(ran: Ran, code: i32, texts: &[&str]) {
    ran.exits(code).says(texts);
}

#[test]
fn what_cannot_be_reported_is_refused_with_a_remedy() {
    let place = place();
    std::fs::write(place.path("there.html"), "mine").unwrap();
    refused(
        place.mock("report in -o r.html"),
        2,
        &["without their scores", "--scores DIR", "--dry-run --report"],
    );
    refused(
        place.mock("report in --scores scores"),
        2,
        &["not said where to", "--text or --json"],
    );
    refused(place.mock("report nowhere -o r.html"), 1, &["nowhere"]);
    refused(
        place.mock("in out.parquet --report there.html"),
        1,
        &["it exists", "--overwrite"],
    );
    refused(
        place.mock("in out.parquet --report in"),
        2,
        &["is a directory"],
    );
    refused(
        place.mock("in out.parquet --report out.parquet"),
        2,
        &["another file of the run"],
    );
    refused(
        place.mock("in out.parquet --report gone/r.html"),
        1,
        &["make the directory"],
    );
    refused(
        place.mock("in - --online --keep 0.5 --report r.html"),
        2,
        &["--report"],
    );
    refused(
        place.mock("in/0.parquet out.parquet --report in/0.parquet --overwrite"),
        2,
        &["over an input"],
    );
    assert_eq!(std::fs::read(place.path("there.html")).unwrap(), b"mine");
    assert_eq!(place.names(), ["in", "there.html"]);
    place
        .mock("in out.parquet --report there.html --overwrite --quiet")
        .exits(0);
    assert!(
        std::fs::read_to_string(place.path("there.html"))
            .unwrap()
            .starts_with("<!doctype html>")
    );
}

#[test]
fn tiny_inputs_make_a_page_too() {
    for rows in [1, 2, 4] {
        let place = Place::new();
        shards::write_pairs(&place.path("in.parquet"), &shards::mixed_pairs(rows), 8);
        place
            .mock("in.parquet --dry-run --report report.html --quiet")
            .exits(0);
    }
    let place = Place::new();
    // Not one good row.
    shards::write_pairs(&place.path("in.parquet"), &[Pair::at("no.jpg")], 8);
    place
        .mock("in.parquet --dry-run --report report.html --quiet")
        .exits(0);
    let page = std::fs::read_to_string(place.path("report.html")).unwrap();
    assert!(page.contains("unreadable_path") && page.contains("There is no such row."));
}
