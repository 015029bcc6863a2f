#include "gateway/gateway.h"

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

enum err gateway_open(struct gateway *gateway, uint8_t index, struct event_base *base,
                      const struct step_settings *settings)
{
    memset(gateway, 0, sizeof(*gateway));
    gateway->settings = *settings;
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
        err = http_client_new(&gateway->client, base, settings->ca_path);
    if (!err)
        err = secret_new(&gateway->access, CONNECTOR_KEY_BYTES);
    if (err)
        gateway_close(gateway);
    return err;
}

void gateway_close(struct gateway *gateway)
{
    http_client_free(gateway->client);
    secret_free(gateway->settings.key);
    secret_free(gateway->access);
    gateway->client = NULL;
    gateway->settings.key = NULL;
    gateway->access = NULL;
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

const struct secret *gateway_proof(const struct gateway *gateway)
{
    return gateway->settings.connector->build_login ? gateway->access : gateway->settings.key;
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
    out->exchanges = gateway->exchange_count;
    if (gateway->exchange_count > 0)
        out->average_ms = (uint32_t)(gateway->exchange_ms / (double)gateway->exchange_count + 0.5);
    memcpy(out->connector, gateway->settings.connector->name,
           strnlen(gateway->settings.connector->name, sizeof(out->connector) - 1));
}
