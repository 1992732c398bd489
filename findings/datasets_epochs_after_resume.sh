#!/usr/bin/env bash
# datasets 5.2.0.
# Guess: `load_state_dict` sets where the next iteration starts; the epoch after that is a whole one.
# Seen:  every later iteration starts at the loaded place too: a run that resumed with 3 of 20 rows left trains on those 3
#        rows in all epochs to come. Only a call of `set_epoch` with another number ends it, which a loop over unshuffled
#        data has no other reason to make.
# Documented: the docstring says the iteration restarts at the next example; the issue tracker calls it intended.
# Hurts: the loss falls, nothing is logged, and the model has seen the tail of the shards dozens of times.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile datasets==5.2.0
export HF_HOME="$dir/hf" HF_HUB_OFFLINE=1
cd "$dir"
venv/bin/python - <<'PY'
from datasets import Dataset


def stream():
    return Dataset.from_dict({"row": list(range(20))}).to_iterable_dataset(num_shards=2)


first = stream()
rows = iter(first)
for _ in range(17):
    next(rows)
state = first.state_dict()

resumed = stream()
resumed.load_state_dict(state)
epochs = [[row["row"] for row in resumed] for _ in range(3)]
resumed.set_epoch(1)
named = [row["row"] for row in resumed]
for number, epoch in enumerate(epochs):
    print(f"epoch {number} after the resume: {len(epoch)} rows {epoch}")
print(f"after set_epoch(1): {len(named)} rows")
assert epochs == [[17, 18, 19]] * 3, epochs
assert named == list(range(20)), named
PY
