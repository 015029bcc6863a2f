/* Hooks and the telephone platform over real TLS: what the other end gets, that it is signed, how its answers are taken.
 * The other end is a small HTTPS server of the test's own, strict about what it is sent. */
#include "base/log.h"
#include "gateway/platforms/genesys.h"
#include "gateway/platforms/hook_body.h"
#include "gateway/platforms/hooks.h"
#include "gateway/tests/rig.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <poll.h>
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY          "hook-key-of-a-test-0123456789" /* no secret */
#define CLIENT       "client-1:secret-1"
#define BASIC        "Basic Y2xpZW50LTE6c2VjcmV0LTE="
#define REQUESTS_MAX 16

/* What the peer saw, shared with it. */
struct seen {
    unsigned count;
    unsigned logins;
    struct {
        char line[256];
        char headers[2048];
        char body[2048];
    } requests[REQUESTS_MAX];
    char script
        [REQUESTS_MAX]; /* status class of each answer but logins': 2, 4 (404), r (429), 5, u (401), 0 no answer */
};

static struct seen *seen;
static pid_t peer_pid;
static uint16_t peer_port;
static struct event_base *base;
static struct hooks *hooks;
static struct config config;
static struct hook_result_msg result;
static unsigned result_count;
static uint64_t next_id = 0x1122334455667788ULL;

/* --- the peer ---------------------------------------------------------------------------------------------------- */

static void answer(SSL *ssl, const char *status, const char *extra, const char *body)
{
    char text[1024];
    int length =
        snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 status, extra, strlen(body), body);
    SSL_write(ssl, text, length);
}

static void judge(SSL *ssl, unsigned number)
{
    const char *line = seen->requests[number].line;
    if (strncmp(line, "POST /oauth/token ", 18) == 0) {
        seen->logins++;
        seen->count--; /* not one of those the script is about */
        bool is_right = strstr(seen->requests[number].headers, "Authorization: " BASIC "\r\n") &&
                        strcmp(seen->requests[number].body, "grant_type=client_credentials") == 0;
        answer(ssl, is_right ? "200 OK" : "401 Unauthorized", "",
               is_right ? "{\"access_token\":\"access-1\",\"token_type\":\"bearer\",\"expires_in\":86399}"
                        : "{}");
        return;
    }
    switch (seen->script[number]) {
    case '4':
        answer(ssl, "404 Not Found", "", "{}");
        return;
    case 'r':
        answer(ssl, "429 Too Many Requests", "Retry-After: 7\r\n", "{}");
        return;
    case '5':
        answer(ssl, "503 Service Unavailable", "", "{}");
        return;
    case 'u':
        answer(ssl, "401 Unauthorized", "", "{}");
        return;
    case 'x':
        answer(ssl, "422 Unprocessable Content", "", "{}");
        return;
    default:
        answer(ssl, "202 Accepted", "", "{}");
    }
}

static void serve(SSL_CTX *tls, int fd)
{
    static char text[8192];
    size_t length = 0;
    unsigned number = seen->count;
    SSL *ssl = SSL_new(tls);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && number < REQUESTS_MAX) {
        char *split = NULL;
        size_t wanted = 0;
        while (length < sizeof(text) - 1 && (!split || length < wanted)) {
            int got = SSL_read(ssl, text + length, (int)(sizeof(text) - 1 - length));
            if (got <= 0)
                break;
            length += (size_t)got;
            text[length] = '\0';
            split = strstr(text, "\r\n\r\n");
            const char *said = strstr(text, "Content-Length: ");
            wanted = split && said ? (size_t)(split + 4 - text) + (size_t)atoi(said + 16) : 0;
        }
        if (split) {
            snprintf(seen->requests[number].line, 256, "%.*s", (int)strcspn(text, "\r"), text);
            snprintf(seen->requests[number].body, 2048, "%.2000s", split + 4);
            split[2] = '\0';
            snprintf(seen->requests[number].headers, 2048, "%.2000s", text);
            seen->count++;
            if (seen->script[number] != '0')
                judge(ssl, number);
        }
    }
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

_Noreturn static void live_as_peer(int listen_fd, const char *certificate, const char *key)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        _exit(3);
    for (;;) {
        int fd = accept(listen_fd, NULL, NULL);
        if (fd >= 0)
            serve(tls, fd);
    }
}

static void start_peer(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 16), 0);
    getsockname(fd, (struct sockaddr *)&address, &length);
    peer_port = ntohs(address.sin_port);
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    peer_pid = fork();
    if (peer_pid == 0)
        live_as_peer(fd, rig_path("right/server.pem"), rig_path("right/server.key"));
    close(fd);
}

/* --- the rig ------------------------------------------------------------------------------------------------------ */

static void result_h(void *owner, const struct hook_send_msg *hook, const struct hook_result_msg *said,
                     const struct hook_report *report)
{
    (void)owner;
    (void)report;
    assert_int_equal(said->header.subject, hook->header.subject);
    result = *said;
    result_count++;
}

static void write_key(const char *name, const char *text, char *out)
{
    snprintf(out, LIMIT_PATH_BYTES, "%s", rig_path(name));
    FILE *file = fopen(out, "we");
    fprintf(file, "%s\n", text);
    fclose(file);
}

static int setup(void **state)
{
    (void)state;
    memset(seen, 0, sizeof(*seen));
    memset(&config, 0, sizeof(config));
    config.gateway.sandbox = true;
    config.hook_target_count = 1;
    struct config_hook_target *target = &config.hook_targets[0];
    snprintf(target->url, sizeof(target->url), "https://127.0.0.1:%u/hooks", peer_port);
    snprintf(target->ca_path, sizeof(target->ca_path), "%s", rig_path("right/ca.pem"));
    write_key("hook-key", KEY, target->key_path);
    snprintf(config.genesys.region, sizeof(config.genesys.region), "eu-west-1");
    snprintf(config.genesys.test_url, sizeof(config.genesys.test_url), "https://127.0.0.1:%u", peer_port);
    snprintf(config.genesys.ca_path, sizeof(config.genesys.ca_path), "%s", rig_path("right/ca.pem"));
    write_key("genesys-client", CLIENT, config.genesys.client_path);
    base = event_base_new();
    assert_int_equal(hooks_new(&hooks, base, &config, result_h, NULL), OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hooks_free(hooks);
    event_base_free(base);
    return 0;
}

static struct hook_send_msg make(enum hook_kind kind, enum hook_status status)
{
    struct hook_send_msg hook = {.capture_id = 0x1111111111111111ULL,
                                 .call_id = 0x2222222222222222ULL,
                                 .amount_minor = 4250,
                                 .occurred_at_s = 1500000000,
                                 .currency = "EUR",
                                 .kind = (uint8_t)kind,
                                 .target = kind >= HOOK_ATTRIBUTES ? HOOK_TARGET_PLATFORM : 0,
                                 .status = (uint8_t)status,
                                 .conversation = "conversation-1",
                                 .participant = "participant-1",
                                 .payment_ref = "pi_1",
                                 .token = "pm_1",
                                 .reference = "order \"17\""};
    MSG_INIT(&hook, HOOK_SEND, next_id++);
    return hook;
}

static void carry(const struct hook_send_msg *hook)
{
    unsigned before = result_count;
    assert_int_equal(hooks_send(hooks, hook), OK);
    for (int i = 0; i < 500 && result_count == before; i++) {
        struct timeval soon = {0, 10000};
        event_base_loopexit(base, &soon);
        event_base_dispatch(base);
    }
    assert_int_equal(result_count, before + 1);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(null)";
}

/* --- hooks -------------------------------------------------------------------------------------------------------- */

static void a_hook_arrives_signed_in_the_shape_that_was_asked_for(void **state)
{
    (void)state;
    struct hook_send_msg hook = make(HOOK_PAYMENT, HOOK_STATUS_CONFIRMED);
    carry(&hook);
    assert_int_equal(result.outcome, HOOK_DELIVERED);
    assert_int_equal(result.status, 202);
    assert_non_null(strstr(seen->requests[0].line, "POST /hooks HTTP/1.1"));
    json_t *body = json_loads(seen->requests[0].body, JSON_REJECT_DUPLICATES, NULL);
    const json_t *variables = json_object_get(body, "variables");
    assert_string_equal(text_of(body, "type"), "payment.confirmed");
    assert_string_equal(text_of(body, "conversation_id"), "conversation-1");
    assert_string_equal(text_of(variables, "payment_status"), "CONFIRMED");
    assert_string_equal(text_of(variables, "stripe_intent_id"), "pi_1");
    assert_string_equal(text_of(variables, "gateway_transaction_id"), "pi_1");
    assert_string_equal(text_of(body, "capture"), "cap_bbbbbbbbbbbbbbbb");
    assert_string_equal(text_of(body, "reference"), "order \"17\"");
    assert_int_equal(json_integer_value(json_object_get(body, "amount")), 4250);
    json_decref(body);
    /* The signature, made again here. */
    const char *given = strstr(seen->requests[0].headers, "Tonegate-Signature: t=");
    assert_non_null(given);
    char text[4096];
    uint8_t sum[32];
    char hex[65];
    long long at = atoll(given + 22);
    int length = snprintf(text, sizeof(text), "%lld.%s", at, seen->requests[0].body);
    HMAC(EVP_sha256(), KEY, (int)strlen(KEY), (const uint8_t *)text, (size_t)length, sum, NULL);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    assert_memory_equal(strstr(given, ",v1=") + 4, hex, 64);
    assert_true(llabs(at - time(NULL)) < 10);
}

static void answers_are_taken_as_the_table_says(void **state)
{
    (void)state;
    static const struct {
        char script;
        enum hook_outcome outcome;
        uint32_t status, again_after_ms;
    } rows[] = {{'2', HOOK_DELIVERED, 202, 0}, {'5', HOOK_LATER, 503, 0}, {'r', HOOK_LATER, 429, 7000},
                {'u', HOOK_LATER, 401, 0},     {'4', HOOK_LATER, 404, 0}, {'x', HOOK_REFUSED, 422, 0},
                {'0', HOOK_LATER, 0, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        seen->script[seen->count] = rows[i].script;
        struct hook_send_msg hook = make(HOOK_REFUND, HOOK_STATUS_CONFIRMED);
        carry(&hook);
        assert_int_equal(result.outcome, rows[i].outcome);
        assert_int_equal(result.status, rows[i].status);
        assert_int_equal(result.again_after_ms, rows[i].again_after_ms);
    }
}

static void what_is_no_hook_or_has_no_address_is_refused(void **state)
{
    (void)state;
    struct hook_send_msg hook = make(HOOK_PAYMENT, HOOK_STATUS_CONFIRMED);
    hook.target = 1;
    assert_int_equal(hooks_send(hooks, &hook), ERR_RANGE);
    hook = make(HOOK_KINDS, HOOK_STATUS_CONFIRMED);
    assert_int_equal(hooks_send(hooks, &hook), ERR_RANGE);
    hook = make(HOOK_PAYMENT, HOOK_STATUSES);
    assert_int_equal(hooks_send(hooks, &hook), ERR_RANGE);
    hook = make(HOOK_PAYMENT, HOOK_STATUS_CONFIRMED);
    memset(hook.token, 'a', sizeof(hook.token));
    assert_int_equal(hooks_send(hooks, &hook), ERR_RANGE);
    assert_int_equal(seen->count, 0);
}

static void a_stranger_behind_the_address_gets_nothing(void **state)
{
    (void)state;
    hooks_free(hooks);
    hooks = NULL;
    snprintf(config.hook_targets[0].ca_path, LIMIT_PATH_BYTES, "%s", rig_path("stranger/ca.pem"));
    assert_int_equal(hooks_new(&hooks, base, &config, result_h, NULL), OK);
    struct hook_send_msg hook = make(HOOK_PAYMENT, HOOK_STATUS_CONFIRMED);
    carry(&hook);
    assert_int_equal(result.outcome, HOOK_LATER);
    assert_int_equal(seen->count, 0);
}

/* --- the platform -------------------------------------------------------------------------------------------------- */

static void attributes_go_out_with_one_login_for_many(void **state)
{
    (void)state;
    struct hook_send_msg hook = make(HOOK_ATTRIBUTES, HOOK_STATUS_PENDING);
    hook.payment_ref[0] = '\0';
    carry(&hook);
    assert_int_equal(result.outcome, HOOK_DELIVERED);
    hook = make(HOOK_ATTRIBUTES, HOOK_STATUS_CONFIRMED);
    carry(&hook);
    assert_int_equal(seen->logins, 1);
    assert_int_equal(seen->count, 2);
    assert_non_null(strstr(seen->requests[1].line,
                           "PATCH /api/v2/conversations/calls/conversation-1/participants/"
                           "participant-1/attributes HTTP/1.1"));
    assert_non_null(strstr(seen->requests[1].headers, "Authorization: Bearer access-1\r\n"));
    json_t *body = json_loads(seen->requests[1].body, 0, NULL);
    const json_t *attributes = json_object_get(body, "attributes");
    assert_string_equal(text_of(attributes, "paymentIntentId"), "pi_1");
    assert_string_equal(text_of(attributes, "paymentStatus"), "CONFIRMED");
    assert_string_equal(text_of(attributes, "Transaction_ID"), "pi_1");
    assert_string_equal(text_of(attributes, "expectedAmount"), "4250");
    json_decref(body);
}

static void a_token_that_ended_early_is_renewed_once(void **state)
{
    (void)state;
    seen->script[0] = 'u';
    struct hook_send_msg hook = make(HOOK_ATTRIBUTES, HOOK_STATUS_PENDING);
    carry(&hook); /* refused with a fresh token: not asked again at once */
    assert_int_equal(result.outcome, HOOK_LATER);
    assert_int_equal(seen->logins, 1);
    seen->script[1] = 'u';
    hook = make(HOOK_ATTRIBUTES, HOOK_STATUS_PENDING);
    carry(&hook); /* with the kept one: another login, then it is taken */
    assert_int_equal(result.outcome, HOOK_DELIVERED);
    assert_int_equal(seen->logins, 2);
}

static void
a_recording_is_paused_by_the_present_form_and_by_the_older_one_where_that_is_not_there(void **state)
{
    (void)state;
    struct hook_send_msg hook = make(HOOK_RECORDING_PAUSE, HOOK_STATUS_PENDING);
    carry(&hook);
    assert_non_null(
        strstr(seen->requests[0].line, "PATCH /api/v2/conversations/conversation-1/recordingstate "));
    assert_string_equal(seen->requests[0].body, "{\"recordingState\":\"PAUSED\"}");
    seen->script[1] = '4';
    hook = make(HOOK_RECORDING_RESUME, HOOK_STATUS_PENDING);
    carry(&hook);
    assert_int_equal(result.outcome, HOOK_DELIVERED);
    assert_int_equal(seen->count, 3);
    assert_non_null(strstr(seen->requests[2].line, "PATCH /api/v2/conversations/conversation-1/recordings "));
    assert_string_equal(seen->requests[2].body, "{\"recordingState\":\"ACTIVE\"}");
    /* Neither: later, and not a third form. */
    seen->script[3] = seen->script[4] = '4';
    hook = make(HOOK_RECORDING_PAUSE, HOOK_STATUS_PENDING);
    carry(&hook);
    assert_int_equal(result.outcome, HOOK_LATER);
    assert_int_equal(seen->count, 5);
    config.genesys.recording_api = CONFIG_RECORDING_OFF;
    hook = make(HOOK_RECORDING_PAUSE, HOOK_STATUS_PENDING);
    carry(&hook);
    assert_int_equal(result.outcome, HOOK_DELIVERED);
    assert_int_equal(seen->count, 5);
}

static void the_platform_asks_to_wait_and_is_obeyed(void **state)
{
    (void)state;
    seen->script[0] = 'r';
    struct hook_send_msg hook = make(HOOK_ATTRIBUTES, HOOK_STATUS_PENDING);
    carry(&hook);
    assert_int_equal(result.outcome, HOOK_LATER);
    assert_int_equal(result.again_after_ms, 7000);
}

static void ids_that_would_change_the_path_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "a/b", "a?b", "..", "a b", "a%2fb"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct genesys_request request;
        struct hook_send_msg hook = make(HOOK_ATTRIBUTES, HOOK_STATUS_PENDING);
        snprintf(hook.participant, sizeof(hook.participant), "%s", wrong[i]);
        assert_int_equal(genesys_build(&hook, CONFIG_RECORDING_STATE, &request), ERR_RANGE);
        hook = make(HOOK_RECORDING_PAUSE, HOOK_STATUS_PENDING);
        snprintf(hook.conversation, sizeof(hook.conversation), "%s", wrong[i]);
        assert_int_equal(genesys_build(&hook, CONFIG_RECORDING_STATE, &request), ERR_RANGE);
    }
}

static void regions_are_those_of_the_vendor(void **state)
{
    (void)state;
    assert_string_equal(genesys_region_host("mypurecloud.com.au"), "mypurecloud.com.au");
    assert_string_equal(genesys_region_host("eu-west-2"), "euw2.pure.cloud");
    assert_null(genesys_region_host("evil.example"));
    assert_null(genesys_region_host(""));
    config.gateway.sandbox = false; /* a test's address needs the sandbox */
    struct hooks *refused = NULL;
    assert_int_equal(hooks_new(&refused, base, &config, result_h, NULL), ERR_REFUSED);
    assert_null(refused);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_hook_arrives_signed_in_the_shape_that_was_asked_for),
        TEST(answers_are_taken_as_the_table_says),
        TEST(what_is_no_hook_or_has_no_address_is_refused),
        TEST(a_stranger_behind_the_address_gets_nothing),
        TEST(attributes_go_out_with_one_login_for_many),
        TEST(a_token_that_ended_early_is_renewed_once),
        TEST(a_recording_is_paused_by_the_present_form_and_by_the_older_one_where_that_is_not_there),
        TEST(the_platform_asks_to_wait_and_is_obeyed),
        TEST(ids_that_would_change_the_path_are_refused),
        TEST(regions_are_those_of_the_vendor),
    };
    rig_setup();
    start_peer();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kill(peer_pid, SIGKILL);
    waitpid(peer_pid, NULL, 0);
    rig_teardown();
    return failed;
}
