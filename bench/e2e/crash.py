#!/usr/bin/env python3
"""Kills a role at every point of a payment and asks afterwards who has the money: the gateway's ledger, the desk's
database and the agent's page must tell the same story.

crash.py --build DIR ROLE-POINT ...    the cases named
crash.py --build DIR --all             all of them, and a table; exit 0 when all hold
crash.py --planted                     books that do not agree, each of which must be found
"""
import argparse
import http.client
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
import traceback

import e2e
from e2e import DemoError, Rig, check, key_all
from tonegate_demo.call import Card
from tonegate_demo.sandbox import Sandbox

ROLES = ("vault", "gateway", "desk", "proxy")
HELD_MS = 1500   # how long the gateway is held at the point
AGREED_S = 30    # until then the books agree
STATES = ("arming", "collecting", "ready", "storing_intent", "tokenising", "creating", "storing_order", "confirming",
          "verifying", "storing_result", "approved", "declined", "cancelled", "failed", "unknown", "lost")
ENDS = ("approved", "declined", "cancelled", "failed")

# What the page shows at the point, and what holds the payment there: "slow" is carried out after the wait, "delay" at
# once and answered after it.
POINTS = {
    "intent_stored": ("tokenising", "slow", "tokenise"),
    "tokenising": ("tokenising", "delay", "tokenise"),
    "creating": ("creating", "delay", "create"),
    "order_stored": ("confirming", "slow", "confirm"),
    "confirming": ("confirming", "delay", "confirm"),
    "verifying": ("verifying", "delay", "status"),
    "storing_result": ("verifying", "delay", "status"),
    "result_stored": ("verifying", "delay", "status"),
    "approved": ("approved", None, None),
}


class Books:
    """What page, database and ledger say of the first capture of a service."""

    def __init__(self, rig, capture_id=None):
        self.rig = rig
        self.capture_id = capture_id

    def charges(self):
        ledger = self.rig.service.state / "ledger.jsonl"
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        return [json.loads(line)["intent"] for line in lines if json.loads(line)["result"] == "charged"]

    def stored(self):
        """(state, order, token) and how many intents are open."""
        database = sqlite3.connect(f"file:{self.rig.service.state / 'tonegate.db'}?mode=ro", uri=True, timeout=5)
        try:
            state, order, token = database.execute(
                "SELECT state, order_ref, token FROM captures ORDER BY number LIMIT 1").fetchone()
            open_count = database.execute("SELECT count(*) FROM intents WHERE is_open = 1").fetchone()[0]
            return STATES[state], order, token, open_count
        finally:
            database.close()

    def shown(self):
        """The capture as the page would be told; None while the desk is away."""
        try:
            return self.rig.desk.capture(self.capture_id)
        except (DemoError, OSError, http.client.HTTPException):
            return None


def kill_at(rig, call, role, point):
    """Waits for the point, lets a key sound, and kills. Returns the process id that died."""
    state = POINTS[point][0]
    call.wait(state, lambda c: c["state"] == state, 10)
    roles = rig.service.roles()
    if point == "approved":
        os.kill(roles[role], signal.SIGKILL)
        return roles[role]
    call.caller.press("7")  # the leak check hears it unless the leg stays masked
    time.sleep(0.05)
    stopped = []
    if point in ("storing_result", "result_stored"):  # the vault has the answer, the desk does not read what it must store
        time.sleep(HELD_MS / 1000 - 0.35)
        stopped = ["desk"]
        os.kill(roles["desk"], signal.SIGSTOP)
        time.sleep(0.5)
    if point == "result_stored":  # the desk stores it, the vault does not read that it has
        os.kill(roles["vault"], signal.SIGSTOP)
        os.kill(roles["desk"], signal.SIGCONT)
        time.sleep(0.3)
        stopped = ["vault"]
    os.kill(roles[role], signal.SIGKILL)
    time.sleep(0.02)
    for other in stopped:
        if other != role:
            os.kill(roles[other], signal.SIGCONT)
    return roles[role]


def wait_agreed(books, begun, agreed_s=AGREED_S):
    """Until page and database show the same end and the ledger fits it. Returns the capture as the page shows it."""
    why = "nothing was shown"
    while time.monotonic() - begun < agreed_s:
        time.sleep(0.05)
        capture = books.shown()
        if capture is None:
            continue
        state, order, token, _ = books.stored()
        charged = books.charges()
        why = f"page {capture['state']}, database {state}, {len(charged)} charges"
        check(len(charged) <= 1, why)
        if capture["state"] not in ENDS:
            check(capture["masked"] or capture["state"] in ("lost", "unknown"), f"unmasked in {capture['state']}")
            continue
        if state != capture["state"]:
            continue
        check(len(charged) == (1 if state == "approved" else 0), why)
        if state == "approved":
            check(order == charged[0], f"the database names order {order}, the ledger {charged[0]}")
            check(token and capture["token"] == token, "approved without a token")
        return capture
    raise AssertionError(f"no agreement after {agreed_s} s: {why}")


def unmasked_again(rig, call, books):
    """The leg is given back, by the agent where a vault that restarted holds it. Returns the state then shown."""
    capture = books.shown()
    if capture["masked"]:
        call.caller.key("7")  # still for nobody's ears
        rig.desk.cancel(call.result.capture_id)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        capture = books.shown()
        leg = next((c for c in rig.desk.request("GET", "/v1/calls")["calls"] if c["id"] == call.result.call["id"]), None)
        if capture and not capture["masked"] and leg and not leg["armed"]:
            return capture["state"]
        time.sleep(0.05)
    raise AssertionError(f"the leg is not given back: masked {capture['masked']}, armed {leg and leg['armed']}")


def another_capture(call, card):
    call.arm()
    call.key_field("number", card.number, pause_s=0.1)
    call.wait_now("a valid number", lambda c: c["fields"]["number"]["valid"])
    call.desk.cancel(call.result.capture_id)
    call.wait("cancelled", lambda c: c["state"] == "cancelled" and not c["masked"])


def crash(role, point):
    """One case; returns what became of the payment."""
    with Rig() as rig:
        card = Card.fresh()
        sandbox = Sandbox(rig.service)
        _, kind, operation = POINTS[point]
        with rig.call(1) as call:
            call.connect()
            call.arm()
            key_all(call, card)
            call.wait("ready", lambda c: c["state"] == "ready")
            if kind:
                sandbox.fault(kind=kind, operation=operation, ms=HELD_MS)
            rig.desk.submit(call.result.capture_id)
            died = kill_at(rig, call, role, point)
            begun = time.monotonic()
            rig.service.wait_restarted(role, died, 8)
            books = Books(rig, call.result.capture_id)
            capture = wait_agreed(books, begun)
            took = time.monotonic() - begun
            sandbox.fault(kind="clear")
            time.sleep(max(0.0, begun + HELD_MS / 1000 + 0.2 - time.monotonic()))  # what was held is carried out by now
            check(unmasked_again(rig, call, books) == capture["state"], "giving the leg back changed the end")
            another_capture(call, Card.fresh())
            call.hang_up(0.2)
            rig.leaks(call.result)
        state, _, _, open_count = books.stored()
        charged = len(books.charges())
        check(state == capture["state"], f"the end became {state}")
        check(open_count == 0, f"{open_count} intents are open")
        check(charged == (1 if state == "approved" else 0), f"{state}, and the ledger shows {charged} charges")
        return state, charged, took


class Lie(Books):
    """Books that do not agree."""

    def __init__(self, page, masked, database, ledger, token="pm_1"):
        super().__init__(None)
        self.page = {"state": page, "masked": masked, "token": token}
        self.database = (database, "pi_1", token, 0)
        self.ledger = ledger

    def shown(self):
        return self.page

    def stored(self):
        return self.database

    def charges(self):
        return self.ledger


def planted():
    """True when every lie is found, and the truth is let pass."""
    lies = (Lie("approved", False, "approved", []), Lie("approved", False, "approved", ["pi_1", "pi_1"]),
            Lie("failed", False, "failed", ["pi_1"]), Lie("cancelled", False, "approved", ["pi_1"]),
            Lie("approved", False, "approved", ["pi_2"]), Lie("approved", False, "approved", ["pi_1"], ""),
            Lie("verifying", False, "arming", []), Lie("verifying", True, "arming", []), Lie("lost", True, "approved", []))
    wait_agreed(Lie("approved", True, "approved", ["pi_1"]), time.monotonic(), 0.2)
    wait_agreed(Lie("failed", False, "failed", []), time.monotonic(), 0.2)
    missed = 0
    for number, lie in enumerate(lies):
        try:
            wait_agreed(lie, time.monotonic(), 0.2)
            print(f"MISSED lie {number}")
            missed += 1
        except AssertionError as error:
            print(f"found: {error}")
    return missed == 0


def run(name):
    role, point = name.split("-")
    begun = time.monotonic()
    try:
        end, charged, took = crash(role, point)
        print(f"ok     {role:8} {point:15} {end:10} {charged} charged, agreed after {took:4.1f} s"
              f"  ({time.monotonic() - begun:.1f} s)", flush=True)
        return True
    except (AssertionError, DemoError, OSError, KeyError, sqlite3.Error, subprocess.SubprocessError) as error:
        print(f"FAILED {role:8} {point:15} {error}  ({time.monotonic() - begun:.1f} s)", flush=True)
        traceback.print_exc(file=sys.stdout)
        return False


def main():
    cases = [f"{role}-{point}" for role in ROLES for point in POINTS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(pathlib.Path(__file__).resolve().parents[2] / "build" / "dev"))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--planted", action="store_true", help="show that books that do not agree are found")
    parser.add_argument("names", nargs="*", choices=[[], *cases], metavar="ROLE-POINT")
    options = parser.parse_args()
    e2e.BUILD = pathlib.Path(options.build).resolve()
    e2e.IS_SANITIZED = "san" in e2e.BUILD.name
    if options.planted:
        return 0 if planted() else 1
    names = cases if options.all else options.names
    if not names:
        parser.error("name a case or say --all: " + " ".join(cases))
    results = [run(name) for name in names]
    print(f"{sum(results)} hold, {len(results) - sum(results)} do not")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
