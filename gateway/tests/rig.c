#include "gateway/tests/rig.h"

#include "base/log.h"
#include "gateway/http.h"
#include "gateway/wipe_heap.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 25000

static char folder[] = "/tmp/tonegate-gateway-XXXXXX";
static int log_fd = -1;

/* --- program --- */

static void run(const char *const *arguments)
{
    pid_t pid = fork();
    if (pid == 0) {
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    if (status != 0) {
        fprintf(stderr, "cannot run %s\n", arguments[0]);
        exit(1);
    }
}

const char *rig_path(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

void rig_setup(void)
{
    if (wipe_heap_install() != OK)
        exit(1);
    rig_prepare();
}

void rig_prepare(void)
{
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(folder))
        exit(1);
    log_fd = memfd_create("log", MFD_CLOEXEC);
    log_open(log_fd, LOG_FORMAT_JSON, LOG_DEBUG, "gateway");
    run((const char *const[]){RIG_CERTIFICATES, rig_path("right"), NULL});
    run((const char *const[]){RIG_CERTIFICATES, rig_path("stranger"), NULL});
    run((const char *const[]){RIG_CERTIFICATES, rig_path("elsewhere"), "-", NULL});
    run((const char *const[]){RIG_CERTIFICATES, rig_path("expired"), "localhost", "-1", NULL});
    FILE *key = fopen(rig_path("api-key"), "w");
    if (!key || fputs(RIG_API_KEY "\n", key) < 0 || fclose(key) != 0)
        exit(1);
}

void rig_teardown(void)
{
    run((const char *const[]){"rm", "-rf", folder, NULL});
    close(log_fd);
}

const char *rig_log(void)
{
    static char text[1 << 21];
    ssize_t length = pread(log_fd, text, sizeof(text) - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

/* --- the sandbox --- */

void rig_sandbox_start(struct rig_sandbox *sandbox, const char *certificates, const char *option)
{
    int ends[2];
    char line[128] = "";
    char certificate[256], key[256];
    static unsigned number;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    snprintf(certificate, sizeof(certificate), "%s/%s/server.pem", folder, certificates);
    snprintf(key, sizeof(key), "%s/%s/server.key", folder, certificates);
    snprintf(sandbox->ledger_path, sizeof(sandbox->ledger_path), "%s/ledger-%u", folder, number++);
    sandbox->pid = fork();
    if (sandbox->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        execl(RIG_SANDBOX, "tonegate-sandbox", "--listen", "127.0.0.1:0", "--certificate", certificate,
              "--key", key, "--api-key-file", rig_path("api-key"), "--ledger", sandbox->ledger_path, option,
              NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof(line), out));
    assert_int_equal(sscanf(line, "listening on %63s", sandbox->url), 1);
    fclose(out);
}

void rig_sandbox_stop(struct rig_sandbox *sandbox)
{
    int status = -1;
    kill(sandbox->pid, SIGTERM);
    waitpid(sandbox->pid, &status, 0);
    assert_int_equal(status, 0); /* a sanitizer's report in the child is a failure of the test */
}

bool rig_stores_start(struct rig_stores *stores, const char *state)
{
    int ends[2];
    unsigned secure = 0, plain = 0;
    char line[64] = "", certificate[256], key[256];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    snprintf(certificate, sizeof(certificate), "%s", rig_path("right/server.pem"));
    snprintf(key, sizeof(key), "%s", rig_path("right/server.key"));
    stores->pid = fork();
    if (stores->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        execlp("python3", "python3", RIG_KEY_STORES, certificate, key, state, NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    bool is_up =
        out && fgets(line, sizeof(line), out) && sscanf(line, "listening on %u %u", &secure, &plain) == 2;
    if (out)
        fclose(out);
    snprintf(stores->secure_url, sizeof(stores->secure_url), "https://127.0.0.1:%u", secure);
    snprintf(stores->plain_url, sizeof(stores->plain_url), "http://127.0.0.1:%u", plain);
    return is_up;
}

void rig_stores_stop(struct rig_stores *stores)
{
    kill(stores->pid, SIGKILL);
    waitpid(stores->pid, NULL, 0);
}

/* --- the gateway and the vault's end --- */

static enum err reply_h(void *owner, const void *message)
{
    struct rig *rig = owner;
    rig->reply = *(const struct gateway_reply_msg *)message;
    rig->reply_count++;
    event_base_loopbreak(rig->base);
    return OK;
}

static enum err slow_h(void *owner, const void *message)
{
    struct rig *rig = owner;
    rig->slow = *(const struct gateway_slow_msg *)message;
    rig->slow_count++;
    return OK;
}

static const struct msg_permit permits[] = {
    {GATEWAY_REPLY, sizeof(struct gateway_reply_msg), MSG_ANY_STATE, reply_h, "REPLY"},
    {GATEWAY_SLOW, sizeof(struct gateway_slow_msg), MSG_ANY_STATE, slow_h, "SLOW"},
};

struct step_settings rig_settings(const char *url)
{
    struct step_settings settings = {.connector = connector_find("stripe"),
                                     .create_timeout_ms = 8000,
                                     .charge_timeout_ms = 8000,
                                     .ceiling_ms = 20000,
                                     .retries = 2,
                                     .create_retries = 1,
                                     .retry_wait_ms = 50};
    size_t capacity;
    snprintf(settings.url, sizeof(settings.url), "%s", url);
    snprintf(settings.ca_path, sizeof(settings.ca_path), "%s", rig_path("right/ca.pem"));
    assert_int_equal(secret_new(&settings.key, CONNECTOR_KEY_BYTES), OK);
    memcpy(secret_buffer(settings.key, &capacity), RIG_API_KEY, sizeof(RIG_API_KEY) - 1);
    secret_set_length(settings.key, sizeof(RIG_API_KEY) - 1);
    return settings;
}

static void link_up(struct rig *rig)
{
    int ends[2];
    assert_int_equal(msg_pair(ends), OK);
    rig->vault.fd = ends[0];
    assert_int_equal(vault_link_open(&rig->link, ends[1]), OK);
}

static void open_gateways(struct rig *rig, struct event_base *base, const struct step_settings *settings,
                          size_t count)
{
    memset(rig, 0, sizeof(*rig));
    rig->base = base;
    assert_non_null(rig->base);
    rig->vault = (struct msg_port){
        .permits = permits, .permit_count = sizeof(permits) / sizeof(permits[0]), .owner = rig};
    assert_int_equal(vault_link_init(&rig->link, rig->base, settings, count), OK);
    link_up(rig);
}

void rig_open(struct rig *rig, const struct step_settings *settings)
{
    open_gateways(rig, event_base_new(), settings, 1);
}

void rig_open_on(struct rig *rig, struct event_base *base, const struct step_settings *settings)
{
    open_gateways(rig, base, settings, 1);
}

void rig_open_two(struct rig *rig, const struct step_settings *settings)
{
    open_gateways(rig, event_base_new(), settings, 2);
}

void rig_close_link(struct rig *rig)
{
    close(rig->vault.fd);
    vault_link_free(&rig->link);
}

void rig_close(struct rig *rig)
{
    rig_close_link(rig);
    event_base_free(rig->base);
}

void rig_relink(struct rig *rig)
{
    close(rig->vault.fd);
    rig_run_ms(rig, 20); /* it reads the end of the link */
    assert_int_equal(rig->link.port.fd, -1);
    link_up(rig);
}

static void readable(evutil_socket_t fd, short what, void *owner)
{
    struct rig *rig = owner;
    (void)fd;
    if (what & EV_READ)
        assert_int_equal(msg_receive(&rig->vault, 1), OK);
    else
        event_base_loopbreak(rig->base);
}

static void run_until(struct rig *rig, unsigned ms, bool wants_reply)
{
    struct timeval after = {ms / 1000, ms % 1000 * 1000};
    struct event *timer = evtimer_new(rig->base, readable, rig);
    struct event *link =
        wants_reply ? event_new(rig->base, rig->vault.fd, EV_READ | EV_PERSIST, readable, rig) : NULL;
    event_add(timer, &after);
    if (link)
        event_add(link, NULL);
    event_base_dispatch(rig->base);
    event_free(timer);
    if (link)
        event_free(link);
}

void rig_run_ms(struct rig *rig, unsigned ms)
{
    run_until(rig, ms, false);
}

void rig_send(struct rig *rig, const void *message)
{
    assert_int_equal(msg_send(&rig->vault, message), OK);
}

const struct gateway_reply_msg *rig_wait(struct rig *rig)
{
    unsigned before = rig->reply_count;
    run_until(rig, WAIT_MS, true);
    assert_int_equal(rig->reply_count, before + 1);
    return &rig->reply;
}

const struct gateway_reply_msg *rig_ask(struct rig *rig, const void *message)
{
    const struct msg_header *header = message;
    rig_send(rig, message);
    const struct gateway_reply_msg *reply = rig_wait(rig);
    assert_int_equal(reply->header.subject, header->subject);
    assert_int_equal(reply->request_type, header->type);
    return reply;
}

/* --- messages --- */

struct gateway_tokenise_msg rig_tokenise(uint64_t capture, uint32_t attempt, const char *number)
{
    struct gateway_tokenise_msg message;
    memset(&message, 0, sizeof(message));
    MSG_INIT(&message, GATEWAY_TOKENISE, capture);
    message.attempt = attempt;
    message.number_length = (uint8_t)strlen(number);
    for (size_t i = 0; number[i]; i++)
        message.number[i] = (uint8_t)(number[i] - '0');
    message.cvv_length = 3;
    message.cvv[0] = 7;
    message.cvv[1] = 3;
    message.cvv[2] = 7;
    message.expiry_month = 12;
    message.expiry_year = 34;
    return message;
}

struct gateway_order_msg rig_create(uint64_t capture, uint32_t attempt, int64_t amount, const char *token)
{
    struct gateway_order_msg message;
    memset(&message, 0, sizeof(message));
    MSG_INIT(&message, GATEWAY_CREATE, capture);
    message.call_id = 0x1234;
    message.amount_minor = amount;
    memcpy(message.currency, "USD", 4);
    message.attempt = attempt;
    snprintf(message.token, sizeof(message.token), "%s", token);
    return message;
}

struct gateway_step_msg rig_step(enum gateway_msg_type type, uint64_t capture, uint32_t attempt,
                                 int64_t amount, const char *token, const char *order_ref)
{
    struct gateway_step_msg message;
    memset(&message, 0, sizeof(message));
    MSG_INIT(&message, (uint16_t)type, capture);
    message.attempt = attempt;
    message.amount_minor = amount;
    memcpy(message.currency, "USD", 4);
    snprintf(message.token, sizeof(message.token), "%s", token);
    snprintf(message.order_ref, sizeof(message.order_ref), "%s", order_ref);
    return message;
}

/* --- the sandbox's own paths --- */

struct fetch {
    struct event_base *base;
    char *text;
    unsigned status;
};

static void fetched(void *owner, const struct http_answer *answer)
{
    struct fetch *fetch = owner;
    fetch->status = answer->result == HTTP_ANSWERED ? answer->status : 0;
    fetch->text = strndup((const char *)answer->body, answer->body_length);
    event_base_loopbreak(fetch->base);
}

static char *fetch_path(struct rig *rig, const struct rig_sandbox *sandbox, const char *path,
                        const char *form)
{
    struct http_client *client;
    struct secret *body;
    struct fetch fetch = {.base = rig->base};
    char url[128];
    size_t capacity;
    snprintf(url, sizeof(url), "%s%s", sandbox->url, path);
    assert_int_equal(secret_new(&body, 512), OK);
    memcpy(secret_buffer(body, &capacity), form, strlen(form));
    secret_set_length(body, strlen(form));
    assert_int_equal(http_client_new(&client, rig->base, rig_path("right/ca.pem")), OK);
    struct http_request request = {.method = form[0] ? "POST" : "GET",
                                   .url = url,
                                   .headers = "Authorization: Bearer " RIG_API_KEY
                                              "\nContent-Type: application/x-www-form-urlencoded\n",
                                   .body = body,
                                   .connect_timeout_ms = 10000,
                                   .timeout_ms = 10000};
    assert_int_equal(http_start(NULL, client, &request, fetched, &fetch), OK);
    event_base_dispatch(rig->base);
    http_client_free(client);
    secret_free(body);
    assert_int_equal(fetch.status, 200);
    return fetch.text;
}

void rig_fault(struct rig *rig, const struct rig_sandbox *sandbox, const char *form)
{
    free(fetch_path(rig, sandbox, "/_sandbox/fault", form));
}

json_t *rig_ledger(struct rig *rig, const struct rig_sandbox *sandbox)
{
    char *text = fetch_path(rig, sandbox, "/_sandbox/ledger", "");
    json_error_t error;
    json_t *ledger = json_loads(text, 0, &error);
    assert_non_null(ledger);
    free(text);
    return ledger;
}

size_t rig_ledger_count(struct rig *rig, const struct rig_sandbox *sandbox, const char *result)
{
    size_t count = 0;
    json_t *ledger = rig_ledger(rig, sandbox);
    for (size_t i = 0; i < json_array_size(ledger); i++)
        count += strcmp(json_string_value(json_object_get(json_array_get(ledger, i), "result")), result) == 0;
    json_decref(ledger);
    return count;
}
