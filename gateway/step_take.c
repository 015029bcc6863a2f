/* Which step may begin, and where: messages of vault and desk in, steps on the list or refusals out. */
#include "base/log.h"
#include "gateway/intake.h"
#include "gateway/step_priv.h"
#include "gateway/wipe_heap.h"

#include <string.h>

/* Captures and orders have names of their own: the same number may be both. */
static struct step *find(const struct steps *steps, uint64_t id, bool is_order)
{
    for (struct step *step = steps->first; step; step = step->next) {
        if (step->what.capture_id == id && intake_is_order(step->what.operation) == is_order)
            return step;
    }
    return NULL;
}

enum step_state steps_state(const struct steps *steps, uint64_t capture_id)
{
    const struct step *step = find(steps, capture_id, false);
    if (!step)
        return STEP_IDLE;
    return step->is_orphan ? STEP_ORPHAN : STEP_BUSY;
}

/* --- the vault's --- */

static enum err follow(struct step *orphan, const struct msg_header *message)
{
    bool may_wait = message->type == GATEWAY_STATUS || message->type == GATEWAY_ABANDON;
    if (!orphan->is_orphan || orphan->has_follower || !may_wait)
        return ERR_ORDER;
    memcpy(&orphan->follower, message, sizeof(orphan->follower));
    orphan->has_follower = true;
    return OK;
}

/* The step cannot begin: the vault is told so, it must not wait for an answer that never comes. */
static void refuse(struct steps *steps, const struct connector_step *what, enum gateway_outcome outcome,
                   enum gateway_advice advice, const char *why)
{
    struct connector_verdict verdict;
    struct gateway_reply_msg reply;
    struct step_report report = {.operation = what->operation, .transport = why};
    connector_verdict_set(&verdict, outcome, ORDER_NONE,
                          outcome == GATEWAY_FAILED ? REASON_CONFIGURATION : REASON_UNAVAILABLE);
    step_fill_reply(what, &verdict, &reply);
    reply.advice = (uint8_t)advice;
    if (advice == ADVICE_LATER)
        reply.again_after_ms = breaker_wait_ms(&steps->gateways[0].breaker, mono_now());
    steps->reply_h(steps->owner, &reply, &report);
}

/* The gateway a new payment begins at; NULL: none lets it in. */
static struct gateway *choose(struct steps *steps)
{
    size_t count = steps->gateways[0].settings.on_open == ON_OPEN_FALLBACK ? steps->gateway_count : 1;
    for (size_t i = 0; i < count; i++) {
        struct gateway *gateway = &steps->gateways[i];
        if (!gateway->settings.is_off && key_ring_number(gateway->keys) > 0 &&
            breaker_allow(&gateway->breaker, mono_now()))
            return gateway;
    }
    return NULL;
}

static void refuse_payment(struct steps *steps, const struct connector_step *what)
{
    bool is_off = true;
    for (size_t i = 0; i < steps->gateway_count; i++)
        is_off = is_off && steps->gateways[i].settings.is_off;
    bool is_later = steps->gateways[0].settings.on_open == ON_OPEN_QUEUE;
    enum gateway_advice advice = is_off ? ADVICE_OFF : is_later ? ADVICE_LATER : ADVICE_AGENT;
    refuse(steps, what, GATEWAY_UNAVAILABLE, advice, is_off ? "off" : "breaker_open");
}

enum err steps_take(struct steps *steps, const struct msg_header *message)
{
    struct intake intake;
    enum err err = intake_vault(&intake, message);
    if (err)
        return err;
    struct step *before = find(steps, message->subject, false);
    if (before)
        return follow(before, message);
    /* The breaker holds payments back where they begin; one that has begun is led to its end where it began. */
    bool is_guarded = intake.what.operation == CONNECTOR_TOKENISE;
    if (!is_guarded && intake.gateway_index >= steps->gateway_count) {
        refuse(steps, &intake.what, GATEWAY_FAILED, ADVICE_NONE, "no_such_gateway");
        return OK;
    }
    bool has_key = is_guarded || key_ring_number(steps->gateways[intake.gateway_index].keys) > 0;
    if (steps->count >= LIMIT_GATEWAY_IN_FLIGHT || !has_key) {
        refuse(steps, &intake.what, GATEWAY_UNAVAILABLE, ADVICE_NONE, has_key ? "no_room" : "no_key");
        return OK;
    }
    struct gateway *gateway = is_guarded ? choose(steps) : &steps->gateways[intake.gateway_index];
    if (!gateway) {
        refuse_payment(steps, &intake.what);
        return OK;
    }
    struct step *step = step_new(steps, gateway, &intake.what);
    if (step) {
        step->is_guarded = is_guarded;
        step_begin(step);
        return OK;
    }
    if (is_guarded)
        breaker_probe_lost(&gateway->breaker);
    refuse(steps, &intake.what, GATEWAY_UNAVAILABLE, ADVICE_NONE, "no_room");
    return OK;
}

/* --- the desk's --- */

static bool is_same_order(const struct connector_step *one, const struct connector_step *other)
{
    return one->operation == other->operation && one->call_id == other->call_id &&
           one->amount_minor == other->amount_minor && strcmp(one->currency, other->currency) == 0 &&
           strcmp(one->token, other->token) == 0 && strcmp(one->order_ref, other->order_ref) == 0 &&
           strcmp(one->customer, other->customer) == 0 && strcmp(one->plan, other->plan) == 0 &&
           strcmp(one->reference, other->reference) == 0 && one->interval_count == other->interval_count &&
           one->interval_unit == other->interval_unit;
}

static void refuse_order(const struct order_take_msg *order, enum gateway_outcome outcome,
                         enum gateway_reason reason, const char *why, order_reply_h *reply_h, void *owner)
{
    struct connector_verdict verdict;
    struct order_reply_msg reply;
    unsigned kind = order->kind < ORDER_KINDS ? order->kind : 0;
    struct step_report report = {.operation = CONNECTOR_CAPTURE + kind, .transport = why};
    connector_verdict_set(&verdict, outcome, ORDER_NONE, reason);
    step_fill_order_reply(order->header.subject, order->kind, &verdict, &reply);
    reply_h(owner, &reply, &report);
}

/* A page to pay at belongs to nobody yet: it is made where payments begin now. */
static struct gateway *gateway_for_order(struct steps *steps, const struct intake *intake)
{
    bool is_link = intake->what.operation == CONNECTOR_LINK && intake->gateway_index == 0;
    for (size_t i = 0; is_link && i < steps->gateway_count; i++) {
        struct gateway *gateway = &steps->gateways[i];
        bool can = gateway->settings.connector->operations & 1u << CONNECTOR_LINK;
        if (can && !gateway->settings.is_off && gateway->breaker.state == BREAKER_CLOSED)
            return gateway;
    }
    return &steps->gateways[intake->gateway_index];
}

enum err steps_order(struct steps *steps, const struct order_take_msg *order, order_reply_h *reply_h,
                     void *owner)
{
    struct intake intake;
    struct step *before = find(steps, order->header.subject, true);
    enum err err = intake_order(&intake, order);
    if (before) {
        if (err || !is_same_order(&before->what, &intake.what))
            return ERR_ORDER;
        before->order_reply_h = reply_h;
        before->order_owner = owner;
        return OK;
    }
    if (err || order->gateway_index >= steps->gateway_count) {
        refuse_order(order, GATEWAY_FAILED, REASON_CONFIGURATION, err ? "not_an_order" : "no_such_gateway",
                     reply_h, owner);
        return OK;
    }
    struct gateway *gateway = gateway_for_order(steps, &intake);
    bool has_room = steps->count < LIMIT_GATEWAY_IN_FLIGHT && steps->order_count < LIMIT_GATEWAY_ORDERS &&
                    key_ring_number(gateway->keys) > 0;
    struct step *step = has_room ? step_new(steps, gateway, &intake.what) : NULL;
    if (!step) {
        refuse_order(order, GATEWAY_UNAVAILABLE, REASON_UNAVAILABLE, "no_room", reply_h, owner);
        return OK;
    }
    step->order_reply_h = reply_h;
    step->order_owner = owner;
    step_begin(step);
    return OK;
}

/* --- all steps --- */

void steps_orphan(struct steps *steps)
{
    struct step *next;
    for (struct step *step = steps->first; step; step = next) {
        next = step->next;
        if (intake_is_order(step->what.operation))
            continue;
        bool is_out = step->exchange && (step->what.operation == CONNECTOR_CONFIRM ||
                                         step->what.operation == CONNECTOR_ABANDON);
        step->is_orphan = true;
        step->has_follower = false;
        if (!is_out) {
            step_unlink(step);
            step_free(step);
        }
    }
}

void steps_tell_slow(struct steps *steps, step_slow_h *slow_h)
{
    steps->slow_h = slow_h;
}

size_t steps_count(const struct steps *steps)
{
    return steps->count;
}

/* Those that wait for a key go on. One that ends may begin another, which does not wait. */
static void key_read_h(void *owner, struct gateway *gateway, bool is_another)
{
    struct steps *steps = owner;
    struct step *next;
    for (struct step *step = steps->first; step; step = next) {
        next = step->next;
        if (step->gateway == gateway)
            step_key_read(step, is_another);
    }
}

bool steps_have_keys(const struct steps *steps)
{
    for (size_t i = 0; i < steps->gateway_count; i++) {
        if (key_ring_number(steps->gateways[i].keys) == 0)
            return false;
    }
    return true;
}

void steps_read_keys(struct steps *steps)
{
    for (size_t i = 0; i < steps->gateway_count; i++) {
        if (key_ring_number(steps->gateways[i].keys) == 0)
            (void)key_ring_refresh(steps->gateways[i].keys);
    }
}

size_t steps_gateway_count(const struct steps *steps)
{
    return steps->gateway_count;
}

void steps_health(const struct steps *steps, size_t gateway_index, struct gateway_health_msg *out)
{
    ASSERT(gateway_index < steps->gateway_count);
    gateway_health(&steps->gateways[gateway_index], out);
}

enum err steps_new(struct steps **out, struct event_base *base, const struct step_settings *settings,
                   size_t gateway_count, step_reply_h *reply_h, void *owner)
{
    struct steps *steps = wipe_heap_calloc(1, sizeof(*steps));
    enum err err = !steps                                                 ? ERR_MEMORY
                   : gateway_count == 0 || gateway_count > LIMIT_GATEWAYS ? ERR_RANGE
                                                                          : OK;
    *out = NULL;
    for (size_t i = 0; i < gateway_count; i++) {
        if (err)
            secret_free(settings[i].key);
        else
            err = gateway_open(&steps->gateways[steps->gateway_count++], (uint8_t)i, base, &settings[i],
                               key_read_h, steps);
    }
    if (!err)
        err = echo_guard_new(&steps->guard, mono_now());
    if (err) {
        steps_free(steps);
        return err;
    }
    steps->base = base;
    steps->reply_h = reply_h;
    steps->owner = owner;
    *out = steps;
    return OK;
}

void steps_free(struct steps *steps)
{
    if (!steps)
        return;
    for (struct step *step; (step = steps->first);) {
        step_unlink(step);
        step_free(step);
    }
    for (size_t i = 0; i < steps->gateway_count; i++)
        gateway_close(&steps->gateways[i]);
    echo_guard_free(steps->guard);
    wipe_heap_free(steps);
}
