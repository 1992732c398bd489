"""What a run did."""

from __future__ import annotations

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did. ``rows_kept + rows_cut + rows_bad == rows_in``, always.

    Fields are those that the command line prints with ``--json``; fractions lie in [0, 1], times are seconds.
    """

    rows_in: int
    """Rows of all shards that could be read."""
    rows_kept: int
    """Good rows that were selected."""
    rows_cut: int
    """Rows that a condition, a threshold or the budget left out."""
    rows_bad: int
    """Rows that could not be scored."""
    bad: dict[str, int]
    """The bad rows by reason."""
    rows_nan: int
    """Rows of which a column that the condition names is NaN."""
    rows_written: int
    """Rows written: the kept ones, and bad ones under ``on_error="keep"``."""
    rows_scored: int
    """Rows that this run encoded; the others were in the score store, or a condition left them out before."""
    bad_shards: list[dict[str, Any]]
    """Shards that were left out because they cannot be read."""
    images_unturned: int
    """Images decoded as they are stored, though their metadata say that they have to be turned."""
    images_filled: int
    """Images whose file ends early, and whose rest was filled."""
    pairs_per_sec: float
    """Rows encoded per second of the scoring pass."""
    limiting_stage: str
    """The stage that was busiest."""
    stage_busy_secs: dict[str, float]
    """Busy seconds by stage, summed over threads."""
    stage_busy: dict[str, float]
    """Part of the time of scoring and writing that the threads of a stage were busy."""
    stage_wait_secs: dict[str, Any]
    """Waiting seconds by stage, summed over threads."""
    pass_secs: dict[str, float]
    """Wall seconds by pass."""
    peak_rss_bytes: int | None
    """Largest resident set of this process, all that it did before included."""
    seconds: float
    """Wall seconds of the whole run."""
    selection: str
    """What selected the rows, in one line."""
    lowest_kept_score: float | None
    """Lowest ``clip_score`` among the kept rows."""
    ordered_by: str | None
    """The column whose best rows a budget keeps; None without one."""
    lowest_kept_order: float | None
    """Lowest value of that column among the kept rows, where it is another than ``clip_score``."""
    model: dict[str, Any]
    """The model that scored: name, fingerprint, precision, dim, device, ..."""
    outputs: list[str]
    """Files written, none for a dry run."""
    warnings: list[str]
    """What the reader should know, one line each."""
    rows_repeated: int | None = None
    """The sum of ``repeats`` over the kept rows, where rows are to be seen more than once."""
    candidates: int | None = None
    """Of a stream: good rows that fulfilled the condition and the threshold."""
    kept_fraction: float | None = None
    """Of a stream: part of the candidates that was kept."""
    complete: bool | None = None
    """Of a stream: it was read to its end."""

    @classmethod
    def _of_json(cls, text: str) -> Summary:
        return cls(**json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """The same as a ``dict``."""
        return dataclasses.asdict(self)
