"""How close one pass comes to the exact selection, on scores that are made up: runs `examples/online.rs`; writes the `online` section.

    python benches/online.py [--dry]
"""

import argparse
import subprocess

import results

COMMAND = ["cargo", "run", "--release", "--quiet", "--example", "online"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="do not touch RESULTS.md")
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--example", "online"], cwd=results.ROOT, check=True)
    stamp = results.stamp()
    table = subprocess.run(COMMAND, cwd=results.ROOT, check=True, capture_output=True, text=True).stdout
    print(table)
    if not options.dry:
        text = (
            f"## Filtering in one pass\n\n{stamp}\n\n`python benches/online.py`: a million scores of each kind, one at a time. Share of the decisions after 20,000 rows that are those of the "
            "exact selection of the whole stream, and of the exact selection of the 10,000 rows around; least and largest kept fraction of any 10,000 consecutive rows. On sorted and constant "
            "scores the budget holds and agreement is that of chance: keep² + (1 − keep)².\n\n"
        )
        results.replace("online", text + table)


if __name__ == "__main__":
    main()
