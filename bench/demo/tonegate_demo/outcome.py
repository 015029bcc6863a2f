"""What all calls of a run add up to: result.json, the exit code, and the promises that were looked at."""
import dataclasses


@dataclasses.dataclass
class JudgedCall:
    result: object
    reports: dict        # "agent", "recorder": tonegate-leak's JSON
    traced: dict = None
    latencies: list = dataclasses.field(default_factory=list)
    leg: dict = None     # the live leg's own report, as the desk shows it
    memory: list = dataclasses.field(default_factory=list)  # what judge.memory found, moment by moment
    records: list = dataclasses.field(default_factory=list)  # lines of the audit trail on the leg's masking


@dataclasses.dataclass
class Outcome:
    lookahead_ms: int
    wanted_state: str = "approved"
    calls: list = dataclasses.field(default_factory=list)

    def memory(self):
        return [look for call in self.calls for look in call.memory]

    def is_memory_clean(self):
        return not any(look["finds"] and not look["is_allowed"] for look in self.memory())

    def reports(self):
        return [report for call in self.calls for report in call.reports.values()]

    def attacker_reads(self):
        return any(report["attacker"]["p"] < 1e-4 or report["attacker"]["sure"] for report in self.reports())

    def is_leaked(self):
        return any(report["verdict"] != "clean" or report["keys_missing"] for report in self.reports())

    def is_payment_good(self):
        return bool(self.calls) and all(call.result.state == self.wanted_state for call in self.calls)

    def is_captured(self):
        return bool(self.calls) and all(call.result.keys_sent == call.result.keys_captured > 0 for call in self.calls)

    def is_quiet(self):
        """No telephone-event and no INFO got through to the agent or the recorder."""
        return all(call.result.agent_summary["hears"]["event_packets"] == 0 and
                   call.result.agent_summary["sip"]["infos_received"] == 0 and
                   call.result.recorder_summary["hears"]["event_packets"] == 0 for call in self.calls)

    def is_recorded(self):
        """The audit trail holds a record of each leg's masking, and the watch that listened to it heard no key."""
        return bool(self.calls) and all(
            call.records and all(line["what"] == "mask.record" and line["outcome"] == "clean" for line in call.records)
            for call in self.calls)

    def is_good(self):
        return self.is_captured() and not self.is_leaked() and self.is_payment_good() and self.is_quiet() and \
            self.is_memory_clean() and self.is_recorded()

    def summary(self):
        """result.json"""
        last = self.calls[-1].result
        status = {"approved": "succeeded"}.get(last.state, last.state)
        return {
            "digits_sent": sum(call.result.keys_sent for call in self.calls),
            "digits_captured": sum(call.result.keys_captured for call in self.calls),
            "leaked_ms_max": max((report["leaked_ms_max"] for report in self.reports()), default=0),
            "attacker_correct": max((sum(call.reports[name]["attacker"]["correct"] for call in self.calls)
                                     for name in ("agent", "recorder")), default=0),
            "lookahead_ms": self.lookahead_ms,
            "payment": {"status": status, "token": last.capture.get("token") or ""},
            "calls": len(self.calls),
        }

    def headline(self):
        if self.is_good():
            return "Every key was captured, and nothing leaked."
        wrong = []
        if not self.is_captured():
            wrong.append("not every key was captured")
        if self.is_leaked():
            wrong.append("digits LEAKED")
        if not self.is_quiet():
            wrong.append("telephone-events or INFO reached the agent")
        if not self.is_recorded():
            wrong.append("the audit trail does not say that the masking was clean")
        if not self.is_memory_clean():
            wrong.append("the card was found in memory that must not hold it")
        if not self.is_payment_good():
            wrong.append("the payment did not end as wanted")
        return (", ".join(wrong) + ".").capitalize()

    def subline(self):
        last = self.calls[-1].result
        count = len(self.calls)
        return (f"{count} call{'s' if count > 1 else ''}, from INVITE to payment on this machine: a caller who speaks and "
                f"keys a card, an agent who stays on the line, a recorder, a page, a sandbox gateway. "
                f"Payment: {last.state}.")

    def promises(self):
        memory = self.is_memory_clean() if self.memory() else None
        return [
            ("P1", "no digit of an armed leg is audible, decodable or relayed towards agent or recorder",
             not self.is_leaked() and self.is_quiet()),
            ("P1", "somebody else listens to what leaves a masked leg, and the audit trail holds a record of it",
             self.is_recorded()),
            ("P2", "card digits exist only in the vault and, for one request, in the gateway process", memory),
            ("P3", "a payment is charged at most once and always reaches a known end",
             all(call.result.state in ("approved", "declined", "failed", "cancelled") for call in self.calls)),
            ("P4", "any one process may die: calls go on masked (./dev test)", None),
            ("P5", "the stated load is held (./dev bench media)", None),
            ("P6", "nothing from the network stops the service (./dev test, ./dev fuzz)", None),
        ]
