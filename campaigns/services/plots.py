"""The plots of a report, drawn with matplotlib: files for `--plot`, and inline SVG for the page.

matplotlib is an extra (`campaigns[plot]`), imported only here and only when something is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from campaigns.domain.errors import CampaignsError
from campaigns.services.figures import WEEKDAYS, Report

_INK, _MUTED = "#1f2933", "#9aa5b1"
_BLUE, _GREEN, _AMBER, _RED = "#2f6fb7", "#2e8b57", "#d98e04", "#c0392b"
_STATE_COLOURS = {"reached": _GREEN, "exhausted": _AMBER, "held": _RED, "pending": _BLUE, "in_flight": _BLUE}
_TAKEN = ("human", "callback", "do_not_call")
#: Calls below which the rate of an hour says nothing.
_LEAST_CALLS = 3


def draw(report: Report) -> Iterator[tuple[str, str, Any]]:
    """(file stem, title, figure) of every plot that has something to show. Raises CampaignsError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise CampaignsError(
            "plots are drawn with matplotlib, which is not installed",
            "install it with `pip install 'campaigns[plot]'`, or leave --plot and --html out",
        ) from None
    plots: list[tuple[str, str, tuple[float, float], Callable[[Report, Any], None], bool]] = [
        ("leads", "Leads by state", (6.4, 3.4), _leads, report.leads > 0),
        ("outcomes", "What the calls came to", (6.4, 3.4), _outcomes, bool(report.status.outcomes)),
        ("attempts", "Attempts to contact", (9.6, 3.0), _attempts, bool(report.attempts_to_contact)),
        ("answers", "Answer rate by the callee's hour", (9.6, 3.4), _answers, bool(report.local)),
        ("days", "Calls and answers by day", (9.6, 3.0), _days, bool(report.daily)),
    ]
    for stem, title, size, paint, has_data in plots:
        if has_data:
            figure = Figure(figsize=size, layout="constrained")
            axes = figure.add_subplot()
            axes.set_title(title, loc="left", color=_INK, fontsize=11, fontweight="bold")
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(colors=_INK, labelsize=8)
            paint(report, axes)
            yield stem, title, figure


def save_plots(report: Report, folder: Path) -> list[Path]:
    """Write each plot as a PNG into the folder, which is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for stem, _, figure in draw(report):
        written.append(folder / f"{stem}.png")
        figure.savefig(written[-1], dpi=144)
    return written


def svg(figure: Any, stem: str) -> str:
    """The figure as an SVG element that can stand in a page with others: its ids are its own, its text is text."""
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": stem, "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    element = out.getvalue()
    element = element[element.index("<svg") :]
    return re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{stem}-", element)


def _leads(report: Report, axes: Any) -> None:
    states = [(state, count) for state, count in report.status.leads.items() if count]
    _bars(axes, states, [_STATE_COLOURS.get(state, _MUTED) for state, _ in states], report.leads)


def _outcomes(report: Report, axes: Any) -> None:
    outcomes = list(report.status.outcomes.items())
    _bars(axes, outcomes, [_GREEN if name in _TAKEN else _BLUE for name, _ in outcomes], report.calls)


def _bars(axes: Any, rows: list[tuple[str, int]], colours: list[str], total: int) -> None:
    drawn = axes.barh([name for name, _ in rows], [count for _, count in rows], color=colours, height=0.7)
    labels = [f"{count:,} ({_share(count / total)})" for _, count in rows]
    axes.bar_label(drawn, labels, padding=4, fontsize=8, color=_INK)
    axes.margins(x=0.2)
    axes.set_ylim(-0.6, max(len(rows), 5) - 0.4)
    axes.invert_yaxis()
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _share(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _attempts(report: Report, axes: Any) -> None:
    numbers = sorted(report.attempts_to_contact)
    counts = [report.attempts_to_contact[number] for number in numbers]
    drawn = axes.bar([str(number) for number in numbers], counts, color=_GREEN, width=0.6)
    axes.bar_label(drawn, [f"{count:,}" for count in counts], padding=2, fontsize=8, color=_INK)
    axes.margins(y=0.12)
    axes.set_xlim(-0.6, max(len(numbers), 6) - 0.4)
    axes.set_xlabel("call of the lead that was the first to be taken", fontsize=8)
    axes.set_ylabel("leads", fontsize=8)


def _answers(report: Report, axes: Any) -> None:
    hours = sorted({hour for _, hour in report.local})
    # The ordinary calling hours always, so that two reports can be laid beside each other.
    first, last = min(hours[0], 8), max(hours[-1], 20)
    grid = [
        [_answer_rate(report, day, hour) for hour in range(first, last + 1)] for day in range(len(WEEKDAYS))
    ]
    known = [rate for row in grid for rate in row if rate == rate]
    top = max([*known, 0.01])
    # Not as an image: in the page every cell stays sharp. Never so dark that its number cannot be read.
    axes.pcolormesh(
        range(last - first + 1), range(len(WEEKDAYS)), grid, shading="nearest", cmap="YlGn", vmin=0,
        vmax=1.5 * top, edgecolors="white", linewidth=1,
    )  # fmt: skip
    axes.invert_yaxis()
    axes.set_yticks(range(len(WEEKDAYS)), WEEKDAYS)
    axes.set_xticks(range(last - first + 1), [f"{hour:02}" for hour in range(first, last + 1)])
    axes.set_xlabel(f"hour at the callee; blank below {_LEAST_CALLS} calls", fontsize=8)
    for day, row in enumerate(grid):
        for position, rate in enumerate(row):
            if rate == rate:
                axes.text(position, day, f"{rate:.0%}", ha="center", va="center", fontsize=8, color=_INK)
    axes.spines[:].set_visible(False)


def _answer_rate(report: Report, day: int, hour: int) -> float:
    calls, contacts = report.local.get((day, hour), (0, 0))
    return contacts / calls if calls >= _LEAST_CALLS else float("nan")


def _days(report: Report, axes: Any) -> None:
    days = sorted(report.daily)
    calls = [report.daily[day][0] for day in days]
    contacts = [report.daily[day][1] for day in days]
    places = range(len(days))
    axes.bar(places, calls, color=_BLUE, width=0.7, label="calls")
    axes.bar(places, contacts, color=_GREEN, width=0.7, label="taken by a person")
    step = max(1, len(days) // 12)
    axes.set_xticks(list(places)[::step], [day[5:] for day in days[::step]])
    axes.set_xlim(-0.6, max(len(days), 7) - 0.4)
    axes.margins(y=0.15)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
