#include "capture/desk/desk.h"

#include "base/secret.h"
#include "capture/desk/desk_priv.h"

#include <openssl/rand.h>
#include <stdlib.h>

#define KEEP_ALIVE_S 10

static void keep_alive_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    desk_events_keep_alive(argument);
}

static void second_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    desk_orders_turn(argument);
    desk_hooks_turn(argument);
}

static enum err told(enum err err, const char *what, const char *path)
{
    if (err)
        log_event(LOG_ERROR, "the desk cannot start", LOG_CONSTANT("because_of", what),
                  LOG_TEXT("path", path), LOG_ERR("error", err));
    return err;
}

static enum err open_files(struct desk *desk)
{
    const struct config *config = desk->config;
    size_t failed = 0;
    enum err err = told(http_tls_new(&desk->tls, config->desk.certificate_path, config->desk.key_path),
                        "certificate or key", config->desk.certificate_path);
    if (!err) {
        err = tokens_load(&desk->tokens, config->desk.tokens, config->desk.token_count, &failed);
        told(err, "API token (one line, 24 to 200 characters)", config->desk.tokens[failed].path);
    }
    if (!err)
        err = told(store_open(&desk->store, config->desk.database_path, desk->setup.store_vfs), "database",
                   config->desk.database_path);
    if (!err)
        err = told(store_webhooks_open(&desk->notices, desk->store), "database", config->desk.database_path);
    if (!err)
        err = told(audit_open(&desk->audit, config->desk.audit_path), "audit trail", config->desk.audit_path);
    return err;
}

static enum err open_webhooks(struct desk *desk)
{
    enum err err = OK;
    for (size_t i = 0; i < desk->config->desk.webhook_count && !err; i++) {
        const struct config_webhook *webhook = &desk->config->desk.webhooks[i];
        size_t failed = 0;
        err = webhook_account_new(&desk->webhooks[webhook->vendor], webhook, &failed);
        told(err, "key or certificate of a webhook", webhook->key_paths[failed]);
    }
    return err;
}

/* What had not ended is shown again at once, as the store knows it, until the vault speaks. */
static enum err take_up(struct desk *desk)
{
    size_t count = 0;
    struct store_capture *records = calloc(LIMIT_CAPTURES, sizeof(*records));
    if (!records)
        return ERR_MEMORY;
    enum err err = store_capture_list_open(desk->store, records, LIMIT_CAPTURES, &count);
    for (size_t i = 0; i < count && !err; i++) {
        if (!desk_capture_get(desk, records[i].id))
            err = ERR_STORE;
    }
    free(records);
    return told(err, "captures that had not ended", desk->config->desk.database_path);
}

static enum err audit_life(struct desk *desk, const char *what)
{
    const struct audit_entry entry = {
        .who = "desk", .what = what, .where = "local", .outcome = "ok", .resource = ""};
    return audit_append(desk->audit, &entry);
}

static enum err serve(struct desk *desk)
{
    const struct timeval period = {KEEP_ALIVE_S, 0};
    const struct timeval one_second = {1, 0};
    const struct http_setup http = {.base = desk->setup.base,
                                    .listen_fd = desk->setup.listen_fd,
                                    .tls = desk->tls,
                                    .limits = desk->setup.limits,
                                    .request_h = desk_api_h,
                                    .stream_closed_h = desk_events_closed_h,
                                    .owner = desk};
    desk_links_new(desk);
    desk_gateway_new(desk);
    desk->second = event_new(desk->setup.base, -1, EV_PERSIST, second_h, desk);
    desk->keep_alive = event_new(desk->setup.base, -1, EV_PERSIST, keep_alive_h, desk);
    if (!desk->keep_alive || !desk->vault_grace || !desk->proxy_grace || !desk->second ||
        event_add(desk->second, &one_second) != 0 || event_add(desk->keep_alive, &period) != 0)
        return ERR_MEMORY;
    return http_server_new(&desk->http, &http);
}

enum err desk_new(struct desk **out, const struct desk_setup *setup)
{
    uint64_t run = 0;
    struct desk *desk = calloc(1, sizeof(*desk));
    if (!desk)
        return ERR_MEMORY;
    desk->setup = *setup;
    desk->config = setup->config;
    desk->vault.fd = -1;
    desk->proxy.fd = -1;
    desk->gateway.fd = -1;
    enum err err = RAND_bytes((unsigned char *)&run, sizeof(run)) == 1 ? OK : ERR_SYSTEM;
    log_id_text(run, desk->run);
    if (!err)
        err = desk_model_new(&desk->model, LIMIT_CALLS, LIMIT_CAPTURES);
    if (!err)
        err = open_files(desk);
    if (!err)
        err = told(desk_orders_open(desk), "orders that had not ended", desk->config->desk.database_path);
    if (!err)
        err = told(store_report_open(&desk->figures.store, desk->store), "database",
                   desk->config->desk.database_path);
    if (!err)
        err =
            told(desk_hooks_open(desk), "what others are still to be told", desk->config->desk.database_path);
    if (!err)
        err = open_webhooks(desk);
    if (!err)
        err = take_up(desk);
    if (!err)
        err = told(audit_life(desk, "desk.start"), "audit trail", desk->config->desk.audit_path);
    if (!err)
        err = serve(desk);
    if (err) {
        desk_free(desk);
        return err;
    }
    *out = desk;
    return OK;
}

void desk_free(struct desk *desk)
{
    if (!desk)
        return;
    http_server_free(desk->http);
    desk_links_free(desk);
    desk_gateway_free(desk);
    if (desk->second)
        event_free(desk->second);
    if (desk->keep_alive)
        event_free(desk->keep_alive);
    if (desk->audit && audit_life(desk, "desk.stop") != OK)
        log_event(LOG_WARN, "the audit trail does not tell of this stop");
    audit_close(desk->audit);
    store_report_close(&desk->figures.store);
    desk_hooks_close(desk);
    desk_orders_close(desk);
    store_webhooks_close(&desk->notices);
    store_close(desk->store);
    desk_model_free(&desk->model);
    SSL_CTX_free(desk->tls);
    for (size_t i = 0; i < CONFIG_WEBHOOK_VENDORS; i++)
        webhook_account_free(desk->webhooks[i]);
    wipe(&desk->tokens, sizeof(desk->tokens));
    free(desk);
}

void desk_drain(struct desk *desk)
{
    desk->is_draining = true;
    desk_publish_service(desk);
}

bool desk_is_idle(const struct desk *desk)
{
    for (size_t i = 0; i < desk->model.capture_capacity; i++) {
        if (desk->model.capture_ids[i] && !capture_state_is_end(desk->model.captures[i].record.state))
            return false;
    }
    return true;
}
