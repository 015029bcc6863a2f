#include "gateway/platforms/genesys.h"

#include "base/log.h"
#include "gateway/json_writer.h"
#include "gateway/platforms/hook_body.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *aws, *host;
} regions[] = {
    {"us-east-1", "mypurecloud.com"},
    {"eu-west-1", "mypurecloud.ie"},
    {"ap-southeast-2", "mypurecloud.com.au"},
    {"ap-northeast-1", "mypurecloud.jp"},
    {"eu-central-1", "mypurecloud.de"},
    {"us-west-2", "usw2.pure.cloud"},
    {"ca-central-1", "cac1.pure.cloud"},
    {"ap-northeast-2", "apne2.pure.cloud"},
    {"eu-west-2", "euw2.pure.cloud"},
    {"ap-south-1", "aps1.pure.cloud"},
    {"sa-east-1", "sae1.pure.cloud"},
    {"me-central-1", "mec1.pure.cloud"},
    {"ap-northeast-3", "apne3.pure.cloud"},
    {"eu-central-2", "euc2.pure.cloud"},
    {"mx-central-1", "mxc1.pure.cloud"},
    {"ap-southeast-1", "apse1.pure.cloud"},
    {"us-gov-east-2", "use2.us-gov-pure.cloud"},
    {"eusc-de-east-1", "edee1.eusc-pure.cloud"},
};

const char *genesys_region_host(const char *region)
{
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        if (strcmp(regions[i].aws, region) == 0 || strcmp(regions[i].host, region) == 0)
            return regions[i].host;
    }
    return NULL;
}

static bool is_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    return length > 0 && text[length] == '\0';
}

/* Every attribute is a string there. Nothing is said of a card: brand and last digits are not the desk's to know. */
static enum err put_attributes(const struct hook_send_msg *hook, struct genesys_request *request)
{
    struct json_writer json;
    char capture[32] = "cap_";
    char amount[32];
    char transaction[160];
    log_id_text(hook->capture_id, capture + 4);
    snprintf(amount, sizeof(amount), "%lld", (long long)hook->amount_minor);
    snprintf(transaction, sizeof(transaction), "%s", hook->payment_ref);
    json_begin(&json, request->body, sizeof(request->body));
    json_open_object(&json, NULL);
    json_open_object(&json, "attributes");
    json_put_text(&json, "paymentIntentId", transaction[0] ? transaction : capture);
    json_put_text(&json, "paymentStatus", hook_status_name(hook->status));
    json_put_text(&json, "paymentSessionId", capture);
    json_put_text(&json, "expectedAmount", amount);
    json_put_text(&json, "currency", hook->currency);
    if (transaction[0]) {
        json_put_text(&json, "gateway_transaction_id", transaction);
        json_put_text(&json, "Transaction_ID", transaction);
    }
    json_close(&json);
    json_close(&json);
    request->length = json.length;
    request->method = "PATCH";
    int length = snprintf(request->path, sizeof(request->path),
                          "/api/v2/conversations/calls/%s/participants/%s/attributes", hook->conversation,
                          hook->participant);
    return json.err ? json.err : (size_t)length < sizeof(request->path) ? OK : ERR_FULL;
}

/* The seed's form is the one requirement S0-25 was written with; the vendor's present description knows the other. */
static enum err put_recording(const struct hook_send_msg *hook, enum config_recording_api recording_api,
                              struct genesys_request *request)
{
    const char *state = hook->kind == HOOK_RECORDING_PAUSE ? "PAUSED" : "ACTIVE";
    const char *last = recording_api == CONFIG_RECORDING_SEED ? "recordings" : "recordingstate";
    int length = snprintf((char *)request->body, sizeof(request->body), "{\"recordingState\":\"%s\"}", state);
    request->length = (size_t)length;
    request->method = "PATCH";
    length = snprintf(request->path, sizeof(request->path), "/api/v2/conversations/%s/%s", hook->conversation,
                      last);
    return (size_t)length < sizeof(request->path) ? OK : ERR_FULL;
}

enum err genesys_build(const struct hook_send_msg *hook, enum config_recording_api recording_api,
                       struct genesys_request *request)
{
    memset(request, 0, sizeof(*request));
    if (!hook_is_sane(hook) || hook->target != HOOK_TARGET_PLATFORM || !is_name(hook->conversation))
        return ERR_RANGE;
    if (hook->kind == HOOK_ATTRIBUTES)
        return is_name(hook->participant) ? put_attributes(hook, request) : ERR_RANGE;
    return recording_api == CONFIG_RECORDING_OFF ? ERR_UNSUPPORTED
                                                 : put_recording(hook, recording_api, request);
}

enum err genesys_read_login(const uint8_t *body, size_t length, struct secret *token, unsigned *valid_s)
{
    json_t *answer = json_loadb((const char *)body, length, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(answer, "access_token"));
    json_int_t seconds = json_integer_value(json_object_get(answer, "expires_in"));
    enum err err = text && text[0] ? OK : ERR_SYNTAX;
    secret_wipe(token);
    for (; !err && *text; text++)
        err = *text > 0x20 && *text < 0x7f ? secret_append(token, (uint8_t)*text) : ERR_SYNTAX;
    if (err)
        secret_wipe(token);
    *valid_s = seconds > 0 && seconds < 7 * 86400 ? (unsigned)seconds : 300;
    json_decref(answer);
    return err;
}
