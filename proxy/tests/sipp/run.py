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
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
VERDICTS = HERE.parent / "rfc4475_verdicts.tsv"
VECTORS = HERE.parents[2] / "testvectors" / "sip"
CALLS = ["caller_hangs_up", "agent_hangs_up", "early_media", "cancel", "busy", "hold", "hold_old", "hold_by_agent",
         "codec_change", "codec_refused", "update", "info_relay", "info_dtmf", "info_other", "invite_twice",
         "ack_late", "no_codec", "late_offer", "options_within", "not_found", "hops_used_up", "hold_refused"]
NOT_DIRECT = ["no_codec", "hops_used_up", "codec_refused", "info_other", "invite_twice"]  # tonegate itself answers in these
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

    def __init__(self, folder, scenario, local, remote=None, transport="u1", calls=1, is_checked=True):
        if not is_checked:
            scenario = unchecked(folder, scenario)
        self.messages = folder / (scenario.stem + ".messages")
        self.errors = folder / (scenario.stem + ".errors")
        command = ["sipp", "-sf", str(scenario), "-i", local[0], "-p", str(local[1]), "-mi", local[0], "-t", transport,
                   "-m", str(calls), "-r", "5", "-nostdin", "-timeout", str(SECONDS), "-timeout_error",
                   "-recv_timeout", "8000", "-s", "100", "-trace_err", "-error_file", str(self.errors),
                   "-trace_msg", "-message_file", str(self.messages)]
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
    def __init__(self, options, folder, service):
        self.options = options
        self.service = service
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

    def call(self, name, folder, transport="u1", calls=1, is_reversed=False):
        """Caller and agent; returns what went wrong. Reversed: the contact centre calls out."""
        near, far = self.options.carrier, self.options.contact_centre
        if is_reversed:
            near, far = far, near
        caller_file = HERE / (name + "_caller.xml")
        agent_file = HERE / (name + "_agent.xml")
        to = far if self.options.direct else self.options.tonegate
        agent = None
        if agent_file.exists():
            agent = Sipp(folder, agent_file, far, calls=calls,
                         is_checked=not self.options.direct)
            time.sleep(0.3)
        caller = Sipp(folder, caller_file, near, to, transport, calls,
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

    def planted(self, folder):
        """The checks, left on where nothing is between the two: they must find what each sees of the other."""
        agent = Sipp(folder, HERE / "caller_hangs_up_agent.xml", self.options.contact_centre)
        time.sleep(0.3)
        caller = Sipp(folder, HERE / "caller_hangs_up_caller.xml", self.options.carrier, self.options.contact_centre)
        codes = caller.wait(), agent.wait()
        return None if 0 not in codes and "should not" in agent.why() else "nothing was noticed"

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

    def lone(self, folder, scenario, local, method=None):
        """One request; METHOD in the scenario is replaced, since sipp allows no keyword there."""
        path = folder / scenario
        path.write_text((HERE / scenario).read_text().replace("METHOD", method or "METHOD"))
        probe = Sipp(folder, path, local, self.options.tonegate)
        return None if probe.wait() == 0 else probe.why() or "no answer"

    def hostile(self, folder, attack):
        """Whatever is sent, the next OPTIONS is answered, by the same process as before."""
        before = self.proxy_pid()
        attack()
        fault = self.lone(folder, "options.xml", (self.options.carrier[0], self.options.carrier[1]))
        if fault is None and self.proxy_pid() != before:
            fault = "the proxy role died and was restarted"
        return fault

    def proxy_pid(self):
        return self.service.roles().get("proxy") if self.service else None

    def cut_streams(self):
        """Connections that are reset after every number of bytes of an INVITE (the class of CVE-2018-7286)."""
        message = (VECTORS / "cve" / "CVE-2020-28361-space.sip").read_bytes()
        for length in range(len(message) + 1):
            with socket.socket() as stream:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.bind((self.options.carrier[0], 0))
                stream.connect(self.options.tonegate)
                stream.sendall(message[:length])

    def send_vectors(self):
        """All vectors as datagrams and as streams, from a trunk and from a stranger."""
        vectors = sorted(VECTORS.glob("*/*.dat")) + sorted(VECTORS.glob("*/*.sip")) + sorted(VECTORS.glob("*/*.tcp"))
        assert len(vectors) > 70, "vectors are missing"
        for source in (self.options.stranger, self.options.carrier[0]):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
                datagrams.bind((source, 0))
                for vector in vectors:
                    datagrams.sendto(vector.read_bytes(), self.options.tonegate)
                    time.sleep(0.002)
            for vector in vectors:
                with socket.socket() as stream:
                    stream.bind((source, 0))
                    stream.connect(self.options.tonegate)
                    try:
                        stream.sendall(vector.read_bytes())
                    except OSError:
                        pass  # closed at once: strangers and lengths in doubt are

    def torture(self, folder):
        """What the table of verdicts says of RFC 4475 is what comes back over the wire."""
        del folder
        rows = [line.split("\t") for line in VERDICTS.read_text().splitlines()[1:]]
        wrong = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((self.options.carrier[0], 0))
            for name, _, action, status, _ in rows:
                if action == "PASS":
                    continue  # what the B2BUA makes of these goes where their Via says
                probe.settimeout(2 if action == "ANSWER" else 0.2)
                probe.sendto((VECTORS / "rfc4475" / (name + ".dat")).read_bytes(), self.options.tonegate)
                try:
                    answer = probe.recv(65536).split(b"\r\n")[0].decode("ascii", "replace")
                except TimeoutError:
                    answer = "none"
                if not answer.startswith("SIP/2.0 " + status + " " if action == "ANSWER" else "none"):
                    wrong.append("%s: %s" % (name, answer))
        return ", ".join(wrong) or (None if len(rows) == 49 else "not 49 rows")

    def all(self):
        for name in CALLS:
            if self.options.direct and name in NOT_DIRECT:
                continue
            self.run(name, lambda folder, n=name: self.call(n, folder))
        self.run("ten calls at once", lambda folder: self.call("caller_hangs_up", folder, calls=10))
        if self.options.direct:
            self.run("a leak would be noticed", self.planted)
            return
        for name in ("caller_hangs_up", "agent_hangs_up", "cancel", "hold"):
            self.run("outbound " + name, lambda folder, n=name: self.call(n, folder, is_reversed=True))
        self.run("tcp caller_hangs_up", lambda folder: self.call("caller_hangs_up", folder, "t1"))
        self.run("tcp agent_hangs_up", lambda folder: self.call("agent_hangs_up", folder, "t1"))
        self.run("tcp cancel", lambda folder: self.call("cancel", folder, "t1"))
        for side, local in (("carrier", self.options.carrier), ("contact_centre", self.options.contact_centre)):
            self.run("options from " + side, lambda folder, at=local: self.lone(folder, "options.xml", at))
        self.run("options_extension", lambda folder: self.lone(folder, "options_extension.xml", self.options.carrier))
        for method in TRUNK_METHODS:
            self.run("method " + method, lambda folder, m=method: self.lone(
                folder, "method.xml", self.options.carrier, m))
        for number, method in enumerate(STRANGE_METHODS):
            self.run("stranger " + method, lambda folder, m=method, n=number: self.lone(
                folder, "stranger.xml", (self.options.stranger, 5070 + n), m))
        self.run("rfc4475 answers", self.torture)
        # Last, since some of these are calls that nobody answers.
        self.run("tcp cut at each byte", lambda folder: self.hostile(folder, self.cut_streams))
        self.run("hostile messages", lambda folder: self.hostile(folder, self.send_vectors))


def run_with_service(options, folder):
    """Like the demo does it: sandbox gateway, certificates and all, on free ports."""
    sys.path.insert(0, str(HERE.parents[2] / "bench" / "demo"))
    from tonegate_demo.processes import DemoError
    from tonegate_demo.service import CARRIER, CENTRE, GATEWAY, Service
    if not (pathlib.Path(options.build) / "bin" / "tonegate").exists():
        print("skipped: %s/bin/tonegate is not built" % options.build)
        return 77
    log = folder / "service" / "tonegate.log"
    for attempt in (1, 2):  # somebody else may take a port between the look for it and its use
        service = Service(options.build, folder / "service", calls_max=40)
        try:
            service.start()
            break
        except DemoError as error:
            service.stop()
            print("start %d: %s" % (attempt, error))
            print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-8:]) if log.exists() else "")
    else:
        return 1
    options.tonegate = (GATEWAY, service.sip_port)
    options.carrier = (CARRIER, service.carrier_port)
    options.contact_centre = (CENTRE, service.agent_port)
    try:
        code = run_all(options, folder, service)
    finally:
        service.stop()
    for sign in ("ERROR: AddressSanitizer", "runtime error:", "WARNING: ThreadSanitizer", "assertion"):
        if sign in log.read_text(errors="replace"):
            print("FAIL   the service's log says: %s" % sign)
            code = 1
    return code


def run_all(options, folder, service=None):
    runner = Runner(options, folder, service)
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
