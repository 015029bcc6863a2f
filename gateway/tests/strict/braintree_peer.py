"""Braintree's GraphQL API as far as the connector uses it, strict. Written from the public reference: the operations, the
fields of their inputs and answers. A query is parsed, and a field that its type has not is refused. Errors come as HTTP 200.

Settings: decline = legacyCode of every charge from now on ("" none); lag = a search finds nothing yet ("1"); settle = what is
submitted for settlement is settled ("1").
"""
import base64
import re

from strict_server import Refused, fields, luhn, one_of, text

BASIC = "Basic " + base64.b64encode(b"public_strict:private_strict").decode()
AMOUNT = r"[0-9]{1,8}\.[0-9]{2}"
ORDER = r"[A-Za-z0-9_-]{1,255}"

MONEY = {"value": None, "currencyCode": None}
REFUND = {"id": None, "orderId": None, "status": None, "amount": MONEY}
EVENT = {"... on ProcessorDeclinedEvent": {"processorResponse": {"legacyCode": None, "message": None}},
         "... on GatewayRejectedEvent": {"gatewayRejectionReason": None}}
TRANSACTION = {"id": None, "orderId": None, "status": None, "amount": MONEY, "statusHistory": EVENT, "refunds": REFUND}
OPERATIONS = {  # name -> kind, type of the input, what may be selected
    "tokenizeCreditCard": ("mutation", "TokenizeCreditCardInput", {"paymentMethod": {"id": None, "usage": None}}),
    "chargePaymentMethod": ("mutation", "ChargePaymentMethodInput", {"transaction": TRANSACTION}),
    "authorizePaymentMethod": ("mutation", "AuthorizePaymentMethodInput", {"transaction": TRANSACTION}),
    "captureTransaction": ("mutation", "CaptureTransactionInput", {"transaction": TRANSACTION}),
    "reverseTransaction": ("mutation", "ReverseTransactionInput",
                           {"reversal": {"... on Transaction": TRANSACTION, "... on Refund": REFUND}}),
    "refundTransaction": ("mutation", "RefundTransactionInput", {"refund": REFUND}),
    "transactions": ("query", "TransactionSearchInput", {"edges": {"node": TRANSACTION}}),
}


def read_selection(tokens):
    """{a b{c} ... on T{d}} as nested dicts; None for a leaf."""
    if tokens.pop(0) != "{":
        raise Refused("a selection begins with {")
    selection = {}
    while tokens and tokens[0] != "}":
        name = tokens.pop(0)
        if name == "...":
            name = f"... {tokens.pop(0)} {tokens.pop(0)}"
        if tokens and tokens[0] == "(":
            if tokens[:5] != ["(", "input", ":", "$input", ")"]:
                raise Refused("arguments")
            del tokens[:5]
            name += "()"
        selection[name] = read_selection(tokens) if tokens and tokens[0] == "{" else None
    if not tokens:
        raise Refused("a selection that does not end")
    tokens.pop(0)
    return selection


def check_selection(selection, known, where):
    for name, inner in selection.items():
        if name not in known:
            raise Refused(f"{where} has no field {name}")
        if (inner is None) != (known[name] is None):
            raise Refused(f"{where}.{name} wants {'no ' if inner else ''}selection")
        if inner is not None:
            check_selection(inner, known[name], f"{where}.{name}")


def pick(value, selection):
    """The answer has what was asked for, no more."""
    if selection is None or value is None:
        return value
    if isinstance(value, list):
        return [pick(one, selection) for one in value]
    answer = {}
    for name, inner in selection.items():
        if name.startswith("... on "):
            if value.get("__typename") == name[7:]:
                answer.update(pick(value, inner))
        elif name in value:
            answer[name] = pick(value[name], inner)
    return answer


class Peer:
    def __init__(self):
        self.decline, self.lag, self.settle = "", "", ""
        self.cards = {}
        self.paid = []

    def books(self):
        return {"transactions": self.paid}

    @staticmethod
    def refusal(why):
        return {"data": None, "errors": [{"message": why, "extensions": {"errorClass": "VALIDATION"}}]}

    def fail(self, why, error_class="VALIDATION", path=()):
        return {"data": None, "errors": [{"message": why, "extensions": {"errorClass": error_class,
                                                                         "inputPath": ["input", *path]}}]}

    def handle(self, request):
        if request.path != "/graphql" or request.method != "POST":
            raise Refused("no such resource", 404)
        if request.headers.get("authorization") != BASIC:
            raise Refused("who asks", 401, self.fail("Authentication failed", "AUTHENTICATION"))
        request.header("braintree-version", "2019-01-01")
        request.header("accept", "application/json")
        body = fields(request.json("application/json"), "", ["query", "variables"])
        given = fields(body["variables"], "variables", ["input"])["input"]
        tokens = re.findall(r"\.\.\.|\$?[A-Za-z]+!?|[{}():]", body["query"])
        if "".join(tokens) != re.sub(r"\s", "", body["query"]):
            raise Refused("a query of other signs")
        kind = one_of(tokens.pop(0), "kind", "mutation", "query")
        if tokens[:3] != ["(", "$input", ":"] or tokens[4] != ")":
            raise Refused("variables")
        input_type = tokens[3]
        del tokens[:5]
        selection = read_selection(tokens)
        if tokens:
            raise Refused("something after the query")
        if kind == "query":
            selection = fields(selection, "query", ["search"])["search"]
        if len(selection) != 1:
            raise Refused("one operation at a time")
        name, wanted = next(iter(selection.items()))
        name = name.removesuffix("()")
        if name not in OPERATIONS or (kind, input_type) != (OPERATIONS[name][0], OPERATIONS[name][1] + "!"):
            raise Refused(f"no such operation: {kind} {name} of {input_type}")
        check_selection(wanted, OPERATIONS[name][2], name)
        answer = getattr(self, name)(given)
        if "errors" in answer:
            return 200, {}, answer
        picked = {name: pick(answer, wanted)}
        return 200, {}, {"data": {"search": picked} if kind == "query" else picked}

    # --- operations ---

    def tokenizeCreditCard(self, given):
        card = fields(fields(given, "input", ["creditCard"])["creditCard"], "creditCard",
                      ["number", "expirationMonth", "expirationYear"], ["cvv", "cardholderName"])
        text(card["expirationMonth"], "expirationMonth", "0[1-9]|1[0-2]")
        text(card["expirationYear"], "expirationYear", "20[0-9]{2}")
        text(card.get("cvv", "123"), "cvv", "[0-9]{3,4}")
        if not re.fullmatch("[0-9]{12,19}", card["number"]) or not luhn(card["number"]):
            return self.fail("Credit card number is invalid.", path=("creditCard", "number"))
        token = f"tokencc_bc_strict_{len(self.cards)}"
        self.cards[token] = "SINGLE_USE"
        return {"paymentMethod": {"id": token, "usage": "SINGLE_USE"}}

    def pay(self, given, status):
        fields(given, "input", ["paymentMethodId", "transaction"])
        said = fields(given["transaction"], "transaction", ["amount", "orderId", "paymentInitiator"], ["merchantAccountId"])
        text(said["amount"], "amount", AMOUNT)
        text(said["orderId"], "orderId", ORDER)
        one_of(said["paymentInitiator"], "paymentInitiator", "MOTO")
        one_of(said.get("merchantAccountId", "shop_usd"), "merchantAccountId", "shop_usd")
        if self.cards.pop(given["paymentMethodId"], None) is None:  # a single-use method is used once
            return self.fail("Unknown or expired single-use payment method.", "NOT_FOUND", ("paymentMethodId",))
        transaction = {"__typename": "Transaction", "id": f"dHJhbnNhY3Rpb25f{len(self.paid):04}=",
                       "orderId": said["orderId"], "status": "PROCESSOR_DECLINED" if self.decline else status,
                       "amount": {"value": said["amount"], "currencyCode": "USD"}, "refunds": [], "statusHistory": [{}]}
        if self.decline:
            transaction["statusHistory"].insert(0, {"__typename": "ProcessorDeclinedEvent",
                                                    "processorResponse": {"legacyCode": self.decline, "message": "x"}})
        self.paid.append(transaction)
        return {"transaction": transaction}

    def chargePaymentMethod(self, given):
        return self.pay(given, "SUBMITTED_FOR_SETTLEMENT")

    def authorizePaymentMethod(self, given):
        return self.pay(given, "AUTHORIZED")

    def find(self, number):
        found = [one for one in self.paid if one["id"] == number]
        if not found:
            raise Refused("no such transaction")
        if self.settle and found[0]["status"] == "SUBMITTED_FOR_SETTLEMENT":
            found[0]["status"] = "SETTLED"
        return found[0]

    def captureTransaction(self, given):
        fields(given, "input", ["transactionId"], ["transaction"])
        transaction = self.find(given["transactionId"])
        amount = text(fields(given["transaction"], "transaction", ["amount"])["amount"], "amount", AMOUNT)
        if transaction["status"] != "AUTHORIZED" or float(amount) > float(transaction["amount"]["value"]):
            return self.fail("Cannot submit for settlement.")
        transaction["status"] = "SUBMITTED_FOR_SETTLEMENT"
        transaction["amount"]["value"] = amount
        return {"transaction": transaction}

    def reverseTransaction(self, given):
        transaction = self.find(fields(given, "input", ["transactionId"])["transactionId"])
        if transaction["status"] not in ("AUTHORIZED", "SUBMITTED_FOR_SETTLEMENT"):
            return self.fail("Cannot be reversed.")
        transaction["status"] = "VOIDED"
        return {"reversal": transaction}

    def refundTransaction(self, given):
        fields(given, "input", ["transactionId", "refund"])
        transaction = self.find(given["transactionId"])
        said = fields(given["refund"], "refund", ["amount", "orderId"])
        text(said["amount"], "amount", AMOUNT)
        text(said["orderId"], "orderId", ORDER)
        given_back = sum(float(one["amount"]["value"]) for one in transaction["refunds"])
        if transaction["status"] != "SETTLED" or \
                given_back + float(said["amount"]) > float(transaction["amount"]["value"]) + 0.001:
            return self.fail("Cannot be refunded.")
        refund = {"__typename": "Refund", "id": f"cmVmdW5kXw{len(transaction['refunds']):04}==", "orderId": said["orderId"],
                  "status": "SUBMITTED_FOR_SETTLEMENT", "amount": {"value": said["amount"], "currencyCode": "USD"}}
        transaction["refunds"].append(refund)
        return {"refund": refund}

    def transactions(self, given):
        order = fields(fields(given, "input", ["orderId"])["orderId"], "orderId", ["is"])["is"]
        text(order, "orderId", ORDER)
        for transaction in self.paid:
            if self.settle and transaction["status"] == "SUBMITTED_FOR_SETTLEMENT":
                transaction["status"] = "SETTLED"
        found = [] if self.lag else [one for one in self.paid if one["orderId"] == order]
        return {"edges": [{"node": one} for one in found]}
