/* Webhooks of every vendor: what is believed, what is not, and what is read out of it. Each wrong signature is a right
 * one with one thing changed. */
#include "capture/tests/webhook_signer.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_S 1500000000LL
static const struct wall_time now = {NOW_S * NS_PER_S};

#define CAPTURE_TEXT "cap_bbccddeeffgghhii"
#define CAPTURE_ID   0x1122334455667788ULL

static char folder[64];
static struct webhook_batch batch;

static void write_file(const char *name, const char *text, char *path, size_t capacity)
{
    snprintf(path, capacity, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct webhook_account *account_with(enum config_webhook_vendor vendor, const char *name,
                                            const char *first, const char *second)
{
    struct config_webhook config = {.vendor = vendor, .key_count = second ? 2 : 1};
    struct webhook_account *account = NULL;
    size_t failed = 0;
    snprintf(config.account, sizeof(config.account), "%s", name);
    write_file("first", first, config.key_paths[0], LIMIT_PATH_BYTES);
    if (second)
        write_file("second", second, config.key_paths[1], LIMIT_PATH_BYTES);
    assert_int_equal(webhook_account_new(&account, &config, &failed), OK);
    return account;
}

static enum err take(const struct webhook_account *account, const char *headers, const char *body)
{
    struct signer_request request;
    signer_request(&request, "/webhooks/x", headers, body, strlen(body));
    return webhook_take(account, &request.request, now, &batch);
}

/* --- Stripe ------------------------------------------------------------------------------------------------------ */

#define STRIPE_BODY                                                                                          \
    "{\"id\":\"evt_1\",\"object\":\"event\",\"type\":\"payment_intent.succeeded\",\"created\":1500000000,"   \
    "\"data\":{\"object\":{\"id\":\"pi_1\",\"object\":\"payment_intent\",\"amount\":1234,"                   \
    "\"currency\":\"eur\",\"metadata\":{\"capture_id\":\"" CAPTURE_TEXT "\"}}}}"

static void stripe_signatures_are_believed_as_the_table_says(void **state)
{
    (void)state;
    char good[256];
    char header[1024];
    char hex[65];
    struct webhook_account *account =
        account_with(CONFIG_WEBHOOK_STRIPE, "", SIGNER_KEY "\n", SIGNER_OTHER_KEY);
    signer_stripe(SIGNER_KEY, NOW_S, STRIPE_BODY, good, sizeof(good));
    assert_int_equal(take(account, good, STRIPE_BODY), OK);
    assert_int_equal(batch.count, 1);
    /* The other key, while one is replaced. */
    signer_stripe(SIGNER_OTHER_KEY, NOW_S, STRIPE_BODY, header, sizeof(header));
    assert_int_equal(take(account, header, STRIPE_BODY), OK);
    /* Several signatures, the right one last, an old scheme between. */
    snprintf(hex, sizeof(hex), "%.64s", strstr(good, "v1=") + 3);
    snprintf(header, sizeof(header), "Stripe-Signature: t=%lld,v1=%064d,v0=%064d,v1=%s\r\n", NOW_S, 0, 0,
             hex);
    assert_int_equal(take(account, header, STRIPE_BODY), OK);
    snprintf(header, sizeof(header), "Stripe-Signature: t=%lld,v0=%s\r\n", NOW_S, hex);
    assert_int_equal(take(account, header, STRIPE_BODY), ERR_REFUSED);
    /* Another time than the one that was signed. */
    snprintf(header, sizeof(header), "Stripe-Signature: t=%lld,v1=%s\r\n", NOW_S + 1, hex);
    assert_int_equal(take(account, header, STRIPE_BODY), ERR_REFUSED);
    /* A body with one byte changed. */
    assert_int_equal(take(account, good, "{\"id\":\"evt_2\"}"), ERR_REFUSED);
    static const struct {
        int64_t age_s;
        enum err err;
    } ages[] = {{300, OK}, {301, ERR_REFUSED}, {-300, OK}, {-301, ERR_REFUSED}};
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        signer_stripe(SIGNER_KEY, NOW_S - ages[i].age_s, STRIPE_BODY, header, sizeof(header));
        assert_int_equal(take(account, header, STRIPE_BODY), ages[i].err);
    }
    signer_stripe("whsec_unknown", NOW_S, STRIPE_BODY, header, sizeof(header));
    assert_int_equal(take(account, header, STRIPE_BODY), ERR_REFUSED);
    static const char *const broken[] = {"",
                                         "Stripe-Signature: \r\n",
                                         "Stripe-Signature: v1=00\r\n",
                                         "Stripe-Signature: t=,v1=00\r\n",
                                         "Stripe-Signature: t=1500000000\r\n",
                                         "Stripe-Signature: t=1500000000,v1=\r\n",
                                         "Stripe-Signature: t=15000000001500000000,v1=00\r\n"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_int_equal(take(account, broken[i], STRIPE_BODY), ERR_REFUSED);
    /* Twice the header: which one a proxy believed cannot be known. */
    snprintf(header, sizeof(header), "%s%s", good, good);
    assert_int_equal(take(account, header, STRIPE_BODY), ERR_REFUSED);
    webhook_account_free(account);
}

struct expected {
    const char *body;
    enum webhook_kind kind;
    const char *id, *order_ref;
    uint64_t capture_id;
    int64_t amount_minor;
    const char *currency;
};

static void check_rows(enum config_webhook_vendor vendor, const struct expected *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct expected *row = &rows[i];
        enum err err = webhook_read(vendor, row->body, strlen(row->body), &batch);
        if (err || batch.count != 1)
            fail_msg("row %zu: %s, %zu events", i, err_str(err), batch.count);
        const struct webhook_event *event = &batch.events[0];
        if (event->kind != row->kind || event->capture_id != row->capture_id ||
            event->amount_minor != row->amount_minor || strcmp(event->currency, row->currency) != 0 ||
            strcmp(event->order_ref, row->order_ref) != 0 || (row->id && strcmp(event->id, row->id) != 0))
            fail_msg("row %zu: %s %s %s %llx %lld %s", i, webhook_kind_name(event->kind), event->id,
                     event->order_ref, (unsigned long long)event->capture_id, (long long)event->amount_minor,
                     event->currency);
    }
}

static void stripe_events_are_read(void **state)
{
    (void)state;
    static const struct expected rows[] = {
        {STRIPE_BODY, WEBHOOK_SUCCEEDED, "evt_1", "pi_1", CAPTURE_ID, 1234, "EUR"},
        {"{\"id\":\"evt_2\",\"type\":\"payment_intent.payment_failed\",\"data\":{\"object\":{\"object\":"
         "\"payment_intent\",\"id\":\"pi_1\"}}}",
         WEBHOOK_FAILED, "evt_2", "pi_1", 0, 0, ""},
        {"{\"id\":\"evt_3\",\"type\":\"charge.refunded\",\"data\":{\"object\":{\"object\":\"charge\",\"id\":"
         "\"ch_1\",\"payment_intent\":\"pi_1\",\"amount\":900,\"amount_refunded\":300,\"currency\":\"jpy\"}}"
         "}",
         WEBHOOK_REFUNDED, "evt_3", "pi_1", 0, 300, "JPY"},
        {"{\"id\":\"evt_4\",\"type\":\"charge.dispute.closed\",\"data\":{\"object\":{\"object\":\"dispute\","
         "\"payment_intent\":\"pi_1\",\"status\":\"lost\"}}}",
         WEBHOOK_DISPUTE_LOST, "evt_4", "pi_1", 0, 0, ""},
        {"{\"id\":\"evt_5\",\"type\":\"charge.dispute.closed\",\"data\":{\"object\":{\"status\":\"won\"}}}",
         WEBHOOK_DISPUTE_WON, "evt_5", "", 0, 0, ""},
        {"{\"id\":\"evt_6\",\"type\":\"customer.created\",\"data\":{\"object\":{\"id\":\"cus_1\"}}}",
         WEBHOOK_OTHER, "evt_6", "", 0, 0, ""},
        {"{\"id\":\"evt_7\",\"type\":\"payment_intent.canceled\",\"data\":{\"object\":{\"object\":"
         "\"payment_intent\",\"id\":\"pi with spaces\",\"metadata\":{\"capture_id\":\"cap_1\"},\"amount\":-4,"
         "\"currency\":\"eur\"}}}",
         WEBHOOK_CANCELLED, "evt_7", "", 0, 0, ""},
    };
    check_rows(CONFIG_WEBHOOK_STRIPE, rows, sizeof(rows) / sizeof(rows[0]));
    /* A payment link's page: our order comes back, the money may still be on its way. */
    static const char session[] =
        "{\"id\":\"evt_8\",\"type\":\"checkout.session.completed\",\"data\":{\"object\":{\"object\":"
        "\"checkout.session\",\"payment_intent\":\"pi_9\",\"payment_status\":\"%s\",\"amount_total\":500,"
        "\"currency\":\"eur\",\"metadata\":{\"order_id\":\"ord_bbccddeeffgghhii\"}}}}";
    static const struct {
        const char *status;
        enum webhook_kind kind;
    } sessions[] = {{"paid", WEBHOOK_SUCCEEDED}, {"unpaid", WEBHOOK_PENDING}};
    for (size_t i = 0; i < 2; i++) {
        char text[512];
        int length = snprintf(text, sizeof(text), session, sessions[i].status);
        assert_int_equal(webhook_read(CONFIG_WEBHOOK_STRIPE, text, (size_t)length, &batch), OK);
        assert_int_equal(batch.events[0].kind, sessions[i].kind);
        assert_int_equal(batch.events[0].order_id, CAPTURE_ID);
        assert_int_equal(batch.events[0].capture_id, 0);
        assert_int_equal(batch.events[0].amount_minor, 500);
        assert_string_equal(batch.events[0].order_ref, "pi_9");
    }
    static const char *const broken[] = {"",
                                         "{",
                                         "[]",
                                         "{}",
                                         "{\"id\":\"evt_1\"}",
                                         "{\"type\":\"payment_intent.succeeded\"}", /* no id: never again */
                                         "{\"id\":\"evt_1\",\"id\":\"evt_2\",\"type\":\"x\"}"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_int_equal(webhook_read(CONFIG_WEBHOOK_STRIPE, broken[i], strlen(broken[i]), &batch),
                         ERR_SYNTAX);
}

/* --- Adyen ------------------------------------------------------------------------------------------------------- */

#define ADYEN_ITEM(reference, success, signature)                                                            \
    "{\"NotificationRequestItem\":{\"eventCode\":\"AUTHORISATION\",\"success\":\"" success                   \
    "\",\"pspReference\":\"7914073381342284\",\"merchantAccountCode\":\"TestMerchant\","                     \
    "\"merchantReference\":\"" reference                                                                     \
    "\",\"amount\":{\"value\":1130,\"currency\":\"EUR\"},\"additionalData\":{\"hmacSignature\":\"" signature \
    "\"}}}"
#define ADYEN_BODY(items) "{\"live\":\"false\",\"notificationItems\":[" items "]}"
/* Adyen's own published example: key, fields and signature. */
#define ADYEN_GOOD                                                                                           \
    ADYEN_ITEM("TestPayment-1407325143704", "true", "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=")

static void adyen_signs_every_item_and_its_own_example_fits(void **state)
{
    (void)state;
    struct webhook_account *account =
        account_with(CONFIG_WEBHOOK_ADYEN, "TestMerchant", "00112233", SIGNER_ADYEN_KEY "\n");
    struct webhook_account *other = account_with(CONFIG_WEBHOOK_ADYEN, "Other", SIGNER_ADYEN_KEY, NULL);
    struct webhook_account *wrong = account_with(CONFIG_WEBHOOK_ADYEN, "", "not hexadecimal", NULL);
    assert_int_equal(take(account, "", ADYEN_BODY(ADYEN_GOOD)), OK);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.events[0].kind, WEBHOOK_AUTHORISED);
    assert_string_equal(batch.events[0].order_ref, "7914073381342284");
    assert_int_equal(batch.events[0].amount_minor, 1130);
    assert_int_equal(take(account, "", ADYEN_BODY(ADYEN_GOOD "," ADYEN_GOOD)), OK);
    assert_int_equal(batch.count, 2);
    assert_string_equal(batch.events[0].id, batch.events[1].id);
    static const char *const refused[] = {
        ADYEN_BODY(
            ADYEN_ITEM("TestPayment-1407325143704", "false", "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=")),
        ADYEN_BODY(
            ADYEN_ITEM("TestPayment-1407325143705", "true", "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=")),
        ADYEN_BODY(
            ADYEN_ITEM("TestPayment-1407325143704", "true", "boqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=")),
        ADYEN_BODY(ADYEN_ITEM("TestPayment-1407325143704", "true", "")),
        /* One good item does not vouch for the next. */
        ADYEN_BODY(ADYEN_GOOD "," ADYEN_ITEM("x", "true", "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=")),
        ADYEN_BODY(""), "{}", "", "{\"notificationItems\":[7]}"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(take(account, "", refused[i]), ERR_REFUSED);
    assert_int_equal(take(other, "", ADYEN_BODY(ADYEN_GOOD)), ERR_REFUSED);
    assert_int_equal(take(wrong, "", ADYEN_BODY(ADYEN_GOOD)), ERR_REFUSED);
    webhook_account_free(account);
    webhook_account_free(other);
    webhook_account_free(wrong);
}

/* --- Worldpay ---------------------------------------------------------------------------------------------------- */

#define WORLDPAY_BODY                                                                                        \
    "{\"eventId\":\"bb55ca5a\",\"eventTimestamp\":\"2018-06-13T14:18:13.407\",\"eventDetails\":{"            \
    "\"classification\":\"payment\",\"transactionReference\":\"" CAPTURE_TEXT                                \
    "-1\",\"type\":\"sentForSettlement\",\"amount\":{\"value\":100,\"currencyCode\":\"EUR\"}}}"

static void worldpay_signatures_and_events(void **state)
{
    (void)state;
    char good[256];
    char header[512];
    struct webhook_account *account = account_with(CONFIG_WEBHOOK_WORLDPAY, "", SIGNER_KEY, NULL);
    signer_worldpay(SIGNER_KEY, WORLDPAY_BODY, good, sizeof(good));
    assert_int_equal(take(account, good, WORLDPAY_BODY), OK);
    snprintf(header, sizeof(header), "Event-Signature: 1/SHA256/%064d, %s", 0, good + 17);
    assert_int_equal(take(account, header, WORLDPAY_BODY), OK);
    assert_int_equal(take(account, good, "{\"eventId\":\"bb55ca5b\"}"), ERR_REFUSED);
    assert_int_equal(take(account, "", WORLDPAY_BODY), ERR_REFUSED);
    signer_worldpay(SIGNER_OTHER_KEY, WORLDPAY_BODY, header, sizeof(header));
    assert_int_equal(take(account, header, WORLDPAY_BODY), ERR_REFUSED);
    snprintf(header, sizeof(header), "Event-Signature: 7/SHA1/%s", good + 26);
    assert_int_equal(take(account, header, WORLDPAY_BODY), ERR_REFUSED);
    static const struct expected rows[] = {
        {WORLDPAY_BODY, WEBHOOK_SUCCEEDED, "bb55ca5a", CAPTURE_TEXT "-1", CAPTURE_ID, 100, "EUR"},
        {"{\"eventId\":\"e\",\"eventDetails\":{\"type\":\"refused\"}}", WEBHOOK_FAILED, "e", "", 0, 0, ""},
        {"{\"eventId\":\"e\",\"eventDetails\":{\"type\":\"tokenCreated\"}}", WEBHOOK_OTHER, "e", "", 0, 0,
         ""},
    };
    check_rows(CONFIG_WEBHOOK_WORLDPAY, rows, sizeof(rows) / sizeof(rows[0]));
    webhook_account_free(account);
}

/* --- PayPal ------------------------------------------------------------------------------------------------------ */

#define PAYPAL_BODY                                                                                          \
    "{\"id\":\"WH-1\",\"event_type\":\"PAYMENT.CAPTURE.COMPLETED\",\"resource\":{\"id\":\"3C\",\"custom_"    \
    "id\":"                                                                                                  \
    "\"call_bbccddeeffgghhii\",\"invoice_id\":\"" CAPTURE_TEXT                                               \
    "-1\",\"amount\":{\"value\":\"12.34\",\"currency_code\":\"EUR\"},\"supplementary_data\":{"               \
    "\"related_ids\":{\"order_id\":\"5O1\"}}}}"
#define PAYPAL_URL "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"

static void paypal_is_believed_by_the_pinned_certificate_only(void **state)
{
    (void)state;
    EVP_PKEY *key = NULL;
    EVP_PKEY *stranger = NULL;
    X509 *certificate = signer_certificate(&key);
    X509 *other = signer_certificate(&stranger);
    struct config_webhook config = {.vendor = CONFIG_WEBHOOK_PAYPAL, .account = "1WH", .key_count = 1};
    struct webhook_account *account = NULL;
    struct signer_request request;
    struct wall_time today = wall_now();
    char headers[2048];
    char stamp[40];
    char old[40];
    size_t failed;
    snprintf(config.key_paths[0], LIMIT_PATH_BYTES, "%s/cert.pem", folder);
    assert_int_equal(webhook_account_new(&account, &config, &failed), ERR_SYSTEM);
    FILE *file = fopen(config.key_paths[0], "we");
    fputs("not a certificate\n", file);
    fclose(file);
    assert_int_equal(webhook_account_new(&account, &config, &failed), ERR_TLS);
    file = fopen(config.key_paths[0], "we");
    PEM_write_X509(file, certificate);
    fclose(file);
    assert_int_equal(webhook_account_new(&account, &config, &failed), OK);
    wall_time_text(today, stamp);
    wall_time_text((struct wall_time){today.ns - 5 * 86400 * NS_PER_S}, old);
    const struct {
        EVP_PKEY *key;
        const char *webhook, *stamp, *url, *body;
        enum err err;
    } rows[] = {
        {key, "1WH", stamp, PAYPAL_URL, PAYPAL_BODY, OK},
        {key, "1WH", stamp, "https://api.sandbox.paypal.com/x", PAYPAL_BODY, OK},
        {stranger, "1WH", stamp, PAYPAL_URL, PAYPAL_BODY, ERR_REFUSED},
        {key, "2WH", stamp, PAYPAL_URL, PAYPAL_BODY, ERR_REFUSED},
        {key, "1WH", old, PAYPAL_URL, PAYPAL_BODY, ERR_REFUSED},
        {key, "1WH", "yesterday", PAYPAL_URL, PAYPAL_BODY, ERR_REFUSED},
        {key, "1WH", stamp, PAYPAL_URL, "{}", ERR_REFUSED},
        {key, "1WH", stamp, "http://api.paypal.com/x", PAYPAL_BODY, ERR_REFUSED},
        {key, "1WH", stamp, "https://api.paypal.com.evil.example/x", PAYPAL_BODY, ERR_REFUSED},
        {key, "1WH", stamp, "https://evilpaypal.com/x", PAYPAL_BODY, ERR_REFUSED},
        {key, "1WH", stamp, "https://evil.example/.paypal.com", PAYPAL_BODY, ERR_REFUSED},
        {key, "1WH", stamp, "https://a@api.paypal.com/x", PAYPAL_BODY, ERR_REFUSED},
        {key, "1WH", stamp, "https://evil.example\\.paypal.com/x", PAYPAL_BODY, ERR_REFUSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        signer_paypal(rows[i].key, rows[i].webhook, rows[i].stamp, rows[i].url, rows[i].body, headers,
                      sizeof(headers));
        signer_request(&request, "/webhooks/paypal", headers, PAYPAL_BODY, strlen(PAYPAL_BODY));
        enum err err = webhook_take(account, &request.request, today, &batch);
        if (err != rows[i].err)
            fail_msg("row %zu: %s", i, err_str(err));
    }
    /* A certificate that has ended vouches for nothing. */
    struct wall_time later = {today.ns + 16 * 86400 * NS_PER_S};
    wall_time_text(later, stamp);
    signer_paypal(key, "1WH", stamp, PAYPAL_URL, PAYPAL_BODY, headers, sizeof(headers));
    signer_request(&request, "/webhooks/paypal", headers, PAYPAL_BODY, strlen(PAYPAL_BODY));
    assert_int_equal(webhook_take(account, &request.request, later, &batch), ERR_REFUSED);
    webhook_account_free(account);
    X509_free(certificate);
    X509_free(other);
    EVP_PKEY_free(key);
    EVP_PKEY_free(stranger);
}

static void paypal_events_are_read(void **state)
{
    (void)state;
    static const struct expected rows[] = {
        {PAYPAL_BODY, WEBHOOK_SUCCEEDED, "WH-1", "5O1", CAPTURE_ID, 1234, "EUR"},
        {"{\"id\":\"WH-2\",\"event_type\":\"PAYMENT.CAPTURE.REFUNDED\",\"resource\":{\"amount\":{\"value\":"
         "\"5\","
         "\"currency_code\":\"JPY\"}}}",
         WEBHOOK_REFUNDED, "WH-2", "", 0, 5, "JPY"},
        {"{\"id\":\"WH-3\",\"event_type\":\"CUSTOMER.DISPUTE.RESOLVED\",\"resource\":{\"disputed_"
         "transactions\":[{"
         "\"invoice_number\":\"" CAPTURE_TEXT
         "-2\"}],\"dispute_amount\":{\"value\":\"1.2\",\"currency_code\":\"EUR\"},"
         "\"dispute_outcome\":{\"outcome_code\":\"RESOLVED_BUYER_FAVOUR\"}}}",
         WEBHOOK_DISPUTE_LOST, "WH-3", "", CAPTURE_ID, 120, "EUR"},
        {"{\"id\":\"WH-4\",\"event_type\":\"X\",\"resource\":{\"amount\":{\"value\":\"1.234\",\"currency_"
         "code\":"
         "\"EUR\"}}}",
         WEBHOOK_OTHER, "WH-4", "", 0, 0, ""},
    };
    check_rows(CONFIG_WEBHOOK_PAYPAL, rows, sizeof(rows) / sizeof(rows[0]));
}

/* --- Braintree --------------------------------------------------------------------------------------------------- */

#define BRAINTREE_XML                                                                                        \
    "<notification><timestamp type=\"datetime\">2026-01-01T00:00:00Z</timestamp><kind>transaction_settled"   \
    "</kind><subject><transaction><id>t1</id><amount>12.34</amount><currency-iso-code>EUR"                   \
    "</currency-iso-code><order-id>" CAPTURE_TEXT "-1</order-id></transaction></subject></notification>"

static void braintree_signatures_are_believed_as_the_table_says(void **state)
{
    (void)state;
    static char body[65536];
    struct webhook_account *account = account_with(CONFIG_WEBHOOK_BRAINTREE, "public1", "private1", NULL);
    signer_braintree("public1", "private1", BRAINTREE_XML, body, sizeof(body));
    assert_int_equal(take(account, "", body), OK);
    assert_int_equal(batch.events[0].capture_id, CAPTURE_ID);
    /* One letter of the payload, of the signature. */
    char *payload = strstr(body, "bt_payload=") + 20;
    char was = *payload;
    *payload = *payload == 'A' ? 'B' : 'A';
    assert_int_equal(take(account, "", body), ERR_REFUSED);
    *payload = was;
    char *signature = strstr(body, "public1%7C") + 10;
    *signature = *signature == '0' ? '1' : '0';
    assert_int_equal(take(account, "", body), ERR_REFUSED);
    signer_braintree("public1", "private2", BRAINTREE_XML, body, sizeof(body));
    assert_int_equal(take(account, "", body), ERR_REFUSED);
    signer_braintree("public2", "private1", BRAINTREE_XML, body, sizeof(body));
    assert_int_equal(take(account, "", body), ERR_REFUSED);
    static const char *const broken[] = {"", "bt_signature=", "bt_payload=x", "bt_signature=%&bt_payload=%zz",
                                         "bt_signature=public1|00&bt_payload="};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_int_equal(take(account, "", broken[i]), ERR_REFUSED);
    /* Theirs, and no XML of a notification. */
    signer_braintree("public1", "private1", "<x/>", body, sizeof(body));
    assert_int_equal(take(account, "", body), ERR_SYNTAX);
    webhook_account_free(account);
}

static void braintree_xml_is_read_without_entities_and_document_types(void **state)
{
    (void)state;
    static const struct expected rows[] = {
        {BRAINTREE_XML, WEBHOOK_SUCCEEDED, NULL, CAPTURE_TEXT "-1", CAPTURE_ID, 1234, "EUR"},
        {"<notification><kind>dispute_lost</kind><subject><dispute><amount>1.00</"
         "amount><currency-iso-code>USD"
         "</currency-iso-code><transaction><order-id>" CAPTURE_TEXT "-2</order-id><amount>9.00</amount>"
         "</transaction></dispute></subject></notification>",
         WEBHOOK_DISPUTE_LOST, NULL, CAPTURE_TEXT "-2", CAPTURE_ID, 100, "USD"},
        {"<notification><kind>check</kind><subject><check "
         "type=\"boolean\">true</check></subject></notification>",
         WEBHOOK_OTHER, NULL, "", 0, 0, ""},
    };
    check_rows(CONFIG_WEBHOOK_BRAINTREE, rows, sizeof(rows) / sizeof(rows[0]));
    static const char *const refused[] = {
        "<!DOCTYPE notification [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><notification><kind>&x;</kind>"
        "</notification>",
        "<!DOCTYPE notification SYSTEM \"http://127.0.0.1:1/x.dtd\"><notification/>",
        "<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\"><!ENTITY c "
        "\"&b;&b;&b;&b;&b;&b;\">]><notification>&c;&c;</notification>",
        "<notification>",
        "",
        "plain text",
        "<other/>"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(webhook_read(CONFIG_WEBHOOK_BRAINTREE, refused[i], strlen(refused[i]), &batch),
                         ERR_SYNTAX);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/webhook-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"first", "second", "cert.pem"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stripe_signatures_are_believed_as_the_table_says),
        cmocka_unit_test(stripe_events_are_read),
        cmocka_unit_test(adyen_signs_every_item_and_its_own_example_fits),
        cmocka_unit_test(worldpay_signatures_and_events),
        cmocka_unit_test(paypal_is_believed_by_the_pinned_certificate_only),
        cmocka_unit_test(paypal_events_are_read),
        cmocka_unit_test(braintree_signatures_are_believed_as_the_table_says),
        cmocka_unit_test(braintree_xml_is_read_without_entities_and_document_types),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
