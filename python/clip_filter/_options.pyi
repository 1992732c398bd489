"""Options of commands; `python/stubs.py` writes this file."""

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict

_Text = str | os.PathLike[str]

class FilterOptions(TypedDict, total=False):
    config: _Text
    files: _Text | Sequence[_Text] | Mapping[str, object] | None
    """Read the files of this list too, JSON lines or Parquet: path, partition (columns of one value in the file)
    and left_out (positions of deleted rows). files:LIST as an input says the same, in other commands too"""
    on_bad_shard: str | float | None
    """What becomes of a shard that cannot be read: cut off, of no bytes, or damaged"""
    no_hive: bool | None
    """Read shards without the values in the names of their folders; if not given, label=3/ is a column 'label'"""
    no_table: bool | None
    """Read the files of a Delta, Iceberg or Hudi table as they lie, with rows that it has deleted; if not given, a
    Delta table is read as a table, and folders of the others are refused"""
    table_version: str | float | None
    """Read this version of a Delta table, the newest if not given; --version N does, too"""
    timestamp: str | float | None
    """Read a Delta table as it was at this time, as in 2026-01-31 or 2026-01-31T12:00:00Z; of UTC where no zone is
    given"""
    uids: _Text | None
    """Read only rows whose uid is in this list, a NumPy file of u8,u8 as DataComp has it; the others are not
    counted"""
    keep: str | float | None
    """Keep this fraction of the good rows left, the best first (--select), exactly (rounded half up; equal scores
    by row order). 0.3 if no selection is given"""
    keep_rows: str | float | None
    """Keep at most this many rows, the best first"""
    min_score: str | float | None
    """Keep rows with at least this clip_score"""
    where: _Text | None
    """Keep rows that fulfil this SQL condition on input columns, clip_score, status, width, height and scores from
    embeddings. Conditions on input columns alone are decided before any image is decoded. Column names are
    case-sensitive"""
    select: str | float | None
    """Which rows are the best of a budget; s-cliploss for captions, and align-diverse where labels, --solver cover
    or --solver paper are given"""
    solver: str | float | None
    """How a budget (--keep, --keep-rows) is filled; exact if not given"""
    balance: str | float | None
    """Give every value of a column, or every `cell`, the same share of the budget; what one has too few rows for
    goes to the others. min and max bound each share, in rows (100) or, with a point, as part of the budget
    (0.2)"""
    weights: str | float | None
    """Weigh rows instead of cutting: a row of score s is seen ln(1 + alpha tau e^(scale s)) / alpha times, and tau
    makes the sum what --keep-rows (or --keep) says, which may be more than there are rows. The column repeats
    says how often; rows of 0 are cut. alpha is 0.15 and scale 100 if not given, cap bounds repeats"""
    dedup: str | float | None
    """Before the budget, take near-duplicates away: of images in a cell whose cosine is above 1 - DISTANCE, such
    as 0.05, only the best row stays"""
    changes: _Text | None
    """Write the rows that entered and left since the last selection from the score store to this Parquet file"""
    adapt: bool | str | None
    """Fit adapters to the pairs before their embeddings are compared: linear corrections that bring the images of
    this dataset nearer to their captions or classes. They are not used unless they help on pairs held out.
    closed if no way is named"""
    adapters: _Text | None
    """Use the adapters in this file, of `clip-filter adapt`"""
    cells: str | float | None
    """Clusters of similar images, where pairs have no class: neighbours and near-duplicates are sought within one.
    One per 1,000 rows if not given"""
    neighbours: str | float | None
    """Nearest images that sds is the mean of; a tenth of the cell, but 50 to 100, if not given"""
    target: _Text | None
    """Images to resemble, for normsim_inf, normsim_2 and vas: Parquet with a column image_embedding, as written by
    --add image_embedding"""
    diversity_weight: str | float | None
    """Weight of diversity (sds) beside alignment (sas)"""
    seed: str | float | None
    """Seed of everything random: order of training, clusters, batches"""
    image_column: _Text | None
    """The image column; else one of image, image_bytes, jpg, jpeg, png, webp"""
    text_column: _Text | None
    """The caption column; else one of text, caption, TEXT, txt"""
    add: str | float | Sequence[str | float] | Mapping[str, object] | None
    """Columns to add after clip_score: image_embedding, text_embedding, status, width, height; and scores from
    embeddings (--help says what each is): cell, sas, sas_margin, sds, s_cliploss, dup_max_sim, proto_dist,
    moderate, normsim_inf, normsim_2, vas, selection_score"""
    prefix: _Text | None
    """Put this before the name of every added column"""
    label_column: _Text | None
    """The pairs are labelled: this column holds their class, a name or a number. Without a caption column the
    prompt of the class is the caption"""
    class_names: _Text | None
    """Names of the classes, one per line, that of label 0 first; else those of Hugging Face metadata"""
    prompt: _Text | Sequence[_Text] | Mapping[str, object] | None
    """What is said of a class, {} stands for its name; given several times, their embeddings are averaged. 'a
    photo of a {}' if not given"""
    model: _Text | None
    """bundled, a directory with ONNX files, or hf:org/name[@revision]; else the one that the score store was made
    with, or bundled"""
    text_model: _Text | None
    """Where the text tower is, if --model has the image tower alone: a directory or hf:org/name[@revision]"""
    precision: _Text | None
    """Variant of the weights: fp32, fp16, quantized, ...; auto takes fp32 if it is there, on a GPU that --device
    names fp16, and int8 variants only where there is no other"""
    device: str | float | None
    """auto, cpu, cuda[:N] or tensorrt[:N]; cuda:0,1 spreads over two GPUs"""
    batch_size: str | float | None
    """Pairs per model call; if not given, 8 on a CPU and the fastest on a GPU, halved where memory is too small"""
    fast_decode: bool | None
    """Decode JPEGs at a half, a quarter or an eighth of their size where they stay four times as large as the
    model's input: faster, but vectors differ (of the bundled model by a cosine of 0.998 in the mean, 0.996 at
    worst)"""
    reproducible: bool | None
    """Give each row the same vector whatever rows are beside it, even where that costs speed"""
    onnxruntime: _Text | None
    """The ONNX Runtime library to load, or its directory"""
    offline: bool | None
    """Fetch nothing: use only what is on this machine"""
    scores: _Text | None
    """Keep scores in this directory, and use those that are there; else they go with the run, once it has
    succeeded"""
    only_new: bool | None
    """Score again shards that have changed since they were scored, rather than refuse them; clusters of the
    earlier run, and adapters of --adapt=infonce, are used again. Of a Delta table, score opens only files that
    came since the version it scored last"""
    embeddings: str | float | None
    """How a new store keeps embeddings: f16, f32 or none; f16 if not given"""
    on_error: str | float | None
    """What becomes of rows that cannot be scored"""
    max_bad_rows: str | float | None
    """Exit with 3 if there are more bad rows than this"""
    rejects: _Text | None
    """Write bad rows to this Parquet file: key, shard, row, status, reason"""
    max_pixels: str | float | None
    """Images that declare more pixels are bad rows [default: 178956970]"""
    orientation: str | float | None
    """What becomes of images whose metadata (Exif, XMP, an AVIF's own turns) say that they have to be turned to be
    upright. TIFF is turned either way, as Pillow does. Part of what a score store was made with [default:
    ignore]"""
    truncated: str | float | None
    """What becomes of images whose file ends early. Part of what a score store was made with [default: drop]"""
    allow_external_paths: bool | None
    """Read image paths that are absolute or lead out of the shard's directory (URLs are never fetched)"""
    threads: str | float | None
    """Threads; all cores if not given"""
    memory_limit: str | float | None
    """Memory to use, as in 4GiB; a quarter of the machine if not given, but at least 1 GiB"""
    mode: str | float | None
    """What becomes of the rows that the table has; if not given, there is no table yet"""
    replace_where: _Text | Sequence[_Text] | Mapping[str, object] | None
    """The partition whose rows --mode replace-where replaces, as in label=3; several columns between commas"""
    cut_nanoseconds: bool | None
    """Cut times in nanoseconds to microseconds, which Delta has; if not given, such a column is refused"""
    part: _Text | None
    """Write one of N parts of the output, I from 0 to N - 1: a file of each shard of the part. All of it becomes
    visible with clip-filter merge --output OUT. Rows are selected over all shards, from scores that are in
    --scores already. auto and auto/N as for clip-filter score"""
    dry_run: bool | None
    """Decide and report, write nothing"""
    overwrite: bool | None
    """Replace an output, or a trace, that exists"""
    partition_by: _Text | Sequence[_Text] | Mapping[str, object] | None
    """Cut a directory by the values of these columns: label=3/part-00000.parquet; the files in it do not have them"""
    partition_in_files: bool | None
    """Write the columns of --partition-by into the files, too: tables that files are added to want them there, as
    those of Iceberg do"""
    format: str | float | None
    """What the output is made of; if not given, tars if its name ends in .tar, else Parquet"""
    shard_rows: str | float | None
    """Samples of each tar of a webdataset: 10000 if not given"""
    shuffle: str | float | None
    """Write the samples of a webdataset in an order drawn from this seed, across shards, through a buffer of a
    quarter of the memory limit and at most 100 MB; if not given, in row order"""
    uids_out: _Text | None
    """Write the uids of the rows kept to this file too, as DataComp has them: a NumPy file of u8,u8, ascending"""
    report: _Text | None
    """Write what was kept and cut, and why, to this HTML file: one page that needs no network. A run that keeps no
    scores computes sas, sds and dup_max_sim for it"""
    trace: _Text | None
    """Write what every thread did and waited for to this file, which ui.perfetto.dev and chrome://tracing show. It
    is written too when the run fails or is interrupted"""
    verbose: int | None
    """Say more: how long threads waited and passes took; twice for the plan of the query"""

class ScoreOptions(TypedDict, total=False):
    config: _Text
    files: _Text | Sequence[_Text] | Mapping[str, object] | None
    """Read the files of this list too, JSON lines or Parquet: path, partition (columns of one value in the file)
    and left_out (positions of deleted rows). files:LIST as an input says the same, in other commands too"""
    on_bad_shard: str | float | None
    """What becomes of a shard that cannot be read: cut off, of no bytes, or damaged"""
    no_hive: bool | None
    """Read shards without the values in the names of their folders; if not given, label=3/ is a column 'label'"""
    no_table: bool | None
    """Read the files of a Delta, Iceberg or Hudi table as they lie, with rows that it has deleted; if not given, a
    Delta table is read as a table, and folders of the others are refused"""
    table_version: str | float | None
    """Read this version of a Delta table, the newest if not given; --version N does, too"""
    timestamp: str | float | None
    """Read a Delta table as it was at this time, as in 2026-01-31 or 2026-01-31T12:00:00Z; of UTC where no zone is
    given"""
    uids: _Text | None
    """Read only rows whose uid is in this list, a NumPy file of u8,u8 as DataComp has it; the others are not
    counted"""
    only_new: bool | None
    """Score again shards that have changed since they were scored, rather than refuse them; clusters of the
    earlier run, and adapters of --adapt=infonce, are used again. Of a Delta table, score opens only files that
    came since the version it scored last"""
    embeddings: str | float | None
    """How a new store keeps embeddings: f16, f32 or none; f16 if not given"""
    part: _Text | None
    """Score one of N shares of the shards, I from 0 to N - 1, by a hash of their paths: one worker each, then
    clip-filter merge. auto takes I and N from SLURM_PROCID and SLURM_NTASKS or RANK and WORLD_SIZE, auto/N
    takes I from JOB_COMPLETION_INDEX too"""
    image_column: _Text | None
    """The image column; else one of image, image_bytes, jpg, jpeg, png, webp"""
    text_column: _Text | None
    """The caption column; else one of text, caption, TEXT, txt"""
    label_column: _Text | None
    """The pairs are labelled: this column holds their class, a name or a number. Without a caption column the
    prompt of the class is the caption"""
    class_names: _Text | None
    """Names of the classes, one per line, that of label 0 first; else those of Hugging Face metadata"""
    prompt: _Text | Sequence[_Text] | Mapping[str, object] | None
    """What is said of a class, {} stands for its name; given several times, their embeddings are averaged. 'a
    photo of a {}' if not given"""
    add: str | float | Sequence[str | float] | Mapping[str, object] | None
    """Scores from embeddings to compute and keep (--help says what each is): cell, sas, sas_margin, sds,
    s_cliploss, dup_max_sim, proto_dist, moderate, normsim_inf, normsim_2, vas, selection_score"""
    adapt: bool | str | None
    """Fit adapters to the pairs before their embeddings are compared: linear corrections that bring the images of
    this dataset nearer to their captions or classes. They are not used unless they help on pairs held out.
    closed if no way is named"""
    adapters: _Text | None
    """Use the adapters in this file, of `clip-filter adapt`"""
    cells: str | float | None
    """Clusters of similar images, where pairs have no class: neighbours and near-duplicates are sought within one.
    One per 1,000 rows if not given"""
    neighbours: str | float | None
    """Nearest images that sds is the mean of; a tenth of the cell, but 50 to 100, if not given"""
    target: _Text | None
    """Images to resemble, for normsim_inf, normsim_2 and vas: Parquet with a column image_embedding, as written by
    --add image_embedding"""
    diversity_weight: str | float | None
    """Weight of diversity (sds) beside alignment (sas)"""
    seed: str | float | None
    """Seed of everything random: order of training, clusters, batches"""
    model: _Text | None
    """bundled, a directory with ONNX files, or hf:org/name[@revision]; else the one that the score store was made
    with, or bundled"""
    text_model: _Text | None
    """Where the text tower is, if --model has the image tower alone: a directory or hf:org/name[@revision]"""
    precision: _Text | None
    """Variant of the weights: fp32, fp16, quantized, ...; auto takes fp32 if it is there, on a GPU that --device
    names fp16, and int8 variants only where there is no other"""
    device: str | float | None
    """auto, cpu, cuda[:N] or tensorrt[:N]; cuda:0,1 spreads over two GPUs"""
    batch_size: str | float | None
    """Pairs per model call; if not given, 8 on a CPU and the fastest on a GPU, halved where memory is too small"""
    fast_decode: bool | None
    """Decode JPEGs at a half, a quarter or an eighth of their size where they stay four times as large as the
    model's input: faster, but vectors differ (of the bundled model by a cosine of 0.998 in the mean, 0.996 at
    worst)"""
    reproducible: bool | None
    """Give each row the same vector whatever rows are beside it, even where that costs speed"""
    onnxruntime: _Text | None
    """The ONNX Runtime library to load, or its directory"""
    offline: bool | None
    """Fetch nothing: use only what is on this machine"""
    max_pixels: str | float | None
    """Images that declare more pixels are bad rows [default: 178956970]"""
    orientation: str | float | None
    """What becomes of images whose metadata (Exif, XMP, an AVIF's own turns) say that they have to be turned to be
    upright. TIFF is turned either way, as Pillow does. Part of what a score store was made with [default:
    ignore]"""
    truncated: str | float | None
    """What becomes of images whose file ends early. Part of what a score store was made with [default: drop]"""
    allow_external_paths: bool | None
    """Read image paths that are absolute or lead out of the shard's directory (URLs are never fetched)"""
    max_bad_rows: str | float | None
    """Exit with 3 if there are more bad rows than this"""
    threads: str | float | None
    """Threads; all cores if not given"""
    memory_limit: str | float | None
    """Memory to use, as in 4GiB; a quarter of the machine if not given, but at least 1 GiB"""
    trace: _Text | None
    """Write what every thread did and waited for to this file, which ui.perfetto.dev and chrome://tracing show. It
    is written too when the run fails or is interrupted"""
    overwrite: bool | None
    """Replace a trace that exists"""
    verbose: int | None
    """Say more: how long threads waited and passes took; twice for the plan of the query"""

class ReportOptions(TypedDict, total=False):
    config: _Text
    overwrite: bool | None
    """Replace a page that exists"""
    where: _Text | None
    """Keep rows that fulfil this SQL condition on input columns, clip_score, status, width, height and scores from
    embeddings. Conditions on input columns alone are decided before any image is decoded. Column names are
    case-sensitive"""
    on_bad_shard: str | float | None
    """What becomes of a shard that cannot be read: cut off, of no bytes, or damaged"""
    no_hive: bool | None
    """Read shards without the values in the names of their folders; if not given, label=3/ is a column 'label'"""
    no_table: bool | None
    """Read the files of a Delta, Iceberg or Hudi table as they lie, with rows that it has deleted; if not given, a
    Delta table is read as a table, and folders of the others are refused"""
    table_version: str | float | None
    """Read this version of a Delta table, the newest if not given; --version N does, too"""
    timestamp: str | float | None
    """Read a Delta table as it was at this time, as in 2026-01-31 or 2026-01-31T12:00:00Z; of UTC where no zone is
    given"""
    uids: _Text | None
    """Read only rows whose uid is in this list, a NumPy file of u8,u8 as DataComp has it; the others are not
    counted"""
    keep: str | float | None
    """Keep this fraction of the good rows left, the best first (--select), exactly (rounded half up; equal scores
    by row order). 0.3 if no selection is given"""
    keep_rows: str | float | None
    """Keep at most this many rows, the best first"""
    min_score: str | float | None
    """Keep rows with at least this clip_score"""
    select: str | float | None
    """Which rows are the best of a budget; s-cliploss for captions, and align-diverse where labels, --solver cover
    or --solver paper are given"""
    solver: str | float | None
    """How a budget (--keep, --keep-rows) is filled; exact if not given"""
    balance: str | float | None
    """Give every value of a column, or every `cell`, the same share of the budget; what one has too few rows for
    goes to the others. min and max bound each share, in rows (100) or, with a point, as part of the budget
    (0.2)"""
    weights: str | float | None
    """Weigh rows instead of cutting: a row of score s is seen ln(1 + alpha tau e^(scale s)) / alpha times, and tau
    makes the sum what --keep-rows (or --keep) says, which may be more than there are rows. The column repeats
    says how often; rows of 0 are cut. alpha is 0.15 and scale 100 if not given, cap bounds repeats"""
    dedup: str | float | None
    """Before the budget, take near-duplicates away: of images in a cell whose cosine is above 1 - DISTANCE, such
    as 0.05, only the best row stays"""
    adapt: bool | str | None
    """Fit adapters to the pairs before their embeddings are compared: linear corrections that bring the images of
    this dataset nearer to their captions or classes. They are not used unless they help on pairs held out.
    closed if no way is named"""
    adapters: _Text | None
    """Use the adapters in this file, of `clip-filter adapt`"""
    cells: str | float | None
    """Clusters of similar images, where pairs have no class: neighbours and near-duplicates are sought within one.
    One per 1,000 rows if not given"""
    neighbours: str | float | None
    """Nearest images that sds is the mean of; a tenth of the cell, but 50 to 100, if not given"""
    target: _Text | None
    """Images to resemble, for normsim_inf, normsim_2 and vas: Parquet with a column image_embedding, as written by
    --add image_embedding"""
    diversity_weight: str | float | None
    """Weight of diversity (sds) beside alignment (sas)"""
    seed: str | float | None
    """Seed of everything random: order of training, clusters, batches"""
    image_column: _Text | None
    """The image column; else one of image, image_bytes, jpg, jpeg, png, webp"""
    text_column: _Text | None
    """The caption column; else one of text, caption, TEXT, txt"""
    label_column: _Text | None
    """The pairs are labelled: this column holds their class, a name or a number. Without a caption column the
    prompt of the class is the caption"""
    class_names: _Text | None
    """Names of the classes, one per line, that of label 0 first; else those of Hugging Face metadata"""
    prompt: _Text | Sequence[_Text] | Mapping[str, object] | None
    """What is said of a class, {} stands for its name; given several times, their embeddings are averaged. 'a
    photo of a {}' if not given"""
    model: _Text | None
    """bundled, a directory with ONNX files, or hf:org/name[@revision]; else the one that the score store was made
    with, or bundled"""
    text_model: _Text | None
    """Where the text tower is, if --model has the image tower alone: a directory or hf:org/name[@revision]"""
    precision: _Text | None
    """Variant of the weights: fp32, fp16, quantized, ...; auto takes fp32 if it is there, on a GPU that --device
    names fp16, and int8 variants only where there is no other"""
    device: str | float | None
    """auto, cpu, cuda[:N] or tensorrt[:N]; cuda:0,1 spreads over two GPUs"""
    batch_size: str | float | None
    """Pairs per model call; if not given, 8 on a CPU and the fastest on a GPU, halved where memory is too small"""
    fast_decode: bool | None
    """Decode JPEGs at a half, a quarter or an eighth of their size where they stay four times as large as the
    model's input: faster, but vectors differ (of the bundled model by a cosine of 0.998 in the mean, 0.996 at
    worst)"""
    reproducible: bool | None
    """Give each row the same vector whatever rows are beside it, even where that costs speed"""
    onnxruntime: _Text | None
    """The ONNX Runtime library to load, or its directory"""
    offline: bool | None
    """Fetch nothing: use only what is on this machine"""
    scores: _Text | None
    """The score store of the shards"""
    only_new: bool | None
    """Score again shards that have changed since they were scored, rather than refuse them; clusters of the
    earlier run, and adapters of --adapt=infonce, are used again. Of a Delta table, score opens only files that
    came since the version it scored last"""
    embeddings: str | float | None
    """How a new store keeps embeddings: f16, f32 or none; f16 if not given"""
    max_pixels: str | float | None
    """Images that declare more pixels are bad rows [default: 178956970]"""
    orientation: str | float | None
    """What becomes of images whose metadata (Exif, XMP, an AVIF's own turns) say that they have to be turned to be
    upright. TIFF is turned either way, as Pillow does. Part of what a score store was made with [default:
    ignore]"""
    truncated: str | float | None
    """What becomes of images whose file ends early. Part of what a score store was made with [default: drop]"""
    allow_external_paths: bool | None
    """Read image paths that are absolute or lead out of the shard's directory (URLs are never fetched)"""
    threads: str | float | None
    """Threads; all cores if not given"""
    memory_limit: str | float | None
    """Memory to use, as in 4GiB; a quarter of the machine if not given, but at least 1 GiB"""
    verbose: int | None
    """Say more: how long threads waited and passes took; twice for the plan of the query"""

class ExplainOptions(TypedDict, total=False):
    config: _Text
    where: _Text | None
    """The row is the only one that fulfils this SQL condition, on input columns, clip_score, status, width, height"""
    condition: _Text | None
    """The --where of the selection"""
    on_bad_shard: str | float | None
    """What becomes of a shard that cannot be read: cut off, of no bytes, or damaged"""
    no_hive: bool | None
    """Read shards without the values in the names of their folders; if not given, label=3/ is a column 'label'"""
    no_table: bool | None
    """Read the files of a Delta, Iceberg or Hudi table as they lie, with rows that it has deleted; if not given, a
    Delta table is read as a table, and folders of the others are refused"""
    table_version: str | float | None
    """Read this version of a Delta table, the newest if not given; --version N does, too"""
    timestamp: str | float | None
    """Read a Delta table as it was at this time, as in 2026-01-31 or 2026-01-31T12:00:00Z; of UTC where no zone is
    given"""
    uids: _Text | None
    """Read only rows whose uid is in this list, a NumPy file of u8,u8 as DataComp has it; the others are not
    counted"""
    keep: str | float | None
    """Keep this fraction of the good rows left, the best first (--select), exactly (rounded half up; equal scores
    by row order). 0.3 if no selection is given"""
    keep_rows: str | float | None
    """Keep at most this many rows, the best first"""
    min_score: str | float | None
    """Keep rows with at least this clip_score"""
    select: str | float | None
    """Which rows are the best of a budget; s-cliploss for captions, and align-diverse where labels, --solver cover
    or --solver paper are given"""
    solver: str | float | None
    """How a budget (--keep, --keep-rows) is filled; exact if not given"""
    balance: str | float | None
    """Give every value of a column, or every `cell`, the same share of the budget; what one has too few rows for
    goes to the others. min and max bound each share, in rows (100) or, with a point, as part of the budget
    (0.2)"""
    weights: str | float | None
    """Weigh rows instead of cutting: a row of score s is seen ln(1 + alpha tau e^(scale s)) / alpha times, and tau
    makes the sum what --keep-rows (or --keep) says, which may be more than there are rows. The column repeats
    says how often; rows of 0 are cut. alpha is 0.15 and scale 100 if not given, cap bounds repeats"""
    dedup: str | float | None
    """Before the budget, take near-duplicates away: of images in a cell whose cosine is above 1 - DISTANCE, such
    as 0.05, only the best row stays"""
    adapt: bool | str | None
    """Fit adapters to the pairs before their embeddings are compared: linear corrections that bring the images of
    this dataset nearer to their captions or classes. They are not used unless they help on pairs held out.
    closed if no way is named"""
    adapters: _Text | None
    """Use the adapters in this file, of `clip-filter adapt`"""
    cells: str | float | None
    """Clusters of similar images, where pairs have no class: neighbours and near-duplicates are sought within one.
    One per 1,000 rows if not given"""
    neighbours: str | float | None
    """Nearest images that sds is the mean of; a tenth of the cell, but 50 to 100, if not given"""
    target: _Text | None
    """Images to resemble, for normsim_inf, normsim_2 and vas: Parquet with a column image_embedding, as written by
    --add image_embedding"""
    diversity_weight: str | float | None
    """Weight of diversity (sds) beside alignment (sas)"""
    seed: str | float | None
    """Seed of everything random: order of training, clusters, batches"""
    image_column: _Text | None
    """The image column; else one of image, image_bytes, jpg, jpeg, png, webp"""
    text_column: _Text | None
    """The caption column; else one of text, caption, TEXT, txt"""
    label_column: _Text | None
    """The pairs are labelled: this column holds their class, a name or a number. Without a caption column the
    prompt of the class is the caption"""
    class_names: _Text | None
    """Names of the classes, one per line, that of label 0 first; else those of Hugging Face metadata"""
    prompt: _Text | Sequence[_Text] | Mapping[str, object] | None
    """What is said of a class, {} stands for its name; given several times, their embeddings are averaged. 'a
    photo of a {}' if not given"""
    model: _Text | None
    """bundled, a directory with ONNX files, or hf:org/name[@revision]; else the one that the score store was made
    with, or bundled"""
    text_model: _Text | None
    """Where the text tower is, if --model has the image tower alone: a directory or hf:org/name[@revision]"""
    precision: _Text | None
    """Variant of the weights: fp32, fp16, quantized, ...; auto takes fp32 if it is there, on a GPU that --device
    names fp16, and int8 variants only where there is no other"""
    device: str | float | None
    """auto, cpu, cuda[:N] or tensorrt[:N]; cuda:0,1 spreads over two GPUs"""
    batch_size: str | float | None
    """Pairs per model call; if not given, 8 on a CPU and the fastest on a GPU, halved where memory is too small"""
    fast_decode: bool | None
    """Decode JPEGs at a half, a quarter or an eighth of their size where they stay four times as large as the
    model's input: faster, but vectors differ (of the bundled model by a cosine of 0.998 in the mean, 0.996 at
    worst)"""
    reproducible: bool | None
    """Give each row the same vector whatever rows are beside it, even where that costs speed"""
    onnxruntime: _Text | None
    """The ONNX Runtime library to load, or its directory"""
    offline: bool | None
    """Fetch nothing: use only what is on this machine"""
    scores: _Text | None
    """The score store of the shards"""
    only_new: bool | None
    """Score again shards that have changed since they were scored, rather than refuse them; clusters of the
    earlier run, and adapters of --adapt=infonce, are used again. Of a Delta table, score opens only files that
    came since the version it scored last"""
    embeddings: str | float | None
    """How a new store keeps embeddings: f16, f32 or none; f16 if not given"""
    max_pixels: str | float | None
    """Images that declare more pixels are bad rows [default: 178956970]"""
    orientation: str | float | None
    """What becomes of images whose metadata (Exif, XMP, an AVIF's own turns) say that they have to be turned to be
    upright. TIFF is turned either way, as Pillow does. Part of what a score store was made with [default:
    ignore]"""
    truncated: str | float | None
    """What becomes of images whose file ends early. Part of what a score store was made with [default: drop]"""
    allow_external_paths: bool | None
    """Read image paths that are absolute or lead out of the shard's directory (URLs are never fetched)"""
    threads: str | float | None
    """Threads; all cores if not given"""
    memory_limit: str | float | None
    """Memory to use, as in 4GiB; a quarter of the machine if not given, but at least 1 GiB"""
    verbose: int | None
    """Say more: how long threads waited and passes took; twice for the plan of the query"""

class SqlOptions(TypedDict, total=False):
    config: _Text
    scores: _Text | None
    """A directory of scores that an earlier run stored"""
    recipe: _Text | None
    """Run a query that comes with the program; list shows their names"""
    param: str | float | Sequence[str | float] | Mapping[str, object] | None
    """A value for the recipe"""
    on_bad_shard: str | float | None
    """What becomes of a shard that cannot be read: cut off, of no bytes, or damaged"""
    no_hive: bool | None
    """Read shards without the values in the names of their folders; if not given, label=3/ is a column 'label'"""
    no_table: bool | None
    """Read the files of a Delta, Iceberg or Hudi table as they lie, with rows that it has deleted; if not given, a
    Delta table is read as a table, and folders of the others are refused"""
    table_version: str | float | None
    """Read this version of a Delta table, the newest if not given; --version N does, too"""
    timestamp: str | float | None
    """Read a Delta table as it was at this time, as in 2026-01-31 or 2026-01-31T12:00:00Z; of UTC where no zone is
    given"""
    output: _Text | None
    """Write the result to this file, or to this directory as part-*.parquet"""
    overwrite: bool | None
    """Replace an output, or a trace, that exists"""
    format: str | float | None
    """Format of the result; else table, and for an output what its name ends in, or parquet"""
    image_column: _Text | None
    """The image column; else one of image, image_bytes, jpg, jpeg, png, webp"""
    text_column: _Text | None
    """The caption column; else one of text, caption, TEXT, txt"""
    model: _Text | None
    """bundled, a directory with ONNX files, or hf:org/name[@revision]; else the one that the score store was made
    with, or bundled"""
    text_model: _Text | None
    """Where the text tower is, if --model has the image tower alone: a directory or hf:org/name[@revision]"""
    precision: _Text | None
    """Variant of the weights: fp32, fp16, quantized, ...; auto takes fp32 if it is there, on a GPU that --device
    names fp16, and int8 variants only where there is no other"""
    device: str | float | None
    """auto, cpu, cuda[:N] or tensorrt[:N]; cuda:0,1 spreads over two GPUs"""
    batch_size: str | float | None
    """Pairs per model call; if not given, 8 on a CPU and the fastest on a GPU, halved where memory is too small"""
    fast_decode: bool | None
    """Decode JPEGs at a half, a quarter or an eighth of their size where they stay four times as large as the
    model's input: faster, but vectors differ (of the bundled model by a cosine of 0.998 in the mean, 0.996 at
    worst)"""
    reproducible: bool | None
    """Give each row the same vector whatever rows are beside it, even where that costs speed"""
    onnxruntime: _Text | None
    """The ONNX Runtime library to load, or its directory"""
    offline: bool | None
    """Fetch nothing: use only what is on this machine"""
    max_pixels: str | float | None
    """Images that declare more pixels are bad rows [default: 178956970]"""
    orientation: str | float | None
    """What becomes of images whose metadata (Exif, XMP, an AVIF's own turns) say that they have to be turned to be
    upright. TIFF is turned either way, as Pillow does. Part of what a score store was made with [default:
    ignore]"""
    truncated: str | float | None
    """What becomes of images whose file ends early. Part of what a score store was made with [default: drop]"""
    allow_external_paths: bool | None
    """Read image paths that are absolute or lead out of the shard's directory (URLs are never fetched)"""
    threads: str | float | None
    """Threads; all cores if not given"""
    memory_limit: str | float | None
    """Memory to use, as in 4GiB; a quarter of the machine if not given, but at least 1 GiB"""
    trace: _Text | None
    """Write what every thread did and waited for to this file, which ui.perfetto.dev and chrome://tracing show. It
    is written too when the run fails or is interrupted"""
    verbose: int | None
    """Say more: how long threads waited and passes took; twice for the plan of the query"""
