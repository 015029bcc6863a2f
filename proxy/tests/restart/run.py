#!/usr/bin/env python3
"""Kills the proxy with SIGKILL again and again while calls come and go, and looks at both ends of each of them.

    run.py --build DIR [--kills 8] [--calls 120] [--seed N]

Two peers of its own, with the retransmissions of RFC 3261, on the addresses of the demo. At the end of each call both ends must
agree: ended on both sides, or never begun. Exit 0 when they do, 1 when not, 77 when DIR has no program.
"""
import argparse
import heapq
import itertools
import pathlib
import random
import re
import select
import signal
import socket
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bench" / "demo"))
T1 = 0.5
RESTART_S = 2.0
SDP = ("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n")


def header(text, name):
    found = re.search(r"^%s:[ \t]*(.*?)\r$" % name, text, re.M | re.I)
    return found.group(1) if found else ""


class Clock:
    """Things to do, by time."""

    def __init__(self):
        self.queue = []
        self.order = itertools.count()

    def after(self, seconds, what):
        heapq.heappush(self.queue, (time.monotonic() + seconds, next(self.order), what))

    def run_due(self):
        while self.queue and self.queue[0][0] <= time.monotonic():
            heapq.heappop(self.queue)[2]()
        return min(0.05, max(0, self.queue[0][0] - time.monotonic())) if self.queue else 0.05


class Peer:
    """One trunk: a socket and its calls by Call-ID."""

    def __init__(self, clock, host, port, tonegate):
        self.clock, self.host, self.port, self.tonegate = clock, host, port, tonegate
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((host, port))
        self.socket.setblocking(False)
        self.calls = {}
        self.new_call = None

    def send(self, text):
        self.socket.sendto(text.encode(), self.tonegate)

    def receive(self):
        while True:
            try:
                text = self.socket.recv(8192).decode()
            except BlockingIOError:
                return
            call = self.calls.get(header(text, "Call-ID"))
            if call is None and text.startswith("INVITE") and self.new_call:
                call = self.new_call(self, text)
            if call:
                call.take(text)
            elif not text.startswith(("SIP/2.0", "ACK")):
                self.send(reply(text, "481 No such call"))


def reply(request, status, tag="", extra="", body=""):
    to = header(request, "To")
    if tag and ";tag=" not in to:
        to += ";tag=" + tag
    vias = "".join("Via: %s\r\n" % via for via in re.findall(r"^Via:[ \t]*(.*?)\r$", request, re.M))
    return ("SIP/2.0 %s\r\n%sFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n%sContent-Length: %d\r\n\r\n%s" % (
        status, vias, header(request, "From"), to, header(request, "Call-ID"), header(request, "CSeq"), extra, len(body),
        body))


class Call:
    """One end of one call."""

    branches = itertools.count(1)

    def __init__(self, peer, call_id, local, remote, target):
        self.peer, self.call_id, self.local, self.remote, self.target = peer, call_id, local, remote, target
        self.state = "new"  # ringing, up, over
        self.cseq = 0
        self.waiting = {}  # CSeq of a request of ours that is not answered
        self.acked = True
        self.why = ""
        peer.calls[call_id] = self

    def end(self, why):
        if self.state != "over":
            self.state, self.why = "over", why

    def text(self, method, cseq, branch, body=""):
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return ("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%d;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\nFrom: %s\r\n"
                "To: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:x@%s:%d>\r\n%sContent-Length: %d\r\n\r\n%s" % (
                    method, self.target, self.peer.host, self.peer.port, branch, self.local, self.remote, self.call_id,
                    cseq, method, self.peer.host, self.peer.port, kind, len(body), body))

    def request(self, method, body=""):
        self.cseq += 1
        key = (self.cseq, method)
        text = self.text(method, self.cseq, "r%d" % next(self.branches), body)
        self.waiting[key] = text
        self.again(key, text, T1, time.monotonic() + 64 * T1)
        return text

    def again(self, key, text, interval, until):
        if key not in self.waiting:
            return
        if time.monotonic() > until:
            del self.waiting[key]
            self.end("%s was never answered" % key[1])
            return
        self.peer.send(text)
        self.peer.clock.after(interval, lambda: self.again(key, text, min(2 * interval, 4.0), until))

    def bye(self):
        if self.state == "up":
            self.request("BYE")
            self.end("said BYE")

    def take_bye(self, text):
        self.peer.send(reply(text, "200 OK" if self.state in ("up", "over") else "481 Gone"))
        self.end("heard BYE")


class CallerCall(Call):
    def __init__(self, peer, number):
        super().__init__(peer, "call%d@%s" % (number, peer.host), "<sip:c%d@%s>;tag=c%d" % (number, peer.host, number),
                         "<sip:agent@127.0.0.1>", "sip:agent@127.0.0.1")
        self.invite = self.request("INVITE", SDP.format(host=peer.host, port=42000 + number % 1000 * 2))
        self.state = "ringing"
        self.patience = 40
        peer.clock.after(self.patience, lambda: self.state == "ringing" and self.end("rang for ever"))

    def cancel(self):
        if self.state == "ringing":
            branch = re.search("z9hG4bK(r[0-9]+)", self.invite).group(1)
            self.peer.send(self.text("CANCEL", 1, branch))

    def take(self, text):
        if text.startswith("BYE"):
            self.take_bye(text)
            return
        if not text.startswith("SIP/2.0"):
            return
        status = int(text[8:11])
        number, method = header(text, "CSeq").split()
        if status > 100 or method != "INVITE":
            self.waiting.pop((int(number), method), None)
        else:
            self.waiting.pop((int(number), method), None)
        if method != "INVITE" or status < 200:
            return
        if status >= 300:
            branch = re.search("z9hG4bK(r[0-9]+)", self.invite).group(1)
            remote, self.remote = self.remote, header(text, "To")
            self.peer.send(self.text("ACK", 1, branch))
            self.remote = remote
            if self.state == "ringing":
                self.end("refused with %d" % status)
            return
        self.remote = header(text, "To")
        self.target = re.search("<(.*?)>", header(text, "Contact")).group(1)
        self.peer.send(self.text("ACK", 1, "a%d" % next(self.branches)))
        if self.state == "ringing":
            self.state = "up"
        elif self.state == "over" and self.why == "rang for ever":
            self.state = "up"
            self.bye()


class AgentCall(Call):
    def __init__(self, peer, invite, plan):
        number = next(self.branches)
        remote = header(invite, "From")
        super().__init__(peer, header(invite, "Call-ID"), header(invite, "To") + ";tag=a%d" % number, remote,
                         re.search("<(.*?)>", header(invite, "Contact")).group(1))
        self.tag, self.invite, self.state = "a%d" % number, invite, "ringing"
        self.acked = False
        self.plan = plan
        self.cseq = 1000
        peer.clock.after(0.02, lambda: self.provisional())
        peer.clock.after(plan["answer_s"], lambda: self.answer(T1, time.monotonic() + 64 * T1))

    def provisional(self):
        if self.state == "ringing":
            self.peer.send(reply(self.invite, "180 Ringing", self.tag))

    def answer(self, interval, until):
        if self.acked or self.state not in ("ringing", "up"):
            return
        if time.monotonic() > until:
            self.request("BYE")
            self.end("no ACK")
            return
        self.state = "up"
        contact = "Contact: <sip:agent@%s:%d>\r\nContent-Type: application/sdp\r\n" % (self.peer.host, self.peer.port)
        body = SDP.format(host=self.peer.host, port=52000)
        self.peer.send(reply(self.invite, "200 OK", self.tag, contact, body))
        self.peer.clock.after(interval, lambda: self.answer(min(2 * interval, 4.0), until))

    def take(self, text):
        if text.startswith("ACK"):
            self.acked = True
        elif text.startswith("BYE"):
            self.take_bye(text)
        elif text.startswith("CANCEL"):
            self.peer.send(reply(text, "200 OK"))
            if self.state == "ringing":
                self.peer.send(reply(self.invite, "487 Cancelled", self.tag))
                self.end("cancelled")
        elif text.startswith("SIP/2.0"):
            number, method = header(text, "CSeq").split()
            self.waiting.pop((int(number), method), None)


class Bench:
    def __init__(self, service, options):
        self.service, self.options = service, options
        self.clock = Clock()
        tonegate = ("127.0.0.1", service.sip_port)
        self.caller = Peer(self.clock, "127.0.0.2", service.carrier_port, tonegate)
        self.agent = Peer(self.clock, "127.0.0.3", service.agent_port, tonegate)
        self.agent.new_call = lambda peer, text: AgentCall(peer, text, {"answer_s": random.uniform(0.02, 0.6)})
        self.longest = 0.0
        self.begun = 0

    def begin(self):
        call = CallerCall(self.caller, self.begun)
        self.begun += 1
        if random.random() < 0.15:
            self.clock.after(random.uniform(0.02, 0.5), call.cancel)
        self.clock.after(random.uniform(0.5, 4), call.bye)
        self.clock.after(random.uniform(4, 6), call.bye)
        if self.begun < self.options.calls:
            self.clock.after(random.expovariate(self.options.rate), self.begin)

    def kill(self):
        old = self.service.kill("proxy")
        took = self.service.wait_restarted("proxy", old)
        self.longest = max(self.longest, took)

    def run_until(self, is_done, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not is_done():
            wait = self.clock.run_due()
            for ready in select.select([self.caller.socket, self.agent.socket], [], [], wait)[0]:
                (self.caller if ready is self.caller.socket else self.agent).receive()

    def ends(self):
        return list(self.caller.calls.values()) + list(self.agent.calls.values())

    def all_over(self):
        return self.begun >= self.options.calls and all(end.state == "over" for end in self.ends())

    def run(self):
        self.clock.after(0, self.begin)
        spacing = self.options.calls / self.options.rate / (self.options.kills + 1)
        for number in range(self.options.kills):
            self.clock.after(spacing * (number + random.uniform(0.5, 1.5)), self.kill)
        self.run_until(self.all_over, self.options.calls / self.options.rate + 60)
        # One side that still believes in its call while nothing ended it is what must not be.
        left = [end for end in self.ends() if end.state != "over"]
        endless = [end for end in self.ends() if end.why == "rang for ever"]
        reasons = {}
        for end in self.ends():
            what = "%s: %s" % (type(end).__name__[:6].rstrip("C"), end.why or end.state)
            reasons[what] = reasons.get(what, 0) + 1
        for what in sorted(reasons):
            print("  %4d  %s" % (reasons[what], what))
        print("%d calls, %d kills, longest restart %.2f s, %d ends left, %d rang for ever" % (
            self.begun, self.options.kills, self.longest, len(left), len(endless)))
        return 1 if left or endless or self.longest > RESTART_S else 0


def started(service_class, error_class, options, folder):
    """Somebody else may take a port between the look for it and its use: three attempts, each failure shown."""
    for attempt in (1, 2, 3):
        service = service_class(options.build, folder / "service", calls_max=100)
        try:
            service.start()
            return service
        except error_class as error:
            log = folder / "service" / "tonegate.log"
            print("start %d: %s" % (attempt, error))
            print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-8:]) if log.exists() else "")
            service.stop()
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--calls", type=int, default=160)
    parser.add_argument("--rate", type=float, default=12)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xffff)
    options = parser.parse_args()
    if not (pathlib.Path(options.build) / "bin" / "tonegate").exists():
        print("skipped: %s/bin/tonegate is not built" % options.build)
        return 77
    from tonegate_demo.processes import DemoError
    from tonegate_demo.service import Service
    random.seed(options.seed)
    print("seed %d" % options.seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        service = started(Service, DemoError, options, pathlib.Path(folder))
        if service is None:
            return 1
        try:
            code = Bench(service, options).run()
        finally:
            service.stop()
        log = (pathlib.Path(folder) / "service" / "tonegate.log").read_text(errors="replace")
        for line in log.splitlines():
            if "taken up again" in line:
                print("  " + line)
        for sign in ("ERROR: AddressSanitizer", "runtime error:", "assertion"):
            if sign in log:
                print("the service's log says: %s" % sign)
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
