#!/usr/bin/env python3
"""Calls beside those of bench/e2e: calls.py demo|control|long --build FOLDER [--out FOLDER].

demo     demo.py as ./dev demo runs it: exit code, result.json, recordings, report, look-ahead only while armed
control  demo.py with masking off: it must say that it leaked, and fail
long     a call of 10 minutes with 200 keys (--minutes, --keys): all captured once, none leaked"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import wave

DEMO = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(DEMO))

from tonegate_demo import judge  # noqa: E402
from tonegate_demo.api import Desk  # noqa: E402
from tonegate_demo.call import MaskedCall, luhn_digit  # noqa: E402
from tonegate_demo.processes import DemoError  # noqa: E402
from tonegate_demo.service import Service  # noqa: E402

PROMPTS = pathlib.Path("/usr/share/asterisk/sounds/en_US_f_Allison")
FIELDS = {"digits_sent", "digits_captured", "leaked_ms_max", "attacker_correct", "lookahead_ms", "payment", "calls"}


def check(condition, text, *shown):
    if not condition:
        raise AssertionError(text + "".join(f"\n  {one}" for one in shown))


def run_demo(options, *words):
    done = subprocess.run([sys.executable, "-B", str(DEMO / "demo.py"), "--json", "--build", options.build, "--out",
                           options.out, *words], capture_output=True, text=True, timeout=150, check=False)
    check(done.stdout, "the demo printed no result", done.stderr)
    return json.loads(done.stdout), done.returncode


def is_sounding(path, channel):
    with wave.open(str(path)) as file:
        width = 2 * file.getnchannels()
        frames = file.readframes(file.getnframes())
    samples = [frames[at + 2 * channel:at + 2 * channel + 2] for at in range(0, len(frames), width * 50)]
    return sum(abs(int.from_bytes(one, "little", signed=True)) > 500 for one in samples) > 20


def demo(options):
    begun = time.monotonic()
    result, code = run_demo(options)
    out = pathlib.Path(options.out)
    check(code == 0, "exit code", code, result)
    check(time.monotonic() - begun < 60, "the demo must take less than a minute")
    check(json.loads((out / "result.json").read_text()) == result and set(result) == FIELDS, "result.json", result)
    check(result["digits_sent"] == result["digits_captured"] == 23 and result["leaked_ms_max"] == 0, "figures", result)
    check(result["payment"]["status"] == "succeeded" and result["payment"]["token"], "payment", result)
    page = (out / "report.html").read_text()
    check(page.count("data:image/png;base64,") == 3 and "http://" not in page and "https://" not in page,
          "the report must stand alone, with three spectrograms")
    check(is_sounding(out / "caller-heard.wav", 0), "the caller must hear the agent")
    check(is_sounding(out / "recorder.wav", 1), "the recorder must hear the agent")
    check(is_sounding(out / "agent.wav", 0), "the agent must hear the caller")
    leak = pathlib.Path(options.build) / "bin" / "tonegate-leak"
    delays = judge.run_json([leak, out / "caller.wav", out / "agent.wav", "--labels", out / "keys.json", "--json"],
                            good=(0, 1))[0]["delays_ms"]
    check(any(abs(a - b - 20) < 0.2 for a in delays for b in delays), "a look-ahead of 20 ms, only while armed", delays)


def control(options):
    result, code = run_demo(options, "--masking-off")
    check(code == 1, "masking is off, the demo must fail", code)
    check(result["leaked_ms_max"] > 90 and result["attacker_correct"] >= result["digits_sent"] - 1, "it must be heard", result)


def long(options):
    """Every round keys a number, clears it, and waits for its share of the time."""
    with Service(options.build, options.out) as service:
        desk = Desk(service)
        with MaskedCall(service, desk, talk_s=1.5) as call:
            call.connect()
            call.arm()
            rounds = (options.keys + 15) // 16
            begun = time.monotonic()
            for number in range(rounds):
                body = "4" + "".join(random.choice("0123456789") for _ in range(14))
                call.key_field("number", (body + luhn_digit(body))[:options.keys - 16 * number], pause_s=0)
                until = begun + (number + 1) * options.minutes * 60 / rounds
                time.sleep(max(0.3, until - time.monotonic()))
                desk.reset(call.result.capture_id, "number")
                call.wait_now("an empty number", lambda c: c["fields"]["number"]["keys"] == 0)
            desk.cancel(call.result.capture_id)
            call.hang_up(1)
            result = call.result
        desk.close()
        check(result.keys_sent == options.keys == result.keys_captured, "every key once", result.keys_sent,
              result.keys_captured)
        for name, report in judge.judge_call(service, result).items():
            check(report["verdict"] == "clean", f"{name}: a key leaked", report)


def main():
    calls = {call.__name__: call for call in (demo, control, long)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("call", choices=calls)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--out", help="keeps recordings, logs and reports here")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--keys", type=int, default=200)
    options = parser.parse_args()
    if not PROMPTS.exists():
        print(f"skipped: {PROMPTS} is not there (Debian: asterisk-core-sounds-en-wav)")
        return 77
    with tempfile.TemporaryDirectory(prefix="tonegate-call-") as folder:
        options.out = options.out or folder
        try:
            calls[options.call](options)
        except (AssertionError, DemoError) as failure:
            print(f"FAILED {options.call}: {failure}")
            return 1
    print(f"ok {options.call}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
