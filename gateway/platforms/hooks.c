#include "gateway/platforms/hooks.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/secret_source.h"
#include "gateway/connector.h"
#include "gateway/http.h"
#include "gateway/platforms/genesys.h"
#include "gateway/platforms/hook_body.h"
#include "gateway/wipe_heap.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_MS  5000
#define TIMEOUT_MS  15000
#define KEY_BYTES   512
#define AUTH_BYTES  (4 * KEY_BYTES / 3 + 64)
#define SPARE_S     60 /* a token is renewed so long before its end */
#define REQUEST_CAP SECRET_CAPACITY_MAX

struct target {
    struct http_client *client;
    struct secret *key;
    char url[LIMIT_PATH_BYTES];
};

struct sending {
    struct sending *next;
    struct hooks *hooks;
    struct hook_send_msg hook;
    struct http_exchange *exchange;
    struct secret *body;
    bool is_login;      /* the exchange under way buys a token */
    bool is_logged_in;  /* it did once for this hook */
    bool is_older_form; /* recordings, after recordingstate was not found */
};

struct hooks {
    hook_result_h *result_h;
    void *owner;
    const struct config *config;
    struct target targets[LIMIT_HOOK_TARGETS];
    size_t target_count;
    struct target platform;
    char login_url[LIMIT_PATH_BYTES];
    struct secret *access; /* empty: none */
    struct mono_time access_until;
    struct sending *first;
    size_t count;
};

static void sending_free(struct sending *sending)
{
    struct sending **at = &sending->hooks->first;
    while (*at != sending)
        at = &(*at)->next;
    *at = sending->next;
    sending->hooks->count--;
    http_cancel(sending->exchange);
    secret_free(sending->body);
    wipe_heap_free(sending);
}

static void tell(struct hooks *hooks, const struct hook_send_msg *hook, enum hook_outcome outcome,
                 const struct http_answer *answer, const char *why)
{
    struct hook_result_msg result = {.outcome = (uint8_t)outcome};
    struct hook_report report = {.transport = answer ? http_result_name(answer->result) : why,
                                 .ms = answer ? answer->ms : 0};
    MSG_INIT(&result, HOOK_RESULT, hook->header.subject);
    if (answer && answer->result == HTTP_ANSWERED) {
        const struct connector_answer heard = {answer->status, answer->body, answer->body_length,
                                               answer->headers};
        int32_t wait_ms = connector_retry_after_ms(&heard);
        result.status = answer->status;
        result.again_after_ms = wait_ms > 0 ? (uint32_t)wait_ms : 0;
    }
    hooks->result_h(hooks->owner, hook, &result, &report);
}

/* The end of a try; answer may be NULL. */
static void finish(struct sending *sending, enum hook_outcome outcome, const struct http_answer *answer,
                   const char *why)
{
    struct hooks *hooks = sending->hooks;
    struct hook_send_msg hook = sending->hook;
    sending_free(sending);
    tell(hooks, &hook, outcome, answer, why);
}

/* Whatever is not certainly taken for wrong is tried again: a receiver that is misconfigured for an hour loses nothing. */
static enum hook_outcome outcome_of(const struct http_answer *answer)
{
    if (answer->result != HTTP_ANSWERED)
        return HOOK_LATER;
    if (answer->status >= 200 && answer->status < 300)
        return HOOK_DELIVERED;
    return answer->status == 400 || answer->status == 410 || answer->status == 422 ? HOOK_REFUSED
                                                                                   : HOOK_LATER;
}

/* --- hooks ------------------------------------------------------------------------------------------------------- */

static void hook_answered(void *owner, const struct http_answer *answer)
{
    struct sending *sending = owner;
    sending->exchange = NULL;
    finish(sending, outcome_of(answer), answer, NULL);
}

static enum err start(struct sending *sending, struct target *target, const char *method, const char *url,
                      const char *headers, http_answer_h *answer_h)
{
    const struct http_request request = {.method = method,
                                         .url = url,
                                         .headers = headers,
                                         .body = sending->body,
                                         .wipe_body_when_sent = true,
                                         .connect_timeout_ms = CONNECT_MS,
                                         .timeout_ms = TIMEOUT_MS};
    return http_start(&sending->exchange, target->client, &request, answer_h, sending);
}

static enum err send_hook(struct sending *sending)
{
    struct target *target = &sending->hooks->targets[sending->hook.target];
    char signature[HOOK_SIGNATURE_BYTES];
    char headers[512];
    char id[17];
    size_t capacity;
    size_t length = 0;
    uint8_t *bytes = secret_buffer(sending->body, &capacity);
    enum err err = hook_body_write(&sending->hook, bytes, HOOK_BODY_BYTES, &length);
    if (err)
        return err;
    secret_set_length(sending->body, length);
    err = hook_sign(target->key, wall_now().ns / NS_PER_S, bytes, length, signature);
    log_id_text(sending->hook.header.subject, id);
    snprintf(headers, sizeof(headers),
             "Content-Type: application/json\nTonegate-Hook-Id: hook_%s\nTonegate-Signature: %s\n", id,
             signature);
    return err ? err : start(sending, target, "POST", target->url, headers, hook_answered);
}

/* --- the platform ------------------------------------------------------------------------------------------------- */

static enum err send_to_platform(struct sending *sending);

/* "Authorization: Bearer ..." and the type; the buffer is wiped by the caller. */
static void platform_headers(const struct hooks *hooks, char *out, size_t capacity)
{
    snprintf(out, capacity, "Authorization: Bearer %.*s\nContent-Type: application/json\n",
             (int)secret_length(hooks->access), (const char *)secret_bytes(hooks->access));
}

static bool is_recording(const struct sending *sending)
{
    return sending->hook.kind == HOOK_RECORDING_PAUSE || sending->hook.kind == HOOK_RECORDING_RESUME;
}

static void platform_answered(void *owner, const struct http_answer *answer)
{
    struct sending *sending = owner;
    struct hooks *hooks = sending->hooks;
    bool is_answered = answer->result == HTTP_ANSWERED;
    enum err err = ERR_ORDER;
    sending->exchange = NULL;
    if (is_answered && answer->status == 401 && !sending->is_logged_in) {
        secret_wipe(hooks->access); /* it ended early: another one, once */
        err = send_to_platform(sending);
    } else if (is_answered && answer->status == 404 && is_recording(sending) && !sending->is_older_form &&
               hooks->config->genesys.recording_api == CONFIG_RECORDING_STATE) {
        sending->is_older_form = true; /* requirement C4 */
        err = send_to_platform(sending);
    }
    if (err)
        finish(sending, outcome_of(answer), answer, NULL);
}

static void login_answered(void *owner, const struct http_answer *answer)
{
    struct sending *sending = owner;
    struct hooks *hooks = sending->hooks;
    unsigned valid_s = 0;
    sending->exchange = NULL;
    sending->is_logged_in = true;
    enum err err = answer->result == HTTP_ANSWERED && answer->status == 200
                       ? genesys_read_login(answer->body, answer->body_length, hooks->access, &valid_s)
                       : ERR_REFUSED;
    if (!err) {
        unsigned spare_s = valid_s > 2 * SPARE_S ? SPARE_S : 0;
        hooks->access_until = mono_add_ms(mono_now(), (int64_t)(valid_s - spare_s) * 1000);
        err = send_to_platform(sending);
    }
    if (err)
        finish(sending, HOOK_LATER, answer, NULL);
}

/* "Authorization: Basic base64(client id:secret)". */
static enum err send_login(struct sending *sending)
{
    static const char form[] = "grant_type=client_credentials";
    struct hooks *hooks = sending->hooks;
    char headers[AUTH_BYTES + 128];
    char encoded[AUTH_BYTES];
    const struct secret *key = hooks->platform.key;
    size_t capacity;
    EVP_EncodeBlock((unsigned char *)encoded, secret_bytes(key), (int)secret_length(key));
    snprintf(headers, sizeof(headers),
             "Authorization: Basic %s\nContent-Type: application/x-www-form-urlencoded\n", encoded);
    memcpy(secret_buffer(sending->body, &capacity), form, sizeof(form) - 1);
    secret_set_length(sending->body, sizeof(form) - 1);
    enum err err = start(sending, &hooks->platform, "POST", hooks->login_url, headers, login_answered);
    wipe(encoded, sizeof(encoded));
    wipe(headers, sizeof(headers));
    return err;
}

static enum err send_to_platform(struct sending *sending)
{
    struct hooks *hooks = sending->hooks;
    struct genesys_request request;
    char url[HTTP_URL_BYTES];
    char headers[GENESYS_TOKEN_BYTES + 128];
    size_t capacity;
    enum config_recording_api api =
        sending->is_older_form ? CONFIG_RECORDING_SEED : hooks->config->genesys.recording_api;
    enum err err = genesys_build(&sending->hook, api, &request);
    if (err)
        return err;
    if (secret_length(hooks->access) == 0 || mono_reached(mono_now(), hooks->access_until))
        return sending->is_logged_in ? ERR_REFUSED : send_login(sending);
    memcpy(secret_buffer(sending->body, &capacity), request.body, request.length);
    secret_set_length(sending->body, request.length);
    snprintf(url, sizeof(url), "%s%s", hooks->platform.url, request.path);
    platform_headers(hooks, headers, sizeof(headers));
    err = start(sending, &hooks->platform, request.method, url, headers, platform_answered);
    wipe(headers, sizeof(headers));
    return err;
}

/* --- all of them --------------------------------------------------------------------------------------------------- */

static bool is_being_sent(const struct hooks *hooks, uint64_t id)
{
    for (const struct sending *s = hooks->first; s; s = s->next) {
        if (s->hook.header.subject == id)
            return true;
    }
    return false;
}

enum err hooks_send(struct hooks *hooks, const struct hook_send_msg *hook)
{
    bool is_platforms = hook->target == HOOK_TARGET_PLATFORM;
    if (!hook_is_sane(hook) || hook->header.subject == 0 ||
        (is_platforms ? !hooks->platform.client : hook->target >= hooks->target_count))
        return ERR_RANGE;
    if (is_being_sent(hooks, hook->header.subject))
        return ERR_ORDER;
    struct sending *sending =
        hooks->count < LIMIT_HOOKS_IN_FLIGHT ? wipe_heap_calloc(1, sizeof(*sending)) : NULL;
    if (!sending) {
        tell(hooks, hook, HOOK_LATER, NULL, "no_room");
        return OK;
    }
    sending->hooks = hooks;
    sending->hook = *hook;
    sending->next = hooks->first;
    hooks->first = sending;
    hooks->count++;
    enum err err = secret_new(&sending->body, REQUEST_CAP);
    if (!err)
        err = is_platforms ? send_to_platform(sending) : send_hook(sending);
    if (err == ERR_UNSUPPORTED)
        finish(sending, HOOK_DELIVERED, NULL, "recording_api_is_off");
    else if (err == ERR_RANGE || err == ERR_FULL || err == ERR_SYNTAX)
        finish(sending, HOOK_REFUSED, NULL, "cannot_be_said");
    else if (err)
        finish(sending, HOOK_LATER, NULL, "cannot_be_sent");
    return OK;
}

static enum err told(enum err err, const char *what, const char *reference)
{
    if (err)
        log_event(LOG_ERROR, "the gateway cannot start", LOG_CONSTANT("because_of", what),
                  LOG_TEXT("reference", reference), LOG_ERR("error", err));
    return err;
}

static enum err open_target(struct target *target, struct event_base *base, const char *url,
                            const char *key_path, const char *ca_path, const char *what)
{
    snprintf(target->url, sizeof(target->url), "%s", url);
    enum err err = secret_new(&target->key, KEY_BYTES);
    if (!err)
        err = told(secret_source_read(key_path, target->key), what, key_path);
    return err ? err
               : told(http_client_new(&target->client, base, ca_path), "certificate authorities", ca_path);
}

/* The addresses go by the region, unless the configuration of a test names them. */
static enum err open_platform(struct hooks *hooks, struct event_base *base)
{
    const struct config *config = hooks->config;
    char api_url[LIMIT_PATH_BYTES];
    const char *host = genesys_region_host(config->genesys.region);
    if (!host)
        return told(ERR_NOT_FOUND, "genesys.region: a region of Genesys Cloud", config->genesys.region);
    snprintf(hooks->login_url, sizeof(hooks->login_url), "https://login.%s/oauth/token", host);
    snprintf(api_url, sizeof(api_url), "https://api.%s", host);
    if (config->genesys.test_url[0] && !config->gateway.sandbox)
        return told(ERR_REFUSED, "genesys.test_url: needs gateway.sandbox", config->genesys.test_url);
    if (config->genesys.test_url[0]) {
        snprintf(hooks->login_url, sizeof(hooks->login_url), "%.200s/oauth/token", config->genesys.test_url);
        snprintf(api_url, sizeof(api_url), "%s", config->genesys.test_url);
    }
    enum err err = secret_new(&hooks->access, GENESYS_TOKEN_BYTES);
    return err ? err
               : open_target(&hooks->platform, base, api_url, config->genesys.client_path,
                             config->genesys.ca_path, "genesys.client: one line, client id:secret");
}

enum err hooks_new(struct hooks **out, struct event_base *base, const struct config *config,
                   hook_result_h *result_h, void *owner)
{
    struct hooks *hooks = wipe_heap_calloc(1, sizeof(*hooks));
    enum err err = hooks ? OK : ERR_MEMORY;
    for (size_t i = 0; i < config->hook_target_count && !err; i++) {
        const struct config_hook_target *wanted = &config->hook_targets[i];
        hooks->target_count = i + 1;
        err = open_target(&hooks->targets[i], base, wanted->url, wanted->key_path, wanted->ca_path,
                          "key of a hook");
    }
    if (!err) {
        hooks->config = config;
        hooks->result_h = result_h;
        hooks->owner = owner;
    }
    if (!err && config->genesys.region[0])
        err = open_platform(hooks, base);
    if (err) {
        hooks_free(hooks);
        return err;
    }
    *out = hooks;
    return OK;
}

static void target_free(struct target *target)
{
    http_client_free(target->client);
    secret_free(target->key);
}

void hooks_free(struct hooks *hooks)
{
    if (!hooks)
        return;
    while (hooks->first)
        sending_free(hooks->first);
    for (size_t i = 0; i < hooks->target_count; i++)
        target_free(&hooks->targets[i]);
    target_free(&hooks->platform);
    secret_free(hooks->access);
    wipe_heap_free(hooks);
}
