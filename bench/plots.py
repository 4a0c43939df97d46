"""
The plots. One colour for one contestant everywhere; lines are named where they end, not in a legend to be searched.
"""
import os

os.environ.setdefault("MPLCONFIGDIR", "/tmp/matplotlib-ccserver-bench")
import matplotlib  # noqa: E402

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator  # noqa: E402

import rows  # noqa: E402
import stats  # noqa: E402

COLOURS = {"ccserver": "#c2410c", "floor": "#1f2937", "io_uring": "#0f766e", "libevent": "#2563eb", "libuv": "#7c3aed",
           "relay": "#1f2937", "nginx": "#15803d", "haproxy": "#2563eb", "nutcracker": "#7c3aed"}
GREY, GRID = "#6b7280", "#e5e7eb"
VERDICT_COLOURS = {stats.PASS: "#15803d", stats.MISS: "#b91c1c", stats.LIKELY_PASS: "#b45309",
                   stats.LIKELY_MISS: "#b45309"}

plt.rcParams.update({
    "font.family": "DejaVu Sans", "font.size": 9.5, "svg.fonttype": "path", "svg.hashsalt": "ccserver",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.labelcolor": GREY,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 12,
    "xtick.color": GREY, "ytick.color": GREY, "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID,
    "lines.linewidth": 1.9, "lines.markersize": 5, "figure.facecolor": "white", "savefig.facecolor": "white",
})


def thousands(value, _position=None):
    """1,000 instead of 10³."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"


def median(values):
    """Of an unsorted list."""
    return stats.percentile(sorted(values), 0.5)


def save(figure, out, name):
    """Write one figure; without a date, so that the same data is the same file."""
    figure.savefig(out / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.15)
    if os.environ.get("BENCH_PNG"):
        figure.savefig(out / f"{name}.png", dpi=110, bbox_inches="tight", pad_inches=0.15)
    plt.close(figure)
    return f"{name}.svg"


def spread_labels(values, gap, lowest):
    """Positions for labels at these values that keep a distance and stay above `lowest`: pushed apart, order kept."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed = [values[i] for i in order]
    for _ in range(300):
        placed[0] = max(placed[0], lowest)
        for i in range(len(placed) - 1):
            short = gap - (placed[i + 1] - placed[i])
            if short > 1e-9:
                placed[i] -= short / 2
                placed[i + 1] += short / 2
    result = [0.0] * len(values)
    for position, i in zip(placed, order):
        result[i] = position
    return result


def name_lines(axes, ends):
    """Write each line's name beside its last point. `ends`: name -> (x, y)."""
    figure = axes.figure
    figure.canvas.draw()
    pixels = {name: axes.transData.transform(point) for name, point in ends.items()}
    gap = 13 * figure.dpi / 72
    heights = spread_labels([pixels[name][1] for name in ends], gap, axes.get_window_extent().y0 + gap / 2)
    for (name, (x, y)), height in zip(ends.items(), heights):
        offset = (height - pixels[name][1]) * 72 / figure.dpi
        axes.annotate(name, (x, y), xytext=(9, offset), textcoords="offset points", va="center",
                      color=COLOURS.get(name, GREY), fontsize=9.5,
                      fontweight="bold" if name == "ccserver" else "normal", annotation_clip=False)


def draw_line(axes, name, xs, samples):
    """Medians joined by a line, the middle half of the runs as a faint band. `samples`: a list for each x."""
    ys = [median(values) for values in samples]
    colour = COLOURS.get(name, GREY)
    axes.fill_between(xs, [stats.percentile(sorted(values), 0.25) for values in samples],
                      [stats.percentile(sorted(values), 0.75) for values in samples],
                      color=colour, alpha=0.10, linewidth=0)
    axes.plot(xs, ys, color=colour, marker="o", zorder=5 if name == "ccserver" else 3,
              linestyle=(0, (4, 2)) if name in ("floor", "io_uring") else "-",
              linewidth=2.6 if name == "ccserver" else 1.7)
    return xs[-1], ys[-1]


def over_sessions(out, outcome):
    """Row 1: CPU per message and throughput over the number of sessions."""
    titles = {rows.count(n): n for n in rows.SESSIONS}
    cells = {titles[title]: samples for title, samples in outcome.cells.items() if title in titles}
    if len(cells) < 2:
        return []
    figure, panels = plt.subplots(1, 2, figsize=(11.5, 4.2), gridspec_kw={"wspace": 0.42})
    wanted = (("cpu_us", "Server CPU per message, µs", "{x:.0f}"), ("msg_per_s", "Messages per second", "{x:,.0f}"))
    for axes, (metric, title, ticks) in zip(panels, wanted):
        ends = {}
        for name in next(iter(cells.values())):
            xs = [n for n in sorted(cells) if cells[n][name]]
            if xs:
                ends[name] = draw_line(axes, name, xs, [[s[metric] for s in cells[n][name]] for n in xs])
        axes.set(xscale="log", title=title, xlabel="sessions", ylim=(0, None))
        axes.set_xticks(sorted(cells))
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(ticks)
        axes.margins(x=0.04)
        name_lines(axes, ends)
    figure.suptitle("Ping-pong, 109-byte messages, one message under way per session; bands: the middle half of the runs", x=0.125, ha="left", y=1.04,
                    color=GREY, fontsize=9.5)
    return [(save(figure, out, "sessions"), "CPU per message and throughput over sessions")]


def latency(out, outcome):
    """Row L: percentiles at a fixed rate."""
    samples = next(iter(outcome.cells.values()), {})
    points = (("p50", "50 %"), ("p90", "90 %"), ("p99", "99 %"), ("p999", "99.9 %"))
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    ends = {}
    for name, runs in samples.items():
        if runs:
            values = [[run["latency"][key] for run in runs] for key, _ in points]
            ends[name] = draw_line(axes, name, list(range(len(points))), values)
    if not ends:
        plt.close(figure)
        return []
    axes.set(yscale="log", title="Latency at a fixed rate, µs",
             xlabel=f"percentile; 100 sessions, {rows.LATENCY_RATE:,} messages/s, from the intended send time")
    axes.set_xticks(range(len(points)), [label for _, label in points])
    axes.yaxis.set_major_formatter(FuncFormatter(thousands))
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    axes.set_yticks([t for k in range(7) for t in (10**k, 2 * 10**k, 5 * 10**k) if low <= t <= high])
    name_lines(axes, ends)
    return [(save(figure, out, "latency"), "latency percentiles at a fixed rate")]


def proxies(out, outcome):
    """Row 7: CPU per request, a group of bars for each load."""
    cells = {title: samples for title, samples in outcome.cells.items() if any(samples.values())}
    if not cells:
        return []
    names = list(next(iter(cells.values())))
    figure, panels = plt.subplots(1, len(cells), figsize=(2.9 * len(cells), 3.6), gridspec_kw={"wspace": 0.30})
    for axes, (title, samples) in zip([panels] if len(cells) == 1 else panels, cells.items()):
        there = [name for name in names if samples[name]]
        values = [median([s["cpu_us"] for s in samples[name]]) for name in there]
        bars = axes.bar(there, values, color=[COLOURS.get(name, GREY) for name in there], width=0.72)
        axes.bar_label(bars, fmt="%.2g" if max(values) < 10 else "%.1f", padding=2, fontsize=8.5, color=GREY)
        axes.set_title(title)
        axes.set_ylabel("CPU µs per GET" if axes.get_subplotspec().is_first_col() else "")
        axes.grid(axis="x", visible=False)
        axes.tick_params(axis="x", rotation=40, length=0)
        for label in axes.get_xticklabels():
            label.set_ha("right")
            label.set_rotation_mode("anchor")
    figure.suptitle("Proxies before Redis: CPU µs per GET, by redis-benchmark's clients and pipeline", x=0.125,
                    ha="left", y=1.06, color=GREY, fontsize=9.5)
    return [(save(figure, out, "proxies"), "CPU per request of the proxies")]


def targets(out, outcomes):
    """Every line with a target: how far its interval is from it, the target being 1."""
    lines = [(outcome.number, result) for outcome in outcomes for result in outcome.results
             if result.op and result.estimate and result.estimate.known() and result.target]
    if not lines:
        return []
    figure, axes = plt.subplots(figsize=(9.2, 0.62 + 0.215 * len(lines)))
    for at, (_, result) in enumerate(lines):
        low, value, high = (sort_out(result, v) for v in
                            (result.estimate.low, result.estimate.value, result.estimate.high))
        colour = VERDICT_COLOURS[result.verdict]
        axes.plot([low, high], [at, at], color=colour, linewidth=2.2, solid_capstyle="round")
        axes.plot([value], [at], "o", color=colour, markersize=4.5)
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    low, high = min(low, 0.5), max(high, 1.3)
    axes.axvspan(low, 1, color="#15803d", alpha=0.05, linewidth=0)
    axes.set(xlim=(low, high), ylim=(len(lines) - 0.4, -0.6))
    axes.set_yticks(range(len(lines)), [f"{number}  {result.title}: {result.versus}" for number, result in lines],
                    fontsize=8)
    axes.set_xticks([t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.2, 1.5, 2, 3, 5, 10) if low <= t <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", visible=False)
    for at in range(1, len(lines)):
        if lines[at][0] != lines[at - 1][0]:
            axes.axhline(at - 0.5, color=GRID, linewidth=1)
    axes.set_title("Measured over target: left of 1 is within it", loc="left")
    axes.set_xlabel("median and interval of the ratio, divided by its target (inverted where more is better)")
    return [(save(figure, out, "targets"), "measured over target, with 95 % intervals")]


def sort_out(result, value):
    """A value over its target, so that below 1 is always good."""
    ratio = max(value, 1e-9) / result.target
    return 1 / ratio if result.op == ">=" else ratio


def scaling(out, scaled):
    """Throughput and CPU per message over workers; hollow points share their CPUs with the load."""
    entries = [entry for entry in (scaled or {}).get("entries", []) if "missing" not in entry]
    if not entries:
        return []
    figure, panels = plt.subplots(1, 2, figsize=(9.6, 3.6), gridspec_kw={"wspace": 0.32})
    wanted = (("msg_per_s", "Messages per second"), ("cpu_us", "CPU per message, µs"))
    for axes, (metric, title) in zip(panels, wanted):
        xs = [entry["workers"] for entry in entries]
        draw_line(axes, "ccserver", xs, [[s[metric] for s in entry["samples"]] for entry in entries])
        for entry in entries:
            if entry["shared"]:
                axes.plot([entry["workers"]], [entry[metric]], "o", color="white", zorder=6, markersize=6,
                          markeredgecolor=COLOURS["ccserver"], markeredgewidth=1.8)
        axes.set(title=title, xlabel="workers (hollow: they share CPUs with the load)", ylim=(0, None))
        axes.set_xticks(xs)
        axes.set_xlim(min(xs) - 0.25, max(xs) + 0.25)
        axes.yaxis.set_major_formatter(FuncFormatter(thousands))
    return [(save(figure, out, "scaling"), "throughput and CPU per message over workers")]


def draw_all(out, outcomes, scaled):
    """Every plot there is data for: (file name, caption)."""
    makers = {"1": over_sessions, "L": latency, "7": proxies}
    drawn = targets(out, outcomes)
    for outcome in outcomes:
        if outcome.number in makers:
            drawn += makers[outcome.number](out, outcome)
    return drawn + scaling(out, scaled)
