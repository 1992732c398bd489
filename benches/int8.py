"""What int8 adds to ViT-B/32 and what it costs: `run.py --sections int8`."""

import cases
import contenders
from contenders import median, spread

PRECISIONS = ("vit-b32", "vit-b32-int8")
SIDES = ("image_embedding", "text_embedding")
KEEP = 0.3


def embeddings(case, data, options, environment):
    """Scores and both embeddings of every row, by name."""
    import numpy as np
    import pyarrow.parquet as pq

    report = contenders.run(contenders.ours(case, data, options, "--keep", "1", "--on-error", "keep", "--add", ",".join(SIDES)), environment)
    if isinstance(report, str):
        raise SystemExit(f"clip-filter {report}")
    table = pq.read_table(cases.WORK / "kept.parquet", columns=["clip_score", *SIDES])
    found = {"clip_score": table["clip_score"].to_numpy()}
    for name in SIDES:
        values = table[name].combine_chunks()
        found[name] = values.flatten().to_numpy().reshape(len(values), -1).astype(np.float64)
    return found


def best(scores):
    """The rows that `--keep` takes: the best, equal ones by row order."""
    import numpy as np

    return set(np.argsort(-scores, kind="stable")[: int(KEEP * len(scores) + 0.5)].tolist())


def agreement(full, small):
    """Least and mean cosine of each side, and the share of the kept rows that stay."""
    import numpy as np

    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    facts = {name: (unit(full[name]) * unit(small[name])).sum(1) for name in SIDES}
    kept, still = best(full["clip_score"]), best(small["clip_score"])
    return {name: (float(c.mean()), float(c.min())) for name, c in facts.items()}, len(kept & still) / len(kept), float(np.corrcoef(full["clip_score"], small["clip_score"])[0, 1])


def section(options, environment):
    both = {name: cases.CASES[name] for name in PRECISIONS}
    cases.build_models(both.values())
    count = options.rows or 320
    data = cases.pairs(count, options)
    runners = {name: contenders.Contender(lambda _, *rest, case=case: contenders.ours(case, *rest)) for name, case in both.items()}
    done = {name: [] for name in runners}
    for number in range(options.rounds):
        for name, runner in runners.items():
            report = contenders.run(runner.command(None, data, options), environment)
            if isinstance(report, str):
                raise SystemExit(f"clip-filter, {name} {report}")
            done[name].append(report)
    full, small = (embeddings(case, data, options, environment) for case in both.values())
    cosines, same, correlation = agreement(full, small)
    lines = ["| | pairs/s (median) | range | ÷ fp32 | with start-up | peak RSS |", "|---|---|---|---|---|---|"]
    for name, reports in done.items():
        ratio = f"{median(reports) / median(done['vit-b32']):.2f}" if name != "vit-b32" else ""
        lines.append(f"| {both[name].name} | {median(reports):.1f} | {spread(reports)} | {ratio} | {median(reports, 'seconds'):.1f} s | {median(reports, 'peak_rss_bytes') / 2**20:.0f} MiB |")
    lines += ["", "| int8 beside fp32 | mean cosine | least cosine |", "|---|---|---|"]
    lines += [f"| {name} | {mean:.4f} | {least:.4f} |" for name, (mean, least) in cosines.items()]
    lines.append(f"\nOf the rows that fp32 keeps at `--keep {KEEP}`, int8 keeps {100 * same:.1f} % (by chance {100 * KEEP:.0f} %); correlation of the scores {correlation:.3f}.")
    lines.append("\nThe weights are seeded at random, so scores lie close together and their order is more easily disturbed than a trained model's; the speed is that of the real size.")
    return f"## int8\n\n{{stamp}}\n\n{{command}}; ViT-B/32, {count} pairs, both precisions in turn.\n\n" + "\n".join(lines)
