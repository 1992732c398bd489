#!/usr/bin/env bash
# webdataset 1.0.2.
# Guess: `cache_dir` keeps a copy of each shard under a name made of its URL, so two data sets can share it.
# Seen:  over http (and s3, gs) the copy is named by the last part of the path. img2dataset calls the shards of every data set
#        00000.tar, 00001.tar ...: the second data set is served the pictures and captions of the first, with its own URL in
#        `__url__`, and no error. Parts of one data set in folders of their own are repeated and lost likewise. The argument
#        `url_to_name`, which is documented as the way out, is not passed on: nothing changes. "pipe:" URLs are kept apart.
# Documented: the argument is; the clash, and that the argument has no effect, are open reports only.
# Hurts: a mix of two data sets is twice the first; a filter or an evaluation on the second never sees it. A changed data set under
#        a new prefix is served from the old copy. Use one cache directory for each folder of shards.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile webdataset==1.0.2
cd "$dir"
venv/bin/python - <<'PY'
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import webdataset as wds


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
for name in ("birds", "boats"):
    os.mkdir(name)
    with wds.ShardWriter(f"{name}/%05d.tar", maxcount=2, verbose=0) as writer:
        for row in range(4):
            writer.write({"__key__": f"{row:09d}", "txt": f"{name} {row}"})
own = {name: [f"{name} {row}" for row in range(4)] for name in ("birds", "boats")}


def read(cache, prefix, suffix="", **options):
    os.makedirs(cache, exist_ok=True)
    samples = {}
    for name in own:
        url = f"{prefix}{name}/{{00000..00001}}.tar{suffix}"
        samples[name] = list(wds.WebDataset(url, cache_dir=cache, shardshuffle=False, **options))
    print(f"{cache}: holds {len(os.listdir(cache))} files;", {n: [s["txt"].decode() for s in rows] for n, rows in samples.items()})
    return samples


def captions(samples):
    return {name: [sample["txt"].decode() for sample in rows] for name, rows in samples.items()}


shared = read("shared", f"{base}/")
assert captions(shared) == {"birds": own["birds"], "boats": own["birds"]}
assert all("/boats/" in sample["__url__"] for sample in shared["boats"])
assert sorted(os.listdir("shared")) == ["00000.tar", "00001.tar"]
renamed = read("renamed", f"{base}/", url_to_name=lambda url: url.replace("/", "_"))
assert captions(renamed) == captions(shared) and os.listdir("renamed")[0] in ("00000.tar", "00001.tar")
piped = read("piped", "pipe:cat ")
assert captions(piped) == own and len(os.listdir("piped")) == 4
PY
