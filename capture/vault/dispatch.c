#include "capture/vault/dispatch.h"

#include "base/log.h"
#include "base/secret.h"
#include "capture/vault/card.h"
#include "capture/vault/gateway_answer.h"

#include <stdlib.h>
#include <string.h>

struct dispatch {
    struct dispatch_options options;
    struct captures *captures;
    struct msg_port ports[DISPATCH_PEERS];
    struct dispatch_counts counts;
    struct mono_time now;
    struct wall_time wall;
    bool is_draining;
};

static void happen(struct dispatch *dispatch, struct capture *capture, enum payment_event event);

/* --- towards the desk --- */

static void progress_fill(const struct dispatch *dispatch, const struct capture *capture,
                          struct capture_progress_msg *progress)
{
    memset(progress, 0, sizeof(*progress));
    MSG_INIT(progress, CAPTURE_PROGRESS, capture->id);
    progress->call_id = capture->call_id;
    progress->amount_minor = capture->amount_minor;
    memcpy(progress->currency, capture->currency, sizeof(progress->currency));
    progress->state = (uint8_t)payment_public(capture->state);
    progress->selected_field = CARD_FIELD_NONE;
    progress->problem = capture->problem;
    progress->gateway_reason = capture->gateway_reason;
    progress->attempt = (uint8_t)capture->attempt;
    progress->attempts_max = (uint8_t)dispatch->options.attempts_max;
    progress->is_masked = capture->is_masked;
    progress->is_muted = capture->is_muted;
    progress->is_slow = capture->is_slow;
    progress->advice = capture->advice;
    progress->brand = capture->brand;
    memcpy(progress->fields, capture->views, sizeof(progress->fields));
    if (capture->has_submitted || !capture->fields)
        return;
    progress->selected_field = (uint8_t)card_fields_selected(capture->fields);
    progress->brand = (uint8_t)card_fields_brand(capture->fields);
    card_fields_view(capture->fields, progress->fields);
    if (progress->problem == PROBLEM_NONE)
        progress->problem = (uint8_t)card_fields_problem(capture->fields);
}

static void tell_progress(struct dispatch *dispatch, struct capture *capture)
{
    struct capture_progress_msg progress;
    progress_fill(dispatch, capture, &progress);
    enum err err = msg_send(&dispatch->ports[DISPATCH_DESK], &progress);
    capture->is_progress_owed = err == ERR_FULL; /* a desk that comes up asks by SYNC */
}

/* For an OPEN that makes no capture: the desk shall not wait. */
static enum err tell_refused(struct dispatch *dispatch, const struct capture_open_msg *open,
                             enum capture_problem problem, enum err err)
{
    struct capture_progress_msg progress;
    memset(&progress, 0, sizeof(progress));
    MSG_INIT(&progress, CAPTURE_PROGRESS, open->header.subject);
    progress.call_id = open->call_id;
    progress.state = CAPTURE_FAILED;
    progress.selected_field = CARD_FIELD_NONE;
    progress.problem = (uint8_t)problem;
    enum err ignored = msg_send(&dispatch->ports[DISPATCH_DESK], &progress);
    (void)ignored;
    return err;
}

static void send_store(struct dispatch *dispatch, struct capture *capture, enum capture_store_kind kind,
                       bool is_again)
{
    struct capture_store_msg store;
    memset(&store, 0, sizeof(store));
    MSG_INIT(&store, CAPTURE_STORE, capture->id);
    if (!is_again)
        capture->store_number++;
    store.call_id = capture->call_id;
    store.store_number = capture->store_number;
    store.attempt = capture->attempt;
    store.amount_minor = capture->amount_minor;
    memcpy(store.currency, capture->currency, sizeof(store.currency));
    store.kind = (uint8_t)kind;
    if (kind == STORE_RESULT) {
        store.state = (uint8_t)payment_storing_end(capture->state);
    } else {
        store.state = (uint8_t)payment_public(capture->state);
    }
    if (kind == STORE_ORDER || (kind == STORE_RESULT && store.state == CAPTURE_APPROVED))
        memcpy(store.token, capture->token, sizeof(store.token));
    store.problem = capture->problem;
    store.gateway_reason = capture->gateway_reason;
    store.brand = capture->brand;
    store.gateway_index = capture->gateway_index;
    store.capture_kind = capture->kind;
    memcpy(store.order_ref, capture->order_ref, sizeof(store.order_ref));
    enum err lost = msg_send(&dispatch->ports[DISPATCH_DESK], &store);
    (void)lost; /* sent again when the desk is back, or given up by the step's time-out */
}

/* --- towards the proxy --- */

static bool is_alive(const struct capture *capture)
{
    return !payment_is_end(capture->state) && payment_public(capture->state) != CAPTURE_LOST;
}

static bool has_leg(const struct capture *capture)
{
    return capture->call_id != 0 && !capture->is_call_gone && !capture->is_leg_released;
}

static bool is_keying(const struct capture *capture)
{
    return capture->state == PAYMENT_ARMING || payment_takes_keys(capture->state);
}

static void send_arm(struct dispatch *dispatch, struct capture *capture)
{
    if (!has_leg(capture))
        return;
    struct proxy_arm_msg arm;
    memset(&arm, 0, sizeof(arm));
    MSG_INIT(&arm, PROXY_ARM, capture->call_id);
    arm.capture_id = capture->id;
    arm.is_keying = is_keying(capture);
    if (msg_send(&dispatch->ports[DISPATCH_PROXY], &arm) == OK)
        capture->is_keying_told = arm.is_keying;
}

static void send_disarm(struct dispatch *dispatch, struct capture *capture)
{
    capture->is_masked = false;
    capture->is_disarm_owed = false;
    if (!has_leg(capture))
        return;
    struct proxy_disarm_msg disarm;
    memset(&disarm, 0, sizeof(disarm));
    MSG_INIT(&disarm, PROXY_DISARM, capture->call_id);
    disarm.capture_id = capture->id;
    enum err err = msg_send(&dispatch->ports[DISPATCH_PROXY], &disarm);
    /* A proxy that is down names the armed leg when it is back; only then it is answered. */
    capture->is_disarm_owed = err == ERR_FULL;
    capture->is_leg_released = err == OK;
    capture->is_masked = err != OK;
    capture->is_muted &= err != OK;
}

/* --- towards the gateway --- */

static enum err send_tokenise(struct dispatch *dispatch, struct capture *capture)
{
    struct gateway_tokenise_msg tokenise;
    memset(&tokenise, 0, sizeof(tokenise));
    MSG_INIT(&tokenise, GATEWAY_TOKENISE, capture->id);
    tokenise.attempt = capture->attempt;
    tokenise.call_id = capture->call_id;
    tokenise.amount_minor = capture->amount_minor;
    memcpy(tokenise.currency, capture->currency, sizeof(tokenise.currency));
    enum err err = capture->fields ? card_fields_fill(capture->fields, &tokenise) : ERR_ORDER;
    if (!err)
        err = msg_send(&dispatch->ports[DISPATCH_GATEWAY], &tokenise);
    wipe(&tokenise, sizeof(tokenise));
    return err;
}

static enum err send_create(struct dispatch *dispatch, struct capture *capture)
{
    struct gateway_order_msg order;
    memset(&order, 0, sizeof(order));
    MSG_INIT(&order, GATEWAY_CREATE, capture->id);
    order.call_id = capture->call_id;
    order.amount_minor = capture->amount_minor;
    memcpy(order.currency, capture->currency, sizeof(order.currency));
    order.attempt = capture->attempt;
    order.is_authorise_only = capture->kind == CAPTURE_KIND_AUTHORISE;
    order.gateway_index = capture->gateway_index;
    memcpy(order.token, capture->token, sizeof(order.token));
    return msg_send(&dispatch->ports[DISPATCH_GATEWAY], &order);
}

static enum err send_step(struct dispatch *dispatch, struct capture *capture, enum gateway_msg_type type)
{
    struct gateway_step_msg step;
    memset(&step, 0, sizeof(step));
    MSG_INIT(&step, type, capture->id);
    step.attempt = capture->attempt;
    step.is_authorise_only = capture->kind == CAPTURE_KIND_AUTHORISE;
    step.gateway_index = capture->gateway_index;
    step.amount_minor = capture->amount_minor;
    memcpy(step.currency, capture->currency, sizeof(step.currency));
    if (type == GATEWAY_CONFIRM)
        memcpy(step.token, capture->token, sizeof(step.token));
    memcpy(step.order_ref, capture->order_ref, sizeof(step.order_ref));
    return msg_send(&dispatch->ports[DISPATCH_GATEWAY], &step);
}

static const struct {
    uint32_t action;
    enum gateway_msg_type type;
} gateway_steps[] = {
    {ACTION_TOKENISE, GATEWAY_TOKENISE}, {ACTION_CREATE, GATEWAY_CREATE},   {ACTION_CONFIRM, GATEWAY_CONFIRM},
    {ACTION_STATUS, GATEWAY_STATUS},     {ACTION_ABANDON, GATEWAY_ABANDON},
};

/* False: it did not leave, the gateway is as good as down. */
static bool ask_gateway(struct dispatch *dispatch, struct capture *capture, uint32_t actions)
{
    for (size_t i = 0; i < sizeof(gateway_steps) / sizeof(gateway_steps[0]); i++) {
        if (!(actions & gateway_steps[i].action))
            continue;
        enum gateway_msg_type type = gateway_steps[i].type;
        capture->asked = (uint16_t)type;
        capture->is_slow = false;
        if (type == GATEWAY_TOKENISE)
            capture->advice = ADVICE_NONE;
        enum err err = type == GATEWAY_TOKENISE ? send_tokenise(dispatch, capture)
                       : type == GATEWAY_CREATE ? send_create(dispatch, capture)
                                                : send_step(dispatch, capture, type);
        return err == OK;
    }
    return true;
}

/* --- what the machine wants --- */

static void submit_freeze(struct capture *capture)
{
    if (!capture->fields)
        return;
    capture->has_submitted = true;
    capture->gateway_reason = REASON_NONE;
    capture->brand = (uint8_t)card_fields_brand(capture->fields);
    card_fields_view(capture->fields, capture->views);
}

static void attempt_begin(struct capture *capture)
{
    capture->attempt++;
    capture->has_submitted = false;
    capture->brand = BRAND_UNKNOWN;
    memset(capture->views, 0, sizeof(capture->views));
    memset(capture->token, 0, sizeof(capture->token));
    memset(capture->order_ref, 0, sizeof(capture->order_ref));
    capture->gateway_index = 0;
    card_fields_wipe(capture->fields);
}

/* Nothing can be keyed for it any more. */
static void card_give_up(struct capture *capture)
{
    card_fields_free(capture->fields);
    capture->fields = NULL;
}

static void act_on_card(struct capture *capture, uint32_t actions)
{
    if (actions & ACTION_STORE_INTENT)
        submit_freeze(capture);
    if (actions & ACTION_CLEAR_FIELD && capture->fields)
        card_fields_clear_selected(capture->fields);
    if (actions & ACTION_WIPE_CARD && capture->fields)
        card_fields_wipe(capture->fields);
    if (actions & ACTION_NEXT_ATTEMPT)
        attempt_begin(capture);
    if (actions & ACTION_STORE_RESULT)
        card_give_up(capture);
}

static void act_on_store(struct dispatch *dispatch, struct capture *capture, uint32_t actions, bool is_again)
{
    if (actions & ACTION_STORE_INTENT)
        send_store(dispatch, capture, STORE_INTENT, is_again);
    if (actions & ACTION_STORE_ORDER)
        send_store(dispatch, capture, STORE_ORDER, is_again);
    if (actions & ACTION_STORE_RESULT)
        send_store(dispatch, capture, STORE_RESULT, is_again);
}

static int64_t grow_ms(int64_t first_ms, unsigned times, int64_t longest_ms)
{
    int64_t ms = first_ms;
    for (unsigned i = 0; i < times && ms < longest_ms; i++)
        ms *= 2;
    return ms < longest_ms ? ms : longest_ms;
}

static int64_t wait_ms(const struct capture *capture)
{
    if (payment_public(capture->state) == CAPTURE_UNKNOWN)
        return grow_ms(10000, capture->wait_count, 300000);
    if (payment_is_storing(capture->state))
        return grow_ms(1000, capture->wait_count, 30000);
    return grow_ms(500, capture->wait_count, 8000);
}

static bool is_same_worry(enum payment_state from, enum payment_state to)
{
    return payment_public(from) == payment_public(to);
}

static void set_step_timer(struct dispatch *dispatch, struct capture *capture, uint32_t actions)
{
    const uint32_t asks = ACTION_TOKENISE | ACTION_CREATE | ACTION_CONFIRM | ACTION_STATUS | ACTION_ABANDON;
    const uint32_t stores = ACTION_STORE_INTENT | ACTION_STORE_ORDER | ACTION_STORE_RESULT;
    if (actions & asks || payment_asks_gateway(capture->state)) {
        if (actions & asks || capture->step_at.ns == 0)
            capture->step_at = mono_add_ms(dispatch->now, DISPATCH_GATEWAY_MS);
    } else {
        capture->asked = 0;
    }
    if (actions & stores)
        capture->step_at = mono_add_ms(dispatch->now, DISPATCH_STORE_MS);
    if (capture->state == PAYMENT_ARMING && (actions & ACTION_ARM))
        capture->step_at = mono_add_ms(dispatch->now, DISPATCH_ARM_MS);
    if (actions & ACTION_WAIT) {
        capture->step_at.ns = 0;
        capture->wait_at = mono_add_ms(dispatch->now, wait_ms(capture));
        capture->wait_count++;
    }
}

static void set_timers(struct dispatch *dispatch, struct capture *capture, enum payment_state from,
                       enum payment_event event, uint32_t actions)
{
    bool is_touched = event == EVENT_FIELDS_FULL || event == EVENT_FIELDS_PARTIAL || capture->state != from;
    if (capture->state != from) {
        capture->step_at.ns = 0;
        capture->wait_at.ns = 0;
        if (from == PAYMENT_NONE || !is_same_worry(from, capture->state))
            capture->wait_count = 0;
    }
    set_step_timer(dispatch, capture, actions);
    if (!is_keying(capture))
        capture->idle_at.ns = 0;
    else if (is_touched)
        capture->idle_at = mono_add_ms(dispatch->now, dispatch->options.idle_s * 1000LL);
    if (payment_is_end(capture->state) && !payment_is_end(from))
        capture->ended_at = dispatch->now;
}

static void log_step(const struct capture *capture)
{
    log_event(LOG_INFO, "capture", LOG_ID("capture", capture->id), LOG_ID("call", capture->call_id),
              LOG_CONSTANT("state", payment_state_name(capture->state)),
              LOG_COUNT("attempt", capture->attempt), LOG_COUNT("problem", capture->problem));
}

/* One event. False when what follows from it must happen at once: the gateway could not be asked. */
static bool happen_once(struct dispatch *dispatch, struct capture *capture, enum payment_event event)
{
    struct payment_step step;
    if (!payment_step(&payment_table, capture->state, event, &step)) {
        dispatch->counts.events_refused++;
        return true;
    }
    enum payment_state from = capture->state;
    capture->state = step.next;
    if (step.problem != PAYMENT_KEEP_PROBLEM)
        capture->problem = step.problem;
    act_on_card(capture, step.actions);
    set_timers(dispatch, capture, from, event, step.actions);
    if (payment_takes_keys(capture->state))
        capture->has_submitted = false; /* the fields speak for themselves again */
    act_on_store(dispatch, capture, step.actions, from == step.next);
    bool was_asked = ask_gateway(dispatch, capture, step.actions);
    if (step.actions & ACTION_ARM)
        send_arm(dispatch, capture);
    else if (is_alive(capture) && capture->is_keying_told != is_keying(capture))
        send_arm(dispatch, capture);
    if (step.actions & ACTION_DISARM)
        send_disarm(dispatch, capture);
    if (from != step.next)
        log_step(capture);
    if (from != step.next || step.actions != 0)
        tell_progress(dispatch, capture);
    return was_asked;
}

static void happen(struct dispatch *dispatch, struct capture *capture, enum payment_event event)
{
    if (!happen_once(dispatch, capture, event))
        (void)happen_once(dispatch, capture, EVENT_GATEWAY_DOWN);
}

static bool may_happen(const struct capture *capture, enum payment_event event)
{
    struct payment_step step;
    return payment_step(&payment_table, capture->state, event, &step);
}

static enum err happen_if_may(struct dispatch *dispatch, struct capture *capture, enum payment_event event)
{
    bool may = may_happen(capture, event);
    happen(dispatch, capture, event);
    return may ? OK : ERR_ORDER;
}

/* --- messages of the proxy --- */

static void fields_changed(struct dispatch *dispatch, struct capture *capture)
{
    enum payment_event event =
        card_fields_are_full(capture->fields) ? EVENT_FIELDS_FULL : EVENT_FIELDS_PARTIAL;
    enum payment_state from = capture->state;
    happen(dispatch, capture, event);
    if (capture->state == from) /* else it was told */
        tell_progress(dispatch, capture);
}

/* The capture a message of the proxy is about; NULL when call and capture do not belong together. */
static struct capture *capture_of_call(struct dispatch *dispatch, uint64_t capture_id, uint64_t call_id)
{
    struct capture *capture = captures_find(dispatch->captures, capture_id);
    return capture && capture->call_id == call_id ? capture : NULL;
}

/* True: this key is the next one. */
static bool ordinal_pass(struct dispatch *dispatch, struct capture *capture, uint32_t ordinal)
{
    uint32_t expected = capture->ordinal_next;
    if (expected != 0 && ordinal < expected) {
        dispatch->counts.keys_duplicate++;
        return false;
    }
    capture->ordinal_next = ordinal + 1;
    if (expected == 0 || ordinal == expected)
        return true;
    dispatch->counts.keys_missing++;
    happen(dispatch, capture, EVENT_RESYNC);
    return false;
}

static enum err digit_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct proxy_digit_msg *digit = message;
    struct capture *capture = capture_of_call(dispatch, digit->capture_id, digit->header.subject);
    if (!capture)
        return ERR_NOT_FOUND;
    if (digit->key >= DTMF_KEY_COUNT || digit->source > DIGIT_INFO || digit->ordinal == 0 ||
        digit->ordinal == UINT32_MAX)
        return ERR_RANGE;
    if (!ordinal_pass(dispatch, capture, digit->ordinal))
        return OK;
    if (!payment_takes_keys(capture->state) || !capture->fields) {
        dispatch->counts.keys_dropped++;
        return OK;
    }
    if (card_fields_key(capture->fields, digit->key, dispatch->wall) == OK)
        dispatch->counts.keys++;
    fields_changed(dispatch, capture);
    return OK;
}

/* A leg that is masked for a capture this vault does not know: the one before it died. */
static enum err leg_found(struct dispatch *dispatch, uint64_t capture_id, uint64_t call_id)
{
    if (capture_id == 0 || call_id == 0)
        return ERR_RANGE;
    const struct capture *owner = captures_find_call(dispatch->captures, call_id);
    bool is_taken = owner && is_alive(owner) && has_leg(owner);
    struct capture *capture = captures_add(dispatch->captures, capture_id, call_id);
    if (!capture)
        return ERR_FULL;
    /* A live capture keeps its leg: whoever names another one for this call cannot lift the mask. */
    capture->is_leg_released = is_taken;
    capture->is_masked = !is_taken;
    capture->store_number = dispatch->options.generation * 1000u;
    happen(dispatch, capture, EVENT_FOUND);
    return OK;
}

static void resync(struct dispatch *dispatch, struct capture *capture)
{
    capture->ordinal_next = 0;
    struct capture *owner = captures_find_call(dispatch->captures, capture->call_id);
    if (owner != capture && is_alive(owner) && has_leg(owner)) {
        send_arm(dispatch, owner); /* the proxy shall know whose leg it is */
        return;
    }
    capture->is_masked = true;
    capture->is_muted = false; /* if it is, that is told next */
    bool is_over = capture->is_leg_released || payment_is_end(capture->state);
    capture->is_leg_released = false;
    happen(dispatch, capture, EVENT_RESYNC);
    if (is_over && !capture->is_leg_released)
        send_disarm(dispatch, capture);
    tell_progress(dispatch, capture);
}

static void arm_refused(struct dispatch *dispatch, struct capture *capture)
{
    capture->is_masked = false;
    if (may_happen(capture, EVENT_ARM_REFUSED)) {
        capture->is_call_gone = true;
        happen(dispatch, capture, EVENT_ARM_REFUSED);
    } else if (!capture->is_call_gone && !capture->is_leg_released) {
        capture->is_call_gone = true;
        happen(dispatch, capture, EVENT_CALL_GONE);
        tell_progress(dispatch, capture);
    }
}

static enum err armed_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct proxy_armed_msg *armed = message;
    struct capture *capture = captures_find(dispatch->captures, armed->capture_id);
    if (!capture)
        return armed->is_refused ? ERR_NOT_FOUND
                                 : leg_found(dispatch, armed->capture_id, armed->header.subject);
    if (capture->call_id == 0 && armed->header.subject != 0)
        captures_set_call(dispatch->captures, capture, armed->header.subject); /* reconciled before */
    if (capture->call_id != armed->header.subject)
        return ERR_NOT_FOUND;
    if (armed->is_refused) {
        arm_refused(dispatch, capture);
        return OK;
    }
    if (armed->is_resync) {
        resync(dispatch, capture);
        return OK;
    }
    bool was_masked = capture->is_masked;
    capture->is_masked = !payment_is_end(capture->state) && !capture->is_leg_released;
    enum payment_state from = capture->state;
    happen(dispatch, capture, EVENT_ARMED);
    if (was_masked != capture->is_masked && from == capture->state)
        tell_progress(dispatch, capture);
    return OK;
}

/* The capture goes on: its keys still come, only nothing of the caller is heard any more. */
static enum err alarm_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct proxy_alarm_msg *alarm = message;
    struct capture *capture = capture_of_call(dispatch, alarm->capture_id, alarm->header.subject);
    if (!capture)
        return ERR_NOT_FOUND;
    if (capture->is_muted || !has_leg(capture)) /* its end crossed the alarm, which ends with it */
        return OK;
    capture->is_muted = true;
    tell_progress(dispatch, capture);
    return OK;
}

static enum err call_gone_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct proxy_call_gone_msg *gone = message;
    struct capture *capture = capture_of_call(dispatch, gone->capture_id, gone->header.subject);
    if (!capture)
        return ERR_NOT_FOUND;
    capture->is_call_gone = true;
    capture->is_masked = capture->is_muted = false;
    capture->ended_at = dispatch->now;
    happen(dispatch, capture, EVENT_CALL_GONE);
    tell_progress(dispatch, capture);
    return OK;
}

/* --- messages of the desk --- */

static bool is_money(enum capture_kind kind, int64_t amount_minor, const char currency[4])
{
    if (kind == CAPTURE_KIND_TOKENISE)
        return amount_minor == 0 && currency[0] == 0;
    for (int i = 0; i < 3; i++) {
        if (currency[i] < 'A' || currency[i] > 'Z')
            return false;
    }
    return currency[3] == 0 && amount_minor > 0 && amount_minor <= LIMIT_AMOUNT_MINOR;
}

/* What another capture that has the call's leg says to a new one: false, it goes on. */
static bool leg_is_free(struct dispatch *dispatch, uint64_t call_id)
{
    struct capture *before = captures_find_call(dispatch->captures, call_id);
    if (!before || before->is_leg_released)
        return true;
    return may_happen(before, EVENT_REPLACED);
}

static void leg_take_over(struct dispatch *dispatch, uint64_t call_id)
{
    struct capture *before = captures_find_call(dispatch->captures, call_id);
    if (!before || before->is_leg_released)
        return;
    before->is_leg_released = true;
    before->is_disarm_owed = false;
    before->is_masked = before->is_muted = false;
    happen(dispatch, before, EVENT_REPLACED);
    tell_progress(dispatch, before);
}

static enum err open_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct capture_open_msg *open = message;
    if (open->header.subject == 0 || open->call_id == 0 || open->kind >= CAPTURE_KINDS ||
        !is_money(open->kind, open->amount_minor, open->currency))
        return tell_refused(dispatch, open, PROBLEM_CALL_UNKNOWN, ERR_RANGE);
    if (dispatch->is_draining || !leg_is_free(dispatch, open->call_id))
        return tell_refused(dispatch, open, PROBLEM_CALL_UNKNOWN, ERR_REFUSED);
    struct card_fields *fields;
    enum err err = card_fields_new(&fields, dispatch->options.brands);
    if (err)
        return tell_refused(dispatch, open, PROBLEM_CALL_UNKNOWN, err);
    leg_take_over(dispatch, open->call_id);
    struct capture *capture = captures_add(dispatch->captures, open->header.subject, open->call_id);
    if (!capture) {
        card_fields_free(fields);
        return tell_refused(dispatch, open, PROBLEM_CALL_UNKNOWN, ERR_FULL);
    }
    capture->fields = fields;
    capture->ordinal_next = 1;
    capture->store_number = dispatch->options.generation * 1000u;
    capture->kind = open->kind;
    capture->amount_minor = open->amount_minor;
    memcpy(capture->currency, open->currency, sizeof(capture->currency));
    capture->session_at = mono_add_ms(dispatch->now, dispatch->options.session_s * 1000LL);
    happen(dispatch, capture, EVENT_OPEN);
    return OK;
}

static enum err field_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct capture_field_msg *field = message;
    struct capture *capture = captures_find(dispatch->captures, field->header.subject);
    if (!capture || !capture->fields)
        return ERR_ORDER;
    enum err err = card_fields_select(capture->fields, (enum card_field)field->field, field->is_reset != 0,
                                      dispatch->wall);
    if (!err)
        fields_changed(dispatch, capture);
    return err;
}

static enum err submit_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct capture_submit_msg *submit = message;
    struct capture *capture = captures_find(dispatch->captures, submit->header.subject);
    return capture ? happen_if_may(dispatch, capture, EVENT_SUBMIT) : ERR_NOT_FOUND;
}

static enum err cancel_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct capture_cancel_msg *cancel = message;
    struct capture *capture = captures_find(dispatch->captures, cancel->header.subject);
    if (!capture) {
        enum err err = leg_found(dispatch, cancel->header.subject, cancel->call_id);
        if (err)
            return err;
        capture = captures_find(dispatch->captures, cancel->header.subject);
    }
    return capture ? happen_if_may(dispatch, capture, EVENT_CANCEL) : ERR_NOT_FOUND;
}

static enum err stored_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct capture_stored_msg *stored = message;
    struct capture *capture = captures_find(dispatch->captures, stored->header.subject);
    if (!capture || !payment_is_storing(capture->state) || stored->store_number != capture->store_number) {
        dispatch->counts.replies_unasked++;
        return ERR_ORDER;
    }
    happen(dispatch, capture, stored->is_durable ? EVENT_STORED : EVENT_STORE_REFUSED);
    return OK;
}

static enum err reconcile_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct capture_reconcile_msg *reconcile = message;
    bool has_order = reconcile->order_ref[0] != 0;
    if (reconcile->header.subject == 0 || reconcile->kind >= CAPTURE_KINDS ||
        reconcile->gateway_index >= LIMIT_GATEWAYS ||
        !is_money(reconcile->kind, reconcile->amount_minor, reconcile->currency) || reconcile->attempt < 1 ||
        reconcile->attempt > LIMIT_PAYMENT_ATTEMPTS ||
        (has_order && !gateway_name_is_sane(reconcile->order_ref)) ||
        (reconcile->token[0] != 0 && !gateway_name_is_sane(reconcile->token)))
        return ERR_RANGE;
    enum payment_event event = has_order ? EVENT_RECONCILE_ORDER : EVENT_RECONCILE_BLANK;
    struct capture *capture = captures_find(dispatch->captures, reconcile->header.subject);
    if (!capture) {
        capture = captures_add(dispatch->captures, reconcile->header.subject, 0);
        if (!capture)
            return ERR_FULL;
        capture->store_number = dispatch->options.generation * 1000u;
    }
    if (capture->state == PAYMENT_UNKNOWN) { /* asked about anyway: now, and not when its wait is over */
        happen(dispatch, capture, EVENT_WAIT_OVER);
        return OK;
    }
    if (!may_happen(capture, event))
        return ERR_ORDER;
    capture->attempt = reconcile->attempt;
    capture->kind = reconcile->kind;
    capture->gateway_index = reconcile->gateway_index;
    capture->amount_minor = reconcile->amount_minor;
    memcpy(capture->currency, reconcile->currency, sizeof(capture->currency));
    memcpy(capture->order_ref, reconcile->order_ref, sizeof(capture->order_ref));
    memcpy(capture->token, reconcile->token, sizeof(capture->token));
    happen(dispatch, capture, event);
    return OK;
}

static enum err sync_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    (void)message;
    for (size_t i = 0; i < captures_end(dispatch->captures); i++) {
        struct capture *capture = captures_at(dispatch->captures, i);
        if (capture)
            tell_progress(dispatch, capture);
    }
    return OK;
}

/* --- messages of the gateway --- */

static void take_names(struct capture *capture, const struct gateway_reply_msg *reply,
                       enum payment_event event)
{
    if (event == EVENT_TOKEN || event == EVENT_TOKEN_KEPT) {
        memcpy(capture->token, reply->token, sizeof(capture->token));
        capture->gateway_index = reply->gateway_index;
    }
    if (event == EVENT_ORDER)
        memcpy(capture->order_ref, reply->order_ref, sizeof(capture->order_ref));
    /* Reconciled, and the desk did not have the token. */
    if (event == EVENT_STATUS_SUCCEEDED && !capture->token[0] && gateway_name_is_sane(reply->token))
        memcpy(capture->token, reply->token, sizeof(capture->token));
}

static enum err reply_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct gateway_reply_msg *reply = message;
    struct capture *capture = captures_find(dispatch->captures, reply->header.subject);
    if (!capture || capture->asked == 0 || reply->request_type != capture->asked ||
        reply->attempt != capture->attempt) {
        dispatch->counts.replies_unasked++;
        return ERR_ORDER;
    }
    enum payment_event event;
    enum gateway_reason reason;
    bool is_last = capture->is_call_gone || capture->attempt >= dispatch->options.attempts_max;
    const struct gateway_question question = {.fields = capture->fields,
                                              .order_ref = capture->order_ref,
                                              .kind = capture->kind,
                                              .is_last_attempt = is_last};
    enum err err = gateway_answer_read(reply, &question, &event, &reason);
    if (err)
        return err;
    if (reason == REASON_BAD_ANSWER)
        dispatch->counts.answers_bad++;
    if (reply->request_type != GATEWAY_ABANDON) /* tidying up is not why it went wrong */
        capture->gateway_reason = (uint8_t)reason;
    capture->asked = 0;
    capture->is_slow = false;
    if (reply->request_type == GATEWAY_TOKENISE)
        capture->advice = reply->advice;
    take_names(capture, reply, event);
    happen(dispatch, capture, event);
    return OK;
}

/* A hint, once per step: nothing waits for it. */
static enum err slow_h(void *owner, const void *message)
{
    struct dispatch *dispatch = owner;
    const struct gateway_slow_msg *slow = message;
    struct capture *capture = captures_find(dispatch->captures, slow->header.subject);
    if (!capture || capture->asked == 0 || slow->request_type != capture->asked ||
        slow->attempt != capture->attempt)
        return ERR_ORDER;
    capture->is_slow = true;
    tell_progress(dispatch, capture);
    return OK;
}

/* --- permits --- */

#define IN(name) (1u << CAPTURE_##name)
#define KNOWN    ((1u << CAPTURE_STATES) - 1)

static const struct msg_permit proxy_permits[] = {
    {PROXY_DIGIT, sizeof(struct proxy_digit_msg), KNOWN, digit_h, "DIGIT"},
    {PROXY_ARMED, sizeof(struct proxy_armed_msg), KNOWN | MSG_NO_SUBJECT, armed_h, "ARMED"},
    {PROXY_CALL_GONE, sizeof(struct proxy_call_gone_msg), KNOWN, call_gone_h, "CALL_GONE"},
    {PROXY_ALARM, sizeof(struct proxy_alarm_msg), KNOWN, alarm_h, "ALARM"},
};

static const struct msg_permit desk_permits[] = {
    {CAPTURE_OPEN, sizeof(struct capture_open_msg), MSG_NO_SUBJECT, open_h, "OPEN"},
    {CAPTURE_FIELD, sizeof(struct capture_field_msg), IN(ARMING) | IN(COLLECTING) | IN(READY), field_h,
     "FIELD"},
    {CAPTURE_SUBMIT, sizeof(struct capture_submit_msg), IN(READY), submit_h, "SUBMIT"},
    {CAPTURE_CANCEL, sizeof(struct capture_cancel_msg),
     IN(ARMING) | IN(COLLECTING) | IN(READY) | IN(STORING_INTENT) | IN(TOKENISING) | IN(CREATING) |
         IN(STORING_ORDER) | IN(VERIFYING) | IN(STORING_RESULT) | IN(UNKNOWN) | IN(LOST) | MSG_NO_SUBJECT,
     cancel_h, "CANCEL"},
    {CAPTURE_STORED, sizeof(struct capture_stored_msg), KNOWN, stored_h, "STORED"},
    {CAPTURE_RECONCILE, sizeof(struct capture_reconcile_msg),
     IN(LOST) | IN(CANCELLED) | IN(UNKNOWN) | MSG_NO_SUBJECT, reconcile_h, "RECONCILE"},
    {CAPTURE_SYNC, sizeof(struct capture_sync_msg), KNOWN | MSG_NO_SUBJECT, sync_h, "SYNC"},
};

static const struct msg_permit gateway_permits[] = {
    {GATEWAY_REPLY, sizeof(struct gateway_reply_msg),
     IN(TOKENISING) | IN(CREATING) | IN(CONFIRMING) | IN(VERIFYING) | IN(STORING_RESULT) | IN(UNKNOWN),
     reply_h, "REPLY"},
    {GATEWAY_SLOW, sizeof(struct gateway_slow_msg),
     IN(TOKENISING) | IN(CREATING) | IN(CONFIRMING) | IN(VERIFYING) | IN(STORING_RESULT) | IN(UNKNOWN),
     slow_h, "SLOW"},
};

static uint32_t capture_state_h(void *owner, const struct msg_header *header)
{
    struct dispatch *dispatch = owner;
    const struct capture *capture = captures_find(dispatch->captures, header->subject);
    return capture ? 1u << payment_public(capture->state) : MSG_NO_SUBJECT;
}

static uint32_t call_state_h(void *owner, const struct msg_header *header)
{
    struct dispatch *dispatch = owner;
    const struct capture *capture = captures_find_call(dispatch->captures, header->subject);
    return capture ? 1u << payment_public(capture->state) : MSG_NO_SUBJECT;
}

/* --- the outside --- */

static void port_init(struct dispatch *dispatch, enum dispatch_peer peer, const struct msg_permit *permits,
                      size_t permit_count, msg_state_h *state_h)
{
    dispatch->ports[peer] = (struct msg_port){
        .fd = -1, .permits = permits, .permit_count = permit_count, .state_h = state_h, .owner = dispatch};
}

enum err dispatch_new(struct dispatch **out, const struct dispatch_options *options)
{
    *out = NULL;
    if (options->idle_s == 0 || options->session_s == 0 || options->attempts_max == 0 ||
        options->attempts_max > LIMIT_PAYMENT_ATTEMPTS)
        return ERR_RANGE;
    struct dispatch *dispatch = calloc(1, sizeof(*dispatch));
    if (!dispatch)
        return ERR_MEMORY;
    dispatch->options = *options;
    enum err err = captures_new(&dispatch->captures);
    if (err) {
        free(dispatch);
        return err;
    }
    port_init(dispatch, DISPATCH_PROXY, proxy_permits, sizeof(proxy_permits) / sizeof(proxy_permits[0]),
              call_state_h);
    port_init(dispatch, DISPATCH_DESK, desk_permits, sizeof(desk_permits) / sizeof(desk_permits[0]),
              capture_state_h);
    port_init(dispatch, DISPATCH_GATEWAY, gateway_permits,
              sizeof(gateway_permits) / sizeof(gateway_permits[0]), capture_state_h);
    *out = dispatch;
    return OK;
}

void dispatch_free(struct dispatch *dispatch)
{
    if (!dispatch)
        return;
    captures_free(dispatch->captures);
    free(dispatch);
}

void dispatch_set_clock(struct dispatch *dispatch, struct mono_time mono, struct wall_time wall)
{
    dispatch->now = mono;
    dispatch->wall = wall;
}

struct msg_port *dispatch_port(struct dispatch *dispatch, enum dispatch_peer peer)
{
    return &dispatch->ports[peer];
}

static void happen_to_all(struct dispatch *dispatch, enum payment_event event)
{
    for (size_t i = 0; i < captures_end(dispatch->captures); i++) {
        struct capture *capture = captures_at(dispatch->captures, i);
        if (capture)
            happen(dispatch, capture, event);
    }
}

static const enum payment_event ups[DISPATCH_PEERS] = {EVENT_PROXY_UP, EVENT_DESK_UP, EVENT_GATEWAY_UP};
static const enum payment_event downs[DISPATCH_PEERS] = {EVENT_PROXY_DOWN, EVENT_DESK_DOWN,
                                                         EVENT_GATEWAY_DOWN};

void dispatch_link_up(struct dispatch *dispatch, enum dispatch_peer peer, int fd)
{
    dispatch->ports[peer].fd = fd;
    /* A proxy that restarted counts its keys anew. */
    for (size_t i = 0; i < captures_end(dispatch->captures) && peer == DISPATCH_PROXY; i++) {
        struct capture *capture = captures_at(dispatch->captures, i);
        if (capture)
            capture->ordinal_next = 0;
    }
    happen_to_all(dispatch, ups[peer]);
}

void dispatch_link_down(struct dispatch *dispatch, enum dispatch_peer peer)
{
    dispatch->ports[peer].fd = -1;
    happen_to_all(dispatch, downs[peer]);
}

static bool is_due(struct dispatch *dispatch, struct mono_time *at)
{
    if (at->ns == 0 || !mono_reached(dispatch->now, *at))
        return false;
    at->ns = 0;
    return true;
}

static void tick_capture(struct dispatch *dispatch, struct capture *capture)
{
    /* A session that ends while the gateway is at work ends when a decline leads back to keying. */
    if (may_happen(capture, EVENT_SESSION_OVER) && is_due(dispatch, &capture->session_at))
        happen(dispatch, capture, EVENT_SESSION_OVER);
    if (is_due(dispatch, &capture->idle_at))
        happen(dispatch, capture, EVENT_IDLE_OVER);
    if (is_due(dispatch, &capture->step_at))
        happen(dispatch, capture, EVENT_STEP_LATE);
    if (is_due(dispatch, &capture->wait_at)) {
        bool is_enough =
            capture->state == PAYMENT_VERIFY_WAIT && capture->wait_count >= DISPATCH_VERIFY_WAITS;
        happen(dispatch, capture, is_enough ? EVENT_GIVE_UP : EVENT_WAIT_OVER);
    }
    if (capture->is_disarm_owed)
        send_disarm(dispatch, capture);
    if (capture->is_progress_owed)
        tell_progress(dispatch, capture);
    if (captures_may_forget(capture) &&
        mono_elapsed_ms(capture->ended_at, dispatch->now) >= DISPATCH_REMEMBER_MS)
        captures_drop(dispatch->captures, capture);
}

void dispatch_tick(struct dispatch *dispatch)
{
    for (size_t i = 0; i < captures_end(dispatch->captures); i++) {
        struct capture *capture = captures_at(dispatch->captures, i);
        if (capture)
            tick_capture(dispatch, capture);
    }
}

void dispatch_drain(struct dispatch *dispatch)
{
    dispatch->is_draining = true;
}

bool dispatch_is_idle(struct dispatch *dispatch)
{
    for (size_t i = 0; i < captures_end(dispatch->captures); i++) {
        const struct capture *capture = captures_at(dispatch->captures, i);
        if (capture && !payment_is_end(capture->state))
            return false;
    }
    return true;
}

const struct dispatch_counts *dispatch_counts(const struct dispatch *dispatch)
{
    return &dispatch->counts;
}

struct captures *dispatch_captures(struct dispatch *dispatch)
{
    return dispatch->captures;
}
