"""The three phones of a call. Keys go to the caller over standard input, never on a command line."""
import pathlib

from .processes import JsonProgram
from .service import CARRIER, CENTRE, RECORDER


class Phone(JsonProgram):
    """Common to all: files it leaves and the summary it ends with."""

    def __init__(self, service, kind, arguments, log_path, **named):
        super().__init__(kind, [service.program("tonegate-phone"), kind, *map(str, arguments)], log_path, **named)
        self.expect("ready", 10)

    def finish(self, timeout_s=60):
        """The summary, after the call is over; the program has ended then."""
        summary = self.expect("summary", timeout_s)
        self.code = self.wait(5)
        return summary


class Caller(Phone):
    def __init__(self, service, out, suffix="", reference="demo", options=(), **named):
        self.sent = pathlib.Path(out) / f"caller{suffix}.wav"
        self.labels = pathlib.Path(out) / f"keys{suffix}.json"
        self.heard = pathlib.Path(out) / f"caller-heard{suffix}.wav"
        super().__init__(service, "caller", [
            "--bind", CARRIER, "--to", f"5000@127.0.0.1:{service.sip_port}", "--header",
            f"X-Call-Reference: {reference}", "--record", self.sent, "--labels", self.labels, "--heard", self.heard,
            *options], pathlib.Path(out) / "phones.log", **named)
        self.keys_pressed = 0

    def key(self, keys, timeout_s=None):
        """Presses them and waits until the last has been sent."""
        self.press(keys)
        while True:
            event = self.expect("keyed", timeout_s or 10 + len(keys) * 3, seen_before=False)
            if event["count"] >= self.keys_pressed:
                return event

    def press(self, keys):
        self.keys_pressed += len(keys)
        self.tell("key " + keys)

    def hang_up(self):
        self.tell("hangup")


class Agent(Phone):
    def __init__(self, service, out, suffix="", options=()):
        self.heard = pathlib.Path(out) / f"agent{suffix}.wav"
        super().__init__(service, "agent", ["--bind", CENTRE, "--sip-port", service.agent_port, "--record", self.heard,
                                            *options], pathlib.Path(out) / "phones.log")


class Recorder(Phone):
    def __init__(self, service, out, suffix=""):
        self.heard = pathlib.Path(out) / f"recorder{suffix}.wav"
        super().__init__(service, "recorder", ["--bind", RECORDER, "--rtp-port", service.recorder_port, "--record",
                                               self.heard], pathlib.Path(out) / "phones.log")

    def hang_up(self):
        self.tell("hangup")
