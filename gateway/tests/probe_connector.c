#include "gateway/tests/probe_connector.h"

#include "gateway/reply_json.h"

#include <stdio.h>
#include <string.h>

struct probe_memory probe;

static enum err probe_build(const struct connector_account *account, const struct connector_step *step,
                            struct connector_request *request, struct connector_verdict *verdict)
{
    char key[CONNECTOR_STEP_KEY_BYTES];
    (void)account;
    (void)verdict;
    probe.builds++;
    probe.seen = *step;
    request->method = "POST";
    snprintf(request->path, sizeof(request->path), "/probe");
    connector_step_key(step, key);
    /* What the fake echoes: a gateway that remembers the card needs none in the request. */
    size_t capacity;
    uint8_t *bytes = secret_buffer(request->body, &capacity);
    int length = probe.is_bare
                     ? 0
                     : snprintf((char *)bytes, capacity, "card[number]=%s", probe.number ? probe.number : "");
    secret_set_length(request->body, (size_t)length);
    return connector_header(request, "Idempotency-Key", key);
}

static enum err probe_authorise(const struct connector_account *account, const uint8_t *key, size_t length,
                                struct connector_request *request)
{
    memcpy(probe.host, request->host, sizeof(probe.host));
    probe.now_s = request->now_s;
    return connector_authorise_bearer(account, key, length, request);
}

static void probe_read(const struct connector_account *account, const struct connector_step *step,
                       const struct connector_answer *answer, struct connector_verdict *verdict)
{
    (void)account;
    json_t *root = reply_parse(answer);
    if (answer->status >= 500) {
        connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
        verdict->again = CONNECTOR_AGAIN;
    } else if (answer->status == 200 && reply_is(root, "error", "unauthorised")) {
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
        verdict->again = CONNECTOR_LOGIN;
    } else if (answer->status != 200) {
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    } else {
        connector_verdict_set(verdict, GATEWAY_DONE, ORDER_NONE, REASON_NONE);
        if (step->round + 1 < probe.rounds)
            verdict->again = CONNECTOR_NEXT;
        if (!connector_take_number(reply_text(root, "id"), verdict->order_ref, sizeof(verdict->order_ref)))
            connector_bad_answer(step, verdict);
    }
    json_decref(root);
}

static bool probe_key_is_live(const uint8_t *key, size_t length)
{
    return length == sizeof(PROBE_LIVE_KEY) - 1 && memcmp(key, PROBE_LIVE_KEY, length) == 0;
}

#define PROBE(safe)                                                                                          \
    {                                                                                                        \
        .name = "probe", .operations = (1u << CONNECTOR_OPERATIONS) - 1, .is_replay_safe = (safe),           \
        .key_is_live = probe_key_is_live, .authorise = probe_authorise, .build = probe_build,                \
        .read = probe_read,                                                                                  \
    }
const struct connector safe_probe = PROBE(true);
const struct connector unsafe_probe = PROBE(false);
