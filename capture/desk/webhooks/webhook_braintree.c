/* Braintree: a form with bt_signature = "PUBLIC|HEX&PUBLIC|HEX" and bt_payload = base64 of XML; HEX is HMAC-SHA1 over
 * bt_payload as it stands there, keyed with the SHA-1 of the private key. A delivery that is tried again keeps its time
 * stamp, so nothing in it ages: a replay is known by its id, a hash.
 *
 * The XML is read without entities, without a document type, without a network. */
#include "capture/desk/webhooks/webhook_priv.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

/* Value of a member of an application/x-www-form-urlencoded body, decoded; malloc'ed, NULL when it is not there or not
 * well formed. */
static char *form_value(const char *body, size_t length, const char *name, size_t *value_length)
{
    size_t name_length = strlen(name);
    const char *end = body + length;
    while (body < end) {
        const char *stop = memchr(body, '&', (size_t)(end - body));
        stop = stop ? stop : end;
        if ((size_t)(stop - body) > name_length && body[name_length] == '=' &&
            memcmp(body, name, name_length) == 0) {
            body += name_length + 1;
            break;
        }
        body = stop + (stop < end);
        if (body == end)
            return NULL;
    }
    if (body >= end)
        return NULL;
    char *value = malloc((size_t)(end - body) + 1);
    size_t count = 0;
    for (; value && body < end && *body != '&'; body++) {
        uint8_t byte = (uint8_t)(*body == '+' ? ' ' : *body);
        if (*body == '%') {
            if (end - body < 3 || !webhook_hex(body + 1, 2, &byte, 1)) {
                free(value);
                return NULL;
            }
            body += 2;
        }
        value[count++] = (char)byte;
    }
    if (value)
        value[count] = '\0';
    *value_length = count;
    return value;
}

/* The private key's SHA-1 is the key. */
static bool hmac_fits(const struct webhook_account *account, const char *payload, size_t length,
                      const uint8_t *expected)
{
    bool fits = false;
    for (size_t i = 0; i < account->key_count; i++) {
        uint8_t key[SHA_DIGEST_LENGTH];
        uint8_t computed[SHA_DIGEST_LENGTH];
        SHA1(secret_bytes(account->keys[i]), secret_length(account->keys[i]), key);
        if (HMAC(EVP_sha1(), key, sizeof(key), (const uint8_t *)payload, length, computed, NULL))
            fits = CRYPTO_memcmp(computed, expected, sizeof(computed)) == 0 || fits;
        wipe(key, sizeof(key));
        wipe(computed, sizeof(computed));
    }
    return fits;
}

/* The pairs of other public keys are passed over. */
static bool is_signed(const struct webhook_account *account, const char *signature, const char *payload,
                      size_t length)
{
    bool is_good = false;
    size_t name_length = strlen(account->account);
    for (const char *pair = signature; *pair; pair += *pair == '&') {
        uint8_t expected[SHA_DIGEST_LENGTH];
        size_t pair_length = strcspn(pair, "&");
        bool is_ours = pair_length > name_length && strncmp(pair, account->account, name_length) == 0 &&
                       pair[name_length] == '|';
        if (is_ours &&
            webhook_hex(pair + name_length + 1, pair_length - name_length - 1, expected, sizeof(expected)))
            is_good = hmac_fits(account, payload, length, expected) || is_good;
        pair += pair_length;
    }
    return is_good;
}

static enum err decode(const char *payload, size_t length, struct webhook_text *text)
{
    text->owned = malloc(length + 1);
    if (!text->owned)
        return ERR_MEMORY;
    text->text = text->owned;
    if (!webhook_base64(payload, length, (uint8_t *)text->owned, length, &text->length))
        text->length = 0; /* signed, and still not readable: told as such */
    return OK;
}

static enum err verify(const struct webhook_account *account, const struct http_request *request,
                       struct wall_time now, struct webhook_text *text)
{
    size_t signature_length = 0;
    size_t payload_length = 0;
    char *signature = form_value(request->body, request->body_length, "bt_signature", &signature_length);
    char *payload = form_value(request->body, request->body_length, "bt_payload", &payload_length);
    enum err err = ERR_REFUSED;
    (void)now;
    if (signature && payload && strlen(signature) == signature_length) {
        bool is_good = is_signed(account, signature, payload, payload_length);
        if (is_good)
            err = decode(payload, payload_length, text);
    }
    free(signature);
    free(payload);
    return err;
}

static const struct webhook_kind_row rows[] = {
    {"transaction_settled", WEBHOOK_SUCCEEDED},
    {"transaction_disbursed", WEBHOOK_SUCCEEDED},
    {"transaction_settlement_declined", WEBHOOK_FAILED},
    {"refund_failed", WEBHOOK_REFUND_FAILED},
    {"dispute_opened", WEBHOOK_DISPUTED},
    {"dispute_won", WEBHOOK_DISPUTE_WON},
    {"dispute_lost", WEBHOOK_DISPUTE_LOST},
};

static const xmlNode *child(const xmlNode *parent, const char *name)
{
    for (const xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0)
            return node;
    }
    return NULL;
}

/* The text of a child, cut to what fits; empty when there is none. */
static void child_text(const xmlNode *parent, const char *name, char *out, size_t capacity)
{
    const xmlNode *node = child(parent, name);
    const xmlNode *text = node ? node->children : NULL;
    out[0] = '\0';
    if (text && text->type == XML_TEXT_NODE && text->content &&
        strlen((const char *)text->content) < capacity)
        memcpy(out, text->content, strlen((const char *)text->content) + 1);
}

static void fill(struct webhook_event *event, const xmlNode *root)
{
    char value[64];
    char currency[8];
    const xmlNode *subject = child(root, "subject");
    const xmlNode *dispute = child(subject, "dispute");
    const xmlNode *transaction = child(dispute ? dispute : subject, "transaction");
    child_text(root, "kind", value, sizeof(value));
    event->kind = webhook_kind_of(rows, sizeof(rows) / sizeof(rows[0]), value);
    child_text(transaction, "order-id", value, sizeof(value));
    webhook_take_id(value, event->order_ref, sizeof(event->order_ref));
    webhook_take_name(event, value);
    const xmlNode *money = dispute ? dispute : transaction;
    child_text(money, "currency-iso-code", currency, sizeof(currency));
    child_text(money, "amount", value, sizeof(value));
    webhook_amount_decimal(event, value, currency);
}

static enum err read_notification(const char *text, size_t length, struct webhook_batch *batch)
{
    const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA;
    xmlDoc *document = length ? xmlReadMemory(text, (int)length, "webhook", NULL, options) : NULL;
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    struct webhook_event *event = NULL;
    /* A document type is refused as a whole: no entity of its own can have been declared then. */
    bool is_plain = root && !document->intSubset && !document->extSubset &&
                    strcmp((const char *)root->name, "notification") == 0;
    if (is_plain)
        event = webhook_add(batch);
    if (event) {
        fill(event, root);
        webhook_hash_id(text, length, event->id);
    }
    xmlFreeDoc(document);
    return event ? OK : ERR_SYNTAX;
}

const struct webhook_vendor webhook_braintree = {
    .name = "braintree", .verify = verify, .read = read_notification};
