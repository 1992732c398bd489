"""What README.md says runs as it stands."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from conftest import ROOT


def test_the_lines_of_the_readme_run(tmp_path):
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    first, *batches = run.stdout.splitlines()
    assert first.startswith("70 {") and "null_image" in first
    assert batches and all("clip_score" in line for line in batches)
    assert (tmp_path / "kept.parquet").exists()
