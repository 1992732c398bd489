#!/usr/bin/env bash
# datafusion 55.0.0 (Python), polars 2.1.0, pyarrow 26.0.1.
# Guess: an Arrow IPC stream of ten pictures holds ten pictures, and a smaller batch size makes smaller messages.
# Seen:  DataFusion reads binary Parquet columns as `binary_view`, whose batches share the buffers of a whole page; the IPC
#        writer writes every shared buffer out, in every batch again. `LIMIT 10` of 20 kB pictures is a 20 MB stream. With
#        batch_size 64, set to save memory, a 40 MB file becomes a 640 MB stream. A plain `binary` slice is written alone.
#        polars' own writer compacts; the same frame handed over as Arrow and written by pyarrow does not.
# Documented: only as a remark in arrow-rs's change that brought view arrays to IPC (more than needed may be written).
# Hurts: whoever pipes filtered pictures to a loader; it grows with page size over batch size. Cast to binary or compact first.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile datafusion==55.0.0 polars==2.1.0 pyarrow==26.0.1 numpy==2.4.6
cd "$dir"
venv/bin/python - <<'PY'
import io

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from datafusion import SessionConfig, SessionContext

rng = np.random.default_rng(0)
rows, picture_bytes = 2000, 20_000
pictures = pa.array([rng.bytes(picture_bytes) for _ in range(rows)], pa.binary())
table = pa.table({"image": pictures, "row": range(rows)})
pq.write_table(table, "shard.parquet", row_group_size=1000)


def stream_bytes(batches):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.tell()


def datafusion(sql, batch_size=8192):
    context = SessionContext(SessionConfig().set("datafusion.execution.batch_size", str(batch_size)))
    context.register_parquet("shard", "shard.parquet")
    return stream_bytes([b.to_pyarrow() for b in context.sql(sql).execute_stream()])


ten = 10 * picture_bytes
plain = stream_bytes(table.slice(5, 10).to_batches())
limit = datafusion("SELECT image FROM shard LIMIT 10")
best = datafusion("SELECT image FROM shard ORDER BY row DESC LIMIT 10")
wide = datafusion("SELECT image FROM shard")
narrow = datafusion("SELECT image FROM shard", batch_size=64)
frame = pl.read_parquet("shard.parquet").filter(pl.col("row") % 200 == 0)
own = io.BytesIO()
frame.write_ipc_stream(own)
handed = stream_bytes(pa.table(frame).to_batches())
mb = 1e6
print(f"10 pictures, {ten / mb} MB: pyarrow binary slice {plain / mb:.1f} MB, polars' writer {own.tell() / mb:.1f} MB")
print(f"  datafusion LIMIT {limit / mb:.1f} MB, ORDER BY LIMIT {best / mb:.1f} MB, polars to pyarrow {handed / mb:.1f} MB")
print(f"all 2000, 40 MB: batch_size 8192 {wide / mb:.0f} MB, batch_size 64 {narrow / mb:.0f} MB")
assert plain < 1.1 * ten and own.tell() < 1.1 * ten
assert min(limit, best, handed) > 50 * ten
assert wide < 41 * mb and narrow > 10 * wide
PY
