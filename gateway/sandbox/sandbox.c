#include "gateway/sandbox/sandbox.h"

#include "base/limits.h"
#include "gateway/form.h"
#include "gateway/sandbox/stripe_model.h"
#include "gateway/wipe_heap.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEYS_MAX      65536
#define KEY_BYTES     256
#define FAULTS_MAX    32
#define PRINT_BYTES   32
#define SILENT_MS     120000
#define CONNECTION_S  180
#define PATH_BYTES    192
#define HEADERS_BYTES 16384

enum fault_kind {
    FAULT_NONE,
    FAULT_DELAY,
    FAULT_SLOW,
    FAULT_STATUS,
    FAULT_RESET,
    FAULT_LOST,
    FAULT_SILENT,
    FAULT_WRONG_AMOUNT,
    FAULT_WRONG_CURRENCY,
    FAULT_OTHER_ORDER,
    FAULT_GARBAGE,
    FAULT_DECLINED,
    FAULT_KINDS
};
static const char *const fault_names[FAULT_KINDS] = {
    "none",   "delay",        "slow",           "status",      "reset",   "lost",
    "silent", "wrong_amount", "wrong_currency", "other_order", "garbage", "declined"};

struct fault {
    enum fault_kind kind;
    char operation[16];
    unsigned times;
    unsigned ms;
    unsigned status;
};

/* One idempotency key and its first answer. */
struct kept {
    char key[KEY_BYTES];
    uint8_t print[PRINT_BYTES]; /* of path and body, under a key of this process */
    unsigned status;
    char *text; /* NULL: the first request is under way */
    bool is_under_way;
};

struct sandbox {
    struct event_base *base;
    struct evhttp *http;
    SSL_CTX *tls;
    struct stripe_model *model;
    struct secret *api_key;
    uint8_t print_key[PRINT_BYTES];
    int ledger_fd;
    json_t *ledger;
    in_port_t port;
    struct kept *kept;
    size_t kept_count, kept_room;
    struct fault faults[FAULTS_MAX];
    size_t fault_count;
};

/* An answer on its way, perhaps held back. */
struct reply {
    struct sandbox *sandbox;
    struct evhttp_request *request;
    unsigned status;
    char *text;
    bool is_replayed;
    bool is_reset;
    size_t kept; /* index + 1 of the key this answer ends; 0: none */
};

/* --- answers --- */

static void reply_free(struct reply *reply)
{
    if (reply->kept)
        reply->sandbox->kept[reply->kept - 1].is_under_way = false;
    wipe_heap_free(reply->text);
    wipe_heap_free(reply);
}

static void reset(struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct linger now = {1, 0};
    if (!connection) { /* the peer went first; this frees the request */
        evhttp_send_reply(request, 500, "", NULL);
        return;
    }
    struct bufferevent *stream = evhttp_connection_get_bufferevent(connection);
    setsockopt(bufferevent_getfd(stream), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    evhttp_connection_free(connection);
}

static const char *phrase(unsigned status)
{
    return status < 300 ? "OK" : status < 500 ? "Refused" : "Failed";
}

static void reply_now(evutil_socket_t fd, short what, void *owner)
{
    struct reply *reply = owner;
    (void)fd;
    (void)what;
    if (reply->is_reset) {
        reset(reply->request);
        reply_free(reply);
        return;
    }
    struct evkeyvalq *headers = evhttp_request_get_output_headers(reply->request);
    struct evbuffer *body = evbuffer_new();
    evhttp_add_header(headers, "Content-Type", "application/json");
    if (reply->is_replayed)
        evhttp_add_header(headers, "Idempotent-Replayed", "true");
    if (body && reply->text)
        evbuffer_add(body, reply->text, strlen(reply->text));
    evhttp_send_reply(reply->request, (int)reply->status, phrase(reply->status), body);
    if (body)
        evbuffer_free(body);
    reply_free(reply);
}

static void reply_after(struct reply *reply, unsigned ms)
{
    struct timeval after = {ms / 1000, ms % 1000 * 1000};
    if (event_base_once(reply->sandbox->base, -1, EV_TIMEOUT, reply_now, reply, &after) != 0)
        reply_now(-1, 0, reply);
}

static struct reply *reply_new(struct sandbox *sandbox, struct evhttp_request *request, unsigned status,
                               char *text)
{
    struct reply *reply = wipe_heap_calloc(1, sizeof(*reply));
    if (!reply)
        abort(); /* a test tool: better a dead one than one that answers wrongly */
    reply->sandbox = sandbox;
    reply->request = request;
    reply->status = status;
    reply->text = text;
    return reply;
}

static void answer_json(struct sandbox *sandbox, struct evhttp_request *request, unsigned status,
                        json_t *body)
{
    reply_after(reply_new(sandbox, request, status, json_dumps(body, JSON_COMPACT)), 0);
    json_decref(body);
}

static void answer_error(struct sandbox *sandbox, struct evhttp_request *request, unsigned status,
                         const char *type, const char *code, const char *message)
{
    answer_json(sandbox, request, status, stripe_model_error(type, code, message, NULL));
}

/* --- who asks --- */

static bool is_key(const struct sandbox *sandbox, const char *given, size_t length)
{
    return length == secret_length(sandbox->api_key) &&
           CRYPTO_memcmp(given, secret_bytes(sandbox->api_key), length) == 0;
}

static bool is_authorised(const struct sandbox *sandbox, struct evhttp_request *request)
{
    const char *line = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    if (!line)
        return false;
    if (strncmp(line, "Bearer ", 7) == 0)
        return is_key(sandbox, line + 7, strlen(line + 7));
    uint8_t user[512]; /* Basic, the key as user name and no password */
    size_t length = strlen(line);
    if (strncmp(line, "Basic ", 6) != 0 || length - 6 > sizeof(user) || (length - 6) % 4)
        return false;
    int decoded = EVP_DecodeBlock(user, (const unsigned char *)line + 6, (int)length - 6);
    const uint8_t *colon = decoded > 0 ? memchr(user, ':', (size_t)decoded) : NULL;
    bool is_right = colon && is_key(sandbox, (const char *)user, (size_t)(colon - user));
    wipe(user, sizeof(user));
    return is_right;
}

/* --- idempotency --- */

static void print_request(const struct sandbox *sandbox, const char *path, const uint8_t *body, size_t length,
                          uint8_t *print)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned made = 0;
    if (!digest || !EVP_DigestInit_ex(digest, EVP_sha256(), NULL) ||
        !EVP_DigestUpdate(digest, sandbox->print_key, PRINT_BYTES) ||
        !EVP_DigestUpdate(digest, path, strlen(path) + 1) || !EVP_DigestUpdate(digest, body, length) ||
        !EVP_DigestFinal_ex(digest, print, &made))
        abort();
    EVP_MD_CTX_free(digest);
}

static struct kept *find_kept(struct sandbox *sandbox, const char *key)
{
    for (size_t i = 0; i < sandbox->kept_count; i++) {
        if (strcmp(sandbox->kept[i].key, key) == 0)
            return &sandbox->kept[i];
    }
    return NULL;
}

static struct kept *add_kept(struct sandbox *sandbox, const char *key, const uint8_t *print)
{
    if (sandbox->kept_count == KEYS_MAX)
        return NULL;
    if (sandbox->kept_count == sandbox->kept_room) {
        size_t room = sandbox->kept_room ? sandbox->kept_room * 2 : 256;
        struct kept *grown = wipe_heap_realloc(sandbox->kept, room * sizeof(*grown));
        if (!grown)
            return NULL;
        sandbox->kept = grown;
        sandbox->kept_room = room;
    }
    struct kept *kept = &sandbox->kept[sandbox->kept_count++];
    memset(kept, 0, sizeof(*kept));
    snprintf(kept->key, sizeof(kept->key), "%s", key);
    memcpy(kept->print, print, PRINT_BYTES);
    return kept;
}

/* True: the request was answered from what is kept, or refused. */
static bool answer_kept(struct sandbox *sandbox, struct evhttp_request *request, struct kept *kept,
                        const uint8_t *print)
{
    if (!kept->is_under_way && !kept->text) { /* the first try was refused before it began */
        memcpy(kept->print, print, PRINT_BYTES);
        return false;
    }
    if (memcmp(kept->print, print, PRINT_BYTES) != 0) {
        answer_error(sandbox, request, 400, "idempotency_error", NULL,
                     "Keys for idempotent requests can only be used with the same parameters.");
        return true;
    }
    if (kept->is_under_way) {
        answer_error(sandbox, request, 409, "idempotency_error", "idempotency_key_in_use",
                     "There is currently another in-progress request using this key.");
        return true;
    }
    struct reply *reply = reply_new(sandbox, request, kept->status, wipe_heap_strdup(kept->text));
    reply->is_replayed = true;
    reply_after(reply, 0);
    return true;
}

/* --- faults --- */

static const char *operation_of(const char *method, const char *path)
{
    size_t length = strlen(path);
    if (strcmp(method, "GET") == 0)
        return "status";
    if (strcmp(path, "/v1/payment_methods") == 0)
        return "tokenise";
    if (strcmp(path, "/v1/payment_intents") == 0)
        return "create";
    if (length > 8 && strcmp(path + length - 8, "/confirm") == 0)
        return "confirm";
    return "abandon";
}

static struct fault take_fault(struct sandbox *sandbox, const char *operation)
{
    struct fault none = {.kind = FAULT_NONE};
    for (size_t i = 0; i < sandbox->fault_count; i++) {
        struct fault *fault = &sandbox->faults[i];
        bool fits = strcmp(fault->operation, "any") == 0 || strcmp(fault->operation, operation) == 0;
        if (!fits || fault->times == 0)
            continue;
        fault->times--;
        return *fault;
    }
    return none;
}

static bool read_fault(struct fault *fault, char *form, size_t length)
{
    struct form_reader reader;
    char *key, *value;
    *fault = (struct fault){.operation = "any", .times = 1};
    form_read(&reader, form, length);
    while (form_next(&reader, &key, &value) == OK) {
        if (strcmp(key, "operation") == 0)
            snprintf(fault->operation, sizeof(fault->operation), "%s", value);
        else if (strcmp(key, "times") == 0)
            fault->times = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(key, "ms") == 0)
            fault->ms = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(key, "status") == 0)
            fault->status = (unsigned)strtoul(value, NULL, 10);
        for (size_t i = 1; strcmp(key, "kind") == 0 && i < FAULT_KINDS; i++)
            fault->kind = strcmp(value, fault_names[i]) == 0 ? (enum fault_kind)i : fault->kind;
    }
    bool needs_status = fault->kind == FAULT_STATUS;
    return fault->kind != FAULT_NONE && (!needs_status || (fault->status >= 400 && fault->status <= 599));
}

static void take_fault_form(struct sandbox *sandbox, struct evhttp_request *request, char *form,
                            size_t length)
{
    struct fault fault;
    if (length == 10 && memcmp(form, "kind=clear", 10) == 0) {
        sandbox->fault_count = 0;
        answer_json(sandbox, request, 200, json_pack("{s:b}", "ok", 1));
        return;
    }
    if (!read_fault(&fault, form, length)) {
        answer_error(sandbox, request, 400, "invalid_request_error", NULL, "No such fault.");
        return;
    }
    size_t at = sandbox->fault_count;
    for (size_t i = 0; i < sandbox->fault_count; i++)
        at = sandbox->faults[i].times == 0 ? i : at;
    if (at == FAULTS_MAX) {
        answer_error(sandbox, request, 429, "invalid_request_error", NULL, "Too many faults.");
        return;
    }
    sandbox->faults[at] = fault;
    if (at == sandbox->fault_count)
        sandbox->fault_count++;
    answer_json(sandbox, request, 200, json_pack("{s:b}", "ok", 1));
}

/* Makes the answer wrong in the way that was ordered. */
static void spoil(json_t *body, const struct fault *fault)
{
    if (fault->kind == FAULT_WRONG_AMOUNT)
        json_object_set_new(body, "amount",
                            json_integer(json_integer_value(json_object_get(body, "amount")) + 1));
    if (fault->kind == FAULT_WRONG_CURRENCY)
        json_object_set_new(body, "currency", json_string("xts"));
    if (fault->kind == FAULT_OTHER_ORDER) {
        json_object_set_new(body, "id", json_string("pi_anotherordersanswerxxxxx"));
        json_object_set_new(body, "metadata", json_pack("{s:s}", "capture_id", "cap_anotheranotherab"));
    }
}

/* --- one request --- */

/* A request on its way through; held back while the fault "slow" lasts. */
struct job {
    struct sandbox *sandbox;
    struct evhttp_request *request;
    char method[8];
    char path[PATH_BYTES];
    char *form; /* length + 1 bytes */
    size_t length;
    size_t kept;
    struct fault fault;
};

static void carry_out(struct job *job)
{
    struct sandbox *sandbox = job->sandbox;
    const struct fault *fault = &job->fault;
    json_t *body = NULL;
    bool is_kept = true;
    unsigned status = fault->status;
    if (fault->kind == FAULT_DECLINED) {
        body = stripe_model_error("card_error", "card_declined", "Your card was declined.", NULL);
        status = 402;
    } else if (fault->kind == FAULT_STATUS) {
        body = stripe_model_error("api_error", NULL, "An ordered fault.", NULL);
        is_kept = status == 500;
    } else if (fault->kind == FAULT_RESET) {
        is_kept = false;
    } else {
        status = stripe_model_call(sandbox->model, job->method, job->path, job->form, job->length, &body,
                                   &is_kept);
        spoil(body, fault);
    }
    char *text = fault->kind == FAULT_GARBAGE ? wipe_heap_strdup("<html>not what you asked for")
                                              : json_dumps(body, JSON_COMPACT);
    json_decref(body);
    struct reply *reply = reply_new(sandbox, job->request, status, text);
    if (job->kept) {
        struct kept *kept = &sandbox->kept[job->kept - 1];
        kept->status = status;
        kept->text = is_kept && text ? wipe_heap_strdup(text) : NULL;
        reply->kept = job->kept;
    }
    reply->is_reset = fault->kind == FAULT_RESET || fault->kind == FAULT_LOST || fault->kind == FAULT_SILENT;
    unsigned ms = fault->kind == FAULT_DELAY ? fault->ms : 0;
    reply_after(reply, fault->kind == FAULT_SILENT ? SILENT_MS : ms);
}

static void job_due(evutil_socket_t fd, short what, void *owner)
{
    struct job *job = owner;
    (void)fd;
    (void)what;
    carry_out(job);
    wipe_heap_free(job->form);
    wipe_heap_free(job);
}

static void take_job(struct job *job)
{
    struct timeval after = {job->fault.ms / 1000, job->fault.ms % 1000 * 1000};
    if (job->kept)
        job->sandbox->kept[job->kept - 1].is_under_way = true;
    if (job->fault.kind != FAULT_SLOW) {
        carry_out(job);
        return;
    }
    struct job *held = wipe_heap_calloc(1, sizeof(*held));
    char *form = wipe_heap_malloc(job->length + 1);
    if (!held || !form)
        abort();
    *held = *job;
    held->form = memcpy(form, job->form, job->length + 1);
    if (event_base_once(job->sandbox->base, -1, EV_TIMEOUT, job_due, held, &after) != 0)
        abort();
}

static void serve_stripe(struct sandbox *sandbox, struct evhttp_request *request, const char *method,
                         const char *path, char *form, size_t length)
{
    const char *key = evhttp_find_header(evhttp_request_get_input_headers(request), "Idempotency-Key");
    uint8_t print[PRINT_BYTES];
    size_t kept_at = 0;
    if (key && strcmp(method, "POST") == 0) {
        if (strlen(key) >= KEY_BYTES) {
            answer_error(sandbox, request, 400, "idempotency_error", NULL, "The key is too long.");
            return;
        }
        print_request(sandbox, path, (const uint8_t *)form, length, print);
        struct kept *kept = find_kept(sandbox, key);
        if (kept && answer_kept(sandbox, request, kept, print))
            return;
        if (!kept)
            kept = add_kept(sandbox, key, print);
        kept_at = kept ? (size_t)(kept - sandbox->kept) + 1 : 0;
    }
    struct job job = {.sandbox = sandbox,
                      .request = request,
                      .form = form,
                      .length = length,
                      .kept = kept_at,
                      .fault = take_fault(sandbox, operation_of(method, path))};
    snprintf(job.method, sizeof(job.method), "%s", method);
    snprintf(job.path, sizeof(job.path), "%s", path);
    take_job(&job);
}

static void serve(struct sandbox *sandbox, struct evhttp_request *request, const char *method, char *form,
                  size_t length)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    const char *type = evhttp_find_header(evhttp_request_get_input_headers(request), "Content-Type");
    bool is_form = type && strncmp(type, "application/x-www-form-urlencoded", 33) == 0;
    if (!is_authorised(sandbox, request))
        answer_error(sandbox, request, 401, "invalid_request_error", NULL, "Invalid API Key provided.");
    else if (!path || strlen(path) >= PATH_BYTES)
        answer_error(sandbox, request, 404, "invalid_request_error", NULL, "Unrecognized request URL.");
    else if (length > 0 && !is_form)
        answer_error(sandbox, request, 400, "invalid_request_error", NULL, "The body must be a form.");
    else if (strcmp(path, "/_sandbox/ledger") == 0)
        answer_json(sandbox, request, 200, json_incref(sandbox->ledger));
    else if (strcmp(path, "/_sandbox/fault") == 0 && strcmp(method, "POST") == 0)
        take_fault_form(sandbox, request, form, length);
    else
        serve_stripe(sandbox, request, method, path, form, length);
}

static void request_h(struct evhttp_request *request, void *owner)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    size_t length = evbuffer_get_length(input);
    bool is_get = evhttp_request_get_command(request) == EVHTTP_REQ_GET;
    char *form = wipe_heap_malloc(length + 1);
    if (!form)
        abort();
    length = (size_t)evbuffer_remove(input, form, length);
    form[length] = '\0';
    serve(owner, request, is_get ? "GET" : "POST", form, length);
    wipe_heap_free(form);
}

/* --- life --- */

static void book_h(void *owner, const json_t *line)
{
    struct sandbox *sandbox = owner;
    json_array_append_new(sandbox->ledger, json_deep_copy(line));
    if (sandbox->ledger_fd < 0)
        return;
    char *text = json_dumps(line, JSON_COMPACT);
    if (text && dprintf(sandbox->ledger_fd, "%s\n", text) < 0)
        abort();
    wipe_heap_free(text);
}

static struct bufferevent *stream_h(struct event_base *base, void *owner)
{
    struct sandbox *sandbox = owner;
    SSL *tls = SSL_new(sandbox->tls);
    if (!tls)
        return NULL;
    struct bufferevent *stream =
        bufferevent_openssl_socket_new(base, -1, tls, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!stream)
        SSL_free(tls);
    else
        bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
    return stream;
}

static enum err open_tls(struct sandbox *sandbox, const struct sandbox_options *options)
{
    sandbox->tls = SSL_CTX_new(TLS_server_method());
    if (!sandbox->tls || !SSL_CTX_set_min_proto_version(sandbox->tls, TLS1_2_VERSION) ||
        SSL_CTX_use_certificate_chain_file(sandbox->tls, options->certificate_path) != 1 ||
        SSL_CTX_use_PrivateKey_file(sandbox->tls, options->key_path, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(sandbox->tls) != 1)
        return ERR_TLS;
    SSL_CTX_set_mode(sandbox->tls, SSL_MODE_RELEASE_BUFFERS);
    return OK;
}

static enum err open_http(struct sandbox *sandbox, const struct sandbox_options *options)
{
    char address[INET_ADDRSTRLEN];
    struct sockaddr_in bound = {0};
    socklen_t size = sizeof(bound);
    sandbox->http = evhttp_new(sandbox->base);
    if (!sandbox->http)
        return ERR_MEMORY;
    evhttp_set_max_body_size(sandbox->http, LIMIT_HTTP_REQUEST_BYTES);
    evhttp_set_max_headers_size(sandbox->http, HEADERS_BYTES);
    evhttp_set_timeout(sandbox->http, CONNECTION_S);
    evhttp_set_allowed_methods(sandbox->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_bevcb(sandbox->http, stream_h, sandbox);
    evhttp_set_gencb(sandbox->http, request_h, sandbox);
    inet_ntop(AF_INET, &options->listen.sin_addr, address, sizeof(address));
    struct evhttp_bound_socket *socket =
        evhttp_bind_socket_with_handle(sandbox->http, address, ntohs(options->listen.sin_port));
    /* Accepted sockets inherit it: without, each answer waits 40 ms for a delayed acknowledgement. */
    int now = 1;
    if (!socket ||
        setsockopt(evhttp_bound_socket_get_fd(socket), IPPROTO_TCP, TCP_NODELAY, &now, sizeof(now)) != 0 ||
        getsockname(evhttp_bound_socket_get_fd(socket), (struct sockaddr *)&bound, &size) != 0)
        return ERR_SYSTEM;
    sandbox->port = ntohs(bound.sin_port);
    return OK;
}

enum err sandbox_new(struct sandbox **out, struct event_base *base, const struct sandbox_options *options)
{
    struct stripe_model_options model = {.refuse_moto = options->refuse_moto, .ledger_h = book_h};
    *out = NULL;
    struct sandbox *sandbox = wipe_heap_calloc(1, sizeof(*sandbox));
    if (!sandbox) {
        secret_free(options->api_key);
        return ERR_MEMORY;
    }
    sandbox->base = base;
    sandbox->api_key = options->api_key;
    sandbox->ledger_fd = -1;
    sandbox->ledger = json_array();
    model.owner = sandbox;
    enum err err = OK;
    if (ntohl(options->listen.sin_addr.s_addr) >> 24 != 127)
        err = ERR_RANGE;
    if (!err && RAND_bytes(sandbox->print_key, PRINT_BYTES) != 1)
        err = ERR_SYSTEM;
    if (!err && options->ledger_path) {
        sandbox->ledger_fd = open(options->ledger_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        err = sandbox->ledger_fd < 0 ? ERR_SYSTEM : OK;
    }
    if (!err)
        err = stripe_model_new(&sandbox->model, &model);
    if (!err)
        err = open_tls(sandbox, options);
    if (!err)
        err = open_http(sandbox, options);
    if (err) {
        sandbox_free(sandbox);
        return err;
    }
    *out = sandbox;
    return OK;
}

void sandbox_free(struct sandbox *sandbox)
{
    if (!sandbox)
        return;
    if (sandbox->http)
        evhttp_free(sandbox->http);
    SSL_CTX_free(sandbox->tls);
    stripe_model_free(sandbox->model);
    secret_free(sandbox->api_key);
    json_decref(sandbox->ledger);
    for (size_t i = 0; i < sandbox->kept_count; i++)
        wipe_heap_free(sandbox->kept[i].text);
    wipe_heap_free(sandbox->kept);
    if (sandbox->ledger_fd >= 0)
        close(sandbox->ledger_fd);
    wipe_heap_free(sandbox);
}

in_port_t sandbox_port(const struct sandbox *sandbox)
{
    return sandbox->port;
}
