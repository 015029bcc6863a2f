#!/usr/bin/env python3
"""Measures the media plane, and Debian's rtpengine in the same run, driven the same way.

    bench/load/bench_media.py [--build build/release] [--json build/bench/media.json] [--calls 100,500] [--seconds 4]
                              [--rounds 2] [--no-peer]

For each load and mode a relay is started alone on core 0, tonegate-load carries the calls from another core, and the
relay's CPU time per relayed packet, its memory, the loss and the delay it adds are taken. Rounds alternate between the
relays; of each figure the best round counts, since a busy machine only makes things worse. Standard library only.
"""
import argparse
import glob
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import wave

RELAY_IP, CALLER, AGENT = "127.0.73.1", ("127.0.73.10", 6100), ("127.0.73.11", 6102)
NG_ADDRESS = ("127.0.73.2", 22323)
MODES = ("plain", "armed", "keying")  # the last is armed too, and every caller keys 16 digits in 20 s
LOOKAHEAD_MS = 20  # of our armed leg: the audio is that much later inside an unchanged packet clock
PEER_DELAY_MS = 100  # from 60 on the peer leaks no clean digit; 100 is what it needs over speech


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    pairs = b"".join(bencode(key) + bencode(value[key]) for key in sorted(value))
    return b"d" + pairs + b"e"


class NgControl:
    """The peer's control protocol: a cookie and a bencoded dictionary per datagram."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(NG_ADDRESS)
        self.socket.settimeout(2)
        self.count = 0

    def ask(self, command, **fields):
        self.count += 1
        cookie = b"tg%d" % self.count
        message = {"command": command, **{k.replace("_", " "): v for k, v in fields.items()}}
        self.socket.send(cookie + b" " + bencode(message))
        while True:
            answer = self.socket.recv(65536)
            if answer.startswith(cookie + b" "):
                break
        if b"6:result2:ok" not in answer and b"6:result4:pong" not in answer:
            raise RuntimeError("rtpengine refused %s: %r" % (command, answer[:300]))
        return answer.decode("latin1")


def describe(ip, port):
    lines = ["v=0", "o=- 1 1 IN IP4 " + ip, "s=-", "c=IN IP4 " + ip, "t=0 0", "m=audio %d RTP/AVP 8" % port,
             "a=rtpmap:8 PCMA/8000", "a=sendrecv", "a=ptime:20", ""]
    return "\r\n".join(lines)


def media_of(answer):
    ip = re.search(r"c=IN IP4 (\S+)", answer).group(1)
    port = re.search(r"m=audio (\d+)", answer).group(1)
    return ip, port


def alone_on_core(core):
    """Both relays before other work on that core, as far as we may."""
    def take():
        for request in (lambda: os.sched_setaffinity(0, {core}), lambda: os.setpriority(os.PRIO_PROCESS, 0, -15)):
            try:
                request()
            except OSError:
                pass
    return take


class Tonegate:
    is_unwatched = False

    def __init__(self, build, directory, calls, mode):
        self.destinations = os.path.join(directory, "destinations")
        command = [os.path.join(build, "bin", "tonegate-relay"), "--calls", str(calls), "--address", RELAY_IP,
                   "--caller", "%s:%d" % CALLER, "--agent", "%s:%d" % AGENT, "--destinations", self.destinations]
        if mode != "plain":
            command.append("--armed")
        if Tonegate.is_unwatched:
            command.append("--no-watch")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=alone_on_core(0))
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError("tonegate-relay did not start")
        self.pid = self.process.pid

    def stop(self):
        counters, _ = self.process.communicate()
        return {"relay": json.loads(counters)}


class Rtpengine:
    def __init__(self, _build, directory, calls, mode):
        self.destinations = os.path.join(directory, "destinations")
        self.log = open(os.path.join(directory, "rtpengine.log"), "w")
        self.process = subprocess.Popen(
            ["rtpengine", "--foreground", "--config-file=none", "--table=-1", "--interface=" + NG_ADDRESS[0],
             "--listen-ng=%s:%d" % NG_ADDRESS, "--port-min=30000", "--port-max=39998", "--num-threads=1",
             "--log-stderr", "--log-level=3", "--timeout=300", "--tos=0"],
            stdout=self.log, stderr=subprocess.STDOUT, cwd=directory, preexec_fn=alone_on_core(0))
        self.pid = self.process.pid
        control = self.connect()
        with open(self.destinations, "w") as out:
            for number in range(calls):
                out.write("%s %s %s %s\n" % self.call(control, "call-%d" % number, mode))

    def connect(self):
        control = NgControl()
        for _ in range(50):
            time.sleep(0.1)
            if self.process.poll() is not None:
                raise RuntimeError("rtpengine ended at its start")
            try:
                control.ask("ping")
                return control
            except OSError:
                pass
        raise RuntimeError("rtpengine does not answer")

    @staticmethod
    def call(control, name, mode):
        common = {"call-id": name, "from-tag": "caller", "ICE": "remove"}
        offered = control.ask("offer", **common, sdp=describe(*CALLER))
        answered = control.ask("answer", **common, **{"to-tag": "agent"}, sdp=describe(*AGENT))
        if mode != "plain":
            control.ask("block DTMF", **{"call-id": name, "from-tag": "caller", "flags": ["directional"],
                                         "DTMF-security": "silence", "delay-buffer": PEER_DELAY_MS})
        return media_of(answered) + media_of(offered)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        return {}


def voice_make(directory):
    """Recorded speech of Debian's package, one prompt behind the other: raw samples in a file; None when absent."""
    prompts = sorted(glob.glob("/usr/share/asterisk/sounds/en*/*.wav"))
    if not prompts:
        return None
    path = os.path.join(directory, "voice.raw")
    samples = 0
    with open(path, "wb") as out:
        for prompt in prompts:
            with wave.open(prompt) as speech:
                if (speech.getframerate(), speech.getsampwidth(), speech.getnchannels()) != (8000, 2, 1):
                    continue
                samples += speech.getnframes()
                out.write(speech.readframes(speech.getnframes()))
            if samples >= 8000 * 45:
                break
    return path if samples else None


def measure(relay_class, build, calls, mode, seconds, warm):
    with tempfile.TemporaryDirectory() as directory:
        voice = voice_make(directory)
        relay = relay_class(build, directory, calls, mode)
        try:
            rss_kb = resident_kb(relay.pid)
            core = 1 if os.cpu_count() > 1 else 0
            load = subprocess.run(
                [os.path.join(build, "bin", "tonegate-load"), "--destinations", relay.destinations, "--caller",
                 "%s:%d" % CALLER, "--agent", "%s:%d" % AGENT, "--pid", str(relay.pid), "--warm", str(int(warm * 1000)),
                 "--steady", str(int(seconds * 1000)), "--core", str(core)] +
                (["--voice", voice] if voice else []) + (["--keys"] if mode == "keying" else []),
                capture_output=True, text=True, timeout=seconds + warm + 60)
        finally:
            counters = relay.stop()
        if load.returncode != 0:
            raise RuntimeError(load.stderr.strip())
        result = json.loads(load.stdout)
        result.update(counters)
        result["rss_kb_open"] = rss_kb
        result["speech"] = "recorded" if voice else "synthetic"
        return result


def resident_kb(pid):
    with open("/proc/%d/statm" % pid) as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def empty_resident_kb(relay_class, build):
    with tempfile.TemporaryDirectory() as directory:
        relay = relay_class(build, directory, 1, "plain")
        try:
            return resident_kb(relay.pid)
        finally:
            relay.stop()


def is_disturbed(result):
    """Other work took the cores: packets were lost, or the load itself was late."""
    return result["loss_percent"] > 0.1 or result["late_ticks"] > 50


def best(rounds):
    """Per figure the round that was disturbed least; a round that lost packets shows too little CPU."""
    sound = [r for r in rounds if not is_disturbed(r)]
    chosen = dict(min(sound or rounds, key=lambda r: r["us_per_packet"] if sound else r["loss_percent"]))
    for way in ("caller_delay_ms", "agent_delay_ms"):
        chosen[way] = {part: min(r[way][part] for r in sound or rounds) for part in ("p50", "p99", "max")}
    chosen["is_disturbed"] = not sound
    chosen["us_per_packet_rounds"] = [r["us_per_packet"] for r in rounds]
    return chosen


def host():
    model = "unknown"
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "load_average": os.getloadavg()[0]}



def run(options):
    relays = {"tonegate": Tonegate}
    if options.no_peer:
        print("rtpengine: left out as asked")
    elif shutil.which("rtpengine") is None:
        print("rtpengine: skipped, the package rtpengine-daemon is not installed; no ratio will be shown")
    else:
        relays["rtpengine"] = Rtpengine
    loads = [int(n) for n in options.calls.split(",")]
    empty_kb = {name: empty_resident_kb(relay, options.build) for name, relay in relays.items()}
    cells = {}
    total = options.rounds * len(loads) * len(MODES) * len(relays)
    done = 0
    for _ in range(options.rounds):
        for calls in loads:
            for mode in MODES:
                for name, relay in relays.items():
                    done += 1
                    print("  %2d of %d: %s, %d calls, %s" % (done, total, name, calls, mode), flush=True)
                    result = measure(relay, options.build, calls, mode, options.seconds, options.warm)
                    cells.setdefault((name, calls, mode), []).append(result)
    return collect(cells, empty_kb)


def collect(cells, empty_kb):
    rows = []
    for (name, calls, mode), rounds in cells.items():
        row = best(rounds)
        row.update(relay=name, mode=mode)
        row["kb_per_call"] = round((row["rss_kb"] - empty_kb[name]) / calls, 1)
        row["audio_later_ms"] = LOOKAHEAD_MS if name == "tonegate" and mode != "plain" else 0
        rows.append(row)
    for row in rows:
        peers = [r for r in rows if r["relay"] == "rtpengine" and r["mode"] == row["mode"] and
                 r["calls"] == row["calls"]]
        if row["relay"] == "tonegate" and peers and not row["is_disturbed"] and not peers[0]["is_disturbed"]:
            row["times_cheaper"] = round(peers[0]["us_per_packet"] / row["us_per_packet"], 2)
    return rows


def show(rows):
    form = "%-10s %-6s %5s %7s %6s %8s %7s %22s %22s %8s"
    print("\n" + form % ("relay", "mode", "calls", "us/pkt", "ratio", "KB/call", "loss %", "caller ms p50/p99/max",
                         "agent ms p50/p99/max", "audio +"))
    for row in sorted(rows, key=lambda r: (MODES.index(r["mode"]), r["calls"], r["relay"] != "tonegate")):
        ratio = "%.1fx" % row["times_cheaper"] if "times_cheaper" in row else ""
        ways = ["%.1f / %.1f / %.1f" % (row[way]["p50"], row[way]["p99"], row[way]["max"])
                for way in ("caller_delay_ms", "agent_delay_ms")]
        print(form % (row["relay"], row["mode"], row["calls"], "%.2f" % row["us_per_packet"], ratio,
                      "%.1f" % row["kb_per_call"], "%.3f" % row["loss_percent"], *ways,
                      "%d ms" % row["audio_later_ms"]) + (" (disturbed)" if row["is_disturbed"] else ""))
    if any(row["is_disturbed"] for row in rows):
        print("disturbed: no round went without loss or late sending; other work had the cores, do not quote these.")
    print("us/pkt: CPU of the relay per packet relayed, kernel included. caller ms: delay of what the caller says. audio +:\n"
          "how much later the audio is inside unchanged packets. armed: caller's leg masked, keying: and every caller keys\n"
          "16 digits in each 20 s; for rtpengine that is DTMF-security=silence, delay-buffer %d ms, caller's side only." %
          PEER_DELAY_MS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--json", default="build/bench/media.json")
    parser.add_argument("--calls", default="100,500")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--warm", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--no-watch", action="store_true", help="media.watch: false, for what the watch costs")
    options = parser.parse_args()
    Tonegate.is_unwatched = options.no_watch
    if not os.path.exists(os.path.join(options.build, "bin", "tonegate-load")):
        sys.exit("%s/bin/tonegate-load is not there: build the target first (cmake --build %s)" %
                 (options.build, options.build))
    rows = run(options)
    show(rows)
    os.makedirs(os.path.dirname(options.json) or ".", exist_ok=True)
    with open(options.json, "w") as out:
        json.dump({"host": host(), "command": " ".join(sys.argv), "results": rows}, out, indent=1)
        out.write("\n")
    print("written: " + options.json)


if __name__ == "__main__":
    main()
