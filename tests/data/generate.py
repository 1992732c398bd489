"""Selects and makes the images of `hostile.parquet`: `python generate.py HOSTILE_IMAGES.parquet`. Needs pillow and pyarrow."""

import io
import struct
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

# Sound images taken as they are, for what no small copy keeps: their own encoders' streams.
OK = ("one-pixel.png", "very-wide.png", "very-tall.jpg", "png-1bit.png", "grey.jpg", "progressive.jpg", "subsampled-411.jpg", "webp-alpha.webp", "exif-rotated.jpg")
# Remade small from the plain photograph.
SMALL = {
    "gif.gif": ("P", "GIF", {}),
    "bmp.bmp": ("RGB", "BMP", {}),
    "tiff.tif": ("RGB", "TIFF", {}),
    "tiff-lzw.tif": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "png-rgb.png": ("RGB", "PNG", {}),
    "png-rgba.png": ("RGBA", "PNG", {}),
    "png-la.png": ("LA", "PNG", {}),
    "png-palette.png": ("P", "PNG", {}),
    "png-16bit-grey.png": ("I;16", "PNG", {}),
    "webp-lossless.webp": ("RGB", "WEBP", {"lossless": True}),
    "cmyk.jpg": ("CMYK", "JPEG", {}),
    "wrong-extension.jpg": ("RGB", "PNG", {}),
}


def converted(picture, mode):
    if mode == "I;16":
        grey = picture.convert("L")
        return Image.frombytes("I;16", grey.size, b"".join(struct.pack("<H", value * 257) for value in grey.tobytes()))
    if mode in ("RGBA", "LA"):
        picture = picture.convert(mode)
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        return picture
    return picture.convert(mode)


def encoded(picture, mode, kind, options):
    out = io.BytesIO()
    converted(picture, mode).save(out, kind, **options)
    return out.getvalue()


def with_bad_crc(png):
    """The same file with the checksum of its first data chunk wrong."""
    at = png.index(b"IDAT")
    length = struct.unpack(">I", png[at - 4 : at])[0]
    crc = at + 4 + length
    assert struct.unpack(">I", png[crc : crc + 4])[0] == zlib.crc32(png[at:crc])
    return png[:crc] + bytes(byte ^ 0xFF for byte in png[crc : crc + 4]) + png[crc + 4 :]


def main():
    rows = pq.read_table(sys.argv[1]).to_pylist()
    named = {row["image"]["path"]: row for row in rows if row["image"]}
    chosen = []

    def add(name, data, expect, text="a picture"):
        chosen.append({"key": f"h-{len(chosen):03}", "image": None if data is None else {"bytes": data, "path": name}, "text": text, "expect": expect})

    plain = Image.open(io.BytesIO(named["plain.jpg"]["image"]["bytes"])).convert("RGB").resize((96, 72))
    add("plain.jpg", encoded(plain, "RGB", "JPEG", {}), "ok")
    add("trailing-garbage.jpg", encoded(plain, "RGB", "JPEG", {}) + b"\0garbage" * 64, "ok")
    for name, how in SMALL.items():
        add(name, encoded(plain, *how), "ok")
    for name in OK:
        assert named[name]["expect"] == "ok"
        add(name, named[name]["image"]["bytes"], "ok")
    frames = [plain, plain.rotate(90), plain.rotate(180)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    add("gif-animated.gif", out.getvalue(), "ok")
    for row in rows:
        if row["expect"] == "bad":
            image = row["image"] or {"path": "null", "bytes": None}
            if image["path"] == "bad-crc.png":
                # Pillow does not look at the checksums of a picture's chunks.
                add(image["path"], with_bad_crc(encoded(plain, "RGB", "PNG", {})), "ok")
            else:
                add(image["path"], image["bytes"], "bad")
    add("no-caption.jpg", encoded(plain, "RGB", "JPEG", {}), "bad", None)
    add("empty-caption.jpg", encoded(plain, "RGB", "JPEG", {}), "bad", "")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("key", pa.string()), ("image", image), ("text", pa.string()), ("expect", pa.string())])
    target = Path(__file__).with_name("hostile.parquet")
    pq.write_table(pa.Table.from_pylist(chosen, schema), target, compression="zstd", compression_level=19, use_dictionary=False)
    print(f"{len(chosen)} rows, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
