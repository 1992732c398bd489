"""The command line: ``clip-filter`` and ``python -m clip_filter``."""

import signal
import sys

from . import _native


def main() -> int:
    """Runs the command that was typed; its exit code."""
    # The program listens itself; Python would raise once more when it is over.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.main(["clip-filter", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
