"""What the call left behind, judged by programs that know nothing of the service: leak, mask trace, memory."""
import datetime
import json
import os
import pathlib
import subprocess
import time

from .processes import DemoError


def run_json(command, good=(0,), input_text=None):
    """Runs a program that prints one JSON object; returns (object, exit code)."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, input=input_text)
    if done.returncode not in good:
        raise DemoError(f"{command[0]} failed: {done.stderr.strip() or done.returncode}")
    try:
        return json.loads(done.stdout), done.returncode
    except ValueError as error:
        raise DemoError(f"{command[0]} did not print JSON") from error


def leak(service, sent, delivered, labels, channel=1, html=None):
    """tonegate-leak's report of one delivered recording."""
    command = [service.program("tonegate-leak"), sent, delivered, "--labels", labels, "--channel", channel, "--json"]
    if html:
        command += ["--html", html]
    return run_json(command, good=(0, 1))[0]


def judge_call(service, result):
    """Leak reports of what the agent and the recorder heard."""
    out = service.out
    reports = {}
    suffix = "" if result.number == 1 else f"-{result.number}"
    for name, path in (("agent", result.agent.heard), ("recorder", result.recorder.heard)):
        reports[name] = leak(service, result.caller.sent, path, result.caller.labels, html=out / f"leak-{name}{suffix}.html")
    return reports


def mask_records(service, result, timeout_s=3):
    """What the audit trail says of the masking of this call's capture: its record, written when the leg was given back, and
    alarms of the watch if there were any."""
    end = time.monotonic() + timeout_s
    while True:
        lines = [json.loads(line) for line in (service.state / "audit.jsonl").read_text(encoding="ascii").splitlines()]
        lines = [line for line in lines if line["what"].startswith("mask.") and line.get("resource") == result.capture_id]
        if any(line["what"] == "mask.record" for line in lines) or time.monotonic() > end:
            return lines
        time.sleep(0.05)


def trace(service, result):
    """The armed path run again over caller.wav, over the time the leg was armed: suspicions, decisions, spans."""
    masked = result.step_time("masked")
    until = result.step_time("hanging up")
    command = [service.program("tonegate-trace-mask"), result.caller.sent, "--lookahead-ms", service.lookahead_ms,
               "--mode", service.options["mode"], "--engine", service.options["engine"]]
    if masked and until:
        command += ["--from-s", f"{max(0.0, masked - result.start):.3f}", "--to-s", f"{until - result.start:.3f}"]
    return run_json(command)[0]


def why_no_memory(card):
    """Why memory cannot be searched for this card; empty when it can."""
    if card.is_plain:
        return "this card's number is mostly zeros and found anywhere"
    return "" if os.geteuid() == 0 else "the roles' walls let nobody but root read them"


def memory(service, card, moment, allowed=()):
    """Looks and listens for the card in every role and the supervisor. allowed: roles that may hold it at this moment."""
    pids = {pid: role for role, pid in service.roles().items()}
    pids[service.service.child.pid] = "supervisor"
    text = f"card {card.number}\nexpiry {card.expiry}\ncvv {card.cvv}\n"
    report, _ = run_json([service.program("tonegate-memscan"), "--json",
                          *(("--partial", "10") if card.is_varied else ()), *pids], good=(0, 1), input_text=text)
    return [{"moment": moment, "role": pids[one["pid"]], "megabytes": one["bytes_scanned"] / 1e6,
             "hidden_kilobytes": one["bytes_hidden"] / 1e3, "finds": one["finds"], "classes": one["classes"],
             "places": one["places"], "is_allowed": pids[one["pid"]] in allowed} for one in report["processes"]]


def number_forms(number):
    """The number as it might stand in a file."""
    digits = [int(letter) for letter in number]
    even = digits if len(digits) % 2 == 0 else [0, *digits]
    grouped = (" ".join(number[at:at + 4] for at in range(0, len(number), 4)),
               "-".join(number[at:at + 4] for at in range(0, len(number), 4)))
    return {"text": [number.encode(), number[::-1].encode(), number.encode("utf-16-le")],
            "spaced": [form.encode() for form in grouped], "bytes": [bytes(digits)],
            "packed": [bytes(a * 16 + b for a, b in zip(even[::2], even[1::2]))]}


def find_forms(number, name, texts, moment):
    """A row like those of memory() for anything that can be read as bytes."""
    forms = number_forms(number)
    classes = {}
    size = 0
    for text in texts:
        size += len(text)
        for form, patterns in forms.items():
            count = sum(text.count(pattern) for pattern in patterns)
            if count:
                classes[form] = classes.get(form, 0) + count
    return {"moment": moment, "role": name, "megabytes": size / 1e6, "hidden_kilobytes": 0, "finds": sum(classes.values()),
            "classes": classes, "places": [], "is_allowed": False}


def traces(service, desk, card, moment):
    """The card in files the service wrote, in what the page was told, in command lines and environments."""
    files = [path.read_bytes() for folder in (service.state,) for path in sorted(folder.rglob("*")) if path.is_file()]
    files += [(service.out / "tonegate.log").read_bytes()]
    processes = []
    for pid in [service.service.child.pid, *service.roles().values()]:
        for name in ("cmdline", "environ"):
            try:
                processes.append(pathlib.Path(f"/proc/{pid}/{name}").read_bytes())
            except OSError:
                pass
    with desk.changed:
        told = [json.dumps(body).encode() for _, _, body in desk.log]
    return [find_forms(card.number, name, texts, moment) for name, texts in (
        ("files, database and logs", files), ("what the page was told", told), ("command lines", processes))]


def latencies(result, traced):
    """Per key, in ms from the onset as spoken: decision (offline trace), desk's own time stamp, dot on the page."""
    onsets = [key["onset_sample"] for key in result.keys]
    decided = {}
    for decision in (traced or {}).get("decisions", []):
        nearest = min(range(len(onsets)), key=lambda i: abs(onsets[i] - decision["onset"]), default=None)
        if nearest is not None and abs(onsets[nearest] - decision["onset"]) < 400:
            decided.setdefault(nearest, (decision["reported"] - onsets[nearest]) / 8)
    shown = dots(result)
    known = dots(result, desk_time)
    rows = []
    for i, onset in enumerate(onsets):
        spoken = result.start + onset / 8000
        rows.append({"onset_s": onset / 8000, "decision_ms": decided.get(i),
                     "desk_ms": None if i >= len(known) else (known[i] - spoken) * 1000,
                     "dot_ms": None if i >= len(shown) else (shown[i] - spoken) * 1000})
    return rows


def desk_time(_, capture):
    """The desk's own time stamp of a capture's state, on this machine's monotonic clock."""
    stamp = datetime.datetime.fromisoformat(capture["updated_at"].replace("Z", "+00:00"))
    return stamp.timestamp() - (time.time() - time.monotonic())


def dots(result, when_of=lambda when, _: when):
    """When each key's dot reached the page, or what else when_of(arrival, capture) says of it."""
    times = []
    last = {"number": 0, "expiry": 0, "cvv": 0}
    for when, capture in result.history:
        for field, before in last.items():
            count = capture["fields"][field]["keys"]
            times += [when_of(when, capture)] * max(0, count - before)
            last[field] = count
    return times


def percentile(values, share):
    ordered = sorted(v for v in values if v is not None)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
