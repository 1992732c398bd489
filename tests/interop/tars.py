"""Webdatasets of the package `webdataset`, for clip-filter to read; and those that clip-filter has written, read by it,
by HF datasets and by tarfile.

tars.py write FOLDER            makes FOLDER/{000000..000002}.tar and says how many samples they have
tars.py read FOLDER TARS SCORE  compares the samples below TARS with those of FOLDER; SCORE is a key of their JSON
"""

import glob
import io
import json
import sys
import tarfile

import webdataset as wds
from PIL import Image

SAMPLES = 30


def picture(number, kind):
    image = Image.new("RGB", (40, 30), (number * 7 % 256, number * 31 % 256, 90))
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def write(folder):
    with wds.ShardWriter(f"{folder}/%06d.tar", maxcount=10, verbose=0) as sink:
        for number in range(SAMPLES):
            sink.write(
                {
                    "__key__": f"some/folder/{number:09d}",
                    "jpg": picture(number, "JPEG"),
                    "txt": f"a picture of thing {number}, ü",
                    "json": {"width": 40, "similarity": number / SAMPLES, "tags": ["a", None]},
                    "cls": number % 10,
                    "mask.png": picture(number, "PNG"),
                }
            )
    print(SAMPLES)


def samples(folder):
    tars = sorted(glob.glob(f"{folder}/*.tar"))
    read = wds.WebDataset(tars, shardshuffle=False, empty_check=False)
    return {sample["__key__"]: sample for sample in read}


def read(folder, tars, score):
    before, after = samples(folder), samples(tars)
    assert after, "no sample"
    for key, sample in after.items():
        old = before[key]
        for field in old.keys() - {"__key__", "__url__", "__local_path__", "json"}:
            assert sample[field] == old[field], (key, field)
        own = json.loads(sample["json"])
        assert isinstance(own.pop(score), float), key
        assert own == json.loads(old["json"]), key
    decoded = wds.WebDataset(sorted(glob.glob(f"{tars}/*.tar")), shardshuffle=False)
    for image, caption in decoded.decode("pil").to_tuple("jpg", "txt"):
        assert image.size == (40, 30) and caption.startswith("a picture of thing")
    for path in glob.glob(f"{tars}/*.tar"):
        with tarfile.open(path) as archive:
            assert all(member.isreg() for member in archive)
    from datasets import load_dataset

    read = load_dataset("webdataset", data_files=sorted(glob.glob(f"{tars}/*.tar")), split="train")
    assert len(read) == len(after)
    for row in read:
        assert row["json"][score] == json.loads(after[row["__key__"]]["json"])[score]
        assert row["jpg"].size == (40, 30)
    print(f"read {len(after)} samples")


if sys.argv[1] == "write":
    write(sys.argv[2])
else:
    read(*sys.argv[2:])
