"""Writes golden.bin: small images of every format and mode with what Pillow makes of them.

    python generate.py golden.bin

Needs Pillow (the version is named in the first line of the output), numpy, imagecodecs and tifffile. Each record is a line
    name lossless|lossy width height len(image) len(rgb) len(white) len(resized)
followed by those bytes, all but the first deflated: the encoded image, Image.convert("RGB"), the same composited over white where that
differs (else nothing), and the first one resized as CLIPImageProcessor does: bicubic, shortest edge 32, centre crop 32.
"""

import io
import struct
import sys
import zlib

import imagecodecs
import numpy as np
import PIL
import tifffile
from PIL import Image

EDGE = 32
rng = np.random.default_rng(20_261_122)


def picture(width, height, channels=3):
    """A smooth colour field with edges and some noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for channel in range(channels):
        wave = 128 + 90 * np.sin(x / (4 + channel) + channel) * np.cos(y / (6 - channel)) + 30 * ((x // 7 + y // 5) % 2)
        planes.append(wave + rng.normal(0, 4, wave.shape))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rgb(width=37, height=23):
    return Image.fromarray(picture(width, height))


def rgba(width=37, height=23):
    data = picture(width, height, 4)
    data[:, :, 3] = np.clip(data[:, :, 3].astype(int) * 2 - 128, 0, 255)
    return Image.fromarray(data)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(samples, depth):
    """Rows of integers below 2 ** depth, packed as PNG and TIFF do."""
    rows = []
    for row in samples.reshape(samples.shape[0], -1):
        bits = ((row[:, None].astype(np.int64) >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
        rows.append(np.packbits(bits.reshape(-1)).tobytes())
    return rows


def png(samples, depth, color, extra=b"", interlaced=False):
    height, width = samples.shape[:2]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for left, top, across, down in passes:
        part = samples[top::down, left::across]
        if part.size:
            raw += b"".join(b"\0" + row for row in packed(part, depth))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bmp(width, height, bits, data, compression=0, palette=b"", masks=(), colors=0, size=40, offset=None):
    extra = b"".join(struct.pack("<I", mask) for mask in masks)
    fields = struct.pack("<iiHHIIiiII", width, height, 1, bits, compression, len(data), 0, 0, colors, 0)
    info = struct.pack("<I", size) + fields + extra
    if size > 40:
        info += bytes(size - len(info))
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start if offset is None else offset) + info + palette + data


def rows4(rows):
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def gif_frame(width, height, indices, interlaced=0):
    """One frame with codes of nine bits and a clear code before every 200 of them."""
    codes = []
    for at, index in enumerate(indices):
        if at % 200 == 0:
            codes.append(256)
        codes.append(int(index))
    value, bits, data = 0, 0, bytearray()
    for code in [*codes, 257]:
        value |= code << bits
        bits += 9
        while bits >= 8:
            data.append(value & 255)
            value >>= 8
            bits -= 8
    data.append(value & 255)
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    return b"\x08" + blocks + b"\0"


def gif(screen, frame, palette_bits, transparent=None, local=False):
    left, top, width, height = frame
    palette = picture(2**palette_bits, 1).tobytes()
    indices = (picture(width, height, 1).reshape(-1) >> 2) % 2**palette_bits
    flags = 0x80 | (palette_bits - 1)
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, 0 if local else flags, 3, 0) + (b"" if local else palette)
    if transparent is not None:
        out += b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    out += b"," + struct.pack("<HHHHB", left, top, width, height, flags if local else 0) + (palette if local else b"")
    return out + gif_frame(width, height, indices) + b";"


def tiff(entries, data):
    """Little-endian, one strip of `data`."""
    entries = {**entries, 273: (4, [8]), 279: (4, [len(data)])}
    start = 8 + len(data) + len(data) % 2
    at = start + 2 + 12 * len(entries) + 4
    table, rest = b"", b""
    for tag, (kind, values) in sorted(entries.items()):
        body = b"".join(struct.pack("<H" if kind == 3 else "<I", value) for value in values)
        if len(body) > 4:
            table += struct.pack("<HHII", tag, kind, len(values), at + len(rest))
            rest += body + bytes(len(body) % 2)
        else:
            table += struct.pack("<HHI", tag, kind, len(values)) + body.ljust(4, b"\0")
    directory = struct.pack("<H", len(entries)) + table + bytes(4) + rest
    return b"II*\0" + struct.pack("<I", start) + data + bytes(len(data) % 2) + directory


def jpegs():
    for name, options in {
        "444": {"subsampling": 0},
        "422": {"subsampling": 1},
        "420": {"subsampling": 2},
        "420-low": {"subsampling": 2, "quality": 30},
        "progressive": {"progressive": True},
        "progressive-444": {"progressive": True, "subsampling": 0, "quality": 90},
        "restart": {"restart_marker_blocks": 2},
        "optimised": {"optimize": True},
        "adobe-rgb": {"keep_rgb": True},
    }.items():
        yield name, saved(rgb(61, 45), "JPEG", **options)
    yield "grey", saved(rgb(33, 47).convert("L"), "JPEG")
    yield "grey-progressive", saved(rgb(33, 47).convert("L"), "JPEG", progressive=True)
    plain = saved(rgb(50, 40), "JPEG")
    yield "trailing", plain + b"garbage" * 9
    yield "extra-before-end", plain[:-2] + bytes(40) + plain[-2:]
    yield "fill-bytes", plain[:2] + b"\xff\xff\xff" + plain[2:]
    yield "exif-turned", saved(rgb(40, 24), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    cmyk = saved(Image.fromarray(picture(45, 37, 4), "CMYK"), "JPEG")
    yield "cmyk", cmyk
    at = cmyk.index(b"Adobe") + 11
    yield "ycck", cmyk[:at] + b"\x02" + cmyk[at + 1 :]
    yield "cmyk-unmarked", cmyk[: at - 15] + cmyk[at + 1 :]
    named = saved(rgb(41, 31), "JPEG", keep_rgb=True)
    frame, scan = named.index(b"\xff\xc0"), named.index(b"\xff\xda")
    numbered = bytearray(named)
    for index in range(3):
        numbered[frame + 10 + 3 * index] = index + 1
        numbered[scan + 5 + 2 * index] = index + 1
    yield "adobe-rgb-numbered", bytes(numbered)
    yield "tall", saved(rgb(3, 400), "JPEG")
    yield "one-pixel", saved(rgb(1, 1), "JPEG")


def segments(file):
    """Offsets and kinds of the segments before the first scan's data."""
    at, found = 2, []
    while not found or found[-1][1] != 0xDA:
        found.append((at, file[at + 1]))
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    return [*found, (at, None)]


def without(file, kind):
    """A JPEG without its segments of one kind."""
    parts = segments(file)
    kept = [file[at:end] for (at, own), (end, _) in zip(parts, parts[1:]) if own != kind]
    return file[:2] + b"".join(kept) + file[parts[-1][0] :]


def scans_only(file, count):
    """A progressive JPEG that ends after some of its scans."""
    at, seen = 2, 0
    while True:
        at = file.index(b"\xff", at)
        kind = file[at + 1]
        if kind in (0, 0xFF) or 0xD0 <= kind <= 0xD7:
            at += 2
            continue
        if seen == count and kind in (0xC4, 0xDA, 0xD9):
            return file[:at] + b"\xff\xd9"
        seen += kind == 0xDA
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")


def wide_steps(file):
    """A JPEG whose quantisation tables have 16 bits a step."""
    parts, out = segments(file), file[:2]
    for (at, kind), (end, _) in zip(parts, parts[1:]):
        body = file[at + 4 : end]
        if kind == 0xDB:
            tables = [body[i : i + 65] for i in range(0, len(body), 65)]
            body = b"".join(bytes([16 | t[0]]) + b"".join(struct.pack(">H", step * 3) for step in t[1:]) for t in tables)
        out += file[at : at + 2] + struct.pack(">H", len(body) + 2) + body
    return out + file[parts[-1][0] :]


def one_by_one(width, height, factors):
    """A sequential YCbCr JPEG with a scan for each component, sampled by the factors (across, down)."""
    across, down = (max(factor[i] for factor in factors) for i in (0, 1))
    frame, scans, head = b"", b"", b""
    for index, (h, v) in enumerate(factors):
        plane = picture(-(-width * h // across), -(-height * v // down), 1)[:, :, 0]
        file = saved(Image.fromarray(plane), "JPEG", quality=80)
        parts = segments(file)
        scan = parts[-2][0]
        head = b"".join(file[at:end] for (at, kind), (end, _) in zip(parts, parts[1:]) if kind in (0xDB, 0xC4))
        frame += bytes([index + 1, h << 4 | v, 0])
        scans += file[scan : scan + 5] + bytes([index + 1]) + file[scan + 6 : -2]
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 8 + len(frame), 8, height, width, len(factors)) + frame
    return b"\xff\xd8" + head + frame + scans + b"\xff\xd9"


def rare_jpegs():
    yield "progressive-422", saved(rgb(41, 35), "JPEG", progressive=True, subsampling=1)
    for width, height in ((1, 1), (2, 5), (7, 9), (17, 33)):
        yield f"progressive-{width}x{height}", saved(rgb(width, height), "JPEG", progressive=True)
        yield f"sequential-{width}x{height}", saved(rgb(width, height), "JPEG", subsampling=1)
    yield "progressive-restart", saved(rgb(35, 30), "JPEG", progressive=True, restart_marker_blocks=3)
    yield "progressive-rgb", saved(rgb(20, 20), "JPEG", progressive=True, keep_rgb=True)
    yield "progressive-fine", saved(rgb(24, 24), "JPEG", progressive=True, quality=100)
    cmyk = saved(Image.fromarray(picture(29, 21, 4), "CMYK"), "JPEG", progressive=True)
    yield "progressive-cmyk", cmyk
    at = cmyk.index(b"Adobe") + 11
    yield "progressive-ycck", cmyk[:at] + b"\x02" + cmyk[at + 1 :]
    whole = saved(rgb(53, 43), "JPEG", progressive=True, quality=85)
    for count in (1, 2, 5, 8):
        yield f"unrefined-{count}", scans_only(whole, count)
    yield "unrefined-grey", scans_only(saved(rgb(45, 31).convert("L"), "JPEG", progressive=True), 2)
    yield "unrefined-tiny", scans_only(saved(rgb(9, 20), "JPEG", progressive=True), 1)
    yield "no-codes", without(saved(rgb(24, 20), "JPEG"), 0xC4)
    yield "wide-steps", wide_steps(saved(rgb(24, 20), "JPEG", quality=20))
    grey = bytearray(saved(rgb(37, 29).convert("L"), "JPEG"))
    grey[grey.index(b"\xff\xc0") + 11] = 0x22
    yield "grey-doubled", bytes(grey)
    for across, down in ((1, 1), (2, 2), (1, 2), (4, 1), (3, 1), (4, 2), (1, 4)):
        yield f"one-by-one-{across}x{down}", one_by_one(29, 26, [(across, down), (1, 1), (1, 1)])
    yield "one-by-one-chroma", one_by_one(29, 26, [(1, 2), (2, 1), (2, 2)])


def pngs():
    yield "rgb", saved(rgb(), "PNG")
    yield "rgba", saved(rgba(), "PNG")
    yield "grey", saved(rgb().convert("L"), "PNG")
    yield "grey-alpha", saved(rgba().convert("LA"), "PNG")
    yield "one-bit", saved(rgb().convert("1"), "PNG")
    yield "one-bit-key", saved(rgb().convert("1"), "PNG", transparency=0)
    palette = rgb().quantize(60)
    yield "palette", saved(palette, "PNG")
    yield "palette-key", saved(palette, "PNG", transparency=7)
    yield "palette-alphas", saved(palette, "PNG", transparency=bytes(range(0, 240, 6)))
    yield "palette-4", saved(rgb().quantize(11), "PNG")
    yield "palette-2", saved(rgb().quantize(4), "PNG", transparency=2)
    yield "palette-1", saved(rgb().quantize(2), "PNG")
    keyed = rgb().quantize(9).convert("RGB")
    yield "rgb-key", saved(keyed, "PNG", transparency=keyed.getpixel((5, 5)))
    grey = rgb().convert("L").point(lambda value: value & 0xF0)
    yield "grey-key", saved(grey, "PNG", transparency=grey.getpixel((3, 3)))
    deep = picture(29, 31, 4).astype(np.uint32) * 257 ^ 0x35
    yield "grey-16", png(deep[:, :, 0], 16, 0)
    yield "grey-16-low", png(deep[:, :, 0] >> 7, 16, 0)
    yield "grey-16-key", png(deep[:, :, 0] >> 7, 16, 0, chunk(b"tRNS", struct.pack(">H", int(deep[2, 2, 0] >> 7))))
    yield "rgb-16", png(deep[:, :, :3], 16, 2)
    yield "rgb-16-key", png(deep[:, :, :3], 16, 2, chunk(b"tRNS", struct.pack(">HHH", *(int(v) for v in deep[4, 4, :3] >> 8))))
    yield "rgba-16", png(deep, 16, 6)
    yield "grey-alpha-16", png(deep[:, :, [0, 3]], 16, 4)
    for depth in (1, 2, 4):
        samples = picture(27, 19, 1)[:, :, 0] >> (8 - depth)
        yield f"grey-{depth}", png(samples, depth, 0)
        yield f"grey-{depth}-key", png(samples, depth, 0, chunk(b"tRNS", struct.pack(">H", 1)))
        yield f"grey-{depth}-interlaced", png(samples, depth, 0, interlaced=True)
    yield "rgb-interlaced", png(picture(33, 21), 8, 2, interlaced=True)
    yield "rgba-16-interlaced", png(deep, 16, 6, interlaced=True)
    indices = picture(27, 19, 1)[:, :, 0] >> 3
    yield "palette-short", png(indices, 8, 3, chunk(b"PLTE", picture(12, 1).tobytes()))
    frames = [rgb(30, 20), rgb(30, 20)]
    yield "animated", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    yield "no-end", saved(rgb(), "PNG")[:-12]
    yield "wide", saved(rgb(1500, 2), "PNG")
    yield "tall", saved(rgb(2, 1100), "PNG")
    yield "large", saved(Image.fromarray(picture(160, 120) & 0xF8), "PNG")


def gifs():
    yield "plain", saved(rgb(), "GIF")
    yield "grey", saved(rgb().convert("L"), "GIF")
    yield "transparent", saved(rgb().quantize(30), "GIF", transparency=4)
    yield "interlaced", saved(rgb(), "GIF", interlace=1)
    yield "progressive-rows", saved(rgb(), "GIF", interlace=0)
    yield "animated", saved(rgb(), "GIF", save_all=True, append_images=[rgb()])
    yield "inset", gif((40, 30), (5, 7, 20, 15), 6)
    yield "inset-transparent", gif((40, 30), (5, 7, 20, 15), 6, transparent=9)
    yield "over-the-screen", gif((20, 10), (5, 3, 25, 15), 5)
    yield "local-palette", gif((25, 18), (0, 0, 25, 18), 5, local=True)
    yield "short-palette", gif((25, 18), (0, 0, 25, 18), 2, transparent=2)


def webps():
    yield "lossless", "lossless", saved(rgb(), "WEBP", lossless=True)
    yield "lossless-alpha", "lossless", saved(rgba(), "WEBP", lossless=True, exact=True)
    yield "lossless-palette", "lossless", saved(rgb().quantize(12).convert("RGB"), "WEBP", lossless=True)
    yield "lossy", "lossy", saved(rgb(61, 45), "WEBP", quality=70)
    yield "lossy-alpha", "lossy", saved(rgba(61, 45), "WEBP", quality=70)
    yield "lossy-low", "lossy", saved(rgb(64, 48), "WEBP", quality=10)
    yield "animated", "lossless", saved(rgb(), "WEBP", lossless=True, save_all=True, append_images=[rgb()])
    yield "animated-alpha", "lossless", saved(rgba(), "WEBP", lossless=True, exact=True, save_all=True, append_images=[rgba()])


def bmps():
    yield "rgb", saved(rgb(), "BMP")
    yield "grey", saved(rgb().convert("L"), "BMP")
    yield "one-bit", saved(rgb().convert("1"), "BMP")
    yield "palette", saved(rgb().quantize(50), "BMP")
    yield "rgba", saved(rgba(), "BMP")
    pixels = picture(19, 13, 4)
    yield "top-down", bmp(19, -13, 24, rows4(row.tobytes() for row in pixels[:, :, :3].reshape(13, -1)))
    yield "bits-32", bmp(19, 13, 32, pixels.tobytes())
    deep = (picture(19, 13, 2).reshape(13, -1).view("<u2")).astype("<u2")
    yield "bits-16", bmp(19, 13, 16, rows4(row.tobytes() for row in deep))
    yield "bits-565", bmp(19, 13, 16, rows4(row.tobytes() for row in deep), 3, masks=(0xF800, 0x7E0, 0x1F))
    yield "masks-32", bmp(19, 13, 32, pixels.tobytes(), 3, masks=(0xFF000000, 0xFF0000, 0xFF00))
    yield "masks-alpha", bmp(19, 13, 32, pixels.tobytes(), 3, masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000), size=56)
    nibbles = picture(21, 11, 1)[:, :, 0] >> 4
    palette = b"".join(bytes(color) + b"\0" for color in picture(16, 1)[0].tolist())
    yield "palette-4", bmp(21, 11, 4, rows4(packed(nibbles, 4)), palette=palette, colors=16)
    yield "palette-1", bmp(21, 11, 1, rows4(packed(nibbles >> 3, 1)), palette=palette[:8], colors=2)
    core = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 12 + 48) + struct.pack("<IHHHH", 12, 21, 11, 1, 4)
    yield "core", core + b"".join(palette[i : i + 3] for i in range(0, 64, 4)) + rows4(packed(nibbles, 4))
    runs = b"".join(bytes([9, row, 0, 5]) + bytes([row, 1, 2, 3, 4, 0]) + bytes([6, 9]) + b"\0\0" for row in range(11)) + b"\0\1"
    yield "run-length-8", bmp(20, 11, 8, runs, 1, palette=palette * 16, colors=256)
    delta = b"\x05\x03\0\2\x07\x02\x04\x01\0\0" + b"".join(bytes([20, row, 0, 0]) for row in range(8)) + b"\0\1"
    yield "run-length-delta", bmp(20, 11, 8, delta, 1, palette=palette * 16, colors=256)
    half = b"".join(bytes([13, 16 * row + 3, 0, 5, 0x12, 0x34, 0x50, 0, 2, 0x77]) + b"\0\0" for row in range(11)) + b"\0\1"
    yield "run-length-4", bmp(20, 11, 4, half, 2, palette=palette, colors=16)


def tiffs():
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"rgb-{compression}", saved(rgb(), "TIFF", compression=compression)
    yield "rgba", saved(rgba(), "TIFF", compression="tiff_lzw")
    yield "grey", saved(rgb().convert("L"), "TIFF", compression="tiff_lzw")
    yield "grey-alpha", saved(rgba().convert("LA"), "TIFF")
    yield "one-bit", saved(rgb().convert("1"), "TIFF", compression="packbits")
    yield "palette", saved(rgb().quantize(40), "TIFF", compression="tiff_lzw")
    yield "cmyk", saved(Image.fromarray(picture(30, 20, 4), "CMYK"), "TIFF", compression="tiff_adobe_deflate")
    yield "grey-16", saved(Image.fromarray(picture(30, 20, 1)[:, :, 0].astype(np.uint16) * 2), "TIFF")
    yield "predictor", saved(rgb(), "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    deep = (picture(21, 17, 3).astype("<u2") * 257) ^ 0x35
    size = {256: (3, [21]), 257: (3, [17]), 278: (3, [17]), 259: (3, [1])}
    yield "rgb-16", tiff({**size, 258: (3, [16] * 3), 262: (3, [2]), 277: (3, [3])}, deep.tobytes())
    planes = picture(21, 17, 4)
    four = {**size, 258: (3, [8] * 4), 262: (3, [2]), 277: (3, [4])}
    yield "premultiplied", tiff({**four, 338: (3, [1])}, planes.tobytes())
    yield "unused-sample", tiff({**four, 338: (3, [0])}, planes.tobytes())
    nibbles = picture(21, 17, 1)[:, :, 0] >> 4
    one = {**size, 258: (3, [4]), 277: (3, [1])}
    yield "white-is-zero", tiff({**one, 262: (3, [0])}, b"".join(packed(nibbles, 4)))
    colors = [int(value) * 257 for value in picture(48, 1, 1).reshape(-1)]
    yield "palette-4", tiff({**one, 262: (3, [3]), 320: (3, colors)}, b"".join(packed(nibbles, 4)))
    thin = {256: (3, [21]), 257: (3, [17]), 258: (3, [8] * 3), 259: (3, [1]), 262: (3, [2]), 277: (3, [3]), 278: (3, [17])}
    yield "reversed-bits", tiff({**one, 262: (3, [1]), 266: (3, [2])}, b"".join(packed(nibbles, 4)))
    yield "plain-strip", tiff(thin, picture(21, 17).tobytes())


def more_tiffs():
    """What the first list has not: other samples, compressions, tiles, planes, byte orders, 64-bit offsets."""

    def written(data, **options):
        file = io.BytesIO()
        tifffile.imwrite(file, data, metadata=None, **options)
        return file.getvalue()

    colors = picture(36, 28)
    wide = colors.astype(np.uint16) * 250
    grey = colors[:, :, 0]
    planes = np.moveaxis(colors, 2, 0).copy()
    image, one_bit = Image.fromarray(colors), Image.fromarray(grey > 120)
    for sampling in ((1, 1), (2, 1), (2, 2)):
        options = {"photometric": "ycbcr", "compression": "jpeg", "subsampling": sampling}
        yield f"jpeg-tiles-{sampling[0]}{sampling[1]}", written(colors, tile=(32, 32), **options)
    yield "jpeg-strips", saved(image, "TIFF", compression="jpeg", strip_size=1200)
    yield "jpeg-rgb", written(colors, photometric="rgb", compression="jpeg")
    yield "jpeg-grey", saved(image.convert("L"), "TIFF", compression="jpeg")
    yield "ycc", saved(image.convert("YCbCr"), "TIFF")
    yield "ycc-lzw", saved(image.convert("YCbCr"), "TIFF", compression="tiff_lzw")
    yield "group-4", saved(one_bit, "TIFF", compression="group4")
    yield "group-4-strips", saved(one_bit, "TIFF", compression="group4", strip_size=60)
    yield "big", written(colors, bigtiff=True, photometric="rgb", compression="deflate")
    yield "tiles", written(colors, tile=(32, 16), photometric="rgb", compression="deflate", predictor=True)
    yield "planes", written(planes, photometric="rgb", planarconfig="separate", rowsperstrip=9)
    yield "planes-deflate", written(planes, photometric="rgb", planarconfig="separate", rowsperstrip=9, compression="deflate", predictor=True)
    for name, order in (("little", "<"), ("big", ">")):
        yield f"{name}-rgb-16", written(wide, byteorder=order, photometric="rgb", compression="deflate", predictor=True)
        yield f"{name}-grey-16", written(grey.astype(np.uint16) * 2, byteorder=order)
        yield f"{name}-float", written(grey.astype(np.float32) * 1.7 - 60.3, byteorder=order)
        yield f"{name}-int-32", written(grey.astype(np.int32) * 2 - 100, byteorder=order)
    yield "float-predictor", written(grey.astype(np.float32) * 1.3, compression="deflate", predictor=3)
    yield "int-16", written(grey.astype(np.int16) * 2 - 100)
    yield "unsigned-32", written(grey.astype(np.uint32) * 2)
    yield "white-is-zero-16", written(grey.astype(np.uint16) * 2, photometric="miniswhite")


def boxes(data):
    at = 0
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0] or len(data) - at
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def grid(columns, rows, tiles, size):
    """Tiles, each an AVIF of its own, as one picture."""
    streams = [dict(boxes(tile))[b"mdat"] for tile in tiles]
    properties = dict(boxes(dict(boxes(dict(boxes(dict(boxes(tiles[0]))[b"meta"][4:]))[b"iprp"]))[b"ipco"]))
    extent = lambda width, height: box(b"ispe", struct.pack(">III", 0, width, height))
    edge = Image.open(io.BytesIO(tiles[0])).size
    listed = [box(b"av1C", properties[b"av1C"]), box(b"pixi", properties[b"pixi"]), box(b"colr", properties[b"colr"]), extent(*edge), extent(*size)]
    payload = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, *size)
    count = len(tiles)
    entry = lambda item, kind: box(b"infe", struct.pack(">BBHHH", 2, 0, 0, item, 0), kind, b"\0")
    entries = [entry(1, b"grid")] + [entry(2 + index, b"av01") for index in range(count)]
    links = [struct.pack(">HBBBB", 1, 3, 2, 3, 5)] + [struct.pack(">HBBBBB", 2 + index, 4, 0x81, 2, 3, 4) for index in range(count)]
    references = struct.pack(">HH", 1, count) + b"".join(struct.pack(">H", 2 + index) for index in range(count))
    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")

    def meta(start):
        places = [struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(payload))]
        for index, stream in enumerate(streams):
            places.append(struct.pack(">HHHHII", 2 + index, 0, 0, 1, start, len(stream)))
            start += len(stream)
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", struct.pack(">IH", 0, 1)),
            box(b"iloc", struct.pack(">IBBH", 1 << 24, 0x44, 0, count + 1), *places),
            box(b"iinf", struct.pack(">IH", 0, count + 1), *entries),
            box(b"iref", bytes(4), box(b"dimg", references)),
            box(b"iprp", box(b"ipco", *listed), box(b"ipma", struct.pack(">II", 0, count + 1), *links)),
            box(b"idat", payload),
        )

    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", *streams)


def avifs():
    image = rgb(29, 23)
    for sampling in ("4:2:0", "4:2:2", "4:4:4", "4:0:0"):
        for reach in ("full", "limited"):
            name = f"{sampling.replace(':', '')}-{reach}"
            plain = saved(image, "AVIF", subsampling=sampling, range=reach, quality=85)
            yield name, plain
            at = plain.index(b"nclx") + 8
            matrices = {"bt709": 1, "bt2020": 9, "unspecified": 2, **({"identity": 0} if sampling == "4:4:4" else {})}
            for matrix, number in matrices.items():
                if sampling != "4:0:0" and sampling != "4:2:2":
                    yield f"{name}-{matrix}", plain[:at] + struct.pack(">H", number) + plain[at + 2 :]
            see_through = saved(rgba(29, 23), "AVIF", subsampling=sampling, range=reach, quality=85)
            yield f"{name}-alpha", see_through
    for depth in (10, 12):
        for sampling in ("420", "422", "444", "400"):
            deep = picture(29, 23, 4).astype(np.uint16) << (depth - 8)
            options = {"level": 85, "speed": 8, "bitspersample": depth, "pixelformat": sampling, "numthreads": 1}
            yield f"{sampling}-{depth}", imagecodecs.avif_encode(deep[:, :, :3], **options)
            yield f"{sampling}-{depth}-alpha", imagecodecs.avif_encode(deep, **options)
    yield "premultiplied", saved(rgba(29, 23), "AVIF", alpha_premultiplied=True)
    turned = Image.Exif()
    turned[274] = 6
    yield "turned", saved(image, "AVIF", exif=turned)
    yield "sequence", saved(image, "AVIF", save_all=True, append_images=[rgb(29, 23), rgb(29, 23)])
    yield "sequence-alpha", saved(rgba(29, 23), "AVIF", save_all=True, append_images=[rgba(29, 23)])
    yield "one-pixel", saved(rgb(1, 1), "AVIF")
    yield "lossless", saved(image, "AVIF", quality=100, subsampling="4:4:4")
    tiles = [saved(rgb(64, 64), "AVIF", subsampling="4:2:0") for _ in range(6)]
    yield "grid", grid(3, 2, tiles, (130, 70))
    yield "larger", saved(rgb(140, 90), "AVIF", quality=40)


def cases():
    for family, lossless, images in (
        ("jpeg", "lossy", jpegs()),
        ("png", "lossless", pngs()),
        ("gif", "lossless", gifs()),
        ("bmp", "lossless", bmps()),
        ("tiff", "lossless", tiffs()),
    ):
        for name, data in images:
            yield f"{family}-{name}", lossless, data
    for name, lossless, data in webps():
        yield f"webp-{name}", lossless, data
    # Last, so that the noise of what was there before them stays.
    for name, data in rare_jpegs():
        yield f"jpeg-{name}", "lossy", data
    # Behind all others, so that those stay as they were.
    for name, data in more_tiffs():
        yield f"tiff-{name}", "lossless", data
    for name, data in avifs():
        yield f"avif-{name}", "lossy", data


def over_white(image):
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255,) * 4), image)
    return image.convert("RGB")


def resized(image):
    width, height = image.size
    short = min(width, height)
    size = tuple(EDGE if edge == short else int(EDGE * edge / short) for edge in (width, height))
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - EDGE) // 2, (size[1] - EDGE) // 2
    return image.crop((left, top, left + EDGE, top + EDGE))


def main():
    out = [f"Pillow {PIL.__version__}\n".encode()]
    for name, lossless, data in cases():
        plain = Image.open(io.BytesIO(data)).convert("RGB")
        white = over_white(Image.open(io.BytesIO(data))).tobytes()
        if white == plain.tobytes():
            white = b""
        parts = [data, *(zlib.compress(part, 9) for part in (plain.tobytes(), white, resized(plain).tobytes()))]
        out.append(f"{name} {lossless} {plain.width} {plain.height} {' '.join(str(len(part)) for part in parts)}\n".encode())
        out += parts
    with open(sys.argv[1], "wb") as file:
        file.write(b"".join(out))


main()
