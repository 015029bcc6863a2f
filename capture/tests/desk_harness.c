#include "capture/tests/desk_harness.h"

#include "capture/desk/store/store.h"

#include "base/clock.h"
#include "base/role_msg.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 2000

_Noreturn static void give_up(const char *what)
{
    fprintf(stderr, "harness: %s: %s\n", what, strerror(errno));
    abort();
}

void harness_path(const struct harness *harness, const char *name, char *out)
{
    snprintf(out, HARNESS_PATH, "%s/%s", harness->folder, name);
}

static void write_text(const struct harness *harness, const char *name, const char *text)
{
    char path[HARNESS_PATH];
    harness_path(harness, name, path);
    FILE *file = fopen(path, "we");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        give_up(path);
}

static X509 *certificate_for(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * 7);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"desk of a test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    X509_add_ext(certificate, names, -1);
    X509_EXTENSION_free(names);
    if (!X509_sign(certificate, key, EVP_sha256()))
        give_up("certificate");
    return certificate;
}

static void write_certificate(const struct harness *harness)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = certificate_for(key);
    FILE *file = fopen(harness->config.desk.key_path, "we");
    if (!file || !PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL))
        give_up("key");
    fclose(file);
    file = fopen(harness->config.desk.certificate_path, "we");
    if (!file || !PEM_write_X509(file, certificate))
        give_up("certificate");
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void listen_on(struct harness *harness, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof(address);
    int on = 1;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    harness->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(harness->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(harness->listen_fd, (struct sockaddr *)&address, length) != 0 ||
        listen(harness->listen_fd, 128) != 0 ||
        getsockname(harness->listen_fd, (struct sockaddr *)&address, &length) != 0)
        give_up("listen");
    harness->port = ntohs(address.sin_port);
}

static void set_paths(struct harness *harness)
{
    struct config *config = &harness->config;
    snprintf(config->desk.certificate_path, LIMIT_PATH_BYTES, "%s/cert.pem", harness->folder);
    snprintf(config->desk.key_path, LIMIT_PATH_BYTES, "%s/key.pem", harness->folder);
    snprintf(config->desk.database_path, LIMIT_PATH_BYTES, "%s/desk.db", harness->folder);
    snprintf(config->desk.audit_path, LIMIT_PATH_BYTES, "%s/audit.jsonl", harness->folder);
    snprintf(config->desk.tokens[0].path, LIMIT_PATH_BYTES, "%s/token", harness->folder);
    snprintf(config->desk.tokens[0].name, LIMIT_NAME_BYTES, "agent-one");
    config->desk.token_count = 1;
    config->capture.attempts_max = 3;
}

void harness_new(struct harness *harness, uint16_t port)
{
    *harness = (struct harness){.vault_fd = -1, .proxy_fd = -1, .gateway_fd = -1, .control_fd = -1};
    signal(SIGPIPE, SIG_IGN);
    snprintf(harness->folder, sizeof(harness->folder), "%s/desk-test-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(harness->folder))
        give_up("folder");
    /* Started as root the desk becomes nobody, and SQLite makes its files beside the database. */
    if (chmod(harness->folder, 01777) != 0)
        give_up("folder");
    harness->sync_ms =
        mmap(NULL, sizeof(atomic_uint), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (harness->sync_ms == MAP_FAILED)
        give_up("memory");
    set_paths(harness);
    write_text(harness, "token", HARNESS_TOKEN "\n");
    write_certificate(harness);
    listen_on(harness, port);
    harness->client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_locations(harness->client, harness->config.desk.certificate_path, NULL);
    SSL_CTX_set_verify(harness->client, SSL_VERIFY_PEER, NULL);
}

static int open_link(int *ours)
{
    int ends[2];
    if (msg_pair(ends) != OK)
        give_up("link");
    *ours = ends[0];
    return ends[1];
}

/* The system's files, with a sync that takes as long as the test says. */
static sqlite3_vfs *fast_vfs;
static sqlite3_vfs slow_vfs;
static atomic_uint *slow_sync_ms;

struct slow_face {
    sqlite3_io_methods methods;
    const sqlite3_io_methods *real;
};

static int slow_sync(sqlite3_file *file, int flags)
{
    usleep(atomic_load(slow_sync_ms) * 1000);
    return ((const struct slow_face *)file->pMethods)->real->xSync(file, flags);
}

static int slow_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    static struct slow_face faces[4]; /* one for each way of locking */
    (void)vfs;
    int code = fast_vfs->xOpen(fast_vfs, name, file, flags, out_flags);
    for (int i = 0; i < 4 && code == SQLITE_OK && file->pMethods; i++) {
        if (faces[i].real && faces[i].real != file->pMethods)
            continue;
        faces[i].methods = *file->pMethods;
        faces[i].real = file->pMethods;
        faces[i].methods.xSync = slow_sync;
        file->pMethods = &faces[i].methods;
        break;
    }
    return code;
}

static void slow_down(atomic_uint *sync_ms)
{
    slow_sync_ms = sync_ms;
    fast_vfs = sqlite3_vfs_find(NULL);
    slow_vfs = *fast_vfs;
    slow_vfs.zName = "slow";
    slow_vfs.xOpen = slow_open;
    sqlite3_vfs_register(&slow_vfs, 1);
}

_Noreturn static void live_as_desk(struct harness *harness, int control_fd, int vault_fd, int proxy_fd,
                                   int gateway_fd)
{
    struct role_context context = {.role = ROLE_DESK, .config = &harness->config, .control_fd = control_fd};
    for (size_t i = 0; i < ROLE_COUNT; i++)
        context.link_fd[i] = -1;
    context.link_fd[ROLE_VAULT] = vault_fd;
    context.link_fd[ROLE_PROXY] = proxy_fd;
    context.link_fd[ROLE_GATEWAY] = gateway_fd;
    context.heritage[HERITAGE_HTTPS] = &harness->listen_fd;
    context.heritage_count[HERITAGE_HTTPS] = 1;
    close(harness->control_fd);
    close(harness->vault_fd);
    close(harness->proxy_fd);
    close(harness->gateway_fd);
    SSL_CTX_free(harness->client);
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, getenv("HARNESS_LOG") ? LOG_DEBUG : LOG_ERROR, "desk");
    slow_down(harness->sync_ms);
    exit(desk_role_run(&context));
}

static bool wait_readable(int fd, unsigned ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, (int)ms) == 1;
}

static void wait_ready(struct harness *harness)
{
    struct role_plain_msg message;
    if (!wait_readable(harness->control_fd, 10000) ||
        recv(harness->control_fd, &message, sizeof(message), 0) != sizeof(message) ||
        message.header.type != ROLE_READY)
        give_up("the desk did not start");
}

void harness_start(struct harness *harness)
{
    int control_fd = open_link(&harness->control_fd);
    int vault_fd = open_link(&harness->vault_fd);
    int proxy_fd = open_link(&harness->proxy_fd);
    int gateway_fd = open_link(&harness->gateway_fd);
    fflush(NULL);
    harness->pid = fork();
    if (harness->pid < 0)
        give_up("fork");
    if (harness->pid == 0)
        live_as_desk(harness, control_fd, vault_fd, proxy_fd, gateway_fd);
    close(control_fd);
    close(vault_fd);
    close(proxy_fd);
    close(gateway_fd);
    wait_ready(harness);
}

static void close_links(struct harness *harness)
{
    int *fds[] = {&harness->control_fd, &harness->vault_fd, &harness->proxy_fd, &harness->gateway_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

int harness_stop(struct harness *harness)
{
    int status = 0;
    struct role_plain_msg message;
    MSG_INIT(&message, ROLE_STOP, 0);
    harness_send(harness->control_fd, &message);
    if (waitpid(harness->pid, &status, 0) != harness->pid)
        give_up("wait");
    harness->pid = 0;
    close_links(harness);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void harness_kill(struct harness *harness)
{
    kill(harness->pid, SIGKILL);
    waitpid(harness->pid, NULL, 0);
    harness->pid = 0;
    close_links(harness);
}

static void remove_folder(const char *folder)
{
    DIR *open_folder = opendir(folder);
    struct dirent *entry;
    char path[512];
    while (open_folder && (entry = readdir(open_folder))) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (open_folder)
        closedir(open_folder);
    rmdir(folder);
}

void harness_free(struct harness *harness)
{
    if (harness->pid)
        harness_kill(harness);
    close_links(harness);
    close(harness->listen_fd);
    SSL_CTX_free(harness->client);
    munmap(harness->sync_ms, sizeof(atomic_uint));
    remove_folder(harness->folder);
}

static int *link_of(struct harness *harness, enum role peer)
{
    return peer == ROLE_VAULT     ? &harness->vault_fd
           : peer == ROLE_GATEWAY ? &harness->gateway_fd
                                  : &harness->proxy_fd;
}

void harness_link_cut(struct harness *harness, enum role peer)
{
    int *fd = link_of(harness, peer);
    close(*fd);
    *fd = -1;
}

void harness_link_new(struct harness *harness, enum role peer)
{
    struct role_link_msg message = {.peer = peer};
    int theirs = open_link(link_of(harness, peer));
    MSG_INIT(&message, ROLE_LINK, 0);
    if (msg_send_fds(harness->control_fd, &message, sizeof(message), &theirs, 1) != OK)
        give_up("link");
    close(theirs);
}

void harness_drain(struct harness *harness)
{
    struct role_plain_msg message;
    MSG_INIT(&message, ROLE_DRAIN, 0);
    harness_send(harness->control_fd, &message);
}

unsigned harness_beats(struct harness *harness, unsigned ms, int64_t *longest_ms)
{
    struct mono_time last = mono_now();
    struct mono_time end = mono_add_ms(last, ms);
    struct role_plain_msg message;
    unsigned count = 0;
    int64_t longest = 0;
    while (!mono_reached(mono_now(), end)) {
        if (!wait_readable(harness->control_fd, (unsigned)mono_elapsed_ms(mono_now(), end)))
            break;
        if (recv(harness->control_fd, &message, sizeof(message), 0) != sizeof(message) ||
            message.header.type != ROLE_BEAT)
            continue;
        count++;
        longest = mono_elapsed_ms(last, mono_now()) > longest ? mono_elapsed_ms(last, mono_now()) : longest;
        last = mono_now();
    }
    if (longest_ms)
        *longest_ms =
            mono_elapsed_ms(last, mono_now()) > longest ? mono_elapsed_ms(last, mono_now()) : longest;
    return count;
}

bool harness_receive(int fd, uint16_t type, void *message, size_t length)
{
    _Alignas(16) uint8_t bytes[LIMIT_MESSAGE_BYTES];
    struct mono_time end = mono_add_ms(mono_now(), WAIT_MS);
    while (!mono_reached(mono_now(), end)) {
        if (!wait_readable(fd, (unsigned)mono_elapsed_ms(mono_now(), end) + 1))
            return false;
        ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got <= 0)
            return false;
        if (((struct msg_header *)bytes)->type != type)
            continue;
        if ((size_t)got != length)
            return false;
        memcpy(message, bytes, length);
        return true;
    }
    return false;
}

bool harness_is_quiet(int fd, unsigned ms)
{
    return !wait_readable(fd, ms);
}

void harness_send(int fd, const void *message)
{
    const struct msg_header *header = message;
    if (send(fd, message, header->length, MSG_NOSIGNAL) != (ssize_t)header->length)
        give_up("send");
}

void harness_say_call(struct harness *harness, uint64_t call_id, enum proxy_call_state state,
                      const char *reference, const char *callee)
{
    struct proxy_call_msg message = {.state = (uint8_t)state, .at_ns = wall_now().ns};
    MSG_INIT(&message, PROXY_CALL, call_id);
    snprintf(message.reference, sizeof(message.reference), "%s", reference);
    snprintf(message.callee, sizeof(message.callee), "%s", callee);
    snprintf(message.sip_call_id, sizeof(message.sip_call_id), "sip-of-%s", callee);
    harness_send(harness->proxy_fd, &message);
}

struct capture_progress_msg harness_progress(const struct capture_open_msg *open, enum capture_state state)
{
    struct capture_progress_msg message = {.call_id = open->call_id,
                                           .amount_minor = open->amount_minor,
                                           .state = (uint8_t)state,
                                           .selected_field = CARD_FIELD_NONE,
                                           .attempt = 1,
                                           .attempts_max = 3,
                                           .is_masked = !capture_state_is_end(state)};
    MSG_INIT(&message, CAPTURE_PROGRESS, open->header.subject);
    memcpy(message.currency, open->currency, sizeof(message.currency));
    return message;
}

struct capture_store_msg harness_store(const struct capture_open_msg *open, enum capture_store_kind kind,
                                       uint32_t store_number)
{
    struct capture_store_msg message = {.call_id = open->call_id,
                                        .amount_minor = open->amount_minor,
                                        .store_number = store_number,
                                        .attempt = 1,
                                        .kind = (uint8_t)kind};
    MSG_INIT(&message, CAPTURE_STORE, open->header.subject);
    memcpy(message.currency, open->currency, sizeof(message.currency));
    return message;
}

/* --- client ------------------------------------------------------------------------------------------------------ */

int harness_connect(const struct harness *harness)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(harness->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        give_up("connect");
    return fd;
}

static SSL *handshake(const struct harness *harness, int fd)
{
    SSL *ssl = SSL_new(harness->client);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

/* Appends what is there within ms; false at the end of the stream or of the time. */
static bool read_more(SSL *ssl, int fd, char **text, size_t *length, unsigned ms)
{
    char part[4096];
    if (SSL_pending(ssl) == 0 && !wait_readable(fd, ms))
        return false;
    int got = SSL_read(ssl, part, sizeof(part));
    if (got <= 0)
        return false;
    *text = realloc(*text, *length + (size_t)got + 1);
    memcpy(*text + *length, part, (size_t)got);
    *length += (size_t)got;
    (*text)[*length] = '\0';
    return true;
}

static void hang_up(SSL *ssl, int fd)
{
    ERR_clear_error();
    if (ssl)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    ERR_clear_error();
}

size_t harness_raw(struct harness *harness, const void *bytes, size_t length, unsigned ms, char **text)
{
    size_t got = 0;
    int fd = harness_connect(harness);
    SSL *ssl = handshake(harness, fd);
    *text = calloc(1, 1);
    struct mono_time end = mono_add_ms(mono_now(), ms);
    if (ssl && (length == 0 || SSL_write(ssl, bytes, (int)length) > 0)) {
        while (!mono_reached(mono_now(), end) &&
               read_more(ssl, fd, text, &got, (unsigned)mono_elapsed_ms(mono_now(), end) + 1))
            ;
    }
    hang_up(ssl, fd);
    return got;
}

static char *request_text(const char *method, const char *path, const char *headers, const char *body,
                          const char *connection)
{
    char *text = NULL;
    bool has_own = headers && strstr(headers, "Authorization:");
    bool has_type = headers && strstr(headers, "Content-Type:");
    if (asprintf(&text,
                 "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\n%s%s%sContent-Length: %zu\r\n\r\n%s",
                 method, path, connection, has_own ? "" : "Authorization: Bearer " HARNESS_TOKEN "\r\n",
                 body && !has_type ? "Content-Type: application/json\r\n" : "", headers ? headers : "",
                 body ? strlen(body) : 0, body ? body : "") < 0)
        give_up("memory");
    return text;
}

void harness_http(struct harness *harness, const char *method, const char *path, const char *headers,
                  const char *body, struct harness_reply *reply)
{
    char *answer = NULL;
    char *request = request_text(method, path, headers, body, "close");
    *reply = (struct harness_reply){0};
    harness_raw(harness, request, strlen(request), 3000, &answer);
    free(request);
    char *split = strstr(answer, "\r\n\r\n");
    if (split && sscanf(answer, "HTTP/1.1 %d", &reply->status) == 1) {
        reply->body = strdup(split + 4);
        split[2] = '\0';
        reply->head = strdup(answer);
        reply->json = json_loads(reply->body, 0, NULL);
    }
    free(answer);
}

void harness_reply_free(struct harness_reply *reply)
{
    free(reply->head);
    free(reply->body);
    json_decref(reply->json);
    *reply = (struct harness_reply){0};
}

const char *harness_code(const struct harness_reply *reply)
{
    const char *code = json_string_value(json_object_get(json_object_get(reply->json, "error"), "code"));
    return code ? code : "";
}

void harness_stream_open(struct harness *harness, const char *path, const char *headers,
                         struct harness_stream *stream)
{
    char *request = request_text("GET", path, headers, NULL, "keep-alive");
    *stream = (struct harness_stream){.fd = harness_connect(harness), .text = calloc(1, 1)};
    stream->ssl = handshake(harness, stream->fd);
    if (!stream->ssl || SSL_write(stream->ssl, request, (int)strlen(request)) <= 0)
        give_up("stream");
    free(request);
    while (!strstr(stream->text, "\r\n\r\n")) {
        if (!read_more(stream->ssl, stream->fd, &stream->text, &stream->length, WAIT_MS))
            give_up("head of the stream");
    }
    char *split = strstr(stream->text, "\r\n\r\n") + 4;
    stream->length -= (size_t)(split - stream->text);
    memmove(stream->text, split, stream->length + 1);
}

static void line_value(const char *event, const char *key, char *out, size_t capacity)
{
    const char *at = strstr(event, key);
    out[0] = '\0';
    if (at)
        snprintf(out, capacity, "%.*s", (int)strcspn(at + strlen(key), "\n"), at + strlen(key));
}

bool harness_stream_next(struct harness_stream *stream, char *name, size_t capacity, char *id,
                         size_t id_capacity, json_t **data)
{
    struct mono_time end = mono_add_ms(mono_now(), WAIT_MS);
    static char json[16384];
    for (;;) {
        char *split;
        while ((split = strstr(stream->text, "\n\n"))) {
            *split = '\0';
            bool is_event = strstr(stream->text, "data: ") != NULL;
            if (is_event) {
                line_value(stream->text, "event: ", name, capacity);
                line_value(stream->text, "id: ", id, id_capacity);
                line_value(stream->text, "data: ", json, sizeof(json));
                *data = json_loads(json, 0, NULL);
            }
            stream->length -= (size_t)(split + 2 - stream->text);
            memmove(stream->text, split + 2, stream->length + 1);
            if (is_event)
                return true;
        }
        int64_t left = mono_elapsed_ms(mono_now(), end);
        if (left <= 0 || !read_more(stream->ssl, stream->fd, &stream->text, &stream->length, (unsigned)left))
            return false;
    }
}

void harness_stream_close(struct harness_stream *stream)
{
    hang_up(stream->ssl, stream->fd);
    free(stream->text);
}
