/* What a mapping says of a session before the card, and of a login, over TLS at the strict peer. The steps are driven by
 * hand here: login, rounds, the card held over a round, exactly as connector.h has it. */
#include "gateway/connectors/generic.h"
#include "gateway/http.h"
#include "gateway/tests/peer/strict_peer.h"
#include "gateway/tests/rig.h"
#include "gateway/wipe_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OAUTH_AUTH "{kind: oauth, login_path: /oauth/token, scope: payments}"

struct driver {
    struct strict_peer peer;
    struct mapping *mapping;
    struct connector_account account;
    struct event_base *base;
    struct http_client *client;
    struct connector_request request;
    struct connector_access access; /* what a login brought */
    const char *key;
    unsigned logins;
    /* of the step under way */
    struct connector_step step;
    struct connector_verdict verdict;
    bool is_login;
};

/* --- a peer --- */

/* The token gateway's file behind a login. */
static void parse_oauth(struct driver *driver, char *message)
{
    static char text[16384], made[16384];
    FILE *file = fopen("gateway/connectors/mappings/tokens-v1.yaml", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    char *auth = strstr(text, "\nauth:");
    char *after = strstr(text, "\nidempotency:");
    assert_true(auth && after);
    int length =
        snprintf(made, sizeof(made), "%.*s\nauth: " OAUTH_AUTH "%s", (int)(auth - text), text, after);
    assert_int_equal(mapping_parse(&driver->mapping, "m", made, (size_t)length, message), OK);
}

static void open_driver(struct driver *driver, const char *dialect, const char *key)
{
    char message[MAPPING_ERROR_BYTES] = "";
    memset(driver, 0, sizeof(*driver));
    strict_peer_start(&driver->peer, dialect);
    driver->key = key;
    if (strcmp(dialect, "oauth") == 0)
        parse_oauth(driver, message);
    else
        assert_int_equal(
            mapping_load(&driver->mapping, "gateway/connectors/mappings/session-token.yaml", message), OK);
    assert_int_equal(generic_bind(driver->mapping, "rest", &driver->account, driver->peer.url, message), OK);
    driver->account.mapping = driver->mapping;
    driver->base = event_base_new();
    assert_non_null(driver->base);
    assert_int_equal(http_client_new(&driver->client, driver->base, rig_path("right/ca.pem")), OK);
    assert_int_equal(secret_new(&driver->request.body, CONNECTOR_BODY_BYTES - 64), OK);
    assert_int_equal(secret_new(&driver->request.held, CONNECTOR_BODY_BYTES - 64), OK);
}

static void close_driver(struct driver *driver)
{
    http_client_free(driver->client);
    event_base_free(driver->base);
    secret_free(driver->request.body);
    secret_free(driver->request.held);
    mapping_free(driver->mapping);
    strict_peer_stop(&driver->peer);
}

/* --- one step --- */

static void answered(void *owner, const struct http_answer *answer)
{
    struct driver *driver = owner;
    const struct connector *connector = &driver->mapping->connector;
    const struct connector_answer heard = {answer->status, answer->body, answer->body_length,
                                           answer->headers};
    assert_int_equal(answer->result, HTTP_ANSWERED);
    if (driver->is_login)
        assert_true(connector->read_login(&heard, &driver->access));
    else
        connector->read(&driver->account, &driver->step, &heard, &driver->verdict);
    event_base_loopbreak(driver->base);
}

static void send_request(struct driver *driver, struct connector_request *request)
{
    char url[HTTP_URL_BYTES];
    snprintf(url, sizeof(url), "%s%s", driver->peer.url, request->path);
    const struct http_request sent = {.method = request->method,
                                      .url = url,
                                      .headers = request->headers,
                                      .body = request->body,
                                      .connect_timeout_ms = 20000,
                                      .timeout_ms = 20000};
    assert_int_equal(http_start(NULL, driver->client, &sent, answered, driver), OK);
    event_base_dispatch(driver->base);
}

static void log_in(struct driver *driver)
{
    struct connector_request login = {.account = &driver->account};
    assert_int_equal(secret_new(&login.body, 512), OK);
    assert_int_equal(
        driver->mapping->connector.build_login((const uint8_t *)driver->key, strlen(driver->key), &login),
        OK);
    driver->is_login = true;
    send_request(driver, &login);
    driver->is_login = false;
    driver->logins++;
    secret_free(login.body);
}

static void clear_request(struct driver *driver)
{
    struct secret *body = driver->request.body, *held = driver->request.held;
    secret_wipe(body);
    wipe(&driver->request, sizeof(driver->request));
    driver->request.body = body;
    driver->request.held = held;
}

static void run_step(struct driver *driver, const char *number)
{
    const struct connector *connector = &driver->mapping->connector;
    struct gateway_tokenise_msg card = rig_tokenise(driver->step.capture_id, 1, number ? number : "4");
    driver->step.card = driver->step.operation == CONNECTOR_TOKENISE ? &card : NULL;
    do {
        clear_request(driver);
        enum err err = connector->build(&driver->account, &driver->step, &driver->request, &driver->verdict);
        driver->step.card = NULL;
        if (err == ERR_EMPTY)
            break;
        assert_int_equal(err, OK);
        if (connector->build_login && driver->access.text[0] == '\0')
            log_in(driver);
        const char *proof = connector->build_login ? driver->access.text : driver->key;
        assert_int_equal(
            connector->authorise(&driver->account, (const uint8_t *)proof, strlen(proof), &driver->request),
            OK);
        send_request(driver, &driver->request);
        driver->step.round++;
        memcpy(driver->step.carry, driver->verdict.carry, sizeof(driver->step.carry));
    } while (driver->verdict.again == CONNECTOR_NEXT);
    wipe(&card, sizeof(card));
}

static void begin(struct driver *driver, enum connector_operation operation)
{
    struct connector_step before = driver->step;
    driver->step = (struct connector_step){
        .operation = operation, .capture_id = 0xabc, .call_id = 0x77, .attempt = 1, .amount_minor = 1999};
    memcpy(driver->step.currency, "GBP", 4);
    memcpy(driver->step.token, before.token, sizeof(before.token));
    memcpy(driver->step.order_ref, before.order_ref, sizeof(before.order_ref));
    if (operation == CONNECTOR_TOKENISE) {
        driver->step.amount_minor = 0;
        driver->step.currency[0] = '\0';
    }
}

static void pay(struct driver *driver, const char *number)
{
    begin(driver, CONNECTOR_TOKENISE);
    run_step(driver, number);
    assert_int_equal(driver->verdict.outcome, GATEWAY_DONE);
    memcpy(driver->step.token, driver->verdict.token, sizeof(driver->step.token));
    begin(driver, CONNECTOR_CREATE);
    run_step(driver, NULL);
    assert_int_equal(driver->verdict.outcome, GATEWAY_DONE);
    memcpy(driver->step.order_ref, driver->verdict.order_ref, sizeof(driver->step.order_ref));
    begin(driver, CONNECTOR_CONFIRM);
    run_step(driver, NULL);
}

/* --- tests --- */

static void a_session_is_fetched_right_before_the_card_and_the_card_is_sent_once(void **state)
{
    (void)state;
    static char journal[4096];
    struct driver driver;
    open_driver(&driver, "session", "apikey");
    assert_true(driver.mapping->connector.holds_card);
    pay(&driver, "4000000000000242");
    assert_int_equal(driver.verdict.outcome, GATEWAY_DONE);
    assert_int_equal(driver.verdict.order_state, ORDER_SUCCEEDED);
    begin(&driver, CONNECTOR_STATUS);
    run_step(&driver, NULL);
    assert_int_equal(driver.verdict.order_state, ORDER_SUCCEEDED);
    strict_peer_journal(&driver.peer, journal, sizeof(journal));
    assert_string_equal(journal, "POST /Generate_Session_Token 200 \n"
                                 "POST /Submit_Card 200 card\n"
                                 "POST /Process_Payment 200 charge\n"
                                 "GET /Payments?order=cap-aaaaaaaaaaaaaklm-1 200 \n");
    assert_int_equal(secret_length(driver.request.held), 0);
    close_driver(&driver);
}

static void a_session_serves_once_and_the_peer_checks_it(void **state)
{
    (void)state;
    struct driver driver;
    open_driver(&driver, "session", "apikey");
    begin(&driver, CONNECTOR_TOKENISE);
    run_step(&driver, "4000000000000242");
    assert_int_equal(driver.verdict.outcome, GATEWAY_DONE);
    send_request(&driver, &driver.request); /* the same once more */
    assert_int_equal(driver.verdict.outcome, GATEWAY_FAILED);
    assert_int_equal(driver.verdict.reason, REASON_CONFIGURATION);
    close_driver(&driver);
}

static void a_decline_in_an_answer_that_says_200_is_a_decline(void **state)
{
    (void)state;
    struct driver driver;
    open_driver(&driver, "session", "apikey");
    begin(&driver, CONNECTOR_TOKENISE);
    run_step(&driver, "4000000000000101");
    assert_int_equal(driver.verdict.outcome, GATEWAY_DECLINED);
    assert_int_equal(driver.verdict.reason, REASON_WRONG_CVV);
    pay(&driver, "4000000000000002");
    assert_int_equal(driver.verdict.outcome, GATEWAY_DECLINED);
    assert_int_equal(driver.verdict.reason, REASON_DECLINED);
    close_driver(&driver);
}

static void a_login_is_bought_once_and_again_when_it_is_refused(void **state)
{
    (void)state;
    struct driver driver;
    open_driver(&driver, "oauth", "user:password");
    pay(&driver, "4000000000000242");
    assert_int_equal(driver.verdict.outcome, GATEWAY_DONE);
    assert_int_equal(driver.logins, 1);
    assert_int_equal(driver.access.valid_s, 3600);
    snprintf(driver.access.text, sizeof(driver.access.text), "stale");
    begin(&driver, CONNECTOR_STATUS);
    run_step(&driver, NULL);
    assert_int_equal(driver.verdict.again, CONNECTOR_LOGIN);
    assert_int_equal(driver.verdict.reason, REASON_CONFIGURATION);
    driver.access.text[0] = '\0';
    begin(&driver, CONNECTOR_STATUS);
    run_step(&driver, NULL);
    assert_int_equal(driver.verdict.order_state, ORDER_SUCCEEDED);
    assert_int_equal(driver.logins, 2);
    close_driver(&driver);
}

static void a_login_needs_the_account(void **state)
{
    (void)state;
    struct driver driver;
    struct connector_request login = {.account = NULL};
    open_driver(&driver, "oauth", "user:password");
    assert_int_equal(driver.mapping->connector.build_login((const uint8_t *)"a:b", 3, &login),
                     ERR_UNSUPPORTED);
    close_driver(&driver);
}

static void no_card_is_left_in_the_heap(void **state)
{
    (void)state;
    assert_int_equal(wipe_heap_count_pattern("4000000000000242", 16), 0);
    assert_int_equal(wipe_heap_count_pattern("4000000000000002", 16), 0);
}

static int setup(void **state)
{
    (void)state;
    rig_setup();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_teardown();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_fetched_right_before_the_card_and_the_card_is_sent_once),
        cmocka_unit_test(a_session_serves_once_and_the_peer_checks_it),
        cmocka_unit_test(a_decline_in_an_answer_that_says_200_is_a_decline),
        cmocka_unit_test(a_login_is_bought_once_and_again_when_it_is_refused),
        cmocka_unit_test(a_login_needs_the_account),
        cmocka_unit_test(no_card_is_left_in_the_heap),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
