"""A chart as a picture, through the optional extra `plot`. The only importer of matplotlib."""

from __future__ import annotations

from typing import Any

from genzcli.report.chart import Chart, ticks
from genzcli.units import show_count

#: Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_MARKS = "osD^vP*X"


def write(chart: Chart, path: str, form: str) -> None:
    """Draw it into a file; the same chart makes the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "genz", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        _draw(figure.add_subplot(), chart)
        figure.savefig(path, format=form, dpi=160, metadata={"Date": None} if form == "svg" else None)


def _draw(axes: Any, chart: Chart) -> None:
    for position, series in enumerate(chart.series):
        axes.plot(
            *zip(*series.points, strict=True),
            color=_COLOURS[position % len(_COLOURS)],
            marker=_MARKS[position // len(_COLOURS) % len(_MARKS)],
            markersize=4,
            linewidth=1.6 if series.is_line else 0,
            label=series.name,
        )
    axes.set_title(chart.title, loc="left", fontsize=11)
    axes.set_xscale("log" if chart.x.log else "linear")
    axes.set_yscale("log" if chart.y.log else "linear")
    for scale, along in ((chart.x, axes.xaxis), (chart.y, axes.yaxis)):
        along.set_label_text(scale.label)
        along.set_ticks(ticks(scale))
        along.set_ticks([], minor=True)
        along.set_major_formatter(lambda value, _: show_count(value))
    axes.set_xlim(left=0 if chart.x.low == 0 else None)
    axes.set_ylim(bottom=0 if chart.y.low == 0 else None)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=9)
