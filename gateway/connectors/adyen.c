#include "gateway/connectors/adyen.h"

#include "base/log.h"
#include "gateway/json_writer.h"
#include "gateway/money.h"
#include "gateway/reply_json.h"

#include <stdio.h>
#include <string.h>

#define ADYEN_VERSION "/v71"

/* Adyen counts these in other units than ISO 4217, or not at all. */
#define ODD_CURRENCIES "CLP CVE IDR ISK CLF UYW"

/* Required, and never visited: a telephone order is not redirected. */
#define RETURN_URL "https://localhost/not-used"

/* --- saying a step --- */

static void put_amount(const char *currency, int64_t value, struct json_writer *json)
{
    json_open_object(json, "amount");
    json_put_text(json, "currency", currency);
    json_put_number(json, "value", value);
    json_close(json);
}

/* Whom a stored card belongs to: nobody but its own capture. */
static void put_shopper(const struct connector_step *step, struct json_writer *json)
{
    char id[17], shopper[CONNECTOR_NAME_BYTES];
    log_id_text(step->capture_id, id);
    snprintf(shopper, sizeof(shopper), "caller-%s-%u", id, step->attempt);
    json_put_text(json, "shopperReference", shopper);
    json_put_text(json, "shopperInteraction", "Moto");
    json_put_text(json, "recurringProcessingModel", "CardOnFile");
    json_put_text(json, "returnUrl", RETURN_URL);
}

static void put_card(const struct connector_account *account, const struct connector_step *step,
                     struct json_writer *json)
{
    const struct gateway_tokenise_msg *card = step->card;
    char text[CONNECTOR_NAME_BYTES + 8];
    connector_order_name(step, text);
    snprintf(text + strlen(text), 8, "-card");
    json_put_text(json, "reference", text);
    put_amount(connector_verification_currency(account, step, "EUR"), 0, json);
    put_shopper(step, json);
    json_put_bool(json, "storePaymentMethod", true);
    json_open_object(json, "paymentMethod");
    json_put_text(json, "type", "scheme");
    json_put_digits(json, "number", card->number, card->number_length);
    snprintf(text, sizeof(text), "%02u", card->expiry_month % 100u);
    json_put_text(json, "expiryMonth", text);
    snprintf(text, sizeof(text), "20%02u", card->expiry_year % 100u);
    json_put_text(json, "expiryYear", text);
    if (card->cvv_length > 0)
        json_put_digits(json, "cvc", card->cvv, card->cvv_length);
    json_close(json);
}

static void put_metadata(const struct connector_step *step, struct json_writer *json)
{
    char id[32] = "call_";
    json_open_object(json, "metadata");
    json_put_text(json, "channel", "ivr");
    json_put_text(json, "source", "ivr_payment_flow");
    log_id_text(step->call_id, id + 5);
    json_put_text(json, "call_id", id);
    memcpy(id, step->operation < CONNECTOR_CAPTURE ? "cap_" : "ord_", 4);
    log_id_text(step->capture_id, id + 4);
    json_put_text(json, step->operation < CONNECTOR_CAPTURE ? "capture_id" : "order_id", id);
    json_close(json);
}

static void put_payment(const struct connector_step *step, struct json_writer *json)
{
    char text[LIMIT_TOKEN_BYTES];
    connector_order_name(step, text);
    json_put_text(json, "reference", text);
    put_amount(step->currency, step->amount_minor, json);
    put_shopper(step, json);
    json_open_object(json, "paymentMethod");
    json_put_text(json, "type", "scheme");
    connector_give_long(step->token, text);
    json_put_text(json, "storedPaymentMethodId", text);
    json_close(json);
    json_open_object(json, "additionalData");
    json_put_text(json, "manualCapture",
                  "true"); /* nothing moves before CONFIRM, whatever the account's default */
    json_close(json);
    put_metadata(step, json);
}

static void put_link(const struct connector_step *step, struct json_writer *json)
{
    char name[CONNECTOR_NAME_BYTES];
    connector_order_name(step, name);
    json_put_text(json, "reference", step->reference[0] ? step->reference : name);
    put_amount(step->currency, step->amount_minor, json);
    json_put_bool(json, "reusable", false);
    put_metadata(step, json);
}

/* capture, refund, reversal */
static void put_change(const struct connector_step *step, bool has_amount, struct json_writer *json)
{
    char name[CONNECTOR_NAME_BYTES];
    connector_order_name(step, name);
    json_put_text(json, "reference", name);
    if (has_amount)
        put_amount(step->currency, step->amount_minor, json);
}

static const struct {
    const char *path; /* behind the payment's reference where has_payment */
    bool has_payment;
    bool has_amount;
    enum connector_operation key; /* whose idempotency key it goes under */
} calls[CONNECTOR_OPERATIONS] = {
    [CONNECTOR_TOKENISE] = {"/payments", false, false, CONNECTOR_TOKENISE},
    [CONNECTOR_CREATE] = {"/payments", false, true, CONNECTOR_CREATE},
    [CONNECTOR_CONFIRM] = {"/captures", true, true, CONNECTOR_CONFIRM},
    [CONNECTOR_STATUS] = {"/captures", true, true,
                          CONNECTOR_CONFIRM}, /* the question is the request itself */
    [CONNECTOR_ABANDON] = {"/reversals", true, false, CONNECTOR_ABANDON},
    [CONNECTOR_CAPTURE] = {"/captures", true, true, CONNECTOR_CAPTURE},
    [CONNECTOR_VOID] = {"/reversals", true, false, CONNECTOR_VOID},
    [CONNECTOR_REFUND] = {"/refunds", true, true, CONNECTOR_REFUND},
    [CONNECTOR_LINK] = {"/paymentLinks", false, true, CONNECTOR_LINK},
};

static enum err check_step(const struct connector_account *account, const struct connector_step *step)
{
    char id[LIMIT_TOKEN_BYTES];
    if (!account->merchant[0] || !calls[step->operation].path)
        return ERR_RANGE;
    if (step->operation == CONNECTOR_TOKENISE)
        return OK;
    if (calls[step->operation].has_amount &&
        (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR ||
         !money_is_currency(step->currency) || strstr(ODD_CURRENCIES, step->currency)))
        return ERR_RANGE;
    if (step->operation == CONNECTOR_CREATE && !connector_take_number(step->token, id, sizeof(id)))
        return ERR_RANGE;
    bool needs_payment = calls[step->operation].has_payment;
    return needs_payment && !connector_take_number(step->order_ref, id, sizeof(id)) ? ERR_RANGE : OK;
}

static enum err put_body(const struct connector_account *account, const struct connector_step *step,
                         struct connector_request *request)
{
    size_t capacity;
    struct json_writer json;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    json_begin(&json, bytes, capacity);
    json_open_object(&json, NULL);
    json_put_text(&json, "merchantAccount", account->merchant);
    if (step->operation == CONNECTOR_TOKENISE)
        put_card(account, step, &json);
    else if (step->operation == CONNECTOR_CREATE)
        put_payment(step, &json);
    else if (step->operation == CONNECTOR_LINK)
        put_link(step, &json);
    else
        put_change(step, calls[step->operation].has_amount, &json);
    json_close(&json);
    secret_set_length(request->body, json.length);
    return json.err;
}

static enum err put_headers(const struct connector_step *step, struct connector_request *request)
{
    char key[CONNECTOR_STEP_KEY_BYTES];
    struct connector_step named = {
        .operation = calls[step->operation].key, .capture_id = step->capture_id, .attempt = step->attempt};
    connector_step_key(&named, key);
    enum err err = connector_header(request, "Idempotency-Key", key);
    if (!err)
        err = connector_header(request, "Accept", "application/json");
    return err ? err : connector_header(request, "Content-Type", "application/json");
}

/* True: there is nothing to say, *verdict is the answer. */
static bool needs_nothing(const struct connector_step *step, struct connector_verdict *verdict)
{
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    if (is_question && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return true;
    }
    /* The order exists because CREATE was answered "Authorised", and there is no call that asks again. */
    bool is_held = step->operation == CONNECTOR_CONFIRM || step->operation == CONNECTOR_STATUS;
    if (is_held && step->is_authorise_only && step->order_ref[0]) {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_AUTHORISED, REASON_NONE);
        return true;
    }
    return false;
}

static enum err adyen_build(const struct connector_account *account, const struct connector_step *step,
                            struct connector_request *request, struct connector_verdict *verdict)
{
    char payment[LIMIT_TOKEN_BYTES];
    if ((unsigned)step->operation >= CONNECTOR_OPERATIONS)
        return ERR_UNSUPPORTED;
    if (needs_nothing(step, verdict))
        return ERR_EMPTY;
    enum err err = check_step(account, step);
    if (err)
        return err;
    connector_give_long(step->order_ref, payment);
    request->method = "POST";
    request->has_card = step->operation == CONNECTOR_TOKENISE;
    snprintf(request->path, sizeof(request->path), ADYEN_VERSION "%s%s%s",
             calls[step->operation].has_payment ? "/payments/" : "",
             calls[step->operation].has_payment ? payment : "", calls[step->operation].path);
    err = put_headers(step, request);
    return err ? err : put_body(account, step, request);
}

static enum err adyen_authorise(const struct connector_account *account, const uint8_t *key, size_t length,
                                struct connector_request *request)
{
    char text[CONNECTOR_KEY_BYTES + 1];
    (void)account;
    if (length == 0 || length > CONNECTOR_KEY_BYTES || memchr(key, '\0', length))
        return ERR_RANGE;
    memcpy(text, key, length);
    text[length] = '\0';
    enum err err = connector_header(request, "X-API-Key", text);
    wipe(text, sizeof(text));
    return err;
}

/* --- hearing the answer --- */

/* refusalReasonCode. What is not here is REASON_DECLINED: referral, blocked, restricted, suspected fraud, PIN. */
static const struct {
    const char *code;
    enum gateway_reason reason;
} refusal_rows[] = {
    {"4", REASON_PROCESSING_ERROR}, /* the acquirer's error */
    {"6", REASON_EXPIRED},
    {"7", REASON_PROCESSING_ERROR}, /* amounts differ on the way */
    {"8", REASON_WRONG_NUMBER},
    {"9", REASON_PROCESSING_ERROR}, /* the issuer is not reached */
    {"11", REASON_NEEDS_AUTHENTICATION},
    {"12", REASON_INSUFFICIENT_FUNDS},
    {"21", REASON_PROCESSING_ERROR}, /* not submitted */
    {"24", REASON_WRONG_CVV},
    {"28", REASON_LIMIT},
    {"29", REASON_LIMIT},
    {"38", REASON_NEEDS_AUTHENTICATION},
    {"42", REASON_NEEDS_AUTHENTICATION},
    {"46", REASON_LIMIT}, /* held back by Adyen after too many tries */
};

/* errorCode of a card that is refused for its form. */
static const struct {
    const char *code;
    enum gateway_reason reason;
} field_rows[] = {
    {"101", REASON_WRONG_NUMBER},
    {"103", REASON_WRONG_CVV},
    {"129", REASON_EXPIRED},
    {"140", REASON_EXPIRED},
};

static const struct {
    const char *code;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
} result_rows[] = {
    {"Authorised", GATEWAY_DONE, REASON_NONE},
    {"Refused", GATEWAY_DECLINED, REASON_NONE}, /* the reason follows */
    {"Cancelled", GATEWAY_DECLINED, REASON_NONE},
    {"Error", GATEWAY_DECLINED, REASON_NONE},
    {"RedirectShopper", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
    {"IdentifyShopper", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
    {"ChallengeShopper", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
};

static const struct {
    unsigned status;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
    enum connector_again again;
} status_rows[] = {
    {400, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {401, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {403, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {404, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {422, GATEWAY_FAILED, REASON_CONFIGURATION, CONNECTOR_FINAL},
    {429, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {500, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN}, /* and every other 5xx */
};

static bool is_amount(const struct connector_step *step, const json_t *root)
{
    const json_t *amount = json_object_get(root, "amount");
    const json_t *value = json_object_get(amount, "value");
    return reply_is(amount, "currency", step->currency) && json_is_integer(value) &&
           json_integer_value(value) == step->amount_minor;
}

static enum gateway_reason refusal_reason(const json_t *root)
{
    for (size_t i = 0; i < sizeof(refusal_rows) / sizeof(refusal_rows[0]); i++) {
        if (reply_is(root, "refusalReasonCode", refusal_rows[i].code))
            return refusal_rows[i].reason;
    }
    return REASON_DECLINED;
}

/* A decline is complete when this returns; DONE is not yet: its references are still to be taken. */
static void read_result(const struct connector_step *step, const json_t *root,
                        struct connector_verdict *verdict)
{
    connector_bad_answer(step, verdict);
    for (size_t i = 0; i < sizeof(result_rows) / sizeof(result_rows[0]); i++) {
        if (!reply_is(root, "resultCode", result_rows[i].code))
            continue;
        connector_verdict_set(verdict, result_rows[i].outcome, ORDER_NONE, result_rows[i].reason);
        if (verdict->outcome == GATEWAY_DECLINED && verdict->reason == REASON_NONE)
            verdict->reason = refusal_reason(root);
    }
}

static void read_token(const struct connector_step *step, const json_t *root,
                       struct connector_verdict *verdict)
{
    const json_t *extra = json_object_get(root, "additionalData");
    const char *id = reply_text(extra, "tokenization.storedPaymentMethodId");
    read_result(step, root, verdict);
    if (verdict->outcome != GATEWAY_DONE)
        return;
    if (!id)
        id = reply_text(extra, "recurring.recurringDetailReference");
    if (!id) /* good card, and nothing stored: the account does not store, or does not tell */
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    else if (!connector_take_long(id, verdict->token))
        connector_bad_answer(step, verdict);
}

static void read_created(const struct connector_step *step, const json_t *root,
                         struct connector_verdict *verdict)
{
    char name[CONNECTOR_NAME_BYTES];
    connector_order_name(step, name);
    read_result(step, root, verdict);
    if (verdict->outcome != GATEWAY_DONE)
        return;
    verdict->order_state = ORDER_AUTHORISED;
    if (!reply_is(root, "merchantReference", name) || !is_amount(step, root) ||
        !connector_take_long(reply_text(root, "pspReference"), verdict->order_ref))
        connector_bad_answer(step, verdict);
}

/* What a change of a payment came to: Adyen only ever says that it was received. */
static void read_change(const struct connector_account *account, const struct connector_step *step,
                        const json_t *root, struct connector_verdict *verdict)
{
    static const enum gateway_order_state states[CONNECTOR_OPERATIONS] = {
        [CONNECTOR_CONFIRM] = ORDER_SUCCEEDED, [CONNECTOR_STATUS] = ORDER_SUCCEEDED,
        [CONNECTOR_ABANDON] = ORDER_CANCELLED, [CONNECTOR_CAPTURE] = ORDER_SUCCEEDED,
        [CONNECTOR_VOID] = ORDER_CANCELLED,
    };
    char payment[LIMIT_TOKEN_BYTES];
    connector_give_long(step->order_ref, payment);
    connector_bad_answer(step, verdict);
    if (!reply_is(root, "status", "received") || !reply_is(root, "paymentPspReference", payment) ||
        !reply_is(root, "merchantAccount", account->merchant))
        return;
    if (calls[step->operation].has_amount && !is_amount(step, root))
        return;
    char reference[LIMIT_TOKEN_BYTES];
    if (!connector_take_long(reply_text(root, "pspReference"), reference))
        return;
    connector_verdict_set(verdict, GATEWAY_DONE, states[step->operation], REASON_NONE);
    if (step->operation == CONNECTOR_REFUND)
        memcpy(verdict->order_ref, reference, sizeof(verdict->order_ref));
}

static void read_link(const struct connector_account *account, const struct connector_step *step,
                      const json_t *root, struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    if (!reply_is(root, "merchantAccount", account->merchant) || !is_amount(step, root) ||
        !reply_is(root, "status", "active") ||
        !connector_take_id(reply_text(root, "id"), "PL", verdict->order_ref, LIMIT_TOKEN_BYTES) ||
        !connector_take_url(reply_text(root, "url"), verdict->url, sizeof(verdict->url)))
        connector_bad_answer(step, verdict);
}

static void set_verdict(const struct connector_step *step, enum gateway_outcome outcome,
                        enum gateway_reason reason, enum connector_again again,
                        struct connector_verdict *verdict)
{
    bool is_harmless = step->operation <= CONNECTOR_CREATE && outcome == GATEWAY_NO_ANSWER;
    connector_verdict_set(verdict, is_harmless ? GATEWAY_UNAVAILABLE : outcome, ORDER_NONE, reason);
    verdict->again = again;
}

static bool read_field(const struct connector_step *step, const json_t *root,
                       struct connector_verdict *verdict)
{
    for (size_t i = 0;
         step->operation == CONNECTOR_TOKENISE && i < sizeof(field_rows) / sizeof(field_rows[0]); i++) {
        if (!reply_is(root, "errorCode", field_rows[i].code))
            continue;
        connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_NONE, field_rows[i].reason);
        return true;
    }
    return false;
}

static void read_error(const struct connector_step *step, const struct connector_answer *answer,
                       const json_t *root, struct connector_verdict *verdict)
{
    char transient[8];
    unsigned status = answer->status >= 500 ? 500 : answer->status;
    bool is_adyens = reply_text(root, "errorCode") || status >= 500 || status == 429 || status == 401;
    connector_bad_answer(step, verdict);
    if (!is_adyens || ((status == 400 || status == 422) && read_field(step, root, verdict)))
        return;
    for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
        if (status_rows[i].status == status)
            set_verdict(step, status_rows[i].outcome, status_rows[i].reason, status_rows[i].again, verdict);
    }
    /* The key is being worked on, or Adyen says itself that the same may be asked again. */
    bool is_transient = connector_answer_header(answer, "transient-error", transient, sizeof(transient)) &&
                        strcmp(transient, "true") == 0;
    if (status < 500 && status != 401 && (reply_is(root, "errorCode", "704") || is_transient))
        set_verdict(step, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN, verdict);
    verdict->wait_ms = connector_retry_after_ms(answer);
}

static void adyen_read(const struct connector_account *account, const struct connector_step *step,
                       const struct connector_answer *answer, struct connector_verdict *verdict)
{
    json_t *root = reply_parse(answer);
    if (answer->status != 200 && answer->status != 201)
        read_error(step, answer, root, verdict);
    else if (step->operation == CONNECTOR_TOKENISE)
        read_token(step, root, verdict);
    else if (step->operation == CONNECTOR_CREATE)
        read_created(step, root, verdict);
    else if (step->operation == CONNECTOR_LINK)
        read_link(account, step, root, verdict);
    else
        read_change(account, step, root, verdict);
    json_decref(root);
}

/* Adyen's keys do not say whether they are live; the host does. */
static bool adyen_key_is_live(const uint8_t *key, size_t length)
{
    (void)key;
    (void)length;
    return false;
}

const struct connector adyen_connector = {
    .name = "adyen",
    .operations = CONNECTOR_PAYMENT_OPERATIONS | 1u << CONNECTOR_CAPTURE | 1u << CONNECTOR_VOID |
                  1u << CONNECTOR_REFUND | 1u << CONNECTOR_LINK,
    .is_replay_safe = true, /* Idempotency-Key, kept for a week at least */
    .key_is_live = adyen_key_is_live,
    .authorise = adyen_authorise,
    .build = adyen_build,
    .read = adyen_read,
};
