"""Writes reading.bin: pictures that are stored turned, cut or damaged, with what Pillow makes of them.

    python reading.py reading.bin

Needs Pillow (the version is named in the first line of the output) and numpy. Each record is a line
    name len(image), then as it is read, turned by ImageOps.exif_transpose, and with LOAD_TRUNCATED_IMAGES: width height crc(rgb) crc(resized)
followed by the encoded picture, deflated. The sums are of Image.convert("RGB") and of that resized as in golden.bin. What Pillow refuses has
no size.
"""

import io
import struct
import sys
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

EDGE = 32


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def resized(image):
    width, height = image.size
    short = min(width, height)
    size = tuple(EDGE if edge == short else int(EDGE * edge / short) for edge in (width, height))
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - EDGE) // 2, (size[1] - EDGE) // 2
    return image.crop((left, top, left + EDGE, top + EDGE))


def smooth(width=37, height=23):
    """No noise, so that the archive stays small; no two corners are alike."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 6, y * 9, 40 + (x + y) * 3], -1).astype(np.uint8))


def exif(number, order="<"):
    tags = Image.Exif()
    tags.endian = order
    tags[274] = number
    tags[305] = "a text that lies behind the entries"
    return tags


def turned():
    image = smooth()
    for number in range(1, 9):
        for order, name in (("<", "little"), (">", "big")):
            yield f"jpeg-{number}-{name}", saved(image, "JPEG", exif=exif(number, order))
        tags = exif(number)
        yield f"jpeg-progressive-{number}", saved(image, "JPEG", progressive=True, exif=tags)
        yield f"png-{number}", saved(image, "PNG", exif=tags)
        yield f"webp-{number}", saved(image, "WEBP", exif=tags)
        yield f"avif-{number}", saved(image, "AVIF", exif=tags)
        for kind in (None, "tiff_lzw", "jpeg"):
            yield f"tiff-{kind or 'raw'}-{number}", saved(image, "TIFF", compression=kind, tiffinfo={274: number})
    yield "tiff-big-6", saved(image, "TIFF", big_tiff=True, tiffinfo={274: 6})
    for number in (0, 9, 60_000):
        yield f"jpeg-{number}", saved(image, "JPEG", exif=exif(number))
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    for kind in ("JPEG", "WEBP", "TIFF"):
        yield f"{kind.lower()}-xmp", saved(image, kind, xmp=packet)
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
    yield "png-xmp", saved(image, "PNG", pnginfo=text)
    tags = exif(6).tobytes()
    profile = PngInfo()
    profile.add_text("Raw profile type exif", f"\nexif\n{len(tags):8}\n{tags.hex()}\n", zip=True)
    yield "png-profile", saved(image, "PNG", pnginfo=profile)
    plain = saved(image, "PNG")
    yield "png-behind", plain[:-12] + chunk(b"eXIf", tags[6:]) + plain[-12:]
    whole = saved(image, "JPEG", exif=exif(6))
    at = whole.index(b"Exif\0\0") + 6
    for name, offset, value in (("kind", 12, 2), ("tag", 10, 1), ("count", 14, 0), ("directory", 4, 255)):
        yield f"jpeg-damaged-{name}", whole[: at + offset] + bytes([value]) + whole[at + offset + 1 :]


def sources():
    image = smooth(61, 43)
    palette = image.quantize(16)
    yield "jpeg", saved(image, "JPEG")
    yield "jpeg-restarts", saved(image, "JPEG", restart_marker_blocks=2)
    yield "jpeg-progressive", saved(image, "JPEG", progressive=True)
    yield "jpeg-grey", saved(image.convert("L"), "JPEG")
    yield "jpeg-cmyk", saved(image.convert("CMYK"), "JPEG", progressive=True)
    yield "png", saved(image, "PNG")
    yield "png-palette", saved(palette, "PNG")
    yield "gif", saved(palette, "GIF", interlace=0)
    yield "gif-interlaced", saved(palette, "GIF", interlace=1)
    yield "bmp", saved(image, "BMP")
    yield "bmp-palette", saved(image.convert("P"), "BMP")
    yield "tiff-raw", saved(image, "TIFF")
    yield "tiff-white", saved(smooth(200, 100).convert("1"), "TIFF", tiffinfo={262: 0})
    yield "tiff-lzw", saved(image, "TIFF", compression="tiff_lzw")
    yield "webp", saved(image, "WEBP")
    yield "webp-animated", saved(image, "WEBP", save_all=True, append_images=[image.rotate(90)])
    yield "avif", saved(image, "AVIF")


def damaged():
    for name, data in sources():
        head = data.index(b"\xff\xda") if name.startswith("jpeg") else 0
        for part in (2, 5, 8):
            at = head + (len(data) - head) * part // 9
            yield f"{name}-cut-{part}", data[:at]
            yield f"{name}-wrong-{part}", data[:at] + bytes([data[at] ^ 0x54]) + data[at + 1 :]
            if name.startswith("jpeg"):
                yield f"{name}-closed-{part}", data[:at] + b"\xff\xd9"
        yield f"{name}-without-its-end", data[:-3]


def outcome(data, read):
    try:
        image = read(Image.open(io.BytesIO(data))).convert("RGB")
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError):
        return (0, 0), b"", b""
    return image.size, image.tobytes(), resized(image).tobytes()


def main():
    warnings.simplefilter("ignore")
    out = [f"Pillow {PIL.__version__}\n".encode()]
    for name, data in (*turned(), *damaged()):
        image, fields = zlib.compress(data, 9), []
        for read, fills in ((lambda image: image, False), (ImageOps.exif_transpose, False), (lambda image: image, True)):
            ImageFile.LOAD_TRUNCATED_IMAGES = fills
            size, *pixels = outcome(data, read)
            fields += [*size, *map(zlib.crc32, pixels)]
        out.append(f"{name} {len(image)} {' '.join(map(str, fields))}\n".encode())
        out.append(image)
    with open(sys.argv[1], "wb") as file:
        file.write(b"".join(out))


main()
