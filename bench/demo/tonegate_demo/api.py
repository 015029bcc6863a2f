"""The agent's side: the HTTPS API and its Server-Sent Events, as the page uses them."""
import http.client
import json
import ssl
import threading
import time

from .processes import DemoError
from .service import GATEWAY

END_STATES = ("approved", "declined", "cancelled", "failed")


class Refused(DemoError):
    """The API said no: status and the error's body."""

    def __init__(self, status, body):
        super().__init__(f"the API answered {status}: {json.dumps(body)}")
        self.status = status
        self.body = body


class Desk:
    """Requests, and everything the event stream said: self.log holds (monotonic s, name, object)."""

    def __init__(self, service):
        self.address = (GATEWAY, service.desk_port)
        self.token = service.token
        self.context = ssl.create_default_context(cafile=str(service.certificates / "ca.pem"))
        self.log = []
        self.changed = threading.Condition()
        self.is_closing = False
        self.stream_breaks = 0
        self.connection = None
        self.follower = threading.Thread(target=self._follow, daemon=True)
        self.follower.start()

    def connect(self, timeout_s):
        return http.client.HTTPSConnection(*self.address, context=self.context, timeout=timeout_s)

    def request(self, method, path, body=None, headers=None):
        connection = self.connect(10)
        headers = {"Authorization": "Bearer " + self.token, **(headers or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except OSError as error:
            raise DemoError(f"the desk does not answer: {error}") from error
        finally:
            connection.close()
        try:
            parsed = json.loads(text) if text else {}
        except ValueError:
            parsed = {"text": text.decode("utf-8", "replace")}
        if answer.status >= 300:
            raise Refused(answer.status, parsed)
        return parsed

    # ---------------------------------------------------------------- events

    def _take_block(self, block):
        name = next((line[6:].strip() for line in block if line.startswith("event:")), None)
        data = "\n".join(line[5:].strip() for line in block if line.startswith("data:"))
        if not name or not data:
            return
        with self.changed:
            self.log.append((time.monotonic(), name, json.loads(data)))
            self.changed.notify_all()

    def _follow_once(self):
        connection = self.connection = self.connect(30)
        connection.request("GET", "/v1/events", None, {"Authorization": "Bearer " + self.token,
                                                       "Accept": "text/event-stream"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"events: {answer.status}")
        block = []
        while True:
            line = answer.readline()
            if not line:
                return
            text = line.decode("utf-8").rstrip("\r\n")
            if text:
                block.append(text)
            else:
                self._take_block(block)
                block = []

    def _follow(self):
        while not self.is_closing:
            try:
                self._follow_once()
            except (OSError, http.client.HTTPException, ValueError):
                pass
            self.stream_breaks += not self.is_closing
            time.sleep(0.2)

    def wait(self, what, name, accept, timeout_s):
        """The first object of event `name` that accept() likes, among all so far and to come."""
        end = time.monotonic() + timeout_s
        at = 0
        with self.changed:
            while True:
                for when, event, body in self.log[at:]:
                    if event == name and accept(body):
                        return when, body
                at = len(self.log)
                left = end - time.monotonic()
                if left <= 0:
                    latest = next((b for _, e, b in reversed(self.log) if e == name), None)
                    state = (latest or {}).get("state")
                    raise DemoError(f"the page did not show \"{what}\" within {timeout_s:.0f} s; last state: {state}")
                self.changed.wait(left)

    def wait_call(self, reference, timeout_s=10):
        return self.wait("the call", "call",
                         lambda call: call["reference"] == reference and call["state"] == "answered", timeout_s)[1]

    def wait_capture(self, what, capture_id, accept, timeout_s=10):
        return self.wait(what, "capture", lambda capture: capture["id"] == capture_id and accept(capture), timeout_s)

    def history(self, capture_id):
        with self.changed:
            return [(when, body) for when, name, body in self.log if name == "capture" and body["id"] == capture_id]

    def last_call(self, call_id):
        with self.changed:
            return next((body for _, name, body in reversed(self.log) if name == "call" and body["id"] == call_id), None)

    # ---------------------------------------------------------------- orders

    def open_capture(self, call_id, amount, currency, kind="charge", **contact):
        money = {} if kind == "tokenise" else {"amount": amount, "currency": currency}
        return self.request("POST", "/v1/captures", {"call": call_id, "kind": kind, **money, **contact})

    def submit(self, capture_id):
        return self.request("POST", f"/v1/captures/{capture_id}/submit")

    def cancel(self, capture_id):
        return self.request("POST", f"/v1/captures/{capture_id}/cancel")

    def reset(self, capture_id, field):
        return self.request("POST", f"/v1/captures/{capture_id}/fields/{field}/reset")

    def select(self, capture_id, field):
        return self.request("POST", f"/v1/captures/{capture_id}/fields/{field}/select")

    def capture(self, capture_id):
        return self.request("GET", f"/v1/captures/{capture_id}")

    def close(self):
        self.is_closing = True
        if self.connection is not None and self.connection.sock is not None:
            try:
                self.connection.sock.close()
            except OSError:
                pass
