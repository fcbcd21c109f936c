"""Draws the course of a job from its event log: python3 timeline.py events.ndjson [FROM_SECOND] > recovery.svg

tfos debug APP --page events prints the log of a job that runs; it lies in ~/.tfos/jobs/APP on HDFS once the job has ended.
"""

import datetime
import html
import json
import re
import sys

WIDTH, LEFT, TOP, ROW = 800, 76, 44, 34
INK, GREY = "#57606a", "#8c959f"
COLOURS = ("#0969da", "#8250df", "#bf3989", "#9a6700")  # of incarnations


def when(text):
    return datetime.datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*Z$|Z$", lambda m: "." + (m.group(1) or "0").ljust(6, "0") + "+00:00", text)).timestamp()


def main(name, begin=0.0):
    with open(name) as f:
        turns = [json.loads(line) for line in f][1:]
    zero = when(turns[0]["time"]) + begin
    end = when(turns[-1]["time"])
    bars, losses, checkpoints, published = [], [], [], []
    running = {}
    roles = ["chief", "worker", "ps"]  # the others behind them

    def order(task):
        role, index = task.split("/")
        return (roles.index(role) if role in roles else len(roles), role, int(index))

    tasks = sorted({t["event"]["task"] for t in turns if t["event"]["kind"] == "started"}, key=order)
    for turn in turns:
        at, event = when(turn["time"]), turn["event"]
        kind = event["kind"]
        if kind == "started":
            running[event["task"]] = (at, event["incarnation"])
        elif kind == "exited" and event["task"] in running:
            since, incarnation = running.pop(event["task"])
            bars.append((event["task"], since, at, incarnation))
            if not event.get("stopped") and event["code"]:
                losses.append((event["task"], at, event.get("signal") or f"exit code {event['code']}"))
        elif kind == "checkpoint-seen" and event["step"] > 0:
            checkpoints.append((when(event["time"]), event["step"]))
        published += [at for a in turn.get("actions") or [] if a["kind"] == "publish"]

    bars += [(task, since, end, incarnation) for task, (since, incarnation) in running.items()]
    scale = (WIDTH - LEFT - 16) / (end - zero)

    def x(at):
        return LEFT + max(0.0, at - zero) * scale

    rows = {task: TOP + i * ROW for i, task in enumerate(tasks)}
    bottom = TOP + len(tasks) * ROW
    height = bottom + 62
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">']
    out.append(f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff" stroke="#d0d7de"/>')
    for i, at in enumerate(p for p in published if p >= zero or p == published[0]):
        out.append(f'<line x1="{x(at):.1f}" y1="{TOP - 12}" x2="{x(at):.1f}" y2="{bottom}" stroke="{GREY}" stroke-dasharray="3 3"/>')
        out.append(f'<text x="{x(at) + 3:.1f}" y="{TOP - 16}" fill="{GREY}">spec {i + 1}</text>')
    for task, y in rows.items():
        out.append(f'<text x="{LEFT - 8}" y="{y + 17}" text-anchor="end">{html.escape(task)}</text>')
    for task, since, at, incarnation in bars:
        if at < zero:
            continue
        y, colour = rows[task], COLOURS[(incarnation - 1) % len(COLOURS)]
        out.append(f'<rect x="{x(since):.1f}" y="{y}" width="{max(2.0, x(at) - x(since) - 1):.1f}" height="24" rx="3" fill="{colour}"/>')
        after = next((f", after {why}" for lost, when_lost, why in reversed(losses) if lost == task and when_lost <= since), "")
        text = f"incarnation {incarnation}{after}"
        if len(text) * 6.5 > x(at) - x(since) - 16:
            text = str(incarnation)
        out.append(f'<text x="{x(since) + 10:.1f}" y="{y + 17}" fill="#ffffff">{html.escape(text)}</text>')
    for task, at, _ in losses:
        if at >= zero:
            out.append(f'<path d="M{x(at) - 6:.1f} {rows[task] + 5}l12 14m0 -14l-12 14" stroke="#cf222e" stroke-width="3"/>')
    out.append(f'<text x="{LEFT - 8}" y="{bottom + 17}" text-anchor="end">saved step</text>')
    for at, step in sorted(checkpoints):
        if at >= zero:
            out.append(f'<circle cx="{x(at):.1f}" cy="{bottom + 13}" r="4" fill="#1a7f37"/>')
            out.append(f'<text x="{x(at):.1f}" y="{bottom + 31}" text-anchor="middle" fill="#1a7f37">{step}</text>')
    for s in range(0, int(end - zero) + 1, max(5, int((end - zero) / 8 / 5) * 5)):
        out.append(f'<text x="{LEFT + s * scale:.1f}" y="{bottom + 52}" text-anchor="middle" fill="{GREY}">{s} s</text>')
    print("\n".join(out + ["</svg>"]))


main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
