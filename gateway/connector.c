#include "gateway/connector.h"

#include "base/log.h"
#include "gateway/connectors/adyen.h"
#include "gateway/connectors/braintree.h"
#include "gateway/connectors/cybersource.h"
#include "gateway/connectors/paypal.h"
#include "gateway/connectors/stripe.h"
#include "gateway/connectors/worldpay.h"
#include "gateway/money.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DIGIT_RUN_MAX      11 /* one less than the shortest card number in use */
#define RETRY_AFTER_MAX_MS 3600000

static const struct connector *const connectors[] = {&stripe_connector,      &paypal_connector,
                                                     &braintree_connector,   &adyen_connector,
                                                     &cybersource_connector, &worldpay_connector};

static const struct {
    const char *host; /* one that begins with '-' or '.' is the end of a longer name */
    const struct connector *connector;
    bool is_live; /* moves real money whatever the key; false where the key decides */
} hosts[] = {
    {"api.stripe.com", &stripe_connector, false},
    {"api-m.paypal.com", &paypal_connector, true},
    {"api-m.sandbox.paypal.com", &paypal_connector, false},
    {"payments.braintree-api.com", &braintree_connector, true},
    {"payments.sandbox.braintree-api.com", &braintree_connector, false},
    {"checkout-test.adyen.com", &adyen_connector, false},
    {"api.cybersource.com", &cybersource_connector, true},
    {"api.in.cybersource.com", &cybersource_connector, true},
    {"api.sa.cybersource.com", &cybersource_connector, true},
    {"apitest.cybersource.com", &cybersource_connector, false},
    {"apitest.sa.cybersource.com", &cybersource_connector, false},
    {"access.worldpay.com", &worldpay_connector, true},
    {"try.access.worldpay.com", &worldpay_connector, false},
    {"-checkout-live.adyenpayments.com", &adyen_connector, true}, /* each account has its own prefix */
};

#define HOST_COUNT (sizeof(hosts) / sizeof(hosts[0]))

const char *connector_operation_name(enum connector_operation operation)
{
    static const char *const names[CONNECTOR_OPERATIONS] = {"tokenise",  "create",  "confirm", "status",
                                                            "abandon",   "capture", "void",    "refund",
                                                            "subscribe", "link"};
    return (unsigned)operation < CONNECTOR_OPERATIONS ? names[operation] : "unknown";
}

const char *gateway_outcome_name(enum gateway_outcome outcome)
{
    static const char *const names[GATEWAY_OUTCOMES] = {"done", "declined", "failed", "unavailable",
                                                        "no_answer"};
    return (unsigned)outcome < GATEWAY_OUTCOMES ? names[outcome] : "unknown";
}

const char *gateway_reason_name(enum gateway_reason reason)
{
    static const char *const names[REASON_COUNT] = {
        "none",      "declined",         "insufficient_funds", "lost_or_stolen",
        "expired",   "wrong_cvv",        "wrong_number",       "needs_authentication",
        "limit",     "processing_error", "configuration",      "unavailable",
        "bad_answer"};
    return (unsigned)reason < REASON_COUNT ? names[reason] : "unknown";
}

const struct connector *connector_find(const char *name)
{
    for (size_t i = 0; i < sizeof(connectors) / sizeof(connectors[0]); i++) {
        if (strcmp(connectors[i]->name, name) == 0)
            return connectors[i];
    }
    return NULL;
}

static bool is_host(const char *name, const char *host, size_t length)
{
    size_t name_length = strlen(name);
    bool is_end = name[0] == '-' || name[0] == '.';
    if (is_end ? length <= name_length : length != name_length)
        return false;
    return strncasecmp(host + length - name_length, name, name_length) == 0;
}

static size_t find_host(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t length = strcspn(host, ":/");
    size_t i = 0;
    while (i < HOST_COUNT && !is_host(hosts[i].host, host, length))
        i++;
    return i;
}

const struct connector *connector_for_url(const char *url)
{
    size_t at = find_host(url);
    return at < HOST_COUNT ? hosts[at].connector : &stripe_connector;
}

bool connector_url_is_live(const char *url)
{
    size_t at = find_host(url);
    return at < HOST_COUNT && hosts[at].is_live;
}

static enum err append(struct connector_request *request, const char *text, size_t length)
{
    if (length >= sizeof(request->headers) - request->header_length)
        return ERR_FULL;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7f)
            return ERR_SYNTAX;
    }
    memcpy(request->headers + request->header_length, text, length);
    request->header_length += length;
    return OK;
}

static enum err header_bytes(struct connector_request *request, const char *name, const char *value,
                             size_t length)
{
    size_t start = request->header_length;
    enum err err = append(request, name, strlen(name));
    if (!err)
        err = append(request, ": ", 2);
    if (!err)
        err = append(request, value, length);
    if (!err && request->header_length + 2 > sizeof(request->headers))
        err = ERR_FULL;
    if (err) {
        wipe(request->headers + start, request->header_length - start);
        request->header_length = start;
        return err;
    }
    request->headers[request->header_length++] = '\n';
    request->headers[request->header_length] = '\0';
    return OK;
}

enum err connector_header(struct connector_request *request, const char *name, const char *value)
{
    return header_bytes(request, name, value, strlen(value));
}

enum err connector_authorise_bearer(const struct connector_account *account, const uint8_t *key,
                                    size_t length, struct connector_request *request)
{
    (void)account;
    char line[CONNECTOR_KEY_BYTES + 8] = "Bearer ";
    if (length == 0 || length > CONNECTOR_KEY_BYTES)
        return ERR_RANGE;
    memcpy(line + 7, key, length);
    enum err err = header_bytes(request, "Authorization", line, 7 + length);
    wipe(line, sizeof(line));
    return err;
}

enum err connector_authorise_basic(const struct connector_account *account, const uint8_t *key, size_t length,
                                   struct connector_request *request)
{
    (void)account;
    uint8_t line[6 + (CONNECTOR_KEY_BYTES + 2) / 3 * 4 + 1] = "Basic ";
    if (length == 0 || length > CONNECTOR_KEY_BYTES || !memchr(key, ':', length))
        return ERR_RANGE;
    int encoded = EVP_EncodeBlock(line + 6, key, (int)length);
    enum err err = header_bytes(request, "Authorization", (const char *)line, 6 + (size_t)encoded);
    wipe(line, sizeof(line));
    return err;
}

void connector_step_key(const struct connector_step *step, char *out)
{
    char id[17];
    log_id_text(step->capture_id, id);
    const char *name = connector_operation_name(step->operation);
    int length = step->operation >= CONNECTOR_CAPTURE
                     ? snprintf(out, CONNECTOR_STEP_KEY_BYTES, "ord_%s-%s", id, name)
                     : snprintf(out, CONNECTOR_STEP_KEY_BYTES, "cap_%s-%u-%s", id, step->attempt, name);
    if (step->round > 0)
        snprintf(out + length, CONNECTOR_STEP_KEY_BYTES - (size_t)length, "-%u", step->round);
}

void connector_order_name(const struct connector_step *step, char *out)
{
    char id[17];
    log_id_text(step->capture_id, id);
    if (step->operation >= CONNECTOR_CAPTURE)
        snprintf(out, CONNECTOR_NAME_BYTES, "ord-%s", id);
    else
        snprintf(out, CONNECTOR_NAME_BYTES, "cap-%s-%u", id, step->attempt);
}

const char *connector_verification_currency(const struct connector_account *account,
                                            const struct connector_step *step, const char *fallback)
{
    if (money_is_currency(step->currency))
        return step->currency;
    return strnlen(account->region, 4) == 3 && money_is_currency(account->region) ? account->region
                                                                                  : fallback;
}

bool connector_answer_header(const struct connector_answer *answer, const char *name, char *out,
                             size_t capacity)
{
    size_t name_length = strlen(name);
    out[0] = '\0';
    for (const char *line = answer->headers; line && *line;) {
        const char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) : strlen(line);
        if (length > name_length && line[name_length] == ':' && strncmp(line, name, name_length) == 0) {
            const char *value = line + name_length + 1;
            size_t value_length = length - name_length - 1;
            while (value_length > 0 && *value == ' ') {
                value++;
                value_length--;
            }
            if (value_length >= capacity)
                return false;
            memcpy(out, value, value_length);
            out[value_length] = '\0';
            return true;
        }
        line = end ? end + 1 : line + length;
    }
    return false;
}

int32_t connector_retry_after_ms(const struct connector_answer *answer)
{
    char text[16];
    if (!connector_answer_header(answer, "retry-after", text, sizeof(text)) || text[0] == '\0')
        return -1;
    int32_t seconds = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return -1;
        seconds = seconds * 10 + (*c - '0');
        if (seconds > RETRY_AFTER_MAX_MS / 1000)
            return RETRY_AFTER_MAX_MS;
    }
    return seconds * 1000;
}

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool take_text(const char *text, const char *prefix, size_t run_max, char *out, size_t capacity)
{
    size_t prefix_length = strlen(prefix);
    size_t digits = 0; /* in a row, '-' and '_' not counted as an end */
    memset(out, 0, capacity);
    if (!text || strncmp(text, prefix, prefix_length) != 0)
        return false;
    size_t length = strnlen(text, capacity);
    if (length == capacity || length == prefix_length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_id_char(text[i]))
            return false;
        if (text[i] >= '0' && text[i] <= '9')
            digits++;
        else if (text[i] != '-' && text[i] != '_')
            digits = 0;
        if (digits > run_max)
            return false;
    }
    memcpy(out, text, length);
    return true;
}

bool connector_take_id(const char *text, const char *prefix, char *out, size_t capacity)
{
    return take_text(text, prefix, DIGIT_RUN_MAX, out, capacity);
}

bool connector_take_number(const char *text, char *out, size_t capacity)
{
    return take_text(text, "", capacity, out, capacity);
}

#define SPLIT_DIGITS 8

bool connector_take_long(const char *text, char *out)
{
    char whole[LIMIT_TOKEN_BYTES];
    size_t length = 0, digits = 0;
    memset(out, 0, LIMIT_TOKEN_BYTES);
    if (!connector_take_number(text, whole, sizeof(whole)) || strpbrk(whole, "_-"))
        return false;
    if (connector_take_id(whole, "", out, LIMIT_TOKEN_BYTES))
        return true;
    for (const char *c = whole; *c && length < LIMIT_TOKEN_BYTES - 2; c++) {
        out[length++] = *c;
        digits = *c >= '0' && *c <= '9' ? digits + 1 : 0;
        if (digits % SPLIT_DIGITS == 0 && digits > 0 && c[1] >= '0' && c[1] <= '9')
            out[length++] = '_';
    }
    out[length] = '\0';
    if (length < LIMIT_TOKEN_BYTES - 2)
        return true;
    memset(out, 0, LIMIT_TOKEN_BYTES);
    return false;
}

void connector_give_long(const char *text, char *out)
{
    size_t length = 0;
    for (; *text && length < LIMIT_TOKEN_BYTES - 1; text++) {
        if (*text != '_')
            out[length++] = *text;
    }
    out[length] = '\0';
}

bool connector_take_url(const char *text, char *out, size_t capacity)
{
    static const char scheme[] = "https://";
    size_t digits = 0;
    memset(out, 0, capacity);
    size_t length = text ? strnlen(text, capacity) : capacity;
    if (length == capacity || length <= sizeof(scheme) - 1 || strncmp(text, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *host = text + sizeof(scheme) - 1;
    size_t host_length = strcspn(host, "/?#");
    if (host_length == 0 || memchr(host, '@', host_length))
        return false;
    for (size_t i = 0; i < length; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (text[i] <= 0x20 || text[i] >= 0x7f || strchr("\"'<>\\`", text[i]))
            return false;
        digits = is_digit ? digits + 1 : 0;
        if (digits > DIGIT_RUN_MAX)
            return false;
    }
    memcpy(out, text, length);
    return true;
}

void connector_verdict_set(struct connector_verdict *verdict, enum gateway_outcome outcome,
                           enum gateway_order_state order_state, enum gateway_reason reason)
{
    memset(verdict, 0, sizeof(*verdict));
    verdict->outcome = outcome;
    verdict->order_state = order_state;
    verdict->reason = reason;
    verdict->wait_ms = -1;
}

void connector_bad_answer(const struct connector_step *step, struct connector_verdict *verdict)
{
    bool is_harmless = step->operation == CONNECTOR_TOKENISE || step->operation == CONNECTOR_CREATE;
    connector_verdict_set(verdict, is_harmless ? GATEWAY_FAILED : GATEWAY_NO_ANSWER, ORDER_NONE,
                          REASON_BAD_ANSWER);
}
