#!/usr/bin/env bash
# pylance 14.0.2, pyarrow 26.0.1.
# Guess: `dataset.merge(scores, "key")`, "a left join" in its documentation, refuses or multiplies rows where a key comes twice on
#        the right, as joins do; a null key matches nothing.
# Seen:  the last of the duplicates wins without a word, so the result follows the order of the right side; and null is a key
#        like any other: all rows without a key get the score of a right row without one. `merge_insert` of the same
#        library refuses duplicates and never matches null.
# Documented: no.
# Hurts: scores attached by key: a pair scored twice gets whichever score was written last, and pairs that lost their key all
#        get one and the same stranger's score.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile pylance==14.0.2 pyarrow==26.0.1
cd "$dir"
venv/bin/python - <<'PY'
import lance
import pyarrow as pa

rows = pa.table({"key": pa.array(["a", "b", None, None])})


def merged(name, keys, scores):
    dataset = lance.write_dataset(rows, name)
    dataset.merge(pa.table({"key": pa.array(keys, pa.string()), "score": scores}), "key")
    return dataset.to_table()["score"].to_pylist()


low_last = merged("low_last", ["a", "a"], [0.9, 0.1])
high_last = merged("high_last", ["a", "a"], [0.1, 0.9])
null = merged("null", ["b", None], [0.2, 0.7])
print("left keys:", rows["key"].to_pylist())
print("a = 0.9, then a = 0.1:  ", low_last)
print("a = 0.1, then a = 0.9:  ", high_last)
print("b = 0.2, null = 0.7:    ", null)
assert low_last == [0.1, None, None, None]
assert high_last == [0.9, None, None, None]
assert null == [None, 0.2, 0.7, 0.7]
try:
    lance.dataset("null").merge_insert("key").when_matched_update_all().execute(
        pa.table({"key": ["b", "b"], "score": [0.1, 0.9]}))
except Exception as error:  # the type is not part of the finding
    print("merge_insert of duplicates:", str(error)[:60], "...")
else:
    raise SystemExit("merge_insert took duplicates")
PY
