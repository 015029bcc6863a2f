#include "capture/tests/vault_stage.h"

#include "base/log.h"
#include "base/secret.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define START_S 1795000000LL /* November 2026 */

static void set_clock(struct stage *stage)
{
    dispatch_set_clock(stage->dispatch, stage->now, stage->wall);
}

void stage_open(struct stage *stage, unsigned generation)
{
    memset(stage, 0, sizeof(*stage));
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR, "vault");
    const struct dispatch_options options = {
        .idle_s = 60, .session_s = 600, .attempts_max = 3, .brands = UINT32_MAX, .generation = generation};
    ASSERT(dispatch_new(&stage->dispatch, &options) == OK);
    stage->now.ns = NS_PER_S;
    stage->wall.ns = START_S * NS_PER_S;
    set_clock(stage);
    for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
        stage->far[peer] = -1;
        stage->near[peer] = -1;
        stage_up(stage, (enum dispatch_peer)peer);
    }
}

void stage_close(struct stage *stage)
{
    for (int peer = 0; peer < DISPATCH_PEERS; peer++)
        stage_down(stage, (enum dispatch_peer)peer);
    dispatch_free(stage->dispatch);
    stage->dispatch = NULL;
}

void stage_up(struct stage *stage, enum dispatch_peer peer)
{
    if (stage->far[peer] >= 0)
        return;
    int ends[2];
    ASSERT(msg_pair(ends) == OK);
    stage->near[peer] = ends[0];
    stage->far[peer] = ends[1];
    dispatch_link_up(stage->dispatch, peer, ends[0]);
}

void stage_down(struct stage *stage, enum dispatch_peer peer)
{
    if (stage->far[peer] < 0)
        return;
    close(stage->far[peer]);
    stage->far[peer] = -1;
    dispatch_link_down(stage->dispatch, peer);
    close(stage->near[peer]);
    stage->near[peer] = -1;
}

void stage_jump(struct stage *stage, int64_t ms)
{
    stage->now = mono_add_ms(stage->now, ms);
    stage->wall.ns += ms * NS_PER_MS;
    set_clock(stage);
    dispatch_tick(stage->dispatch);
}

void stage_wait(struct stage *stage, int64_t ms)
{
    for (int64_t gone = 0; gone < ms; gone += 100)
        stage_jump(stage, 100);
}

enum err stage_read(struct stage *stage, enum dispatch_peer peer, union stage_message *message)
{
    if (stage->far[peer] < 0)
        return ERR_PEER_GONE;
    ssize_t length = recv(stage->far[peer], message, sizeof(*message), MSG_DONTWAIT);
    if (length <= 0)
        return ERR_EMPTY;
    ASSERT(message->header.version == MSG_VERSION && message->header.length == (uint32_t)length);
    return OK;
}

bool stage_expect(struct stage *stage, enum dispatch_peer peer, uint16_t type, union stage_message *message)
{
    while (stage_read(stage, peer, message) == OK) {
        if (message->header.type == type)
            return true;
    }
    return false;
}

void stage_flush(struct stage *stage)
{
    union stage_message message;
    for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
        while (stage_read(stage, (enum dispatch_peer)peer, &message) == OK)
            ;
    }
    wipe(&message, sizeof(message));
}

enum err stage_say(struct stage *stage, enum dispatch_peer peer, const void *message)
{
    const struct msg_header *header = message;
    return msg_dispatch(dispatch_port(stage->dispatch, peer), message, header->length);
}

enum err stage_say_open_kind(struct stage *stage, uint64_t capture, uint64_t call, enum capture_kind kind)
{
    struct capture_open_msg open = {.call_id = call, .kind = (uint8_t)kind};
    if (kind != CAPTURE_KIND_TOKENISE) {
        open.amount_minor = 4999;
        strcpy(open.currency, "USD");
    }
    MSG_INIT(&open, CAPTURE_OPEN, capture);
    return stage_say(stage, DISPATCH_DESK, &open);
}

enum err stage_say_open(struct stage *stage, uint64_t capture, uint64_t call)
{
    return stage_say_open_kind(stage, capture, call, CAPTURE_KIND_CHARGE);
}

enum err stage_say_armed(struct stage *stage, uint64_t capture, uint64_t call, bool is_resync,
                         bool is_refused)
{
    struct proxy_armed_msg armed = {.capture_id = capture, .is_resync = is_resync, .is_refused = is_refused};
    MSG_INIT(&armed, PROXY_ARMED, call);
    return stage_say(stage, DISPATCH_PROXY, &armed);
}

enum err stage_say_gone(struct stage *stage, uint64_t capture, uint64_t call)
{
    struct proxy_call_gone_msg gone = {.capture_id = capture};
    MSG_INIT(&gone, PROXY_CALL_GONE, call);
    return stage_say(stage, DISPATCH_PROXY, &gone);
}

enum err stage_say_alarm(struct stage *stage, uint64_t capture, uint64_t call)
{
    struct proxy_alarm_msg alarm = {.capture_id = capture};
    MSG_INIT(&alarm, PROXY_ALARM, call);
    return stage_say(stage, DISPATCH_PROXY, &alarm);
}

enum err stage_say_key(struct stage *stage, uint64_t capture, uint64_t call, uint32_t ordinal, dtmf_key key)
{
    struct proxy_digit_msg digit = {.capture_id = capture, .ordinal = ordinal, .key = key};
    MSG_INIT(&digit, PROXY_DIGIT, call);
    return stage_say(stage, DISPATCH_PROXY, &digit);
}

enum err stage_say_field(struct stage *stage, uint64_t capture, enum card_field field, bool is_reset)
{
    struct capture_field_msg message = {.field = (uint8_t)field, .is_reset = is_reset};
    MSG_INIT(&message, CAPTURE_FIELD, capture);
    return stage_say(stage, DISPATCH_DESK, &message);
}

enum err stage_say_submit(struct stage *stage, uint64_t capture)
{
    struct capture_submit_msg submit;
    MSG_INIT(&submit, CAPTURE_SUBMIT, capture);
    return stage_say(stage, DISPATCH_DESK, &submit);
}

enum err stage_say_cancel(struct stage *stage, uint64_t capture, uint64_t call)
{
    struct capture_cancel_msg cancel = {.call_id = call};
    MSG_INIT(&cancel, CAPTURE_CANCEL, capture);
    return stage_say(stage, DISPATCH_DESK, &cancel);
}

enum err stage_say_stored(struct stage *stage, uint64_t capture, uint32_t number, bool is_durable)
{
    struct capture_stored_msg stored = {.store_number = number, .is_durable = is_durable};
    MSG_INIT(&stored, CAPTURE_STORED, capture);
    return stage_say(stage, DISPATCH_DESK, &stored);
}

enum err stage_say_reconcile(struct stage *stage, uint64_t capture, uint32_t attempt, const char *order_ref)
{
    struct capture_reconcile_msg message = {.amount_minor = 4999, .currency = "USD", .attempt = attempt};
    MSG_INIT(&message, CAPTURE_RECONCILE, capture);
    strncpy(message.order_ref, order_ref, sizeof(message.order_ref) - 1);
    if (order_ref[0])
        strncpy(message.token, "pm_kept", sizeof(message.token) - 1);
    return stage_say(stage, DISPATCH_DESK, &message);
}

enum err stage_say_sync(struct stage *stage)
{
    struct capture_sync_msg sync;
    MSG_INIT(&sync, CAPTURE_SYNC, 0);
    return stage_say(stage, DISPATCH_DESK, &sync);
}

enum err stage_say_reply(struct stage *stage, uint64_t capture, uint16_t request, uint32_t attempt,
                         enum gateway_outcome outcome, enum gateway_order_state order_state,
                         const char *token, const char *order_ref)
{
    return stage_say_reply_of(stage, 0, capture, request, attempt, outcome, order_state, token, order_ref);
}

enum err stage_say_reply_of(struct stage *stage, unsigned gateway_index, uint64_t capture, uint16_t request,
                            uint32_t attempt, enum gateway_outcome outcome,
                            enum gateway_order_state order_state, const char *token, const char *order_ref)
{
    struct gateway_reply_msg reply = {.request_type = request,
                                      .gateway_index = (uint8_t)gateway_index,
                                      .outcome = (uint8_t)outcome,
                                      .order_state = (uint8_t)order_state,
                                      .attempt = attempt};
    MSG_INIT(&reply, GATEWAY_REPLY, capture);
    strncpy(reply.token, token, sizeof(reply.token) - 1);
    strncpy(reply.order_ref, order_ref, sizeof(reply.order_ref) - 1);
    return stage_say(stage, DISPATCH_GATEWAY, &reply);
}

void stage_keys(struct stage *stage, const char *keys)
{
    for (const char *c = keys; *c; c++) {
        dtmf_key key = *c == '*' ? DTMF_KEY_STAR : *c == '#' ? DTMF_KEY_POUND : (dtmf_key)(*c - '0');
        ASSERT(stage_say_key(stage, STAGE_CAPTURE, STAGE_CALL, ++stage->ordinal, key) == OK);
    }
}

struct capture *stage_capture(struct stage *stage)
{
    return captures_find(dispatch_captures(stage->dispatch), STAGE_CAPTURE);
}

enum payment_state stage_state(struct stage *stage)
{
    const struct capture *capture = stage_capture(stage);
    return capture ? capture->state : PAYMENT_NONE;
}

void stage_answer_store(struct stage *stage)
{
    union stage_message message;
    ASSERT(stage_expect(stage, DISPATCH_DESK, CAPTURE_STORE, &message));
    ASSERT(stage_say_stored(stage, STAGE_CAPTURE, message.store.store_number, true) == OK);
}

static void reply(struct stage *stage, uint16_t request, enum gateway_outcome outcome,
                  enum gateway_order_state order_state)
{
    const struct capture *capture = stage_capture(stage);
    const char *token = request == GATEWAY_TOKENISE ? "pm_stage" : "";
    const char *order = request == GATEWAY_TOKENISE ? "" : "pi_stage";
    ASSERT(stage_say_reply(stage, STAGE_CAPTURE, request, capture->attempt, outcome, order_state, token,
                           order) == OK);
}

static void say_ok(enum err err)
{
    ASSERT(err == OK);
}

/* One hop of the straight way; false where it ends. */
static bool hop(struct stage *stage)
{
    switch (stage_state(stage)) {
    case PAYMENT_NONE:
        say_ok(stage_say_open(stage, STAGE_CAPTURE, STAGE_CALL));
        return true;
    case PAYMENT_ARMING:
        say_ok(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, false, false));
        return true;
    case PAYMENT_COLLECTING:
        stage_keys(stage, STAGE_CARD "1228"
                                     "123");
        return true;
    case PAYMENT_READY:
        say_ok(stage_say_submit(stage, STAGE_CAPTURE));
        return true;
    case PAYMENT_STORING_INTENT:
    case PAYMENT_STORING_ORDER:
    case PAYMENT_STORING_APPROVED:
        stage_answer_store(stage);
        return true;
    case PAYMENT_TOKENISING:
        reply(stage, GATEWAY_TOKENISE, GATEWAY_DONE, ORDER_NONE);
        return true;
    case PAYMENT_CREATING:
        reply(stage, GATEWAY_CREATE, GATEWAY_DONE, ORDER_OPEN);
        return true;
    case PAYMENT_CONFIRMING:
        reply(stage, GATEWAY_CONFIRM, GATEWAY_DONE, ORDER_SUCCEEDED);
        return true;
    case PAYMENT_VERIFYING:
        reply(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_SUCCEEDED);
        return true;
    default:
        return false;
    }
}

static void straight_to(struct stage *stage, enum payment_state state)
{
    for (int i = 0; stage_state(stage) != state && i < 16; i++) {
        stage_flush(stage);
        if (payment_is_storing(stage_state(stage)))
            stage_say_stored(stage, STAGE_CAPTURE, stage_capture(stage)->store_number, true);
        else
            ASSERT(hop(stage));
    }
    ASSERT(stage_state(stage) == state);
}

static void say_gone(struct stage *stage)
{
    say_ok(stage_say_gone(stage, STAGE_CAPTURE, STAGE_CALL));
}

static void say_cancel(struct stage *stage)
{
    say_ok(stage_say_cancel(stage, STAGE_CAPTURE, STAGE_CALL));
}

static void declined(struct stage *stage, uint32_t attempt)
{
    straight_to(stage, PAYMENT_CONFIRMING);
    while (stage_capture(stage)->attempt < attempt) {
        reply(stage, GATEWAY_CONFIRM, GATEWAY_DECLINED, ORDER_OPEN);
        reply(stage, GATEWAY_ABANDON, GATEWAY_DONE, ORDER_CANCELLED);
        straight_to(stage, PAYMENT_CONFIRMING);
    }
    reply(stage, GATEWAY_CONFIRM, GATEWAY_DECLINED, ORDER_OPEN);
}

static void until_unknown(struct stage *stage)
{
    straight_to(stage, PAYMENT_VERIFYING);
    for (int i = 0; i < 3 * DISPATCH_VERIFY_WAITS && stage_state(stage) != PAYMENT_UNKNOWN; i++) {
        if (stage_state(stage) == PAYMENT_VERIFYING)
            reply(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_PENDING);
        stage_flush(stage);
        stage_wait(stage, 8200);
    }
}

static void stored(struct stage *stage)
{
    say_ok(stage_say_stored(stage, STAGE_CAPTURE, stage_capture(stage)->store_number, true));
}

void stage_reach(struct stage *stage, enum payment_state state)
{
    switch (state) {
    case PAYMENT_CREATING_CANCELLED:
        straight_to(stage, PAYMENT_CREATING);
        say_cancel(stage);
        break;
    case PAYMENT_CONFIRMING_GONE:
        straight_to(stage, PAYMENT_CONFIRMING);
        say_gone(stage);
        break;
    case PAYMENT_VERIFY_WAIT:
        straight_to(stage, PAYMENT_VERIFYING);
        reply(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_PENDING);
        break;
    case PAYMENT_SETTLING:
        straight_to(stage, PAYMENT_VERIFYING);
        reply(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_OPEN);
        break;
    case PAYMENT_ABANDONING_RETRY:
        declined(stage, 1);
        break;
    case PAYMENT_ABANDONING_DECLINED:
        declined(stage, 3);
        break;
    case PAYMENT_STORING_DECLINED:
    case PAYMENT_DECLINED:
        declined(stage, 3);
        reply(stage, GATEWAY_ABANDON, GATEWAY_DONE, ORDER_CANCELLED);
        if (state == PAYMENT_DECLINED)
            stored(stage);
        break;
    case PAYMENT_ABANDONING_CANCELLED:
        straight_to(stage, PAYMENT_STORING_ORDER);
        say_cancel(stage);
        break;
    case PAYMENT_ABANDONING_FAILED:
        straight_to(stage, PAYMENT_CONFIRMING);
        reply(stage, GATEWAY_CONFIRM, GATEWAY_FAILED, ORDER_NONE);
        break;
    case PAYMENT_STORING_CANCELLED:
    case PAYMENT_CANCELLED:
        straight_to(stage, PAYMENT_COLLECTING);
        say_cancel(stage);
        if (state == PAYMENT_CANCELLED)
            stored(stage);
        break;
    case PAYMENT_STORING_FAILED:
    case PAYMENT_FAILED:
        straight_to(stage, PAYMENT_TOKENISING);
        reply(stage, GATEWAY_TOKENISE, GATEWAY_FAILED, ORDER_NONE);
        if (state == PAYMENT_FAILED)
            stored(stage);
        break;
    case PAYMENT_UNKNOWN:
        until_unknown(stage);
        break;
    case PAYMENT_UNKNOWN_ASKED:
    case PAYMENT_UNKNOWN_SETTLING:
        until_unknown(stage);
        stage_wait(stage, 11000);
        if (state == PAYMENT_UNKNOWN_SETTLING)
            reply(stage, GATEWAY_STATUS, GATEWAY_DONE, ORDER_OPEN);
        break;
    case PAYMENT_LOST:
    case PAYMENT_LOST_CANCELLED:
        say_ok(stage_say_armed(stage, STAGE_CAPTURE, STAGE_CALL, true, false));
        if (state != PAYMENT_LOST)
            say_cancel(stage);
        break;
    default:
        straight_to(stage, state);
    }
    ASSERT(stage_state(stage) == state);
}
