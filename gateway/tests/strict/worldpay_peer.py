"""Access Worldpay as far as the connector uses it, strict. Written from the public pages of developer.worldpay.com:
verified tokens v3, payments 2024-06-01, payment queries v1, card payments v7 links, hosted payment pages.

Settings: refuse = refusalCode of every payment from now on ("" none); lag = queries find nothing yet ("1"); links =
"api" (Payments API), "card" (Card Payments v7) or "detail" (only the single payment has links).
"""
import base64
import re

from strict_server import Refused, fields, luhn, one_of, text, whole

ENTITY = "default"
BASIC = "Basic " + base64.b64encode(b"strict:worldpay").decode()
REFERENCE = r"[-A-Za-z0-9_!@#$%()*=.:;?\[\]{}~`/+]{1,64}"
VERIFIED = "application/vnd.worldpay.verified-tokens-v3.hal+json"
QUERIES = "application/vnd.worldpay.payment-queries-v1.hal+json"
PAGES = "application/vnd.worldpay.payment_pages-v1.hal+json"
CARD = "application/vnd.worldpay.payments-v7+json"
JSON = "application/json"
HOST = "https://try.access.worldpay.com"


class Peer:
    def __init__(self):
        self.refuse, self.lag, self.links = "", "", "api"
        self.tokens = {}
        self.payments = []
        self.pages = []

    def books(self):
        return {"payments": self.payments, "pages": self.pages}

    @staticmethod
    def refusal(why):
        return {"errorName": "bodyDoesNotMatchSchema", "message": why}

    # --- parts ---

    def merchant(self, body):
        one_of(fields(body["merchant"], "merchant", ["entity"])["entity"], "entity", ENTITY)

    def value(self, value):
        fields(value, "value", ["currency", "amount"])
        text(value["currency"], "currency", "[A-Z]{3}")
        return whole(value["amount"], "amount", 1, 2**31 - 1), value["currency"]

    def narrative(self, value):
        text(fields(value, "narrative", ["line1"])["line1"], "line1", r"[A-Za-z0-9 .,'&*-]{1,24}")

    # --- tokens ---

    def verify(self, request):
        request.header("accept", VERIFIED)
        body = fields(request.json(VERIFIED), "", ["paymentInstrument", "merchant", "verificationCurrency"],
                      ["description", "namespace", "tokenExpiryDateTime"])
        self.merchant(body)
        text(body["verificationCurrency"], "verificationCurrency", "[A-Z]{3}")
        card = fields(body["paymentInstrument"], "paymentInstrument",
                      ["type", "cardHolderName", "cardNumber", "cardExpiryDate"], ["cvc", "billingAddress"])
        one_of(card["type"], "type", "card/plain")
        text(card["cardHolderName"], "cardHolderName", ".{1,255}")
        expiry = fields(card["cardExpiryDate"], "cardExpiryDate", ["month", "year"])
        whole(expiry["month"], "month", 1, 12)
        whole(expiry["year"], "year", 2000, 2099)
        text(card.get("cvc", "123"), "cvc", "[0-9]{3,4}")
        if not re.fullmatch("[0-9]{13,19}", card["cardNumber"]) or not luhn(card["cardNumber"]):
            fault = {"errorName": "panFailedLuhnCheck", "message": "x", "jsonPath": "$.paymentInstrument.cardNumber"}
            return 400, {}, {**self.refusal("x"), "validationErrors": [fault]}
        if self.refuse:
            return 206, {}, {"outcome": "not verified", "_links": {"tokens:token": {"href": f"{HOST}/tokens/x"}}}
        inner = b'{"k":1,"d":"' + base64.b64encode(bytes([len(self.tokens) + 7]) * 32) + b'"}'
        href = f"{HOST}/tokens/" + base64.urlsafe_b64encode(inner).decode().rstrip("=")
        self.tokens[href] = card["cardNumber"][-4:]
        return 201, {}, {"outcome": "verified", "_links": {"tokens:token": {"href": href}}}

    # --- payments ---

    def pay(self, request):
        request.header("wp-api-version", "2024-06-01")
        body = fields(request.json(JSON), "", ["transactionReference", "merchant", "instruction"], ["channel"])
        text(body["transactionReference"], "transactionReference", REFERENCE)
        self.merchant(body)
        one_of(body.get("channel", "ecom"), "channel", "moto")
        said = fields(body["instruction"], "instruction", ["method", "paymentInstrument", "narrative", "value"],
                      ["settlement"])
        one_of(said["method"], "method", "card")
        self.narrative(said["narrative"])
        amount, currency = self.value(said["value"])
        is_auto = one_of(fields(said.get("settlement", {"auto": False}), "settlement", ["auto"])["auto"], "auto", True, False)
        instrument = fields(said["paymentInstrument"], "paymentInstrument", ["type", "href"])
        one_of(instrument["type"], "type", "token")
        if instrument["href"] not in self.tokens:
            raise Refused("no such token")
        number = len(self.payments)
        payment = {"paymentId": f"pay4u-lHl2jobU5S1T2pWkq{number}", "transactionReference": body["transactionReference"],
                   "value": {"amount": amount, "currency": currency}, "refunded": 0,
                   "lastEvent": "authorizationRefused" if self.refuse else
                   "settlementRequestSubmitted" if is_auto else "authorizationSucceeded"}
        self.payments.append(payment)
        answer = {"outcome": "refused" if self.refuse else "sentForSettlement" if is_auto else "authorized",
                  "paymentId": payment["paymentId"], "transactionReference": payment["transactionReference"]}
        if self.refuse:
            answer.update({"refusalCode": self.refuse, "refusalDescription": "REFUSED",
                           "riskFactors": [{"type": "cvc", "risk": "notChecked"}]})
        return 201, {}, answer

    def link_data(self, number):
        """As long as Worldpay's are, with the characters that they have."""
        return f"eyJrIjoiazNhYjYzMiIsImxpbmtWZXJzaW9uIjoiNi4wLjAifQ==.sN:g8wd64bwkbrp0md+bPxcan{number:04}" + "BnA:k2lz" * 36 + "w="

    def shown(self, number, is_detail=False):
        payment = dict(self.payments[number])
        del payment["refunded"]
        data = self.link_data(number)
        names = {"authorizationSucceeded": ("cancel", "settle", "partialSettle"),
                 "settlementRequestSubmitted": ("refund", "partialRefund", "reverse"),
                 "partialRefundRequestSubmitted": ("partialRefund",)}.get(payment["lastEvent"], ())
        api = {"cancel": ("cancelPayment", "cancellations"), "settle": ("settlePayment", "settlements"),
               "partialSettle": ("partiallySettlePayment", "partialSettlements"),
               "refund": ("refundPayment", "refunds"), "partialRefund": ("partiallyRefundPayment", "partialRefunds"),
               "reverse": ("reversePayment", "reversals")}
        card = {"cancel": "authorizations/cancellations", "settle": "settlements/full",
                "partialSettle": "settlements/partials", "refund": "settlements/refunds/full",
                "partialRefund": "settlements/refunds/partials", "reverse": "authorizations/reversals"}
        if self.links == "card":
            payment["_links"] = {f"cardPayments:{name}": {"href": f"/payments/{card[name]}/{data}"} for name in names}
        elif self.links == "api" or is_detail:
            payment["_actions"] = {api[name][0]: {"href": f"{HOST}/api/payments/{data}/{api[name][1]}", "method": "POST"}
                                   for name in names}
        return payment

    def query(self, request):
        request.header("accept", QUERIES)
        request.nothing()
        if list(request.query) != ["transactionReference"]:
            raise Refused(f"query {request.query}")
        found = [] if self.lag else [self.shown(number) for number, payment in enumerate(self.payments)
                                     if payment["transactionReference"] == request.query["transactionReference"]]
        return 200, {}, {"_links": {"self": {"href": request.target}}, "_embedded": {"payments": found}}

    def one(self, request, payment_id):
        request.header("accept", QUERIES)
        request.nothing()
        return 200, {}, next((self.shown(number, True) for number, payment in enumerate(self.payments)
                              if payment["paymentId"] == payment_id), {})

    # --- afterwards ---

    def act(self, request, action, data, is_api):
        number = next((n for n in range(len(self.payments)) if self.link_data(n) == data), None)
        if number is None:
            raise Refused("no such link", 404)
        payment = self.payments[number]
        if is_api:
            request.header("wp-api-version", "2024-06-01")
        body = request.json(JSON if is_api else CARD)
        total = payment["value"]["amount"]
        if action in ("partialSettle", "partialRefund"):
            fields(body, action, ["reference", "value"])
            text(body["reference"], "reference", REFERENCE)
            amount, currency = self.value(body["value"])
            if currency != payment["value"]["currency"] or amount > total - payment["refunded"]:
                raise Refused("more than there is")
        else:
            fields(body, action, [])
            amount = total - payment["refunded"]
        allowed = {"cancel": "authorizationSucceeded", "settle": "authorizationSucceeded",
                   "partialSettle": "authorizationSucceeded", "refund": "settlementRequestSubmitted",
                   "reverse": "settlementRequestSubmitted"}.get(action, payment["lastEvent"])
        if payment["lastEvent"] != allowed:
            raise Refused(f"{action} of a payment that is {payment['lastEvent']}")
        if action.endswith("efund"):
            payment["refunded"] += amount
        event, outcome = {
            "cancel": ("cancellationRequestSubmitted", "sentForCancellation"),
            "settle": ("settlementRequestSubmitted", "sentForSettlement"),
            "partialSettle": ("settlementRequestSubmitted", "sentForSettlement"),
            "refund": ("refundRequestSubmitted", "sentForRefund"),
            "partialRefund": ("partialRefundRequestSubmitted", "sentForPartialRefund"),
            "reverse": ("reversalRequestSubmitted", "sentForReversal")}[action]
        payment["lastEvent"] = event
        return 202, {}, {"outcome": outcome, "_links": {}} if is_api else {"_links": {}}

    def page(self, request):
        request.header("accept", PAGES)
        text(request.header("wp-correlationid"), "WP-CorrelationId", "[A-Za-z0-9_-]{1,64}")
        body = fields(request.json(PAGES), "", ["transactionReference", "merchant", "narrative", "value"])
        text(body["transactionReference"], "transactionReference", REFERENCE)
        self.merchant(body)
        self.narrative(body["narrative"])
        self.value(body["value"])
        self.pages.append(body["transactionReference"])
        return 200, {}, {"url": "https://payments.worldpay.com/app/hpp/integration/transaction/aBc"}

    API = {"cancellations": "cancel", "settlements": "settle", "partialSettlements": "partialSettle", "refunds": "refund",
           "partialRefunds": "partialRefund", "reversals": "reverse"}
    CARDS = {("authorizations", "cancellations"): "cancel", ("settlements", "full"): "settle",
             ("settlements", "partials"): "partialSettle", ("settlements", "refunds", "full"): "refund",
             ("settlements", "refunds", "partials"): "partialRefund", ("authorizations", "reversals"): "reverse"}

    def handle(self, request):
        if request.headers.get("authorization") != BASIC:
            raise Refused("who asks", 401, {"errorName": "accessDenied", "message": "x"})
        path = request.path.split("/")[1:]
        match (request.method, *path):
            case ("POST", "verifiedTokens", "oneTime"):
                return self.verify(request)
            case ("POST", "api", "payments"):
                return self.pay(request)
            case ("POST", "api", "payments", data, action) if action in self.API:
                return self.act(request, self.API[action], data, True)
            case ("GET", "paymentQueries", "payments"):
                return self.query(request)
            case ("GET", "paymentQueries", "payments", payment_id):
                return self.one(request, payment_id)
            case ("POST", "payments", *middle, data) if tuple(middle) in self.CARDS:
                return self.act(request, self.CARDS[tuple(middle)], data, False)
            case ("POST", "payment_pages"):
                return self.page(request)
        raise Refused(f"no such resource: {request.method} {request.path}", 404)
