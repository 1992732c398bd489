"""Shards that lie far away: a server of ranges on this machine (`range_server.py`, 30 ms before each answer, 200 MB/s per
connection), and moto for the comparison with pyarrow. Every ratio is of one run, rounds in turns.

    python benches/remote.py WORK target/release/clip-filter --build release

WORK gets shards of 60 kB pictures and thousands of small ones; needs pyarrow, pillow and moto[server].
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import results
import small_shards

HERE = Path(__file__).resolve().parent
PICTURE_BYTES = 60_000
# Requests of the program under way at a time, and bytes that it asks for at a time.
REQUESTS, WINDOW_BYTES = 32, 8 << 20
KEEP = 0.3


def make_pairs(folder: Path, shards: int, rows: int) -> None:
    """Pictures that cannot be decoded further than their head: what is measured is the way to them. One page each."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    for shard in range(shards):
        pictures = [picture(random) for _ in range(rows)]
        captions = [f"picture {shard} {row}" for row in range(rows)]
        table = pa.table({"image": pictures, "caption": captions, "score": random.random(rows)})
        pq.write_table(table, folder / f"{shard:03}.parquet", compression="none", use_dictionary=False, data_page_size=1, write_batch_size=1, write_page_index=True)


def picture(random) -> bytes:
    """A small PNG with as many bytes behind its end as a photograph has."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue() + random.bytes(PICTURE_BYTES - file.tell())


class Server:
    """A range server over a folder."""

    def __init__(self, folder: Path):
        self.process = subprocess.Popen([sys.executable, HERE / "range_server.py", folder], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
        }

    def count(self) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/_count")
        return json.loads(connection.getresponse().read())

    def read(self, ranges: list[tuple[str, int, int]], at_a_time: int) -> float:
        """Seconds that ranges take, each asked for on one of `at_a_time` connections."""
        ranges, start = iter(ranges), time.monotonic()

        def work() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            # A generator is no place for two threads; a list's iterator is.
            for key, first, end in ranges:
                connection.request("GET", f"/data/{key}", headers={"Range": f"bytes={first}-{end - 1}"})
                assert len(connection.getresponse().read()) == end - first

        with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
            for done in [pool.submit(work) for _ in range(at_a_time)]:
                done.result()
        return time.monotonic() - start

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def timed(program: str, *args: str, env: dict | None = None) -> float:
    start = time.monotonic()
    command = [program, *map(str, args), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "CLIP_FILTER_MODEL": "mock", **(env or {})})
    return time.monotonic() - start


def scoring(args, shards: Path) -> tuple[str, float]:
    """Rows per second from afar, beside the slower of the line and the run on files of this machine."""
    sizes = {path.name: path.stat().st_size for path in sorted(shards.iterdir())}
    windows = [(name, at, min(at + WINDOW_BYTES, size)) for name, size in sizes.items() for at in range(0, size, WINDOW_BYTES)]
    near, far, line = [], [], []
    with Server(shards) as server:
        for turn in range(args.rounds):
            for taken, source, env in ((near, shards, None), (far, "s3://data/", server.env)):
                scores = fresh(args.work / "scores")
                taken.append(timed(args.program, "score", source, "--scores", scores, env=env))
            # The reader has one window on its way while it works on another.
            line.append(server.read(windows, 2))
    near, far, line = map(statistics.median, (near, far, line))
    ratio = max(near, line) / far
    return f"| score, mock encoder | {far:.2f} s | files {near:.2f} s, line {line:.2f} s | {ratio:.2f} | >= 0.9 |", ratio


def emitting(args, shards: Path) -> tuple[str, float]:
    """Bytes that are fetched to write what was kept, beside the bytes of the pictures kept."""
    with Server(shards) as server:
        scores, output = fresh(args.work / "scores"), args.work / "kept.parquet"
        timed(args.program, "score", "s3://data/", "--scores", scores, env=server.env)
        server.count()
        timed(args.program, "s3://data/", output, "--scores", scores, "--keep", KEEP, "--overwrite", env=server.env)
        fetched = server.count()
    kept = pc.sum(pc.binary_length(pq.read_table(output)["image"])).as_py()
    ratio = fetched["bytes"] / kept
    return f"| bytes to select and write 0.3 | {fetched['bytes'] / 1e6:.1f} MB in {fetched['requests']} requests | pictures kept {kept / 1e6:.1f} MB | {ratio:.3f} | <= 1.15 |", ratio


def planning(args, shards: Path) -> tuple[str, float]:
    """Seconds until thousands of shards are opened, beside as many ranged reads."""
    ends = [(path.name, 0, path.stat().st_size) for path in sorted(shards.iterdir())]
    planned, read = [], []
    with Server(shards) as server:
        for turn in range(args.rounds):
            planned.append(timed(args.program, "sql", "EXPLAIN SELECT n FROM pairs", "--input", "s3://data/", env=server.env))
            read.append(server.read(ends, REQUESTS))
    planned, read = map(statistics.median, (planned, read))
    ratio = planned / read
    return f"| plan {len(ends)} small shards | {planned:.2f} s | as many ranged reads {read:.2f} s | {ratio:.2f} | <= 1.3 |", ratio


def beside_pyarrow(args, shards: Path) -> tuple[str, float]:
    """Seconds to write the rows above a score, ours from stored scores, both over moto."""
    from moto.server import ThreadedMotoServer
    import boto3
    from pyarrow import fs

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    port = moto.get_host_and_port()[1]
    env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    client = boto3.client("s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    client.create_bucket(Bucket="data")
    for path in sorted(shards.iterdir()):
        client.upload_file(str(path), "data", path.name)
    far = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", access_key="k", secret_key="s", region="us-east-1")
    scores, output = fresh(args.work / "scores"), args.work / "kept.parquet"
    timed(args.program, "score", shards, "--scores", scores)
    where = f"score >= {1 - KEEP}"
    ours, theirs = [], []
    for turn in range(args.rounds):
        ours.append(timed(args.program, "s3://data/", output, "--scores", scores, "--only-new", "--where", where, "--overwrite", env=env))
        start = time.monotonic()
        scanner = ds.dataset("data", filesystem=far, format="parquet").scanner(filter=pc.field("score") >= 1 - KEEP)
        ds.write_dataset(scanner, fresh(args.work / "theirs"), format="parquet")
        theirs.append(time.monotonic() - start)
    assert pq.read_table(output).num_rows == ds.dataset(args.work / "theirs").count_rows()
    moto.stop()
    ours, theirs = map(statistics.median, (ours, theirs))
    ratio = theirs / ours
    return f"| select and write 0.3 over moto | {ours:.2f} s | pyarrow.dataset {theirs:.2f} s | {ratio:.2f} | >= 1.5 |", ratio


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("program")
    parser.add_argument("--build", default="release", help="how the program was built, for the page")
    parser.add_argument("--shards", type=int, default=8, help="of 500 pictures of 60 kB each")
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=["scoring", "emitting", "planning", "pyarrow"])
    args = parser.parse_args()
    stamp = results.stamp()
    pairs, small = args.work / f"pairs-{args.shards}", args.work / f"shards-{args.small}"
    make_pairs(pairs, args.shards, 500)
    small_shards.make(small, args.small)
    steps = {"scoring": (scoring, pairs), "emitting": (emitting, pairs), "planning": (planning, small), "pyarrow": (beside_pyarrow, pairs)}
    lines = ["| step | far | beside | ratio | aim |", "|---|---|---|---|---|"]
    for name in args.only:
        step, shards = steps[name]
        lines.append(step(args, shards)[0])
        print(lines[-1], flush=True)
    text = f"""## Shards far away

{stamp}; {args.build} build

`python benches/remote.py WORK PROGRAM --build {args.build} --shards {args.shards} --small {args.small} --rounds {args.rounds}`; a server on this machine that answers 30 ms late and then with 200 MB/s per connection; {args.shards} shards of 500 pictures of 60 kB, a page each, and {args.small} shards of two rows of 8 x 8 pixels; mock encoder; medians, in turns. Files: the same run on this machine's files; line: the same bytes in ranges of 8 MiB, two at a time.

"""
    results.replace("remote", text + "\n".join(lines))


if __name__ == "__main__":
    main()
