#include "gateway/connectors/paypal.h"

#include "base/log.h"
#include "gateway/form.h"
#include "gateway/json_writer.h"
#include "gateway/money.h"
#include "gateway/reply_json.h"

#include <stdio.h>
#include <string.h>

/* PayPal takes these without decimals, ISO 4217 has two: the same text would be refused or misread. */
#define ODD_CURRENCIES "HUF TWD"

/* --- saying a step --- */

/* STATUS, and the first round of everything that follows the card: what the order is now. */
static bool reads_order(const struct connector_step *step)
{
    return step->operation >= CONNECTOR_STATUS && step->operation != CONNECTOR_LINK && step->round == 0;
}

static enum err put_headers(const struct connector_step *step, struct connector_request *request,
                            bool has_body)
{
    char key[CONNECTOR_STEP_KEY_BYTES];
    enum err err = connector_header(request, "Accept", "application/json");
    if (err || strcmp(request->method, "GET") == 0)
        return err;
    connector_step_key(step, key);
    err = connector_header(request, "PayPal-Request-Id", key);
    if (!err)
        err = connector_header(request, "Prefer", "return=representation");
    if (!err && has_body)
        err = connector_header(request, "Content-Type", "application/json");
    return err;
}

static void put_card(const struct connector_step *step, struct json_writer *json)
{
    const struct gateway_tokenise_msg *card = step->card;
    char expiry[16];
    snprintf(expiry, sizeof(expiry), "20%02u-%02u", card->expiry_year % 100u, card->expiry_month % 100u);
    json_open_object(json, "payment_source");
    json_open_object(json, "card");
    json_put_digits(json, "number", card->number, card->number_length);
    json_put_text(json, "expiry", expiry);
    if (card->cvv_length > 0)
        json_put_digits(json, "security_code", card->cvv, card->cvv_length);
    json_close(json);
    json_close(json);
}

static void put_setup_token(const struct connector_step *step, struct json_writer *json)
{
    json_open_object(json, "payment_source");
    json_open_object(json, "token");
    json_put_text(json, "id", step->carry);
    json_put_text(json, "type", "SETUP_TOKEN");
    json_close(json);
    json_close(json);
}

static void put_amount(const struct connector_step *step, struct json_writer *json)
{
    char value[MONEY_TEXT_BYTES];
    money_text(step->amount_minor, step->currency, value);
    json_open_object(json, "amount");
    json_put_text(json, "currency_code", step->currency);
    json_put_text(json, "value", value);
    json_close(json);
}

/* What PayPal's books call it: ours. */
static void invoice_id(const struct connector_step *step, char *out)
{
    char id[17];
    log_id_text(step->capture_id, id);
    if (step->operation >= CONNECTOR_CAPTURE)
        snprintf(out, CONNECTOR_NAME_BYTES, "ord_%s", id);
    else
        snprintf(out, CONNECTOR_NAME_BYTES, "cap_%s-%u", id, step->attempt);
}

static void put_order(const struct connector_step *step, struct json_writer *json)
{
    char id[CONNECTOR_NAME_BYTES] = "call_";
    json_put_text(json, "intent", step->is_authorise_only ? "AUTHORIZE" : "CAPTURE");
    json_open_array(json, "purchase_units");
    json_open_object(json, NULL);
    log_id_text(step->call_id, id + 5);
    json_put_text(json, "custom_id", id);
    invoice_id(step, id);
    json_put_text(json, "invoice_id", id);
    put_amount(step, json);
    json_close(json);
    json_close(json);
}

/* A part or all of it, and the rest is let go. */
static void put_change(const struct connector_step *step, struct json_writer *json)
{
    char id[CONNECTOR_NAME_BYTES];
    put_amount(step, json);
    invoice_id(step, id);
    json_put_text(json, "invoice_id", id);
    if (step->operation == CONNECTOR_CAPTURE)
        json_put_bool(json, "final_capture", true);
}

static void put_capture(const struct connector_step *step, struct json_writer *json)
{
    json_open_object(json, "payment_source");
    json_open_object(json, "card");
    json_put_text(json, "vault_id", step->token);
    json_open_object(json, "stored_credential");
    json_put_text(json, "payment_initiator", "CUSTOMER");
    json_put_text(json, "payment_type", "ONE_TIME");
    json_close(json);
    json_close(json);
    json_close(json);
}

/* The carry into the second round of a change: the path's end, made by read() out of the order. This one captures an
 * order that its payer has approved on PayPal's page. */
#define CAPTURE_ORDER "capture"

static bool is_void(const struct connector_step *step)
{
    return step->operation == CONNECTOR_VOID || step->operation == CONNECTOR_ABANDON;
}

static enum err check_step(const struct connector_step *step)
{
    char id[LIMIT_TOKEN_BYTES];
    if (step->operation == CONNECTOR_TOKENISE)
        return OK;
    if (step->operation == CONNECTOR_SUBSCRIBE)
        return ERR_RANGE; /* PayPal's subscriptions want the card's number, and all that is left is a token */
    if (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR ||
        !money_is_currency(step->currency) || strstr(ODD_CURRENCIES, step->currency))
        return ERR_RANGE;
    bool needs_order = step->operation > CONNECTOR_CREATE && step->operation != CONNECTOR_LINK;
    if (needs_order && !connector_take_number(step->order_ref, id, sizeof(id)))
        return ERR_RANGE;
    if (step->operation == CONNECTOR_CONFIRM && !connector_take_id(step->token, "", id, sizeof(id)))
        return ERR_RANGE;
    return OK;
}

static enum err put_body(const struct connector_step *step, struct connector_request *request)
{
    size_t capacity;
    struct json_writer json;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    json_begin(&json, bytes, capacity);
    json_open_object(&json, NULL);
    if (step->operation == CONNECTOR_TOKENISE && step->round == 0)
        put_card(step, &json);
    else if (step->operation == CONNECTOR_TOKENISE)
        put_setup_token(step, &json);
    else if (step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_LINK)
        put_order(step, &json);
    else if (step->operation == CONNECTOR_CONFIRM)
        put_capture(step, &json);
    else if (strcmp(step->carry, CAPTURE_ORDER) != 0)
        put_change(step, &json);
    json_close(&json);
    secret_set_length(request->body, json.length);
    return json.err;
}

static void put_path(const struct connector_step *step, struct connector_request *request)
{
    const char *end = step->operation != CONNECTOR_CONFIRM ? ""
                      : step->is_authorise_only            ? "/authorize"
                                                           : "/capture";
    bool is_new = step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_LINK;
    char order[LIMIT_TOKEN_BYTES];
    connector_give_long(step->order_ref, order);
    request->method = reads_order(step) ? "GET" : "POST";
    if (step->operation == CONNECTOR_TOKENISE)
        snprintf(request->path, sizeof(request->path), "/v3/vault/%s",
                 step->round == 0 ? "setup-tokens" : "payment-tokens");
    else if (is_new)
        snprintf(request->path, sizeof(request->path), "/v2/checkout/orders");
    else if (step->operation == CONNECTOR_CONFIRM || reads_order(step))
        snprintf(request->path, sizeof(request->path), "/v2/checkout/orders/%s%s", order, end);
    else if (strcmp(step->carry, CAPTURE_ORDER) == 0)
        snprintf(request->path, sizeof(request->path), "/v2/checkout/orders/%s/capture", order);
    else
        snprintf(request->path, sizeof(request->path), "/v2/payments/%.200s", step->carry);
}

static enum err paypal_build(const struct connector_account *account, const struct connector_step *step,
                             struct connector_request *request, struct connector_verdict *verdict)
{
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    (void)account;
    if (is_question && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return ERR_EMPTY;
    }
    enum err err = check_step(step);
    if (err)
        return err;
    request->has_card = step->operation == CONNECTOR_TOKENISE && step->round == 0;
    put_path(step, request);
    bool has_body = strcmp(request->method, "GET") != 0 && !is_void(step);
    err = put_headers(step, request, has_body);
    return err || !has_body ? err : put_body(step, request);
}

static enum err paypal_build_login(const uint8_t *key, size_t length, struct connector_request *request)
{
    size_t capacity;
    struct form_writer form;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    request->method = "POST";
    snprintf(request->path, sizeof(request->path), "/v1/oauth2/token");
    form_begin(&form, bytes, capacity);
    form_text(&form, "grant_type", "client_credentials");
    secret_set_length(request->body, form.length);
    enum err err = connector_authorise_basic(NULL, key, length, request);
    if (!err)
        err = connector_header(request, "Content-Type", "application/x-www-form-urlencoded");
    return err ? err : form.err;
}

/* --- hearing the answer --- */

/* Issues of a 422 or 400, and what the issuer's processor said. The first row that fits decides. */
static const struct issue_row {
    const char *issue;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
} issue_rows[] = {
    {"INSTRUMENT_DECLINED", GATEWAY_DECLINED, REASON_DECLINED},
    {"TRANSACTION_REFUSED", GATEWAY_DECLINED, REASON_DECLINED},
    {"CARD_CLOSED", GATEWAY_DECLINED, REASON_DECLINED},
    {"CARD_EXPIRED", GATEWAY_DECLINED, REASON_EXPIRED},
    {"INVALID_EXPIRY_DATE", GATEWAY_DECLINED, REASON_EXPIRED},
    {"VALIDATION_ERROR", GATEWAY_DECLINED, REASON_WRONG_NUMBER}, /* of a card: its number fails Luhn */
    {"INVALID_SECURITY_CODE_LENGTH", GATEWAY_DECLINED, REASON_WRONG_CVV},
    {"PAYER_ACTION_REQUIRED", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
    {"PAYER_CANNOT_PAY", GATEWAY_DECLINED, REASON_DECLINED},
    {"MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", GATEWAY_DECLINED, REASON_LIMIT},
    {"TRANSACTION_LIMIT_EXCEEDED", GATEWAY_DECLINED, REASON_LIMIT},
    {"ORDER_ALREADY_CAPTURED", GATEWAY_NO_ANSWER, REASON_UNAVAILABLE}, /* ask what became of it */
};

static const struct {
    const char *code;
    enum gateway_reason reason;
} processor_rows[] = {
    {"5120", REASON_INSUFFICIENT_FUNDS}, {"5400", REASON_EXPIRED},          {"00N7", REASON_WRONG_CVV},
    {"5110", REASON_WRONG_CVV},          {"PCVV", REASON_WRONG_CVV},        {"1330", REASON_WRONG_NUMBER},
    {"1335", REASON_WRONG_NUMBER},       {"5180", REASON_WRONG_NUMBER},     {"9520", REASON_LOST_OR_STOLEN},
    {"5140", REASON_DECLINED},           {"0500", REASON_DECLINED},         {"9500", REASON_DECLINED},
    {"1300", REASON_PROCESSING_ERROR},   {"9100", REASON_PROCESSING_ERROR}, {"PPER", REASON_PROCESSING_ERROR},
};

static const struct status_row {
    unsigned status;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
    enum connector_again again;
} status_rows[] = {
    {400, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {401, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_LOGIN},
    {403, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {404, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {409, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {422, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {429, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {500, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN}, /* and every other 5xx */
};

/* False: no amount of the step's currency. */
static bool take_amount(const struct connector_step *step, const json_t *amount, int64_t *value)
{
    const char *text = reply_text(amount, "value");
    return reply_is(amount, "currency_code", step->currency) && text &&
           money_parse(text, step->currency, value) == OK;
}

static bool is_amount(const struct connector_step *step, const json_t *amount)
{
    int64_t value;
    return take_amount(step, amount, &value) && value == step->amount_minor;
}

/* Of the order as a whole; a change may be about less. */
static bool is_order_amount(const struct connector_step *step, const json_t *amount)
{
    int64_t value = 0;
    return step->operation >= CONNECTOR_CAPTURE && step->operation != CONNECTOR_LINK
               ? take_amount(step, amount, &value) && value >= step->amount_minor
               : is_amount(step, amount);
}

static enum gateway_reason processor_reason(const json_t *capture)
{
    const json_t *response = json_object_get(capture, "processor_response");
    for (size_t i = 0; i < sizeof(processor_rows) / sizeof(processor_rows[0]); i++) {
        if (reply_is(response, "response_code", processor_rows[i].code))
            return processor_rows[i].reason;
    }
    return REASON_DECLINED;
}

static const struct {
    const char *status;
    enum gateway_order_state state;
} capture_rows[] = {
    {"COMPLETED", ORDER_SUCCEEDED}, {"PARTIALLY_REFUNDED", ORDER_SUCCEEDED},
    {"REFUNDED", ORDER_SUCCEEDED},  {"PENDING", ORDER_PENDING},
    {"DECLINED", ORDER_OPEN},       {"FAILED", ORDER_OPEN},
};

static const struct {
    const char *status;
    enum gateway_order_state state;
} authorization_rows[] = {
    {"CREATED", ORDER_AUTHORISED}, {"PENDING", ORDER_PENDING},
    {"CAPTURED", ORDER_SUCCEEDED}, {"PARTIALLY_CAPTURED", ORDER_SUCCEEDED},
    {"VOIDED", ORDER_CANCELLED},   {"EXPIRED", ORDER_CANCELLED},
    {"DENIED", ORDER_OPEN},
};

static const json_t *payments_of(const json_t *root, const char *kind)
{
    const json_t *unit = json_array_get(json_object_get(root, "purchase_units"), 0);
    return json_object_get(json_object_get(unit, "payments"), kind);
}

static const json_t *last_of(const json_t *array)
{
    return json_array_size(array) > 0 ? json_array_get(array, json_array_size(array) - 1) : NULL;
}

/* What the last capture of an order came to. */
static void read_captures(const struct connector_step *step, const json_t *captures,
                          struct connector_verdict *verdict)
{
    const json_t *last = last_of(captures);
    verdict->order_state = ORDER_NONE;
    for (size_t i = 0; i < sizeof(capture_rows) / sizeof(capture_rows[0]); i++) {
        if (reply_is(last, "status", capture_rows[i].status))
            verdict->order_state = capture_rows[i].state;
    }
    if (verdict->order_state == ORDER_OPEN)
        verdict->reason = processor_reason(last);
    else if (!is_order_amount(step, json_object_get(last, "amount")))
        verdict->order_state = ORDER_NONE;
}

static void read_authorizations(const struct connector_step *step, const json_t *authorizations,
                                struct connector_verdict *verdict)
{
    const json_t *last = last_of(authorizations);
    verdict->order_state = ORDER_NONE;
    for (size_t i = 0; i < sizeof(authorization_rows) / sizeof(authorization_rows[0]); i++) {
        if (reply_is(last, "status", authorization_rows[i].status))
            verdict->order_state = authorization_rows[i].state;
    }
    if (verdict->order_state == ORDER_OPEN)
        verdict->reason = processor_reason(last);
    else if (!is_order_amount(step, json_object_get(last, "amount")))
        verdict->order_state = ORDER_NONE;
}

/* PayPal's ids are letters and digits, some of them a dozen digits in a row. */
static bool is_order(const struct connector_step *step, const json_t *root)
{
    char id[LIMIT_TOKEN_BYTES];
    connector_give_long(step->order_ref, id);
    return reply_is(root, "id", id);
}

/* ORDER_NONE: not the order that was asked for, or not its amount. */
static void read_order_state(const struct connector_step *step, const json_t *root,
                             struct connector_verdict *verdict)
{
    const json_t *units = json_object_get(root, "purchase_units");
    const json_t *captures = payments_of(root, "captures");
    const json_t *authorizations = payments_of(root, "authorizations");
    bool is_new = step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_LINK;
    verdict->order_state = ORDER_NONE;
    if (!is_new && !is_order(step, root))
        return;
    if (json_array_size(units) != 1 ||
        !is_order_amount(step, json_object_get(json_array_get(units, 0), "amount")))
        return;
    if (json_array_size(captures) > 0)
        read_captures(step, captures, verdict);
    else if (json_array_size(authorizations) > 0)
        read_authorizations(step, authorizations, verdict);
    else if (reply_is(root, "status", "CREATED") || reply_is(root, "status", "SAVED") ||
             reply_is(root, "status", "APPROVED") || reply_is(root, "status", "PAYER_ACTION_REQUIRED"))
        verdict->order_state = ORDER_OPEN;
    else if (reply_is(root, "status", "VOIDED"))
        verdict->order_state = ORDER_CANCELLED;
    if (reply_is(root, "status", "PAYER_ACTION_REQUIRED"))
        verdict->reason = REASON_NEEDS_AUTHENTICATION;
}

static void read_token(const struct connector_step *step, const json_t *root,
                       struct connector_verdict *verdict)
{
    if (reply_is(root, "status", "PAYER_ACTION_REQUIRED")) {
        connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_NONE, REASON_NEEDS_AUTHENTICATION);
        return;
    }
    connector_bad_answer(step, verdict); /* until a reference was found */
    char id[LIMIT_TOKEN_BYTES];
    if (!connector_take_id(reply_text(root, "id"), "", id, sizeof(id)))
        return;
    bool is_last = step->round > 0;
    if (!is_last && !reply_is(root, "status", "APPROVED"))
        return;
    if (is_last)
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    else
        verdict->again = CONNECTOR_NEXT;
    memcpy(verdict->token, id, sizeof(id));
}

/* --- after the card --- */

static void go_on(const char *kind, const json_t *payment, const char *what,
                  struct connector_verdict *verdict)
{
    char id[LIMIT_TOKEN_BYTES];
    if (!connector_take_number(reply_text(payment, "id"), id, sizeof(id)))
        return; /* the verdict stands */
    connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    verdict->again = CONNECTOR_NEXT;
    snprintf(verdict->carry, sizeof(verdict->carry), "%s/%s/%s", kind, id, what);
}

static void read_refund(const struct connector_step *step, const json_t *refund,
                        struct connector_verdict *verdict)
{
    char id[LIMIT_TOKEN_BYTES];
    connector_bad_answer(step, verdict);
    if (!is_amount(step, json_object_get(refund, "amount")) ||
        !connector_take_long(reply_text(refund, "id"), id))
        return;
    if (reply_is(refund, "status", "FAILED") || reply_is(refund, "status", "CANCELLED")) {
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_PROCESSING_ERROR);
    } else if (reply_is(refund, "status", "COMPLETED") || reply_is(refund, "status", "PENDING")) {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
        memcpy(verdict->order_ref, id, sizeof(id));
    }
}

/* The refund that goes by the order's name: a request id is kept for some hours or weeks, an order may wait longer. */
static const json_t *find_refund(const struct connector_step *step, const json_t *root)
{
    char name[CONNECTOR_NAME_BYTES];
    const json_t *refunds = payments_of(root, "refunds");
    invoice_id(step, name);
    for (size_t i = 0; i < json_array_size(refunds); i++) {
        if (reply_is(json_array_get(refunds, i), "invoice_id", name))
            return json_array_get(refunds, i);
    }
    return NULL;
}

/* What the order is says whether the change was done before, can be done, or cannot. */
static void plan_change(const struct connector_step *step, const json_t *root,
                        struct connector_verdict *verdict)
{
    enum gateway_order_state state = verdict->order_state;
    const json_t *authorization = last_of(payments_of(root, "authorizations"));
    const json_t *refund = step->operation == CONNECTOR_REFUND ? find_refund(step, root) : NULL;
    bool must_wait = state == ORDER_PENDING;
    connector_verdict_set(verdict, must_wait ? GATEWAY_UNAVAILABLE : GATEWAY_FAILED, state,
                          must_wait ? REASON_UNAVAILABLE : REASON_PROCESSING_ERROR);
    if (refund) {
        read_refund(step, refund, verdict);
    } else if ((step->operation == CONNECTOR_CAPTURE && state == ORDER_SUCCEEDED) ||
               (step->operation == CONNECTOR_VOID && state == ORDER_CANCELLED)) {
        connector_verdict_set(verdict, GATEWAY_DONE, state, REASON_NONE); /* an answer that was lost before */
    } else if (state == ORDER_AUTHORISED && step->operation != CONNECTOR_REFUND) {
        go_on("authorizations", authorization, step->operation == CONNECTOR_CAPTURE ? "capture" : "void",
              verdict);
    } else if (step->operation == CONNECTOR_CAPTURE && reply_is(root, "status", "APPROVED")) {
        verdict->again = CONNECTOR_NEXT; /* the payer of a link said yes */
        snprintf(verdict->carry, sizeof(verdict->carry), CAPTURE_ORDER);
    } else if (step->operation == CONNECTOR_REFUND && state == ORDER_SUCCEEDED) {
        go_on("captures", last_of(payments_of(root, "captures")), "refund", verdict);
    }
}

static void read_change(const struct connector_step *step, const struct connector_answer *answer,
                        const json_t *root, struct connector_verdict *verdict)
{
    bool is_capture = step->operation == CONNECTOR_CAPTURE;
    connector_bad_answer(step, verdict);
    if (is_void(step)) {
        if (answer->status == 204 || reply_is(root, "status", "VOIDED"))
            connector_verdict_set(verdict, GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
    } else if (step->operation == CONNECTOR_REFUND) {
        read_refund(step, root, verdict);
    } else if (is_capture && strcmp(step->carry, CAPTURE_ORDER) == 0) {
        const json_t *captures = payments_of(root, "captures");
        bool is_ours = is_order(step, root) && json_array_size(captures) == 1 &&
                       is_amount(step, json_object_get(last_of(captures), "amount"));
        if (is_ours && (reply_is(last_of(captures), "status", "COMPLETED") ||
                        reply_is(last_of(captures), "status", "PENDING")))
            connector_verdict_set(verdict, GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
    } else if (is_amount(step, json_object_get(root, "amount"))) {
        if (reply_is(root, "status", "COMPLETED") || reply_is(root, "status", "PENDING"))
            connector_verdict_set(verdict, GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE);
        else if (reply_is(root, "status", "DECLINED") || reply_is(root, "status", "FAILED"))
            connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_OPEN, processor_reason(root));
    }
}

static void read_link(const struct connector_step *step, const json_t *root,
                      struct connector_verdict *verdict)
{
    const json_t *links = json_object_get(root, "links");
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    read_order_state(step, root, verdict);
    for (size_t i = 0; i < json_array_size(links); i++) {
        const json_t *link = json_array_get(links, i);
        if (reply_is(link, "rel", "approve") || reply_is(link, "rel", "payer-action"))
            (void)connector_take_url(reply_text(link, "href"), verdict->url, sizeof(verdict->url));
    }
    if (verdict->order_state != ORDER_OPEN || !verdict->url[0] ||
        !connector_take_long(reply_text(root, "id"), verdict->order_ref))
        connector_bad_answer(step, verdict);
    else
        verdict->reason = REASON_NONE;
}

static void read_order(const struct connector_step *step, const json_t *root,
                       struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    read_order_state(step, root, verdict);
    bool is_open = verdict->order_state == ORDER_OPEN;
    bool may_be_held = step->is_authorise_only || step->operation >= CONNECTOR_CAPTURE;
    if (verdict->order_state == ORDER_AUTHORISED && !may_be_held)
        verdict->order_state = ORDER_PENDING;
    if (verdict->order_state == ORDER_NONE) {
        connector_bad_answer(step, verdict);
    } else if (step->operation >= CONNECTOR_CAPTURE) {
        plan_change(step, root, verdict);
    } else if (step->operation == CONNECTOR_ABANDON && verdict->order_state == ORDER_AUTHORISED) {
        go_on("authorizations", last_of(payments_of(root, "authorizations")), "void", verdict);
    } else if (step->operation == CONNECTOR_CREATE) {
        if (!is_open || !connector_take_long(reply_text(root, "id"), verdict->order_ref))
            connector_bad_answer(step, verdict);
    } else if (step->operation == CONNECTOR_CONFIRM && is_open) {
        verdict->outcome = GATEWAY_DECLINED;
        verdict->reason = verdict->reason == REASON_NONE ? REASON_DECLINED : verdict->reason;
    } else if (step->operation == CONNECTOR_CONFIRM && verdict->order_state == ORDER_CANCELLED) {
        verdict->outcome = GATEWAY_FAILED;
        verdict->reason = REASON_PROCESSING_ERROR;
    } else if (step->operation == CONNECTOR_ABANDON && is_open) {
        /* Nobody but us can capture it, and we will not: it lapses by itself. */
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE);
    } else if (step->operation == CONNECTOR_ABANDON && verdict->order_state != ORDER_CANCELLED) {
        verdict->outcome = GATEWAY_FAILED;
    }
}

static const struct issue_row *find_issue(const struct connector_step *step, const json_t *root)
{
    const json_t *details = json_object_get(root, "details");
    bool takes_issues = step->operation == CONNECTOR_TOKENISE || step->operation == CONNECTOR_CONFIRM;
    for (size_t k = 0; takes_issues && k < json_array_size(details); k++) {
        const json_t *detail = json_array_get(details, k);
        const char *field = reply_text(detail, "field");
        for (size_t i = 0; i < sizeof(issue_rows) / sizeof(issue_rows[0]); i++) {
            const struct issue_row *row = &issue_rows[i];
            bool is_about_card =
                strcmp(row->issue, "VALIDATION_ERROR") != 0 || (field && strstr(field, "/card/number"));
            if (is_about_card && reply_is(detail, "issue", row->issue))
                return row;
        }
    }
    return NULL;
}

static void read_error(const struct connector_step *step, const struct connector_answer *answer,
                       const json_t *root, struct connector_verdict *verdict)
{
    unsigned status = answer->status >= 500 ? 500 : answer->status;
    const struct issue_row *issue = find_issue(step, root);
    connector_bad_answer(step, verdict);
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    if (status == 422 && step->round > 0 && step->operation >= CONNECTOR_ABANDON &&
        reply_text(root, "name")) {
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE,
                              REASON_PROCESSING_ERROR); /* not in a state for it */
        return;
    }
    if (status == 404 && is_question && step->round == 0 && reply_is(root, "name", "RESOURCE_NOT_FOUND")) {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return;
    }
    if ((status == 422 || status == 400) && issue) {
        connector_verdict_set(verdict, issue->outcome, ORDER_NONE, issue->reason);
        return;
    }
    /* A 4xx without a body of PayPal's came from some box on the way; only its "not now" and "who are you" count. */
    if (!reply_text(root, "name") && status != 500 && status != 429 && status != 401)
        return;
    for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
        const struct status_row *row = &status_rows[i];
        if (row->status != status)
            continue;
        bool changes_nothing = step->operation <= CONNECTOR_CREATE ||
                               (step->operation >= CONNECTOR_CAPTURE && reads_order(step));
        bool is_harmless = changes_nothing && row->outcome == GATEWAY_NO_ANSWER;
        connector_verdict_set(verdict, is_harmless ? GATEWAY_UNAVAILABLE : row->outcome, ORDER_NONE,
                              row->reason);
        verdict->again = row->again;
        verdict->wait_ms = connector_retry_after_ms(answer);
    }
}

static void paypal_read(const struct connector_account *account, const struct connector_step *step,
                        const struct connector_answer *answer, struct connector_verdict *verdict)
{
    (void)account;
    json_t *root = reply_parse(answer);
    bool is_change = step->round > 0 && step->operation >= CONNECTOR_ABANDON;
    bool is_done = answer->status == 200 || answer->status == 201 || (answer->status == 204 && is_change);
    if (!is_done)
        read_error(step, answer, root, verdict);
    else if (step->operation == CONNECTOR_TOKENISE)
        read_token(step, root, verdict);
    else if (step->operation == CONNECTOR_LINK)
        read_link(step, root, verdict);
    else if (is_change)
        read_change(step, answer, root, verdict);
    else
        read_order(step, root, verdict);
    json_decref(root);
}

static bool paypal_read_login(const struct connector_answer *answer, struct connector_access *access)
{
    json_t *root = reply_parse(answer);
    const char *token = reply_text(root, "access_token");
    json_int_t valid_s = json_integer_value(json_object_get(root, "expires_in"));
    bool is_access = answer->status == 200 && token && strlen(token) < sizeof(access->text) && valid_s > 0;
    if (is_access) {
        snprintf(access->text, sizeof(access->text), "%s", token);
        access->valid_s = valid_s < 86400 ? (unsigned)valid_s : 86400;
    }
    json_decref(root);
    return is_access;
}

/* PayPal's keys do not say whether they are live; the host does, and it stands in the configuration. */
static bool paypal_key_is_live(const uint8_t *key, size_t length)
{
    (void)key;
    (void)length;
    return false;
}

const struct connector paypal_connector = {
    .name = "paypal",
    .operations = CONNECTOR_PAYMENT_OPERATIONS | 1u << CONNECTOR_CAPTURE | 1u << CONNECTOR_VOID |
                  1u << CONNECTOR_REFUND | 1u << CONNECTOR_LINK,
    .is_replay_safe = true, /* PayPal-Request-Id, kept for 6 hours */
    .key_is_live = paypal_key_is_live,
    .build_login = paypal_build_login,
    .read_login = paypal_read_login,
    .authorise = connector_authorise_bearer,
    .build = paypal_build,
    .read = paypal_read,
};
