#!/usr/bin/env python3
"""A payment gateway that refuses whatever its vendor's pages do not allow, for the tests of one connector.

strict_server.py VENDOR CERTIFICATE KEY: VENDOR names the module VENDOR_peer.py beside this file, whose Peer answers. HTTPS
on a free port of 127.0.0.1, told in the first line of output. It keeps what it was asked to do, so that a charge done twice
shows in its books.

GET /_strict/books            what happened: the peer's own books, and "refused", why each refused request was refused
POST /_strict/lose            the next request is carried out, and its answer is lost: the connection ends
POST /_strict/set?NAME=VALUE  a setting of the peer's, which its file explains
"""
import http.server
import importlib
import json
import pathlib
import re
import socketserver
import ssl
import sys
import threading
import urllib.parse


class Refused(Exception):
    """A request that is not as the vendor wants it."""

    def __init__(self, why, status=400, body=None):
        super().__init__(why)
        self.status = status
        self.body = body


def no_duplicates(pairs):
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise Refused("a key twice in one object")
    return dict(pairs)


class Request:
    def __init__(self, method, target, headers, body):
        parts = urllib.parse.urlsplit(target)
        self.method, self.target, self.path, self.body = method, target, parts.path, body
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        self.headers = headers

    def header(self, name, *allowed):
        value = self.headers.get(name)
        if value is None or (allowed and value not in allowed):
            raise Refused(f"header {name} is {value!r}, not one of {allowed}")
        return value

    def json(self, *media_types):
        self.header("content-type", *media_types)
        try:
            return json.loads(self.body, object_pairs_hook=no_duplicates)
        except ValueError as error:
            raise Refused(f"no JSON: {error}") from error

    def nothing(self):
        if self.body:
            raise Refused("a body where none belongs")


def fields(value, where, required, optional=()):
    """value is an object with every field of required and none beyond optional; returned for chaining."""
    if not isinstance(value, dict):
        raise Refused(f"{where} is no object")
    for name in required:
        if name not in value:
            raise Refused(f"{where}.{name} is missing")
    for name in value:
        if name not in required and name not in optional:
            raise Refused(f"{where}.{name} is not known")
    return value


def text(value, where, pattern):
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise Refused(f"{where} is {value!r}, not {pattern}")
    return value


def whole(value, where, least, most):
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Refused(f"{where} is {value!r}, not a whole number of {least}..{most}")
    return value


def one_of(value, where, *allowed):
    if value not in allowed:
        raise Refused(f"{where} is {value!r}, not one of {allowed}")
    return value


def luhn(number):
    total = 0
    for at, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    def reply(self, status, headers, body):
        payload = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0" if status == 204 else str(len(payload)))
        self.end_headers()
        if status != 204:
            self.wfile.write(payload)

    def control(self, request):
        server = self.server
        if request.path == "/_strict/books":
            return self.reply(200, {}, {**server.peer.books(), "refused": server.refused})
        if request.path == "/_strict/lose":
            server.losing += 1
        elif request.path == "/_strict/set":
            for name, value in request.query.items():
                setattr(server.peer, name, value)
        return self.reply(200, {}, {})

    def handle_any(self):
        server = self.server
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            request = Request(self.command, self.path, headers, body)
            if request.path.startswith("/_strict/"):
                self.control(request)
                return
            with server.lock:
                is_lost = server.losing > 0
                server.losing -= is_lost
                status, more, answer = server.peer.handle(request)
        except Refused as refused:
            server.refused.append(str(refused))
            status, more = refused.status, {}
            answer = refused.body if refused.body is not None else server.peer.refusal(str(refused))
            is_lost = False
        if is_lost:
            self.close_connection = True
            return
        self.reply(status, more, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, peer, context):
        super().__init__(("127.0.0.1", 0), Handler)
        self.peer, self.lock, self.refused, self.losing = peer, threading.Lock(), [], 0
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError, TimeoutError)):
            super().handle_error(request, client_address)


def main():
    vendor, certificate, key = sys.argv[1:4]
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    sys.dont_write_bytecode = True
    sys.modules["strict_server"] = sys.modules["__main__"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(importlib.import_module(f"{vendor}_peer").Peer(), context)
    print(f"listening on https://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
