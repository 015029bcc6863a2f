"""One masked call from INVITE to BYE: phones, the agent's page, the card, and everything noted on the way."""
import dataclasses
import json
import random
import re
import time

from .api import Refused
from .phones import Agent, Caller, Recorder
from .processes import DemoError

FIELDS = ("number", "expiry", "cvv")
TEST_PREFIX = "4000"  # no issuer's: numbers of test cards begin so


def luhn_digit(digits):
    """The digit that makes the number whole (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, letter in enumerate(reversed(digits)):
        value = int(letter) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


@dataclasses.dataclass
class Card:
    number: str
    expiry: str  # MMYY
    cvv: str

    @classmethod
    def fresh(cls):
        """A number nobody has, new in every run: what a scan finds is of this run."""
        body = TEST_PREFIX + "".join(random.choice("123456789") for _ in range(11))
        year = time.localtime().tm_year % 100 + 3
        return cls(body + luhn_digit(body), f"{random.randrange(1, 13):02d}{year:02d}",
                   "".join(random.choice("0123456789") for _ in range(3)))

    def keys(self, field):
        return getattr(self, field)

    @property
    def is_plain(self):
        """Half of it zeros: as bytes or as an integer such a number is in any memory, by chance."""
        return "000000" in self.number

    @property
    def is_varied(self):
        """Every ten digits of it are a find by themselves."""
        windows = [self.number[at:at + 10] for at in range(len(self.number) - 9)]
        return bool(windows) and all(len(set(window)) >= 4 for window in windows)


@dataclasses.dataclass
class CallResult:
    """What a call left. Times are monotonic seconds of this machine."""
    number: int
    steps: list = dataclasses.field(default_factory=list)  # (time, name, text)
    capture: dict = dataclasses.field(default_factory=dict)
    capture_id: str = ""
    history: list = dataclasses.field(default_factory=list)  # (time, capture as the page got it)
    call: dict = dataclasses.field(default_factory=dict)
    keys: list = dataclasses.field(default_factory=list)  # labels: onset_sample, end_sample, no key
    keys_sent: int = 0
    keys_captured: int = 0
    caller_summary: dict = dataclasses.field(default_factory=dict)
    agent_summary: dict = dataclasses.field(default_factory=dict)
    recorder_summary: dict = dataclasses.field(default_factory=dict)
    caller: Caller = None
    agent: Agent = None
    recorder: Recorder = None

    def step_time(self, name):
        return next((when for when, text, _ in self.steps if text == name), None)

    @property
    def state(self):
        return self.capture.get("state", "none")

    @property
    def start(self):
        """When the first sample of caller.wav was spoken."""
        return self.caller_summary["sample0_mono_ns"] / 1e9


class MaskedCall:
    """Drives one call. progress(text) is told what a person wants to watch."""

    def __init__(self, service, desk, number=1, *, amount=4990, currency="EUR", caller_options=(), agent_options=(),
                 progress=lambda text: None, at_state=lambda name: None, talk_s=2.5):
        self.service = service
        self.desk = desk
        self.amount = amount
        self.currency = currency
        self.progress = progress
        self.at_state = at_state
        self.talk_s = talk_s
        self.reference = f"demo-{number}-{random.randrange(10**5):05d}"
        suffix = "" if number == 1 else f"-{number}"
        self.result = CallResult(number)
        self.phones = []
        self.result.recorder = self._keep(Recorder(service, service.out, suffix))
        self.result.agent = self._keep(Agent(service, service.out, suffix, agent_options))
        self.result.caller = self._keep(Caller(service, service.out, suffix, self.reference, caller_options))
        self.caller = self.result.caller
        self.step("dialled", "the caller dials")

    def _keep(self, phone):
        self.phones.append(phone)
        return phone

    def step(self, name, text):
        self.result.steps.append((time.monotonic(), name, text))
        self.progress(text)
        self.at_state(name)

    # ---------------------------------------------------------------- the way of a call

    def connect(self):
        self.caller.expect("answered", 10)
        self.result.call = self.desk.wait_call(self.reference)
        self.step("answered", "the agent answers; both are talking, nothing is masked or delayed")
        time.sleep(self.talk_s)

    def arm(self, kind="charge", **contact):
        opened = self.desk.open_capture(self.result.call["id"], self.amount, self.currency, kind, **contact)
        self.result.capture_id = opened["id"]
        self.step("opened", f"the agent asks for {self.amount / 100:.2f} {self.currency}")
        self.wait_now("collecting and masked", lambda c: c["state"] == "collecting" and c["masked"])
        self.step("masked", "the leg is masked: voice passes, keys will not")
        time.sleep(0.8)

    def wait(self, what, accept, timeout_s=12):
        when, capture = self.desk.wait_capture(what, self.result.capture_id, accept, timeout_s)
        self.result.capture = capture
        return when, capture

    def wait_now(self, what, accept, timeout_s=8):
        """Like wait(), for states the capture may have been in before: only what the page shows latest counts."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            history = self.desk.history(self.result.capture_id)
            if history and accept(history[-1][1]):
                self.result.capture = history[-1][1]
                return history[-1]
            time.sleep(0.02)
        raise DemoError(f"the page does not show \"{what}\" after {timeout_s:.0f} s; last state: "
                        f"{self.result.capture.get('state')}")

    def key_field(self, field, keys, pause_s=0.6):
        capture = self.desk.history(self.result.capture_id)[-1][1]
        if capture["selected"] != field:
            self.desk.select(self.result.capture_id, field)
            self.wait_now(f"{field} selected", lambda c: c["selected"] == field)
        self.step(f"keying {field}", f"the caller keys the {FIELD_TEXT[field]}")
        before = len(self.desk.history(self.result.capture_id))
        self.caller.press(keys)
        end = time.monotonic() + 10 + len(keys) * 3
        shown = 0
        while time.monotonic() < end:
            news = [capture for _, capture in self.desk.history(self.result.capture_id)[before:]]
            count = max((capture["fields"][field]["keys"] for capture in news), default=0)
            if count != shown:
                shown = count
                brand = news[-1]["brand"] if field == "number" and news[-1]["brand"] != "unknown" else ""
                self.progress(f"\r{'●' * count}{'·' * max(0, len(keys) - count)}  {brand}")
            if count >= len(keys) or any(c["fields"][field]["complete"] for c in news):
                break
            time.sleep(0.02)
        while self.caller.keys_pressed > (self.caller.find_last("keyed") or {"count": 0})["count"]:
            self.caller.expect("keyed", 15, seen_before=False)
        self.step(f"keyed {field}", f"{FIELD_TEXT[field]}: {shown} of {len(keys)} keys on the page")
        time.sleep(pause_s)

    def pay(self, timeout_s=25):
        self.wait_now("ready", lambda c: c["state"] == "ready", 12)
        self.step("ready", "all fields are complete and valid")
        self.desk.submit(self.result.capture_id)
        self.step("submitted", "the agent submits")
        when, capture = self.wait_now("an end of the payment", lambda c: c["state"] in (
            "approved", "declined", "failed", "unknown") or (c["state"] == "collecting" and c["problem"] == "declined"),
            timeout_s)
        self.result.steps.append((when, capture["state"], f"the payment is {capture['state']}"))
        self.progress(f"the payment is {capture['state']}" + (f", token {capture['token']}" if capture["token"] else
                                                            f" ({capture['reason']})"))
        time.sleep(0.3)
        self.at_state("paid")

    def hang_up(self, talk_s=1.5):
        time.sleep(talk_s)
        self.step("hanging up", "the caller hangs up")
        self.caller.hang_up()
        self.finish()
        self.at_state("over")

    def finish(self):
        result = self.result
        result.caller_summary = result.caller.finish()
        result.agent_summary = result.agent.finish()
        result.recorder.hang_up()
        result.recorder_summary = result.recorder.finish()
        self.phones = []
        if result.capture_id:
            result.history = self.desk.history(result.capture_id)
            result.capture = result.history[-1][1] if result.history else result.capture
        with open(result.caller.labels, encoding="utf-8") as file:
            labels = json.load(file)["keys"]
        result.keys = [{"onset_sample": k["onset_sample"], "end_sample": k["end_sample"]} for k in labels]
        result.keys_sent = len(result.keys)
        result.keys_captured = captured(result.history)

    def abandon(self):
        for phone in self.phones:
            phone.stop(3)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.abandon()


FIELD_TEXT = {"number": "card number", "expiry": "expiry", "cvv": "security code"}


def captured(history):
    """Keys that reached the vault, counted by what the page was shown: the rises of every field."""
    total = 0
    last = dict.fromkeys(FIELDS, 0)
    for _, capture in history:
        for field in FIELDS:
            count = capture["fields"][field]["keys"]
            total += max(0, count - last[field])
            last[field] = count
    return total


def pay_by_card(service, desk, card, number=1, **options):
    """The whole demo call. Returns its CallResult."""
    with MaskedCall(service, desk, number, **options) as call:
        call.connect()
        call.arm()
        for field in FIELDS:
            call.key_field(field, card.keys(field))
        call.pay()
        call.hang_up()
        return call.result


def mask_pan_like(text):
    """For anything printed from outside: no run of six or more digits."""
    return re.sub(r"\d{6,}", lambda run: "#" * len(run.group()), text)


__all__ = ["Card", "CallResult", "MaskedCall", "pay_by_card", "captured", "Refused", "DemoError", "mask_pan_like",
           "FIELDS"]
