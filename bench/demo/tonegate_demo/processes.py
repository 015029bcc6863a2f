"""Programs under the driver's hand: started, read line by line, ended; and ports that are free."""
import json
import queue
import random
import signal
import socket
import subprocess
import threading
import time


class DemoError(Exception):
    """What went wrong, in words for the person at the terminal."""


class Program:
    """A child whose lines of standard output are queued as (monotonic seconds, text)."""

    def __init__(self, name, command, log_path, stdin=subprocess.PIPE):
        self.name = name
        self.log = open(log_path, "ab")
        try:
            self.child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=self.log,
                                          start_new_session=True)
        except OSError as error:
            raise DemoError(f"{name} cannot be started: {command[0]}: {error.strerror}") from error
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put((time.monotonic(), line.decode("utf-8", "replace").rstrip("\n")))
        self.lines.put((time.monotonic(), None))

    def line(self, timeout_s):
        """The next line, or None when there is no more or none in time."""
        try:
            return self.lines.get(timeout=max(0, timeout_s))[1]
        except queue.Empty:
            return None

    def is_alive(self):
        return self.child.poll() is None

    def tell(self, text):
        try:
            self.child.stdin.write(text.encode() + b"\n")
            self.child.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise DemoError(f"{self.name} is gone (see {self.log.name})") from error

    def wait(self, timeout_s):
        """The exit code; the child is killed when it takes longer."""
        try:
            code = self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            code = self.child.wait()
        self.reader.join(2)
        self.log.close()
        return code

    def stop(self, timeout_s=8):
        if self.is_alive():
            self.child.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)


class JsonProgram(Program):
    """A child that speaks JSON objects, one a line. Every one is kept in `events`."""

    def __init__(self, *arguments, **named):
        self.events = []
        super().__init__(*arguments, **named)

    def next_event(self, timeout_s):
        line = self.line(timeout_s)
        if line is None:
            return None
        try:
            event = json.loads(line)
        except ValueError as error:
            raise DemoError(f"{self.name} said something that is not JSON") from error
        self.events.append(event)
        return event

    def drain(self):
        while not self.lines.empty():
            if self.next_event(0) is None:
                return

    def find(self, name):
        return next((e for e in self.events if e.get("event") == name), None)

    def find_last(self, name):
        return next((e for e in reversed(self.events) if e.get("event") == name), None)

    def expect(self, name, timeout_s, seen_before=True):
        """Waits for an event; earlier ones count unless seen_before is off."""
        if seen_before and self.find(name):
            return self.find(name)
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            event = self.next_event(end - time.monotonic())
            if event is None:
                break
            if event.get("event") == name:
                return event
            if event.get("event") == "error":
                raise DemoError(f"{self.name}: {event.get('reason')}")
            if event.get("event") == "ended" and name != "summary":
                raise DemoError(f"{self.name}: the call ended with status {event.get('status')} before \"{name}\"")
        raise DemoError(f"{self.name} did not get to \"{name}\" within {timeout_s:.0f} s (see {self.log.name})")


def is_free(kind, address, port):
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_port(address, kinds, span=1, even=False):
    """A port that is free for every kind, and the span - 1 above it too."""
    for _ in range(400):
        port = random.randrange(21000, 60000 - span)
        port -= port % 2 if even else 0
        if all(is_free(kind, address, port + i) for kind in kinds for i in range(span)):
            return port
    raise DemoError(f"no {span} free ports in a row on {address}")


def children_of(pid):
    """Process ids of the direct children."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[:-1]
    except OSError:
        return []
