#!/usr/bin/env python3
"""Runs the SIP scenarios of this folder against a running tonegate, sipp playing carrier, contact centre and strangers.

The addresses must be those of its configuration (the defaults are those of proxy/tonegate.example.yaml):
    run.py [--tonegate 127.0.0.1:5060] [--carrier 127.0.0.2:5060] [--contact-centre 127.0.0.3:5060]
           [--stranger 127.0.0.9] [--only NAME ...] [--keep FOLDER] [--build DIR | --direct]
--build DIR starts the service of that build folder by itself, with a configuration and ports of its own.
--direct lets the caller's scenarios talk to the agent's without anything between, which checks the scenarios' flow only.
Exit 0 when all passed, 1 when one failed, 77 when sipp is missing.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CALLS = ["caller_hangs_up", "agent_hangs_up", "early_media", "cancel", "busy", "hold", "hold_old", "hold_by_agent",
         "codec_change", "codec_refused", "update", "info_relay", "info_dtmf", "info_other", "invite_twice",
         "ack_late", "no_codec"]
NOT_DIRECT = ["no_codec", "codec_refused", "info_other", "invite_twice"]  # tonegate itself answers in these
STRANGE_METHODS = ["INVITE", "OPTIONS", "REGISTER", "SUBSCRIBE", "NOTIFY", "MESSAGE", "PUBLISH", "REFER", "INFO",
                   "UPDATE", "BYE", "PRACK", "FOO"]
TRUNK_METHODS = ["REGISTER", "SUBSCRIBE", "NOTIFY", "MESSAGE", "PUBLISH", "REFER", "PRACK", "FOO"]
SECONDS = 20


def endpoint(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def unchecked(folder, scenario):
    """A copy that looks at nothing: without tonegate between them, both sides see each other's secrets."""
    copy = folder / scenario.name
    copy.write_text(re.sub(r' check_it(_inverse)?="true"', "", scenario.read_text()))
    return copy


class Sipp:
    """One sipp process on one scenario."""

    def __init__(self, folder, scenario, local, remote=None, transport="u1", calls=1, keys=(), is_checked=True):
        if not is_checked:
            scenario = unchecked(folder, scenario)
        self.messages = folder / (scenario.stem + ".messages")
        self.errors = folder / (scenario.stem + ".errors")
        command = ["sipp", "-sf", str(scenario), "-i", local[0], "-p", str(local[1]), "-mi", local[0], "-t", transport,
                   "-m", str(calls), "-r", "5", "-nostdin", "-timeout", str(SECONDS), "-timeout_error",
                   "-recv_timeout", "8000", "-s", "100", "-trace_err", "-error_file", str(self.errors),
                   "-trace_msg", "-message_file", str(self.messages)]
        for key, value in keys:
            command += ["-key", key, value]
        if remote:
            command.append("%s:%d" % remote)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        stdin=subprocess.DEVNULL)

    def wait(self):
        try:
            return self.process.wait(SECONDS + 5)
        except subprocess.TimeoutExpired:
            self.stop()
            return -1

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def received(self, start):
        """First lines and branches of received messages whose first line starts with `start`."""
        if not self.messages.exists():
            return []
        text = self.messages.read_text(errors="replace")
        parts = re.split(r"^-{10,}.*$", text, flags=re.M)
        found = []
        for part in parts:
            if "message received" not in part:
                continue
            message = part.split("\n\n", 1)[-1].lstrip()
            if message.startswith(start):
                branch = re.search(r"branch=([^;\s]+)", message)
                found.append(branch.group(1) if branch else "")
        return found

    def why(self):
        text = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        lines = [line for line in text.splitlines() if line.strip()]
        return " | ".join(lines[:2])[:300]


class Runner:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.failed = []
        self.passed = 0
        self.started = time.monotonic()

    def report(self, name, fault, seconds):
        print("%-6s %-34s %5.1f s %s" % ("FAIL" if fault else "ok", name, seconds, fault or ""), flush=True)
        if fault:
            self.failed.append(name)
        else:
            self.passed += 1

    def run(self, name, play):
        if self.options.only and not any(name.startswith(only) for only in self.options.only):
            return
        folder = self.folder / name.replace(" ", "_")
        folder.mkdir(parents=True)
        began = time.monotonic()
        fault = play(folder)
        self.report(name, fault, time.monotonic() - began)

    def call(self, name, folder, transport="u1", calls=1):
        """Caller and agent; returns what went wrong."""
        caller_file = HERE / (name + "_caller.xml")
        agent_file = HERE / (name + "_agent.xml")
        to = self.options.contact_centre if self.options.direct else self.options.tonegate
        agent = None
        if agent_file.exists():
            agent = Sipp(folder, agent_file, self.options.contact_centre, calls=calls,
                         is_checked=not self.options.direct)
            time.sleep(0.3)
        caller = Sipp(folder, caller_file, self.options.carrier, to, transport, calls,
                      is_checked=not self.options.direct)
        fault = None
        if caller.wait() != 0:
            fault = "caller: " + caller.why()
        if agent:
            if fault:
                agent.stop()
            if agent.wait() != 0:
                fault = (fault + "; " if fault else "") + "agent: " + agent.why()
        return fault or self.counts(name, caller, agent)

    def counts(self, name, caller, agent):
        if self.options.direct:
            return None
        if name == "invite_twice" and len(set(agent.received("INVITE"))) != 1:
            return "the agent saw %d INVITEs" % len(set(agent.received("INVITE")))
        if name == "ack_late" and len(caller.received("SIP/2.0 200")) < 3:
            return "200 was not sent again before the ACK"
        if name == "ack_late" and len(agent.received("ACK")) < 1:
            return "the agent got no ACK"
        return None

    def lone(self, folder, scenario, local, keys=()):
        probe = Sipp(folder, HERE / scenario, local, self.options.tonegate, keys=keys)
        return None if probe.wait() == 0 else probe.why() or "no answer"

    def all(self):
        for name in CALLS:
            if self.options.direct and name in NOT_DIRECT:
                continue
            self.run(name, lambda folder, n=name: self.call(n, folder))
        self.run("ten calls at once", lambda folder: self.call("caller_hangs_up", folder, calls=10))
        if self.options.direct:
            return
        self.run("tcp caller_hangs_up", lambda folder: self.call("caller_hangs_up", folder, "t1"))
        self.run("tcp agent_hangs_up", lambda folder: self.call("agent_hangs_up", folder, "t1"))
        self.run("tcp cancel", lambda folder: self.call("cancel", folder, "t1"))
        for side, local in (("carrier", self.options.carrier), ("contact_centre", self.options.contact_centre)):
            self.run("options from " + side, lambda folder, at=local: self.lone(folder, "options.xml", at))
        self.run("options_extension", lambda folder: self.lone(folder, "options_extension.xml", self.options.carrier))
        for method in TRUNK_METHODS:
            self.run("method " + method, lambda folder, m=method: self.lone(
                folder, "method.xml", self.options.carrier, [("method", m)]))
        for number, method in enumerate(STRANGE_METHODS):
            self.run("stranger " + method, lambda folder, m=method, n=number: self.lone(
                folder, "stranger.xml", (self.options.stranger, 5070 + n), [("method", m)]))


def run_with_service(options, folder):
    """Like the demo does it: sandbox gateway, certificates and all, on free ports."""
    sys.path.insert(0, str(HERE.parents[2] / "bench" / "demo"))
    from tonegate_demo.processes import DemoError
    from tonegate_demo.service import CARRIER, CENTRE, GATEWAY, Service
    if not (pathlib.Path(options.build) / "bin" / "tonegate").exists():
        print("skipped: %s/bin/tonegate is not built" % options.build)
        return 77
    try:
        with Service(options.build, folder / "service", calls_max=40) as service:
            options.tonegate = (GATEWAY, service.sip_port)
            options.carrier = (CARRIER, service.carrier_port)
            options.contact_centre = (CENTRE, service.agent_port)
            return run_all(options, folder)
    except DemoError as error:
        print("FAIL   the service did not run: %s" % error)
        return 1


def run_all(options, folder):
    runner = Runner(options, folder)
    runner.all()
    print("%d passed, %d failed in %.0f s" % (runner.passed, len(runner.failed), time.monotonic() - runner.started))
    return 1 if runner.failed or not runner.passed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tonegate", type=endpoint, default=("127.0.0.1", 5060))
    parser.add_argument("--carrier", type=endpoint, default=("127.0.0.2", 5060))
    parser.add_argument("--contact-centre", type=endpoint, default=("127.0.0.3", 5060))
    parser.add_argument("--stranger", default="127.0.0.9")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--keep", help="leave sipp's message files here")
    parser.add_argument("--build", help="a build folder: start the service of it")
    parser.add_argument("--direct", action="store_true")
    options = parser.parse_args()
    if not shutil.which("sipp"):
        print("skipped: sipp (Debian package sip-tester) is not installed")
        return 77
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(options.keep or scratch)
        return run_with_service(options, folder) if options.build else run_all(options, folder)


if __name__ == "__main__":
    sys.exit(main())
