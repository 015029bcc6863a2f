"""PayPal as far as the connector uses it, strict and with a memory of request ids, which PayPal keeps for some hours: login,
vault, orders, and the payments behind an order.

Settings: decline = processor response code of every charge from now on ("" none); hours = "over": every request id is forgotten;
approve = an order that its payer now approves.
"""
import base64
import re

from strict_server import Refused, fields, luhn, one_of, text

BASIC = "Basic " + base64.b64encode(b"client:secret").decode()
ACCESS = "strict-access"


class Peer:
    def __init__(self):
        self.decline, self.requests = "", {}
        self.setups, self.tokens, self.orders, self.count, self.logins = {}, {}, {}, 0, 0

    def __setattr__(self, name, value):
        if name == "hours":
            self.requests.clear()
        elif name == "approve":
            self.orders[value]["status"] = "APPROVED"
        else:
            object.__setattr__(self, name, value)

    def books(self):
        return {"orders": list(self.orders.values()), "logins": self.logins}

    @staticmethod
    def refusal(why):
        return {"name": "INVALID_REQUEST", "message": why, "details": [{"issue": "INVALID_SYNTAX", "description": why}]}

    def unprocessable(self, issue, field=""):
        return 422, {}, {"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": issue, "field": field}]}

    def number(self):
        """As many digits in a row as PayPal's may have."""
        self.count += 1
        return f"{self.count}JU08902781691411"

    def money(self, value):
        fields(value, "amount", ["currency_code", "value"])
        text(value["currency_code"], "currency_code", "[A-Z]{3}")
        text(value["value"], "value", r"[0-9]{1,8}\.[0-9]{2}")
        return float(value["value"])

    def handle(self, request):
        if request.path == "/v1/oauth2/token":
            request.header("authorization", BASIC)
            request.header("content-type", "application/x-www-form-urlencoded")
            if request.body != b"grant_type=client_credentials":
                raise Refused("grant_type")
            self.logins += 1
            return 200, {}, {"access_token": ACCESS, "token_type": "Bearer", "expires_in": 32400}
        if request.headers.get("authorization") != f"Bearer {ACCESS}":
            raise Refused("who asks", 401, {"name": "AUTHENTICATION_FAILURE"})
        path = request.path.split("/")[1:]
        if request.method == "GET":
            request.nothing()
            if path[:3] != ["v2", "checkout", "orders"] or path[3] not in self.orders:
                return 404, {}, {"name": "RESOURCE_NOT_FOUND"}
            return 200, {}, self.orders[path[3]]
        request.header("prefer", "return=representation")
        name = text(request.header("paypal-request-id"), "PayPal-Request-Id", "[A-Za-z0-9_-]{1,108}")
        asked = (request.path, request.body)
        if name in self.requests:
            if self.requests[name][0] != asked:
                raise Refused("a request id for another request")
            return self.requests[name][1]
        answer = self.post(path, request)
        self.requests[name] = (asked, answer)
        return answer

    def post(self, path, request):
        match path:
            case ["v3", "vault", "setup-tokens"]:
                return self.set_up(request.json("application/json"))
            case ["v3", "vault", "payment-tokens"]:
                return self.vault(request.json("application/json"))
            case ["v2", "checkout", "orders"]:
                return self.order(request.json("application/json"))
            case ["v2", "checkout", "orders", order, ("capture" | "authorize") as what] if order in self.orders:
                return self.pay(self.orders[order], what, request.json("application/json"))
            case ["v2", "payments", ("authorizations" | "captures") as kind, payment, ("capture" | "void" | "refund") as what]:
                return self.change(kind, payment, what, request)
        raise Refused("no such resource", 404)

    def set_up(self, body):
        card = fields(fields(fields(body, "", ["payment_source"])["payment_source"], "payment_source", ["card"])["card"], "card",
                      ["number", "expiry"], ["security_code"])
        text(card["expiry"], "expiry", "20[0-9]{2}-(0[1-9]|1[0-2])")
        if not re.fullmatch("[0-9]{13,19}", card["number"]) or not luhn(card["number"]):
            return self.unprocessable("VALIDATION_ERROR", "/payment_source/card/number")
        token = f"SETUP{len(self.setups)}A"
        self.setups[token] = "APPROVED"
        return 201, {}, {"id": token, "status": "APPROVED"}

    def vault(self, body):
        token = fields(fields(fields(body, "", ["payment_source"])["payment_source"], "payment_source", ["token"])["token"],
                       "token", ["id", "type"])
        one_of(token["type"], "type", "SETUP_TOKEN")
        if self.setups.pop(token["id"], None) is None:
            raise Refused("no such setup token")
        name = f"8kk{len(self.tokens)}x"
        self.tokens[name] = True
        return 201, {}, {"id": name}

    def order(self, body):
        fields(body, "", ["intent", "purchase_units"])
        one_of(body["intent"], "intent", "CAPTURE", "AUTHORIZE")
        if len(body["purchase_units"]) != 1:
            raise Refused("purchase_units")
        unit = fields(body["purchase_units"][0], "purchase_unit", ["amount", "custom_id", "invoice_id"])
        self.money(unit["amount"])
        name = self.number()
        self.orders[name] = {"id": name, "status": "CREATED", "intent": body["intent"],
                             "purchase_units": [{**unit, "payments": {}}],
                             "links": [{"rel": "self", "href": "https://api-m.sandbox.paypal.com/x", "method": "GET"},
                                       {"rel": "approve", "method": "GET",
                                        "href": f"https://www.sandbox.paypal.com/checkoutnow?order={self.count}"}]}
        return 201, {}, self.orders[name]

    def pay(self, order, what, body):
        fields(body, "", [], ["payment_source"])
        if (what == "capture") != (order["intent"] == "CAPTURE"):
            return self.unprocessable("ACTION_DOES_NOT_MATCH_INTENT")
        if order["status"] == "COMPLETED":
            return self.unprocessable("ORDER_ALREADY_CAPTURED")
        if "payment_source" in body:
            card = fields(fields(body["payment_source"], "payment_source", ["card"])["card"], "card",
                          ["vault_id", "stored_credential"])
            fields(card["stored_credential"], "stored_credential", ["payment_initiator", "payment_type"])
            if card["vault_id"] not in self.tokens:
                raise Refused("no such token")
        elif order["status"] != "APPROVED":
            return self.unprocessable("ORDER_NOT_APPROVED")
        unit = order["purchase_units"][0]
        payment = {"id": self.number(), "amount": unit["amount"], "invoice_id": unit["invoice_id"],
                   "status": "DECLINED" if self.decline else "COMPLETED" if what == "capture" else "CREATED"}
        if self.decline:
            payment["processor_response"] = {"response_code": self.decline}
        unit["payments"]["captures" if what == "capture" else "authorizations"] = [payment]
        order["status"] = "COMPLETED"
        return 201, {}, order

    def find(self, kind, number):
        for order in self.orders.values():
            payments = order["purchase_units"][0]["payments"]
            for payment in payments.get(kind, []):
                if payment["id"] == number:
                    return payment, payments
        raise Refused("no such payment", 404, {"name": "RESOURCE_NOT_FOUND"})

    def change(self, kind, number, what, request):
        payment, payments = self.find(kind, number)
        if what == "void":
            request.nothing()
            if kind != "authorizations" or payment["status"] != "CREATED":
                return self.unprocessable("PREVIOUSLY_CAPTURED")
            payment["status"] = "VOIDED"
            return 204, {}, {}
        body = fields(request.json("application/json"), what, ["amount", "invoice_id"],
                      ["final_capture"] if what == "capture" else [])
        amount = self.money(body["amount"])
        text(body["invoice_id"], "invoice_id", ".{1,127}")
        made = {"id": self.number(), "status": "COMPLETED", "amount": body["amount"], "invoice_id": body["invoice_id"]}
        if what == "capture":
            if kind != "authorizations" or payment["status"] != "CREATED" or amount > float(payment["amount"]["value"]):
                return self.unprocessable("AUTHORIZATION_ALREADY_CAPTURED")
            one_of(body.get("final_capture"), "final_capture", True)
            payment["status"] = "CAPTURED"
            payments["captures"] = [made]
            return 201, {}, made
        given_back = sum(float(one["amount"]["value"]) for one in payments.get("refunds", []))
        if kind != "captures" or amount + given_back > float(payment["amount"]["value"]) + 0.001:
            return self.unprocessable("CAPTURE_FULLY_REFUNDED")
        payments.setdefault("refunds", []).append(made)
        payment["status"] = "REFUNDED" if amount + given_back > float(payment["amount"]["value"]) - 0.001 else "PARTIALLY_REFUNDED"
        return 201, {}, made
