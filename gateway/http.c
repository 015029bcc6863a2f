#include "gateway/http.h"

#include "base/clock.h"
#include "gateway/wipe_heap.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

/* After a peak all are kept: at a gateway that takes 10 s, 50 charges a second are 500 connections. */
#define IDLE_CONNECTIONS_MAX ((long)LIMIT_GATEWAY_IN_FLIGHT)
#define BODY_FIRST_BYTES     4096
#define PEM_BYTES            262144
#define HEADER_LINE_BYTES    2200 /* a request header line: an API key of 1024 bytes fits */

struct http_client {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    struct http_exchange *first;
    size_t in_flight;
    void *authorities; /* PEM; NULL: the system's */
    size_t authorities_length;
    void *certificate; /* PEM, ours; NULL: none */
    size_t certificate_length;
    struct secret *key; /* PEM, of the certificate */
    char proxy[LIMIT_PATH_BYTES];
};

/* One per exchange; answers live in it until the handler returned. */
struct http_exchange {
    struct http_exchange *next, *previous;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers_sent;
    http_answer_h *answer_h;
    void *owner;
    struct mono_time started_at;

    struct secret *request_body;
    size_t request_length;
    bool wipe_body_when_sent;
    size_t request_read; /* bytes curl has taken */
    unsigned begun;      /* how often curl was about to send it */
    bool is_question;
    void *upload_at; /* where it put them */
    size_t upload_length;
    bool is_upload_wiped;

    uint8_t *body;
    size_t body_length, body_capacity;
    char headers[HTTP_HEADER_BYTES];
    size_t header_length;
    size_t header_count;
    bool is_too_large;
};

const char *http_result_name(enum http_result result)
{
    static const char *const names[HTTP_RESULTS] = {"answered", "unreachable", "untrusted", "timed_out",
                                                    "broken",   "too_large",   "malformed"};
    return (unsigned)result < HTTP_RESULTS ? names[result] : "unknown";
}

/* --- the body out --- */

static size_t upload_h(char *to, size_t size, size_t count, void *owner)
{
    struct http_exchange *exchange = owner;
    size_t room = size * count;
    size_t left = exchange->request_length - exchange->request_read;
    size_t taken = left < room ? left : room;
    memcpy(to, secret_bytes(exchange->request_body) + exchange->request_read, taken);
    exchange->request_read += taken;
    if (taken > 0 && !exchange->upload_at) {
        exchange->upload_at = to;
        exchange->upload_length = taken;
    }
    return taken;
}

/* curl asks to begin again when a kept connection turns out to be dead after the body was written to it. It may not:
 * only the step's owner knows whether the request may be sent twice. */
static int rewind_h(void *owner, curl_off_t offset, int origin)
{
    (void)owner;
    (void)offset;
    (void)origin;
    return CURL_SEEKFUNC_FAIL;
}

/* The connection stands and the request is next. A request without a body curl would send again without asking: a
 * question may be, nothing else. */
static int before_request_h(void *owner, char *peer, char *own, int peer_port, int own_port)
{
    struct http_exchange *exchange = owner;
    (void)peer;
    (void)own;
    (void)peer_port;
    (void)own_port;
    return exchange->begun++ > 0 && !exchange->is_question ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void wipe_upload(struct http_exchange *exchange)
{
    if (!exchange->upload_at || exchange->is_upload_wiped)
        return;
    wipe_heap_overwrite(exchange->upload_at, exchange->upload_length);
    if (exchange->wipe_body_when_sent)
        secret_wipe(exchange->request_body);
    exchange->is_upload_wiped = true;
}

/* After each turn of curl: whoever's last byte is with TLS by now needs no plain copy any more. */
static void wipe_sent_uploads(struct http_client *client)
{
    for (struct http_exchange *e = client->first; e; e = e->next) {
        curl_off_t sent = 0;
        if (!e->upload_at || e->is_upload_wiped)
            continue;
        curl_easy_getinfo(e->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
        if ((size_t)sent >= e->request_length)
            wipe_upload(e);
    }
}

/* --- the answer in --- */

static size_t header_h(char *bytes, size_t size, size_t count, void *owner)
{
    struct http_exchange *exchange = owner;
    size_t length = size * count;
    size_t taken = length;
    if (length >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { /* a new answer: after 100 Continue, say */
        exchange->header_length = 0;
        exchange->header_count = 0;
        exchange->headers[0] = '\0';
        return taken;
    }
    while (length > 0 && (bytes[length - 1] == '\r' || bytes[length - 1] == '\n'))
        length--;
    if (length == 0)
        return taken;
    if (++exchange->header_count > HTTP_HEADERS_MAX ||
        length + 2 > sizeof(exchange->headers) - exchange->header_length) {
        exchange->is_too_large = true;
        return 0;
    }
    char *to = exchange->headers + exchange->header_length;
    bool is_name = true;
    for (size_t i = 0; i < length; i++) {
        is_name = is_name && bytes[i] != ':';
        char c = bytes[i] == '\0' ? '?' : bytes[i];
        to[i] = is_name ? (char)tolower((unsigned char)c) : c;
    }
    to[length] = '\n';
    to[length + 1] = '\0';
    exchange->header_length += length + 1;
    return taken;
}

static size_t body_h(char *bytes, size_t size, size_t count, void *owner)
{
    struct http_exchange *exchange = owner;
    size_t length = size * count;
    if (length > LIMIT_HTTP_REPLY_BYTES - exchange->body_length) {
        exchange->is_too_large = true;
        return 0;
    }
    size_t needed = exchange->body_length + length;
    if (needed > exchange->body_capacity) {
        size_t capacity = exchange->body_capacity ? exchange->body_capacity : BODY_FIRST_BYTES;
        while (capacity < needed)
            capacity *= 2;
        uint8_t *grown = wipe_heap_realloc(exchange->body, capacity);
        if (!grown)
            return 0;
        exchange->body = grown;
        exchange->body_capacity = capacity;
    }
    memcpy(exchange->body + exchange->body_length, bytes, length);
    exchange->body_length = needed;
    return length;
}

/* --- one exchange --- */

static void exchange_free(struct http_exchange *exchange)
{
    struct http_client *client = exchange->client;
    wipe_upload(exchange);
    if (exchange->easy) {
        curl_multi_remove_handle(client->multi, exchange->easy);
        curl_easy_cleanup(exchange->easy);
    }
    curl_slist_free_all(exchange->headers_sent);
    wipe_heap_free(exchange->body);
    if (exchange->previous)
        exchange->previous->next = exchange->next;
    else if (client->first == exchange)
        client->first = exchange->next;
    if (exchange->next)
        exchange->next->previous = exchange->previous;
    client->in_flight--;
    wipe_heap_free(exchange);
}

static enum http_result result_of(const struct http_exchange *exchange, CURLcode code)
{
    static const struct {
        CURLcode code;
        enum http_result result;
    } rows[] = {
        {CURLE_OK, HTTP_ANSWERED},
        {CURLE_COULDNT_RESOLVE_HOST, HTTP_UNREACHABLE},
        {CURLE_COULDNT_CONNECT, HTTP_UNREACHABLE},
        {CURLE_OPERATION_TIMEDOUT, HTTP_TIMED_OUT},
        {CURLE_SSL_CONNECT_ERROR, HTTP_UNTRUSTED},
        {CURLE_PEER_FAILED_VERIFICATION, HTTP_UNTRUSTED},
        {CURLE_SSL_CACERT_BADFILE, HTTP_UNTRUSTED},
        {CURLE_SSL_CERTPROBLEM, HTTP_UNTRUSTED},
        {CURLE_SSL_CIPHER, HTTP_UNTRUSTED},
        {CURLE_SSL_ISSUER_ERROR, HTTP_UNTRUSTED},
        {CURLE_SSL_INVALIDCERTSTATUS, HTTP_UNTRUSTED},
        {CURLE_UNSUPPORTED_PROTOCOL, HTTP_MALFORMED},
        {CURLE_WEIRD_SERVER_REPLY, HTTP_MALFORMED},
        {CURLE_BAD_CONTENT_ENCODING, HTTP_MALFORMED},
        {CURLE_FILESIZE_EXCEEDED, HTTP_TOO_LARGE},
    };
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    /* One header line past curl's own bound is told as "out of memory". */
    if (exchange->is_too_large || (code == CURLE_OUT_OF_MEMORY && status > 0))
        return HTTP_TOO_LARGE;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].code == code)
            return rows[i].result;
    }
    return HTTP_BROKEN;
}

static void finish(struct http_exchange *exchange, CURLcode code)
{
    struct http_answer answer = {.result = result_of(exchange, code), .headers = exchange->headers};
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    answer.status = status > 0 ? (unsigned)status : 0;
    answer.is_sent = exchange->begun > 0;
    answer.body = exchange->body;
    answer.body_length = exchange->body_length;
    answer.ms = (double)(mono_now().ns - exchange->started_at.ns) / (double)NS_PER_MS;
    wipe_upload(exchange);
    exchange->answer_h(exchange->owner, &answer);
    exchange_free(exchange);
}

static void finish_done(struct http_client *client)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct http_exchange *exchange = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&exchange);
        finish(exchange, message->data.result);
    }
}

/* --- curl on the loop --- */

static void turn(struct http_client *client, curl_socket_t socket, int action)
{
    int running;
    curl_multi_socket_action(client->multi, socket, action, &running);
    wipe_sent_uploads(client);
    finish_done(client);
}

static void timer_fired(evutil_socket_t fd, short what, void *owner)
{
    (void)fd;
    (void)what;
    turn(owner, CURL_SOCKET_TIMEOUT, 0);
}

static void socket_ready(evutil_socket_t fd, short what, void *owner)
{
    int action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    turn(owner, fd, action);
}

/* A callback that fails makes curl give the whole multi handle up, with no word to those who wait. When there is no
 * memory for one event the role had better die: it is restarted, and the vault knows what that means. */
static int timer_wanted_h(CURLM *multi, long timeout_ms, void *owner)
{
    struct http_client *client = owner;
    (void)multi;
    struct timeval after = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    ASSERT((timeout_ms < 0 ? event_del(client->timer) : event_add(client->timer, &after)) == 0);
    return 0;
}

static int socket_wanted_h(CURL *easy, curl_socket_t socket, int what, void *owner, void *watched)
{
    struct http_client *client = owner;
    struct event *event = watched;
    (void)easy;
    if (event) {
        event_free(event); /* deletes it too */
        curl_multi_assign(client->multi, socket, NULL);
    }
    if (what == CURL_POLL_REMOVE)
        return 0;
    short wanted = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    event = event_new(client->base, socket, (short)(wanted | EV_PERSIST), socket_ready, client);
    ASSERT(event && event_add(event, NULL) == 0);
    curl_multi_assign(client->multi, socket, event);
    return 0;
}

/* Read once, so that the role needs neither the path nor the right to it behind its wall. *bytes is the caller's. */
static enum err read_pem(const char *path, void **bytes, size_t *length)
{
    FILE *file = fopen(path, "rbe");
    *bytes = wipe_heap_malloc(PEM_BYTES);
    *length = file && *bytes ? fread(*bytes, 1, PEM_BYTES, file) : 0;
    bool is_whole = file && feof(file);
    if (file)
        fclose(file);
    return is_whole && *length > 0 ? OK : ERR_SYSTEM;
}

static enum err read_key(const char *path, struct secret **key)
{
    void *bytes = NULL;
    size_t length = 0, capacity = 0;
    enum err err = read_pem(path, &bytes, &length);
    if (!err && length > SECRET_CAPACITY_MAX)
        err = ERR_LENGTH;
    if (!err)
        err = secret_new(key, SECRET_CAPACITY_MAX);
    if (!err) {
        memcpy(secret_buffer(*key, &capacity), bytes, length);
        secret_set_length(*key, length);
    }
    wipe_heap_free(bytes);
    return err;
}

static enum err read_files(struct http_client *client, const struct http_client_settings *settings)
{
    enum err err = OK;
    if (settings->ca_path && settings->ca_path[0])
        err = read_pem(settings->ca_path, &client->authorities, &client->authorities_length);
    bool has_certificate = settings->certificate_path && settings->certificate_path[0];
    if (!err && has_certificate)
        err = read_pem(settings->certificate_path, &client->certificate, &client->certificate_length);
    if (!err && has_certificate)
        err = read_key(settings->key_path, &client->key);
    return err;
}

enum err http_client_new(struct http_client **out, struct event_base *base, const char *ca_path)
{
    return http_client_open(out, base, &(struct http_client_settings){.ca_path = ca_path});
}

enum err http_client_open(struct http_client **out, struct event_base *base,
                          const struct http_client_settings *settings)
{
    struct http_client *client = wipe_heap_calloc(1, sizeof(*client));
    *out = NULL;
    if (!client)
        return ERR_MEMORY;
    client->base = base;
    snprintf(client->proxy, sizeof(client->proxy), "%s", settings->proxy ? settings->proxy : "");
    enum err err = read_files(client, settings);
    if (err) {
        http_client_free(client);
        return err;
    }
    client->multi = curl_multi_init();
    client->timer = evtimer_new(base, timer_fired, client);
    if (!client->multi || !client->timer) {
        http_client_free(client);
        return ERR_MEMORY;
    }
    struct timeval later = {3600, 0}; /* takes its place in the base's heap now */
    if (event_add(client->timer, &later) != 0 || event_del(client->timer) != 0) {
        http_client_free(client);
        return ERR_MEMORY;
    }
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted_h);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, timer_wanted_h);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX);
    curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    *out = client;
    return OK;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    while (client->first)
        exchange_free(client->first);
    if (client->multi)
        curl_multi_cleanup(client->multi);
    if (client->timer)
        event_free(client->timer);
    wipe_heap_free(client->authorities);
    wipe_heap_free(client->certificate);
    secret_free(client->key);
    wipe_heap_free(client);
}

static enum err set_headers(struct http_exchange *exchange, const char *lines)
{
    /* "Expect:" without a value takes curl's own out. */
    static const char *const own[] = {"Expect:", "User-Agent: tonegate"};
    char line[HEADER_LINE_BYTES];
    enum err err = OK;
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]) && !err; i++) {
        list = curl_slist_append(exchange->headers_sent, own[i]);
        exchange->headers_sent = list ? list : exchange->headers_sent;
        err = list ? OK : ERR_MEMORY;
    }
    while (lines && *lines && !err) {
        size_t length = strcspn(lines, "\n");
        if (length >= sizeof(line) || lines[length] != '\n') {
            err = ERR_SYNTAX;
            break;
        }
        memcpy(line, lines, length);
        line[length] = '\0';
        list = curl_slist_append(exchange->headers_sent, line);
        exchange->headers_sent = list ? list : exchange->headers_sent;
        err = list ? OK : ERR_MEMORY;
        lines += length + 1;
    }
    wipe(line, sizeof(line));
    return err;
}

/* Every option that must never be otherwise. One refused makes the exchange fail. */
static CURLcode set_guards(CURL *easy, const struct http_client *client)
{
    CURLcode code = CURLE_OK;
    code |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    code |= curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    code |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    code |=
        curl_easy_setopt(easy, CURLOPT_PROXY, client->proxy); /* empty: none, whatever the environment says */
    code |= curl_easy_setopt(easy, CURLOPT_HEADEROPT,
                             (long)CURLHEADER_SEPARATE); /* the proxy gets none of ours */
    code |= curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    code |= curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    code |= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    code |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    code |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    code |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    code |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL);
    code |= curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    code |= curl_easy_setopt(easy, CURLOPT_VERBOSE, 0L);
    code |= curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    code |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Without it curl waits for a resolver's thread when a look-up times out: the loop stands still for as long as the
     * name server does not answer, and a role without heartbeat is killed. */
    code |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    code |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    code |= curl_easy_setopt(easy, CURLOPT_MAXFILESIZE, (long)LIMIT_HTTP_REPLY_BYTES);
    if (client->authorities) {
        struct curl_blob pem = {client->authorities, client->authorities_length, CURL_BLOB_NOCOPY};
        code |= curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        code |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        code |= curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &pem);
    }
    if (client->certificate) {
        struct curl_blob pem = {client->certificate, client->certificate_length, CURL_BLOB_NOCOPY};
        struct curl_blob key = {(void *)(uintptr_t)secret_bytes(client->key), secret_length(client->key),
                                CURL_BLOB_NOCOPY};
        code |= curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &pem);
        code |= curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key);
    }
    return code;
}

static CURLcode set_request(struct http_exchange *exchange, const struct http_request *request)
{
    CURL *easy = exchange->easy;
    bool has_body = request->body && secret_length(request->body) > 0;
    bool is_get = strcmp(request->method, "GET") == 0;
    CURLcode code = CURLE_OK;
    code |= curl_easy_setopt(easy, CURLOPT_URL, request->url);
    code |= curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    code |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers_sent);
    code |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
    code |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    code |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_h);
    code |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    code |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_h);
    code |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    code |= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request_h);
    code |= curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    exchange->is_question = is_get;
    if (request->is_metadata)
        code |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    if (is_get) {
        code |= curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        return code;
    }
    code |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
    if (strcmp(request->method, "POST") != 0)
        code |= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (has_body) {
        exchange->request_body = request->body;
        exchange->request_length = secret_length(request->body);
        exchange->wipe_body_when_sent = request->wipe_body_when_sent;
        code |= curl_easy_setopt(easy, CURLOPT_READFUNCTION, upload_h);
        code |= curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
        code |= curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_h);
        code |= curl_easy_setopt(easy, CURLOPT_SEEKDATA, exchange);
        code |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->request_length);
    } else {
        code |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
        code |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
    }
    return code;
}

/* The machine's own services, which speak no TLS; loopback stands for them in tests and sandboxes. */
static bool is_metadata_url(const char *url)
{
    static const char *const hosts[] = {"http://169.254.170.2", "http://169.254.169.254", "http://127.0.0.1"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t length = strlen(hosts[i]);
        if (strncmp(url, hosts[i], length) == 0 && (url[length] == ':' || url[length] == '/'))
            return true;
    }
    return false;
}

enum err http_start(struct http_exchange **out, struct http_client *client,
                    const struct http_request *request, http_answer_h *answer_h, void *owner)
{
    if (out)
        *out = NULL;
    if (client->in_flight >= LIMIT_GATEWAY_IN_FLIGHT)
        return ERR_FULL;
    bool is_allowed =
        strncmp(request->url, "https://", 8) == 0 || (request->is_metadata && is_metadata_url(request->url));
    if (!is_allowed || strlen(request->url) >= HTTP_URL_BYTES)
        return ERR_SYNTAX;
    struct http_exchange *exchange = wipe_heap_calloc(1, sizeof(*exchange));
    if (!exchange)
        return ERR_MEMORY;
    exchange->client = client;
    exchange->answer_h = answer_h;
    exchange->owner = owner;
    exchange->started_at = mono_now();
    exchange->next = client->first;
    if (client->first)
        client->first->previous = exchange;
    client->first = exchange;
    client->in_flight++;
    exchange->easy = curl_easy_init();
    enum err err = exchange->easy ? set_headers(exchange, request->headers) : ERR_MEMORY;
    if (!err && (set_guards(exchange->easy, client) || set_request(exchange, request)))
        err = ERR_MEMORY;
    if (!err && curl_multi_add_handle(client->multi, exchange->easy) != CURLM_OK)
        err = ERR_MEMORY;
    if (err) {
        exchange_free(exchange);
        return err;
    }
    if (out)
        *out = exchange;
    return OK;
}

void http_cancel(struct http_exchange *exchange)
{
    if (exchange)
        exchange_free(exchange);
}

size_t http_in_flight(const struct http_client *client)
{
    return client->in_flight;
}
