#include "capture/desk/desk_hooks.h"

#include "capture/desk/desk_ask.h"
#include "capture/desk/desk_view.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 100
#define ANSWER_LATE_MS                                                                                       \
    60000 /* a try takes the gateway role 15 s, or twice that where it has to log in first */
#define AGAIN_FIRST_MS 10000
#define AGAIN_MAX_MS   3600000LL
#define TRIES_MAX      32 /* ten seconds, doubled up to an hour: a day in all */
/* A pause that comes late would silence what is worth recording: sixteen seconds in all. */
#define PAUSE_TRIES_MAX 5
#define PLATFORM_NAME   "genesys"

static const char *const kind_names[HOOK_KINDS] = {"payment",         "subscription",    "refund",
                                                   "receipt_sms",     "receipt_email",   "attributes",
                                                   "recording_pause", "recording_resume"};
static const char *const state_names[HOOK_STATE_COUNT] = {"waiting", "delivered", "dead", "dropped"};

/* --- views ------------------------------------------------------------------------------------------------------- */

static void hook_id_text(uint64_t id, char *out)
{
    memcpy(out, "hook_", 5);
    log_id_text(id, out + 5);
}

static json_t *hook_json(const struct store_hook *hook)
{
    char id[DESK_ID_TEXT];
    char capture[DESK_ID_TEXT];
    char created[WALL_TEXT_MAX];
    char updated[WALL_TEXT_MAX];
    hook_id_text(hook->id, id);
    desk_capture_id_text(hook->send.capture_id, capture);
    wall_time_text(hook->created_at, created);
    wall_time_text(hook->updated_at, updated);
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:s,s:s}", "id", id, "kind", kind_names[hook->send.kind],
                     "target", hook->target, "state", state_names[hook->state], "capture", capture, "tries",
                     (json_int_t)hook->tries, "last_status", (json_int_t)hook->last_status, "created_at",
                     created, "updated_at", updated);
}

static enum err audit_hook(struct desk *desk, const struct store_hook *hook, const char *what,
                           const char *who, const char *where, const char *outcome)
{
    char id[DESK_ID_TEXT];
    hook_id_text(hook->id, id);
    const struct audit_entry entry = {.who = who,
                                      .what = what,
                                      .where = where,
                                      .outcome = outcome,
                                      .resource = id,
                                      .reason = kind_names[hook->send.kind],
                                      .detail = hook->target};
    return desk_disk_result(desk, audit_append(desk->audit, &entry));
}

/* --- what waits --------------------------------------------------------------------------------------------------- */

static size_t place_of(const struct desk_hooks *hooks, uint64_t id)
{
    size_t place = 0;
    while (place < hooks->waiting_count && hooks->waiting[place].id != id)
        place++;
    return place;
}

bool desk_hook_is_out(const struct desk *desk, uint64_t id)
{
    size_t place = place_of(&desk->hooks, id);
    return place < desk->hooks.waiting_count && desk->hooks.waiting[place].is_out;
}

/* The order of those after it stays. */
static void forget(struct desk_hooks *hooks, size_t place)
{
    hooks->waiting_count--;
    memmove(&hooks->waiting[place], &hooks->waiting[place + 1],
            (hooks->waiting_count - place) * sizeof(hooks->waiting[0]));
}

static void remember(struct desk_hooks *hooks, const struct store_hook *hook)
{
    if (hooks->has_more || hooks->waiting_count == LIMIT_HOOKS_WAITING) {
        hooks->has_more = true; /* taken out of the store in its turn */
        return;
    }
    struct desk_hook_waiting *waiting = &hooks->waiting[hooks->waiting_count++];
    int64_t wait_ms = (hook->next_at.ns - wall_now().ns) / NS_PER_MS;
    *waiting = (struct desk_hook_waiting){.id = hook->id, .subject = hook->send.capture_id};
    waiting->next = mono_add_ms(mono_now(), wait_ms > 0 ? wait_ms : 0);
    memcpy(waiting->target, hook->target, sizeof(waiting->target));
}

/* Reads the oldest that wait out of the store; those under way stay under way. */
static enum err take_up(struct desk *desk)
{
    struct desk_hooks *hooks = &desk->hooks;
    size_t count = 0;
    struct store_hook *list = calloc(LIMIT_HOOKS_WAITING, sizeof(*list));
    if (!list)
        return ERR_MEMORY;
    enum err err = store_hooks_list(&hooks->store, HOOK_STATE_WAITING, list, LIMIT_HOOKS_WAITING, &count);
    if (!err) {
        struct desk_hooks before = *hooks;
        hooks->waiting_count = 0;
        hooks->has_more = false;
        for (size_t i = 0; i < count; i++) {
            size_t place = place_of(&before, list[i].id);
            remember(hooks, &list[i]);
            if (place < before.waiting_count)
                hooks->waiting[hooks->waiting_count - 1] = before.waiting[place];
        }
        hooks->has_more = count == LIMIT_HOOKS_WAITING;
    }
    free(list);
    return err;
}

enum err desk_hooks_open(struct desk *desk)
{
    enum err err = store_hooks_open(&desk->hooks.store, desk->store);
    return err ? err : take_up(desk);
}

void desk_hooks_close(struct desk *desk)
{
    store_hooks_close(&desk->hooks.store);
}

/* An earlier one for the same address about the same capture is not delivered yet. */
static bool is_held_back(const struct desk_hooks *hooks, size_t place)
{
    const struct desk_hook_waiting *this = &hooks->waiting[place];
    for (size_t i = 0; i < place; i++) {
        if (hooks->waiting[i].subject == this->subject && strcmp(hooks->waiting[i].target, this->target) == 0)
            return true;
    }
    return false;
}

/* Where the configuration has this address now; the platform's has no index. False: it is gone. */
static bool address(const struct desk *desk, struct store_hook *hook)
{
    if (hook->send.target == HOOK_TARGET_PLATFORM)
        return desk->config->genesys.region[0] != '\0';
    for (size_t i = 0; i < desk->config->hook_target_count; i++) {
        if (strcmp(desk->config->hook_targets[i].name, hook->target) == 0) {
            hook->send.target = (uint8_t)i;
            return true;
        }
    }
    return false;
}

static void settle(struct desk *desk, size_t place, struct store_hook *hook, enum hook_state state)
{
    hook->state = (uint8_t)state;
    hook->updated_at = wall_now();
    if (state == HOOK_STATE_DEAD)
        (void)!audit_hook(desk, hook, "hook.dead", "desk", "local", "failed");
    /* What could not be written down is sent once more after a restart: to be told twice does no harm. */
    (void)!desk_disk_result(desk, store_hooks_update(&desk->hooks.store, hook));
    forget(&desk->hooks, place);
    desk_publish(desk, "hook", hook_json(hook), hook->send.capture_id);
}

/* True when it was sent and is still at its place. */
static bool send_hook(struct desk *desk, size_t place)
{
    struct store_hook hook;
    struct desk_hook_waiting *waiting = &desk->hooks.waiting[place];
    waiting->next = mono_add_ms(mono_now(), AGAIN_FIRST_MS);
    if (store_hooks_find(&desk->hooks.store, waiting->id, &hook) != OK)
        return true;
    if (!address(desk, &hook)) {
        settle(desk, place, &hook, HOOK_STATE_DEAD);
        return false;
    }
    if (msg_send(&desk->gateway, &hook.send) == OK) {
        waiting->is_out = true;
        waiting->next = mono_add_ms(mono_now(), ANSWER_LATE_MS);
    }
    return true;
}

void desk_hooks_turn(struct desk *desk)
{
    struct desk_hooks *hooks = &desk->hooks;
    struct mono_time now = mono_now();
    if (!desk_gateway_is_up(desk))
        return;
    if (hooks->has_more && hooks->waiting_count < LIMIT_HOOKS_WAITING / 2)
        (void)!take_up(desk); /* tried again in a second */
    for (size_t i = 0; i < hooks->waiting_count;) {
        bool is_due = mono_reached(now, hooks->waiting[i].next) && !is_held_back(hooks, i);
        if (!is_due || send_hook(desk, i))
            i++;
    }
}

void desk_hooks_link_up(struct desk *desk)
{
    for (size_t i = 0; i < desk->hooks.waiting_count; i++) {
        if (!desk->hooks.waiting[i].is_out)
            continue;
        desk->hooks.waiting[i].is_out = false; /* its result died with the gateway */
        desk->hooks.waiting[i].next = mono_now();
    }
    desk_hooks_turn(desk);
}

static bool is_given_up(const struct store_hook *hook)
{
    return hook->tries >= (hook->send.kind == HOOK_RECORDING_PAUSE ? PAUSE_TRIES_MAX : TRIES_MAX);
}

static int64_t wait_ms(const struct store_hook *hook, const struct hook_result_msg *result)
{
    unsigned shift = hook->tries < 10 ? hook->tries : 10;
    int64_t first = hook->send.kind == HOOK_RECORDING_PAUSE ? 1000 : AGAIN_FIRST_MS;
    int64_t wait = first << (shift > 0 ? shift - 1 : 0);
    if (wait < (int64_t)result->again_after_ms)
        wait = result->again_after_ms;
    return wait < AGAIN_MAX_MS ? wait : AGAIN_MAX_MS;
}

enum err desk_hook_result(struct desk *desk, const struct hook_result_msg *result)
{
    struct store_hook hook;
    size_t place = place_of(&desk->hooks, result->header.subject);
    if (place == desk->hooks.waiting_count || result->outcome >= HOOK_OUTCOMES)
        return ERR_RANGE;
    desk->hooks.waiting[place].is_out = false;
    enum err err = store_hooks_find(&desk->hooks.store, result->header.subject, &hook);
    if (err)
        return err;
    hook.tries++;
    hook.last_status = result->status;
    if (result->outcome == HOOK_DELIVERED) {
        settle(desk, place, &hook, HOOK_STATE_DELIVERED);
    } else if (result->outcome == HOOK_REFUSED || is_given_up(&hook)) {
        settle(desk, place, &hook, HOOK_STATE_DEAD);
    } else {
        int64_t wait = wait_ms(&hook, result);
        hook.updated_at = wall_now();
        hook.next_at = (struct wall_time){hook.updated_at.ns + wait * NS_PER_MS};
        desk->hooks.waiting[place].next = mono_add_ms(mono_now(), wait);
        return desk_disk_result(desk, store_hooks_update(&desk->hooks.store, &hook));
    }
    desk_hooks_turn(desk); /* the next of its capture */
    return OK;
}

/* --- what happened ------------------------------------------------------------------------------------------------- */

/* Where one kind goes. */
static const struct {
    enum hook_kind kind;
    enum config_hook_event event;
} events[] = {
    {HOOK_PAYMENT, CONFIG_HOOK_PAYMENT},
    {HOOK_SUBSCRIPTION, CONFIG_HOOK_SUBSCRIPTION},
    {HOOK_REFUND, CONFIG_HOOK_REFUND},
    {HOOK_RECEIPT_SMS, CONFIG_HOOK_RECEIPT_SMS},
    {HOOK_RECEIPT_EMAIL, CONFIG_HOOK_RECEIPT_EMAIL},
};

static enum err add(struct desk *desk, const char *target, uint8_t index, const struct hook_send_msg *what,
                    uint64_t key_id)
{
    struct store_hook hook = {.send = *what, .created_at = wall_now()};
    char key[96];
    char id[17];
    bool is_new = false;
    if (RAND_bytes((unsigned char *)&hook.id, sizeof(hook.id)) != 1)
        return ERR_SYSTEM;
    MSG_INIT(&hook.send, HOOK_SEND, hook.id);
    hook.send.target = index;
    hook.updated_at = hook.next_at = hook.created_at;
    snprintf(hook.target, sizeof(hook.target), "%s", target);
    log_id_text(key_id, id);
    snprintf(key, sizeof(key), "%s/%s/%u", id, kind_names[what->kind], what->status);
    enum err err = desk_disk_result(desk, store_hooks_add(&desk->hooks.store, &hook, key, &is_new));
    if (!err && is_new)
        remember(&desk->hooks, &hook);
    return err;
}

/* To every address that wants it. */
static enum err add_everywhere(struct desk *desk, const struct hook_send_msg *what, uint64_t key_id)
{
    enum err err = OK;
    if (what->kind >= HOOK_ATTRIBUTES)
        return add(desk, PLATFORM_NAME, HOOK_TARGET_PLATFORM, what, key_id);
    for (size_t i = 0; i < desk->config->hook_target_count && !err; i++) {
        const struct config_hook_target *target = &desk->config->hook_targets[i];
        if (target->events & (unsigned)events[what->kind].event)
            err = add(desk, target->name, (uint8_t)i, what, key_id);
    }
    return err;
}
_Static_assert(HOOK_RECEIPT_EMAIL == 4 && HOOK_PAYMENT == 0, "events[] stands in the kinds' order");

static void fill(struct hook_send_msg *hook, enum hook_kind kind, enum hook_status status,
                 const struct store_capture *record, const struct store_contact *contact)
{
    *hook = (struct hook_send_msg){.capture_id = record->id,
                                   .call_id = record->call_id,
                                   .amount_minor = record->amount_minor,
                                   .occurred_at_s = wall_now().ns / NS_PER_S,
                                   .kind = (uint8_t)kind,
                                   .status = (uint8_t)status};
    memcpy(hook->currency, record->currency, sizeof(hook->currency));
    memcpy(hook->conversation, contact->conversation, sizeof(hook->conversation));
    memcpy(hook->participant, contact->participant, sizeof(hook->participant));
    memcpy(hook->payment_ref, record->order_ref, sizeof(hook->payment_ref));
    memcpy(hook->token, record->token, sizeof(hook->token));
    snprintf(hook->reference, sizeof(hook->reference), "%s", record->reference);
}

static bool has_platform(const struct desk *desk, const struct store_contact *contact)
{
    return desk->config->genesys.region[0] && contact->conversation[0];
}

static bool has_recording(const struct desk *desk, const struct store_contact *contact)
{
    return has_platform(desk, contact) && desk->config->genesys.recording_api != CONFIG_RECORDING_OFF;
}

enum err desk_hooks_opened(struct desk *desk, const struct store_capture *record,
                           const struct store_contact *contact)
{
    struct hook_send_msg hook;
    enum err err = OK;
    bool is_empty = !contact->conversation[0] && !contact->sms[0] && !contact->email[0];
    if (!is_empty)
        err = desk_disk_result(desk, store_contact_set(&desk->hooks.store, record->id, contact));
    if (!err && has_recording(desk, contact)) {
        fill(&hook, HOOK_RECORDING_PAUSE, HOOK_STATUS_PENDING, record, contact);
        err = add_everywhere(desk, &hook, record->id);
    }
    if (!err && has_platform(desk, contact) && contact->participant[0]) {
        fill(&hook, HOOK_ATTRIBUTES, HOOK_STATUS_PENDING, record, contact);
        err = add_everywhere(desk, &hook, record->id);
    }
    desk_hooks_turn(desk);
    return err;
}

static enum hook_status status_of(unsigned state)
{
    return state == CAPTURE_APPROVED   ? HOOK_STATUS_CONFIRMED
           : state == CAPTURE_DECLINED ? HOOK_STATUS_DECLINED
                                       : HOOK_STATUS_FAILED;
}

static enum err add_receipts(struct desk *desk, const struct store_capture *record,
                             const struct store_contact *contact)
{
    const struct {
        enum hook_kind kind;
        const char *recipient;
    } receipts[] = {{HOOK_RECEIPT_SMS, contact->sms}, {HOOK_RECEIPT_EMAIL, contact->email}};
    enum err err = OK;
    for (size_t i = 0; i < 2 && !err; i++) {
        struct hook_send_msg hook;
        if (!receipts[i].recipient[0])
            continue;
        fill(&hook, receipts[i].kind, HOOK_STATUS_CONFIRMED, record, contact);
        snprintf(hook.recipient, sizeof(hook.recipient), "%s", receipts[i].recipient);
        err = add_everywhere(desk, &hook, record->id);
    }
    return err;
}

enum err desk_hooks_ended(struct desk *desk, const struct store_capture *record)
{
    struct store_contact contact;
    struct hook_send_msg hook;
    enum hook_status status = status_of(record->state);
    enum err err = desk_disk_result(desk, store_contact_find(&desk->hooks.store, record->id, &contact));
    if (!err && has_recording(desk, &contact)) {
        fill(&hook, HOOK_RECORDING_RESUME, HOOK_STATUS_PENDING, record, &contact);
        err = add_everywhere(desk, &hook, record->id);
    }
    if (!err && has_platform(desk, &contact) && contact.participant[0]) {
        fill(&hook, HOOK_ATTRIBUTES, status, record, &contact);
        err = add_everywhere(desk, &hook, record->id);
    }
    bool is_payment = record->kind != CAPTURE_KIND_TOKENISE && record->state != CAPTURE_CANCELLED;
    if (!err && is_payment) {
        fill(&hook, HOOK_PAYMENT, status, record, &contact);
        err = add_everywhere(desk, &hook, record->id);
    }
    if (!err && is_payment && status == HOOK_STATUS_CONFIRMED)
        err = add_receipts(desk, record, &contact);
    desk_hooks_turn(desk);
    return err;
}

enum err desk_hooks_ordered(struct desk *desk, const struct store_order *order)
{
    struct store_contact contact = {0};
    struct store_capture record = {
        .id = order->capture_id, .call_id = order->take.call_id, .amount_minor = order->take.amount_minor};
    struct hook_send_msg hook;
    bool is_subscription = order->take.kind == ORDER_KIND_SUBSCRIBE;
    if (order->state != ORDER_STATE_DONE || (!is_subscription && order->take.kind != ORDER_KIND_REFUND))
        return OK;
    enum err err =
        desk_disk_result(desk, store_contact_find(&desk->hooks.store, order->capture_id, &contact));
    memcpy(record.currency, order->take.currency, sizeof(record.currency));
    memcpy(record.order_ref, order->result_ref, sizeof(record.order_ref));
    memcpy(record.token, order->take.token, sizeof(record.token));
    fill(&hook, is_subscription ? HOOK_SUBSCRIPTION : HOOK_REFUND, HOOK_STATUS_CONFIRMED, &record, &contact);
    memcpy(hook.reference, order->take.reference, sizeof(hook.reference));
    if (!err)
        err = add_everywhere(desk, &hook, order->id);
    desk_hooks_turn(desk);
    return err;
}

/* --- API ----------------------------------------------------------------------------------------------------------- */

void desk_hooks_h(const struct ask *ask)
{
    static struct store_hook list[LIST_MAX]; /* one thread, one request at a time */
    enum hook_state state = HOOK_STATE_DEAD;
    char text[16];
    size_t count = 0;
    if (http_query_value(ask->request->query, "state", text, sizeof(text))) {
        int found = 0;
        while (found < HOOK_STATE_COUNT && strcmp(state_names[found], text) != 0)
            found++;
        if (found == HOOK_STATE_COUNT) {
            ask_refuse(ask, 422, "state_invalid", "state must be waiting, delivered, dead or dropped");
            return;
        }
        state = (enum hook_state)found;
    }
    if (store_hooks_list(&ask->desk->hooks.store, state, list, LIST_MAX, &count) != OK) {
        ask_refuse(ask, 503, "store", "the database cannot be read now");
        return;
    }
    json_t *hooks = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(hooks, hook_json(&list[i]));
    ask_reply(ask, 200, json_pack("{s:o}", "hooks", hooks), NULL);
}

void desk_hook_decide_h(const struct ask *ask)
{
    struct store_hook hook;
    struct desk *desk = ask->desk;
    bool is_retry = ask->match.route->id == ROUTE_HOOK_RETRY;
    char where[HTTP_PEER_TEXT];
    http_peer_text(ask->connection, where);
    enum err err = store_hooks_find(&desk->hooks.store, ask->match.subject, &hook);
    if (err) {
        ask_refuse(ask, err == ERR_NOT_FOUND ? 404 : 503, err == ERR_NOT_FOUND ? "hook_not_found" : "store",
                   err == ERR_NOT_FOUND ? "no such hook" : "the database cannot be read now");
        return;
    }
    if (hook.state != HOOK_STATE_DEAD) {
        ask_refuse(ask, 409, "not_now", "only what could not be delivered is tried again or dropped");
        return;
    }
    hook.state = is_retry ? HOOK_STATE_WAITING : HOOK_STATE_DROPPED;
    hook.updated_at = hook.next_at = wall_now();
    if (is_retry)
        hook.tries = 0;
    err = audit_hook(desk, &hook, is_retry ? "hook.retry" : "hook.drop", ask->who, where, "ok");
    if (!err)
        err = desk_disk_result(desk, store_hooks_update(&desk->hooks.store, &hook));
    if (err) {
        ask_refuse(ask, 503, "store", "this could not be recorded, so it was not done");
        return;
    }
    if (is_retry)
        remember(&desk->hooks, &hook);
    ask_reply(ask, 202, hook_json(&hook), NULL);
    desk_publish(desk, "hook", hook_json(&hook), hook.send.capture_id);
    desk_hooks_turn(desk);
}
