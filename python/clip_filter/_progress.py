"""What is heard of a command while it runs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

logger = logging.getLogger("clip_filter")


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a command is. Counts are of rows and grow while it runs."""

    total: int
    """Rows of all shards, 0 before they are known."""
    scored: int
    """Rows that have been scored."""
    skipped: int
    """Rows that were scored before, or that a condition left out before any image was decoded."""
    bad: int
    """Bad ones among the scored."""
    written: int
    """Rows written."""
    step: str
    """What is done where no pairs are counted, else empty."""

    @property
    def done(self) -> int:
        """Rows that are decided."""
        return self.scored + self.skipped


class _Bar:
    """A bar of tqdm, which fits notebooks and terminals."""

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError("progress=True needs tqdm: pip install tqdm, or give a function") from error
        self._bar = tqdm(total=None, unit=" pairs")

    def __call__(self, progress: Progress) -> None:
        bar = self._bar
        if progress.total and bar.total != progress.total:
            bar.reset(total=progress.total)
        bar.n = progress.done
        said = f"writing: {progress.written}" if progress.written else progress.step
        bar.set_postfix_str(f"{progress.bad} bad" + (f", {said}" if said else ""), refresh=False)
        bar.refresh()

    def close(self) -> None:
        self._bar.close()


class Hearing:
    """Gives lines to ``logging`` and counts to who asked for them."""

    def __init__(self, progress: bool | Callable[[Progress], object] | None) -> None:
        self._bar = _Bar() if progress is True else None
        self._tell = self._bar or (progress if callable(progress) else None)

    def __call__(self, lines: list[str], counts: tuple) -> None:
        for line in lines:
            logger.info("%s", line)
        if self._tell is not None:
            self._tell(Progress(*counts))

    def __enter__(self) -> Hearing:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
