"""The planner against the simulator: ``python -m bench.planner_picture`` draws docs/img/planner-rounds.svg.

Prints the figures for docs/cost-model.md, too.
"""

import json
import statistics
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from bench.rounds import RESULT
from paytrain.exchange.simulator.profile import built_in
from paytrain.planner import round_cost
from paytrain.planner.exchange import Exchange
from paytrain.planner.round_time import RoundTimes

plt.switch_backend("svg")

PICTURE = Path(__file__).parents[1] / "docs/img/planner-rounds.svg"
_COLOURS = {"s3": "#0072b2", "dynamodb": "#d55e00", "memcached": "#009e73"}
_LABELS = {"s3": "S3", "dynamodb": "DynamoDB", "memcached": "Memcached"}


def errors() -> list[dict[str, Any]]:
    """Of every case: what is expected by what was simulated, of its seconds and of its requests' dollars."""
    times = RoundTimes(built_in())
    found = []
    for row in json.loads(RESULT.read_text()):
        exchange = Exchange(**{each.name: row[each.name] for each in fields(Exchange)})
        time, usd = times.of(exchange), round_cost.usd(Counter(row["usage"]))
        expected_usd = round_cost.usd(round_cost.usage(exchange, time.in_vain))
        found.append(
            row | {"expected": time.seconds, "time": time.seconds / row["seconds"], "usd": usd and expected_usd / usd}
        )
    return found


def main() -> None:
    """Draw, and print the table."""
    found = errors()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for channel, colour in _COLOURS.items():
        here = [each for each in found if each["channel"] == channel]
        left.scatter(
            [each["seconds"] for each in here], [each["expected"] for each in here], s=12, color=colour, alpha=0.7
        )
        off = sorted(abs(each["time"] - 1) * 100 for each in here)
        right.plot(off, [(rank + 1) / len(off) * 100 for rank in range(len(off))], color=colour, linewidth=2)
        right.text(
            58, 30 - 8 * list(_COLOURS).index(channel), _LABELS[channel], color=colour, ha="right", weight="bold"
        )
        print(
            f"| {_LABELS[channel]} | {len(here)} | {_figures([each['time'] for each in here])} | "
            + (_figures([each["usd"] for each in here]) if channel != "memcached" else "free | |")
            + " |"
        )
    print(
        f"| all | {len(found)} | {_figures([each['time'] for each in found])} | "
        f"{_figures([each['usd'] for each in found if each['usd']])} |"
    )
    ends = min(each["seconds"] for each in found), max(each["seconds"] for each in found)
    left.plot(ends, ends, color="black", linewidth=0.8)
    left.fill_between(ends, [0.75 * each for each in ends], [1.25 * each for each in ends], color="#eeeeee", zorder=0)
    left.set(xscale="log", yscale="log", xlabel="simulated seconds per round", ylabel="the planner's")
    left.set_title("Grey: within 25 %", loc="left", fontsize=10)
    right.axvline(25, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
    right.axhline(95, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
    right.set(xlim=(0, 60), ylim=(0, 100), xlabel="error of a round's time, %", ylabel="% of cases with at most this")
    right.set_title("Dashed: the promise, 95 % within 25 %", loc="left", fontsize=10)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{len(found)} exchanges, the planner's equations against the simulator", x=0.01, ha="left")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


def _figures(ratios: list[float]) -> str:
    off = sorted(abs(each - 1) for each in ratios)
    return f"{statistics.median(off):.1%} | {off[int(0.95 * (len(off) - 1))]:.1%}"


if __name__ == "__main__":
    main()
