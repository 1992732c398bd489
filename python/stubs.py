"""Writes the types of options from the definition of the command line: ``python python/stubs.py``."""

from __future__ import annotations

import pathlib
import textwrap

from clip_filter import _native

STUBS = pathlib.Path(__file__).parent / "clip_filter" / "_options.pyi"
# What functions have as arguments of their own.
COMMANDS = {
    "FilterOptions": (None, {"online", "json", "quiet"}),
    "ScoreOptions": ("score", {"scores", "json", "quiet"}),
    "ReportOptions": ("report", {"output", "text", "json", "quiet"}),
    "ExplainOptions": ("explain", {"json", "quiet"}),
    "SqlOptions": ("sql", {"input", "quiet"}),
}


def type_of(takes: str) -> str:
    """The Python type of what an option takes."""
    many = takes.endswith(", or an array of them")
    takes = takes.removesuffix(", or an array of them").split(": ")[-1]
    one = {
        "true or false": "bool",
        "a whole number from 0 on": "int",
        "a string": "_Text",
        "a string or a number": "str | float",
        "true, false or a string": "bool | str",
    }[takes]
    return f"{one} | Sequence[{one}] | Mapping[str, object]" if many else one


def stubs() -> str:
    """The text of the stubs."""
    parts = [
        '''"""Options of commands; `python/stubs.py` writes this file."""

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict

_Text = str | os.PathLike[str]
'''
    ]
    for name, (command, own) in COMMANDS.items():
        lines = [f"class {name}(TypedDict, total=False):", "    config: _Text"]
        for option, takes, help in _native.options(command):
            if option in own:
                continue
            lines.append(f"    {option}: {type_of(takes)} | None")
            said = textwrap.fill(help.replace("\\", "\\\\"), 112, initial_indent="    ", subsequent_indent="    ")
            lines.append(f'    """{said.strip()}"""')
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    STUBS.write_text(stubs())
