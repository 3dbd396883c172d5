"""The planner's two pictures as SVG text: time against dollars, and the services' parts side by side."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from local.display import clock
from local.plan_table import CHANNELS, money
from paytrain.planner.estimate import Estimate
from paytrain.planner.outside import Alternative
from paytrain.planner.search import Found
from paytrain.planner.span import ZERO, Span

_COLOURS = {
    "s3": "#0072b2",
    "s3express": "#56b4e9",
    "dynamodb": "#d55e00",
    "memcached": "#009e73",
    "made": "#cc79a7",
    "alone": "#222222",
    "EC2": "#8c8c8c",
    "SageMaker": "#b0a000",
}
"""Colours after M. Okabe, K. Ito: Color Universal Design, 2008."""
_LABELS = {**CHANNELS, "memcached": "Memcached", "made": "new Memcached cluster", "alone": "one function"}
_PARTS_COLOURS = ("#bbbbbb", "#0072b2", "#e69f00", "#009e73", "#cc79a7")
_SECONDS = {
    "start": ("start", "load", "prepare and finish", "control"),
    "compute": ("compute", "train"),
    "exchange": ("exchange",),
    "checkpoints": ("save",),
    "making the cache": ("cache",),
}
_DOLLARS = {
    "rest": ("prepare and finish", "states and storage"),
    "functions": ("workers",),
    "requests": ("exchange requests",),
    "instance": ("instance",),
    "cache": ("cache",),
}
_WIDTH = 960
_LETTER = 7
"""Wide, about."""
_LONGEST_BAR = 3
"""Times the median of all: a service that is out of the question must not make the others too small to see."""


def service_of(estimate: Estimate) -> str:
    """The service whose colour a plan has."""
    if estimate.choice.workers == 1:
        return "alone"
    made = estimate.choice.cache is not None and estimate.choice.cache.mode == "per_execution"
    return "made" if made else estimate.choice.channel


def front(found: Found) -> str:
    """Time against dollars, both logarithmic; a line per service."""
    lines = {name: _front_of(found, name) for name in _COLOURS}
    outside = _outside(found.alternatives)
    others = [each for each in found.front if (each.choice.wire, each.choice.sync_every) != found.asked]
    points = [(each.seconds.expected, each.usd.expected) for line in lines.values() for each in line]
    points += [(each.seconds.expected, each.usd.expected) for each in (*outside, *others)]
    if not points:
        return ""
    frame = _Frame(points)
    drawn = [frame.axes()]
    taken = [(x - 4, y + 4, 8.0) for x, y in (frame.at(*point) for point in points)]
    drawn += [_point(frame, each, found) for each in others]
    for name, line in lines.items():
        drawn.append(_line(frame, name, line, found, taken))
    for each in outside:
        x, y = frame.at(each.seconds.expected, each.usd.expected)
        drawn.append(f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{_COLOURS[each.service]}"/>')
        drawn.append(_label(x + 8, y + 4, each.name, _COLOURS[each.service], taken))
    return f'<svg viewBox="0 0 {_WIDTH} 520" font-family="sans-serif" font-size="12">{"".join(drawn)}</svg>'


def services(found: Found) -> str:
    """The best plan of every service: seconds and dollars, as stacked bars."""
    rows: list[tuple[str, Mapping[str, Span], Mapping[str, Span]]] = []
    asked = _asked(found)
    for name in _COLOURS:
        plans = [each for each in asked if service_of(each) == name]
        if plans:
            best = min(plans, key=lambda each: each.seconds.expected * each.usd.expected)
            title = _LABELS[name] + (f", {best.choice.workers} workers" if best.choice.workers > 1 else "")
            rows.append((title, best.second_parts, best.usd_parts))
    for service in ("EC2", "SageMaker"):
        here = [each for each in found.alternatives if each.service == service]
        best_here = min(here, key=lambda each: each.seconds.expected * each.usd.expected)
        parts = {"start": best_here.start_seconds, "train": best_here.train_seconds}
        rows.append((best_here.name, parts, {"instance": best_here.usd}))
    height = 60 + 34 * len(rows)
    left = _bars([(title, seconds) for title, seconds, _ in rows], _SECONDS, 225, 290, "time", clock)
    right = _bars([(title, usd) for title, _, usd in rows], _DOLLARS, 634, 220, "dollars", lambda v: f"${money(v)}")
    titles = "".join(
        f'<text x="215" y="{73 + 34 * index}" text-anchor="end" font-size="11">{escape(title)}</text>'
        for index, (title, _, _) in enumerate(rows)
    )
    return f'<svg viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">{titles}{left}{right}</svg>'


def _asked(found: Found) -> list[Estimate]:
    """Plans with the wire and sync_every that the job has itself."""
    return [each for each in found.considered if (each.choice.wire, each.choice.sync_every) == found.asked]


def _front_of(found: Found, name: str) -> list[Estimate]:
    """Of the plans of a service by cost, those that are faster than all cheaper ones."""
    line: list[Estimate] = []
    for each in _asked(found):
        if service_of(each) == name and (not line or each.seconds.expected < line[-1].seconds.expected):
            line.append(each)
    return line


def _outside(alternatives: Sequence[Alternative]) -> list[Alternative]:
    """Of each service the cheapest instance, and the fastest."""
    chosen: dict[str, Alternative] = {}
    for service in ("EC2", "SageMaker"):
        here = [each for each in alternatives if each.service == service]
        for one in (min(here, key=lambda each: each.usd.expected), min(here, key=lambda each: each.seconds.expected)):
            chosen[one.name] = one
    return list(chosen.values())


class _Frame:
    """Logarithmic axes: dollars to the right, time upwards."""

    left, right, top, bottom = 70, _WIDTH - 190, 20, 470

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        seconds, usd = [each[0] for each in points], [each[1] for each in points]
        self._seconds = min(seconds) / 1.3, max(seconds) * 1.3
        self._usd = min(usd) / 1.3, max(usd) * 1.3

    def at(self, seconds: float, usd: float) -> tuple[float, float]:
        """Where a point is."""
        across = math.log(usd / self._usd[0]) / math.log(self._usd[1] / self._usd[0])
        up = math.log(seconds / self._seconds[0]) / math.log(self._seconds[1] / self._seconds[0])
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def axes(self) -> str:
        """Ticks with their grid, and what the axes are."""
        drawn = []
        for usd in _ticks(*self._usd, (1, 2, 5)):
            x, _ = self.at(self._seconds[0], usd)
            drawn.append(f'<path d="M{x:.1f} {self.top}V{self.bottom}" stroke="#eee"/>')
            drawn.append(f'<text x="{x:.1f}" y="{self.bottom + 16}" text-anchor="middle">${usd:g}</text>')
        for seconds in (10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 36000, 86400, 172800, 604800, 2592000):
            if self._seconds[0] <= seconds <= self._seconds[1]:
                _, y = self.at(seconds, self._usd[0])
                drawn.append(f'<path d="M{self.left} {y:.1f}H{self.right}" stroke="#eee"/>')
                drawn.append(f'<text x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{_duration(seconds)}</text>')
        drawn.append(f'<text x="{self.left}" y="{self.bottom + 38}">dollars at list prices, less is better →</text>')
        drawn.append(f'<text x="16" y="{self.top + 4}" fill="#222">time</text>')
        return "".join(drawn)


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _ticks(low: float, high: float, steps: Sequence[int]) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [step * 10.0**decade for decade in decades for step in steps]
    some = [each for each in every if low <= each <= high]
    return some if len(some) <= 10 else [each for each in some if f"{each:e}".startswith("1")]


def _line(
    frame: _Frame, name: str, line: Sequence[Estimate], found: Found, taken: list[tuple[float, float, float]]
) -> str:
    if not line:
        return ""
    colour, places = _COLOURS[name], [frame.at(each.seconds.expected, each.usd.expected) for each in line]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    drawn = [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" opacity="0.7"/>']
    for each, (x, y) in zip(line, places, strict=True):
        drawn.append(_point(frame, each, found))
        if _is_recommended(each, found):
            drawn.append(_label(x + 11, y - 8, "recommended", colour, taken, bold=True))
    x, y = places[-1]
    drawn.append(_label(x + 8, y + 4, f"{_LABELS[name]}, {line[-1].choice.workers}", colour, taken, bold=True))
    if len(line) > 1:
        x, y = places[0]
        drawn.append(_label(x - 4, y - 9, str(line[0].choice.workers), colour, taken))
    return "".join(drawn)


def _point(frame: _Frame, estimate: Estimate, found: Found) -> str:
    """A plan; hollow when it trains otherwise than the job says; its name shows under the pointer."""
    x, y = frame.at(estimate.seconds.expected, estimate.usd.expected)
    colour = _COLOURS[service_of(estimate)]
    is_asked = (estimate.choice.wire, estimate.choice.sync_every) == found.asked
    tip = f"{estimate.choice.name}: {clock(estimate.seconds.expected)}, ${money(estimate.usd.expected)}"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{7 if _is_recommended(estimate, found) else 3.5}" '
        f'fill="{colour if is_asked else "white"}" stroke="{colour}"><title>{escape(tip)}</title></circle>'
    )


def _is_recommended(estimate: Estimate, found: Found) -> bool:
    return found.recommended is not None and estimate.choice == found.recommended.choice


def _label(
    x: float, y: float, text: str, colour: str, taken: list[tuple[float, float, float]], *, bold: bool = False
) -> str:
    """A text at the nearest place, downwards or upwards, where it covers neither a point nor another text.

    From further away than a line, a thin stroke leads to where it belongs.
    """
    width = _LETTER * len(text)

    def is_free(height: float) -> bool:
        overlaps = (abs(height - top) < 13 and x < left + wide and left < x + width for left, top, wide in taken)
        return _Frame.top <= height <= _Frame.bottom and not any(overlaps)

    lines = sorted(range(-20, 21), key=lambda line: (abs(line), -line))
    moved = next((13 * line for line in lines if is_free(y + 13 * line)), 0)
    leader = f'<path d="M{x - 5:.1f} {y - 4:.1f}L{x - 2:.1f} {y + moved - 4:.1f}" stroke="{colour}" opacity="0.5"/>'
    y += moved
    taken.append((x, y, width))
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x:.1f}" y="{y:.1f}"{weight}'
    # White below it keeps it legible over lines and points.
    below = f'<text {place} stroke="white" stroke-width="3" fill="white" aria-hidden="true">{escape(text)}</text>'
    return f'{leader if abs(moved) > 13 else ""}{below}<text {place} fill="{colour}">{escape(text)}</text>'


def _bars(
    bars: Sequence[tuple[str, Mapping[str, Span]]],
    parts: Mapping[str, Sequence[str]],
    left: float,
    width: float,
    title: str,
    shown: Callable[[float], str],
) -> str:
    """A stacked bar per row, whiskers from low to high, the total as text, and a legend above."""
    totals = [sum((span for span in row.values()), ZERO) for _, row in bars]
    expected = sorted(each.expected for each in totals)
    most = min(expected[-1], _LONGEST_BAR * expected[len(expected) // 2])
    drawn = [f'<text x="{left}" y="14" font-weight="bold">{title}</text>']
    across = left
    for (label, _), colour in zip(parts.items(), _PARTS_COLOURS, strict=True):
        drawn.append(f'<rect x="{across}" y="26" width="10" height="10" fill="{colour}"/>')
        drawn.append(f'<text x="{across + 14}" y="35" font-size="10.5">{label}</text>')
        across += 22 + 6 * len(label)
    for index, ((_, row), total) in enumerate(zip(bars, totals, strict=True)):
        y, x = 58 + 34 * index, left
        for (_, names), colour in zip(parts.items(), _PARTS_COLOURS, strict=True):
            # A cut bar keeps the proportions of its parts.
            share = sum(row[name].expected for name in names if name in row) / max(total.expected, most)
            length = width * share
            drawn.append(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="18" fill="{colour}"/>')
            x += length
        low, high = (left + width * min(each / most, 1.0) for each in (total.low, total.high))
        if total.expected > most:
            drawn.append(f'<path d="M{x - 14:.1f} {y + 20}l6 -22h4l-6 22z" fill="white"/>')
        else:
            drawn.append(f'<path d="M{low:.1f} {y + 21}H{high:.1f}" stroke="#222" stroke-width="1.2"/>')
        drawn.append(f'<text x="{x + 5:.1f}" y="{y + 13}">{shown(total.expected)}</text>')
    return "".join(drawn)
