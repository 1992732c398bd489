"""What open_clip does to captions, by its own code.

Its file is read alone: it needs torch for tensors only.
"""

import importlib.util
import sys
import types
from pathlib import Path


def open_clip_cleaning():
    """`get_clean_fn` of open_clip/tokenizer.py."""
    if importlib.util.find_spec("torch") is None:
        sys.modules["torch"] = types.SimpleNamespace(LongTensor=None, Tensor=None)
    folder = Path(importlib.util.find_spec("open_clip").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", folder / "tokenizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_clean_fn
