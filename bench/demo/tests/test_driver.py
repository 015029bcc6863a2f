#!/usr/bin/env python3
"""The driver's own arithmetic: what it would overlook, the demo would call a success."""
import pathlib
import sys
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tonegate_demo import judge  # noqa: E402
from tonegate_demo.call import Card, captured, luhn_digit  # noqa: E402
from tonegate_demo.outcome import JudgedCall, Outcome  # noqa: E402


def capture(number=0, expiry=0, cvv=0):
    return {"fields": {"number": {"keys": number}, "expiry": {"keys": expiry}, "cvv": {"keys": cvv}}}


def report(**changes):
    clean = {"verdict": "clean", "keys_missing": 0, "leaked_ms_max": 0.0,
             "attacker": {"correct": 2, "p": 0.6, "sure": 0, "chance": 1 / 12}}
    return {**clean, **changes}


def outcome(sent=23, kept=23, state="approved", events=0, infos=0, memory=(), records=("clean",),
            **changes):
    hears = {"event_packets": events}
    result = types.SimpleNamespace(keys_sent=sent, keys_captured=kept, state=state, capture={"token": "pm_x"},
                                   agent_summary={"hears": hears, "sip": {"infos_received": infos}},
                                   recorder_summary={"hears": {"event_packets": 0}})
    call = JudgedCall(result, {"agent": report(**changes), "recorder": report()})
    call.memory = list(memory)
    call.records = [{"what": "mask.alarm" if verdict == "muted" else "mask.record", "outcome": verdict} for verdict in records]
    return Outcome(20, calls=[call])


class Driver(unittest.TestCase):
    def test_a_fresh_card_is_whole_and_searchable(self):
        for _ in range(200):
            card = Card.fresh()
            self.assertEqual(luhn_digit(card.number[:-1]), card.number[-1])
            self.assertEqual((len(card.number), len(card.expiry), len(card.cvv)), (16, 4, 3))
            self.assertFalse(card.is_plain)
        self.assertEqual(luhn_digit("424242424242424"), "2")
        self.assertTrue(Card("4000000000000002", "1130", "123").is_plain)
        self.assertFalse(Card("4242424242424242", "1130", "123").is_varied)

    def test_keys_are_counted_across_resets_and_never_twice(self):
        history = [(0, capture(1)), (0, capture(2)), (0, capture(2)), (0, capture(0)), (0, capture(3)), (0, capture(3, 1))]
        self.assertEqual(captured(history), 6)

    def test_a_planted_number_is_found_in_every_form(self):
        number = "4000123456789017"
        plants = [b"x" + number.encode() + b"y", b"4000 1234 5678 9017", b"4000-1234-5678-9017", number[::-1].encode(),
                  number.encode("utf-16-le"), bytes(int(c) for c in number), bytes.fromhex(number)]
        for plant in plants:
            self.assertEqual(judge.find_forms(number, "files", [b"before", plant], "now")["finds"], 1, plant)
        self.assertEqual(judge.find_forms(number, "files", [b"4000123456789018", b""], "now")["finds"], 0)

    def test_only_a_whole_success_is_one(self):
        self.assertTrue(outcome().is_good())
        bad_memory = {"finds": 1, "is_allowed": False}
        for changes in ({"kept": 22}, {"kept": 24}, {"sent": 0, "kept": 0}, {"state": "declined"}, {"events": 1}, {"infos": 1},
                        {"records": ()}, {"records": ("not_watched",)}, {"records": ("muted", "clean")}, {"verdict": "leaked"}, {"keys_missing": 1}, {"memory": [bad_memory]}):
            self.assertFalse(outcome(**changes).is_good(), changes)
            self.assertNotIn("nothing leaked", outcome(**changes).headline(), changes)
        self.assertTrue(outcome(memory=[{"finds": 1, "is_allowed": True}]).is_good())

    def test_result_json_has_the_agreed_fields(self):
        self.assertEqual(outcome().summary(), {
            "digits_sent": 23, "digits_captured": 23, "leaked_ms_max": 0.0, "attacker_correct": 2, "lookahead_ms": 20,
            "payment": {"status": "succeeded", "token": "pm_x"}, "calls": 1})


if __name__ == "__main__":
    unittest.main()
