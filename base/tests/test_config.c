/* The configuration reader: the example is good, every mistake is named with file and line, a bad file changes nothing. */
#include "base/config.h"

#include "base/tests/cmocka_all.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXAMPLE "proxy/tonegate.example.yaml"

static char *example;
static size_t example_length;

static int load_example(void **state)
{
    (void)state;
    FILE *file = fopen(EXAMPLE, "rb");
    if (!file)
        return -1;
    example = calloc(1, LIMIT_CONFIG_BYTES);
    example_length = example ? fread(example, 1, LIMIT_CONFIG_BYTES - 1, file) : 0;
    fclose(file);
    return example_length ? 0 : -1;
}

static int free_example(void **state)
{
    (void)state;
    free(example);
    return 0;
}

static void the_example_is_good_and_read_in_full(void **state)
{
    (void)state;
    struct config config;
    char message[CONFIG_ERROR_BYTES];
    assert_int_equal(config_parse(&config, EXAMPLE, example, example_length, message), OK);
    assert_int_equal(config.sip.listener_count, 2);
    assert_int_equal(config.sip.listeners[1].transport, CONFIG_TCP);
    assert_int_equal(ntohs(config.sip.listeners[0].address.sin_port), 5060);
    assert_int_equal(config.sip.trunks[CONFIG_TRUNK_CARRIER].allow_count, 1);
    assert_int_equal(config.sip.trunks[CONFIG_TRUNK_CARRIER].allow[0].network, 0x7f000002);
    assert_int_equal(config.sip.trunks[CONFIG_TRUNK_CONTACT_CENTRE].allow[0].mask, 0xffffffff);
    assert_string_equal(config.sip.crossing_headers[1], "X-Account");
    assert_int_equal(config.media.port_first, 20000);
    assert_int_equal(config.media.port_last, 21999);
    assert_int_equal(config.media.lookahead_ms, 20);
    assert_int_equal(config.capture.brands, 0x1fe);
    assert_int_equal(config.gateway.charge_timeout_ms, 30000);
    assert_int_equal(config.gateway.breaker.open_s, 30);
    assert_int_equal(config.gateway.on_open, CONFIG_ON_OPEN_FALLBACK);
    assert_false(config.gateway.is_off);
    assert_false(config.gateway.sandbox);
    assert_string_equal(config.fallback.url, "");
    assert_string_equal(config.desk.tokens[0].name, "agents");
}

/* Replaces the first `from` in the example, parses, expects a complaint about that line that contains `expected`. */
static void expect_complaint(const char *from, const char *to, const char *expected)
{
    const char *at = strstr(example, from);
    assert_non_null(at);
    unsigned line = 1;
    for (const char *c = example; c < at; c++)
        line += *c == '\n';
    char *text = calloc(1, LIMIT_CONFIG_BYTES);
    assert_non_null(text);
    snprintf(text, LIMIT_CONFIG_BYTES, "%.*s%s%s", (int)(at - example), example, to, at + strlen(from));
    struct config config;
    memset(&config, 0x5a, sizeof(config));
    char message[CONFIG_ERROR_BYTES];
    enum err err = config_parse(&config, "a.yaml", text, strlen(text), message);
    free(text);
    assert_int_equal(err, ERR_SYNTAX);
    char place[40];
    snprintf(place, sizeof(place), "a.yaml:%u: ", line);
    if (strncmp(message, place, strlen(place)) != 0 || !strstr(message, expected))
        fail_msg("expected \"%s...%s...\", got \"%s\"", place, expected, message);
    assert_int_equal(((unsigned char *)&config)[0], 0x5a);
}

static void a_mistake_is_named_with_file_line_and_expectation(void **state)
{
    (void)state;
    expect_complaint("level: info", "level: loud", "expected one of debug info warn error");
    expect_complaint("level: info", "levle: info", "unknown key \"levle\"");
    expect_complaint("lookahead_ms: 20", "lookahead_ms: 101", "a whole number 0..100");
    expect_complaint("lookahead_ms: 20", "lookahead_ms: 20ms", "a whole number 0..100");
    expect_complaint("lookahead_ms: 20", "lookahead_ms: [20]", "found a list");
    expect_complaint("ports: \"20000-21999\"", "ports: \"20001-21999\"", "FIRST even");
    expect_complaint("ports: \"20000-21999\"", "ports: \"20000\"", "FIRST-LAST");
    expect_complaint("address: \"127.0.0.1\" ", "address: \"localhost\" ", "an IPv4 address");
    expect_complaint("address: \"127.0.0.1:5060\" }", "address: \"127.0.0.1:0\" }", "IPV4-ADDRESS:PORT");
    expect_complaint("\"127.0.0.3/32\"", "\"127.0.0.3/33\"", "ADDRESS/8..32");
    expect_complaint("\"127.0.0.3/32\"", "\"0.0.0.0/0\"", "ADDRESS/8..32");
    expect_complaint("[X-Call-Reference,", "[Via,", "begins with X-, or User-to-User");
    expect_complaint("reference_header: X-Call-Reference", "reference_header: \"X-a: b\"", "letters, digits");
    expect_complaint("url: \"https://", "url: \"http://", "https://");
    expect_complaint("sandbox: false", "sandbox: maybe", "true or false");

    expect_complaint("enabled: true", "enabled: yes", "true or false");
    expect_complaint("on_open: fallback", "on_open: pray", "expected one of fallback queue agent");
    expect_complaint("retry_factor: 2", "retry_factor: 0", "a whole number 1..10");
    expect_complaint("open_s: 30", "open_s: 301", "a whole number 1..300");
    expect_complaint("failures: 10", "failure: 10", "unknown key \"failure\" in breaker");
    expect_complaint("[visa, ", "[visum, ", "expected one of visa");
    expect_complaint("calls_max: 500", "calls_max: -1", "a whole number 1..");
}

static void what_is_missing_doubled_or_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    struct config config;
    char message[CONFIG_ERROR_BYTES];
    assert_int_equal(config_parse(&config, "a", "", 0, message), ERR_SYNTAX);
    assert_int_equal(config_parse(&config, "a", "sip: {}\n", 8, message), ERR_SYNTAX);
    assert_non_null(strstr(message, "a:1: sip: key \"listen\" is missing"));
    assert_int_equal(config_parse(&config, "a", "- 1\n", 4, message), ERR_SYNTAX);
    assert_int_equal(config_parse(&config, "a", "a: [\n", 5, message), ERR_SYNTAX);
    assert_non_null(strstr(message, "not YAML"));
    assert_int_equal(config_parse(&config, "a", "a: &x [*x]\n", 11, message), ERR_SYNTAX);
    assert_int_equal(config_parse(&config, "a", example, LIMIT_CONFIG_BYTES + 1, message), ERR_LENGTH);
    char *text = strdup(example);
    assert_non_null(text);
    memcpy(strstr(text, "masking_off: false"), "masking_off: true ", 18);
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), ERR_SYNTAX);
    assert_non_null(strstr(message, "needs gateway sandbox"));
    static const struct {
        const char *from, *to, *expected;
    } rows[] = {
        {"api_key_file: /etc/tonegate/stripe.key", "api_key_file: vault:a/stripe.key#field0000",
         "needs secrets: vault"},
        {"api_key_file: /etc/tonegate/stripe.key", "api_key_file: aws:production-stripe-key",
         "needs secrets: aws"},
        {"# client_key: /etc/tonegate/client.key", "client_key: /etc/tonegate/client.key  ", "go together"},
        {"# trace: /var/lib/tonegate/gateway.trace", "trace: /var/lib/tonegate/gateway.trace  ",
         "needs sandbox: true"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memcpy(text, example, example_length);
        char *at = strstr(text, rows[i].from);
        assert_non_null(at);
        memset(at, ' ', strcspn(at, "\n"));
        memcpy(at, rows[i].to,
               strlen(rows[i].to) < strcspn(at, "\n") ? strlen(rows[i].to) : strcspn(at, "\n"));
        assert_int_equal(config_parse(&config, "a", text, strlen(text), message), ERR_SYNTAX);
        assert_non_null(strstr(message, rows[i].expected));
    }
    memcpy(text, example, example_length);
    memcpy(strstr(text, "calls_max: 500"), "calls_max: 501", 14);
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), ERR_SYNTAX);
    assert_non_null(strstr(message, "needs 2004 ports"));
    free(text);
}

/* The commented part of the example is what is read here. */
static void a_fallback_has_the_keys_of_a_gateway_and_its_defaults(void **state)
{
    (void)state;
    struct config config;
    char message[CONFIG_ERROR_BYTES];
    char *text = calloc(1, LIMIT_CONFIG_BYTES);
    assert_non_null(text);
    memcpy(text, example, example_length);
    char *block = strstr(text, "# fallback_gateway:");
    assert_non_null(block);
    for (char *line = block; *line == '#'; line = strchr(line, '\n') + 1)
        memmove(line, line + 2, strlen(line + 2) + 1);
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), OK);
    assert_string_equal(config.fallback.url, "https://api-m.paypal.com");
    assert_int_equal(config.fallback.charge_timeout_ms, 30000);
    assert_string_equal(config_gateway_secret(&config, 1), "env:PAYPAL_KEY");
    assert_null(config_gateway_secret(&config, 100));
    char *stores = strstr(text, "# secrets:");
    assert_non_null(stores);
    for (char *line = stores; *line == '#'; line = strchr(line, '\n') + 1)
        memmove(line, line + 2, strlen(line + 2) + 1);
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), OK);
    assert_string_equal(config.secrets.vault.name_space, "payments");
    assert_string_equal(config.secrets.aws.key_id, "env:AWS_ACCESS_KEY_ID");
    memcpy(strstr(text, "sandbox: false"), "sandbox: true ", 14);
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), ERR_SYNTAX);
    assert_non_null(strstr(message, "sandbox must be what gateway: sandbox is"));
    memcpy(strstr(text, "enabled: true "), "enabled: false", 14);
    memcpy(strstr(text, "sandbox: true "), "sandbox: false", 14);
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), OK);
    assert_true(config.gateway.is_off);
    free(text);
}

#define WEBHOOKS_AT "  tokens:                   # bearer"

static void webhooks_are_read_or_complained_about(void **state)
{
    (void)state;
    struct config config;
    char message[CONFIG_ERROR_BYTES];
    const char *at = strstr(example, WEBHOOKS_AT);
    char *text = calloc(1, LIMIT_CONFIG_BYTES);
    assert_true(at && text);
    snprintf(text, LIMIT_CONFIG_BYTES,
             "%.*s  webhooks: [{vendor: paypal, account: 1WH, keys: [/a.pem, /b.pem]}, {vendor: adyen, keys: "
             "['env:K']}]\n%s",
             (int)(at - example), example, at);
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), OK);
    free(text);
    assert_int_equal(config.desk.webhook_count, 2);
    assert_int_equal(config.desk.webhooks[0].vendor, CONFIG_WEBHOOK_PAYPAL);
    assert_int_equal(config.desk.webhooks[0].key_count, 2);
    assert_string_equal(config.desk.webhooks[0].key_paths[1], "/b.pem");
    assert_string_equal(config.desk.webhooks[1].key_paths[0], "env:K");
    expect_complaint(WEBHOOKS_AT, "  webhooks: [{vendor: braintree, keys: [a]}]\n" WEBHOOKS_AT,
                     "key \"account\" is missing");
    expect_complaint(WEBHOOKS_AT,
                     "  webhooks: [{vendor: stripe, keys: [a]}, {vendor: stripe, keys: [b]}]\n" WEBHOOKS_AT,
                     "stands there twice");
    expect_complaint(WEBHOOKS_AT, "  webhooks: [{vendor: stripe, keys: [a, b, c, d]}]\n" WEBHOOKS_AT,
                     "1..3 items");
    expect_complaint(WEBHOOKS_AT, "  webhooks: [{vendor: square, keys: [a]}]\n" WEBHOOKS_AT, "one of stripe");
}

static void hooks_and_the_platform_are_read_or_complained_about(void **state)
{
    (void)state;
    struct config config;
    char message[CONFIG_ERROR_BYTES];
    const char *at = strstr(example, "desk:\n");
    char *text = calloc(1, LIMIT_CONFIG_BYTES);
    assert_true(at && text);
    snprintf(text, LIMIT_CONFIG_BYTES,
             "%.*shooks:\n  - {name: billing, url: 'https://b.example/x', key: 'env:K', events: [payment, "
             "refund]}\n"
             "genesys: {region: mypurecloud.ie, client: 'file:/g', recording_api: seed}\n%s",
             (int)(at - example), example, at);
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), OK);
    free(text);
    assert_int_equal(config.hook_target_count, 1);
    assert_int_equal(config.hook_targets[0].events, CONFIG_HOOK_PAYMENT | CONFIG_HOOK_REFUND);
    assert_int_equal(config.genesys.recording_api, CONFIG_RECORDING_SEED);
    /* The gateway role's secrets: its own, the platform's, the hooks', and no more. */
    assert_string_equal(config_gateway_secret(&config, 7), "file:/g");
    assert_string_equal(config_gateway_secret(&config, 8), "env:K");
    assert_null(config_gateway_secret(&config, 9));
    expect_complaint("desk:\n", "hooks: [{name: a, url: 'http://b', key: k, events: [payment]}]\ndesk:\n",
                     "https://");
    expect_complaint("desk:\n", "hooks: [{name: a, url: 'https://b', key: k, events: [all]}]\ndesk:\n",
                     "expected one of payment");
    expect_complaint("desk:\n", "genesys: {region: x}\ndesk:\n", "key \"client\" is missing");
    expect_complaint("desk:\n", "genesys: {region: x, client: y, recording_api: on}\ndesk:\n",
                     "expected one of recordingstate seed off");
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct config config;
    char message[CONFIG_ERROR_BYTES];
    assert_int_equal(config_load(&config, "/nowhere/x.yaml", NULL, NULL, message), ERR_SYSTEM);
    assert_non_null(strstr(message, "/nowhere/x.yaml"));
    assert_int_equal(config_load(&config, "/tmp", NULL, NULL, message), ERR_LENGTH);
    assert_int_equal(config_load(&config, "/dev/zero", NULL, NULL, message), ERR_LENGTH);
}

/* As the example has them, one by one behind a comment. */
static void a_gateway_by_a_mapping_has_its_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"# connector: stripe", "# mapping: ", "# region: ", "# service: "};
    struct config config;
    char message[CONFIG_ERROR_BYTES];
    char *text = strdup(example);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char *key = strstr(text, keys[i]);
        assert_non_null(key);
        memmove(key, key + 2, strlen(key + 2) + 1);
    }
    assert_int_equal(config_parse(&config, "a", text, strlen(text), message), OK);
    assert_string_equal(config.gateway.connector, "stripe");
    assert_string_equal(config.gateway.mapping, "/etc/tonegate/gateway.yaml");
    assert_string_equal(config.gateway.region, "eu-central-1");
    assert_string_equal(config.gateway.service, "execute-api");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_is_good_and_read_in_full),
        cmocka_unit_test(a_mistake_is_named_with_file_line_and_expectation),
        cmocka_unit_test(what_is_missing_doubled_or_does_not_fit_together_is_refused),
        cmocka_unit_test(a_gateway_by_a_mapping_has_its_keys),
        cmocka_unit_test(a_fallback_has_the_keys_of_a_gateway_and_its_defaults),
        cmocka_unit_test(webhooks_are_read_or_complained_about),
        cmocka_unit_test(hooks_and_the_platform_are_read_or_complained_about),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, load_example, free_example);
}
