"""Adyen's Checkout API v71 as far as the connector uses it, strict and with a memory: what its description (which other tests
hold the requests to) does not say, above all idempotency. The first answer under a key comes back to every later request
under it, and a request that differs from the first is refused.

Settings: decline = refusalReasonCode of every payment from now on ("" none).
"""
import re

from strict_server import Refused, fields, luhn, one_of, text, whole

ACCOUNT = "ShopAccount"
KEY = "AQEstrict"


class Peer:
    def __init__(self):
        self.decline = ""
        self.first = {}  # key -> (what was asked, what was answered)
        self.tokens = {}
        self.payments = {}
        self.links = []
        self.count = 0

    def books(self):
        return {"payments": list(self.payments.values()), "links": self.links, "keys": len(self.first)}

    @staticmethod
    def refusal(why):
        return {"status": 422, "errorCode": "702", "message": why, "errorType": "validation"}

    def reference(self):
        """Of digits only, as Adyen's may be."""
        self.count += 1
        return f"88361838197{self.count:05}"

    def handle(self, request):
        if request.headers.get("x-api-key") != KEY:
            raise Refused("who asks", 401, {"status": 401, "errorCode": "000", "message": "x", "errorType": "security"})
        key = text(request.header("idempotency-key"), "Idempotency-Key", "[A-Za-z0-9_-]{1,64}")
        body = request.json("application/json")
        asked = (request.path, request.body)
        if key in self.first:
            if self.first[key][0] != asked:
                raise Refused("the same key for another request")
            return self.first[key][1]
        one_of(body.get("merchantAccount"), "merchantAccount", ACCOUNT)
        answer = self.answer(request, body)
        self.first[key] = (asked, answer)
        return answer

    def answer(self, request, body):
        path = request.path.split("/")[1:]
        match (request.method, *path):
            case ("POST", "v71", "payments"):
                return self.pay(body)
            case ("POST", "v71", "paymentLinks"):
                return self.link(body)
            case ("POST", "v71", "payments", payment, ("captures" | "reversals" | "refunds") as what):
                if payment not in self.payments:
                    raise Refused("Original pspReference required for this operation")
                return self.change(self.payments[payment], payment, what, body)
        raise Refused("no such resource", 404)

    def amount(self, value, least):
        fields(value, "amount", ["currency", "value"])
        text(value["currency"], "currency", "[A-Z]{3}")
        return whole(value["value"], "value", least, 2**31 - 1)

    def pay(self, body):
        fields(body, "", ["merchantAccount", "reference", "amount", "shopperReference", "shopperInteraction",
                          "recurringProcessingModel", "returnUrl", "paymentMethod"],
               ["storePaymentMethod", "additionalData", "metadata"])
        one_of(body["shopperInteraction"], "shopperInteraction", "Moto")
        one_of(body["recurringProcessingModel"], "recurringProcessingModel", "CardOnFile")
        method = body["paymentMethod"]
        if body.get("storePaymentMethod"):
            fields(method, "paymentMethod", ["type", "number", "expiryMonth", "expiryYear"], ["cvc"])
            if self.amount(body["amount"], 0) != 0:
                raise Refused("a verification that takes money")
            if not re.fullmatch("[0-9]{12,19}", method["number"]) or not luhn(method["number"]):
                return 422, {}, {"status": 422, "errorCode": "101", "message": "Invalid card number", "errorType": "validation"}
            if self.decline:
                return self.refused()
            token = f"84157363448{len(self.tokens):05}"
            self.tokens[token] = body["shopperReference"]
            return 200, {}, {"resultCode": "Authorised", "pspReference": self.reference(),
                             "merchantReference": body["reference"], "amount": body["amount"],
                             "additionalData": {"recurring.recurringDetailReference": token}}
        fields(method, "paymentMethod", ["type", "storedPaymentMethodId"])
        if self.tokens.get(method["storedPaymentMethodId"]) != body["shopperReference"]:
            raise Refused("no such contract")
        if body.get("additionalData") != {"manualCapture": "true"}:
            raise Refused("it would be captured at once")
        for name, value in body.get("metadata", {}).items():
            text(name, "metadata", ".{1,20}")
            text(value, "metadata", ".{1,80}")
        amount = self.amount(body["amount"], 1)
        if self.decline:
            return self.refused()
        payment = self.reference()
        self.payments[payment] = {"reference": body["reference"], "held": amount, "captured": 0, "given_back": 0,
                                  "currency": body["amount"]["currency"]}
        return 200, {}, {"resultCode": "Authorised", "pspReference": payment, "merchantReference": body["reference"],
                         "amount": body["amount"]}

    def refused(self):
        return 200, {}, {"resultCode": "Refused", "refusalReason": "x", "refusalReasonCode": self.decline,
                         "pspReference": self.reference()}

    def change(self, payment, psp, what, body):
        has_amount = what != "reversals"
        fields(body, what, ["merchantAccount", "reference"] + (["amount"] if has_amount else []))
        answer = {"status": "received", "pspReference": self.reference(), "paymentPspReference": psp,
                  "merchantAccount": ACCOUNT, "reference": body["reference"]}
        if has_amount:
            amount = self.amount(body["amount"], 1)
            if body["amount"]["currency"] != payment["currency"]:
                raise Refused("another currency")
            answer["amount"] = body["amount"]
        if what == "captures":
            if amount > payment["held"] - payment["captured"]:
                raise Refused("more than is held")
            payment["captured"] += amount
        elif what == "refunds":
            if amount > payment["captured"] - payment["given_back"]:
                raise Refused("more than was taken")
            payment["given_back"] += amount
        else:
            payment["held"], payment["given_back"] = payment["captured"], payment["captured"]
        return 201, {}, answer

    def link(self, body):
        fields(body, "", ["merchantAccount", "reference", "amount"], ["reusable", "metadata"])
        one_of(body.get("reusable", False), "reusable", False)
        self.amount(body["amount"], 1)
        name = f"PLE8{len(self.links):02X}C39B0A0DE0C1E"
        self.links.append(name)
        return 201, {}, {"id": name, "status": "active", "merchantAccount": ACCOUNT, "reference": body["reference"],
                         "amount": body["amount"], "url": f"https://test.adyen.link/{name}"}
