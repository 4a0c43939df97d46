"""
What was found, in words: the table for the terminal, report.md, and results.json with every raw sample.
"""
import dataclasses
import json
import math

import stats

COLOURS = {stats.PASS: "32", stats.MISS: "31", stats.LIKELY_PASS: "33", stats.LIKELY_MISS: "33", stats.NOT_AVAILABLE: "35"}
WIDTHS = (47, 25, 12, 11, 25, 13)
HEADS = ("what", "compared", "target", "measured", "interval (samples)", "verdict", "values")
FULL, IDLE = 0.95, 0.90  # shares of a CPU
URING_WIN = 0.10

METHOD = """
- **CPU** is user plus system time of all processes and threads of the server, read from the kernel's CPU clocks (in
  nanoseconds) by the client at the moments it begins and ends to count; for the proxies, by the runner together with
  Redis' own count of commands. Connecting and warming up are outside of the window. On loopback the receiving half of
  TCP runs in the sender's context and is charged to the sender; what lands in `ksoftirqd` is charged to nobody and
  is listed per sample in results.json.
- The server runs on CPU {server}, the client on CPU {client} (for the proxies: Redis and redis-benchmark). One client
  for every server. The client's latency without `--rate` is that of a closed loop and says little; row L has a fixed
  rate and counts from when a message was due.
- Before a cell is measured every contestant must return every byte as it should (the floor of row 6 excepted, which
  only returns as many as the echo does).
- Contestants take turns in a palindrome, another one begins each round; the i-th runs of two are a pair, each pair
  gives a ratio, and the table has the median of all ratios with its 95 % bootstrap interval (fixed seed, 2,000
  resamples). Of fewer than 6 samples the interval is their whole range. How many there were stands in brackets.
- **pass**: the whole interval meets the target; **miss**: all of it is beyond; **pass?** and **miss?**: it straddles the
  target, and the median is on this or that side of it. A full run repeats such cells once, for up to five minutes in
  all. A row is as good as its worst line.
""".strip()


def number(value):
    """Three or four significant digits, thousands set apart."""
    if value is None or not math.isfinite(value):
        return "?"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3}f}"


def target_text(result):
    """"≤ 1.05", or a dash."""
    if result.op is None:
        return "-"
    sign = {"<=": "≤", ">=": "≥", "<": "<"}[result.op]
    return f"{sign} {result.target:g}{'' if result.unit == '×' else result.unit}"


def measured_text(result):
    """"1.031" or "24.0 B"."""
    if result.estimate is None:
        return "-"
    return number(result.estimate.value) + ("" if result.unit == "×" else result.unit)


def interval_text(result):
    """"1.021 … 1.043"."""
    if result.estimate is None:
        return "-"
    if result.estimate.low == result.estimate.high and len(result.samples) < stats.MIN_SAMPLES:
        return "-"
    if not result.estimate.known():
        return "too few samples"
    low, high = number(result.estimate.low), number(result.estimate.high)
    return f"{low} … {high} ({result.estimate.count})"


def values_text(result):
    """"4.31 / 4.18 µs": the absolute medians behind a ratio."""
    if not result.values:
        return ""
    return " / ".join(number(value) for value in result.values.values()) + f" {result.value_unit}"


def cells_of(result):
    """The columns of one line."""
    return (result.title, result.versus, target_text(result), measured_text(result), interval_text(result),
            result.verdict, values_text(result))


def paint(text, word, colour):
    """Colour a verdict on a terminal."""
    return f"\033[{COLOURS[word]}m{text}\033[0m" if colour and word in COLOURS else text


def table_line(columns, word, colour):
    """One padded line; the verdict's padding is outside of its colour."""
    padded = [text[:width].ljust(width) for text, width in zip(columns, WIDTHS)]
    padded[5] = paint(padded[5], word, colour)
    return "  " + " ".join(padded) + " " + columns[6]


def terminal_table(outcomes, colour):
    """The whole table as text."""
    lines = [table_line(HEADS, "", False)]
    for outcome in outcomes:
        word = outcome.verdict()
        shown = "" if word == stats.INFORM else f"  {paint(word.upper(), word, colour)}"
        lines += ["", f"{outcome.number:>2}  {outcome.title}{shown}"]
        for result in outcome.results:
            lines.append(table_line(cells_of(result), result.verdict, colour))
            if result.verdict == stats.NOT_AVAILABLE and result.note:
                lines.append(f"      {result.note}")
        lines += [f"      note: {note}" for note in outcome.notes]
    return "\n".join(lines)


def summary(outcomes):
    """"9 of 12 rows pass; pass?: 7; miss?: none; miss: 5; not available: none"."""
    judged = [outcome for outcome in outcomes if outcome.number.isdigit()]
    parts = [f"{sum(o.verdict() == stats.PASS for o in judged)} of {len(judged)} rows pass"]
    for word in (stats.LIKELY_PASS, stats.LIKELY_MISS, stats.MISS, stats.NOT_AVAILABLE):
        found = [o.number for o in judged if o.verdict() == word]
        parts.append(f"{word}: {', '.join(found) or 'none'}")
    return "; ".join(parts)


def noise_text(outcomes):
    """What the A/A pair says about everything else."""
    found = [r for o in outcomes if o.number == "A" for r in o.results if r.estimate and r.estimate.known()]
    if not found:
        return "No A/A pair was run often enough: how noisy this machine was is not known."
    texts = []
    for unit, name in (("µs", "CPU per message"), ("/s", "throughput")):
        of_unit = [r for r in found if r.value_unit == unit]
        if of_unit:
            widest = max(of_unit, key=lambda r: max(abs(r.estimate.high - 1), abs(1 - r.estimate.low)))
            texts.append(f"{interval_text(widest)} for {name} ({widest.title.rpartition(', ')[2]})")
    return ("A/A: the same program against itself gave ratios whose widest intervals were "
            f"{' and '.join(texts)}. Differences smaller than that mean nothing in this run.")


def bystanders_text(run):
    """Who else used this machine meanwhile."""
    shares = run["bystanders"]
    return (f"Meanwhile other programs took {shares['others']:.0%} of one CPU's time, and the hypervisor "
            f"{shares['stolen']:.0%}.")


def uring_findings(outcomes):
    """Where the bare io_uring loop beats the bare epoll loop in CPU per message by 10 % or more."""
    wins, others = [], []
    for outcome in outcomes:
        for title, samples in outcome.cells.items():
            ours, floor = samples.get("io_uring"), samples.get("floor")
            if not ours or not floor or len(ours) != len(floor):
                continue
            found = stats.estimate(stats.paired_ratios([s["cpu_us"] for s in ours], [s["cpu_us"] for s in floor]))
            spread = f"{number(found.low)} … {number(found.high)}"
            text = f"row {outcome.number}, {title}: {number(found.value)} ({spread})"
            (wins if stats.below_unity(found, URING_WIN) else others).append(text)
    return wins, others


def uring_text(outcomes):
    """The finding as Markdown."""
    wins, others = uring_findings(outcomes)
    if not wins and not others:
        return "The io_uring loop was not measured in these rows."
    lines = ["CPU per message of the bare io_uring loop over that of the bare epoll loop:", ""]
    lines += [f"- beaten by 10 % or more, with the whole interval: {text}" for text in wins]
    lines += [f"- not: {text}" for text in others]
    return "\n".join(lines)


def cells_with_cpu(outcomes):
    """Row, title and samples by name of every cell in which CPU was measured."""
    for outcome in outcomes:
        for title, samples in outcome.cells.items():
            found = {name: runs for name, runs in samples.items() if runs and "cpu_us" in runs[0]}
            if found:
                yield outcome.number, title, found


def median_text(runs, key):
    """The median of a figure that not all samples have."""
    values = sorted(run[key] for run in runs if run.get(key) is not None)
    return number(stats.percentile(values, 0.5)) if values else ""


def figures_text(outcomes):
    """All the medians, and who was busy: where the client is and the server is not, throughput is the client's."""
    keys = ("cpu_us", "msg_per_s", "p50", "p99", "server_busy", "client_busy", "ksoftirqd_us")
    lines = ["| row | load | server | samples | CPU µs per message | messages/s | p50 µs | p99 µs | server busy | "
             "client busy | ksoftirqd µs |", "| --- " * 11 + "|"]
    for row, title, samples in cells_with_cpu(outcomes):
        for name, runs in samples.items():
            figures = " | ".join(median_text(runs, key) for key in keys)
            lines.append(f"| {row} | {title} | {name} | {len(runs)} | {figures} |")
    return "\n".join(lines)


def limits_text(outcomes):
    """Where the client's CPU was the limit, so that throughput says little about the server."""
    found = []
    for row, title, samples in cells_with_cpu(outcomes):
        if "polls" in title:  # such a client is always busy
            continue
        bound = [name for name, runs in samples.items()
                 if stats.percentile(sorted(r["client_busy"] for r in runs), 0.5) > FULL
                 and stats.percentile(sorted(r["server_busy"] for r in runs), 0.5) < IDLE]
        if bound:
            found.append(f"row {row}, {title}: {', '.join(bound)}")
    if not found:
        return "Nowhere was the client's CPU full while the server's had time left."
    return ("The client's CPU was full while the server's had time left: throughput there is the client's, CPU per "
            f"message is not touched. {'; '.join(found)}.")


def markdown_table(outcomes):
    """The table, as Markdown."""
    lines = ["| # | " + " | ".join(HEADS) + " |", "| --- " * (len(HEADS) + 1) + "|"]
    for outcome in outcomes:
        word = outcome.verdict()
        shown = "" if word == stats.INFORM else f"**{word}**"
        lines.append(f"| **{outcome.number}** | **{outcome.title}** | | | | | {shown} | |")
        for result in outcome.results:
            lines.append("| | " + " | ".join(cells_of(result)) + " |")
    return "\n".join(lines)


def notes_text(outcomes):
    """Remarks that belong to rows and lines."""
    lines = []
    for outcome in outcomes:
        lines += [f"- Row {outcome.number}: {note}" for note in outcome.notes]
        lines += [f"- Row {outcome.number}: a run failed and was made again: {why}" for why in outcome.repeated]
        lines += [f"- Row {outcome.number}, {result.title}, {result.versus}: {result.note}"
                  for result in outcome.results if result.note]
    return "\n".join(lines) or "None."


def facts_text(facts):
    """The machine, as a list."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            value = "; ".join(f"{name}: {each}" for name, each in value.items()) or "none"
        elif isinstance(value, list):
            value = " ".join(map(str, value))
        lines.append(f"- {key.replace('_', ' ')}: {value}")
    return "\n".join(lines)


def markdown(run, outcomes, scaling_text, plots):
    """report.md."""
    facts, mode = run["machine"], run["mode"]
    kind = "Quick" if mode["quick"] else "Full"
    parts = [
        "# Benchmarks", "", f"{kind} run of commit {facts['commit']}, {run['started']}, "
        f"{run['seconds'] / 60:.1f} minutes{'' if run['complete'] else ', INTERRUPTED'}. {summary(outcomes)}.", "",
        noise_text(outcomes), "", bystanders_text(run), "", markdown_table(outcomes), "",
    ]
    for path, caption in plots:
        parts += [f"![{caption}]({path})", ""]
    parts += ["## io_uring against epoll", "", uring_text(outcomes), ""]
    if scaling_text:
        parts += ["## Scaling", "", scaling_text, ""]
    method = METHOD.format(server=run["cpus"]["server"], client=run["cpus"]["client"])
    parts += ["## Every figure", "", "Medians. " + limits_text(outcomes), "", figures_text(outcomes), "", "## Notes", "", notes_text(outcomes), "", "## Method", "", method, "", "## Machine", "",
              facts_text(facts), ""]
    return "\n".join(parts)


def plain(value):
    """JSON without infinities."""
    if dataclasses.is_dataclass(value):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path, run, outcomes, scaling):
    """results.json: everything the report was made from."""
    rows = [dict(plain(outcome), verdict=outcome.verdict()) for outcome in outcomes]
    path.write_text(json.dumps({**plain(run), "rows": rows, "scaling": plain(scaling)}, indent=1) + "\n")
