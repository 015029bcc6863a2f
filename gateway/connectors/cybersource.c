#include "gateway/connectors/cybersource.h"

#include "base/log.h"
#include "gateway/json_writer.h"
#include "gateway/money.h"
#include "gateway/reply_json.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define JSON_TYPE "application/json;charset=utf-8"
#define HAL_TYPE  "application/hal+json;charset=utf-8"

/* Amounts go as decimal text; these have two decimals in it where ISO 4217 has none, or are not taken. */
#define ODD_CURRENCIES "CLF UYW ISK UGX"

/* --- signing --- */

#define SECRET_BYTES      256
#define SIGNED_BYTES      (CONNECTOR_PATH_BYTES + CONNECTOR_HOST_BYTES + 512)
#define DIGEST_TEXT_BYTES (8 + (SHA256_DIGEST_LENGTH + 2) / 3 * 4 + 1)

struct key {
    const char *merchant, *id, *secret;
    size_t merchant_length, id_length, secret_length;
};

/* "merchant:keyid:secret"; a merchant and key id that a header may hold. */
static bool read_key(const uint8_t *bytes, size_t length, struct key *key)
{
    const char *text = (const char *)bytes;
    const char *first = length > 0 ? memchr(text, ':', length) : NULL;
    const char *second = first ? memchr(first + 1, ':', length - (size_t)(first + 1 - text)) : NULL;
    if (!second)
        return false;
    *key = (struct key){text,
                        first + 1,
                        second + 1,
                        (size_t)(first - text),
                        (size_t)(second - first - 1),
                        length - (size_t)(second + 1 - text)};
    return key->merchant_length > 0 && key->merchant_length < LIMIT_NAME_BYTES && key->id_length > 0 &&
           key->id_length < LIMIT_NAME_BYTES && key->secret_length > 0 && key->secret_length % 4 == 0 &&
           key->secret_length < SECRET_BYTES && !memchr(key->id, '"', key->id_length);
}

static void put_date(int64_t now_s, char *out, size_t capacity)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)now_s;
    struct tm at;
    memset(&at, 0, sizeof(at));
    gmtime_r(&now, &at);
    snprintf(out, capacity, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[at.tm_wday % 7], at.tm_mday,
             months[at.tm_mon % 12], at.tm_year + 1900, at.tm_hour, at.tm_min, at.tm_sec);
}

static void put_digest(const struct connector_request *request, char *out)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256(secret_bytes(request->body), secret_length(request->body), hash);
    memcpy(out, "SHA-256=", 8);
    EVP_EncodeBlock((uint8_t *)out + 8, hash, sizeof(hash));
}

/* base64 of the HMAC; ERR_RANGE: the secret is no base64. */
static enum err sign(const struct key *key, const char *text, char *out)
{
    uint8_t secret[SECRET_BYTES], code[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    int decoded = EVP_DecodeBlock(secret, (const uint8_t *)key->secret, (int)key->secret_length);
    for (size_t i = key->secret_length; decoded > 0 && i > 0 && key->secret[i - 1] == '='; i--)
        decoded--; /* what the padding stands for was decoded as zeros */
    bool is_signed = decoded > 0 &&
                     HMAC(EVP_sha256(), secret, decoded, (const uint8_t *)text, strlen(text), code, &length);
    if (is_signed)
        EVP_EncodeBlock((uint8_t *)out, code, (int)length);
    wipe(secret, sizeof(secret));
    return is_signed ? OK : ERR_RANGE;
}

static enum err put_signature(const struct key *key, const char *names, const char *text,
                              struct connector_request *request)
{
    char code[64];
    char line[512];
    enum err err = sign(key, text, code);
    if (err)
        return err;
    snprintf(line, sizeof(line), "keyid=\"%.*s\", algorithm=\"HmacSHA256\", headers=\"%s\", signature=\"%s\"",
             (int)key->id_length, key->id, names, code);
    return connector_header(request, "Signature", line);
}

static enum err cybersource_authorise(const struct connector_account *account, const uint8_t *bytes,
                                      size_t length, struct connector_request *request)
{
    struct key key;
    char date[64], digest[DIGEST_TEXT_BYTES] = "", merchant[LIMIT_NAME_BYTES], text[SIGNED_BYTES];
    bool has_body = strcmp(request->method, "GET") != 0;
    (void)account;
    if (!read_key(bytes, length, &key) || request->host[0] == '\0')
        return ERR_RANGE;
    snprintf(merchant, sizeof(merchant), "%.*s", (int)key.merchant_length, key.merchant);
    put_date(request->now_s, date, sizeof(date));
    if (has_body)
        put_digest(request, digest);
    /* request-target without parentheses: the other form is refused since April 2024. */
    snprintf(text, sizeof(text), "host: %s\ndate: %s\nrequest-target: %s %s%s%s\nv-c-merchant-id: %s",
             request->host, date, has_body ? "post" : "get", request->path, has_body ? "\ndigest: " : "",
             digest, merchant);
    enum err err = connector_header(request, "Date", date);
    if (!err)
        err = connector_header(request, "v-c-merchant-id", merchant);
    if (!err && has_body)
        err = connector_header(request, "Digest", digest);
    return err ? err
               : put_signature(&key,
                               has_body ? "host date request-target digest v-c-merchant-id"
                                        : "host date request-target v-c-merchant-id",
                               text, request);
}

/* --- saying a step --- */

static void put_code(const char *code, struct json_writer *json)
{
    json_open_object(json, "clientReferenceInformation");
    json_put_text(json, "code", code);
    json_close(json);
}

static void put_amount(const char *key, int64_t amount_minor, const char *currency, struct json_writer *json)
{
    char value[MONEY_TEXT_BYTES];
    money_text(amount_minor, currency, value);
    json_open_object(json, key);
    json_open_object(json, "amountDetails");
    json_put_text(json, "totalAmount", value);
    json_put_text(json, "currency", currency);
    json_close(json);
}

static void put_card(const struct connector_account *account, const struct connector_step *step,
                     struct json_writer *json)
{
    static const char *const tokens[] = {"customer", "paymentInstrument", "instrumentIdentifier"};
    const struct gateway_tokenise_msg *card = step->card;
    char text[CONNECTOR_NAME_BYTES + 8];
    connector_order_name(step, text);
    snprintf(text + strlen(text), 8, "-card");
    put_code(text, json);
    json_open_object(json, "processingInformation");
    json_put_text(json, "commerceIndicator", "MOTO");
    json_open_array(json, "actionList");
    json_put_text(json, NULL, "TOKEN_CREATE");
    json_close(json);
    json_open_array(json, "actionTokenTypes");
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
        json_put_text(json, NULL, tokens[i]);
    json_close(json);
    json_close(json);
    json_open_object(json, "paymentInformation");
    json_open_object(json, "card");
    json_put_digits(json, "number", card->number, card->number_length);
    snprintf(text, sizeof(text), "%02u", card->expiry_month % 100u);
    json_put_text(json, "expirationMonth", text);
    snprintf(text, sizeof(text), "20%02u", card->expiry_year % 100u);
    json_put_text(json, "expirationYear", text);
    if (card->cvv_length > 0)
        json_put_digits(json, "securityCode", card->cvv, card->cvv_length);
    json_close(json);
    json_close(json);
    put_amount("orderInformation", 0, connector_verification_currency(account, step, "USD"), json);
    json_close(json);
}

static void put_own(const char *key, const char *value, struct json_writer *json)
{
    json_open_object(json, NULL);
    json_put_text(json, "key", key);
    json_put_text(json, "value", value);
    json_close(json);
}

static void put_charge(const struct connector_step *step, struct json_writer *json)
{
    char call[24] = "call_", capture[24] = "cap_";
    put_code(step->order_ref, json);
    json_open_object(json, "processingInformation");
    json_put_text(json, "commerceIndicator", "MOTO");
    json_put_bool(json, "capture", !step->is_authorise_only);
    json_close(json);
    json_open_object(json, "paymentInformation");
    json_open_object(json, "customer");
    json_put_text(json, "id", step->token);
    json_close(json);
    json_close(json);
    put_amount("orderInformation", step->amount_minor, step->currency, json);
    json_close(json);
    log_id_text(step->call_id, call + 5);
    log_id_text(step->capture_id, capture + 4);
    json_open_array(json, "merchantDefinedInformation");
    put_own("1", "ivr", json);
    put_own("2", call, json);
    put_own("3", capture, json);
    json_close(json);
}

static void put_search(const struct connector_step *step, struct json_writer *json)
{
    char query[3 * LIMIT_TOKEN_BYTES], name[CONNECTOR_NAME_BYTES];
    connector_order_name(step, name);
    bool may_be_done =
        step->operation == CONNECTOR_REFUND; /* a refund is booked under the order's own name */
    snprintf(query, sizeof(query), "clientReferenceInformation.code:%s%s%s", step->order_ref,
             may_be_done ? " OR clientReferenceInformation.code:" : "", may_be_done ? name : "");
    json_put_bool(json, "save", false);
    json_put_text(json, "timezone", "GMT");
    json_put_text(json, "query", query);
    json_put_number(json, "offset", 0);
    json_put_number(json, "limit", 100);
    json_put_text(json, "sort", "submitTimeUtc:desc");
}

static void put_change(const struct connector_step *step, bool is_reversal, bool has_amount,
                       struct json_writer *json)
{
    char name[CONNECTOR_NAME_BYTES];
    connector_order_name(step, name);
    put_code(step->operation == CONNECTOR_REFUND ? name : step->order_ref, json);
    if (!has_amount)
        return;
    put_amount(is_reversal ? "reversalInformation" : "orderInformation", step->amount_minor, step->currency,
               json);
    if (is_reversal)
        json_put_text(json, "reason", "not wanted any more");
    json_close(json);
}

static void link_number(const struct connector_step *step, char *out)
{
    log_id_text(step->capture_id, out);
}

static void put_link(const struct connector_step *step, struct json_writer *json)
{
    char value[MONEY_TEXT_BYTES], number[17];
    link_number(step, number);
    money_text(step->amount_minor, step->currency, value);
    json_open_object(json, "processingInformation");
    json_put_text(json, "linkType", "PURCHASE");
    json_close(json);
    json_open_object(json, "purchaseInformation");
    json_put_text(json, "purchaseNumber", number);
    json_close(json);
    put_amount("orderInformation", step->amount_minor, step->currency, json);
    json_open_array(json, "lineItems");
    json_open_object(json, NULL);
    json_put_text(json, "productName", step->reference[0] ? step->reference : "Payment");
    json_put_text(json, "unitPrice", value);
    json_close(json);
    json_close(json);
    json_close(json);
}

/* Round 1 of a change: the carry is the path's end, "payments/<id>/captures", made by read() out of a search. */
static bool is_change(const struct connector_step *step)
{
    return step->round > 0 && (step->operation == CONNECTOR_CAPTURE || step->operation == CONNECTOR_VOID ||
                               step->operation == CONNECTOR_REFUND || step->operation == CONNECTOR_ABANDON);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static enum err put_body(const struct connector_account *account, const struct connector_step *step,
                         struct connector_request *request)
{
    size_t capacity;
    struct json_writer json;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    if (strcmp(request->method, "GET") == 0)
        return OK;
    json_begin(&json, bytes, capacity);
    json_open_object(&json, NULL);
    if (step->operation == CONNECTOR_TOKENISE)
        put_card(account, step, &json);
    else if (step->operation == CONNECTOR_CONFIRM)
        put_charge(step, &json);
    else if (step->operation == CONNECTOR_LINK)
        put_link(step, &json);
    else if (is_change(step))
        put_change(step, ends_with(step->carry, "/reversals"), !ends_with(step->carry, "/voids"), &json);
    else
        put_search(step, &json);
    json_close(&json);
    secret_set_length(request->body, json.length);
    return json.err;
}

static enum err check_step(const struct connector_step *step)
{
    char id[LIMIT_TOKEN_BYTES];
    if (step->operation == CONNECTOR_TOKENISE)
        return OK;
    if (step->operation == CONNECTOR_SUBSCRIBE)
        return ERR_RANGE;
    if (step->amount_minor < 1 || step->amount_minor > LIMIT_AMOUNT_MINOR ||
        !money_is_currency(step->currency) || strstr(ODD_CURRENCIES, step->currency))
        return ERR_RANGE;
    bool needs_token = step->operation == CONNECTOR_CREATE || step->operation == CONNECTOR_CONFIRM;
    if (needs_token && !connector_take_id(step->token, "", id, sizeof(id)))
        return ERR_RANGE;
    bool needs_order = step->operation != CONNECTOR_CREATE && step->operation != CONNECTOR_LINK;
    return needs_order && !connector_take_id(step->order_ref, "cap-", id, sizeof(id)) ? ERR_RANGE : OK;
}

static void put_path(const struct connector_step *step, struct connector_request *request)
{
    char number[17];
    link_number(step, number);
    bool is_payment = step->operation == CONNECTOR_TOKENISE || step->operation == CONNECTOR_CONFIRM;
    bool is_link = step->operation == CONNECTOR_LINK;
    request->method = is_link && step->round == 0 ? "GET" : "POST";
    if (is_link)
        snprintf(request->path, sizeof(request->path), "/ipl/v2/payment-links%s%s",
                 step->round == 0 ? "/" : "", step->round == 0 ? number : "");
    else if (is_change(step))
        snprintf(request->path, sizeof(request->path), "/pts/v2/%.200s", step->carry);
    else
        snprintf(request->path, sizeof(request->path), "%s",
                 is_payment ? "/pts/v2/payments" : "/tss/v2/searches");
}

static enum err cybersource_build(const struct connector_account *account, const struct connector_step *step,
                                  struct connector_request *request, struct connector_verdict *verdict)
{
    bool is_question = step->operation == CONNECTOR_STATUS || step->operation == CONNECTOR_ABANDON;
    if (is_question && step->order_ref[0] == '\0') {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE);
        return ERR_EMPTY;
    }
    enum err err = check_step(step);
    if (err)
        return err;
    if (step->operation ==
        CONNECTOR_CREATE) { /* ours, so that it can be searched even if every answer was lost */
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
        connector_order_name(step, verdict->order_ref);
        return ERR_EMPTY;
    }
    request->has_card = step->operation == CONNECTOR_TOKENISE;
    put_path(step, request);
    err = connector_header(request, "Accept", HAL_TYPE);
    if (!err && strcmp(request->method, "GET") != 0)
        err = connector_header(request, "Content-Type", JSON_TYPE);
    return err ? err : put_body(account, step, request);
}

/* --- hearing the answer --- */

/* errorInformation.reason of a payment that was not authorised; what is not here is REASON_DECLINED. */
static const struct reason_row {
    const char *word;
    enum gateway_outcome outcome;
    enum gateway_reason reason;
} reason_rows[] = {
    {"EXPIRED_CARD", GATEWAY_DECLINED, REASON_EXPIRED},
    {"INSUFFICIENT_FUND", GATEWAY_DECLINED, REASON_INSUFFICIENT_FUNDS},
    {"STOLEN_LOST_CARD", GATEWAY_DECLINED, REASON_LOST_OR_STOLEN},
    {"CVN_NOT_MATCH", GATEWAY_DECLINED, REASON_WRONG_CVV},
    {"INVALID_CVN", GATEWAY_DECLINED, REASON_WRONG_CVV},
    {"CV_FAILED", GATEWAY_DECLINED, REASON_WRONG_CVV},
    {"INVALID_ACCOUNT", GATEWAY_DECLINED, REASON_WRONG_NUMBER},
    {"EXCEEDS_CREDIT_LIMIT", GATEWAY_DECLINED, REASON_LIMIT},
    {"ISSUER_UNAVAILABLE", GATEWAY_DECLINED, REASON_PROCESSING_ERROR},
    {"PENDING_AUTHENTICATION", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
    {"CUSTOMER_AUTHENTICATION_REQUIRED", GATEWAY_DECLINED, REASON_NEEDS_AUTHENTICATION},
    {"INVALID_MERCHANT_CONFIGURATION", GATEWAY_FAILED, REASON_CONFIGURATION},
    {"MISSING_FIELD", GATEWAY_FAILED, REASON_CONFIGURATION},
    {"INVALID_DATA", GATEWAY_FAILED, REASON_CONFIGURATION},
};

/* rFlag of an authorisation in a search. */
static const struct {
    const char *word;
    enum gateway_reason reason;
} flag_rows[] = {
    {"DCARDEXPIRED", REASON_EXPIRED},          {"DCV", REASON_WRONG_CVV},
    {"DINVALIDCARD", REASON_WRONG_NUMBER},     {"DAUTHENTICATE", REASON_NEEDS_AUTHENTICATION},
    {"DINVALIDDATA", REASON_PROCESSING_ERROR}, {"DMISSINGFIELD", REASON_PROCESSING_ERROR},
};

/* details[].field of a 400 to a card. */
static const struct {
    const char *word;
    enum gateway_reason reason;
} field_rows[] = {
    {"paymentInformation.card.number", REASON_WRONG_NUMBER},
    {"paymentInformation.card.securityCode", REASON_WRONG_CVV},
    {"paymentInformation.card.expirationMonth", REASON_EXPIRED},
    {"paymentInformation.card.expirationYear", REASON_EXPIRED},
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
    {429, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
    {500, GATEWAY_NO_ANSWER, REASON_UNAVAILABLE, CONNECTOR_AGAIN}, /* and every other 5xx */
};

static bool is_money(const struct connector_step *step, const json_t *details, const char *key)
{
    int64_t value;
    const char *text = reply_text(details, key);
    return reply_is(details, "currency", step->currency) && text &&
           money_parse(text, step->currency, &value) == OK && value == step->amount_minor;
}

static bool is_code(json_t *object, const char *code)
{
    return reply_is(REPLY_AT(object, "clientReferenceInformation"), "code", code);
}

static void read_refusal(json_t *root, struct connector_verdict *verdict)
{
    const json_t *error = json_object_get(root, "errorInformation");
    connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_OPEN, REASON_DECLINED);
    for (size_t i = 0; i < sizeof(reason_rows) / sizeof(reason_rows[0]); i++) {
        if (!reply_is(error, "reason", reason_rows[i].word))
            continue;
        verdict->outcome = reason_rows[i].outcome;
        verdict->reason = reason_rows[i].reason;
    }
}

/* What came of a payment or a verification. False: the verdict is complete. */
static bool is_authorised(const struct connector_step *step, json_t *root, struct connector_verdict *verdict)
{
    connector_bad_answer(step, verdict);
    if (reply_is(root, "status", "DECLINED") || reply_is(root, "status", "INVALID_REQUEST") ||
        reply_is(root, "status", "AUTHORIZED_RISK_DECLINED"))
        read_refusal(root, verdict);
    return reply_is(root, "status", "AUTHORIZED") || reply_is(root, "status", "AUTHORIZED_PENDING_REVIEW");
}

static void read_token(const struct connector_step *step, json_t *root, struct connector_verdict *verdict)
{
    char name[CONNECTOR_NAME_BYTES + 8];
    connector_order_name(step, name);
    snprintf(name + strlen(name), 8, "-card");
    if (!is_authorised(step, root, verdict)) {
        verdict->order_state = ORDER_NONE;
        return;
    }
    const json_t *customer = REPLY_AT(root, "tokenInformation", "customer");
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
    if (!is_code(root, name))
        connector_bad_answer(step, verdict);
    else if (!customer) /* a good card, and TMS made nothing of it */
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    else if (!connector_take_id(reply_text(customer, "id"), "", verdict->token, sizeof(verdict->token)))
        connector_bad_answer(step, verdict);
}

static void read_charge(const struct connector_step *step, json_t *root, struct connector_verdict *verdict)
{
    if (!is_authorised(step, root, verdict))
        return;
    const json_t *details = REPLY_AT(root, "orderInformation", "amountDetails");
    if (!is_code(root, step->order_ref) || !is_money(step, details, "authorizedAmount"))
        return;
    connector_verdict_set(verdict, GATEWAY_DONE, step->is_authorise_only ? ORDER_AUTHORISED : ORDER_SUCCEEDED,
                          REASON_NONE);
    if (reply_is(root, "status", "AUTHORIZED_PENDING_REVIEW"))
        verdict->order_state = ORDER_PENDING;
}

/* What all transactions with our order's name come to. */
struct found {
    bool is_strange; /* one of them does not fit: nothing here is to be believed */
    bool was_refused, is_held, is_taken, is_undone, is_given_back;
    bool is_sale; /* taken by the authorisation itself, not by a capture after it */
    enum gateway_reason reason;
    char held_id[LIMIT_TOKEN_BYTES], taken_id[LIMIT_TOKEN_BYTES];
};

static bool is_ok(const json_t *application)
{
    return reply_is(application, "reasonCode", "100");
}

static void note_refusal(const json_t *application, struct found *found)
{
    found->was_refused = true;
    found->reason = REASON_DECLINED;
    for (size_t i = 0; i < sizeof(flag_rows) / sizeof(flag_rows[0]); i++) {
        if (reply_is(application, "rFlag", flag_rows[i].word))
            found->reason = flag_rows[i].reason;
    }
}

/* One transaction: an authorisation, a capture, or both in one. */
static void note_transaction(const struct connector_step *step, json_t *summary, struct found *found)
{
    const json_t *applications = REPLY_AT(summary, "applicationInformation", "applications");
    const json_t *details = REPLY_AT(summary, "orderInformation", "amountDetails");
    bool is_of_amount = step->operation >= CONNECTOR_CAPTURE || is_money(step, details, "totalAmount");
    bool has_authorisation = false, has_bill = false;
    for (size_t i = 0; i < json_array_size(applications); i++) {
        const json_t *application = json_array_get(applications, i);
        if (reply_is(application, "name", "ics_auth") && !is_ok(application) &&
            reply_text(application, "reasonCode"))
            note_refusal(application, found);
        if (!is_ok(application))
            continue;
        has_authorisation = has_authorisation || reply_is(application, "name", "ics_auth");
        has_bill = has_bill || reply_is(application, "name", "ics_bill");
        found->is_undone = found->is_undone || reply_is(application, "name", "ics_auth_reversal") ||
                           reply_is(application, "name", "ics_void");
    }
    if (!has_authorisation && !has_bill)
        return;
    char *id = has_bill ? found->taken_id : found->held_id;
    found->is_strange = found->is_strange || !is_of_amount ||
                        !reply_is(details, "currency", step->currency) ||
                        !connector_take_number(reply_text(summary, "id"), id, LIMIT_TOKEN_BYTES);
    found->is_held = found->is_held || has_authorisation;
    found->is_taken = found->is_taken || has_bill;
    found->is_sale = found->is_sale || (has_bill && has_authorisation);
}

static void note_refund(const struct connector_step *step, json_t *summary, struct found *found)
{
    const json_t *applications = REPLY_AT(summary, "applicationInformation", "applications");
    const json_t *details = REPLY_AT(summary, "orderInformation", "amountDetails");
    for (size_t i = 0; i < json_array_size(applications); i++) {
        const json_t *application = json_array_get(applications, i);
        if (reply_is(application, "name", "ics_credit") && is_ok(application) &&
            is_money(step, details, "totalAmount"))
            found->is_given_back = true;
    }
}

static void look(const struct connector_step *step, const json_t *summaries, struct found *found)
{
    char name[CONNECTOR_NAME_BYTES];
    connector_order_name(step, name);
    memset(found, 0, sizeof(*found));
    for (size_t i = 0; i < json_array_size(summaries); i++) {
        json_t *summary = json_array_get(summaries, i);
        if (is_code(summary, step->order_ref))
            note_transaction(step, summary, found);
        else if (step->operation == CONNECTOR_REFUND && is_code(summary, name))
            note_refund(step, summary, found);
        else
            found->is_strange = true;
    }
}

static enum gateway_order_state state_of(const struct connector_step *step, const struct found *found)
{
    if (found->is_undone)
        return ORDER_CANCELLED;
    if (found->is_taken)
        return ORDER_SUCCEEDED;
    if (found->is_held)
        return step->is_authorise_only || step->operation >= CONNECTOR_CAPTURE ? ORDER_AUTHORISED
                                                                               : ORDER_PENDING;
    return found->was_refused ? ORDER_OPEN : ORDER_UNKNOWN_TO_GATEWAY;
}

/* The search found what is to be changed: on to the next round. */
static void go_on(const char *kind, const char *id, const char *what, struct connector_verdict *verdict)
{
    connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    verdict->again = CONNECTOR_NEXT;
    snprintf(verdict->carry, sizeof(verdict->carry), "%s/%s/%s", kind, id, what);
}

/* A change that cannot be, since the order is not in a state for it. Not yet found is not known. */
static void refuse_change(enum gateway_order_state state, struct connector_verdict *verdict)
{
    bool is_unknown = state == ORDER_UNKNOWN_TO_GATEWAY || state == ORDER_PENDING;
    connector_verdict_set(verdict, is_unknown ? GATEWAY_UNAVAILABLE : GATEWAY_FAILED, state,
                          is_unknown ? REASON_UNAVAILABLE : REASON_PROCESSING_ERROR);
}

static void plan_change(const struct connector_step *step, const struct found *found,
                        enum gateway_order_state state, struct connector_verdict *verdict)
{
    const char *kind = found->is_sale ? "payments" : "captures";
    bool is_done = (step->operation == CONNECTOR_CAPTURE && state == ORDER_SUCCEEDED) ||
                   (step->operation == CONNECTOR_VOID && state == ORDER_CANCELLED) || found->is_given_back;
    if (is_done)
        connector_verdict_set(verdict, GATEWAY_DONE, state, REASON_NONE); /* an answer that was lost before */
    else if (step->operation == CONNECTOR_CAPTURE && state == ORDER_AUTHORISED)
        go_on("payments", found->held_id, "captures", verdict);
    else if (step->operation == CONNECTOR_VOID && state == ORDER_AUTHORISED)
        go_on("payments", found->held_id, "reversals", verdict);
    else if (step->operation == CONNECTOR_VOID && state == ORDER_SUCCEEDED)
        go_on(kind, found->taken_id, "voids", verdict);
    else if (step->operation == CONNECTOR_REFUND && state == ORDER_SUCCEEDED)
        go_on(kind, found->taken_id, "refunds", verdict);
    else
        refuse_change(state, verdict);
    if (is_done && step->operation == CONNECTOR_REFUND)
        connector_order_name(step, verdict->order_ref);
}

static void read_search(const struct connector_step *step, json_t *root, struct connector_verdict *verdict)
{
    const json_t *summaries = REPLY_AT(root, "_embedded", "transactionSummaries");
    const json_t *count = json_object_get(root, "totalCount");
    struct found found;
    bool is_empty = json_is_integer(count) && json_integer_value(count) == 0;
    look(step, summaries, &found);
    if (found.is_strange || (!json_is_array(summaries) && !is_empty)) {
        connector_bad_answer(step, verdict);
        return;
    }
    enum gateway_order_state state = state_of(step, &found);
    if (step->operation >= CONNECTOR_CAPTURE) {
        plan_change(step, &found, state, verdict);
        return;
    }
    connector_verdict_set(verdict, GATEWAY_DONE, state, state == ORDER_OPEN ? found.reason : REASON_NONE);
    if (step->operation != CONNECTOR_ABANDON)
        return;
    if (state == ORDER_AUTHORISED)
        go_on("payments", found.held_id, "reversals", verdict);
    else if (state == ORDER_SUCCEEDED || state == ORDER_PENDING)
        verdict->outcome = GATEWAY_FAILED;
    else
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE); /* nothing to cancel */
}

static void read_change(const struct connector_step *step, json_t *root, struct connector_verdict *verdict)
{
    static const struct {
        const char *end, *status, *object, *key;
        enum gateway_order_state state;
    } rows[] = {
        {"/captures", "PENDING", "orderInformation", "totalAmount", ORDER_SUCCEEDED},
        {"/reversals", "REVERSED", "reversalAmountDetails", "reversedAmount", ORDER_CANCELLED},
        {"/voids", "VOIDED", NULL, NULL, ORDER_CANCELLED},
        {"/refunds", "PENDING", "refundAmountDetails", "refundAmount", ORDER_NONE},
    };
    char name[CONNECTOR_NAME_BYTES];
    connector_order_name(step, name);
    bool is_refund = step->operation == CONNECTOR_REFUND;
    connector_bad_answer(step, verdict);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!ends_with(step->carry, rows[i].end) || !reply_is(root, "status", rows[i].status) ||
            !is_code(root, is_refund ? name : step->order_ref))
            continue;
        json_t *details = rows[i].object ? json_object_get(root, rows[i].object) : NULL;
        if (i == 0)
            details = json_object_get(details, "amountDetails");
        if (rows[i].object && !is_money(step, details, rows[i].key))
            continue;
        connector_verdict_set(verdict, GATEWAY_DONE, rows[i].state, REASON_NONE);
        if (is_refund) /* Cybersource's own id is a number that could hold a card's; ours finds it as well */
            memcpy(verdict->order_ref, name, sizeof(name));
    }
}

static void read_link(const struct connector_step *step, json_t *root, struct connector_verdict *verdict)
{
    char number[17], value[MONEY_TEXT_BYTES];
    const json_t *details = REPLY_AT(root, "orderInformation", "amountDetails");
    const json_t *total = json_object_get(details, "totalAmount");
    link_number(step, number);
    connector_verdict_set(verdict, GATEWAY_DONE, ORDER_OPEN, REASON_NONE);
    /* A number here, text elsewhere: compared as the text it stands for, to the last decimal. */
    char said[MONEY_TEXT_BYTES] = "";
    if (json_is_number(total))
        snprintf(said, sizeof(said), "%.*f", (int)money_exponent(step->currency), json_number_value(total));
    else if (json_is_string(total))
        snprintf(said, sizeof(said), "%s", json_string_value(total));
    money_text(step->amount_minor, step->currency, value);
    if (!reply_is(root, "id", number) || !reply_is(root, "status", "ACTIVE") ||
        !reply_is(details, "currency", step->currency) || strcmp(said, value) != 0 ||
        !connector_take_url(reply_text(json_object_get(root, "purchaseInformation"), "paymentLink"),
                            verdict->url, sizeof(verdict->url)))
        connector_bad_answer(step, verdict);
    else
        memcpy(verdict->order_ref, number, sizeof(number));
}

static bool read_field(const struct connector_step *step, const json_t *root,
                       struct connector_verdict *verdict)
{
    const json_t *details = json_object_get(root, "details");
    for (size_t k = 0; step->operation == CONNECTOR_TOKENISE && k < json_array_size(details); k++) {
        for (size_t i = 0; i < sizeof(field_rows) / sizeof(field_rows[0]); i++) {
            if (!reply_is(json_array_get(details, k), "field", field_rows[i].word))
                continue;
            connector_verdict_set(verdict, GATEWAY_DECLINED, ORDER_NONE, field_rows[i].reason);
            return true;
        }
    }
    return false;
}

static void read_error(const struct connector_step *step, const struct connector_answer *answer,
                       const json_t *root, struct connector_verdict *verdict)
{
    unsigned status = answer->status >= 500 ? 500 : answer->status;
    bool is_theirs = reply_text(root, "reason") || json_object_get(root, "response") ||
                     reply_text(root, "status") || status >= 500 || status == 429 || status == 401;
    connector_bad_answer(step, verdict);
    if (!is_theirs || (status == 400 && read_field(step, root, verdict)))
        return;
    if (status == 404 && step->operation == CONNECTOR_LINK && step->round == 0) {
        verdict->again = CONNECTOR_NEXT; /* there is no such link yet: make it */
        return;
    }
    for (size_t i = 0; i < sizeof(status_rows) / sizeof(status_rows[0]); i++) {
        if (status_rows[i].status != status)
            continue;
        /* A search that failed has changed nothing. */
        bool is_harmless =
            step->operation <= CONNECTOR_CREATE || (step->operation >= CONNECTOR_CAPTURE && step->round == 0);
        bool is_known = is_harmless && status_rows[i].outcome == GATEWAY_NO_ANSWER;
        connector_verdict_set(verdict, is_known ? GATEWAY_UNAVAILABLE : status_rows[i].outcome, ORDER_NONE,
                              status_rows[i].reason);
        verdict->again = status_rows[i].again;
    }
    verdict->wait_ms = connector_retry_after_ms(answer);
}

static void cybersource_read(const struct connector_account *account, const struct connector_step *step,
                             const struct connector_answer *answer, struct connector_verdict *verdict)
{
    json_t *root = reply_parse(answer);
    (void)account;
    if (answer->status != 200 && answer->status != 201)
        read_error(step, answer, root, verdict);
    else if (step->operation == CONNECTOR_TOKENISE)
        read_token(step, root, verdict);
    else if (step->operation == CONNECTOR_CONFIRM)
        read_charge(step, root, verdict);
    else if (step->operation == CONNECTOR_LINK)
        read_link(step, root, verdict);
    else if (is_change(step))
        read_change(step, root, verdict);
    else
        read_search(step, root, verdict);
    json_decref(root);
}

/* Cybersource's keys do not say whether they are live; the host does. */
static bool cybersource_key_is_live(const uint8_t *key, size_t length)
{
    (void)key;
    (void)length;
    return false;
}

const struct connector cybersource_connector = {
    .name = "cybersource",
    .operations = CONNECTOR_PAYMENT_OPERATIONS | 1u << CONNECTOR_CAPTURE | 1u << CONNECTOR_VOID |
                  1u << CONNECTOR_REFUND | 1u << CONNECTOR_LINK,
    .is_replay_safe = false,
    .key_is_live = cybersource_key_is_live,
    .authorise = cybersource_authorise,
    .build = cybersource_build,
    .read = cybersource_read,
};
