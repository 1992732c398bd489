//! Tables that Python's deltalake has written are read as it reads them.

use std::process::Command;

use crate::program::{Place, ROOT};

/// What the script says; `None` where there is no Python that can run it.
pub(super) fn python(place: &Place, script: &str, args: &[&str]) -> Option<String> {
    python_with(place, script, args, &[])
}

/// The same with these variables in its environment.
pub(crate) fn python_with(
    place: &Place,
    script: &str,
    args: &[&str],
    environment: &[(&str, String)],
) -> Option<String> {
    let interpreter =
        std::env::var("CLIP_FILTER_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = std::path::Path::new(ROOT)
        .join("tests/interop")
        .join(script);
    let ran = Command::new(interpreter)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(place.dir())
        .arg(script)
        .args(args)
        .output();
    let Ok(ran) = ran else {
        eprintln!("skipped: no Python (set CLIP_FILTER_TEST_PYTHON to one)");
        return None;
    };
    let (said, why) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    if said.starts_with("skipped") {
        eprint!("{said}");
        return None;
    }
    assert!(ran.status.success(), "{said}{why}");
    Some(said.into_owned())
}

/// Every table as `name<TAB>option of a version<TAB>keys that deltalake reads, sorted`.
#[test]
fn tables_of_deltalake_are_read_as_it_reads_them() {
    let place = Place::new();
    let Some(tables) = python(&place, "delta.py", &["write"]) else {
        return;
    };
    assert!(tables.lines().count() >= 8, "{tables}");
    for line in tables.lines() {
        let [name, version, keys] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let args = format!("sql --format csv {version} --input t={name}");
        let query = "SELECT uid || '/' || coalesce(kind, '-') AS k FROM t ORDER BY k";
        let read = place.mock_with(&args, &[query]).exits(0).stdout;
        let read: Vec<&str> = read.lines().skip(1).collect();
        assert_eq!(read.join(","), keys, "{name} {version}");
        let kept = format!(
            "{name} {name}-{}.parquet {version} --keep 1 --json --overwrite",
            version.len()
        );
        let summary = place.mock(&kept).exits(0).json();
        assert_eq!(summary["rows_in"], read.len(), "{name} {version}");
    }
}
