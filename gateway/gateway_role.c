/* The gateway role: the only process that talks to a payment gateway, and the only one beside the vault that ever
 * holds a card, for one request. */
#include "base/log.h"
#include "base/role.h"
#include "base/secret_source.h"
#include "base/wall.h"
#include "gateway/desk_link.h"
#include "gateway/endpoint.h"
#include "gateway/generic.h"
#include "gateway/vault_link.h"
#include "gateway/wipe_heap.h"

#include <event2/event.h>
#include <netdb.h>
#include <nss.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BEAT_MS 100

/* What pthread_create() asks clone(2) for. */
#define THREAD_FLAGS                                                                                         \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS |       \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

struct gateway_role {
    struct role_context *context;
    struct event_base *base;
    struct vault_link link;
    struct desk_link desk;
    struct event *control_readable;
    struct event *beat;
    bool is_stopping;
};

/* --- the supervisor's side --- */

static void stop(struct gateway_role *role)
{
    role->is_stopping = true;
    event_base_loopbreak(role->base);
}

static void take_event(struct gateway_role *role, const struct role_event *event)
{
    switch (event->kind) {
    case ROLE_EVENT_LINK:
        if (event->peer == ROLE_DESK) {
            if (desk_link_open(&role->desk, event->fd) != OK)
                stop(role);
            return;
        }
        if (event->peer != ROLE_VAULT) {
            close(event->fd);
            return;
        }
        vault_link_close(&role->link);
        if (vault_link_open(&role->link, event->fd) != OK)
            stop(role);
        return;
    case ROLE_EVENT_DRAIN:
        role->context->is_draining = true;
        return;
    case ROLE_EVENT_STOP:
        stop(role);
        return;
    }
}

static void control_ready(evutil_socket_t fd, short what, void *owner)
{
    struct gateway_role *role = owner;
    struct role_event event;
    enum err err;
    (void)fd;
    (void)what;
    while ((err = role_control_read(role->context, &event)) == OK)
        take_event(role, &event);
    if (err == ERR_PEER_GONE)
        stop(role);
}

static void beat(evutil_socket_t fd, short what, void *owner)
{
    struct gateway_role *role = owner;
    (void)fd;
    (void)what;
    role_beat(role->context);
    if (role->context->is_draining && steps_count(role->link.steps) == 0)
        role_idle(role->context);
}

/* --- before the wall --- */

static bool is_loopback_url(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
           (strncmp(host, "localhost", 9) == 0 && strchr(":/", host[9]));
}

/* A live key never meets the sandbox, and a loopback gateway is the sandbox (requirement S4-09). */
static enum err check_key(const struct config_gateway *config, const struct step_settings *settings)
{
    bool is_live =
        settings->connector->key_is_live(secret_bytes(settings->key), secret_length(settings->key));
    if (config->sandbox && (is_live || connector_url_is_live(config->url))) {
        log_event(LOG_ERROR, "a live key or host with gateway.sandbox: use test ones or switch sandbox off");
        return ERR_REFUSED;
    }
    if (!config->sandbox && is_loopback_url(config->url)) {
        log_event(LOG_ERROR, "gateway.url is on loopback: that needs gateway.sandbox");
        return ERR_REFUSED;
    }
    return OK;
}

/* Everything but the key. */
static void fill_settings(const struct config_gateway *config, struct step_settings *settings)
{
    memset(settings, 0, sizeof(*settings));
    snprintf(settings->account.merchant, sizeof(settings->account.merchant), "%s", config->merchant);
    snprintf(settings->account.region, sizeof(settings->account.region), "%s", config->region);
    snprintf(settings->account.service, sizeof(settings->account.service), "%s", config->service);
    snprintf(settings->url, sizeof(settings->url), "%s", config->url);
    for (size_t n = strlen(settings->url); n > 0 && settings->url[n - 1] == '/'; n--)
        settings->url[n - 1] = '\0';
    snprintf(settings->ca_path, sizeof(settings->ca_path), "%s", config->ca_path);
    settings->create_timeout_ms = config->create_timeout_ms;
    settings->charge_timeout_ms = config->charge_timeout_ms;
    settings->ceiling_ms = config->ceiling_ms;
    settings->retries = config->retries;
    settings->create_retries = config->create_retries;
    settings->retry_wait_ms = config->retry_wait_ms;
    settings->retry_factor = config->retry_factor;
    settings->breaker = (struct breaker_policy){config->breaker.slow_ms, config->breaker.failures,
                                                config->breaker.open_s * 1000};
    settings->on_open = (enum gateway_on_open)config->on_open;
    settings->is_off = config->is_off;
}

/* A generic connector is made by its mapping, which is freed with the settings. */
static enum err open_mapping(const struct config_gateway *config, struct step_settings *settings)
{
    char message[MAPPING_ERROR_BYTES];
    struct mapping *mapping = NULL;
    if (!generic_is_name(config->connector))
        return OK;
    enum err err =
        generic_open(&mapping, config->connector, config->mapping, &settings->account, config->url, message);
    if (err) {
        log_event(LOG_ERROR, "gateway.mapping cannot be used", LOG_TEXT("why", message));
        return err;
    }
    settings->account.mapping = mapping;
    settings->connector = &mapping->connector;
    return OK;
}

static enum err make_settings(const struct config_gateway *config, struct step_settings *settings)
{
    fill_settings(config, settings);
    settings->connector =
        config->connector[0] ? connector_find(config->connector) : connector_for_url(config->url);
    enum err err = open_mapping(config, settings);
    if (err)
        return err;
    if (!settings->connector) {
        log_event(LOG_ERROR, "no such gateway.connector", LOG_TEXT("name", config->connector));
        return ERR_NOT_FOUND;
    }
    err = secret_new(&settings->key, CONNECTOR_KEY_BYTES);
    if (!err)
        err = secret_source_read(config->api_key_path, settings->key);
    if (err) {
        log_event(LOG_ERROR, "cannot read gateway.api_key_file: it must hold the key and nothing else",
                  LOG_TEXT("reference", config->api_key_path), LOG_ERR("why", err));
        return err;
    }
    return check_key(config, settings);
}

/* The first and, where there is one, its fallback. On error no key and no mapping is left. */
static enum err make_all_settings(const struct config *config, struct step_settings *settings, size_t *count)
{
    const struct config_gateway *configured[LIMIT_GATEWAYS] = {&config->gateway, &config->fallback};
    enum err err = OK;
    for (*count = 0; *count < LIMIT_GATEWAYS && configured[*count]->url[0] && !err; ++*count)
        err = make_settings(configured[*count], &settings[*count]);
    for (size_t i = 0; i < *count && err; i++) {
        secret_free(settings[i].key);
        mapping_free(settings[i].account.mapping);
    }
    return err;
}

/* What loads code or configuration on first use does so now: names are looked up in files and DNS only, which is
 * built into the C library, so that no module is ever mapped behind the wall. */
static void warm_up(void)
{
    (void)__nss_configure_lookup("hosts", "files dns");
    struct addrinfo *found = NULL;
    if (getaddrinfo("localhost", NULL, NULL, &found) == 0)
        freeaddrinfo(found);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context)
        SSL_CTX_set_default_verify_paths(context);
    SSL_CTX_free(context);
}

static enum err raise_wall(const struct config *config)
{
    static const struct wall_rule rules[] = {
        {SCMP_SYS(socket), 0, AF_INET},       {SCMP_SYS(socket), 0, AF_INET6},
        {SCMP_SYS(socket), 0, AF_NETLINK},  /* getaddrinfo asks which addresses we have */
        {SCMP_SYS(socketpair), 0, AF_UNIX}, /* curl's wake-up and its resolver thread */
        {SCMP_SYS(bind), WALL_ANY, 0},        {SCMP_SYS(connect), WALL_ANY, 0},
        {SCMP_SYS(getsockname), WALL_ANY, 0}, {SCMP_SYS(getpeername), WALL_ANY, 0},
        {SCMP_SYS(getsockopt), WALL_ANY, 0},  {SCMP_SYS(setsockopt), WALL_ANY, 0},
        {SCMP_SYS(sendmmsg), WALL_ANY, 0},    {SCMP_SYS(shutdown), WALL_ANY, 0},
        {SCMP_SYS(ioctl), 1, FIONBIO},        {SCMP_SYS(ioctl), 1, FIONREAD},
        {SCMP_SYS(clone), 0, THREAD_FLAGS}, /* curl's resolver thread, never a process */
        {SCMP_SYS(clone3), WALL_ANY, 0},    /* takes a pointer, which no filter can look behind */
        {SCMP_SYS(openat), WALL_ANY, 0},    /* CA file, resolv.conf, hosts: Landlock says which */
        {SCMP_SYS(pread64), WALL_ANY, 0},     {SCMP_SYS(getdents64), WALL_ANY, 0},
        {SCMP_SYS(uname), WALL_ANY, 0},
    };
    const struct wall_path paths[] = {
        {"/etc/ssl", WALL_READ},
        {"/usr/lib/ssl", WALL_READ},
        {"/usr/share/ca-certificates", WALL_READ},
        {"/usr/local/share/ca-certificates", WALL_READ},
        {"/etc/resolv.conf", WALL_READ},
        {"/run/systemd/resolve", WALL_READ},
        {"/etc/hosts", WALL_READ},
        {"/etc/host.conf", WALL_READ},
        {"/etc/gai.conf", WALL_READ},
        {"/etc/nsswitch.conf", WALL_READ},
        {"/etc/services", WALL_READ},
        {"/sys/devices/system/cpu", WALL_READ},
        {"/dev/urandom", WALL_READ},
    };
    const struct wall_plan plan = {rules, sizeof(rules) / sizeof(rules[0]), paths,
                                   sizeof(paths) / sizeof(paths[0]), config->user};
    return wall_raise(&plan);
}

/* --- the loop --- */

static enum err open_loop(struct gateway_role *role, const struct step_settings *settings, size_t count)
{
    struct timeval every = {0, BEAT_MS * 1000};
    role->base = event_base_new();
    if (!role->base) {
        for (size_t i = 0; i < count; i++)
            secret_free(settings[i].key);
        return ERR_MEMORY;
    }
    enum err err = vault_link_init(&role->link, role->base, settings, count);
    if (err)
        return err;
    desk_link_init(&role->desk, role->base, role->link.steps);
    int fd = role->context->link_fd[ROLE_VAULT];
    role->context->link_fd[ROLE_VAULT] = -1;
    if (!err && fd >= 0)
        err = vault_link_open(&role->link, fd);
    fd = role->context->link_fd[ROLE_DESK];
    role->context->link_fd[ROLE_DESK] = -1;
    if (!err && fd >= 0)
        err = desk_link_open(&role->desk, fd);
    if (err)
        return err;
    role->control_readable =
        event_new(role->base, role->context->control_fd, EV_READ | EV_PERSIST, control_ready, role);
    role->beat = event_new(role->base, -1, EV_PERSIST, beat, role);
    if (!role->control_readable || !role->beat || event_add(role->control_readable, NULL) != 0 ||
        event_add(role->beat, &every) != 0)
        return ERR_MEMORY;
    return OK;
}

static void close_loop(struct gateway_role *role)
{
    if (role->desk.base)
        desk_link_close(&role->desk);
    vault_link_free(&role->link);
    if (role->control_readable)
        event_free(role->control_readable);
    if (role->beat)
        event_free(role->beat);
    if (role->base)
        event_base_free(role->base);
}

int gateway_role_run(struct role_context *context)
{
    struct gateway_role role = {.context = context};
    struct step_settings settings[LIMIT_GATEWAYS];
    size_t count = 0;
    signal(SIGPIPE, SIG_IGN); /* curl is told to leave signals alone */
    enum err err = wipe_heap_install();
    if (err) {
        log_event(LOG_ERROR, "the wiping heap could not be put under curl and OpenSSL", LOG_ERR("why", err));
        return 1;
    }
    err = make_all_settings(context->config, settings, &count);
    if (err)
        return 1;
    warm_up();
    err = open_loop(&role, settings, count);
    if (!err)
        err = raise_wall(context->config);
    if (!err)
        err = role_ready(context);
    if (err) {
        log_event(LOG_ERROR, "the gateway cannot start", LOG_ERR("why", err));
    } else {
        for (size_t i = 0; i < count; i++) {
            struct endpoint endpoint;
            endpoint_read(&endpoint, settings[i].url);
            endpoint_log(&endpoint, settings[i].connector->name);
        }
        event_base_dispatch(role.base);
    }
    close_loop(&role);
    for (size_t i = 0; i < count; i++)
        mapping_free(settings[i].account.mapping);
    return err && !role.is_stopping ? 1 : 0;
}
