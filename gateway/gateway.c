#include "gateway/gateway.h"

#include "gateway/test_card.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway/http.h"
#include "gateway/retry.h"

#include <string.h>

#define ACCESS_SPARE_S 60 /* an access token is renewed so long before its end */

/* Host, and port if it is not 443. */
static bool take_host(struct gateway *gateway)
{
    static const char scheme[] = "https://";
    const char *url = gateway->settings.url;
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *host = url + sizeof(scheme) - 1;
    size_t length = strcspn(host, "/?#");
    if (length > 4 && memcmp(host + length - 4, ":443", 4) == 0)
        length -= 4;
    if (length == 0 || length >= sizeof(gateway->host))
        return false;
    memcpy(gateway->host, host, length);
    return true;
}

/* --- keys --- */

bool gateway_key_is_allowed(const struct connector *connector, bool is_sandbox, const struct secret *key)
{
    if (!is_sandbox || !connector->key_is_live(secret_bytes(key), secret_length(key)))
        return true;
    log_event(LOG_ERROR, "a live key with gateway.sandbox: use a test key or switch sandbox off");
    return false;
}

static bool is_allowed_h(void *owner, const struct secret *key)
{
    const struct gateway *gateway = owner;
    return gateway_key_is_allowed(gateway->settings.connector, gateway->settings.is_sandbox, key);
}

static void key_ended_h(void *owner, enum err err)
{
    struct gateway *gateway = owner;
    if (!err)
        secret_wipe(gateway->access); /* it was bought with the other key */
    gateway->key_h(gateway->key_owner, gateway, !err);
}

static enum err open_keys(struct gateway *gateway, struct event_base *base)
{
    struct step_settings *settings = &gateway->settings;
    const struct key_ring_settings ring = {.reference = settings->key_reference,
                                           .max_age_s = settings->key_max_age_s,
                                           .store = settings->key_store,
                                           .is_allowed_h = is_allowed_h,
                                           .ended_h = key_ended_h,
                                           .owner = gateway};
    struct secret *key = settings->key;
    settings->key = NULL;
    return key_ring_new(&gateway->keys, base, key, &ring);
}

const struct secret *gateway_key(const struct gateway *gateway, bool wants_previous)
{
    const struct secret *previous = wants_previous ? key_ring_previous(gateway->keys) : NULL;
    return previous ? previous : key_ring_current(gateway->keys);
}

const struct secret *gateway_proof(const struct gateway *gateway, bool wants_previous)
{
    return gateway->settings.connector->build_login ? gateway->access : gateway_key(gateway, wants_previous);
}

/* --- the whole --- */

static enum err open_client(struct gateway *gateway, struct event_base *base)
{
    const struct step_settings *settings = &gateway->settings;
    const struct http_client_settings client = {.ca_path = settings->ca_path,
                                                .certificate_path = settings->certificate_path,
                                                .key_path = settings->certificate_key_path,
                                                .proxy = settings->proxy};
    return http_client_open(&gateway->client, base, &client);
}

enum err gateway_open(struct gateway *gateway, uint8_t index, struct event_base *base,
                      const struct step_settings *settings, gateway_key_h *key_h, void *owner)
{
    memset(gateway, 0, sizeof(*gateway));
    gateway->settings = *settings;
    gateway->key_h = key_h;
    gateway->key_owner = owner;
    gateway->index = index;
    breaker_init(&gateway->breaker, &settings->breaker);
    if (settings->ceiling_ms == 0 || settings->ceiling_ms > LIMIT_GATEWAY_CEILING_MS)
        gateway->settings.ceiling_ms = LIMIT_GATEWAY_CEILING_MS;
    if (settings->retry_factor == 0)
        gateway->settings.retry_factor = RETRY_FACTOR;
    if (settings->create_retries > settings->retries)
        gateway->settings.create_retries = settings->retries;
    enum err err = settings->connector && take_host(gateway) ? OK : ERR_RANGE;
    if (!err)
        err = open_client(gateway, base);
    if (!err && settings->trace_path[0])
        err = settings->is_sandbox ? trace_open(&gateway->trace, settings->trace_path) : ERR_RANGE;
    if (!err)
        err = secret_new(&gateway->access, CONNECTOR_KEY_BYTES);
    if (!err)
        err = open_keys(gateway, base);
    if (err)
        gateway_close(gateway);
    return err;
}

void gateway_close(struct gateway *gateway)
{
    key_ring_free(gateway->keys);
    gateway->keys = NULL;
    trace_close(gateway->trace);
    gateway->trace = NULL;
    http_client_free(gateway->client);
    secret_free(gateway->settings.key);
    secret_free(gateway->access);
    gateway->client = NULL;
    gateway->settings.key = NULL;
    gateway->access = NULL;
}

bool gateway_card_is_allowed(const struct gateway *gateway, const uint8_t *digits, size_t count)
{
    const struct step_settings *settings = &gateway->settings;
    const struct secret *key = gateway_key(gateway, false);
    bool is_live = connector_url_is_live(settings->url) ||
                   (key && settings->connector->key_is_live(secret_bytes(key), secret_length(key)));
    bool is_test = test_card_is(digits, count);
    if (is_test && is_live)
        log_event(LOG_ERROR, "a test card with a live key or host: it is refused, the gateway is not asked");
    else if (!is_test && gateway->trace)
        log_event(LOG_ERROR, "gateway.trace is on: only published test cards are sent");
    else
        return true;
    return false;
}

/* --- access tokens --- */

bool gateway_needs_login(const struct gateway *gateway)
{
    return gateway->settings.connector->build_login &&
           (secret_length(gateway->access) == 0 || mono_reached(mono_now(), gateway->access_until));
}

bool gateway_keep_access(struct gateway *gateway, const struct connector_access *access)
{
    size_t capacity;
    size_t length = strnlen(access->text, sizeof(access->text));
    uint8_t *bytes = secret_buffer(gateway->access, &capacity);
    if (length == 0 || length > capacity || access->valid_s <= ACCESS_SPARE_S)
        return false;
    memcpy(bytes, access->text, length);
    secret_set_length(gateway->access, length);
    gateway->access_until = mono_add_ms(mono_now(), (int64_t)(access->valid_s - ACCESS_SPARE_S) * 1000);
    return true;
}

/* --- health --- */

void gateway_note_exchange(struct gateway *gateway, double ms, bool is_answered)
{
    struct breaker *breaker = &gateway->breaker;
    gateway->exchange_count++;
    gateway->exchange_ms += ms;
    if (breaker_record(breaker, mono_now(), ms, is_answered))
        log_event(LOG_WARN, "circuit breaker of the gateway", LOG_COUNT("gateway", gateway->index),
                  LOG_CONSTANT("state", breaker_state_name(breaker->state)),
                  LOG_COUNT("opened", breaker->opened));
}

void gateway_health(const struct gateway *gateway, struct gateway_health_msg *out)
{
    memset(out, 0, sizeof(*out));
    MSG_INIT(out, GATEWAY_HEALTH, 0);
    out->gateway_index = gateway->index;
    out->breaker_state = (uint8_t)gateway->breaker.state;
    out->is_off = gateway->settings.is_off;
    out->opened = (uint32_t)gateway->breaker.opened;
    memcpy(out->steps, gateway->steps, sizeof(out->steps));
    out->slow = gateway->slow_count;
    out->exchanges = gateway->exchange_count;
    if (gateway->exchange_count > 0)
        out->average_ms = (uint32_t)(gateway->exchange_ms / (double)gateway->exchange_count + 0.5);
    memcpy(out->connector, gateway->settings.connector->name,
           strnlen(gateway->settings.connector->name, sizeof(out->connector) - 1));
}
