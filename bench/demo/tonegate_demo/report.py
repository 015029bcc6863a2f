"""report.html: the call as pictures, a time line and figures, in one file."""
import base64
import html
import json
import subprocess
import tempfile
import wave

from . import judge

WIDTH = 1600
CARD_STATES = {"approved": "Approved", "declined": "Declined", "failed": "Failed", "unknown": "Unknown"}

STYLE = """
:root{color-scheme:light dark;--back:#f6f7f9;--paper:#fff;--ink:#1b2430;--soft:#5c6878;--line:#d9dee6;--good:#16835a;
--bad:#c8284f;--key:#2f6fde;--mask:#7a5af0;--hunch:#d78a12;--dot:#16835a;--step:#5c6878}
@media(prefers-color-scheme:dark){:root{--back:#12161c;--paper:#1a2029;--ink:#e8ecf2;--soft:#9aa7b8;--line:#2d3643;
--good:#4cc793;--bad:#ff6b8a;--key:#7fb0ff;--mask:#a896ff;--hunch:#f0b65a;--dot:#4cc793;--step:#9aa7b8}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);font:15px/1.55 system-ui,sans-serif}
main{max-width:82rem;margin:0 auto;padding:2rem 1.2rem 4rem}h1{font-size:1.7rem;margin:0 0 .3rem}
h2{font-size:1.1rem;margin:0 0 .8rem}p{margin:.3rem 0}.soft{color:var(--soft)}
section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:1.1rem 1.3rem;margin-top:1.1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.9rem;margin-top:1.1rem}
.tile{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:.9rem 1.1rem}
.tile b{display:block;font-size:1.55rem;font-weight:650;letter-spacing:-.01em}.good b{color:var(--good)}.bad b{color:var(--bad)}
.tile span{overflow-wrap:anywhere;color:var(--soft);font-size:.88rem}.wide{overflow-x:auto}.stack{min-width:58rem}
.row{position:relative;margin-bottom:.5rem}.row img{display:block;width:100%;height:9.5rem;border-radius:6px}
.row em{position:absolute;left:.6rem;top:.4rem;font-style:normal;font-size:.82rem;color:#fff;background:#0009;
padding:.05rem .55rem;border-radius:99px}.stack svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:13px system-ui,sans-serif}table{border-collapse:collapse;width:100%}
td,th{padding:.28rem .7rem;border-bottom:1px solid var(--line);text-align:right;font-variant-numeric:tabular-nums}
th{color:var(--soft);font-weight:500}td:first-child,th:first-child{text-align:left}
.left td,.left th{text-align:left}.ok{color:var(--good)}.no{color:var(--bad)}details{margin-top:.8rem}
summary{cursor:pointer;color:var(--soft)}code{font-size:.9em}
"""


def spectrogram(service, path, channel, from_s, length_s):
    with tempfile.NamedTemporaryFile(suffix=".png") as picture:
        done = subprocess.run([service.program("tonegate-spectrogram"), str(path), picture.name, "--channel",
                               str(channel), "--from-s", f"{from_s:.4f}", "--length-s", f"{length_s:.4f}", "--width",
                               str(WIDTH), "--height", "160"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return None
        return base64.b64encode(picture.read()).decode()


def length_of(path):
    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()


def pictures(service, result, length_s):
    """Caller, agent, recorder above each other; every one starts when caller.wav does."""
    start = result.caller_summary["sample0_mono_ns"]
    rows = []
    for name, text, path, origin in (
            ("caller", "Caller: what was sent", result.caller.sent, start),
            ("agent", "Agent: what was heard", result.agent.heard, result.agent_summary["hears"]["sample0_mono_ns"]),
            ("recorder", "Recorder: what was recorded", result.recorder.heard,
             result.recorder_summary["sample0_mono_ns"])):
        picture = spectrogram(service, path, 1, (start - origin) / 1e9, length_s)
        if picture:
            rows.append(f'<div class="row"><img alt="Spectrogram of {name}.wav, 0 to 4 kHz" '
                        f'src="data:image/png;base64,{picture}"><em>{text}</em></div>')
    return "\n".join(rows)


class TimeLine:
    """Rows of marks on the common time axis, as SVG."""

    def __init__(self, length_s):
        self.length_s = length_s
        self.parts = []
        self.height = 0

    def x(self, seconds):
        return seconds / self.length_s * WIDTH

    def axis(self):
        self.height += 22
        step = next(s for s in (0.5, 1, 2, 5, 10, 30, 60, 120) if self.length_s / s <= 24)
        at = 0
        while at < self.length_s:
            self.parts.append(f'<line x1="{self.x(at):.1f}" x2="{self.x(at):.1f}" y1="0" y2="6" stroke="var(--line)"/>'
                              f'<text x="{self.x(at) + 3:.1f}" y="15">{at:g} s</text>')
            at += step

    def row(self, title, marks):
        top = self.height
        self.height += 34
        if title:
            self.parts.append(f'<line x1="0" x2="{WIDTH}" y1="{top + 33}" y2="{top + 33}" stroke="var(--line)"/>')
        self.parts += marks(top)
        self.parts.append(f'<text x="4" y="{top + 20}" style="paint-order:stroke;stroke:var(--paper);stroke-width:5px">'
                          f'{html.escape(title)}</text>')

    def spans(self, title, spans, colour):
        self.row(title, lambda top: [
            f'<rect x="{self.x(a):.2f}" y="{top + 9}" width="{max(1.2, self.x(b) - self.x(a)):.2f}" height="16" rx="2" '
            f'fill="var(--{colour})"/>' for a, b in spans])

    def ticks(self, title, times, colour):
        self.row(title, lambda top: [
            f'<line x1="{self.x(t):.2f}" x2="{self.x(t):.2f}" y1="{top + 8}" y2="{top + 26}" stroke="var(--{colour})" '
            f'stroke-width="2"/>' for t in times])

    def steps(self, steps):
        """Numbered flags: their words stand in the list below."""
        def marks(top):
            parts = []
            ends = [-1e9] * 3  # lines of flags, each free again where its last one ends
            for number, seconds in steps:
                x = min(max(self.x(seconds), 11), WIDTH - 11)
                line = next((i for i, end in enumerate(ends) if x - end > 22), 2)
                ends[line] = x
                y = top + 17 + 24 * line
                parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{y - 10}" stroke="var(--line)"/>'
                             f'<circle cx="{x:.1f}" cy="{y}" r="10" fill="var(--step)"/>'
                             f'<text x="{x:.1f}" y="{y + 4.5}" text-anchor="middle" style="fill:var(--paper);'
                             f'font-size:12px">{number}</text>')
            return parts
        self.row("", marks)
        self.height += 48

    def svg(self):
        return (f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="Time line">' + "".join(self.parts) +
                "</svg>")


def merge(spans, apart=0.0):
    merged = []
    for a, b in sorted(spans):
        if merged and a <= merged[-1][1] + apart:
            merged[-1][1] = max(b, merged[-1][1])
        else:
            merged.append([a, b])
    return merged


def time_line(result, traced, length_s):
    line = TimeLine(length_s)
    line.axis()
    line.spans("keys pressed", [(k["onset_sample"] / 8000, k["end_sample"] / 8000) for k in result.keys], "key")
    if traced:
        hunches = merge([(s / 8000, s / 8000 + 0.002) for s in traced["suspicions"]], 0.004)
        line.spans("suspicion", hunches, "hunch")
        line.ticks("decision", [d["reported"] / 8000 for d in traced["decisions"]], "key")
        line.spans("masked", [(a / 8000, b / 8000) for a, b in traced["spans"]], "mask")
    line.ticks("dots on the page", [t - result.start for t in judge.dots(result)], "dot")
    line.steps([(n, when - result.start) for n, (when, _, _) in enumerate(result.steps, 1)
                if 0 <= when - result.start <= length_s])
    return line.svg()


def figure(value, unit="", digits=1):
    return "–" if value is None else f"{value:.{digits}f}{unit}"


def latency_table(rows):
    body = []
    for title, name in (("onset → decision (trace of the armed path)", "decision_ms"),
                        ("onset → desk has it (live, its own time stamp)", "desk_ms"),
                        ("onset → dot on the page (live)", "dot_ms")):
        values = [row[name] for row in rows if row[name] is not None]
        cells = "".join(f"<td>{figure(v, ' ms')}</td>" for v in (
            judge.percentile(values, 0.5), judge.percentile(values, 0.9), max(values, default=None)))
        body.append(f"<tr><td>{title}</td>{cells}<td>{len(values)}</td></tr>")
    return ("<table><tr><th></th><th>median</th><th>90 %</th><th>longest</th><th>keys</th></tr>" + "".join(body) +
            "</table>")


def leak_table(reports):
    body = []
    for name, report in reports.items():
        attacker = report["attacker"]
        body.append(
            f"<tr><td>{name}</td><td>{report['keys_leaked']} of {report['keys_sent']}</td>"
            f"<td>{report['leaked_ms_max']:.3f} ms</td><td>{attacker['correct']} of {attacker['of']}</td>"
            f"<td>{attacker['interval'][0] * 100:.0f}–{attacker['interval'][1] * 100:.0f} %</td>"
            f"<td>{attacker['chance'] * 100:.1f} %</td>"
            f"<td class=\"{'ok' if report['verdict'] == 'clean' else 'no'}\">{report['verdict']}</td></tr>")
    return ("<table><tr><th>heard by</th><th>keys leaked</th><th>most of one key</th><th>attacker right</th>"
            "<th>95 % interval</th><th>chance</th><th>verdict</th></tr>" + "".join(body) + "</table>")


def step_list(result):
    rows = "".join(f"<tr><td>{n}</td><td>{when - result.start:+.2f} s</td><td>{html.escape(text)}</td></tr>"
                   for n, (when, _, text) in enumerate(result.steps, 1))
    return f'<table class="left"><tr><th></th><th>since the first word</th><th></th></tr>{rows}</table>'


def stream_table(result):
    rows = []
    names = (("packets", "packets"), ("missing", "missing"), ("timestamp_jumps", "time stamp jumps"),
             ("ssrc_changes", "SSRC changes"), ("event_packets", "telephone-events"), ("gap_ms_max", "longest gap, ms"))
    for title, hears in (("agent", result.agent_summary["hears"]), ("recorder", result.recorder_summary["hears"]),
                         ("caller", result.caller_summary["hears"])):
        rows.append(f"<tr><td>{title}</td>" + "".join(f"<td>{hears[k]:.0f}</td>" for k, _ in names) + "</tr>")
    head = "".join(f"<th>{text}</th>" for _, text in names)
    return f"<table><tr><th>received by</th>{head}</tr>{''.join(rows)}</table>"


def memory_section(looks):
    if not looks:
        return ""
    rows = []
    for look in looks:
        found = ", ".join(f"{name} {count}" for name, count in look["classes"].items()) or "nothing"
        state = ("ok", found) if not look["finds"] else ("soft", f"{found}: allowed now") if look["is_allowed"] else ("no", found)
        rows.append(f"<tr><td>{html.escape(look['moment'])}</td><td>{look['role']}</td>"
                    f"<td>{look['megabytes']:.1f} MB, {look['hidden_kilobytes']:.0f} kB hidden by the kernel</td>"
                    f"<td class=\"{state[0]}\">{html.escape(state[1])}</td></tr>")
    return ('<section><h2>The memory</h2><table class="left"><tr><th>when</th><th>role</th><th>looked at</th><th>found</th>'
            f"</tr>{''.join(rows)}</table><p class=soft>Every role's memory is searched for the card as text, digits, BCD, "
            "integers and other forms, and listened to: audio of the keys is the card, too. Only the vault may hold it, and "
            "only until the payment is made.</p></section>")


def record_section(records):
    """The audit trail's own words on the masking."""
    rows = []
    for line in records:
        level = line.get("residual_dbm0")
        kind = "ok" if line["outcome"] == "clean" else "no"
        cells = (line["what"], f"{line.get('from', line['time'])[11:23]} to {line.get('to', line['time'])[11:23]}",
                 line.get("spans", "–"), f"{line.get('masked_ms', 0) / 1000:.2f} s", f"{line.get('watched_ms', 0) / 1000:.2f} s",
                 line.get("watch_keys", 0) + line.get("watch_remains", 0), "–" if level is None else f"{level:.1f} dBm0")
        rows.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) +
                    f"<td class=\"{kind}\">{html.escape(line['outcome'])}</td></tr>")
    return ("<section><h2>The record of masking</h2><table><tr><th>audit line</th><th>leg masked, UTC</th><th>spans</th>"
            "<th>replaced</th><th>listened to</th><th>keys heard</th><th>left at the eight frequencies</th><th>verdict</th></tr>"
            f"{''.join(rows)}</table><p class=soft>Written into the hash-chained audit trail when the leg was given back. An ear "
            "that shares nothing with the mask listens to every packet before it leaves; had it heard a key, the leg would "
            "have been muted. The times of single keys are left out on purpose.</p></section>")


def promise_table(promises):
    rows = "".join(f"<tr><td>{name}</td><td>{html.escape(text)}</td>"
                   f"<td class=\"{'soft' if kept is None else 'ok' if kept else 'no'}\">"
                   f"{'not looked at here' if kept is None else 'kept' if kept else 'broken'}</td></tr>"
                   for name, text, kept in promises)
    return f'<table class="left">{rows}</table>'


def tile(value, text, is_good=None):
    kind = "" if is_good is None else " good" if is_good else " bad"
    return f'<div class="tile{kind}"><b>{html.escape(str(value))}</b><span>{html.escape(text)}</span></div>'


def write(path, service, outcome):
    """outcome is demo.Outcome: all calls, their reports, the result and the promises."""
    first = outcome.calls[0]
    result, reports, traced = first.result, first.reports, first.traced
    length_s = max(1.0, length_of(result.caller.sent))
    summary = outcome.summary()
    state = summary["payment"]["status"]
    leaked = summary["leaked_ms_max"]
    page = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'><title>Tonegate: a masked call</title>"
        f"<style>{STYLE}</style></head><body><main>",
        f"<h1>{html.escape(outcome.headline())}</h1>",
        f"<p class=soft>{html.escape(outcome.subline())}</p>",
        '<div class="tiles">',
        tile(f"{summary['digits_captured']} of {summary['digits_sent']}", "keys captured",
             summary["digits_captured"] == summary["digits_sent"]),
        tile(f"{leaked:g} ms", "most of any key that got through", leaked == 0),
        tile(f"{summary['attacker_correct']} of {summary['digits_sent']}",
             f"keys an attacker names; chance {summary['digits_sent'] / 12:.1f}", not outcome.attacker_reads()),
        tile(CARD_STATES.get(result.state, state), f"payment {result.capture.get('token') or ''}",
             outcome.is_payment_good()),
        tile(f"{service.lookahead_ms} ms", "look-ahead, only while armed"),
        "</div>",
        "<section><h2>The call</h2><div class=wide><div class=stack>",
        pictures(service, result, length_s), time_line(result, traced, length_s),
        "</div></div><p class=soft>Time runs from the caller's first word. 0 to 4 kHz, −70 to 0 dBm0. Keys, dots and "
        "numbered steps are live; suspicion, decision and masked spans are the armed path run again over caller.wav, "
        f"which is what the caller sent. The live leg reported {result_leg(outcome)}.</p>",
        f"<details open><summary>Steps</summary>{step_list(result)}</details></section>",
        f"<section><h2>What leaked</h2>{leak_table(reports)}<p class=soft>Three judges compare what was sent with what "
        "was delivered: copies of the tone down to 1 ms, both frequencies above the noise floor, and an attacker who "
        "picks the best of 12 keys over all windows of 5 to 80 ms. One of them is enough for a leak.</p></section>",
        f"<section><h2>How late</h2>{latency_table(first.latencies)}<p class=soft>An onset is the sample at which the "
        "tone begins in the caller's mouth: packetisation, network and page are included in the live lines.</p></section>",
        f"<section><h2>The streams</h2>{stream_table(result)}</section>",
        record_section(first.records),
        memory_section(first.memory),
        f"<section><h2>The payment</h2>{payment_table(result)}</section>",
        f"<section><h2>The promises</h2>{promise_table(outcome.promises())}</section>",
        f"<details><summary>result.json</summary><pre>{html.escape(json.dumps(summary, indent=1))}</pre></details>",
        "</main></body></html>",
    ]
    path.write_text("\n".join(page), encoding="utf-8")


def result_leg(outcome):
    leg = outcome.calls[0].leg or {}
    if not leg.get("frames"):
        return "nothing more"
    return f"{leg['frames']} frames to the agent, {leg['masked_ms']} ms of them masked, {leg['keys']} keys"


def payment_table(result):
    capture = result.capture
    rows = []
    shown = None
    for when, state in result.history:
        if state["state"] != shown:
            shown = state["state"]
            rows.append(f"<tr><td>{when - result.start:+.3f} s</td><td>{html.escape(shown.replace('_', ' '))}</td></tr>")
    facts = [("amount", f"{capture.get('amount', 0) / 100:.2f} {capture.get('currency', '')}"),
             ("brand", capture.get("brand")), ("token", capture.get("token")),
             ("gateway's reference", capture.get("payment_ref")), ("reason", capture.get("reason"))]
    table = "".join(f"<tr><td>{html.escape(k)}</td><td><code>{html.escape(str(v))}</code></td></tr>"
                    for k, v in facts if v and v != "none")
    return f'<table class="left">{table}</table><details open><summary>states</summary><table class="left">' + \
        "".join(rows) + "</table></details>"
