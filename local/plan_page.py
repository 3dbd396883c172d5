"""plan.html: the planner's answer on one page without anything from elsewhere; its pictures are SVG within."""

from collections.abc import Iterable
from html import escape

from local import plan_svg
from local.display import clock
from local.plan_table import cost_and_time, money, place_of
from paytrain.planner import prices
from paytrain.planner.estimate import Estimate
from paytrain.planner.question import JobFacts
from paytrain.planner.search import Found

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; font-size: 0.9em; } td, th { padding: 0.2em 0.8em 0.2em 0; text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } tr.best { font-weight: bold; }
th { color: #666; font-weight: normal; border-bottom: 1px solid #ccc; }
.answer, .advice { border-left: 4px solid #009e73; padding-left: 1em; } .advice { border-color: #d55e00; }
svg { width: 100%; height: auto; } small { color: #666; }
"""


def page(name: str, job: JobFacts, why: str, found: Found) -> str:
    """The whole document."""
    answer = (
        f"<p class=answer><b>{escape(found.recommended.choice.name)}</b><br>{cost_and_time(found.recommended)}</p>"
        if found.recommended
        else ""
    )
    advice = f"<p class=advice><b>{escape(found.advice)}</b></p>" if found.advice else ""
    reasons = "".join(f"<li>{escape(each)}" for each in found.reasons)
    return f"""<!doctype html><html lang=en><meta charset=utf-8><title>Plan: {escape(name)}</title>
<meta name=viewport content="width=device-width"><style>{_STYLE}</style>
<h1>What {escape(name)} takes and costs</h1>
<p>{job.parameters:,} parameters, {job.samples:,} samples, {job.epochs} epochs, batches of {job.batch_size} per worker;
{escape(why)}. Prices as of {escape(prices.as_of())}.</p>
{answer}{advice}<ul>{reasons}</ul>
<h2>Time against dollars</h2>{plan_svg.front(found)}
<p><small>Each line joins the plans of one service that no other of that service beats; numbers are workers. Hollow:
plans that beat all by another wire or sync_every than the job's, which changes the result; squares:
instances.</small></p>
<h2>The services side by side: the best plan of each</h2>{plan_svg.services(found)}
<p><small>The best plan has the smallest product of time and cost, with the job's own wire and sync_every. Lines below
bars: from low to high; a cut bar is longer than shown. Instances are estimates by the same model of a step.</small></p>
<h2>Plans that no other beats</h2>{_table(found.front, found)}
<p><small>{len(found.considered):,} plans were estimated; {len(found.refused):,} cannot work.</small></p></html>
"""


def _table(plans: Iterable[Estimate], found: Found) -> str:
    head = "<tr><th class=n>workers<th class=n>MB<th>over<th>pattern<th>wire<th class=n>time<th class=n>low to high"
    rows = [head + "<th class=n>$<th class=n>low to high"]
    for each in plans:
        choice, seconds, usd = each.choice, each.seconds, each.usd
        best = found.recommended is not None and choice == found.recommended.choice
        wire = choice.wire + (f", every {choice.sync_every} steps" if choice.sync_every > 1 else "")
        exchanged = f"<td>{choice.pattern}<td>{wire}" if choice.workers > 1 else "<td><td>"
        rows.append(
            f"<tr{' class=best' if best else ''}><td class=n>{choice.workers}<td class=n>{choice.memory_mb:,}"
            f"<td>{escape(place_of(each))}{exchanged}<td class=n>{clock(seconds.expected)}"
            f"<td class=n>{clock(seconds.low)} to {clock(seconds.high)}<td class=n>{money(usd.expected)}"
            f"<td class=n>{money(usd.low)} to {money(usd.high)}"
        )
    return f"<table>{''.join(rows)}</table>"
