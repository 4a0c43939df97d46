#!/usr/bin/python3
"""
Scaling: workers 1..N of this machine's CPUs. Throughput, CPU per message, and how evenly sessions land on workers.

    bench/scaling.py [--quick] [--rounds N] [--out build/bench]

Load comes from the upper half of the CPUs. Where workers reach into that half they share CPUs with the load, and the
table says so: what a machine this size cannot show is not extrapolated.
"""
import argparse
import os
import json
import pathlib
import shutil
import sys
import time

sys.dont_write_bytecode = True

import machine  # noqa: E402
import measure  # noqa: E402
import stats  # noqa: E402
from client import Load  # noqa: E402
from contest import Contest  # noqa: E402
from lockstep import Sessions, statistics_of, wait_idle  # noqa: E402
from progress import Progress  # noqa: E402

SESSIONS = 200
BALANCE_SESSIONS = 1000
BALANCE_SECONDS = 1.0


def worker_counts(cpus):
    """1..N, thinned out to powers of two above eight."""
    if cpus <= 8:
        return list(range(1, cpus + 1))
    powers = [1 << k for k in range(cpus.bit_length()) if 1 << k <= cpus]
    return sorted(set(powers + [cpus // 2, cpus]))


def client_cpus():
    """The upper half of the CPUs, the same for every number of workers."""
    cpus = machine.cpus()
    return cpus[len(cpus) - max(1, len(cpus) // 2):]


def cell():
    """All worker counts as contestants under one load."""
    load = Load(SESSIONS, threads=len(client_cpus()))
    who = tuple(measure.Contestant(str(n), f"ccserver {n} workers", "pingpong")
                for n in worker_counts(len(machine.cpus())))
    return measure.Cell(f"scaling: ping-pong, {SESSIONS} sessions", load, who, ())


def seconds(mode):
    """Planned duration."""
    return measure.cell_seconds(cell(), mode) + BALANCE_SECONDS * len(cell().contestants)


def balance(out, workers):
    """How many of 1,000 connections each worker got."""
    cpus = machine.cpus()
    with Contest(out, {cpus[0]}, set(client_cpus())) as contest:
        server = contest.server(f"ccserver {workers} workers")
        with Sessions(server.ports["pingpong"], BALANCE_SESSIONS):
            wait_idle(server, 0.05)
            return [worker["sessions_open"] for worker in statistics_of(server)["workers"]]


def measure_all(out, mode, progress):
    """Everything, as plain data."""
    cpus, found = machine.cpus(), []
    progress.step(cell().title)
    with Contest(out, {cpus[0]}, set(client_cpus())) as contest:
        samples, missing = measure.run_cell(cell(), contest, mode, progress)
    for workers in worker_counts(len(cpus)):
        name = str(workers)
        if name in missing:
            found.append({"workers": workers, "missing": missing[name]})
            continue
        entry = {"workers": workers, "shared": workers > len(cpus) - len(client_cpus()), "samples": samples[name],
                 "sessions_per_worker": balance(out, workers)}
        for metric in ("cpu_us", "msg_per_s", "client_busy"):
            entry[metric] = measure.median_of(samples[name], metric)
        if workers > 1 and "1" not in missing:
            for metric in ("cpu_us", "msg_per_s"):
                entry[metric + "_ratio"] = stats.estimate(stats.paired_ratios(
                    [s[metric] for s in samples[name]], [s[metric] for s in samples["1"]]))
        found.append(entry)
        progress.advance(BALANCE_SECONDS)
    progress.advance(measure.CELL_OVERHEAD_S)
    return {"cpus": len(cpus), "client_cpus": len(client_cpus()), "entries": found, "limits": limits(found)}


def limits(found):
    """What this machine cannot show, in words."""
    cpus, clients = len(machine.cpus()), len(client_cpus())
    clean = [e["workers"] for e in found if not e.get("shared") and "missing" not in e]
    texts = []
    if max(clean, default=0) < cpus:
        texts.append(f"With {cpus} CPUs, {clients} of them for the load, only up to {max(clean, default=0)} "
                     f"worker{'s' if max(clean, default=0) != 1 else ''} have CPUs to themselves. Above that, workers "
                     "and load take turns on the same CPUs: the throughput there is that of a crowded machine, and "
                     "nothing about more CPUs follows from it.")
    if any(e.get("client_busy", 0) > 0.9 * clients for e in found):
        texts.append("The load client was busy for more than 90 % of the time in some rows: its CPUs, not the "
                     "server's, may be the limit of the throughput there.")
    return texts


def ratio_text(entry, metric):
    """"0.98 (0.95 … 1.02)"."""
    found = entry.get(metric + "_ratio")
    if not found:
        return "-"
    return f"{found.value:.3f} ({found.low:.3f} … {found.high:.3f})" if found.known() else f"{found.value:.3f}"


def text_of(scaled):
    """The table, as Markdown."""
    if not scaled:
        return ""
    lines = ["| workers | messages/s | against 1 | CPU µs per message | against 1 | sessions per worker of "
             f"{BALANCE_SESSIONS:,} | CPUs |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for entry in scaled["entries"]:
        if "missing" in entry:
            lines.append(f"| {entry['workers']} | not available: {entry['missing']} | | | | | |")
            continue
        per_worker = entry["sessions_per_worker"]
        spread = f"{min(per_worker)} … {max(per_worker)}" if len(per_worker) > 1 else str(per_worker[0])
        lines.append(f"| {entry['workers']} | {entry['msg_per_s']:,.0f} | {ratio_text(entry, 'msg_per_s')} | "
                     f"{entry['cpu_us']:.2f} | {ratio_text(entry, 'cpu_us')} | {spread} | "
                     f"{'shared with the load' if entry['shared'] else 'own'} |")
    return "\n".join(lines + [""] + scaled["limits"])


def main():
    """Measure, print, write scaling.json, scaling.md and the plot."""
    import plots
    import report
    import run as runner
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=machine.ROOT / "build" / "bench")
    options = parser.parse_args()
    mode, out = runner.mode_of(options), options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    runner.handle_signals()
    machine.raise_nofile()
    progress = Progress(seconds(mode))
    try:
        scaled = measure_all(out, mode, progress)
    except KeyboardInterrupt:
        return 130
    finally:
        progress.close()
        shutil.rmtree(out / f"scratch-{os.getpid()}", ignore_errors=True)
    data = {"started": time.strftime("%Y-%m-%d %H:%M"), "machine": machine.facts(), "scaling": scaled}
    (out / "scaling.json").write_text(json.dumps(report.plain(data), indent=1) + "\n")
    plots.scaling(out, scaled)
    (out / "scaling.md").write_text("# Scaling\n\n" + text_of(scaled) + "\n\n![scaling](scaling.svg)\n")
    print(text_of(scaled))
    return 0


if __name__ == "__main__":
    sys.exit(main())
