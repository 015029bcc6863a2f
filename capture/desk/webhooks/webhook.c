#include "capture/desk/webhooks/webhook.h"

#include "base/log.h"
#include "base/secret_source.h"
#include "capture/desk/currency.h"
#include "capture/desk/webhooks/webhook_priv.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

static const struct webhook_vendor *const vendors[CONFIG_WEBHOOK_VENDORS] = {
    [CONFIG_WEBHOOK_STRIPE] = &webhook_stripe,     [CONFIG_WEBHOOK_BRAINTREE] = &webhook_braintree,
    [CONFIG_WEBHOOK_PAYPAL] = &webhook_paypal,     [CONFIG_WEBHOOK_ADYEN] = &webhook_adyen,
    [CONFIG_WEBHOOK_WORLDPAY] = &webhook_worldpay,
};

static const struct {
    const char *name;
    const char *status;
} kinds[WEBHOOK_KINDS] = {
    [WEBHOOK_OTHER] = {"other", ""},
    [WEBHOOK_SUCCEEDED] = {"succeeded", "COMPLETED"},
    [WEBHOOK_AUTHORISED] = {"authorised", "AUTHORISED"},
    [WEBHOOK_PENDING] = {"pending", "PENDING"},
    [WEBHOOK_FAILED] = {"failed", "FAILED"},
    [WEBHOOK_CANCELLED] = {"cancelled", "CANCELLED"},
    [WEBHOOK_REFUNDED] = {"refunded", "REFUNDED"},
    [WEBHOOK_REFUND_FAILED] = {"refund_failed", "REFUND_FAILED"},
    [WEBHOOK_DISPUTED] = {"disputed", "DISPUTED"},
    [WEBHOOK_DISPUTE_WON] = {"dispute_won", "DISPUTE_WON"},
    [WEBHOOK_DISPUTE_LOST] = {"dispute_lost", "DISPUTE_LOST"},
};

const char *webhook_kind_name(enum webhook_kind kind)
{
    return kinds[(unsigned)kind < WEBHOOK_KINDS ? kind : WEBHOOK_OTHER].name;
}

const char *webhook_kind_status(enum webhook_kind kind)
{
    return kinds[(unsigned)kind < WEBHOOK_KINDS ? kind : WEBHOOK_OTHER].status;
}

const char *webhook_vendor_name(enum config_webhook_vendor vendor)
{
    return (unsigned)vendor < CONFIG_WEBHOOK_VENDORS ? vendors[vendor]->name : "unknown";
}

/* --- accounts ---------------------------------------------------------------------------------------------------- */

static enum err read_certificate(const char *path, X509 **out)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return ERR_SYSTEM;
    *out = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    return *out ? OK : ERR_TLS;
}

static enum err read_key(const char *reference, struct secret **out)
{
    enum err err = secret_new(out, WEBHOOK_SECRET_BYTES);
    return err ? err : secret_source_read(reference, *out);
}

enum err webhook_account_new(struct webhook_account **out, const struct config_webhook *config,
                             size_t *failed)
{
    struct webhook_account *account = calloc(1, sizeof(*account));
    enum err err = account ? OK : ERR_MEMORY;
    for (size_t i = 0; i < config->key_count && !err; i++) {
        *failed = i;
        account->vendor = config->vendor;
        account->key_count = i + 1;
        memcpy(account->account, config->account, sizeof(account->account));
        err = vendors[config->vendor]->has_certificates
                  ? read_certificate(config->key_paths[i], &account->certificates[i])
                  : read_key(config->key_paths[i], &account->keys[i]);
    }
    if (err) {
        webhook_account_free(account);
        return err;
    }
    *out = account;
    return OK;
}

void webhook_account_free(struct webhook_account *account)
{
    if (!account)
        return;
    for (size_t i = 0; i < LIMIT_WEBHOOK_KEYS; i++) {
        secret_free(account->keys[i]);
        X509_free(account->certificates[i]);
    }
    free(account);
}

enum config_webhook_vendor webhook_account_vendor(const struct webhook_account *account)
{
    return account->vendor;
}

/* --- a delivery -------------------------------------------------------------------------------------------------- */

/* Whoever repeats an event sends one without an id into the void: it is left out. */
static void drop_unnamed(struct webhook_batch *batch)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->events[i].id[0])
            batch->events[kept++] = batch->events[i];
    }
    batch->count = kept;
}

enum err webhook_read(enum config_webhook_vendor vendor, const char *text, size_t length,
                      struct webhook_batch *batch)
{
    batch->count = 0;
    enum err err = vendors[vendor]->read(text, length, batch);
    if (err)
        batch->count = 0;
    drop_unnamed(batch);
    return !err && batch->count == 0 ? ERR_SYNTAX : err;
}

enum err webhook_take(const struct webhook_account *account, const struct http_request *request,
                      struct wall_time now, struct webhook_batch *batch)
{
    struct webhook_text text = {.text = request->body, .length = request->body_length};
    batch->count = 0;
    enum err err = vendors[account->vendor]->verify(account, request, now, &text);
    if (!err)
        err = webhook_read(account->vendor, text.text, text.length, batch);
    free(text.owned);
    return err;
}

/* --- what the vendors share -------------------------------------------------------------------------------------- */

struct webhook_event *webhook_add(struct webhook_batch *batch)
{
    if (batch->count == LIMIT_WEBHOOK_EVENTS)
        return NULL;
    struct webhook_event *event = &batch->events[batch->count++];
    *event = (struct webhook_event){.kind = WEBHOOK_OTHER};
    return event;
}

enum webhook_kind webhook_kind_of(const struct webhook_kind_row *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].kind;
    }
    return WEBHOOK_OTHER;
}

bool webhook_hmac_fits(const struct webhook_account *account, const EVP_MD *digest, const void *text,
                       size_t length, const uint8_t *expected, size_t expected_length)
{
    bool fits = false;
    for (size_t i = 0; i < account->key_count; i++) {
        uint8_t computed[EVP_MAX_MD_SIZE] = {0};
        unsigned computed_length = 0;
        const struct secret *key = account->keys[i];
        if (!HMAC(digest, secret_bytes(key), (int)secret_length(key), text, length, computed,
                  &computed_length))
            continue;
        bool is_same =
            computed_length == expected_length && CRYPTO_memcmp(computed, expected, expected_length) == 0;
        fits = fits || is_same;
        wipe(computed, sizeof(computed));
    }
    return fits;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool webhook_hex(const char *text, size_t length, uint8_t *out, size_t count)
{
    if (length != 2 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool webhook_base64(const char *text, size_t length, uint8_t *out, size_t capacity, size_t *count)
{
    uint32_t bits = 0;
    size_t digits = 0;
    size_t padding = 0;
    *count = 0;
    for (size_t i = 0; i < length; i++) {
        int digit = base64_digit(text[i]);
        if (text[i] == '\n' || text[i] == '\r')
            continue;
        if (text[i] == '=') {
            padding++;
            continue;
        }
        if (digit < 0 || padding)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (++digits % 4 == 1)
            continue;
        if (*count == capacity)
            return false;
        unsigned spare = 6 - 2 * (unsigned)((digits - 1) % 4); /* bits that belong to the next byte */
        out[(*count)++] = (uint8_t)(bits >> spare);
    }
    return (digits + padding) % 4 == 0 && padding <= 2 && digits > 0;
}

bool webhook_take_id(const char *text, char *out, size_t capacity)
{
    size_t length = strlen(text);
    out[0] = '\0';
    if (length >= capacity)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e)
            return false;
    }
    memcpy(out, text, length + 1);
    return length > 0;
}

void webhook_take_name(struct webhook_event *event, const char *text)
{
    char letters[17] = "";
    uint64_t id = 0;
    bool is_capture = strncmp(text, "cap_", 4) == 0;
    bool is_order = strncmp(text, "ord_", 4) == 0;
    if ((!is_capture && !is_order) || strlen(text) < 20)
        return;
    memcpy(letters, text + 4, 16);
    if (log_id_parse(letters, &id) != OK)
        return;
    if (is_capture)
        event->capture_id = id;
    else
        event->order_id = id;
}

void webhook_hash_id(const void *text, size_t length, char *id)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(text, length, digest);
    memcpy(id, "sha256:", 7);
    for (size_t i = 0; i < sizeof(digest); i++) {
        id[7 + 2 * i] = (char)('a' + (digest[i] >> 4));
        id[8 + 2 * i] = (char)('a' + (digest[i] & 15));
    }
    id[7 + 2 * sizeof(digest)] = '\0';
}
_Static_assert(WEBHOOK_ID_BYTES >= 7 + 2 * SHA256_DIGEST_LENGTH + 1, "a hash must fit an event's id");

static const struct currency *currency_of(const char *text)
{
    char code[4] = "";
    if (strlen(text) != 3)
        return NULL;
    for (size_t i = 0; i < 3; i++)
        code[i] = (char)toupper((unsigned char)text[i]);
    return currency_find(code);
}

bool webhook_amount_minor(struct webhook_event *event, json_int_t minor, const char *currency)
{
    const struct currency *known = currency_of(currency);
    if (!known || minor < 0 || minor > LIMIT_AMOUNT_MINOR)
        return false;
    event->amount_minor = minor;
    memcpy(event->currency, known->code, sizeof(event->currency));
    return true;
}

bool webhook_amount_decimal(struct webhook_event *event, const char *decimal, const char *currency)
{
    const struct currency *known = currency_of(currency);
    json_int_t minor = 0;
    int decimals = -1; /* none seen */
    if (!known || !decimal[0] || strlen(decimal) > 16)
        return false;
    for (const char *c = decimal; *c; c++) {
        if (*c == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (*c < '0' || *c > '9' || decimals == known->exponent)
            return false;
        minor = minor * 10 + (*c - '0');
        decimals += decimals >= 0;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < known->exponent; i++)
        minor *= 10;
    return webhook_amount_minor(event, minor, currency);
}

const char *webhook_text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

json_t *webhook_json(const char *text, size_t length)
{
    json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}
