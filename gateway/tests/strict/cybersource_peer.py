"""Cybersource's REST API as far as the connector uses it, strict. Written from the public pages of
developer.cybersource.com: HTTP signature, payments, captures, reversals, voids, refunds, transaction search, pay by link.
The signature is computed here on its own, with Python's hmac.

Settings: decline = errorInformation.reason of every payment from now on ("" none); lag = a search finds nothing yet ("1").
"""
import base64
import email.utils
import hashlib
import hmac
import re
import time

from strict_server import Refused, fields, luhn, one_of, text

MERCHANT = "shop_strict"
KEY_ID = "3fae7ccc-8d8a-4c0b-b1e7-25d05ad2d4ea"
SECRET = base64.b64encode(b"a shared secret of the strict peer").decode()
AMOUNT = r"[0-9]{1,8}\.[0-9]{2}"
CODE = r"[A-Za-z0-9_-]{1,50}"
JSON = "application/json;charset=utf-8"


def body_digest(body):
    return "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()


class Peer:
    def __init__(self):
        self.decline = ""
        self.lag = ""
        self.count = 0
        self.tokens = {}
        self.payments = {}  # id -> payment
        self.done = []      # transactions as the search shows them
        self.links = {}

    def books(self):
        return {"payments": list(self.payments.values()), "transactions": self.done, "links": list(self.links)}

    @staticmethod
    def refusal(why):
        return {"submitTimeUtc": "2026-01-01T00:00:00Z", "status": "INVALID_REQUEST", "reason": "INVALID_DATA",
                "message": why}

    def number(self):
        self.count += 1
        return f"75034866757567187{self.count:05}"

    # --- who asks ---

    def check_signature(self, request):
        has_body = request.method in ("POST", "PUT", "PATCH")
        names = "host date request-target digest v-c-merchant-id" if has_body else "host date request-target v-c-merchant-id"
        given = dict(re.findall(r'([a-z]+)="([^"]*)"', request.header("signature")))
        unauthorised = {"response": {"rmsg": "Authentication Failed"}}
        if given.keys() != {"keyid", "algorithm", "headers", "signature"}:
            raise Refused("the signature's parts", 401, unauthorised)
        if (given["keyid"], given["algorithm"], given["headers"]) != (KEY_ID, "HmacSHA256", names):
            raise Refused(f"the signature says {given}", 401, unauthorised)
        if request.header("v-c-merchant-id") != MERCHANT:
            raise Refused("another merchant", 401, unauthorised)
        date = email.utils.parsedate_to_datetime(request.header("date"))
        if not request.header("date").endswith(" GMT") or abs(date.timestamp() - time.time()) > 300:
            raise Refused("the date", 401, unauthorised)
        if has_body and request.header("digest") != body_digest(request.body):
            raise Refused("the digest", 401, unauthorised)
        lines = {"host": request.headers.get("host"), "date": request.header("date"),
                 "request-target": f"{request.method.lower()} {request.target}",
                 "digest": request.headers.get("digest"), "v-c-merchant-id": MERCHANT}
        said = "\n".join(f"{name}: {lines[name]}" for name in names.split())
        right = base64.b64encode(hmac.new(base64.b64decode(SECRET), said.encode(), hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(right, given["signature"]):
            raise Refused("the signature is wrong", 401, unauthorised)

    # --- payments ---

    def amount(self, information, where, may_be_nothing=False):
        fields(information, where, ["amountDetails"])
        details = fields(information["amountDetails"], where, ["totalAmount", "currency"])
        text(details["currency"], where, "[A-Z]{3}")
        text(details["totalAmount"], where, AMOUNT)
        if not may_be_nothing and float(details["totalAmount"]) == 0:
            raise Refused("an amount of nothing")
        return details["totalAmount"], details["currency"]

    def reference(self, body):
        reference = fields(body["clientReferenceInformation"], "clientReferenceInformation", ["code"])
        return text(reference["code"], "code", CODE)

    def pay(self, request):
        body = fields(request.json(JSON), "", ["clientReferenceInformation", "processingInformation", "paymentInformation",
                                               "orderInformation"], ["merchantDefinedInformation"])
        code = self.reference(body)
        processing = fields(body["processingInformation"], "processingInformation", ["commerceIndicator"],
                            ["capture", "actionList", "actionTokenTypes"])
        one_of(processing["commerceIndicator"], "commerceIndicator", "MOTO")
        stores = processing.get("actionList") == ["TOKEN_CREATE"]
        for row in body.get("merchantDefinedInformation", []):
            fields(row, "merchantDefinedInformation", ["key", "value"])
            text(row["key"], "key", "[0-9]{1,3}")
        total, currency = self.amount(body["orderInformation"], "orderInformation", stores)
        if stores:
            return self.store(body, processing, code, total, currency)
        one_of(processing.get("capture"), "capture", True, False)
        customer = fields(body["paymentInformation"], "paymentInformation", ["customer"])["customer"]
        if fields(customer, "customer", ["id"])["id"] not in self.tokens:
            raise Refused("no such customer")
        return self.charge(code, total, currency, processing["capture"])

    def store(self, body, processing, code, total, currency):
        if processing.get("actionTokenTypes") != ["customer", "paymentInstrument", "instrumentIdentifier"]:
            raise Refused("token types")
        if float(total) != 0 or "capture" in processing:
            raise Refused("a verification that takes money")
        card = fields(fields(body["paymentInformation"], "paymentInformation", ["card"])["card"], "card",
                      ["number", "expirationMonth", "expirationYear"], ["securityCode"])
        text(card["number"], "number", "[0-9]{13,19}")
        text(card["expirationMonth"], "expirationMonth", "0[1-9]|1[0-2]")
        text(card["expirationYear"], "expirationYear", "20[0-9]{2}")
        text(card.get("securityCode", "123"), "securityCode", "[0-9]{3,4}")
        if not luhn(card["number"]) or self.decline:
            return self.declined(code, self.decline or "INVALID_ACCOUNT")
        number = self.number()
        token = f"F45FB3E443AC3C57E053A2598D0A{self.count:04X}"
        self.tokens[token] = card["number"][-4:]
        return 201, {}, {"id": number, "status": "AUTHORIZED", "clientReferenceInformation": {"code": code},
                         "orderInformation": {"amountDetails": {"authorizedAmount": total, "currency": currency}},
                         "tokenInformation": {"customer": {"id": token}, "paymentInstrument": {"id": token + "1"},
                                              "instrumentIdentifier": {"id": token + "2", "state": "ACTIVE"}}}

    def declined(self, code, reason):
        number = self.number()
        flag = {"INSUFFICIENT_FUND": "DCARDREFUSED", "EXPIRED_CARD": "DCARDEXPIRED"}.get(reason, "DCARDREFUSED")
        self.note(number, code, "0.00", "USD", [("ics_auth", "204", flag)])
        return 201, {}, {"id": number, "status": "DECLINED", "clientReferenceInformation": {"code": code},
                         "errorInformation": {"reason": reason, "message": "declined"}}

    def charge(self, code, total, currency, is_sale):
        if self.decline:
            return self.declined(code, self.decline)
        number = self.number()
        self.payments[number] = {"id": number, "code": code, "total": total, "currency": currency, "is_sale": is_sale,
                                 "state": "captured" if is_sale else "held", "refunded": 0.0}
        services = [("ics_auth", "100", "SOK")] + ([("ics_bill", "100", "SOK")] if is_sale else [])
        self.note(number, code, total, currency, services)
        return 201, {}, {"id": number, "status": "AUTHORIZED", "clientReferenceInformation": {"code": code},
                         "orderInformation": {"amountDetails": {"authorizedAmount": total, "currency": currency}}}

    def note(self, number, code, total, currency, services):
        self.done.append({
            "id": number, "submitTimeUtc": "2026-01-01T00:00:00Z", "merchantId": MERCHANT,
            "clientReferenceInformation": {"code": code},
            "orderInformation": {"amountDetails": {"totalAmount": total, "currency": currency}},
            "applicationInformation": {"applications": [{"name": name, "reasonCode": reason, "rFlag": flag}
                                                        for name, reason, flag in services]}})

    # --- afterwards ---

    def change(self, request, kind, number, what):
        if number not in self.payments and not (kind == "captures" and self.capture_of(number)):
            return 404, {}, {"status": "NOT_FOUND", "reason": "NOT_FOUND", "message": "no such payment"}
        payment = self.payments[number] if number in self.payments else self.capture_of(number)
        required = ["clientReferenceInformation"] + {"captures": ["orderInformation"], "refunds": ["orderInformation"],
                                                     "reversals": ["reversalInformation"], "voids": []}[what]
        body = fields(request.json(JSON), what, required)
        code = self.reference(body)
        if what == "reversals":
            fields(body["reversalInformation"], "reversalInformation", ["amountDetails", "reason"])
            del body["reversalInformation"]["reason"]
            asked = self.amount(body["reversalInformation"], "reversalInformation")
        elif what == "voids":
            asked = (payment["total"], payment["currency"])
        else:
            asked = self.amount(body["orderInformation"], "orderInformation")
        return getattr(self, what)(payment, kind, code, *asked)

    def capture_of(self, number):
        return next((payment for payment in self.payments.values() if payment.get("capture") == number), None)

    def follow(self, payment, service, code, total, status, more):
        number = self.number()
        self.note(number, code, total, payment["currency"], [(service, "100", "SOK")])
        return 201, {}, {"id": number, "status": status, "clientReferenceInformation": {"code": code}, **more}

    def captures(self, payment, kind, code, total, currency):
        if kind != "payments" or payment["state"] != "held" or currency != payment["currency"] or \
                float(total) > float(payment["total"]):
            raise Refused("nothing to capture")
        payment["state"] = "captured"
        answer = self.follow(payment, "ics_bill", code, total, "PENDING",
                             {"orderInformation": {"amountDetails": {"totalAmount": total, "currency": currency}}})
        payment["capture"] = answer[2]["id"]
        return answer

    def reversals(self, payment, kind, code, total, currency):
        if kind != "payments" or payment["state"] != "held" or (total, currency) != (payment["total"], payment["currency"]):
            raise Refused("nothing to reverse")
        payment["state"] = "reversed"
        return self.follow(payment, "ics_auth_reversal", code, total, "REVERSED",
                           {"reversalAmountDetails": {"reversedAmount": total, "currency": currency}})

    def voids(self, payment, kind, code, total, _currency):
        if payment["state"] != "captured" or (kind == "captures") == payment["is_sale"]:
            raise Refused("nothing to void")
        payment["state"] = "voided"
        return self.follow(payment, "ics_void", code, total, "VOIDED", {})

    def refunds(self, payment, kind, code, total, currency):
        left = float(payment["total"]) - payment["refunded"]
        if payment["state"] != "captured" or (kind == "captures") == payment["is_sale"] or \
                currency != payment["currency"] or float(total) > left + 0.001:
            raise Refused("nothing to refund")
        payment["refunded"] += float(total)
        return self.follow(payment, "ics_credit", code, total, "PENDING",
                           {"refundAmountDetails": {"refundAmount": total, "currency": currency}})

    # --- looking ---

    def search(self, request):
        body = fields(request.json(JSON), "search", ["query", "sort"], ["save", "name", "timezone", "offset", "limit"])
        term = rf"clientReferenceInformation\.code:({CODE})"
        said = re.fullmatch(f"{term}(?: OR {term})?", body["query"])
        if not said:
            raise Refused(f"query {body['query']!r}")
        codes = [code for code in said.groups() if code]
        found = [] if self.lag else [done for done in self.done if done["clientReferenceInformation"]["code"] in codes]
        return 201, {}, {"searchId": "x", "count": len(found), "totalCount": len(found),
                         "_embedded": {"transactionSummaries": found[::-1]}}

    def link(self, request, number):
        if request.method == "GET":
            request.nothing()
            if number not in self.links:
                return 404, {}, {"status": "NOT_FOUND", "reason": "NOT_FOUND"}
            return 200, {}, self.links[number]
        body = fields(request.json(JSON), "link", ["processingInformation", "purchaseInformation", "orderInformation"])
        one_of(fields(body["processingInformation"], "p", ["linkType"])["linkType"], "linkType", "PURCHASE")
        number = text(fields(body["purchaseInformation"], "p", ["purchaseNumber"])["purchaseNumber"], "purchaseNumber",
                      "[A-Za-z0-9]{1,20}")
        order = fields(body["orderInformation"], "orderInformation", ["amountDetails", "lineItems"])
        items = order.pop("lineItems")
        total, currency = self.amount(order, "orderInformation")
        if len(items) != 1 or fields(items[0], "lineItems", ["productName", "unitPrice"])["unitPrice"] != total:
            raise Refused("lineItems")
        if number in self.links:
            raise Refused("a purchase number twice")
        self.links[number] = {
            "id": number, "status": "ACTIVE",
            "purchaseInformation": {"purchaseNumber": number,
                                    "paymentLink": f"https://businesscenter.cybersource.com/payByLink/pay/{number}IXBls"},
            "orderInformation": {"amountDetails": {"totalAmount": float(total), "currency": currency}}}
        return 201, {}, self.links[number]

    def handle(self, request):
        request.header("accept", "application/hal+json;charset=utf-8")
        self.check_signature(request)
        path = request.path.split("/")[1:]
        match (request.method, *path):
            case ("POST", "pts", "v2", "payments"):
                return self.pay(request)
            case ("POST", "pts", "v2", ("payments" | "captures") as kind, number,
                  ("captures" | "reversals" | "voids" | "refunds") as what):
                return self.change(request, kind, number, what)
            case ("POST", "tss", "v2", "searches"):
                return self.search(request)
            case ("POST", "ipl", "v2", "payment-links"):
                return self.link(request, None)
            case ("GET", "ipl", "v2", "payment-links", number):
                return self.link(request, number)
        raise Refused(f"no such resource: {request.method} {request.path}", 404)
