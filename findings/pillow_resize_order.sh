#!/usr/bin/env bash
# pillow 12.3.0 and 13.0.0.
# Guess: resizing is what it was in every release: the width first, rounded to bytes, then the height, so that pixels, and scores
#        of models, are the same after an upgrade.
# Seen:  13.0.0 takes the height first where it loses more than twice as many pixels as the width does: pictures three times as
#        tall as wide that become a model's input, and less tall ones that become square. Nearly every pixel may change, by up to
#        a dozen grey levels on noise where the picture is little larger than the input. All others are equal to the last bit.
# Documented: as a change of speed, in a pull request (9549), not as one of pixels.
# Hurts: embeddings of posters, screenshots and panels made with 12 and with 13 are not those of one model; a reimplementation that was
#        checked against 12, or a test on pictures in landscape, does not see it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat > "$dir/resize.py" <<'PYTHON'
import random
import sys

from PIL import Image

random.seed(1)
sizes = [((300, 900), (224, 672)), ((300, 900), (224, 224)), ((300, 700), (224, 224)), ((300, 600), (224, 448)), ((900, 300), (672, 224)), ((640, 480), (224, 224))]
with open(sys.argv[1], "wb") as out:
    for (width, height), size in sizes:
        picture = Image.frombytes("RGB", (width, height), random.randbytes(3 * width * height))
        out.write(picture.resize(size, Image.Resampling.BICUBIC).tobytes())
PYTHON
for version in 12.3.0 13.0.0; do
    python3 -m venv "$dir/$version"
    "$dir/$version/bin/pip" install --quiet "pillow==$version"
    "$dir/$version/bin/python" "$dir/resize.py" "$dir/$version.rgb"
done
python3 - "$dir" <<'PYTHON'
import sys
from pathlib import Path

old, new = (Path(sys.argv[1], f"{version}.rgb").read_bytes() for version in ("12.3.0", "13.0.0"))
sizes = {"300x900 to 224x672": 224 * 672, "300x900 to 224x224": 224 * 224, "300x700 to 224x224": 224 * 224, "300x600 to 224x448": 224 * 448, "900x300 to 672x224": 672 * 224, "640x480 to 224x224": 224 * 224}
at, most = 0, {}
for name, pixels in sizes.items():
    pairs = zip(old[at : at + 3 * pixels], new[at : at + 3 * pixels])
    most[name] = max(abs(a - b) for a, b in pairs)
    at += 3 * pixels
print("largest difference in grey levels:", most)
assert [difference > 0 for difference in most.values()] == [True, True, True, False, False, False]
PYTHON
