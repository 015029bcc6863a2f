/* Webhooks against the vendors' own libraries, both ways: what they sign we take, what we sign Stripe's library takes,
 * and what is wrong both refuse. Needs node and, once, npm's registry; says so and is skipped otherwise. */
#include "capture/tests/webhook_signer.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77
#define PEER    "NODE_PATH=" TEST_NODE_FOLDER "/node_modules node capture/tests/webhook_peer.js "

static struct webhook_batch batch;
static struct webhook_account *accounts[CONFIG_WEBHOOK_VENDORS];

static int left_out(const char *why)
{
    printf("skipped: %s\n", why);
    return SKIPPED;
}

static int find_libraries(void)
{
    if (system("node --version >/dev/null 2>&1") != 0)
        return left_out("no node");
    mkdir(TEST_NODE_FOLDER, 0755);
    if (access(TEST_NODE_FOLDER "/node_modules/@adyen/api-library/package.json", R_OK) == 0 &&
        access(TEST_NODE_FOLDER "/node_modules/stripe/package.json", R_OK) == 0)
        return 0;
    if (system("cd " TEST_NODE_FOLDER " && npm install --no-audit --no-fund --silent stripe braintree "
               "@adyen/api-library >/dev/null 2>&1") != 0)
        return left_out("npm cannot install stripe, braintree and @adyen/api-library");
    return 0;
}

static void open_account(enum config_webhook_vendor vendor, const char *name, const char *key)
{
    struct config_webhook config = {.vendor = vendor, .key_count = 1};
    size_t failed;
    char path[] = "/tmp/webhook-peer-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, key, strlen(key)) == (ssize_t)strlen(key));
    close(fd);
    snprintf(config.account, sizeof(config.account), "%s", name);
    snprintf(config.key_paths[0], LIMIT_PATH_BYTES, "%s", path);
    assert_int_equal(webhook_account_new(&accounts[vendor], &config, &failed), OK);
    unlink(path);
}

static enum config_webhook_vendor vendor_named(const char *name)
{
    int vendor = 0;
    while (vendor < CONFIG_WEBHOOK_VENDORS &&
           strcmp(webhook_vendor_name((enum config_webhook_vendor)vendor), name) != 0)
        vendor++;
    return (enum config_webhook_vendor)vendor;
}

static void what_the_vendors_libraries_sign_is_taken(void **state)
{
    static const struct {
        const char *vendor;
        enum webhook_kind kind;
        uint64_t capture_id;
        int64_t amount_minor;
    } expected[] = {{"stripe", WEBHOOK_SUCCEEDED, 0, 1234},
                    {"braintree", WEBHOOK_SUCCEEDED, 0, 10000},
                    {"braintree", WEBHOOK_DISPUTE_LOST, 0, 25000},
                    {"braintree", WEBHOOK_OTHER, 0, 0},
                    {"adyen", WEBHOOK_REFUNDED, 0x1122334455667788ULL, 700}};
    static char line[65536];
    size_t count = 0;
    (void)state;
    FILE *peer = popen(PEER "make", "r");
    assert_non_null(peer);
    while (fgets(line, sizeof(line), peer)) {
        json_t *made = json_loads(line, 0, NULL);
        const char *body = json_string_value(json_object_get(made, "body"));
        const char *vendor = json_string_value(json_object_get(made, "vendor"));
        struct signer_request request;
        assert_true(body && count < sizeof(expected) / sizeof(expected[0]));
        signer_request(&request, "/webhooks/x", json_string_value(json_object_get(made, "headers")), body,
                       strlen(body));
        enum err err = webhook_take(accounts[vendor_named(vendor)], &request.request, wall_now(), &batch);
        if (err || batch.count != 1)
            fail_msg("%s %zu: %s", vendor, count, err_str(err));
        assert_string_equal(vendor, expected[count].vendor);
        assert_int_equal(batch.events[0].kind, expected[count].kind);
        assert_int_equal(batch.events[0].capture_id, expected[count].capture_id);
        if (expected[count].kind != WEBHOOK_OTHER && batch.events[0].currency[0])
            assert_int_equal(batch.events[0].amount_minor, expected[count].amount_minor);
        /* The planted failure: the same with one byte of the body changed. */
        char *changed = strdup(body);
        changed[strlen(changed) / 2] ^= 1;
        signer_request(&request, "/webhooks/x", json_string_value(json_object_get(made, "headers")), changed,
                       strlen(changed));
        assert_int_equal(webhook_take(accounts[vendor_named(vendor)], &request.request, wall_now(), &batch),
                         ERR_REFUSED);
        free(changed);
        json_decref(made);
        count++;
    }
    assert_int_equal(pclose(peer), 0);
    assert_int_equal(count, sizeof(expected) / sizeof(expected[0]));
}

/* What Stripe's library says of our header; answer has room for 200 bytes. */
static void ask_stripe(const char *key, int64_t seconds, const char *body, char *answer)
{
    char header[256];
    char command[1024];
    char path[] = "/tmp/webhook-body-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, body, strlen(body)) == (ssize_t)strlen(body));
    close(fd);
    signer_stripe(key, seconds, body, header, sizeof(header));
    header[strcspn(header, "\r")] = '\0';
    snprintf(command, sizeof(command), PEER "check '%s' <%s", strchr(header, ' ') + 1, path);
    FILE *peer = popen(command, "r");
    assert_non_null(peer);
    assert_non_null(fgets(answer, 200, peer));
    assert_int_equal(pclose(peer), 0);
    unlink(path);
}

static void what_we_sign_stripes_library_takes(void **state)
{
    static const char body[] = "{\"id\":\"evt_ours\",\"object\":\"event\",\"type\":\"x\"}";
    int64_t now_s = wall_now().ns / NS_PER_S;
    char answer[200];
    (void)state;
    ask_stripe(SIGNER_KEY, now_s, body, answer);
    assert_string_equal(answer, "taken\n");
    ask_stripe(SIGNER_OTHER_KEY, now_s, body, answer);
    assert_non_null(strstr(answer, "No signatures found matching"));
    ask_stripe(SIGNER_KEY, now_s - 302, body, answer);
    assert_non_null(strstr(answer, "Timestamp outside the tolerance zone"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_vendors_libraries_sign_is_taken),
        cmocka_unit_test(what_we_sign_stripes_library_takes),
    };
    int missing = find_libraries();
    if (missing)
        return missing;
    open_account(CONFIG_WEBHOOK_STRIPE, "", SIGNER_KEY);
    open_account(CONFIG_WEBHOOK_BRAINTREE, "public1", "private1");
    open_account(CONFIG_WEBHOOK_ADYEN, "TestMerchant", SIGNER_ADYEN_KEY);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < CONFIG_WEBHOOK_VENDORS; i++)
        webhook_account_free(accounts[i]);
    return failed;
}
