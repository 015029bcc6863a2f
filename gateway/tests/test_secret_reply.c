/* What secret stores and metadata services are asked, as text, and what of their answers is believed. */
#include "gateway/keys/aws_credentials.h"
#include "gateway/keys/secrets_manager.h"
#include "gateway/keys/vault_kv.h"
#include "gateway/wipe_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct secret *token, *value;
static struct connector_request request;

static void put(struct secret *secret, const char *text)
{
    size_t capacity;
    memcpy(secret_buffer(secret, &capacity), text, strlen(text));
    secret_set_length(secret, strlen(text));
}

static void clear_request(void)
{
    struct secret *body = request.body;
    memset(&request, 0, sizeof(request));
    request.body = body;
    secret_wipe(body);
}

static enum err build_vault(const char *reference, const char *name_space)
{
    clear_request();
    return vault_kv_build(reference, token, name_space, &request);
}

static void vault_is_asked_for_one_secret(void **state)
{
    (void)state;
    put(token, "hvs.abc");
    assert_int_equal(build_vault("vault:secret/payments/stripe#api_key", ""), OK);
    assert_string_equal(request.method, "GET");
    assert_string_equal(request.path, "/v1/secret/data/payments/stripe");
    assert_string_equal(request.headers, "X-Vault-Token: hvs.abc\nX-Vault-Request: true\n");
    assert_int_equal(build_vault("vault:kv/x#y", "team/pay"), OK);
    assert_string_equal(request.headers,
                        "X-Vault-Token: hvs.abc\nX-Vault-Request: true\nX-Vault-Namespace: team/pay\n");
    put(token, "two\nlines");
    assert_int_equal(build_vault("vault:kv/x#y", ""), ERR_SYNTAX);
    assert_null(strstr(request.headers, "two"));
}

static void references_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const vaults[] = {
        "vault:",     "vault:kv#x",      "vault:/x#y",    "vault:kv/#y",    "vault:kv/x#",
        "vault:kv/x", "vault:kv/../x#y", "vault:kv//x#y", "vault:kv/x?a#y", "vault:kv/x%2e#y",
        "aws:x",      "vault:kv/x/#y",   "vault:kv/x y#z"};
    static const char *const aws[] = {"aws:",   "aws:#x",       "aws:x#", "aws:a b",
                                      "aws:\"", "vault:kv/x#y", "aws:x\n"};
    put(token, "hvs.abc");
    for (size_t i = 0; i < sizeof(vaults) / sizeof(vaults[0]); i++)
        assert_int_equal(build_vault(vaults[i], ""), ERR_SYNTAX);
    for (size_t i = 0; i < sizeof(aws) / sizeof(aws[0]); i++) {
        clear_request();
        assert_int_equal(secrets_manager_build(aws[i], &request), ERR_SYNTAX);
    }
}

static void secrets_manager_is_asked_for_the_current_version(void **state)
{
    (void)state;
    static const char body[] = "{\"SecretId\":\"prod/gateway\",\"VersionStage\":\"AWSCURRENT\"}";
    clear_request();
    assert_int_equal(secrets_manager_build("aws:prod/gateway#key", &request), OK);
    assert_string_equal(request.method, "POST");
    assert_string_equal(request.path, "/");
    assert_string_equal(request.headers, "Content-Type: application/x-amz-json-1.1\n"
                                         "X-Amz-Target: secretsmanager.GetSecretValue\n");
    assert_int_equal(secret_length(request.body), sizeof(body) - 1);
    assert_memory_equal(secret_bytes(request.body), body, sizeof(body) - 1);
    clear_request();
    assert_int_equal(secrets_manager_build(
                         "aws:arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf", &request),
                     OK);
}

static void an_instance_is_asked_in_three_steps(void **state)
{
    (void)state;
    clear_request();
    assert_int_equal(aws_session_build(&request), OK);
    assert_string_equal(request.method, "PUT");
    assert_string_equal(request.path, "/latest/api/token");
    assert_string_equal(request.headers, "X-aws-ec2-metadata-token-ttl-seconds: 300\n");
    clear_request();
    assert_int_equal(aws_role_build("SESSION==", &request), OK);
    assert_string_equal(request.path, "/latest/meta-data/iam/security-credentials/");
    assert_string_equal(request.headers, "X-aws-ec2-metadata-token: SESSION==\n");
    clear_request();
    assert_int_equal(aws_instance_build("SESSION==", "pay-role", &request), OK);
    assert_string_equal(request.path, "/latest/meta-data/iam/security-credentials/pay-role");
    clear_request();
    assert_int_equal(aws_container_build("/v2/credentials/uuid", &request), OK);
    assert_string_equal(request.path, "/v2/credentials/uuid");
    assert_int_equal(aws_container_build("v2", &request), ERR_SYNTAX);
    assert_int_equal(aws_container_build("/v2 x", &request), ERR_SYNTAX);
}

static const struct row {
    const char *reference; /* NULL: credentials */
    unsigned status;
    const char *body;
    enum err err;
    const char *value;
} rows[] = {
#define KV(field) "{\"data\":{\"data\":{" field "},\"metadata\":{}}}"
    {"vault:kv/x#key", 200, KV("\"key\":\"sk_test\""), OK, "sk_test"},
    {"vault:kv/x#key", 200, KV("\"key\":\"sk_test \\n\""), OK, "sk_test"},
    {"vault:kv/x#key", 200, KV("\"other\":\"sk_test\""), ERR_NOT_FOUND, ""},
    {"vault:kv/x#key", 200, KV("\"key\":5"), ERR_SYNTAX, ""},
    {"vault:kv/x#key", 200, KV("\"key\":\"\""), ERR_LENGTH, ""},
    {"vault:kv/x#key", 200, KV("\"key\":\"a\\nb\""), ERR_SYNTAX, ""},
    {"vault:kv/x#key", 200, KV("\"key\":\"a\\u0000b\""), ERR_SYNTAX, ""},
    {"vault:kv/x#key", 200, KV("\"key\":\"k\",\"key\":\"other\""), ERR_SYNTAX, ""}, /* twice: which? */
    {"vault:kv/x#key", 200, KV("\"key\":\"0123456789012345678901234567890123456789\""), ERR_LENGTH, ""},
    {"vault:kv/x#key", 200, "{\"data\":{\"data\":null}}", ERR_NOT_FOUND, ""},
    {"vault:kv/x#key", 200, "{\"data\":{\"key\":\"v1 engine\"}}", ERR_SYNTAX, ""},
    {"vault:kv/x#key", 200, "<html>", ERR_SYNTAX, ""},
    {"vault:kv/x#key", 404, "", ERR_NOT_FOUND, ""},
    {"vault:kv/x#key", 403, KV("\"key\":\"sk_test\""), ERR_REFUSED, ""},
    {"vault:kv/x#key", 503, "", ERR_SYSTEM, ""},
    {"vault:kv/x#key", 302, "", ERR_SYNTAX, ""},
    {"aws:x", 200, "{\"SecretString\":\"sk_test\"}", OK, "sk_test"},
    {"aws:x", 200, "{\"SecretBinary\":\"AAEC\"}", ERR_NOT_FOUND, ""},
    {"aws:x#key", 200, "{\"SecretString\":\"{\\\"key\\\":\\\"sk_test\\\"}\"}", OK, "sk_test"},
    {"aws:x#key", 200, "{\"SecretString\":\"sk_test\"}", ERR_SYNTAX, ""},
    {"aws:x#other", 200, "{\"SecretString\":\"{\\\"key\\\":\\\"sk_test\\\"}\"}", ERR_NOT_FOUND, ""},
    {"aws:x", 400, "{\"__type\":\"ResourceNotFoundException\"}", ERR_NOT_FOUND, ""},
    {"aws:x", 400, "{\"__type\":\"com.amazonaws.x#AccessDeniedException\"}", ERR_REFUSED, ""},
    {"aws:x", 400, "{\"__type\":\"InvalidSignatureException\"}", ERR_REFUSED, ""},
    {"aws:x", 400, "{\"__type\":\"ThrottlingException\"}", ERR_SYSTEM, ""},
    {"aws:x", 400, "{}", ERR_SYNTAX, ""},
    {"aws:x", 500, "", ERR_SYSTEM, ""},
#define TEMPORARY(id, expiration)                                                                            \
    "{\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"s/+\",\"Token\":\"t==\",\"Expiration\":\"" expiration \
    "\"}"
    {NULL, 200, TEMPORARY("ASIA", "2026-11-26T17:00:00Z"), OK, "ASIA:s/+:t=="},
    {NULL, 200, TEMPORARY("ASIA", "2026-11-26T15:59:59Z"), ERR_TIMEOUT, ""},
    {NULL, 200, TEMPORARY("ASIA", "2026-11-26 17:00:00"), ERR_SYNTAX, ""},
    {NULL, 200, TEMPORARY("AS:IA", "2026-11-26T17:00:00Z"), ERR_SYNTAX, ""},
    {NULL, 200, TEMPORARY("", "2026-11-26T17:00:00Z"), ERR_SYNTAX, ""},
    {NULL, 200, TEMPORARY("0123456789012345678901234567", "2026-11-26T17:00:00Z"), ERR_LENGTH, ""},
    {NULL, 200, "{\"Code\":\"Success\"}", ERR_SYNTAX, ""},
    {NULL, 401, "", ERR_REFUSED, ""},
    {NULL, 404, "", ERR_NOT_FOUND, ""},
};

#define NOW_S 1795708800 /* 2026-11-26T16:00:00Z */

static void answers_give_a_key_or_say_why_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        const struct connector_answer answer = {row->status, (const uint8_t *)row->body, strlen(row->body),
                                                ""};
        unsigned valid_s = 0;
        put(value, "what was there");
        enum err err = !row->reference            ? aws_credentials_read(&answer, NOW_S, value, &valid_s)
                       : row->reference[0] == 'v' ? vault_kv_read(row->reference, &answer, value)
                                                  : secrets_manager_read(row->reference, &answer, value);
        if (err != row->err || secret_length(value) != strlen(row->value))
            print_error("row %zu: %s\n", i, err_str(err));
        assert_int_equal(err, row->err);
        assert_int_equal(secret_length(value), strlen(row->value));
        assert_memory_equal(secret_bytes(value), row->value, strlen(row->value));
        assert_int_equal(valid_s, row->reference || err ? 0 : 3600);
    }
}

static void names_that_would_end_a_header_or_a_path_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", "a b", "a\r\nHost: b", "x?y", "a/b", "%2e", "a#b"};
    char role[LIMIT_NAME_BYTES];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct connector_answer answer = {200, (const uint8_t *)names[i], strlen(names[i]), ""};
        assert_int_equal(aws_role_read(&answer, role), ERR_SYNTAX);
    }
    const struct connector_answer good = {200, (const uint8_t *)"pay-role\n", 9, ""};
    assert_int_equal(aws_role_read(&good, role), OK);
    assert_string_equal(role, "pay-role");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vault_is_asked_for_one_secret),
        cmocka_unit_test(references_that_are_none_are_refused),
        cmocka_unit_test(secrets_manager_is_asked_for_the_current_version),
        cmocka_unit_test(an_instance_is_asked_in_three_steps),
        cmocka_unit_test(answers_give_a_key_or_say_why_not),
        cmocka_unit_test(names_that_would_end_a_header_or_a_path_are_refused),
    };
    if (wipe_heap_install() != OK || secret_new(&token, 64) != OK || secret_new(&value, 32) != OK ||
        secret_new(&request.body, 1024) != OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    secret_free(token);
    secret_free(value);
    secret_free(request.body);
    return failed;
}
