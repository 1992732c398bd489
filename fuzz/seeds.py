"""Writes the images of crates/pixels/tests/golden/golden.bin, one file each, to begin a corpus with.

    python3 fuzz/seeds.py FOLDER [MOST_BYTES]

Images of more than MOST_BYTES (all, unless given) are left out.
"""

import pathlib
import sys

GOLDEN = pathlib.Path(__file__).parent.parent / "crates/pixels/tests/golden/golden.bin"


def images(archive: bytes):
    """Name and content of every image; the layout is that of golden/generate.py."""
    end = archive.index(b"\n") + 1
    while end < len(archive):
        start = archive.index(b"\n", end) + 1
        fields = archive[end:start].decode().split()
        lengths = [int(length) for length in fields[4:8]]
        yield fields[0], archive[start : start + lengths[0]]
        end = start + sum(lengths)


folder = pathlib.Path(sys.argv[1])
most = int(sys.argv[2]) if len(sys.argv) > 2 else None
folder.mkdir(parents=True, exist_ok=True)
for name, image in images(GOLDEN.read_bytes()):
    if most is None or len(image) <= most:
        (folder / name).write_bytes(image)
