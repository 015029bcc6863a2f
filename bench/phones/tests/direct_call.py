#!/usr/bin/env python3
"""Phones against each other without anything between them: what one keys the other must hear, in every way, and the
leak tool must say so. A phone that loses a key would make a mask look better than it is."""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

PHONE, LEAK = sys.argv[1:3]
CALLER_KEYS = "0123456789*#"


def start(*words):
    return subprocess.Popen([PHONE, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_until(phone, name):
    for line in phone.stdout:
        event = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(f"no {name}")


def make_speech(path):
    """Something to align by, where Debian's prompts may not be installed: a chirping hum."""
    import math
    import struct
    import wave
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"".join(struct.pack("<h", int(
            6000 * math.sin(i * i / 90000 % 6283 + math.sin(i / 700)) * abs(math.sin(i / 900)))) for i in range(40000)))


def call(out, *options):
    make_speech(out / "speech.wav")
    agent = start("agent", "--bind", "127.0.0.1", "--ring-ms", "20", "--mute", "--record", str(out / "agent.wav"))
    port = read_until(agent, "ready")["sip_port"]
    caller = start("caller", "--bind", "127.0.0.1", "--to", f"agent@127.0.0.1:{port}", "--record",
                   str(out / "caller.wav"), "--labels", str(out / "keys.json"), "--speech", str(out / "speech.wav"),
                   "--on-ms", "60", "--off-ms", "50", *options)
    try:
        read_until(caller, "answered")
        time.sleep(1.2)  # speech to align by
        caller.stdin.write("key " + CALLER_KEYS + "\n")
        caller.stdin.flush()
        read_until(caller, "keyed")
        caller.stdin.write("hangup\n")
        caller.stdin.flush()
        summaries = read_until(caller, "summary"), read_until(agent, "summary")
        assert caller.wait(5) == 0 and agent.wait(5) == 0
        return summaries
    finally:
        caller.kill()
        agent.kill()


def judge(out):
    done = subprocess.run([LEAK, str(out / "caller.wav"), str(out / "agent.wav"), "--labels", str(out / "keys.json"),
                           "--json"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def tones_are_heard_sample_by_sample(out):
    for law in ("pcma", "pcmu"):
        caller, agent = call(out, "--law", law)
        report = judge(out)
        assert caller["keys"] == len(CALLER_KEYS) == report["keys_leaked"] == report["attacker"]["correct"], report
        assert report["leaked_ms_max"] == 60, report
        hears = agent["hears"]
        assert hears["missing"] == hears["timestamp_jumps"] == hears["ssrc_changes"] == hears["event_packets"] == 0
        assert hears["samples"] == caller["samples_sent"], (hears, caller)


def events_and_info_arrive_and_no_tone(out):
    caller, agent = call(out, "--way", "event+info")
    report = judge(out)
    assert report["keys_leaked"] == 0, report
    assert agent["sip"]["infos_received"] == len(CALLER_KEYS) == caller["sip"]["infos_answered"], (caller, agent)
    # three packets while it is down, three that end it, at least
    assert agent["hears"]["event_packets"] >= 5 * len(CALLER_KEYS), agent


def loss_is_seen_as_gaps(out):
    caller, agent = call(out, "--loss", "20")
    assert caller["packets_dropped"] > 5
    assert 0 < agent["hears"]["missing"] <= caller["packets_dropped"], (caller, agent)
    assert agent["hears"]["timestamp_jumps"] == 0, agent


def nobody_answers(out):
    done = subprocess.run([PHONE, "caller", "--to", "a@127.0.0.1:9", "--mute"], input="", capture_output=True, text=True,
                          check=False, timeout=20)
    assert done.returncode == 1, done


def bad_options_are_named(out):
    for words in ((), ("caller",), ("agent", "--way", "shout"), ("agent", "--ptime", "5"), ("agent", "--bogus"),
                  ("recorder", "--rtp-port", "4001"), ("agent", "--speech", str(out / "missing.wav"))):
        done = subprocess.run([PHONE, *words], input="", capture_output=True, text=True, check=False)
        assert done.returncode == 2 and done.stderr, (words, done)


def main():
    for test in (tones_are_heard_sample_by_sample, events_and_info_arrive_and_no_tone, loss_is_seen_as_gaps,
                 nobody_answers, bad_options_are_named):
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))
        print("ok", test.__name__)


if __name__ == "__main__":
    main()
