"""The world around a payment, played: somebody who is told by hooks, and a telephone platform. One HTTPS server."""
import base64
import hashlib
import hmac
import http.server
import json
import ssl
import threading
import time

HOOK_KEY = "hook-key-of-a-test-0123456789"  # no secret
CLIENT = "client-1:secret-1"
TOKEN = "access-of-a-test"


def signature_fits(header, body, key=HOOK_KEY, now=None):
    """As a receiver checks it: time and body, in constant time."""
    parts = dict(part.split("=", 1) for part in (header or "").split(",") if "=" in part)
    expected = hmac.new(key.encode(), parts.get("t", "").encode() + b"." + body, hashlib.sha256).hexdigest()
    is_fresh = parts.get("t", "").isdigit() and abs(int(parts["t"]) - (now or time.time())) < 300
    return is_fresh and hmac.compare_digest(expected, parts.get("v1", ""))


def stripe_signature(key, body, at=None):
    at = int(at or time.time())
    return f"t={at},v1=" + hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


class World:
    """self.hooks: bodies that were signed well; self.platform: (method, path, body); self.wrong: what should not have come."""

    def __init__(self, address, certificates):
        self.hooks, self.platform, self.wrong = [], [], []
        self.is_refusing = False
        self.refused = 0
        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def _answer(self, status, body=b"{}"):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _take(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._answer(*world.take(self.command, self.path, self.headers, body))

            do_POST = do_PATCH = _take

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a role that is killed in the middle of a request

        self.server = Server((address, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, method, path, headers, body):
        if path == "/hooks":
            if self.is_refusing:
                self.refused += 1
                return 503, b"{}"
            if not signature_fits(headers.get("Tonegate-Signature"), body):
                self.wrong.append((path, body))
                return 400, b"{}"
            self.hooks.append(json.loads(body))
            return 204, b""
        if path == "/oauth/token":
            basic = "Basic " + base64.b64encode(CLIENT.encode()).decode()
            if headers.get("Authorization") != basic or body != b"grant_type=client_credentials":
                self.wrong.append((path, body))
                return 401, b"{}"
            return 200, json.dumps({"access_token": TOKEN, "expires_in": 3600}).encode()
        if headers.get("Authorization") != "Bearer " + TOKEN or not path.startswith("/api/v2/conversations/"):
            self.wrong.append((path, body))
            return 401, b"{}"
        self.platform.append((method, path, json.loads(body)))
        return 202, b"{}"

    def wait(self, what, accept, timeout_s=20):
        end = time.monotonic() + timeout_s
        while not accept(self):
            if time.monotonic() > end:
                raise AssertionError(f"{what}: hooks {self.hooks}, platform {self.platform}, wrong {self.wrong}")
            time.sleep(0.05)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def configuration(world, state):
    """Continues the desk's part of a configuration, then adds what tells others."""
    ca = state / "certificates" / "ca.pem"
    address = f"https://127.0.0.1:{world.port}"
    return f"""\
  webhooks:
    - {{ vendor: stripe, keys: [{state}/stripe.whsec] }}
hooks:
  - {{ name: billing, url: "{address}/hooks", key: {state}/hook.key, ca_file: {ca}, events: [payment, receipt_sms] }}
genesys:
  region: mypurecloud.ie
  client: {state}/genesys.client
  ca_file: {ca}
  test_url: "{address}"
"""
