#!/usr/bin/env python3
"""A payment gateway that takes nothing it was not told about, in several dialects (standard library only).

strict_gateway.py DIALECT CERTIFICATE KEY JOURNAL
  tokens    JSON, bearer and X-API-Key, idempotency keys    (gateway/connectors/mappings/tokens-v1.yaml)
  aws       the same, signed with AWS Signature Version 4, which is computed again here from what arrived
  session   JSON, one-time session tokens                 (session-token.yaml)
  pay       JSON of Twilio's Generic Pay Connector          (generic-pay.yaml)
  xml       XML over POST                                   (xml-post.yaml)
  oauth     JSON behind an OAuth client-credentials login

Prints "listening on URL". JOURNAL gets one line per request: method, path, status, and words: card (a card number was in
the body), charge (money moved), replay. What a card does is told by its last three digits: see CARDS.
"""
import base64
import datetime
import hashlib
import hmac
import http.server
import json
import re
import ssl
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as etree

CARDS = {"242": "good", "101": "cvv_at_once", "127": "cvv", "002": "declined", "119": "lost", "341": "busy", "995": "echo"}
AWS_ID, AWS_SECRET, AWS_REGION, AWS_SERVICE = "AKIDEXAMPLE", "SECRETEXAMPLE", "eu-central-1", "execute-api"
ALLOWED_HEADERS = {"host", "user-agent", "accept", "content-type", "content-length", "authorization"}


class Refused(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


class Lost(Exception):
    """The request was carried out and the answer does not arrive."""


def check_fields(body, required, optional=()):
    """Every field that must be there and none that is not known; a dotted name is an object's."""
    flat = {}

    def walk(value, prefix):
        for key, inner in value.items():
            if isinstance(inner, dict):
                walk(inner, prefix + key + ".")
            else:
                flat[prefix + key] = inner

    if not isinstance(body, dict):
        raise Refused(400, "Not_An_Object")
    walk(body, "")
    for name in flat:
        if name not in required and name not in optional:
            raise Refused(400, "Unknown_Field")
    for name in required:
        if name not in flat:
            raise Refused(400, "Missing_Field")
    return flat


def card_of(number, month, year, cvv):
    if not re.fullmatch(r"[0-9]{13,19}", str(number)) or not re.fullmatch(r"0[1-9]|1[0-2]", str(month)):
        raise Refused(400, "Bad_Card")
    if not re.fullmatch(r"(20)?[0-9]{2}", str(year)) or not re.fullmatch(r"[0-9]{3,4}", str(cvv)):
        raise Refused(400, "Bad_Card")
    return CARDS.get(str(number)[-3:], "good")


class Gateway:
    def __init__(self):
        self.lock = threading.RLock()
        self.tokens, self.payments, self.done, self.sessions = {}, {}, {}, {}
        self.access = {}
        self.busy_once = set()
        self.number = 0

    def name(self, kind):
        self.number += 1
        return f"{kind}_{self.number}"

    def charge(self, ref, token):
        """The money, once for a name. Gives the state it is in afterwards."""
        kind = self.tokens.get(token)
        if kind is None:
            raise Refused(400, "No_Such_Token")
        if kind == "busy" and ref not in self.busy_once:
            self.busy_once.add(ref)
            raise Refused(503, "Busy")
        state = {"cvv": "CVV_Mismatch", "declined": "Card_Declined"}.get(kind, "charged")
        if self.payments.get(ref) == "charged":
            return "twice"
        self.payments[ref] = state
        return state

    def is_lost(self, token):
        return self.tokens.get(token) == "lost"


# --- dialects: (gateway, method, path, query, body, words) -> (status, answer) ---

def payment(gateway, ref):
    entry = gateway.payments.get(ref)
    if entry is None:
        raise Refused(404, "Payment_Not_Found")
    return entry


def shown(ref, entry):
    return {"id": ref, "status": entry["status"], "amount": entry["amount"], "currency": entry["currency"]}


def confirm_token_payment(gateway, ref, words):
    entry = payment(gateway, ref)
    kind = gateway.tokens[entry["token"]]
    if kind == "declined":
        entry["status"] = "declined"
        raise Refused(402, "Card_Declined")
    if kind == "cvv":  # a decline that says 200
        entry["status"] = "declined"
        return 200, {**shown(ref, entry), "error_code": "CVV_Mismatch"}
    if kind == "busy" and ref not in gateway.busy_once:
        gateway.busy_once.add(ref)
        raise Refused(503, "Busy")
    if entry["status"] in ("succeeded", "authorised"):
        words.append("twice")
    entry["status"] = "succeeded" if entry["capture"] else "authorised"
    words.append("charge")
    return 200, shown(ref, entry)


def tokens(gateway, method, path, query, body, words):
    if query:
        raise Refused(400, "Unknown_Field")
    if (method, path) == ("POST", "/v1/tokens"):
        flat = check_fields(body, ["card_number", "cvv", "expiry_month", "expiry_year", "recurring_flag",
                                   "metadata.interaction_id", "metadata.source"],
                            ["customer_id", "amount", "currency", "metadata.call_id"])
        if flat["recurring_flag"] is not True or len(flat["expiry_year"]) != 4:
            raise Refused(400, "Bad_Field")
        kind = card_of(flat["card_number"], flat["expiry_month"], flat["expiry_year"], flat["cvv"])
        if kind == "cvv_at_once":
            raise Refused(402, "CVV_Mismatch")
        if kind == "echo":
            return 201, {"token": flat["card_number"]}
        token = gateway.name("tok")
        gateway.tokens[token] = kind
        return 201, {"token": token}
    if (method, path) == ("POST", "/v1/payments"):
        flat = check_fields(body, ["token", "amount", "currency", "capture", "metadata.call_id",
                                   "metadata.capture_id"])
        if not isinstance(flat["amount"], int) or flat["token"] not in gateway.tokens:
            raise Refused(400, "Bad_Field")
        ref = gateway.name("pay")
        gateway.payments[ref] = {"status": "created", "amount": flat["amount"], "currency": flat["currency"],
                                 "token": flat["token"], "capture": flat["capture"]}
        return 201, shown(ref, gateway.payments[ref])
    if (method, path) == ("POST", "/v1/subscriptions"):
        flat = check_fields(body, ["customer_id", "payment_method_token", "plan_id", "interval_count",
                                   "interval_unit", "metadata.ivr_session_id"])
        if flat["interval_unit"] not in ("day", "week", "month", "year") or flat["interval_count"] != 1:
            raise Refused(400, "Bad_Field")
        return 201, {"subscription_id": gateway.name("sub"), "status": "active"}
    if (method, path) == ("POST", "/v1/payment_links"):
        check_fields(body, ["amount", "currency"], ["reference"])
        name = gateway.name("lnk")
        return 201, {"id": name, "url": f"https://pay.example/p/{name}"}
    match = re.fullmatch(r"/v1/payments/(\w+)(/\w+)?", path)
    if not match:
        raise Refused(404, "No_Such_Path")
    ref, action = match.group(1), match.group(2)
    entry = payment(gateway, ref)
    if method == "GET" and action is None:
        return 200, shown(ref, entry)
    if method == "POST" and action == "/confirm":
        if body is not None:
            raise Refused(400, "Unknown_Field")
        return confirm_token_payment(gateway, ref, words)
    if method == "POST" and action in ("/cancel", "/void"):
        if entry["status"] != "succeeded":
            entry["status"] = "cancelled"
        return 200, shown(ref, entry)
    if method == "POST" and action == "/capture":
        check_fields(body, ["amount"])
        entry["status"] = "succeeded"
        words.append("charge")
        return 200, shown(ref, entry)
    if method == "POST" and action == "/refunds":
        flat = check_fields(body, ["amount", "currency"], ["reference"])
        return 201, {"id": gateway.name("ref"), "status": "refunded", "amount": flat["amount"],
                     "currency": flat["currency"]}
    raise Refused(405, "No_Such_Action")


def session(gateway, method, path, query, body, words):
    if (method, path) == ("POST", "/Generate_Session_Token"):
        check_fields(body, ["Reference"])
        token = base64.b64encode(hashlib.sha256(str(time.time()).encode()).digest()).decode()
        gateway.sessions[token] = time.time() + 30
        return 200, {"Session_Token": token}
    if (method, path) == ("POST", "/Submit_Card"):
        flat = check_fields(body, ["Session_Token", "CC_Number", "Expiry", "CVV"])
        until = gateway.sessions.pop(flat["Session_Token"], 0)  # once
        if time.time() > until:
            raise Refused(403, "Session_Expired")
        kind = card_of(flat["CC_Number"], flat["Expiry"][:2], flat["Expiry"][2:], flat["CVV"])
        if kind == "cvv_at_once":
            return 200, {"Status": "Declined", "Error_Code": "CVV_Mismatch"}
        token = gateway.name("card")
        gateway.tokens[token] = kind
        return 200, {"Status": "Accepted", "Card_Token": token}
    if (method, path) == ("POST", "/Process_Payment"):
        flat = check_fields(body, ["Card_Token", "Amount", "Currency", "Order"])
        state = gateway.charge(flat["Order"], flat["Card_Token"])
        answer = {"Order": flat["Order"], "Amount": flat["Amount"], "Currency": flat["Currency"]}
        gateway.done[flat["Order"]] = answer
        if state not in ("charged", "twice"):
            return 200, {**answer, "Status": "Declined", "Error_Code": state}
        words.append("twice" if state == "twice" else "charge")
        if gateway.is_lost(flat["Card_Token"]):
            raise Lost()
        return 200, {**answer, "Status": "Approved"}
    if (method, path) == ("GET", "/Payments"):
        asked = urllib.parse.parse_qs(query, strict_parsing=True)
        if list(asked) != ["order"]:
            raise Refused(400, "Unknown_Field")
        order = asked["order"][0]
        state = gateway.payments.get(order)
        status = {None: "Unknown", "charged": "Approved"}.get(state, "Declined")
        return 200, {**gateway.done.get(order, {"Order": order}), "Status": status}
    raise Refused(404, "No_Such_Path")


def pay(gateway, method, path, query, body, words):
    if (method, path) != ("POST", "/") or query or not isinstance(body, dict):
        raise Refused(404, "No_Such_Path")
    if body.get("method") == "tokenize":
        flat = check_fields(body, ["transaction_id", "method", "cardnumber", "cvv", "expiry_month", "expiry_year",
                                   "description"], ["parameters.call_id", "amount", "currency_code"])
        kind = card_of(flat["cardnumber"], flat["expiry_month"], flat["expiry_year"], flat["cvv"])
        if len(flat["expiry_year"]) != 2:
            raise Refused(400, "Bad_Card")
        if kind == "cvv_at_once":
            return 200, {"token_id": None, "error_code": "CVV_Mismatch", "error_message": "no"}
        token = gateway.name("tok")
        gateway.tokens[token] = kind
        return 200, {"token_id": token, "error_code": None, "error_message": None}
    if body.get("method") == "charge":
        flat = check_fields(body, ["transaction_id", "method", "payment_token", "amount", "currency_code",
                                   "description"])
        state = gateway.charge(flat["transaction_id"], flat["payment_token"])
        if state not in ("charged", "twice"):
            return 200, {"charge_id": None, "error_code": state, "error_message": "no"}
        words.append("twice" if state == "twice" else "charge")
        if gateway.is_lost(flat["payment_token"]):
            raise Lost()
        return 200, {"charge_id": gateway.name("ch"), "error_code": None, "error_message": None}
    if body.get("method") == "status":
        flat = check_fields(body, ["transaction_id", "method"])
        state = gateway.payments.get(flat["transaction_id"])
        status = {None: "unknown", "charged": "charged"}.get(state, "declined")
        return 200, {"transaction_id": flat["transaction_id"], "status": status, "error_code": None,
                     "error_message": None}
    raise Refused(400, "Bad_Method")


def xml_body(text):
    root = etree.fromstring(text)
    if root.tag != "paymentRequest" or root.attrib:
        raise Refused(400, "Bad_Root")

    def read(element):
        names = [child.tag for child in element]
        if len(set(names)) != len(names) or any(child.attrib for child in element):
            raise Refused(400, "Unknown_Field")
        return {child.tag: read(child) if len(child) else (child.text or "") for child in element}

    return read(root)


def xml(gateway, method, path, query, body, words):
    if method != "POST" or query:
        raise Refused(404, "No_Such_Path")
    if path == "/cards":
        flat = check_fields(body, ["accountId", "callType", "card.number", "card.expiryMonth", "card.expiryYear",
                                   "card.securityCode"], ["merchantId"])
        kind = card_of(flat["card.number"], flat["card.expiryMonth"], flat["card.expiryYear"],
                       flat["card.securityCode"])
        if kind == "cvv_at_once":
            return 200, {"result": "Declined", "errorCode": "CVV_Mismatch"}
        if kind == "echo":
            return 200, "<!DOCTYPE p [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><paymentResponse><result>Approved" \
                        "</result><token>&x;</token></paymentResponse>"
        token = gateway.name("tok")
        gateway.tokens[token] = kind
        return 200, {"result": "Approved", "token": token, "last4": "4242", "cardType": "visa"}
    if path == "/payments":
        flat = check_fields(body, ["accountId", "amount", "currency", "callType", "token"],
                            ["merchantId", "reference"])
        state = gateway.charge(flat["accountId"], flat["token"])
        gateway.done[flat["accountId"]] = {"amount": flat["amount"], "currency": flat["currency"]}
        if state not in ("charged", "twice"):
            return 200, {"result": "Declined", "errorCode": state}
        words.append("twice" if state == "twice" else "charge")
        if gateway.is_lost(flat["token"]):
            raise Lost()
        return 200, {"result": "Approved", "transactionRef": gateway.name("tx"), "accountId": flat["accountId"],
                     **gateway.done[flat["accountId"]]}
    if path == "/payments/query":
        flat = check_fields(body, ["accountId", "callType"], ["merchantId"])
        state = gateway.payments.get(flat["accountId"])
        result = {None: "Unknown", "charged": "Approved"}.get(state, "Declined")
        return 200, {"result": result, "accountId": flat["accountId"], "transactionRef": "tx_0",
                     **gateway.done.get(flat["accountId"], {})}
    raise Refused(404, "No_Such_Path")


# --- who asks ---

def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def check_signature(handler, raw):
    match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})",
                         handler.headers.get("authorization", ""))
    date = handler.headers.get("x-amz-date", "")
    if not match or not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", date):
        raise Refused(403, "MissingAuthenticationToken")
    credential, names, given = match.groups()
    scope = f"{date[:8]}/{AWS_REGION}/{AWS_SERVICE}/aws4_request"
    sent = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    age = abs((datetime.datetime.now(datetime.timezone.utc) - sent).total_seconds())
    must = {"host", "x-amz-date"} | ({"content-type"} if raw else set())
    if credential != f"{AWS_ID}/{scope}" or age > 300 or not must <= set(names.split(";")):
        raise Refused(403, "InvalidClientTokenId")
    path, _, query = handler.path.partition("?")
    parameters = sorted((quote(k), quote(v)) for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
    lines = [handler.command, "/".join(quote(part) for part in path.split("/")),
             "&".join(f"{k}={v}" for k, v in parameters)]
    lines += [f"{name}:{' '.join(handler.headers[name].split())}" for name in names.split(";")]
    lines += ["", names, hashlib.sha256(raw).hexdigest()]
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
    key = ("AWS4" + AWS_SECRET).encode()
    for part in (date[:8], AWS_REGION, AWS_SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), given):
        raise Refused(403, "SignatureDoesNotMatch")


def check_basic(handler):
    if handler.headers.get("authorization") != "Basic " + base64.b64encode(b"user:password").decode():
        raise Refused(401, "Unauthorized")


def check_caller(handler, dialect, raw):
    headers = {name.lower() for name in handler.headers}
    allowed = set(ALLOWED_HEADERS)
    if dialect in ("tokens", "aws", "oauth"):
        allowed |= {"idempotency-key"}
    if dialect == "tokens":
        allowed |= {"x-api-key"}
        if (handler.headers.get("authorization"), handler.headers.get("x-api-key")) != ("Bearer bearer", "apikey"):
            raise Refused(401, "Unauthorized")
    elif dialect == "aws":
        allowed |= {"x-amz-date", "x-amz-security-token"}
        check_signature(handler, raw)
    elif dialect == "session":
        allowed = (allowed | {"api-key"}) - {"authorization"}
        if handler.headers.get("api-key") != "apikey":
            raise Refused(401, "Unauthorized")
    elif dialect == "oauth":
        token = handler.headers.get("authorization", "")
        if handler.server.gateway.access.get(token, 0) < time.time():
            raise Refused(401, "Unauthorized")
    else:
        check_basic(handler)
    if not headers <= allowed:
        raise Refused(400, "Unknown_Header")


def login(handler, raw):
    check_basic(handler)
    form = urllib.parse.parse_qs(raw.decode(), strict_parsing=True)
    if form != {"grant_type": ["client_credentials"], "scope": ["payments"]} or \
            handler.headers.get("content-type") != "application/x-www-form-urlencoded":
        raise Refused(400, "invalid_request")
    token = handler.server.gateway.name("access")
    handler.server.gateway.access["Bearer " + token] = time.time() + 3600
    return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600}


DIALECTS = {"tokens": tokens, "aws": tokens, "oauth": tokens, "session": session, "pay": pay, "xml": xml}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def read_body(self, raw):
        dialect = self.server.dialect
        kind = "application/xml" if dialect == "xml" else "application/json"
        if self.headers.get("accept") != kind:
            raise Refused(406, "Not_Acceptable")
        if not raw:
            return None
        if self.headers.get("content-type") != kind:
            raise Refused(415, "Unsupported_Media_Type")
        return xml_body(raw) if dialect == "xml" else json.loads(raw)

    def carry_out(self, raw, words):
        gateway, dialect = self.server.gateway, self.server.dialect
        path, _, query = self.path.partition("?")
        if dialect == "oauth" and (self.command, path) == ("POST", "/oauth/token"):
            return login(self, raw)
        check_caller(self, dialect, raw)
        key = self.headers.get("idempotency-key")
        if dialect in ("tokens", "aws", "oauth") and (self.command == "POST") != bool(key):
            raise Refused(400, "Idempotency_Key")
        asked = (self.command, self.path, hashlib.sha256(raw).hexdigest())
        if key in gateway.done:
            if gateway.done[key][0] != asked:
                raise Refused(409, "Idempotency_Conflict")
            words.append("replay")
            return gateway.done[key][1]
        answer = DIALECTS[dialect](gateway, self.command, path, query, self.read_body(raw), words)
        if key:
            gateway.done[key] = (asked, answer)
            entry = gateway.payments.get(path.split("/")[3]) if path.endswith("/confirm") else None
            if entry and gateway.is_lost(entry["token"]):
                raise Lost()
        return answer

    def answer(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        words = ["card"] if re.search(rb"[0-9]{13,19}", raw) else []
        with self.server.gateway.lock:
            try:
                status, answer = self.carry_out(raw, words)
            except Refused as refused:
                status, answer = refused.status, {"error_code": refused.code}
                words.append(refused.code)
            except (ValueError, etree.ParseError):
                status, answer = 400, {"error_code": "Not_Readable"}
                words.append("Not_Readable")
            except Lost:
                status, answer = 0, None
            self.server.journal.write(f"{self.command} {self.path} {status} {' '.join(words)}\n")
            self.server.journal.flush()
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        self.send(status, answer)

    def send(self, status, answer):
        if self.server.dialect == "xml":
            text = answer if isinstance(answer, str) else "<?xml version=\"1.0\"?><paymentResponse>" + "".join(
                f"<{k}>{v}</{k}>" for k, v in answer.items()) + "</paymentResponse>"
        else:
            text = json.dumps(answer)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml" if self.server.dialect == "xml" else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer


def main():
    dialect, certificate, key, journal = sys.argv[1:5]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.dialect, server.gateway = dialect, Gateway()
    with open(journal, "a", encoding="ascii", errors="replace") as server.journal:
        print(f"listening on https://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
