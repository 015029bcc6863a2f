#include "gateway/tests/fake/fake_gateway.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#define REQUEST_BYTES 16384
#define HUGE_BYTES    (10u << 20)
#define FOREVER_S     600

/* Long enough that an answer can be cut at each of its first 512 bytes. */
#define PAD "................................................................"
static const char right_body[] =
    "{\"id\":\"pm_rightrightrightright\",\"object\":\"payment_method\",\"type\":\"card\","
    "\"metadata\":{\"pad\":\"" PAD PAD PAD PAD PAD PAD PAD "\"}}";

struct visit {
    struct fake *fake;
    enum fake_behaviour behaviour;
    unsigned argument;
    unsigned number; /* of the request, over all connections */
    int fd;
    SSL *tls;
    char request[REQUEST_BYTES + 1];
    size_t length;
};

const char *fake_behaviour_name(enum fake_behaviour behaviour)
{
    static const char *const names[FAKE_BEHAVIOURS] = {
        "closed port",  "black hole", "no TLS",       "old TLS",
        "stranger",     "wrong name", "expired",      "silence",
        "trickle",      "reset at",   "close at",     "garbage",
        "html",         "truncated",  "deep JSON",    "huge header",
        "many headers", "huge body",  "endless body", "gzip bomb",
        "not HTTP",     "HTTP/0.9",   "redirect",     "echo",
        "right",        "twice",      "late",         "drops kept",
        "status",       "PayPal",     "script",       "wants certificate"};
    return names[behaviour];
}

/* --- sending --- */

static int say(struct visit *visit, const void *bytes, size_t length)
{
    return SSL_write(visit->tls, bytes, (int)length) == (int)length;
}

static int say_text(struct visit *visit, const char *text)
{
    return say(visit, text, strlen(text));
}

static size_t make_answer(char *out, size_t capacity, const char *body)
{
    return (size_t)snprintf(
        out, capacity, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(body), body);
}

static void say_body(struct visit *visit, const char *body)
{
    char answer[4096];
    say(visit, answer, make_answer(answer, sizeof(answer), body));
}

size_t fake_right_answer_length(void)
{
    char answer[1024];
    return make_answer(answer, sizeof(answer), right_body);
}

static void reset_connection(struct visit *visit)
{
    struct linger now = {1, 0};
    setsockopt(visit->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* --- the behaviours; each returns 1 when the connection may be kept --- */

static int silence(struct visit *visit)
{
    (void)visit;
    sleep(FOREVER_S);
    return 0;
}

static int trickle(struct visit *visit)
{
    char answer[1024];
    size_t length = make_answer(answer, sizeof(answer), right_body);
    for (size_t i = 0; i < length && say(visit, answer + i, 1); i++)
        usleep(100000);
    return 0;
}

static int cut_at(struct visit *visit)
{
    char answer[1024];
    size_t length = make_answer(answer, sizeof(answer), right_body);
    size_t cut = visit->argument + visit->number;
    say(visit, answer, cut < length ? cut : length);
    if (visit->behaviour == FAKE_RESET_AT)
        reset_connection(visit);
    return 0;
}

static int one_body(struct visit *visit)
{
    char deep[201] = "";
    switch (visit->behaviour) {
    case FAKE_GARBAGE:
        say_body(visit, "\x80\xff not what you asked for");
        break;
    case FAKE_HTML:
        say_body(visit, "<html><body>Welcome</body></html>");
        break;
    case FAKE_TRUNCATED_JSON:
        say_body(visit, "{\"id\":\"pm_rightright\",\"object\":\"payment_me");
        break;
    case FAKE_DEEP_JSON:
        memset(deep, '[', 100);
        memset(deep + 100, ']', 100);
        say_body(visit, deep);
        break;
    case FAKE_TWICE:
        say_body(visit, right_body);
        say_body(visit, right_body);
        break;
    case FAKE_LATE:
        usleep(visit->argument * 1000);
        say_body(visit, right_body);
        break;
    default:
        say_body(visit, right_body);
        break;
    }
    return visit->behaviour != FAKE_DROPS_KEPT;
}

static int huge(struct visit *visit)
{
    static char block[16384];
    char head[128] = "HTTP/1.1 200 OK\r\nX-Long: ";
    memset(block, visit->behaviour == FAKE_MANY_HEADERS ? '\n' : 'x', sizeof(block));
    for (size_t i = 0; visit->behaviour == FAKE_MANY_HEADERS && i + 8 <= sizeof(block); i += 8)
        memcpy(block + i, "a: bcd\r\n", 8);
    if (visit->behaviour == FAKE_MANY_HEADERS)
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n");
    if (visit->behaviour == FAKE_HUGE_BODY)
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", HUGE_BYTES);
    say_text(visit, head);
    for (size_t sent = 0; sent < HUGE_BYTES && say(visit, block, sizeof(block)); sent += sizeof(block))
        ;
    return 0;
}

static int endless(struct visit *visit)
{
    char chunk[1024 + 16] = "400\r\n";
    memset(chunk + 5, ' ', 1024);
    memcpy(chunk + 5 + 1024, "\r\n", 3);
    say_text(visit, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (say(visit, chunk, 5 + 1024 + 2))
        ;
    return 0;
}

static int gzip_bomb(struct visit *visit)
{
    static unsigned char zeros[65536], packed[65536];
    char head[160];
    z_stream stream = {.next_out = packed, .avail_out = sizeof(packed)};
    if (deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    for (size_t i = 0; i < HUGE_BYTES / sizeof(zeros); i++) {
        stream.next_in = zeros;
        stream.avail_in = sizeof(zeros);
        deflate(&stream, i + 1 == HUGE_BYTES / sizeof(zeros) ? Z_FINISH : Z_NO_FLUSH);
    }
    size_t length = sizeof(packed) - stream.avail_out;
    deflateEnd(&stream);
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             length);
    say_text(visit, head);
    say(visit, packed, length);
    return 0;
}

static int other_protocol(struct visit *visit)
{
    say_text(visit, visit->behaviour == FAKE_NOT_HTTP ? "220 mail.example.com ESMTP\r\n" : right_body);
    return 0;
}

static int redirect(struct visit *visit)
{
    static const char *const lines[] = {"302 Found", "307 Temporary Redirect", "308 Permanent Redirect"};
    struct sockaddr_in there;
    socklen_t size = sizeof(there);
    char answer[256];
    getsockname(visit->fake->redirect_listener, (struct sockaddr *)&there, &size);
    snprintf(answer, sizeof(answer),
             "HTTP/1.1 %s\r\nLocation: https://127.0.0.1:%u/v1/payment_methods\r\nContent-Length: 0\r\n\r\n",
             lines[visit->number % 3], ntohs(there.sin_port));
    say_text(visit, answer);
    return 1;
}

static int echo(struct visit *visit)
{
    char number[32] = "", body[1024];
    const char *field = strstr(visit->request, "card[number]=");
    if (field)
        snprintf(number, sizeof(number), "%.*s", (int)strspn(field + 13, "0123456789"), field + 13);
    snprintf(body, sizeof(body),
             "{\"id\":\"pm_%s\",\"object\":\"payment_method\",\"type\":\"card\",\"card\":{\"number\":\"%s\","
             "\"last4\":\"%s\"},\"error\":{\"code\":\"%s\",\"message\":\"card %s was used\"}}",
             number, number, number, number, number);
    say_body(visit, body);
    return 1;
}

static int status_only(struct visit *visit)
{
    char answer[128];
    snprintf(answer, sizeof(answer), "HTTP/1.1 %u Status\r\nContent-Length: 0\r\n\r\n", visit->argument);
    say_text(visit, answer);
    return 1;
}

/* A PayPal of one order: client "client", secret "secret". */
static int paypal(struct visit *visit)
{
    static int is_captured;
    const char *request = visit->request;
    char body[1024];
    unsigned shown = 0;
    const char *bearer = strstr(request, "Authorization: Bearer access");
    if (strncmp(request, "POST /v1/oauth2/token ", 22) == 0) {
        visit->fake->counts->logins++;
        if (!strstr(request, "Authorization: Basic Y2xpZW50OnNlY3JldA==\r\n")) {
            visit->argument = 401;
            return status_only(visit);
        }
        snprintf(body, sizeof(body), "{\"access_token\":\"access%u\",\"expires_in\":32400}",
                 visit->fake->counts->logins);
        say_body(visit, body);
        return 1;
    }
    if (!bearer || sscanf(bearer, "Authorization: Bearer access%u", &shown) != 1 ||
        shown <= visit->argument) {
        visit->argument = 401;
        return status_only(visit);
    }
    if (strncmp(request, "POST /v3/vault/setup-tokens ", 28) == 0) {
        say_body(visit, "{\"id\":\"setup1\",\"status\":\"APPROVED\"}");
    } else if (strncmp(request, "POST /v3/vault/payment-tokens ", 30) == 0) {
        say_body(visit, strstr(request, "\"setup1\"") ? "{\"id\":\"vaulted1\"}" : "{}");
    } else {
        is_captured = is_captured || strstr(request, "/capture HTTP") != NULL;
        snprintf(body, sizeof(body),
                 "{\"id\":\"ORDER1\",\"status\":\"%s\",\"purchase_units\":[{\"amount\":{\"currency_code\":"
                 "\"USD\",\"value\":\"19.99\"}%s}]}",
                 is_captured ? "COMPLETED" : "CREATED",
                 is_captured ? ",\"payments\":{\"captures\":[{\"status\":\"COMPLETED\",\"amount\":"
                               "{\"currency_code\":\"USD\",\"value\":\"19.99\"}}]}"
                             : "");
        say_body(visit, body);
    }
    return 1;
}

static int scripted(struct visit *visit)
{
    size_t length = strlen(visit->fake->script);
    switch (visit->fake->script[visit->number < length ? visit->number : length - 1]) {
    case 'r':
        return one_body(visit);
    case 'e':
        return echo(visit);
    case 's':
        return silence(visit);
    case '4':
        visit->argument = 401;
        return status_only(visit);
    case '5':
        visit->argument = 503;
        return status_only(visit);
    default:
        return 0;
    }
}

static int (*const behaviours[FAKE_BEHAVIOURS])(struct visit *visit) = {
    [FAKE_OLD_TLS] = one_body,
    [FAKE_STRANGER] = one_body,
    [FAKE_WRONG_NAME] = one_body,
    [FAKE_EXPIRED] = one_body,
    [FAKE_SILENCE] = silence,
    [FAKE_TRICKLE] = trickle,
    [FAKE_RESET_AT] = cut_at,
    [FAKE_CLOSE_AT] = cut_at,
    [FAKE_GARBAGE] = one_body,
    [FAKE_HTML] = one_body,
    [FAKE_TRUNCATED_JSON] = one_body,
    [FAKE_DEEP_JSON] = one_body,
    [FAKE_HUGE_HEADER] = huge,
    [FAKE_MANY_HEADERS] = huge,
    [FAKE_HUGE_BODY] = huge,
    [FAKE_ENDLESS_BODY] = endless,
    [FAKE_GZIP_BOMB] = gzip_bomb,
    [FAKE_NOT_HTTP] = other_protocol,
    [FAKE_HTTP_09] = other_protocol,
    [FAKE_REDIRECT] = redirect,
    [FAKE_ECHO] = echo,
    [FAKE_RIGHT] = one_body,
    [FAKE_TWICE] = one_body,
    [FAKE_LATE] = one_body,
    [FAKE_DROPS_KEPT] = one_body,
    [FAKE_STATUS] = status_only,
    [FAKE_PAYPAL] = paypal,
    [FAKE_SCRIPT] = scripted,
    [FAKE_WANTS_CERTIFICATE] = one_body,
};

/* --- one connection --- */

/* A whole request: head and as many bytes of body as it says. */
static int read_request(struct visit *visit)
{
    visit->length = 0;
    for (;;) {
        int count =
            SSL_read(visit->tls, visit->request + visit->length, (int)(REQUEST_BYTES - visit->length));
        if (count <= 0)
            return 0;
        visit->length += (size_t)count;
        visit->request[visit->length] = '\0';
        const char *end = strstr(visit->request, "\r\n\r\n");
        const char *told = strcasestr(visit->request, "\r\nContent-Length: ");
        size_t body = told && told < end ? strtoul(told + 18, NULL, 10) : 0;
        if (end && visit->length >= (size_t)(end + 4 - visit->request) + body)
            return 1;
    }
}

static void serve(struct fake *fake, enum fake_behaviour behaviour, unsigned argument, SSL_CTX *context,
                  int fd)
{
    struct visit *visit = calloc(1, sizeof(*visit));
    visit->fake = fake;
    visit->behaviour = behaviour;
    visit->argument = argument;
    visit->fd = fd;
    visit->tls = SSL_new(context);
    SSL_set_fd(visit->tls, fd);
    int goes_on = SSL_accept(visit->tls) == 1;
    while (goes_on && read_request(visit)) {
        visit->number = fake->counts->requests++;
        fake->counts->cards +=
            strstr(visit->request, "card[number]=") || strstr(visit->request, "\"number\":\"");
        visit->argument = argument;
        snprintf((char *)(uintptr_t)fake->counts->last_head, sizeof(fake->counts->last_head), "%.*s",
                 (int)(strstr(visit->request, "\r\n\r\n") - visit->request), visit->request);
        goes_on = behaviours[behaviour](visit);
    }
    if (behaviour != FAKE_RESET_AT)
        SSL_shutdown(visit->tls);
    SSL_free(visit->tls);
    close(fd);
    free(visit);
}

static SSL_CTX *make_context(enum fake_behaviour behaviour, const char *certificates)
{
    char path[512];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    snprintf(path, sizeof(path), "%s/server.pem", certificates);
    if (!context || SSL_CTX_use_certificate_chain_file(context, path) != 1)
        _exit(3);
    snprintf(path, sizeof(path), "%s/server.key", certificates);
    if (SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) != 1)
        _exit(3);
    if (behaviour == FAKE_WANTS_CERTIFICATE) {
        snprintf(path, sizeof(path), "%s/ca.pem", certificates);
        if (SSL_CTX_load_verify_locations(context, path, NULL) != 1)
            _exit(3);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (behaviour == FAKE_OLD_TLS) {
        SSL_CTX_set_security_level(context, 0);
        SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
        SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
    }
    return context;
}

static void live(struct fake *fake, enum fake_behaviour behaviour, unsigned argument,
                 const char *certificates)
{
    SSL_CTX *context = make_context(behaviour, certificates);
    for (;;) {
        struct pollfd ready[] = {{fake->listener, POLLIN, 0}, {fake->redirect_listener, POLLIN, 0}};
        poll(ready, 2, -1);
        if (ready[1].revents) {
            int fd = accept(fake->redirect_listener, NULL, NULL);
            fake->counts->redirect_visits++;
            close(fd);
            continue;
        }
        int fd = accept(fake->listener, NULL, NULL);
        if (fd < 0)
            continue;
        fake->counts->connections++;
        if (behaviour == FAKE_NO_TLS)
            sleep(FOREVER_S);
        serve(fake, behaviour, argument, context, fd);
    }
}

static int open_listener(int backlog)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, backlog) != 0)
        exit(1);
    return fd;
}

/* A listener with no place left: further connections get no answer to their SYN. */
static void fill_backlog(int listener)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    getsockname(listener, (struct sockaddr *)&address, &size);
    for (int i = 0; i < 4; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(fd, (struct sockaddr *)&address, size);
    }
}

static void start(struct fake *fake, enum fake_behaviour behaviour, unsigned argument, const char *script,
                  const char *certificates)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    memset(fake, 0, sizeof(*fake));
    fake->script = script;
    fake->pid = -1;
    fake->counts =
        mmap(NULL, sizeof(*fake->counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fake->counts == MAP_FAILED)
        exit(1);
    fake->listener = open_listener(behaviour == FAKE_BLACK_HOLE ? 0 : 16);
    fake->redirect_listener = open_listener(16);
    getsockname(fake->listener, (struct sockaddr *)&address, &size);
    snprintf(fake->url, sizeof(fake->url), "https://127.0.0.1:%u", ntohs(address.sin_port));
    if (behaviour == FAKE_CLOSED_PORT) {
        close(fake->listener);
        fake->listener = -1;
        return;
    }
    if (behaviour == FAKE_BLACK_HOLE) {
        fill_backlog(fake->listener);
        return;
    }
    fflush(NULL);
    fake->pid = fork();
    if (fake->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        live(fake, behaviour, argument, certificates);
    }
}

void fake_start(struct fake *fake, enum fake_behaviour behaviour, unsigned argument, const char *certificates)
{
    start(fake, behaviour, argument, "", certificates);
}

void fake_start_script(struct fake *fake, const char *script, const char *certificates)
{
    start(fake, FAKE_SCRIPT, 0, script, certificates);
}

const char *fake_last_head(const struct fake *fake)
{
    static char head[sizeof(fake->counts->last_head)];
    memcpy(head, (const char *)(uintptr_t)fake->counts->last_head, sizeof(head));
    return head;
}

void fake_stop(struct fake *fake)
{
    if (fake->pid > 0) {
        kill(fake->pid, SIGKILL);
        waitpid(fake->pid, NULL, 0);
    }
    if (fake->listener >= 0)
        close(fake->listener);
    close(fake->redirect_listener);
    munmap((void *)(size_t)fake->counts, sizeof(*fake->counts));
}
