"""Writes src/preprocess/clean/entities.txt: the named characters of HTML 5 as Python has them, `name codepoint...`.

    python tests/golden/entities.py
"""

import html.entities
from pathlib import Path

TABLE = Path(__file__).parents[2] / "src/preprocess/clean/entities.txt"

lines = [f"{name} {' '.join(f'{ord(c):x}' for c in text)}" for name, text in html.entities.html5.items()]
TABLE.write_text("\n".join(sorted(lines, key=lambda line: line.split()[0])) + "\n")
