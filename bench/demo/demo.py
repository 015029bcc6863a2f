#!/usr/bin/env python3
"""The first masked call. ./dev demo builds everything and runs this; --help lists the options."""
import argparse
import json
import os
import pathlib
import sys
import time

from tonegate_demo import judge, report
from tonegate_demo.api import Desk
from tonegate_demo.call import Card, luhn_digit, pay_by_card
from tonegate_demo.outcome import JudgedCall, Outcome
from tonegate_demo.phones import Agent, Caller, Recorder
from tonegate_demo.processes import DemoError
from tonegate_demo.service import GATEWAY, Service

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DECLINED_CARD = "4000000000000002"  # the sandbox's test card that issuers decline


class Screen:
    """Progress for a person: one line a step with the time since the start; dots fill in place."""

    def __init__(self, is_quiet):
        self.begun = time.monotonic()
        self.is_quiet = is_quiet
        self.is_open = False
        self.is_terminal = sys.stderr.isatty()

    def __call__(self, text):
        if self.is_quiet:
            return
        if text.startswith("\r"):
            if self.is_terminal:
                sys.stderr.write(f"\r  {'':8}{text[1:]}   ")
                self.is_open = True
        else:
            sys.stderr.write(("\n" if self.is_open else "") + f"  {time.monotonic() - self.begun:6.2f} s {text}\n")
            self.is_open = False
        sys.stderr.flush()


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--build", default=str(REPOSITORY / "build" / "release"), help="build folder of the programs")
    parser.add_argument("--out", default=str(REPOSITORY / "build" / "demo"), help="where the results go")
    card = parser.add_argument_group("the card (test cards only)")
    card.add_argument("--card", help="card number to key; a fresh test number by default. @FILE or - reads it")
    card.add_argument("--expiry", help="MMYY, default three years ahead")
    card.add_argument("--cvv", help="security code, default random")
    card.add_argument("--decline", action="store_true", help="use a card that is declined, and expect that")
    card.add_argument("--amount", type=int, default=4990, help="minor units (default 4990)")
    card.add_argument("--currency", default="EUR")
    voice = parser.add_argument_group("the caller")
    voice.add_argument("--way", default="tone", help="tone, event, info, or several joined by + (default tone)")
    voice.add_argument("--level", type=float, metavar="DBM0", help="of each tone (default -9)")
    voice.add_argument("--twist", type=float, metavar="DB", help="low minus high")
    voice.add_argument("--on", type=int, metavar="MS", help="length of a key (default 100)")
    voice.add_argument("--off", type=int, metavar="MS", help="pause between keys (default 110)")
    voice.add_argument("--loss", type=int, metavar="PERCENT", help="of the caller's RTP packets")
    voice.add_argument("--background", type=float, metavar="DBM0", default=-55,
                       help="white noise under everything (default -55: a line is never quite silent)")
    voice.add_argument("--speech-under-keys", type=float, metavar="DB", help="talk on, DB below the tones")
    voice.add_argument("--speech", action="append", metavar="FILE", help="WAV to say, repeatable")
    voice.add_argument("--law", choices=("pcma", "pcmu"), default="pcma")
    service = parser.add_argument_group("the service")
    service.add_argument("--lookahead", type=int, default=20, metavar="MS")
    service.add_argument("--mode", choices=("noise", "beep", "mute"), default="noise")
    service.add_argument("--engine", choices=("own", "spandsp"), default="own")
    service.add_argument("--masking-off", action="store_true", help="negative control: it must leak, exit 1")
    parser.add_argument("--calls", type=int, default=1, help="one after the other (default 1)")
    parser.add_argument("--stay", action="store_true", help="afterwards keep running, for your own page and keys")
    parser.add_argument("--json", action="store_true", help="print result.json instead of progress")
    options = parser.parse_args(arguments)
    if options.calls < 1 or not 0 <= options.lookahead <= 100:
        parser.error("--calls takes 1 or more, --lookahead 0 to 100")
    return options


def read_value(text):
    """A value, or what a file or standard input holds: real numbers do not belong on a command line."""
    if text and text.startswith("@"):
        return pathlib.Path(text[1:]).read_text(encoding="ascii").strip()
    if text == "-":
        return sys.stdin.readline().strip()
    return text


def pick_card(options):
    card = Card.fresh()
    if options.decline:
        card.number = DECLINED_CARD
    number = read_value(options.card)
    if number:
        if not number.isdigit() or not 12 <= len(number) <= 19 or luhn_digit(number[:-1]) != number[-1]:
            raise DemoError("--card: that is not a card number (12 to 19 digits, the last one by Luhn)")
        card.number = number
    card.expiry = read_value(options.expiry) or card.expiry
    card.cvv = read_value(options.cvv) or card.cvv
    if not (card.expiry.isdigit() and len(card.expiry) == 4 and card.cvv.isdigit() and len(card.cvv) in (3, 4)):
        raise DemoError("--expiry takes MMYY, --cvv three or four digits")
    return card


def caller_options(options):
    words = ["--way", options.way, "--law", options.law]
    for name, value in (("--level-dbm0", options.level), ("--twist-db", options.twist), ("--on-ms", options.on),
                        ("--off-ms", options.off), ("--loss", options.loss),
                        ("--background-dbm0", options.background), ("--speech-under-keys", options.speech_under_keys)):
        if value is not None:
            words += [name, str(value)]
    for path in options.speech or ():
        words += ["--speech", path]
    return words


def judge_call(service, desk, result, screen):
    screen("judging what the agent and the recorder heard")
    reports = judge.judge_call(service, result)
    traced = judge.trace(service, result)
    return JudgedCall(result, reports, traced, judge.latencies(result, traced), (desk.last_call(result.call["id"]) or {})
                      .get("leg"), records=judge.mask_records(service, result))


MOMENTS = {  # after which step memory is looked at, and who may hold the card then
    "keyed cvv": ("all keyed, not yet submitted", ("vault",)),
    "paid": ("after the payment", ()),
    "over": ("after the call", ()),
}


def memory_watch(service, desk, card, looks, screen):
    """Looks for the card in every role at the moments above; the call goes on meanwhile."""
    def at_state(name):
        why_not = judge.why_no_memory(card)
        if name not in MOMENTS or why_not:
            if name == "keyed cvv":
                screen(f"memory: not searched, {why_not}")
            return
        moment, allowed = MOMENTS[name]
        found = judge.memory(service, card, moment, allowed)
        looks.extend(found)
        if name == "over":
            found += judge.traces(service, desk, card, moment)
            looks.extend(found[-3:])
        bad = [look["role"] for look in found if look["finds"] and not look["is_allowed"]]
        size = sum(look["megabytes"] for look in found)
        screen(f"memory, {moment}: {size:.0f} MB of every role{' and of files, logs and answers' if name == 'over' else ''} searched, "
               + (f"FOUND in {', '.join(bad)}" if bad else "no digit outside the vault" if allowed else "no digit"))
    return at_state


def run_calls(service, desk, options, screen, outcome):
    for number in range(1, options.calls + 1):
        if options.calls > 1:
            screen(f"call {number} of {options.calls}")
        card = pick_card(options)
        looks = []
        result = pay_by_card(service, desk, card, number, amount=options.amount, currency=options.currency,
                             caller_options=caller_options(options), progress=screen,
                             at_state=memory_watch(service, desk, card, looks, screen))
        outcome.calls.append(judge_call(service, desk, result, screen))
        outcome.calls[-1].memory = looks


def write_results(service, outcome, out):
    result = outcome.summary()
    (out / "result.json").write_text(json.dumps(result) + "\n", encoding="utf-8")
    report.write(out / "report.html", service, outcome)
    return result


def tell(outcome, result, out, screen):
    agent = outcome.calls[0].reports["agent"]
    screen(f"keys captured {result['digits_captured']} of {result['digits_sent']}; leaked at most "
           f"{result['leaked_ms_max']:g} ms; attacker {result['attacker_correct']} of {result['digits_sent']} "
           f"(chance {agent['attacker']['chance'] * 100:.0f} %)")
    screen(outcome.headline())
    screen(f"report: {out / 'report.html'}")


def stay(service, options):
    """A call of the person's own: the page in a browser, keys from this terminal."""
    print(f"\n  The page:   https://{GATEWAY}:{service.desk_port}/   (its certificate is the demo's own)\n"
          f"  Its token:  {service.token}\n")
    number = 100
    while True:
        answer = input("  Enter starts a call, q ends: ") if sys.stdin.isatty() else "q"
        if answer.strip().lower() == "q":
            return
        number += 1
        recorder = Recorder(service, service.out, f"-{number}")
        agent = Agent(service, service.out, f"-{number}")
        try:
            print("  Take the call on the page and ask for a payment; then type the card's keys here. q hangs up.\n"
                  f"  Test cards: any number that begins with 400000 and fits Luhn; {DECLINED_CARD} is declined.")
            caller = Caller(service, service.out, f"-{number}", f"stay-{number}",
                            caller_options(options) + ["--keypad"], stdin=None)
            caller.expect("summary", 3600)
            caller.wait(5)
        finally:
            agent.stop(3)
            recorder.stop(3)
        print(f"  What the agent heard: {agent.heard}")


def clear(out):
    """Results of an earlier run must not be taken for this one's."""
    out.mkdir(parents=True, exist_ok=True)
    for pattern in ("*.wav", "*.json", "*.html", "*.log", "*.jsonl"):
        for path in out.glob(pattern):
            path.unlink()


def run(options, screen):
    out = pathlib.Path(options.out).resolve()
    clear(out)
    outcome = Outcome(options.lookahead, "declined" if options.decline else "approved")
    screen("starting: certificates, sandbox gateway, supervisor and its four roles")
    with Service(options.build, out, lookahead_ms=options.lookahead, masking_off=options.masking_off,
                 mode=options.mode, engine=options.engine, attempts_max=1 if options.decline else 3) as service:
        desk = Desk(service)
        try:
            screen("up: " + ", ".join(f"{role} {pid}" for role, pid in sorted(service.roles().items())))
            run_calls(service, desk, options, screen, outcome)
            result = write_results(service, outcome, out)
            tell(outcome, result, out, screen)
            if options.json:
                print(json.dumps(result))
            if options.stay:
                stay(service, options)
        finally:
            desk.close()
    return 0 if outcome.is_good() else 1


def main():
    options = parse(sys.argv[1:])
    screen = Screen(options.json)
    try:
        return run(options, screen)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    sys.exit(main())
