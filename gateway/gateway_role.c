/* The gateway role: the only process that talks to a payment gateway, and the only one beside the vault that ever
 * holds a card, for one request. */
#include "base/clock.h"
#include "base/log.h"
#include "base/role.h"
#include "base/secret_source.h"
#include "base/wall.h"
#include "gateway/connectors/generic.h"
#include "gateway/desk_link.h"
#include "gateway/endpoint.h"
#include "gateway/keys/key_store.h"
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
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BEAT_MS      100
#define HEALTH_BEATS 10   /* between two tellings of health to the desk */
#define KEYS_MS      8000 /* for a store to give the keys; the supervisor waits 10 s for READY */

/* What pthread_create() asks clone(2) for. */
#define THREAD_FLAGS                                                                                         \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS |       \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

struct gateway_role {
    struct role_context *context;
    struct event_base *base;
    struct key_store *store; /* NULL: none is configured */
    struct vault_link link;
    struct desk_link desk;
    struct event *control_readable;
    struct event *beat;
    struct mono_time started_at;
    bool is_ready;
    unsigned beats;
    bool is_stopping;
    bool has_failed;
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

static void fail(struct gateway_role *role, const char *why)
{
    log_event(LOG_ERROR, "the gateway cannot start", LOG_CONSTANT("why", why));
    role->has_failed = true;
    stop(role);
}

/* A role that has no key can do nothing: it is not ready before a store gave it. */
static void become_ready(struct gateway_role *role)
{
    if (!steps_have_keys(role->link.steps)) {
        steps_read_keys(role->link.steps);
        if (mono_elapsed_ms(role->started_at, mono_now()) > KEYS_MS)
            fail(role, "no key from its store");
        return;
    }
    role->is_ready = true;
    if (role_ready(role->context) != OK)
        fail(role, "the supervisor is gone");
}

static void beat(evutil_socket_t fd, short what, void *owner)
{
    struct gateway_role *role = owner;
    (void)fd;
    (void)what;
    if (!role->is_ready)
        become_ready(role);
    else
        role_beat(role->context);
    if (role->is_ready && role->beats++ % HEALTH_BEATS == 0)
        desk_link_tell_health(&role->desk);
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

/* A loopback gateway is the sandbox, and the sandbox meets no host that moves real money (requirement S4-09). */
static enum err check_url(const struct config_gateway *config)
{
    if (config->sandbox && connector_url_is_live(config->url)) {
        log_event(LOG_ERROR, "a live host with gateway.sandbox: use a test one or switch sandbox off");
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
    settings->slow_mark_ms = config->slow_mark_ms;
    settings->breaker = (struct breaker_policy){config->breaker.slow_ms, config->breaker.failures,
                                                config->breaker.open_s * 1000};
    snprintf(settings->certificate_path, sizeof(settings->certificate_path), "%s", config->certificate_path);
    snprintf(settings->certificate_key_path, sizeof(settings->certificate_key_path), "%s",
             config->certificate_key_path);
    snprintf(settings->proxy, sizeof(settings->proxy), "%s", config->proxy);
    snprintf(settings->key_reference, sizeof(settings->key_reference), "%s", config->api_key_path);
    settings->key_max_age_s = config->key_max_age_s;
    settings->is_sandbox = config->sandbox;
    snprintf(settings->trace_path, sizeof(settings->trace_path), "%s", config->trace_path);
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

/* *secret is the caller's, also on error; NULL where there is no reference. */
static enum err read_secret(const char *what, const char *reference, size_t capacity, struct secret **secret)
{
    if (!reference[0])
        return OK;
    enum err err = secret_new(secret, capacity);
    if (!err)
        err = secret_source_read(reference, *secret);
    if (err)
        log_event(LOG_ERROR,
                  "a secret cannot be read: there must be what it refers to, and nothing else in it",
                  LOG_CONSTANT("of", what), LOG_TEXT("reference", reference), LOG_ERR("why", err));
    return err;
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
    err = check_url(config);
    if (err || key_store_has(config->api_key_path)) /* a store is asked from behind the wall */
        return err;
    err = read_secret("gateway.api_key_file", config->api_key_path, CONNECTOR_KEY_BYTES, &settings->key);
    if (!err && !gateway_key_is_allowed(settings->connector, config->sandbox, settings->key))
        err = ERR_REFUSED;
    return err;
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

/* --- stores --- */

/* "ID:SECRET[:TOKEN]" out of its parts. */
static enum err read_aws_key(const struct config *config, struct secret **key)
{
    const char *const references[] = {config->secrets.aws.key_id, config->secrets.aws.key_secret,
                                      config->secrets.aws.session_token};
    size_t length = 0, capacity;
    enum err err = secret_new(key, SECRET_CAPACITY_MAX - 64);
    for (size_t i = 0; i < 3 && references[i][0] && !err; i++) {
        struct secret *part = NULL;
        uint8_t *bytes = secret_buffer(*key, &capacity);
        err = read_secret("secrets.aws", references[i], 2048, &part);
        if (!err && length + 1 + secret_length(part) > capacity)
            err = ERR_LENGTH;
        if (!err && i > 0)
            bytes[length++] = ':';
        if (!err) {
            memcpy(bytes + length, secret_bytes(part), secret_length(part));
            length += secret_length(part);
            secret_set_length(*key, length);
        }
        secret_free(part);
    }
    return err;
}

/* *store stays NULL where none is configured. */
static enum err open_store(struct gateway_role *role, const struct config *config)
{
    const struct config_secrets *secrets = &config->secrets;
    struct key_store_settings settings = {.aws_credentials =
                                              (enum key_store_credentials)secrets->aws.credentials};
    if (!secrets->vault.url[0] && !secrets->aws.region[0])
        return OK;
    snprintf(settings.vault_url, sizeof(settings.vault_url), "%s", secrets->vault.url);
    snprintf(settings.vault_namespace, sizeof(settings.vault_namespace), "%s", secrets->vault.name_space);
    snprintf(settings.vault_ca_path, sizeof(settings.vault_ca_path), "%s", secrets->vault.ca_path);
    snprintf(settings.aws_region, sizeof(settings.aws_region), "%s", secrets->aws.region);
    snprintf(settings.aws_url, sizeof(settings.aws_url), "%s", secrets->aws.url);
    snprintf(settings.aws_ca_path, sizeof(settings.aws_ca_path), "%s", secrets->aws.ca_path);
    snprintf(settings.metadata_url, sizeof(settings.metadata_url), "%s", secrets->aws.metadata_url);
    enum err err =
        read_secret("secrets.vault.token", secrets->vault.token, CONNECTOR_KEY_BYTES, &settings.vault_token);
    if (!err && secrets->aws.region[0] && secrets->aws.credentials == CONFIG_AWS_STATIC)
        err = read_aws_key(config, &settings.aws_key);
    if (!err)
        err = read_secret("secrets.aws.container_uri", secrets->aws.container, LIMIT_PATH_BYTES,
                          &settings.aws_relative);
    if (!err)
        return key_store_new(&role->store, role->base, &settings);
    secret_free(settings.vault_token);
    secret_free(settings.aws_key);
    secret_free(settings.aws_relative);
    return err;
}

/* --- the wall --- */

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

/* The folder of a key file that is read again: a file that is replaced is another file. Empty: none. */
static const char *key_folder(const struct config_gateway *config, char *folder)
{
    const char *path = config->api_key_path;
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    folder[0] = '\0';
    if (config->key_max_age_s == 0 || strncmp(path, "env:", 4) == 0 || key_store_has(path))
        return folder;
    if (strncmp(path, "credential:", 11) == 0) {
        snprintf(folder, LIMIT_PATH_BYTES, "%s", credentials ? credentials : "");
        return folder;
    }
    if (strncmp(path, "file:", 5) == 0)
        path += 5;
    const char *slash = strrchr(path, '/');
    snprintf(folder, LIMIT_PATH_BYTES, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    return folder;
}

static enum err raise_wall(const struct config *config)
{
    char folders[LIMIT_GATEWAYS][LIMIT_PATH_BYTES];
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
        {key_folder(&config->gateway, folders[0]), WALL_READ},
        {key_folder(&config->fallback, folders[1]), WALL_READ},
    };
    const struct wall_plan plan = {rules, sizeof(rules) / sizeof(rules[0]), paths,
                                   sizeof(paths) / sizeof(paths[0]), config->user};
    return wall_raise(&plan);
}

/* --- the loop --- */

static enum err open_loop(struct gateway_role *role, struct step_settings *settings, size_t count)
{
    struct timeval every = {0, BEAT_MS * 1000};
    role->base = event_base_new();
    enum err err = role->base ? open_store(role, role->context->config) : ERR_MEMORY;
    if (err) {
        for (size_t i = 0; i < count; i++)
            secret_free(settings[i].key);
        return err;
    }
    for (size_t i = 0; i < count; i++)
        settings[i].key_store = role->store;
    err = vault_link_init(&role->link, role->base, settings, count);
    if (err)
        return err;
    err = desk_link_init(&role->desk, role->base, role->link.steps, role->context->config);
    if (err)
        return err;
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
    desk_link_free(&role->desk);
    vault_link_free(&role->link);
    key_store_free(role->store);
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
    if (err) {
        log_event(LOG_ERROR, "the gateway cannot start", LOG_ERR("why", err));
    } else {
        for (size_t i = 0; i < count; i++) {
            struct endpoint endpoint;
            endpoint_read(&endpoint, settings[i].url);
            endpoint_log(&endpoint, settings[i].connector->name);
        }
        role.started_at = mono_now();
        become_ready(&role);
        event_base_dispatch(role.base);
    }
    close_loop(&role);
    for (size_t i = 0; i < count; i++)
        mapping_free(settings[i].account.mapping);
    return (err && !role.is_stopping) || role.has_failed ? 1 : 0;
}
