"""Exceptions, one class for each exit code of the command line."""

from __future__ import annotations


class Error(Exception):
    """What a command failed with. Its text says what, where, and what to do next.

    Attributes:
        hint: What to do next, where that is known.
        kind: Who has to act: ``usage``, ``input``, ``model``, ``runtime``, ``output``, ``resources``, ``bad_rows`` or
            ``internal``.
        exit_code: What the command line would have ended with.
    """

    exit_code = 1

    def __init__(self, message: str = "", hint: str | None = None, kind: str = "internal") -> None:
        super().__init__(message)
        self.hint = hint
        self.kind = kind

    def __reduce__(self):
        # Errors of workers are pickled on their way to who started them.
        return type(self), (*self.args[:1], self.hint, self.kind)


class FailedError(Error):
    """A command failed: an input, a model, the runtime, an output or a limit (exit code 1)."""


class UsageError(Error, ValueError):
    """A call that makes no sense: an option, an expression, or several together (exit code 2)."""

    exit_code = 2

    def __init__(self, message: str = "", hint: str | None = None, kind: str = "usage") -> None:
        super().__init__(message, hint, kind)


class TooManyBadRowsError(Error):
    """All was done, and more rows are bad than ``max_bad_rows`` allows (exit code 3).

    Attributes:
        summary: What was done.
    """

    exit_code = 3

    def __init__(self, message: str = "", summary=None) -> None:
        super().__init__(message, "raise max_bad_rows; rejects='bad.parquet' lists them", "bad_rows")
        self.summary = summary

    def __reduce__(self):
        return type(self), (*self.args[:1], self.summary)


class Interrupted(KeyboardInterrupt):
    """A command was stopped, with its state saved (exit code 130); the same call goes on from there.

    Ctrl-C in the main thread raises ``KeyboardInterrupt`` itself.
    """

    exit_code = 130

    def __init__(self, message: str = "", hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def of_kind(kind: str, message: str, hint: str | None) -> BaseException:
    """The exception for an error of this kind."""
    if kind == "interrupted":
        return Interrupted(message, hint)
    if kind == "usage":
        return UsageError(message, hint)
    return FailedError(message, hint, kind)
