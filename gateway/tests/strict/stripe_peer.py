"""Stripe as far as the connector uses it after the card, strict and with a memory of idempotency keys, which Stripe keeps for a
day. Forms only; an unknown parameter is refused.

Settings: decline = decline_code of every charge from now on ("" none); day = "over": every key is forgotten.
"""
import re
import urllib.parse

from strict_server import Refused, luhn, one_of, text

METADATA = ("metadata[channel]", "metadata[source]", "metadata[call_id]")


def parameters(given, required, optional=()):
    for name in required:
        if name not in given:
            raise Refused(f"missing parameter {name}")
    for name in given:
        if name not in required and name not in optional:
            raise Refused(f"unknown parameter {name}")
    return given


def amount_of(value):
    text(value, "amount", "[1-9][0-9]{0,7}")
    return int(value)


def metadata_of(given):
    return {name[9:-1]: value for name, value in given.items() if name.startswith("metadata[")}


class Peer:
    def __init__(self):
        self.decline, self.keys = "", {}
        self.methods, self.intents, self.refunds, self.customers = {}, {}, [], {}
        self.subscriptions, self.prices, self.links = {}, {}, {}

    def __setattr__(self, name, value):
        if name == "day":
            self.keys.clear()
        else:
            object.__setattr__(self, name, value)

    def books(self):
        return {"intents": list(self.intents.values()), "refunds": self.refunds, "customers": list(self.customers),
                "subscriptions": list(self.subscriptions.values()), "links": list(self.links)}

    @staticmethod
    def refusal(why):
        return {"error": {"type": "invalid_request_error", "message": why}}

    def handle(self, request):
        if request.headers.get("authorization") != "Bearer sk_test_strict":
            raise Refused("who asks", 401, self.refusal("Invalid API Key provided"))
        request.header("stripe-version", "2020-08-27")
        path = request.path.split("/")[2:]
        if request.method == "GET":
            request.nothing()
            return self.get(path, request.query)
        request.header("content-type", "application/x-www-form-urlencoded")
        pairs = urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
        if len(pairs) != len(dict(pairs)):
            raise Refused("a parameter twice")
        given = dict(pairs)
        if path[-1] == "cancel":
            if "idempotency-key" in request.headers:
                raise Refused("a kept refusal would be replayed")
            return self.post(path, given)
        key = text(request.header("idempotency-key"), "Idempotency-Key", "[A-Za-z0-9_-]{1,255}")
        asked = (request.path, request.body)
        if key in self.keys:
            if self.keys[key][0] != asked:
                raise Refused("keys for idempotent requests can only be used with the same parameters")
            status, headers, answer = self.keys[key][1]
            return status, {**headers, "Idempotent-Replayed": "true"}, answer
        answer = self.post(path, given)
        self.keys[key] = (asked, answer)
        return answer

    def get(self, path, query):
        match path:
            case ["payment_intents", intent] if intent in self.intents:
                return 200, {}, self.intents[intent]
            case ["refunds"]:
                parameters(query, ["payment_intent", "limit"])
                found = [one for one in self.refunds if one["payment_intent"] == query["payment_intent"]]
                return 200, {}, {"object": "list", "has_more": False, "data": found[::-1]}
        raise Refused("no such resource", 404)

    def post(self, path, given):
        match path:
            case ["payment_methods"]:
                return self.store(given)
            case ["payment_intents"]:
                return self.create(given)
            case ["payment_intents", intent, ("confirm" | "capture" | "cancel") as what] if intent in self.intents:
                return getattr(self, what)(self.intents[intent], given)
            case ["refunds"]:
                return self.refund(given)
            case ["customers"]:
                parameters(given, [*METADATA, "metadata[order_id]"], ["metadata[customer]"])
                customer = f"cus_strict{len(self.customers)}"
                self.customers[customer] = metadata_of(given)
                return 200, {}, {"object": "customer", "id": customer}
            case ["payment_methods", method, "attach"] if method in self.methods:
                return self.attach(method, given)
            case ["subscriptions"]:
                return self.subscribe(given)
            case ["prices"]:
                parameters(given, ["currency", "unit_amount", "product_data[name]"])
                price = f"price_strict{len(self.prices)}"
                self.prices[price] = {"object": "price", "id": price, "currency": given["currency"],
                                      "unit_amount": amount_of(given["unit_amount"])}
                return 200, {}, self.prices[price]
            case ["payment_links"]:
                return self.link(given)
        raise Refused("no such resource", 404)

    def store(self, given):
        parameters(given, ["type", "card[number]", "card[exp_month]", "card[exp_year]"], ["card[cvc]"])
        one_of(given["type"], "type", "card")
        if not re.fullmatch("[0-9]{12,19}", given["card[number]"]) or not luhn(given["card[number]"]):
            return 402, {}, {"error": {"type": "card_error", "code": "incorrect_number"}}
        method = f"pm_strict{len(self.methods)}"
        self.methods[method] = {"object": "payment_method", "id": method, "type": "card", "customer": None, "is_used": False}
        return 200, {}, self.methods[method]

    def create(self, given):
        parameters(given, ["amount", "currency", "payment_method", "payment_method_types[]", "capture_method", "confirm",
                           *METADATA, "metadata[capture_id]"])
        one_of(given["confirm"], "confirm", "false")
        one_of(given["capture_method"], "capture_method", "automatic", "manual")
        if given["payment_method"] not in self.methods:
            raise Refused("no such payment method")
        intent = f"pi_strict{len(self.intents)}"
        self.intents[intent] = {"object": "payment_intent", "id": intent, "amount": amount_of(given["amount"]),
                                "amount_received": 0, "currency": text(given["currency"], "currency", "[a-z]{3}"),
                                "status": "requires_confirmation", "capture_method": given["capture_method"],
                                "payment_method": given["payment_method"], "metadata": metadata_of(given)}
        return 200, {}, self.intents[intent]

    def unexpected(self, intent):
        return 400, {}, {"error": {"type": "invalid_request_error", "code": "payment_intent_unexpected_state",
                                   "payment_intent": dict(intent)}}

    def confirm(self, intent, given):
        parameters(given, ["payment_method", "payment_method_options[card][moto]", "error_on_requires_action"])
        one_of(given["payment_method_options[card][moto]"], "moto", "true")
        if intent["status"] != "requires_confirmation":
            return self.unexpected(intent)
        self.methods[intent["payment_method"]]["is_used"] = True
        if self.decline:
            intent["status"] = "requires_payment_method"
            error = {"type": "card_error", "code": "card_declined", "decline_code": self.decline}
            intent["last_payment_error"] = error
            return 402, {}, {"error": {**error, "payment_intent": dict(intent)}}
        is_manual = intent["capture_method"] == "manual"
        intent["status"] = "requires_capture" if is_manual else "succeeded"
        intent["amount_received"] = 0 if is_manual else intent["amount"]
        return 200, {}, dict(intent)

    def capture(self, intent, given):
        parameters(given, ["amount_to_capture"])
        amount = amount_of(given["amount_to_capture"])
        if intent["status"] != "requires_capture" or amount > intent["amount"]:
            return self.unexpected(intent)
        intent["status"], intent["amount_received"] = "succeeded", amount
        return 200, {}, dict(intent)

    def cancel(self, intent, given):
        parameters(given, ["cancellation_reason"])
        one_of(given["cancellation_reason"], "cancellation_reason", "abandoned", "requested_by_customer")
        if intent["status"] in ("succeeded", "canceled"):
            return self.unexpected(intent)
        intent["status"] = "canceled"
        return 200, {}, dict(intent)

    def refund(self, given):
        parameters(given, ["payment_intent", "amount", *METADATA, "metadata[order_id]"])
        intent = self.intents.get(given["payment_intent"], {})
        amount = amount_of(given["amount"])
        given_back = sum(one["amount"] for one in self.refunds if one["payment_intent"] == given["payment_intent"])
        if amount + given_back > intent.get("amount_received", 0):
            return 400, {}, {"error": {"type": "invalid_request_error", "code": "charge_already_refunded"}}
        refund = {"object": "refund", "id": f"re_strict{len(self.refunds)}", "status": "succeeded", "amount": amount,
                  "currency": intent["currency"], "payment_intent": intent["id"], "metadata": metadata_of(given)}
        self.refunds.append(refund)
        return 200, {}, refund

    def attach(self, method, given):
        parameters(given, ["customer"])
        if given["customer"] not in self.customers:
            raise Refused("no such customer")
        if self.methods[method]["is_used"]:
            return 400, {}, self.refusal("This PaymentMethod was previously used without being attached to a Customer")
        self.methods[method]["customer"] = given["customer"]
        return 200, {}, self.methods[method]

    def subscribe(self, given):
        price_data = [f"items[0][price_data][{name}]" for name in ("product", "currency", "unit_amount", "recurring][interval",
                                                                   "recurring][interval_count")]
        item = ["items[0][price]"] if "items[0][price]" in given else price_data
        parameters(given, ["customer", "default_payment_method", "off_session", "payment_behavior", *item, *METADATA,
                           "metadata[order_id]"])
        if self.methods.get(given["default_payment_method"], {}).get("customer") != given["customer"]:
            raise Refused("the card is not the customer's")
        subscription = {"object": "subscription", "id": f"sub_strict{len(self.subscriptions)}", "status": "active",
                        "customer": given["customer"], "metadata": metadata_of(given)}
        self.subscriptions[subscription["id"]] = subscription
        return 200, {}, subscription

    def link(self, given):
        parameters(given, ["line_items[0][price]", "line_items[0][quantity]", "restrictions[completed_sessions][limit]",
                           *METADATA, "metadata[order_id]"])
        if given["line_items[0][price]"] not in self.prices:
            raise Refused("no such price")
        link = f"plink_strict{len(self.links)}"
        self.links[link] = {"object": "payment_link", "id": link, "url": f"https://buy.stripe.com/test_{link}", "active": True,
                            "metadata": metadata_of(given)}
        return 200, {}, self.links[link]
