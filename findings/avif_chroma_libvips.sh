#!/usr/bin/env bash
# pillow 13.0.0, opencv-python-headless 5.0.0.93, pyvips 3.2.0 with pyvips-binary 8.18.7.
# Guess: decoders of AVIF agree to a rounding step, as those of JPEG and WebP do (bit for bit on these files).
# Seen:  Pillow and OpenCV agree bit for bit. libvips, which decodes through another library, brings colour back to full size in
#        another way: on a 4:2:0 file, the usual kind, pixels beside an edge are 50 grey levels off, and 11 after resizing
#        to 224 pixels. With colour at full size (4:4:4) it is 1.
# Documented: no.
# Hurts: embeddings of the same AVIF files from a libvips pipeline (sharp, vips-based loaders) and from Pillow; thresholds
#        and near-duplicate hashes made with one do not hold for the other.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile pillow==13.0.0 opencv-python-headless==5.0.0.93 numpy==2.4.6 \
  pyvips==3.2.0 pyvips-binary==8.18.7
cd "$dir"
venv/bin/python - <<'PY'
import io

import cv2
import numpy as np
import pyvips
from PIL import Image

y, x = np.mgrid[0:480, 0:640]
picture = np.full((480, 640, 3), 230, np.uint8)
picture[(x - 200) ** 2 + (y - 240) ** 2 < 150**2] = (200, 30, 40)
picture[(x > 330) & (x < 600) & (y > 100) & (y < 380)] = (30, 80, 190)


def differences(kind, **options):
    sink = io.BytesIO()
    Image.fromarray(picture).save(sink, kind, quality=90, **options)
    encoded = sink.getvalue()
    pillow = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    opencv = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    vips = pyvips.Image.new_from_buffer(encoded, "").numpy()[..., :3]

    def worst(a, b):
        return int(np.abs(a.astype(int) - b.astype(int)).max())

    def small(pixels):
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((224, 224), Image.BICUBIC))

    found = (worst(pillow, opencv), worst(pillow, vips), worst(small(pillow), small(vips)))
    print(f"{kind} {options}: OpenCV {found[0]}, libvips {found[1]}, libvips at 224 pixels {found[2]}")
    return found


assert differences("JPEG", subsampling="4:2:0")[:2] == (0, 0)
assert differences("WEBP")[:2] == (0, 0)
opencv, vips, _ = differences("AVIF", subsampling="4:4:4")
assert opencv == 0 and vips <= 1
opencv, vips, resized = differences("AVIF", subsampling="4:2:0")
assert opencv == 0 and vips > 40 and resized > 8
PY
