#!/usr/bin/env python3
"""End-to-end calls against the real service: e2e.py SCENARIO --build FOLDER [--out FOLDER]. `list` names them all.

Each scenario starts a service of its own on free ports and judges what the agent and the recorder heard. A scenario
fails by an assertion that says what was expected."""
import argparse
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tonegate_demo import judge  # noqa: E402
from tonegate_demo.api import Desk, Refused  # noqa: E402
from tonegate_demo.call import FIELDS, Card, MaskedCall, luhn_digit, pay_by_card  # noqa: E402
from tonegate_demo.outcome import JudgedCall, Outcome  # noqa: E402
from tonegate_demo.processes import DemoError  # noqa: E402
from tonegate_demo.service import Service  # noqa: E402

PROMPTS = pathlib.Path("/usr/share/asterisk/sounds/en_US_f_Allison")
DECLINED = "4000000000000002"


def check(condition, text, *shown):
    if not condition:
        raise AssertionError(text + "".join(f"\n  {one}" for one in shown))


class Stage:
    """A service, the page, and the judges, for one scenario."""
    is_sanitized = False

    def __init__(self, build, out, **service_options):
        self.service = Service(build, out, **service_options)

    def __enter__(self):
        self.service.__enter__()
        self.desk = Desk(self.service)
        return self

    def __exit__(self, *failure):
        self.desk.close()
        self.service.__exit__(*failure)

    def call(self, **options):
        options.setdefault("talk_s", 1.5)
        return MaskedCall(self.service, self.desk, **options)

    def judge(self, result):
        """Every key was masked for the agent and for the recorder; nothing but audio got through."""
        judged = JudgedCall(result, judge.judge_call(self.service, result))
        for name, report in judged.reports.items():
            check(report["verdict"] == "clean", f"{name}: a key leaked", report)
        outcome = Outcome(self.service.lookahead_ms, calls=[judged])
        check(outcome.is_quiet(), "telephone-events or INFO reached the agent or the recorder",
              result.agent_summary, result.recorder_summary)
        return judged

    def memory(self, card, allowed=()):
        if Stage.is_sanitized or judge.why_no_memory(card):  # a sanitizer's own copies are no product of ours
            return
        looks = judge.memory(self.service, card, "now", allowed) + judge.traces(self.service, self.desk, card, "now")
        for look in looks:
            check(not look["finds"] or look["is_allowed"], f"the card is in the memory of {look['role']}", look["classes"],
                  look["places"])

    def pay_rest(self, call, card, fields):
        for field in fields:
            call.key_field(field, card.keys(field), pause_s=0.3)
        call.pay()
        check(call.result.capture["state"] == "approved", "the payment must be approved", call.result.capture)


def key_half(call, card):
    """Eight keys of the number; the caller is in the middle of it."""
    call.connect()
    call.arm()
    call.caller.key(card.number[:8])
    call.wait("half of the number", lambda c: c["fields"]["number"]["keys"] == 8)


# ---------------------------------------------------------------- scenarios


def pays(build, out):
    """A card is keyed in-band, paid, and nothing leaks or stays in memory."""
    with Stage(build, out) as stage:
        card = Card.fresh()
        result = pay_by_card(stage.service, stage.desk, card, talk_s=1.5)
        stage.memory(card)
        judged = stage.judge(result)
        outcome = Outcome(20, calls=[judged])
        check(outcome.is_good(), outcome.headline(), outcome.summary())
        hears = result.agent_summary["hears"]
        check(hears["ssrc_changes"] == 0, "the agent must hear one source all the time", hears)
        check(result.caller_summary["hears"]["audio_packets"] > 200, "the caller must hear the agent", result.caller_summary)
        check(result.recorder_summary["says"]["audio_packets"] > 200, "the recorder must hear the agent, too",
              result.recorder_summary)
        if hears["gap_ms_max"] > 200:  # this machine stood still for a while: its clocks prove nothing
            return
        check(hears["timestamp_jumps"] == 0, "the agent's time stamps must be continuous", hears)
        delays = judged.reports["agent"]["delays_ms"]
        check(len(delays) == 2 and max(delays) - min(delays) == 20, "a look-ahead of 20 ms, and only while armed", delays)


def control(build, out):
    """Masking switched off: the judges must hear every key, or they are deaf."""
    with Stage(build, out, masking_off=True) as stage:
        result = pay_by_card(stage.service, stage.desk, Card.fresh(), talk_s=1.5)
        for name, report in judge.judge_call(stage.service, result).items():
            check(report["keys_leaked"] == report["keys_sent"] == result.keys_sent, f"{name}: every key must be heard", report)
            check(report["attacker"]["correct"] >= result.keys_sent - 1, f"{name}: the attacker must read", report)


def ways(build, out):
    """Tone, telephone-event and INFO at once: one key is reported once, and none of the three gets through."""
    with Stage(build, out) as stage:
        for number, way in enumerate(("tone+event+info", "event", "info"), 1):
            result = pay_by_card(stage.service, stage.desk, Card.fresh(), number, talk_s=1.2,
                                 caller_options=["--way", way])
            stage.judge(result)
            check(result.keys_captured == result.keys_sent, f"{way}: every key once", result.keys_captured)
            check(result.state == "approved", f"{way}: approved", result.capture)
            sip = result.caller_summary["sip"]
            check(sip["infos_refused"] == 0, f"{way}: the caller's INFO must be answered", sip)


def declines(build, out):
    """A declined card: another may be keyed, and the second is paid."""
    with Stage(build, out) as stage, stage.call() as call:
        bad = Card.fresh()
        bad.number = DECLINED
        call.connect()
        call.arm()
        for field in FIELDS:
            call.key_field(field, bad.keys(field), pause_s=0.3)
        call.pay()
        check(call.result.capture["problem"] == "declined" and call.result.capture["attempt"] >= 1, "declined, attempts left",
              call.result.capture)
        good = Card.fresh()
        for field in FIELDS:
            capture = stage.desk.history(call.result.capture_id)[-1][1]
            if capture["fields"][field]["keys"]:
                stage.desk.reset(call.result.capture_id, field)
                call.wait_now(f"{field} cleared", lambda c, f=field: c["fields"][f]["keys"] == 0 and c["selected"] == f)
            call.key_field(field, good.keys(field), pause_s=0.3)
        call.pay()
        call.hang_up(0.5)
        stage.judge(call.result)
        check(call.result.state == "approved", "the second card is paid", call.result.capture)
        stage.memory(good)


def hangs_up(build, out):
    """The caller leaves in the middle of the number: the capture ends, no money moves, nothing stays."""
    with Stage(build, out) as stage, stage.call() as call:
        card = Card.fresh()
        key_half(call, card)
        call.hang_up(0.2)
        _, capture = call.wait("the end", lambda c: c["state"] == "cancelled")
        check(capture["problem"] == "hang_up", "the page must say why", capture)
        stage.judge(call.result)
        time.sleep(0.3)
        stage.memory(card)


def resets(build, out):
    """A field is cleared while it is keyed, and keyed again."""
    with Stage(build, out) as stage, stage.call() as call:
        card = Card.fresh()
        key_half(call, card)
        stage.desk.reset(call.result.capture_id, "number")
        call.wait_now("an empty number", lambda c: c["fields"]["number"]["keys"] == 0)
        stage.pay_rest(call, card, FIELDS)
        call.hang_up(0.5)
        stage.judge(call.result)
        check(call.result.keys_captured == call.result.keys_sent, "every key once", call.result.keys_captured)


def kills_gateway(build, out):
    """The gateway role dies while the card is keyed: nobody notices, the payment goes through the new one."""
    kill_helper(build, out, "gateway")


def kills_desk(build, out):
    """The desk dies while the card is keyed: the call stays masked, the page comes back to the same capture."""
    kill_helper(build, out, "desk")


def kill_helper(build, out, role):
    with Stage(build, out) as stage, stage.call() as call:
        card = Card.fresh()
        key_half(call, card)
        old = stage.service.kill(role)
        call.caller.press(card.number[8:12])
        took = stage.service.wait_restarted(role, old)
        check(took < 2, f"{role} must be back within 2 s", took)
        time.sleep(1.2)
        call.caller.key(card.number[12:])
        call.wait("the whole number", lambda c: c["fields"]["number"]["keys"] == 16 and c["fields"]["number"]["valid"])
        stage.pay_rest(call, card, ("expiry", "cvv"))
        call.hang_up(0.5)
        stage.judge(call.result)
        stage.memory(card)


def kills_vault(build, out):
    """The vault dies while the card is keyed: the call stays up and masked, the page says so; a new capture is paid."""
    with Stage(build, out) as stage, stage.call() as call:
        card = Card.fresh()
        key_half(call, card)
        old = stage.service.kill("vault")
        call.caller.press(card.number[8:])
        took = stage.service.wait_restarted("vault", old)
        check(took < 2, "the vault must be back within 2 s", took)
        call.wait("what happened", lambda c: c["state"] == "lost")
        call.caller.key("159")  # still masked
        stage.desk.cancel(call.result.capture_id)
        time.sleep(1)
        call.arm()
        stage.pay_rest(call, card, FIELDS)
        call.hang_up(0.5)
        stage.judge(call.result)
        stage.memory(card)


def kills_proxy(build, out):
    """The proxy dies while the card is keyed: its calls come back masked within 2 s, or end with BYE on both sides."""
    with Stage(build, out) as stage, stage.call() as call:
        card = Card.fresh()
        key_half(call, card)
        old = stage.service.kill("proxy")
        call.caller.press(card.number[8:])
        took = stage.service.wait_restarted("proxy", old)
        check(took < 2, "the proxy must be back within 2 s", took)
        call.wait_now("the field to be keyed again", lambda c: c["problem"] == "media_restarted", 5)
        time.sleep(2.5)
        stage.desk.reset(call.result.capture_id, "number")
        call.wait_now("an empty number", lambda c: c["fields"]["number"]["keys"] == 0)
        stage.pay_rest(call, card, FIELDS)
        call.hang_up(0.5)
        result = call.result
        stage.judge(result)
        check(result.agent_summary["status"] == 200 and result.caller_summary["status"] == 200, "BYE on both sides")
        stage.memory(card)


def lasts(build, out, minutes=10.0, keys=200):
    """A long call with many keys: all captured once, none leaked. (10 minutes, so it is not among the tests)"""
    with Stage(build, out) as stage, stage.call() as call:
        call.connect()
        call.arm()
        rounds = (keys + 15) // 16
        begun = time.monotonic()
        for number in range(rounds):
            body = "".join(random.choice("0123456789") for _ in range(14))
            whole = "4" + body + luhn_digit("4" + body)
            call.key_field("number", whole[:min(16, keys - 16 * number)], pause_s=0)
            until = begun + (number + 1) * minutes * 60 / rounds
            time.sleep(max(0.3, until - time.monotonic()))
            stage.desk.reset(call.result.capture_id, "number")
            call.wait_now("an empty number", lambda c: c["fields"]["number"]["keys"] == 0)
        stage.desk.cancel(call.result.capture_id)
        call.hang_up(1)
        result = call.result
        stage.judge(result)
        check(result.keys_sent == keys == result.keys_captured, "every key once", result.keys_sent, result.keys_captured)


SHORT = (pays, control, ways, declines, hangs_up, resets, kills_gateway, kills_desk, kills_vault, kills_proxy)


def main():
    scenarios = {scenario.__name__: scenario for scenario in (*SHORT, lasts)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=["list", *scenarios])
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--out", help="keeps recordings, logs and reports here")
    parser.add_argument("--sanitized", action="store_true", help="a sanitizer's build: memory is not searched")
    parser.add_argument("--minutes", type=float, default=10, help="lasts: length of the call")
    parser.add_argument("--keys", type=int, default=200, help="lasts: keys in it")
    options = parser.parse_args()
    if options.scenario == "list":
        for name, scenario in scenarios.items():
            print(f"{name:14} {scenario.__doc__}")
        return 0
    if not PROMPTS.exists():
        print(f"skipped: {PROMPTS} is not there (Debian: asterisk-core-sounds-en-wav)")
        return 77
    Stage.is_sanitized = options.sanitized
    more = {"minutes": options.minutes, "keys": options.keys} if options.scenario == "lasts" else {}
    with tempfile.TemporaryDirectory(prefix="tonegate-e2e-") as folder:
        out = pathlib.Path(options.out or folder)
        try:
            scenarios[options.scenario](options.build, out, **more)
        except (AssertionError, DemoError, Refused) as failure:
            print(f"FAILED {options.scenario}: {failure}")
            for log in ("tonegate.log", "phones.log"):
                if (out / log).exists():
                    lines = [line for line in (out / log).read_text(errors="replace").splitlines() if '"debug"' not in line]
                    print(f"--- {log}", *lines[-25:], sep="\n")
            return 1
    print(f"ok {options.scenario}: {scenarios[options.scenario].__doc__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
