#!/usr/bin/env python3
"""Strict stand-ins for the tests, on loopback, with the standard library alone:

key_stores.py CERTIFICATE KEY STATE   (a JSON object over the one below) prints "listening on TLS-PORT PLAIN-PORT", then serves until it is killed

TLS: HashiCorp Vault's KV v2 (token and namespace), AWS Secrets Manager (Signature Version 4 recomputed here), and a
payment gateway that takes the API keys of the moment (POST /probe). Plain: an ECS task's and an EC2 instance's credentials
(IMDSv2 only). POST /_control with JSON changes the state below, GET /_control shows it with what was counted."""
import datetime
import hashlib
import hmac
import json
import re
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATE = {
    "accepted": ["key-one"],       # API keys the payment gateway takes
    "stored": "key-one",           # what both stores hold
    "vault_token": "hvs.token",
    "vault_namespace": "payments",
    "vault_status": 0,             # answer this instead
    "aws_id": "AKIDEXAMPLE",
    "aws_secret": "SECRET/EXAMPLE+1",
    "aws_token": "",               # temporary credentials have one
    "temporary_id": "ASIATEMPORARY",
    "temporary_secret": "temporary/Secret+2",
    "temporary_token": "FwoGZXIvYXdzEXAMPLE==",
    "temporary_valid_s": 3600,
    "soft": False,                 # the payment gateway refuses a key with 200 and an error in the body
    "silent": False,               # take questions, answer none
}
COUNTS = {"probe_200": 0, "probe_401": 0, "vault": 0, "aws": 0, "container": 0, "session": 0, "role": 0, "instance": 0}
LOCK = threading.Lock()
SESSION = "AQAEAExampleSession=="
WAKE = threading.Event()


def count(what):
    with LOCK:
        COUNTS[what] += 1


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_is_right(handler, body):
    """AWS Signature Version 4 after the AWS documentation, for a path without query."""
    given = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                         r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", handler.headers.get("Authorization", ""))
    if not given:
        return False
    access_id, day, region, service, names, signature = given.groups()
    secrets = {STATE["aws_id"]: (STATE["aws_secret"], STATE["aws_token"]),
               STATE["temporary_id"]: (STATE["temporary_secret"], STATE["temporary_token"])}
    secret, token = secrets.get(access_id, ("", ""))
    at = handler.headers.get("X-Amz-Date", "")
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    if not at.startswith(day) or abs(now - datetime.datetime.strptime(at, "%Y%m%dT%H%M%SZ")).total_seconds() > 300:
        return False
    if not {"host", "x-amz-date", "x-amz-target"} <= set(names.split(";")) or region != "eu-central-1":
        return False
    if token and (handler.headers.get("X-Amz-Security-Token") != token or "x-amz-security-token" not in names):
        return False
    lines = "".join(f"{name}:{' '.join(handler.headers.get(name, '').split())}\n" for name in names.split(";"))
    canonical = f"{handler.command}\n{handler.path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = sign(key, part)
    return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), signature)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        text = body if isinstance(body, str) else json.dumps(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/_control":
            if body:
                STATE.update(json.loads(body))
            self.answer(200, {**STATE, **COUNTS})
            return
        if STATE["silent"]:
            WAKE.wait(60)
            return
        for pattern, method, respond in self.routes:
            if re.fullmatch(pattern, self.path) and method == self.command:
                respond(self, body)
                return
        self.answer(404, {"errors": []})

    do_GET = do_POST = do_PUT = handle_any

    def probe(self, _):
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        good = key in STATE["accepted"]
        count("probe_200" if good else "probe_401")
        status = 200 if good or STATE["soft"] else 401
        self.answer(status, {"id": "pm_probe"} if good else {"error": "unauthorised"})

    def login(self, body):
        good = body.decode().removeprefix("key=") in STATE["accepted"]
        count("probe_200" if good else "probe_401")
        self.answer(200 if good else 401, {"id": "pm_probe"})

    def vault(self, _):
        count("vault")
        if STATE["vault_status"]:
            self.answer(STATE["vault_status"], {"errors": ["as told"]})
        elif (self.headers.get("X-Vault-Token") != STATE["vault_token"]
              or self.headers.get("X-Vault-Namespace", "") != STATE["vault_namespace"]
              or self.headers.get("X-Vault-Request") != "true"):
            self.answer(403, {"errors": ["permission denied"]})
        else:
            self.answer(200, {"request_id": "1", "data": {"data": {"key": STATE["stored"], "number": 7},
                                                         "metadata": {"version": 3}}})

    def aws(self, body):
        count("aws")
        asked = json.loads(body)
        if not signature_is_right(self, body):
            self.answer(400, {"__type": "InvalidSignatureException", "message": "no"})
        elif self.headers.get("X-Amz-Target") != "secretsmanager.GetSecretValue":
            self.answer(400, {"__type": "UnknownOperationException"})
        elif asked != {"SecretId": "prod/gateway", "VersionStage": "AWSCURRENT"}:
            self.answer(400, {"__type": "ResourceNotFoundException"})
        else:
            self.answer(200, {"Name": "prod/gateway", "SecretString": json.dumps({"key": STATE["stored"]})})

    def credentials(self):
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=STATE["temporary_valid_s"])
        self.answer(200, {"Code": "Success", "AccessKeyId": STATE["temporary_id"],
                          "SecretAccessKey": STATE["temporary_secret"], "Token": STATE["temporary_token"],
                          "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def container(self, _):
        count("container")
        self.credentials()

    def session(self, _):
        count("session")
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "0")
        self.answer(200 if 1 <= int(seconds) <= 21600 else 400, SESSION)

    def with_session(self, respond):
        if self.headers.get("X-aws-ec2-metadata-token") == SESSION:
            respond()
        else:
            self.answer(401, "")

    def role(self, _):
        count("role")
        self.with_session(lambda: self.answer(200, "payments-role"))

    def instance(self, _):
        count("instance")
        self.with_session(self.credentials)


class Secure(Handler):
    routes = [(r"/probe", "POST", Handler.probe), (r"/login", "POST", Handler.login),
              (r"/v1/secret/data/payments/gateway", "GET", Handler.vault), (r"/", "POST", Handler.aws)]


class Plain(Handler):
    folder = "/latest/meta-data/iam/security-credentials/"
    routes = [(r"/v2/credentials/task", "GET", Handler.container), (r"/latest/api/token", "PUT", Handler.session),
              (folder, "GET", Handler.role), (folder + "payments-role", "GET", Handler.instance)]


def main():
    STATE.update(json.loads(sys.argv[3]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.request_queue_size = 256
    secure = ThreadingHTTPServer(("127.0.0.1", 0), Secure)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    plain = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    print(f"listening on {secure.server_address[1]} {plain.server_address[1]}", flush=True)
    secure.serve_forever()


if __name__ == "__main__":
    main()
