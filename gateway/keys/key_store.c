#include "gateway/keys/key_store.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway/http.h"
#include "gateway/keys/aws_credentials.h"
#include "gateway/keys/secrets_manager.h"
#include "gateway/keys/vault_kv.h"
#include "gateway/sigv4.h"
#include "gateway/wipe_heap.h"

#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS          3000 /* one request; a reading takes four at most */
#define CREDENTIALS_SPARE_S 120  /* temporary credentials are renewed so long before their end */
#define VAULT_PREFIX        "vault:"
#define AWS_PREFIX          "aws:"

/* A reading is a walk through some of these. */
enum round { ROUND_VAULT, ROUND_CONTAINER, ROUND_SESSION, ROUND_ROLE, ROUND_INSTANCE, ROUND_AWS, ROUNDS };

struct reading {
    struct key_store *store;
    bool is_used;
    enum round round;
    char reference[LIMIT_PATH_BYTES];
    char session[AWS_SESSION_BYTES];
    char role[LIMIT_NAME_BYTES];
    struct secret *value; /* the caller's */
    key_store_h *handler;
    void *owner;
    struct connector_request request;
    struct http_exchange *exchange;
};

struct key_store {
    struct key_store_settings settings;
    struct http_client *vault_client, *aws_client;
    struct mono_time credentials_until; /* of aws_key, where it is temporary */
    bool has_credentials;
    struct reading readings[LIMIT_GATEWAYS];
};

static enum err begin_round(struct reading *reading);

/* --- one reading --- */

static void release(struct reading *reading)
{
    struct secret *body = reading->request.body;
    http_cancel(reading->exchange);
    secret_free(body);
    wipe(reading, sizeof(*reading));
}

static void end(struct reading *reading, enum err err)
{
    key_store_h *handler = reading->handler;
    void *owner = reading->owner;
    if (err)
        secret_wipe(reading->value);
    release(reading);
    handler(owner, err);
}

/* --- rounds: what is asked, and what the answer means --- */

static enum err build_vault(struct reading *reading)
{
    struct key_store_settings *settings = &reading->store->settings;
    return vault_kv_build(reading->reference, settings->vault_token, settings->vault_namespace,
                          &reading->request);
}

static enum err build_container(struct reading *reading)
{
    char relative[LIMIT_PATH_BYTES];
    const struct secret *said = reading->store->settings.aws_relative;
    snprintf(relative, sizeof(relative), "%.*s", (int)secret_length(said), (const char *)secret_bytes(said));
    return aws_container_build(relative, &reading->request);
}

static enum err build_session(struct reading *reading)
{
    return aws_session_build(&reading->request);
}

static enum err build_role(struct reading *reading)
{
    return aws_role_build(reading->session, &reading->request);
}

static enum err build_instance(struct reading *reading)
{
    return aws_instance_build(reading->session, reading->role, &reading->request);
}

static enum err build_aws(struct reading *reading)
{
    struct key_store_settings *settings = &reading->store->settings;
    struct connector_request *request = &reading->request;
    struct sigv4_key key;
    enum err err = secrets_manager_build(reading->reference, request);
    if (err)
        return err;
    const char *host = settings->aws_url + strlen("https://");
    snprintf(request->host, sizeof(request->host), "%.*s", (int)strcspn(host, "/"), host);
    request->now_s = wall_now().ns / NS_PER_S;
    err = sigv4_key_read(&key, secret_bytes(settings->aws_key), secret_length(settings->aws_key));
    return err ? err : sigv4_sign(request, &key, settings->aws_region, SECRETS_MANAGER_SERVICE);
}

static enum err read_vault(struct reading *reading, const struct connector_answer *answer)
{
    return vault_kv_read(reading->reference, answer, reading->value);
}

static enum err read_session(struct reading *reading, const struct connector_answer *answer)
{
    return aws_session_read(answer, reading->session);
}

static enum err read_role(struct reading *reading, const struct connector_answer *answer)
{
    return aws_role_read(answer, reading->role);
}

static enum err read_credentials(struct reading *reading, const struct connector_answer *answer)
{
    struct key_store *store = reading->store;
    unsigned valid_s = 0;
    enum err err = aws_credentials_read(answer, wall_now().ns / NS_PER_S, store->settings.aws_key, &valid_s);
    if (err)
        return err;
    int64_t kept_s = valid_s > CREDENTIALS_SPARE_S ? valid_s - CREDENTIALS_SPARE_S : 1;
    store->credentials_until = mono_add_ms(mono_now(), kept_s * 1000);
    store->has_credentials = true;
    return OK;
}

static enum err read_aws(struct reading *reading, const struct connector_answer *answer)
{
    enum err err = secrets_manager_read(reading->reference, answer, reading->value);
    if (err == ERR_REFUSED)
        reading->store->has_credentials = false; /* they may have been taken back: ask for others next time */
    return err;
}

static const struct {
    enum err (*build)(struct reading *reading);
    enum err (*read)(struct reading *reading, const struct connector_answer *answer);
    enum round next; /* ROUNDS: the value is there */
    bool is_metadata;
    const char *name;
} rounds[ROUNDS] = {
    [ROUND_VAULT] = {build_vault, read_vault, ROUNDS, false, "vault"},
    [ROUND_CONTAINER] = {build_container, read_credentials, ROUND_AWS, true, "container credentials"},
    [ROUND_SESSION] = {build_session, read_session, ROUND_ROLE, true, "instance session"},
    [ROUND_ROLE] = {build_role, read_role, ROUND_INSTANCE, true, "instance role"},
    [ROUND_INSTANCE] = {build_instance, read_credentials, ROUND_AWS, true, "instance credentials"},
    [ROUND_AWS] = {build_aws, read_aws, ROUNDS, false, "secrets manager"},
};

static enum err transport_err(enum http_result result)
{
    static const enum err errs[HTTP_RESULTS] = {
        [HTTP_ANSWERED] = OK,           [HTTP_UNREACHABLE] = ERR_PEER_GONE, [HTTP_UNTRUSTED] = ERR_TLS,
        [HTTP_TIMED_OUT] = ERR_TIMEOUT, [HTTP_BROKEN] = ERR_PEER_GONE,      [HTTP_TOO_LARGE] = ERR_LENGTH,
        [HTTP_MALFORMED] = ERR_SYNTAX,
    };
    return errs[result];
}

static void answered(void *owner, const struct http_answer *answer)
{
    struct reading *reading = owner;
    const struct connector_answer heard = {answer->status, answer->body, answer->body_length,
                                           answer->headers};
    enum round round = reading->round;
    reading->exchange = NULL;
    enum err err = transport_err(answer->result);
    if (!err)
        err = rounds[round].read(reading, &heard);
    if (err)
        log_event(LOG_WARN, "a secret store did not give the key", LOG_CONSTANT("asked", rounds[round].name),
                  LOG_CONSTANT("transport", http_result_name(answer->result)),
                  LOG_COUNT("status", answer->status), LOG_ERR("why", err));
    if (!err && rounds[round].next != ROUNDS) {
        reading->round = rounds[round].next;
        err = begin_round(reading);
        if (!err)
            return;
    }
    end(reading, err);
}

static const char *url_of(const struct reading *reading)
{
    const struct key_store_settings *settings = &reading->store->settings;
    if (reading->round == ROUND_VAULT)
        return settings->vault_url;
    if (reading->round == ROUND_AWS)
        return settings->aws_url;
    if (settings->metadata_url[0])
        return settings->metadata_url;
    return reading->round == ROUND_CONTAINER ? AWS_CONTAINER_URL : AWS_INSTANCE_URL;
}

static enum err begin_round(struct reading *reading)
{
    struct key_store *store = reading->store;
    struct secret *body = reading->request.body;
    char url[HTTP_URL_BYTES];
    secret_wipe(body);
    wipe(&reading->request, sizeof(reading->request));
    reading->request.body = body;
    enum err err = rounds[reading->round].build(reading);
    if (err)
        return err;
    snprintf(url, sizeof(url), "%s%s", url_of(reading), reading->request.path);
    const struct http_request request = {.method = reading->request.method,
                                         .url = url,
                                         .headers = reading->request.headers,
                                         .body = body,
                                         .is_metadata = rounds[reading->round].is_metadata,
                                         .connect_timeout_ms = TIMEOUT_MS,
                                         .timeout_ms = TIMEOUT_MS};
    struct http_client *client = reading->round == ROUND_VAULT ? store->vault_client : store->aws_client;
    return http_start(&reading->exchange, client, &request, answered, reading);
}

/* --- the store --- */

bool key_store_has(const char *reference)
{
    return strncmp(reference, VAULT_PREFIX, sizeof(VAULT_PREFIX) - 1) == 0 ||
           strncmp(reference, AWS_PREFIX, sizeof(AWS_PREFIX) - 1) == 0;
}

static enum round first_round(const struct key_store *store, const char *reference)
{
    static const enum round firsts[] = {ROUND_AWS, ROUND_CONTAINER, ROUND_SESSION};
    if (strncmp(reference, VAULT_PREFIX, sizeof(VAULT_PREFIX) - 1) == 0)
        return ROUND_VAULT;
    bool is_good = store->has_credentials && !mono_reached(mono_now(), store->credentials_until);
    return is_good ? ROUND_AWS : firsts[store->settings.aws_credentials];
}

enum err key_store_read(struct key_store *store, const char *reference, struct secret *value,
                        key_store_h *handler, void *owner)
{
    struct reading *reading = NULL;
    if (!key_store_has(reference) || strlen(reference) >= sizeof(reading->reference))
        return ERR_SYNTAX;
    enum round round = first_round(store, reference);
    if (!(round == ROUND_VAULT ? store->vault_client : store->aws_client))
        return ERR_UNSUPPORTED;
    for (size_t i = 0; i < LIMIT_GATEWAYS && !reading; i++)
        reading = store->readings[i].is_used ? NULL : &store->readings[i];
    if (!reading)
        return ERR_FULL;
    reading->store = store;
    reading->is_used = true;
    reading->round = round;
    snprintf(reading->reference, sizeof(reading->reference), "%s", reference);
    reading->value = value;
    reading->handler = handler;
    reading->owner = owner;
    enum err err = secret_new(&reading->request.body, CONNECTOR_BODY_BYTES - 64);
    if (!err)
        err = begin_round(reading);
    if (err)
        release(reading);
    return err;
}

void key_store_cancel(struct key_store *store, const void *owner)
{
    for (size_t i = 0; i < LIMIT_GATEWAYS; i++) {
        if (store->readings[i].is_used && store->readings[i].owner == owner)
            release(&store->readings[i]);
    }
}

static enum err check_aws(struct key_store *store)
{
    struct key_store_settings *settings = &store->settings;
    struct sigv4_key key;
    if (settings->aws_url[0] == '\0')
        snprintf(settings->aws_url, sizeof(settings->aws_url), "https://secretsmanager.%s.amazonaws.com",
                 settings->aws_region);
    bool is_static = settings->aws_credentials == KEY_STORE_STATIC;
    if (is_static && !settings->aws_key)
        return ERR_RANGE;
    if (is_static)
        return sigv4_key_read(&key, secret_bytes(settings->aws_key), secret_length(settings->aws_key));
    if (settings->aws_credentials == KEY_STORE_CONTAINER && !settings->aws_relative)
        return ERR_RANGE;
    return settings->aws_key ? OK : secret_new(&settings->aws_key, SECRET_CAPACITY_MAX - 64);
}

enum err key_store_new(struct key_store **out, struct event_base *base,
                       const struct key_store_settings *settings)
{
    struct key_store *store = wipe_heap_calloc(1, sizeof(*store));
    *out = NULL;
    if (!store) {
        secret_free(settings->vault_token);
        secret_free(settings->aws_key);
        secret_free(settings->aws_relative);
        return ERR_MEMORY;
    }
    store->settings = *settings;
    enum err err = settings->vault_url[0] && !settings->vault_token ? ERR_RANGE : OK;
    if (!err && settings->vault_url[0])
        err = http_client_new(&store->vault_client, base, settings->vault_ca_path);
    if (!err && settings->aws_region[0])
        err = check_aws(store);
    if (!err && settings->aws_region[0])
        err = http_client_new(&store->aws_client, base, settings->aws_ca_path);
    if (err) {
        key_store_free(store);
        return err;
    }
    *out = store;
    return OK;
}

void key_store_free(struct key_store *store)
{
    if (!store)
        return;
    for (size_t i = 0; i < LIMIT_GATEWAYS; i++)
        release(&store->readings[i]);
    http_client_free(store->vault_client);
    http_client_free(store->aws_client);
    secret_free(store->settings.vault_token);
    secret_free(store->settings.aws_key);
    secret_free(store->settings.aws_relative);
    wipe_heap_free(store);
}
