/* Mapping files: what is refused, with file and line; the shipped ones, request by request; answers that are believed and
 * answers that are not. */
#include "gateway/connectors/generic.h"
#include "gateway/connectors/mapping_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CAPTURE      0x1122334455667788
#define CALL         0x99
#define CAPTURE_TEXT "bbccddeeffgghhii"
#define CALL_TEXT    "aaaaaaaaaaaaaajj"

/* --- a file --- */

#define HEAD "format: json\nauth: {kind: bearer}\n"
#define TOKENISE                                                                                             \
    "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {n: \"{card.number}\"}\n"           \
    "    answer: {token: id}\n"

static void a_mapping_that_is_wrong_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message; /* part of it */
    } rows[] = {
        {"", "m:1: the file is empty"},
        {"format: json\nauth: [", "m:3: not YAML"},
        {"format: yaml\nauth: {kind: none}\n", "m:1: format: expected one of json xml, found \"yaml\""},
        {"format: json\n" TOKENISE, "m:1: the mapping: key \"auth\" is missing"},
        {HEAD "colour: red\n", "m:3: unknown key \"colour\" in the mapping"},
        {HEAD "format: json\n", "m:3: key \"format\" stands twice"},
        {HEAD "operations: {}\n", "m:1: operations: expected at least one"},
        {HEAD "operations: {pay: {}}\n", "m:3: unknown key \"pay\" in operations"},
        {"format: json\nauth: {kind: magic}\n",
         "m:2: kind: expected one of bearer basic header oauth none sigv4"},
        {"format: json\nauth: {kind: header}\n", "m:2: auth: header goes with kind header"},
        {"format: json\nauth: {kind: oauth}\n", "m:2: auth: login_path goes with kind oauth"},
        {"format: json\nauth: {kind: basic, second_header: X-K}\n", "m:2: auth: second_header goes with"},
        {"format: json\nauth: {kind: header, header: Host}\n", "m:2: header: \"Host\" is no header"},
        {HEAD "idempotency: {}\n", "m:3: idempotency: expected header: NAME or in_body: true"},
        {HEAD "headers: {Content-Length: \"1\"}\n" TOKENISE, "m:3: headers: \"Content-Length\" is no header"},
        {HEAD "headers: {X-A: \"{token}\"}\n" TOKENISE, "m:3: X-A: {token} is not there in this operation"},
        /* card values where they must not be */
        {HEAD "headers: {X-Card: \"{card.number}\"}\n" TOKENISE,
         "m:3: X-Card: {card.number} is of the card and may only stand in the body"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: \"/t/{card.number}\"\n",
         "m:6: path: {card.number} is of the card and may only stand in the body"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: \"/t?cvv={card.cvv}\"\n",
         "m:6: path: {card.cvv} is of the card"},
        {HEAD "operations:\n  tokenise:\n    headers: {X-Expiry: \"{card.expiry_month}\"}\n",
         "m:5: X-Expiry: {card.expiry_month} is of the card"},
        {HEAD "operations:\n  confirm:\n    method: POST\n    path: /c\n    body: {n: \"{card.number}\"}\n",
         "m:7: n: {card.number} is not there in this operation"},
        {HEAD "operations:\n  tokenise:\n    session:\n      method: POST\n      path: /s\n"
              "      body: {n: \"{card.number}\"}\n",
         "m:8: n: {card.number} is of the card and may only stand in the body that carries it"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {n: \"{session}\"}\n",
         "m:7: n: {session} needs a session"},
        {HEAD "operations:\n  confirm:\n    session: {method: GET, path: /s, token: t}\n",
         "m:5: confirm: only tokenise may ask for a session"},
        /* values */
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {n: \"{card.nmber}\"}\n",
         "m:7: n: {card.nmber} is not a name that a mapping knows"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {n: \"{card.number\"}\n",
         "m:7: n: expected {name}"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {n: "
              "\"{card.number|number}\"}\n",
         "m:7: n: {card.number} cannot be a number"},
        {HEAD
         "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {n: \"a{attempt|text}\"}\n",
         "m:7: n: {attempt} has a type"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body:\n      a.b: x\n      c: "
              "x\n      a.d: x\n",
         "m:10: body: \"a.d\" belongs to an object that other fields ended"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {a: x, a.b: x}\n",
         "m:7: body: \"a.b\" stands twice"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {a.0: x, a.b: x}\n",
         "m:7: body: \"a.b\" is a list in one place"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {0: x}\n",
         "m:7: body: \"0\" is a list in one place"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {a..b: x}\n",
         "m:7: body: \"a..b\" is no field"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {a.b.c.d.e.f.g.h.i: x}\n",
         "m:7: body: \"a.b.c.d.e.f.g.h.i\" is no field"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {a: {}}\n",
         "m:7: body: expected a mapping that is not empty"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {a: [x]}\n",
         "m:7: a: expected a value, found a list"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: t\n", "m:6: path: expected a path"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /../t\n", "m:6: path: expected a path"},
        {HEAD "operations:\n  tokenise:\n    method: FETCH\n", "m:5: method: expected one of GET POST"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {a: x}\n    answer: "
              "{token: t}\n",
         "m:5: tokenise: no field of its body is {card.number}"},
        {HEAD "operations:\n  tokenise:\n    method: POST\n    path: /t\n    body: {a: \"{card.number}\"}\n",
         "m:5: tokenise: its answer must say where the token is"},
        {HEAD "operations:\n  status:\n    method: GET\n    path: /s\n    body: {a: x}\n",
         "m:5: status: a GET has no body"},
        {HEAD "operations:\n  link: {method: POST, path: /l}\n",
         "m:4: link: its answer must say where the url is"},
        {HEAD "operations:\n  confirm:\n    method: POST\n    path: /c\n",
         "m:5: confirm needs the operation status"},
        {HEAD "operations:\n  status: {method: GET, path: /s}\n  confirm:\n    method: POST\n    path: /c\n"
              "    results: [{http: 200, outcome: done}]\n",
         "m:6: confirm: every result done must name a status"},
        {HEAD "operations:\n  status: {method: GET, path: /s}\n  confirm: {method: POST, path: /c}\n"
              "results: [{outcome: done}]\n",
         "m:5: confirm: every result done must name a status"},
        /* results and answers */
        {HEAD "results: [{http: 2x, outcome: done}]\n" TOKENISE, "m:3: http: expected a status"},
        {HEAD "results: [{http: 200}]\n" TOKENISE, "m:3: results: key \"outcome\" is missing"},
        {HEAD "results: [{outcome: paid}]\n" TOKENISE, "m:3: outcome: expected one of done declined"},
        {HEAD "results: [{outcome: done, reason: configuration}]\n" TOKENISE,
         "m:3: results: done cannot have"},
        {HEAD "results: [{outcome: declined, state: open}]\n" TOKENISE, "m:3: results: a state goes with"},
        {HEAD "results: [{outcome: declined, again: true}]\n" TOKENISE, "m:3: results: again goes with"},
        {HEAD "results: [{outcome: declined, again: yes}]\n" TOKENISE,
         "m:3: again: expected one of false true"},
        {HEAD "results: {outcome: done}\n" TOKENISE, "m:3: results: expected a list"},
        {HEAD "operations:\n  tokenise:\n    answer: {token: a..b}\n", "m:5: token: expected a dotted path"},
        {HEAD "operations:\n  tokenise:\n    answer: {tokn: a}\n", "m:5: unknown key \"tokn\" in answer"},
        /* XML */
        {"format: xml\nauth: {kind: none}\n" TOKENISE, "m:1: format xml needs root"},
        {"format: xml\nroot: a b\nauth: {kind: none}\n" TOKENISE, "m:1: format xml needs root"},
        {HEAD "root: r\n" TOKENISE, "m:1: root goes with format xml"},
        {"format: xml\nroot: r\nauth: {kind: none}\noperations:\n  tokenise:\n    method: POST\n    path: "
         "/t\n"
         "    body: {a.0: x}\n",
         "m:8: body: \"a.0\" is no field"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mapping *mapping = (struct mapping *)state;
        char message[MAPPING_ERROR_BYTES];
        enum err err = mapping_parse(&mapping, "m", rows[i].text, strlen(rows[i].text), message);
        if (err != ERR_SYNTAX || !strstr(message, rows[i].message))
            print_error("row %zu: %s\n%s\n", i, message, rows[i].text);
        assert_int_equal(err, ERR_SYNTAX);
        assert_non_null(strstr(message, rows[i].message));
        assert_null(mapping);
    }
}

static void a_mapping_that_is_too_much_is_refused(void **state)
{
    (void)state;
    static char text[LIMIT_CONFIG_BYTES + 16];
    struct mapping *mapping;
    char message[MAPPING_ERROR_BYTES];
    memset(text, '#', sizeof(text));
    assert_int_equal(mapping_parse(&mapping, "m", text, LIMIT_CONFIG_BYTES + 1, message), ERR_LENGTH);
    size_t length = (size_t)snprintf(text, sizeof(text), HEAD "headers:\n");
    for (unsigned i = 0; i <= MAPPING_FIELDS_MAX; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "  X-%u: a\n", i);
    length += (size_t)snprintf(text + length, sizeof(text) - length, TOKENISE);
    assert_int_equal(mapping_parse(&mapping, "m", text, length, message), ERR_SYNTAX);
    assert_non_null(strstr(message, "m:260: the file has more than 256 fields"));
    length = (size_t)snprintf(text, sizeof(text), HEAD "results:\n");
    for (unsigned i = 0; i <= MAPPING_RESULTS_MAX; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "  - {outcome: done}\n");
    length += (size_t)snprintf(text + length, sizeof(text) - length, TOKENISE);
    assert_int_equal(mapping_parse(&mapping, "m", text, length, message), ERR_SYNTAX);
    assert_non_null(strstr(message, "m:132: the file has more than 128 results"));
    assert_int_equal(mapping_load(&mapping, "/nowhere/mapping.yaml", message), ERR_SYSTEM);
    assert_non_null(strstr(message, "/nowhere/mapping.yaml: cannot be opened"));
    assert_int_equal(mapping_load(&mapping, "/dev", message), ERR_LENGTH);
}

static void a_connector_and_its_mapping_must_fit(void **state)
{
    (void)state;
    static const struct connector_account signs = {.region = "eu-central-1", .service = "execute-api"};
    static const struct connector_account plain = {.merchant = ""};
    static const char json[] = HEAD TOKENISE;
    static const char sigv4[] = "format: json\nauth: {kind: sigv4}\n" TOKENISE;
    static const struct {
        const char *text, *name, *url;
        const struct connector_account *account;
        const char *message; /* NULL: fits */
    } rows[] = {
        {json, "rest", "https://a/base", &plain, NULL},
        {json, "xml", "https://a", &plain, "format is not the connector's"},
        {json, "aws", "https://a", &signs, "connector aws needs auth kind sigv4"},
        {json, "stripe", "https://a", &plain, "not the name of a generic connector"},
        {sigv4, "aws", "https://a/", &signs, NULL},
        {sigv4, "rest", "https://a", &signs, NULL},
        {sigv4, "aws", "https://a", &plain, "needs gateway.region and gateway.service"},
        {sigv4, "aws", "https://a/prod", &signs, "put the path of gateway.url into the mapping's paths"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mapping *mapping;
        char message[MAPPING_ERROR_BYTES] = "";
        assert_int_equal(mapping_parse(&mapping, "m", rows[i].text, strlen(rows[i].text), message), OK);
        enum err err = generic_bind(mapping, rows[i].name, rows[i].account, rows[i].url, message);
        assert_int_equal(err, rows[i].message ? ERR_SYNTAX : OK);
        if (rows[i].message)
            assert_non_null(strstr(message, rows[i].message));
        mapping_free(mapping);
    }
}

static void the_check_of_a_configuration_reads_the_mapping(void **state)
{
    (void)state;
    struct config config;
    char message[MAPPING_ERROR_BYTES];
    memset(&config, 0, sizeof(config));
    assert_int_equal(generic_check(&config, message), OK);
    snprintf(config.gateway.mapping, sizeof(config.gateway.mapping),
             "gateway/connectors/mappings/tokens-v1.yaml");
    assert_int_equal(generic_check(&config, message), ERR_SYNTAX);
    snprintf(config.gateway.connector, sizeof(config.gateway.connector), "rest");
    assert_int_equal(generic_check(&config, message), OK);
    config.gateway.mapping[0] = '\0';
    assert_int_equal(generic_check(&config, message), ERR_SYNTAX);
    assert_non_null(strstr(message, "needs gateway.mapping"));
    snprintf(config.gateway.mapping, sizeof(config.gateway.mapping), "gateway/CMakeLists.txt");
    assert_int_equal(generic_check(&config, message), ERR_SYNTAX);
    assert_non_null(strstr(message, "gateway/CMakeLists.txt:"));
}

/* The paper's worked example is one. */
static void the_example_of_the_readme_is_a_mapping(void **state)
{
    (void)state;
    static char text[65536];
    struct mapping *mapping;
    char message[MAPPING_ERROR_BYTES] = "";
    FILE *file = fopen("gateway/README.md", "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    char *start = strstr(text, "```yaml\nformat:");
    assert_non_null(start);
    start += 8;
    char *end = strstr(start, "```");
    assert_non_null(end);
    enum err err = mapping_parse(&mapping, "README", start, (size_t)(end - start), message);
    if (err)
        print_error("%s\n", message);
    assert_int_equal(err, OK);
    mapping_free(mapping);
}

/* --- requests --- */

static struct gateway_tokenise_msg card_of(unsigned cvv_length)
{
    return (struct gateway_tokenise_msg){.number_length = 16,
                                         .number = {4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2, 4, 2},
                                         .cvv_length = (uint8_t)cvv_length,
                                         .cvv = {1, 2, 3},
                                         .expiry_month = 4,
                                         .expiry_year = 31};
}

static struct connector_step step_of(enum connector_operation operation)
{
    struct connector_step step = {.operation = operation,
                                  .capture_id = CAPTURE,
                                  .call_id = CALL,
                                  .attempt = 1,
                                  .amount_minor = operation == CONNECTOR_TOKENISE ? 0 : 4250,
                                  .currency = "EUR",
                                  .token = "tok_1",
                                  .order_ref = "pay_1",
                                  .customer = "cus_7",
                                  .plan = "recurring_monthly_premium",
                                  .interval_count = 1,
                                  .interval_unit = INTERVAL_MONTH,
                                  .reference = "Inv 17/\"a\""};
    if (operation == CONNECTOR_TOKENISE)
        step.currency[0] = '\0';
    return step;
}

struct built {
    struct mapping *mapping;
    struct connector_account account;
    struct connector_request request;
    struct connector_verdict verdict;
    char body[CONNECTOR_BODY_BYTES];
};

static void open_file(struct built *built, const char *name, const char *file)
{
    char message[MAPPING_ERROR_BYTES] = "";
    memset(built, 0, sizeof(*built));
    snprintf(built->account.region, LIMIT_NAME_BYTES, "eu-central-1");
    snprintf(built->account.service, LIMIT_NAME_BYTES, "execute-api");
    snprintf(built->account.merchant, LIMIT_NAME_BYTES, "M1");
    enum err err = generic_open(&built->mapping, name, file, &built->account, "https://h", message);
    if (err)
        print_error("%s\n", message);
    assert_int_equal(err, OK);
    built->account.mapping = built->mapping;
    assert_int_equal(secret_new(&built->request.body, CONNECTOR_BODY_BYTES - 64), OK);
    assert_int_equal(secret_new(&built->request.held, CONNECTOR_BODY_BYTES - 64), OK);
}

static void close_file(struct built *built)
{
    secret_free(built->request.body);
    secret_free(built->request.held);
    mapping_free(built->mapping);
}

static enum err build(struct built *built, const struct connector_step *step)
{
    struct secret *body = built->request.body;
    struct secret *held = built->request.held;
    secret_wipe(body);
    memset(&built->request, 0, sizeof(built->request));
    built->request.body = body;
    built->request.held = held;
    enum err err = built->mapping->connector.build(&built->account, step, &built->request, &built->verdict);
    snprintf(built->body, sizeof(built->body), "%.*s", (int)secret_length(body),
             (const char *)secret_bytes(body));
    return err;
}

static void every_request_of_the_token_gateway_is_as_its_file_says(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        const char *method, *path, *body;
    } rows[] = {
        {CONNECTOR_TOKENISE, "POST", "/v1/tokens",
         "{\"card_number\":\"4242424242424242\",\"cvv\":\"123\",\"expiry_month\":\"04\",\"expiry_year\":"
         "\"2031\","
         "\"customer_id\":\"cus_7\",\"recurring_flag\":true,\"metadata\":{\"call_id\":\"" CALL_TEXT
         "\",\"interaction_id\":\"" CAPTURE_TEXT "\",\"source\":\"ivr_payment_flow\"}}"},
        {CONNECTOR_CREATE, "POST", "/v1/payments",
         "{\"token\":\"tok_1\",\"amount\":4250,\"currency\":\"EUR\",\"capture\":true,\"metadata\":{\"call_"
         "id\":\"" CALL_TEXT "\",\"capture_id\":\"" CAPTURE_TEXT "\"}}"},
        {CONNECTOR_CONFIRM, "POST", "/v1/payments/pay_1/confirm", ""},
        {CONNECTOR_STATUS, "GET", "/v1/payments/pay_1", ""},
        {CONNECTOR_ABANDON, "POST", "/v1/payments/pay_1/cancel", ""},
        {CONNECTOR_CAPTURE, "POST", "/v1/payments/pay_1/capture", "{\"amount\":4250}"},
        {CONNECTOR_VOID, "POST", "/v1/payments/pay_1/void", ""},
        {CONNECTOR_REFUND, "POST", "/v1/payments/pay_1/refunds",
         "{\"amount\":4250,\"currency\":\"EUR\",\"reference\":\"Inv 17/\\\"a\\\"\"}"},
        {CONNECTOR_SUBSCRIBE, "POST", "/v1/subscriptions",
         "{\"customer_id\":\"cus_7\",\"payment_method_token\":\"tok_1\",\"plan_id\":\"recurring_monthly_"
         "premium\","
         "\"interval_count\":1,\"interval_unit\":\"month\",\"metadata\":{\"ivr_session_id\":\"" CALL_TEXT
         "\"}}"},
        {CONNECTOR_LINK, "POST", "/v1/payment_links",
         "{\"amount\":4250,\"currency\":\"EUR\",\"reference\":\"Inv 17/\\\"a\\\"\"}"},
    };
    struct built built;
    open_file(&built, "rest", "gateway/connectors/mappings/tokens-v1.yaml");
    assert_int_equal(built.mapping->connector.operations, (1u << CONNECTOR_OPERATIONS) - 1);
    assert_true(built.mapping->connector.is_replay_safe);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct connector_step step = step_of(rows[i].operation);
        struct gateway_tokenise_msg card = card_of(3);
        step.card = rows[i].operation == CONNECTOR_TOKENISE ? &card : NULL;
        assert_int_equal(build(&built, &step), OK);
        assert_string_equal(built.request.method, rows[i].method);
        assert_string_equal(built.request.path, rows[i].path);
        assert_string_equal(built.body, rows[i].body);
        assert_int_equal(built.request.has_card, rows[i].operation == CONNECTOR_TOKENISE);
        bool is_get = strcmp(rows[i].method, "GET") == 0;
        const char *named = rows[i].operation >= CONNECTOR_CAPTURE ? "Idempotency-Key: ord_" CAPTURE_TEXT
                                                                   : "Idempotency-Key: cap_" CAPTURE_TEXT;
        assert_int_equal(strstr(built.request.headers, named) != NULL, !is_get);
        assert_int_equal(strstr(built.request.headers, "Content-Type: application/json\n") != NULL,
                         rows[i].body[0] != '\0');
        assert_null(strstr(built.request.headers, "4242"));
        assert_int_equal(built.mapping->connector.authorise(&built.account, (const uint8_t *)"bear:apikey",
                                                            11, &built.request),
                         OK);
        assert_non_null(strstr(built.request.headers, "Authorization: Bearer bear\nX-API-Key: apikey\n"));
    }
    close_file(&built);
}

static void what_a_step_lacks_is_left_out_or_refused(void **state)
{
    (void)state;
    struct built built;
    struct gateway_tokenise_msg card = card_of(0);
    struct connector_step step = step_of(CONNECTOR_TOKENISE);
    open_file(&built, "rest", "gateway/connectors/mappings/tokens-v1.yaml");
    step.card = &card;
    step.customer[0] = '\0';
    step.call_id = 0;
    assert_int_equal(build(&built, &step), OK);
    assert_string_equal(built.body,
                        "{\"card_number\":\"4242424242424242\",\"expiry_month\":\"04\","
                        "\"expiry_year\":\"2031\",\"recurring_flag\":true,\"metadata\":{"
                        "\"interaction_id\":\"" CAPTURE_TEXT "\",\"source\":\"ivr_payment_flow\"}}");
    step.amount_minor = 4250;
    memcpy(step.currency, "JPY", 4);
    assert_int_equal(build(&built, &step), OK);
    assert_non_null(strstr(built.body, ",\"amount\":4250,\"currency\":\"JPY\","));
    memcpy(step.currency, "KWD", 4);
    assert_int_equal(build(&built, &step), OK);
    assert_non_null(strstr(built.body, ",\"amount\":4.250,\"currency\":\"KWD\","));
    step.card = NULL; /* a later round without one */
    assert_int_equal(build(&built, &step), ERR_RANGE);
    step = step_of(CONNECTOR_CONFIRM);
    memset(step.order_ref, 0, sizeof(step.order_ref));
    assert_int_equal(build(&built, &step), ERR_RANGE);
    step = step_of(CONNECTOR_STATUS);
    memset(step.order_ref, 0, sizeof(step.order_ref));
    assert_int_equal(build(&built, &step), ERR_EMPTY);
    assert_int_equal(built.verdict.order_state, ORDER_UNKNOWN_TO_GATEWAY);
    step = step_of(CONNECTOR_CREATE);
    step.amount_minor = 0;
    assert_int_equal(build(&built, &step), ERR_RANGE);
    step = step_of(CONNECTOR_CREATE);
    step.is_authorise_only = true;
    assert_int_equal(build(&built, &step), OK);
    assert_non_null(strstr(built.body, "\"capture\":false"));
    step = step_of(CONNECTOR_SUBSCRIBE);
    step.amount_minor = 0;
    step.interval_count = 0;
    step.interval_unit = INTERVAL_OF_PLAN;
    assert_int_equal(build(&built, &step), OK);
    assert_null(strstr(built.body, "interval"));
    close_file(&built);
}

static void values_cannot_break_out_of_path_header_or_body(void **state)
{
    (void)state;
    struct built built;
    struct connector_step step = step_of(CONNECTOR_STATUS);
    open_file(&built, "rest", "gateway/connectors/mappings/tokens-v1.yaml");
    snprintf(step.order_ref, sizeof(step.order_ref), "a/../b?x=1&y#z%%20\"");
    assert_int_equal(build(&built, &step), OK);
    assert_string_equal(built.request.path, "/v1/payments/a%2F..%2Fb%3Fx%3D1%26y%23z%2520%22");
    snprintf(step.order_ref, sizeof(step.order_ref), "a\nX-Evil: 1");
    assert_int_equal(build(&built, &step), ERR_RANGE);
    step = step_of(CONNECTOR_REFUND);
    snprintf(step.reference, sizeof(step.reference), "\",\"amount\":1,\"x\":\"\\");
    assert_int_equal(build(&built, &step), OK);
    assert_non_null(strstr(built.body, "\"reference\":\"\\\",\\\"amount\\\":1,\\\"x\\\":\\\"\\\\\"}"));
    snprintf(step.reference, sizeof(step.reference), "a\x01z"); /* the mark of a session */
    assert_int_equal(build(&built, &step), ERR_RANGE);
    memset(step.order_ref, 'x', sizeof(step.order_ref)); /* not terminated */
    assert_int_equal(build(&built, &step), ERR_RANGE);
    close_file(&built);
}

static void the_session_is_the_last_thing_before_the_card(void **state)
{
    (void)state;
    struct built built;
    struct gateway_tokenise_msg card = card_of(3);
    struct connector_step step = step_of(CONNECTOR_TOKENISE);
    open_file(&built, "rest", "gateway/connectors/mappings/session-token.yaml");
    step.card = &card;
    memset(step.token, 0, sizeof(step.token));
    assert_int_equal(build(&built, &step), OK);
    assert_string_equal(built.request.path, "/Generate_Session_Token");
    assert_string_equal(built.body, "{\"Reference\":\"" CAPTURE_TEXT "\"}");
    assert_false(built.request.has_card);
    assert_true(secret_length(built.request.held) > 0);
    static const char said[] = "{\"Session_Token\":\"sess+A/1==\"}";
    const struct connector_answer answer = {200, (const uint8_t *)said, sizeof(said) - 1, ""};
    built.mapping->connector.read(&built.account, &step, &answer, &built.verdict);
    assert_int_equal(built.verdict.again, CONNECTOR_NEXT);
    assert_string_equal(built.verdict.carry, "sess+A/1==");
    /* The card is gone; what is held goes out with the session in its place. */
    step.card = NULL;
    step.round = 1;
    memcpy(step.carry, built.verdict.carry, sizeof(step.carry));
    assert_int_equal(build(&built, &step), OK);
    assert_string_equal(built.request.path, "/Submit_Card");
    assert_true(built.request.has_card);
    assert_string_equal(built.body, "{\"Session_Token\":\"sess+A/1==\",\"CC_Number\":\"4242424242424242\","
                                    "\"Expiry\":\"0431\",\"CVV\":\"123\"}");
    assert_int_equal(secret_length(built.request.held), 0);
    assert_int_equal(build(&built, &step), ERR_RANGE); /* only once */
    /* Without room to hold it, the card is not taken at all. */
    secret_free(built.request.held);
    built.request.held = NULL;
    step.card = &card;
    step.round = 0;
    assert_int_equal(build(&built, &step), ERR_UNSUPPORTED);
    assert_int_equal(secret_length(built.request.body), 0);
    close_file(&built);
}

static void sessions_that_are_none_are_not_sent(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *body;
        enum gateway_outcome outcome;
    } rows[] = {
        {200, "{\"Session_Token\":\"\"}", GATEWAY_FAILED},
        {200, "{\"Session_Token\":\"a\\\",\\\"b\\\":\\\"\"}", GATEWAY_FAILED},
        {200, "{\"Session_Token\":17}", GATEWAY_DONE + 100}, /* a number is as good as its digits */
        {200, "{}", GATEWAY_FAILED},
        {200, "no", GATEWAY_FAILED},
        {400, "{\"Session_Token\":\"abc\"}", GATEWAY_FAILED},
        {401, "", GATEWAY_FAILED},
        {503, "", GATEWAY_UNAVAILABLE},
    };
    struct built built;
    struct connector_step step = step_of(CONNECTOR_TOKENISE);
    open_file(&built, "rest", "gateway/connectors/mappings/session-token.yaml");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct connector_answer answer = {rows[i].status, (const uint8_t *)rows[i].body,
                                                strlen(rows[i].body), ""};
        built.mapping->connector.read(&built.account, &step, &answer, &built.verdict);
        bool is_next = rows[i].outcome >= GATEWAY_OUTCOMES;
        assert_int_equal(built.verdict.again == CONNECTOR_NEXT, is_next);
        if (!is_next)
            assert_int_equal(built.verdict.outcome, rows[i].outcome);
    }
    close_file(&built);
}

/* --- answers --- */

#define PAYMENT(status, amount, currency)                                                                    \
    "{\"id\":\"pay_1\",\"status\":\"" status "\",\"amount\":" amount ",\"currency\":\"" currency "\"}"

static void answers_are_told_by_the_table_and_not_believed_beyond(void **state)
{
    (void)state;
    static const struct {
        enum connector_operation operation;
        unsigned status;
        const char *body;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
        enum gateway_reason reason;
        enum connector_again again;
    } rows[] = {
        {CONNECTOR_TOKENISE, 201, "{\"token\":\"tok_9\"}", GATEWAY_DONE, ORDER_NONE, REASON_NONE,
         CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 201, "{\"token\":\"4242424242424242\"}", GATEWAY_FAILED, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 201, "{\"token\":null}", GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER,
         CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 200, "{\"token\":\"tok_9\"}", GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER,
         CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 201, "<html>", GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER, CONNECTOR_FINAL},
        /* requirement S1-28 */
        {CONNECTOR_TOKENISE, 402, "{\"error_code\":\"CVV_Mismatch\"}", GATEWAY_DECLINED, ORDER_NONE,
         REASON_WRONG_CVV, CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 400, "{\"error_code\":\"Card_Declined\"}", GATEWAY_DECLINED, ORDER_NONE,
         REASON_DECLINED, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 402, "{\"error_code\":\"CVV_Mismatch\"}", GATEWAY_DECLINED, ORDER_NONE,
         REASON_WRONG_CVV, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 402, "{\"error_code\":\"Card_Declined\"}", GATEWAY_DECLINED, ORDER_NONE,
         REASON_DECLINED, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 402, "{\"error_code\":\"Expired_Card\"}", GATEWAY_DECLINED, ORDER_NONE,
         REASON_EXPIRED, CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 400, "{\"error_code\":\"Bad_Request\"}", GATEWAY_FAILED, ORDER_NONE,
         REASON_CONFIGURATION, CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 404, "{}", GATEWAY_FAILED, ORDER_NONE, REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 401, "", GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION, CONNECTOR_FINAL},
        {CONNECTOR_TOKENISE, 429, "", GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {CONNECTOR_TOKENISE, 503, "{}", GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {CONNECTOR_CREATE, 201, PAYMENT("created", "4250", "EUR"), GATEWAY_DONE, ORDER_OPEN, REASON_NONE,
         CONNECTOR_FINAL},
        {CONNECTOR_CREATE, 201, PAYMENT("created", "4251", "EUR"), GATEWAY_FAILED, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_CREATE, 201, PAYMENT("created", "4250", "USD"), GATEWAY_FAILED, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_CREATE, 500, "", GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {CONNECTOR_CONFIRM, 200, PAYMENT("succeeded", "4250", "EUR"), GATEWAY_DONE, ORDER_SUCCEEDED,
         REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, PAYMENT("succeeded", "\"4250\"", "eur"), GATEWAY_DONE, ORDER_SUCCEEDED,
         REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, PAYMENT("authorised", "4250", "EUR"), GATEWAY_DONE, ORDER_AUTHORISED,
         REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, PAYMENT("pending", "4250", "EUR"), GATEWAY_DONE, ORDER_PENDING, REASON_NONE,
         CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, PAYMENT("succeeded", "425", "EUR"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, PAYMENT("succeeded", "42.50", "EUR"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, PAYMENT("succeeded", "4250", "GBP"), GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200,
         "{\"id\":\"pay_2\",\"status\":\"succeeded\",\"amount\":4250,\"currency\":\"EUR\"}",
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, "{\"status\":\"succeeded\",\"amount\":4250,\"currency\":\"EUR\"}",
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, "{\"status\":\"fine\"}", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER,
         CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, "", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER, CONNECTOR_FINAL},
        /* a decline that says 200 */
        {CONNECTOR_CONFIRM, 200, "{\"status\":\"declined\",\"error_code\":\"CVV_Mismatch\"}",
         GATEWAY_DECLINED, ORDER_NONE, REASON_WRONG_CVV, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 200, "{\"status\":\"declined\"}", GATEWAY_DECLINED, ORDER_NONE, REASON_DECLINED,
         CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 409, "{}", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {CONNECTOR_CONFIRM, 503, "", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE, CONNECTOR_AGAIN},
        {CONNECTOR_CONFIRM, 404, "<html>", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_CONFIRM, 302, "{\"status\":\"succeeded\"}", GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_STATUS, 200, PAYMENT("created", "4250", "EUR"), GATEWAY_DONE, ORDER_OPEN, REASON_NONE,
         CONNECTOR_FINAL},
        {CONNECTOR_STATUS, 200, PAYMENT("declined", "4250", "EUR"), GATEWAY_DONE, ORDER_OPEN, REASON_DECLINED,
         CONNECTOR_FINAL},
        {CONNECTOR_STATUS, 200, PAYMENT("succeeded", "4250", "EUR"), GATEWAY_DONE, ORDER_SUCCEEDED,
         REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_STATUS, 200, "{\"id\":\"pay_2\",\"status\":\"created\"}", GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_STATUS, 404, "{\"error_code\":\"Payment_Not_Found\"}", GATEWAY_DONE,
         ORDER_UNKNOWN_TO_GATEWAY, REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_STATUS, 404, "<html>not here</html>", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER,
         CONNECTOR_FINAL},
        {CONNECTOR_ABANDON, 200, PAYMENT("cancelled", "4250", "EUR"), GATEWAY_DONE, ORDER_CANCELLED,
         REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_ABANDON, 200, PAYMENT("succeeded", "4250", "EUR"), GATEWAY_FAILED, ORDER_SUCCEEDED,
         REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_CAPTURE, 200, PAYMENT("succeeded", "4250", "EUR"), GATEWAY_DONE, ORDER_SUCCEEDED,
         REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_VOID, 200, PAYMENT("cancelled", "4250", "EUR"), GATEWAY_DONE, ORDER_CANCELLED, REASON_NONE,
         CONNECTOR_FINAL},
        {CONNECTOR_REFUND, 201,
         "{\"id\":\"ref_1\",\"status\":\"refunded\",\"amount\":4250,\"currency\":\"EUR\"}", GATEWAY_DONE,
         ORDER_NONE, REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_SUBSCRIBE, 201, "{\"subscription_id\":\"sub_1\",\"status\":\"active\"}", GATEWAY_DONE,
         ORDER_NONE, REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_SUBSCRIBE, 201, "{\"status\":\"active\"}", GATEWAY_NO_ANSWER, ORDER_NONE,
         REASON_BAD_ANSWER, CONNECTOR_FINAL},
        {CONNECTOR_LINK, 201, "{\"id\":\"lnk_1\",\"url\":\"https://pay.example/p/1\"}", GATEWAY_DONE,
         ORDER_NONE, REASON_NONE, CONNECTOR_FINAL},
        {CONNECTOR_LINK, 201, "{\"id\":\"lnk_1\",\"url\":\"http://pay.example/p/1\"}", GATEWAY_NO_ANSWER,
         ORDER_NONE, REASON_BAD_ANSWER, CONNECTOR_FINAL},
    };
    struct built built;
    open_file(&built, "rest", "gateway/connectors/mappings/tokens-v1.yaml");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct connector_step step = step_of(rows[i].operation);
        const struct connector_answer answer = {rows[i].status, (const uint8_t *)rows[i].body,
                                                strlen(rows[i].body), ""};
        built.mapping->connector.read(&built.account, &step, &answer, &built.verdict);
        if (built.verdict.outcome != rows[i].outcome || built.verdict.reason != rows[i].reason)
            print_error("row %zu: %s\n", i, rows[i].body);
        assert_int_equal(built.verdict.outcome, rows[i].outcome);
        assert_int_equal(built.verdict.order_state, rows[i].state);
        assert_int_equal(built.verdict.reason, rows[i].reason);
        assert_int_equal(built.verdict.again, rows[i].again);
    }
    close_file(&built);
}

static void decimal_amounts_are_believed_to_the_last_digit(void **state)
{
    (void)state;
    static const struct {
        const char *amount;
        bool is_believed;
    } rows[] = {
        {"\"42.50\"", true}, {"42.5", true},   {"42.50", true},      {"42.500", true},   {"\"42.5\"", false},
        {"42.504", false},   {"42.51", false}, {"\"42,50\"", false}, {"4250", false},    {"\"4250\"", false},
        {"null", false},     {"-42.5", false}, {"1e400", false},     {"42.4999", false},
    };
    struct built built;
    open_file(&built, "rest", "gateway/connectors/mappings/session-token.yaml");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[200];
        struct connector_step step = step_of(CONNECTOR_CONFIRM);
        snprintf(body, sizeof(body),
                 "{\"Order\":\"pay_1\",\"Status\":\"Approved\",\"Amount\":%s,\"Currency\":\"EUR\"}",
                 rows[i].amount);
        const struct connector_answer answer = {200, (const uint8_t *)body, strlen(body), ""};
        built.mapping->connector.read(&built.account, &step, &answer, &built.verdict);
        if ((built.verdict.outcome == GATEWAY_DONE) != rows[i].is_believed)
            print_error("%s\n", body);
        assert_int_equal(built.verdict.outcome, rows[i].is_believed ? GATEWAY_DONE : GATEWAY_NO_ANSWER);
    }
    close_file(&built);
}

static void without_an_order_or_a_cancellation_the_payment_is_named_and_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
    } rows[] = {{"Unknown", GATEWAY_DONE, ORDER_CANCELLED},
                {"Declined", GATEWAY_DONE, ORDER_CANCELLED},
                {"Approved", GATEWAY_FAILED, ORDER_SUCCEEDED},
                {"Whatever", GATEWAY_NO_ANSWER, ORDER_NONE}};
    struct built built;
    struct connector_step step = step_of(CONNECTOR_CREATE);
    open_file(&built, "rest", "gateway/connectors/mappings/session-token.yaml");
    assert_false(built.mapping->connector.is_replay_safe);
    assert_int_equal(build(&built, &step), ERR_EMPTY);
    assert_string_equal(built.verdict.order_ref, "cap-" CAPTURE_TEXT "-1");
    step = step_of(CONNECTOR_ABANDON);
    memcpy(step.order_ref, built.verdict.order_ref, sizeof(step.order_ref));
    assert_int_equal(build(&built, &step), OK);
    assert_string_equal(built.request.path, "/Payments?order=cap-" CAPTURE_TEXT "-1");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[200];
        snprintf(body, sizeof(body),
                 "{\"Order\":\"%s\",\"Status\":\"%s\",\"Amount\":\"42.50\",\"Currency\":\"EUR\"}",
                 step.order_ref, rows[i].status);
        const struct connector_answer answer = {200, (const uint8_t *)body, strlen(body), ""};
        built.mapping->connector.read(&built.account, &step, &answer, &built.verdict);
        assert_int_equal(built.verdict.outcome, rows[i].outcome);
        assert_int_equal(built.verdict.order_state, rows[i].state);
    }
    /* Only an authorisation was ordered, and the gateway has no word for that. */
    step = step_of(CONNECTOR_CONFIRM);
    step.is_authorise_only = true;
    assert_int_equal(build(&built, &step), ERR_RANGE);
    /* A 5xx after a charge that cannot be repeated is final. */
    step = step_of(CONNECTOR_CONFIRM);
    const struct connector_answer down = {503, (const uint8_t *)"", 0, ""};
    built.mapping->connector.read(&built.account, &step, &down, &built.verdict);
    assert_int_equal(built.verdict.outcome, GATEWAY_NO_ANSWER);
    assert_int_equal(built.verdict.again, CONNECTOR_FINAL);
    close_file(&built);
}

static void an_error_that_says_done_is_not_believed(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "operations:\n  status: {method: GET, path: /s}\n  confirm:\n    method: POST\n"
             "    path: /c\n    answer: {status: s}\n    results:\n"
             "      - {status: ok, outcome: done}\n";
    static const char body[] = "{\"s\":\"ok\"}";
    static const unsigned statuses[] = {200, 299, 199, 300, 404, 500};
    const struct connector_account none = {.merchant = ""};
    struct mapping *mapping;
    char message[MAPPING_ERROR_BYTES] = "";
    assert_int_equal(mapping_parse(&mapping, "m", text, sizeof(text) - 1, message), OK);
    assert_int_equal(generic_bind(mapping, "rest", &none, "https://h", message), OK);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct connector_step step = step_of(CONNECTOR_CONFIRM);
        struct connector_verdict verdict;
        const struct connector_account account = {.mapping = mapping};
        const struct connector_answer answer = {statuses[i], (const uint8_t *)body, sizeof(body) - 1, ""};
        mapping->connector.read(&account, &step, &answer, &verdict);
        assert_int_equal(verdict.outcome, i < 2 ? GATEWAY_DONE : GATEWAY_NO_ANSWER);
    }
    mapping_free(mapping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapping_that_is_wrong_is_refused_with_its_line),
        cmocka_unit_test(a_mapping_that_is_too_much_is_refused),
        cmocka_unit_test(a_connector_and_its_mapping_must_fit),
        cmocka_unit_test(the_check_of_a_configuration_reads_the_mapping),
        cmocka_unit_test(the_example_of_the_readme_is_a_mapping),
        cmocka_unit_test(every_request_of_the_token_gateway_is_as_its_file_says),
        cmocka_unit_test(what_a_step_lacks_is_left_out_or_refused),
        cmocka_unit_test(values_cannot_break_out_of_path_header_or_body),
        cmocka_unit_test(the_session_is_the_last_thing_before_the_card),
        cmocka_unit_test(sessions_that_are_none_are_not_sent),
        cmocka_unit_test(answers_are_told_by_the_table_and_not_believed_beyond),
        cmocka_unit_test(an_error_that_says_done_is_not_believed),
        cmocka_unit_test(decimal_amounts_are_believed_to_the_last_digit),
        cmocka_unit_test(without_an_order_or_a_cancellation_the_payment_is_named_and_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
