/* Every request of the connectors, shown to a server that refuses whatever the vendor's own OpenAPI description does not
 * allow. The server is openapi-strict.js from the shared folder (TONEGATE_SHARED, default ../shared beside the
 * repository) and needs node; without one of them the test says so and is skipped. */
#include "gateway/connectors/adyen.h"
#include "gateway/connectors/paypal.h"
#include "gateway/connectors/stripe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77

#define STEPS_MAX 12

static const struct api {
    const char *spec;
    const struct connector *connector;
    const char *token, *order_ref;
    struct {
        enum connector_operation operation;
        unsigned round;
        const char *carry;
        bool is_authorise_only;
    } steps[STEPS_MAX];
    size_t step_count;
    bool may_be_absent; /* from the folder of descriptions: then this one is left out, and said so */
} apis[] = {
    {"stripe-slim.json",
     &stripe_connector,
     "pm_token",
     "pi_order",
     {{CONNECTOR_TOKENISE, 0, "", false},
      {CONNECTOR_CREATE, 0, "", false},
      {CONNECTOR_CONFIRM, 0, "", false},
      {CONNECTOR_STATUS, 0, "", false},
      {CONNECTOR_ABANDON, 0, "", false},
      {CONNECTOR_CAPTURE, 0, "", false},
      {CONNECTOR_VOID, 0, "", false},
      {CONNECTOR_REFUND, 0, "", false},
      {CONNECTOR_REFUND, 1, "-", false},
      {CONNECTOR_SUBSCRIBE, 0, "", false},
      {CONNECTOR_SUBSCRIBE, 1, "cus_1", false},
      {CONNECTOR_SUBSCRIBE, 2, "cus_1", false}},
     12,
     false},
    {"paypal-vault_payment_tokens_v3.json",
     &paypal_connector,
     "8kk8451t",
     "5O190127TN364715T",
     {{CONNECTOR_TOKENISE, 0, "", false}, {CONNECTOR_TOKENISE, 1, "5C991763VB2781612", false}},
     2,
     false},
    {"paypal-checkout_orders_v2.json",
     &paypal_connector,
     "8kk8451t",
     "5O190127TN364715T",
     {{CONNECTOR_CREATE, 0, "", false},
      {CONNECTOR_CONFIRM, 0, "", false},
      {CONNECTOR_STATUS, 0, "", false},
      {CONNECTOR_ABANDON, 0, "", false},
      {CONNECTOR_CREATE, 0, "", true},
      {CONNECTOR_CONFIRM, 0, "", true},
      {CONNECTOR_CAPTURE, 0, "", false},
      {CONNECTOR_CAPTURE, 1, "capture", false},
      {CONNECTOR_LINK, 0, "", false}},
     9,
     false},
    {"adyen-CheckoutService-v71.json",
     &adyen_connector,
     "M5N7TQ4TG5PFWR50",
     "KHQC5N7G84BLNK43",
     {{CONNECTOR_TOKENISE, 0, "", false},
      {CONNECTOR_CREATE, 0, "", false},
      {CONNECTOR_CONFIRM, 0, "", false},
      {CONNECTOR_STATUS, 0, "", false},
      {CONNECTOR_ABANDON, 0, "", false},
      {CONNECTOR_CAPTURE, 0, "", false},
      {CONNECTOR_VOID, 0, "", false},
      {CONNECTOR_REFUND, 0, "", false},
      {CONNECTOR_LINK, 0, "", false}},
     9,
     false},
    {"paypal-payments_payment_v2.json",
     &paypal_connector,
     "8kk8451t",
     "5O190127TN364715T",
     {{CONNECTOR_CAPTURE, 1, "authorizations/3C679366HH908993F/capture", false},
      {CONNECTOR_VOID, 1, "authorizations/3C679366HH908993F/void", false},
      {CONNECTOR_REFUND, 1, "captures/2GG279541U471931P/refund", false}},
     3,
     true},
};
#define API_COUNT (sizeof(apis) / sizeof(apis[0]))

static char shared[512];
static char modules[512];
static pid_t peers[API_COUNT];
static in_port_t ports[API_COUNT];
static bool is_absent[API_COUNT];

/* --- the peer --- */

static int run(const char *const *arguments, const char *folder)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (folder && chdir(folder) != 0)
            _exit(127);
        (void)!freopen("/dev/null", "w", stdout);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return status;
}

static int left_out(const char *why)
{
    printf("skipped: %s\n", why);
    return SKIPPED;
}

static int find_parts(void)
{
    const char *given = getenv("TONEGATE_SHARED");
    char path[600];
    snprintf(shared, sizeof(shared), "%s",
             given ? given : "../shared"); /* tests run in the repository's root */
    snprintf(path, sizeof(path), "%s/peers/openapi-strict.js", shared);
    if (access(path, R_OK) != 0)
        return left_out("no peers/openapi-strict.js in TONEGATE_SHARED");
    for (size_t i = 0; i < API_COUNT; i++) {
        snprintf(path, sizeof(path), "%s/specs/%s", shared, apis[i].spec);
        is_absent[i] = access(path, R_OK) != 0;
        if (is_absent[i] && !apis[i].may_be_absent)
            return left_out("a vendor's description is not in specs/ of TONEGATE_SHARED");
        if (is_absent[i])
            printf("left out: %s is not in specs/ of TONEGATE_SHARED\n", apis[i].spec);
        fflush(stdout); /* before a fork */
    }
    if (run((const char *const[]){"node", "--version", NULL}, NULL) != 0)
        return left_out("no node");
    snprintf(modules, sizeof(modules), "%s", TEST_NODE_FOLDER);
    mkdir(modules, 0755);
    snprintf(path, sizeof(path), "%s/node_modules/express-openapi-validator/package.json", modules);
    if (access(path, R_OK) != 0 &&
        (run((const char *const[]){"npm", "install", "--no-audit", "--no-fund", "--silent", "express",
                                   "express-openapi-validator", NULL},
             modules) != 0 ||
         access(path, R_OK) != 0))
        return left_out("npm cannot install express and express-openapi-validator");
    return 0;
}

static in_port_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        exit(1);
    close(fd);
    return ntohs(address.sin_port);
}

static void start_peer(size_t at)
{
    char script[600], spec[600], number[8], copy[600];
    char line[64] = "";
    int ends[2];
    ports[at] = free_port();
    snprintf(number, sizeof(number), "%u", ports[at]);
    snprintf(script, sizeof(script), "%s/peers/openapi-strict.js", shared);
    snprintf(spec, sizeof(spec), "%s/specs/%s", shared, apis[at].spec);
    /* node looks for modules beside the script */
    snprintf(copy, sizeof(copy), "%s/openapi-strict.js", modules);
    assert_int_equal(run((const char *const[]){"cp", script, copy, NULL}, NULL), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    peers[at] = fork();
    if (peers[at] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        execlp("node", "node", copy, spec, number, NULL);
        _exit(127);
    }
    close(ends[1]);
    struct pollfd ready = {ends[0], POLLIN, 0};
    assert_int_equal(poll(&ready, 1, 30000), 1);
    assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
    assert_memory_equal(line, "up ", 3);
}

static int start_peers(void **state)
{
    (void)state;
    for (size_t i = 0; i < API_COUNT; i++) {
        if (!is_absent[i])
            start_peer(i);
    }
    return 0;
}

static int stop_peers(void **state)
{
    (void)state;
    for (size_t i = 0; i < API_COUNT; i++) {
        if (is_absent[i])
            continue;
        kill(peers[i], SIGTERM);
        waitpid(peers[i], NULL, 0);
    }
    return 0;
}

/* --- one request --- */

/* The peer speaks plain HTTP, our client only HTTPS: what is judged here is what the connector wrote. */
static unsigned send_raw(in_port_t port, const struct connector_request *request, const void *body,
                         size_t length, char *answer, size_t capacity)
{
    char head[4096];
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    int size = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n",
                        request->method, request->path);
    for (const char *line = request->headers; *line; line = strchr(line, '\n') + 1)
        size +=
            snprintf(head + size, sizeof(head) - (size_t)size, "%.*s\r\n", (int)strcspn(line, "\n"), line);
    size += snprintf(head + size, sizeof(head) - (size_t)size, "Content-Length: %zu\r\n\r\n", length);
    assert_int_equal(write(fd, head, (size_t)size), size);
    assert_int_equal(write(fd, body, length), length);
    size_t got = 0;
    ssize_t count;
    while (got < capacity - 1 && (count = read(fd, answer + got, capacity - 1 - got)) > 0)
        got += (size_t)count;
    answer[got] = '\0';
    close(fd);
    unsigned status = 0;
    assert_int_equal(sscanf(answer, "HTTP/1.1 %u", &status), 1);
    return status;
}

static void build(const struct api *api, enum connector_operation operation, unsigned round,
                  const char *carry, bool is_authorise_only, struct connector_request *request)
{
    static const struct connector_account account = {.merchant = "TonegateTest"};
    struct connector_verdict verdict;
    struct gateway_tokenise_msg card = {.number_length = 16,
                                        .number = {4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2},
                                        .cvv_length = 3,
                                        .cvv = {1, 2, 3},
                                        .expiry_month = 2,
                                        .expiry_year = 33};
    struct connector_step step = {.operation = operation,
                                  .capture_id = 1,
                                  .call_id = 2,
                                  .attempt = 1,
                                  .amount_minor = 1999,
                                  .currency = "GBP",
                                  .round = round,
                                  .is_authorise_only = is_authorise_only,
                                  .card = round == 0 ? &card : NULL};
    snprintf(step.token, sizeof(step.token), "%s", operation == CONNECTOR_TOKENISE ? "" : api->token);
    snprintf(step.order_ref, sizeof(step.order_ref), "%s", api->order_ref);
    snprintf(step.carry, sizeof(step.carry), "%s", carry);
    snprintf(step.plan, sizeof(step.plan), "price_monthly");
    memset(request, 0, sizeof(*request));
    assert_int_equal(secret_new(&request->body, CONNECTOR_BODY_BYTES - 64), OK);
    assert_int_equal(api->connector->build(&account, &step, request, &verdict), OK);
    assert_int_equal(api->connector->authorise(&account, (const uint8_t *)"sk_test_x", 9, request), OK);
}

static void every_request_fits_the_vendors_own_description(void **state)
{
    (void)state;
    for (size_t k = 0; k < API_COUNT; k++) {
        for (size_t i = 0; !is_absent[k] && i < apis[k].step_count; i++) {
            struct connector_request request;
            char answer[8192];
            build(&apis[k], apis[k].steps[i].operation, apis[k].steps[i].round, apis[k].steps[i].carry,
                  apis[k].steps[i].is_authorise_only, &request);
            unsigned status = send_raw(ports[k], &request, secret_bytes(request.body),
                                       secret_length(request.body), answer, sizeof(answer));
            /* The description of 2024-02 knows only BILLING_AGREEMENT here; PayPal's reference for this call has
             * SETUP_TOKEN. That one difference, and no other, is let pass. */
            bool is_known =
                apis[k].steps[i].operation == CONNECTOR_TOKENISE &&
                strstr(answer, "token/type must be equal to one of the allowed values: BILLING_AGREEMENT\"}");
            if (is_known)
                status = 200;
            if (status != 200)
                print_error("%s, %s: %s\n", apis[k].spec,
                            connector_operation_name(apis[k].steps[i].operation), answer);
            assert_int_equal(status, 200);
            secret_free(request.body);
        }
    }
}

static void the_peers_do_refuse_what_the_description_does_not_allow(void **state)
{
    (void)state;
    static const struct {
        size_t api;
        enum connector_operation operation;
        const char *body;
    } rows[] = {
        {0, CONNECTOR_CREATE, "amount=19.99&currency=usd"},
        {0, CONNECTOR_CREATE, "amount=5000"},
        {0, CONNECTOR_CREATE, "amount=5000&currency=usd&a_field_of_ours=1"},
        {0, CONNECTOR_ABANDON, "cancellation_reason=because"},
        {0, CONNECTOR_CONFIRM, "amount=5000"},
        {0, CONNECTOR_CAPTURE, "amount=5000"},
        {0, CONNECTOR_VOID, "cancellation_reason=whim"},
        {1, CONNECTOR_TOKENISE, "{\"payment_source\":{\"card\":{\"number\":\"x\",\"expiry\":\"33-02\"}}}"},
        {1, CONNECTOR_TOKENISE, "{}"},
        {2, CONNECTOR_CREATE,
         "{\"purchase_units\":[{\"amount\":{\"currency_code\":\"GBP\",\"value\":\"19.99\"}}]}"},
        {2, CONNECTOR_CREATE,
         "{\"intent\":\"CAPTURE\",\"purchase_units\":[{\"amount\":{\"value\":\"19.99\"}}]}"},
        {2, CONNECTOR_CONFIRM, "{\"payment_source\":{\"card\":{\"stored_credential\":{}}}}"},
        {3, CONNECTOR_TOKENISE, "{\"merchantAccount\":\"x\"}"},
        {3, CONNECTOR_CREATE,
         "{\"merchantAccount\":\"x\",\"reference\":\"y\",\"returnUrl\":\"https://"
         "z\",\"amount\":{\"currency\":"
         "\"GBP\",\"value\":1},\"paymentMethod\":{\"type\":\"scheme\"},\"a_field_of_ours\":1}"},
        {3, CONNECTOR_CONFIRM, "{\"merchantAccount\":\"x\"}"},
        {3, CONNECTOR_REFUND, "{\"merchantAccount\":\"x\",\"amount\":{\"currency\":\"GBP\"}}"},
        {3, CONNECTOR_VOID, "{\"reference\":\"x\"}"},
        {3, CONNECTOR_LINK, "{\"merchantAccount\":\"x\",\"reference\":\"y\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct connector_request request;
        char answer[8192];
        if (is_absent[rows[i].api])
            continue;
        build(&apis[rows[i].api], rows[i].operation, 0, "", false, &request);
        unsigned status = send_raw(ports[rows[i].api], &request, rows[i].body, strlen(rows[i].body), answer,
                                   sizeof(answer));
        if (status != 400)
            print_error("%s was let through: %s\n", rows[i].body, answer);
        assert_int_equal(status, 400);
        secret_free(request.body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_fits_the_vendors_own_description),
        cmocka_unit_test(the_peers_do_refuse_what_the_description_does_not_allow),
    };
    int skipped = find_parts();
    return skipped ? skipped : cmocka_run_group_tests(tests, start_peers, stop_peers);
}
