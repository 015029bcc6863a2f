/* A whole small world under one seed: the vault behind real socket pairs, and round it a proxy with two calls, a desk
 * with a durable store, a gateway with a ledger, an agent and two callers. Everything that may fail does: any process
 * dies at any moment, stores refuse, answers get lost or come late, a CONFIRM that was given up executes afterwards.
 *
 * After each event (reliability: "nothing lost"):
 *   - at most one charge per capture; none where the store says declined, cancelled or failed; one where it says approved;
 *   - the gateway sees CONFIRM only when intent and order are durable, and never twice without a STATUS between;
 *   - no key is shown that was not pressed; keys are taken from masked legs only; no card is held at an end;
 *   - once the faults stop, every capture that was opened reaches an end in the store.
 *
 * TONEGATE_SIM_SEEDS=n runs n seeds, TONEGATE_SIM_FIRST=s starts at s. A failure names its seed. */
#include "capture/tests/vault_stage.h"

#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CALLS         2
#define PAYS          4 /* captures a seed may open */
#define ATTEMPTS      (LIMIT_PAYMENT_ATTEMPTS + 1)
#define QUEUE         64
#define STEPS         160
#define SETTLE_S      1500
#define DEFAULT_SEEDS 2500

enum plant {
    PLANT_NONE,
    PLANT_CANCEL_WITHOUT_EFFECT,
    PLANT_FORGETFUL_DESK,
    PLANT_UNMASKED_LEG,
    PLANT_OTHER_GATEWAY,
    PLANT_COUNT
};

struct order {
    bool exists;
    bool will_decline;
    bool is_late;            /* a CONFIRM is still on its way in the network */
    bool is_confirm_unasked; /* CONFIRM came, no STATUS since */
    enum gateway_order_state state;
    unsigned charges; /* money taken, or held where it was to be held */
};

struct pay {
    uint64_t id;
    unsigned call;
    enum capture_kind kind;
    bool is_opened;
    unsigned pressed; /* keys since it was opened */
    /* the desk's durable store */
    bool has_intent, has_result;
    bool was_intent_durable[ATTEMPTS], was_order_durable[ATTEMPTS];
    uint32_t attempt;
    uint8_t stored_gateway;
    char order_ref[LIMIT_TOKEN_BYTES];
    uint8_t result;
    uint8_t shown;
    /* the gateways' ledgers: which of the two has it is part of the order */
    struct order orders[ATTEMPTS];
    uint8_t gateway[ATTEMPTS];
};

struct call {
    uint64_t id;
    bool is_up;
    uint64_t armed_for;
    uint32_t ordinal;
};

struct answer {
    int64_t due_ns;
    uint64_t bytes[LIMIT_MESSAGE_BYTES / 8];
};

struct sim {
    struct stage stage;
    uint64_t seed, random;
    enum plant plant;
    bool has_faults;
    unsigned generation;
    struct call calls[CALLS];
    struct pay pays[PAYS];
    size_t pay_count;
    struct answer queue[DISPATCH_PEERS][QUEUE];
    size_t queue_length[DISPATCH_PEERS];
    const char *broken;
    unsigned charges, approved, tokens, ended;
};

static unsigned draw(struct sim *sim, unsigned below)
{
    sim->random = sim->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(sim->random >> 33) % below;
}

static bool fault(struct sim *sim, unsigned one_in)
{
    return sim->has_faults && draw(sim, one_in) == 0;
}

static void must(struct sim *sim, bool holds, const char *what)
{
    if (!holds && !sim->broken)
        sim->broken = what;
}

static struct pay *find_pay(struct sim *sim, uint64_t id)
{
    for (size_t i = 0; i < sim->pay_count; i++) {
        if (sim->pays[i].id == id)
            return &sim->pays[i];
    }
    return NULL;
}

static struct call *find_call(struct sim *sim, uint64_t id)
{
    for (size_t i = 0; i < CALLS; i++) {
        if (sim->calls[i].id == id)
            return &sim->calls[i];
    }
    return NULL;
}

/* What a peer will say, after a while. */
static void later(struct sim *sim, enum dispatch_peer peer, const void *message, int64_t ms)
{
    if (sim->queue_length[peer] == QUEUE)
        return; /* lost, as by a full socket */
    const struct msg_header *header = message;
    struct answer *answer = &sim->queue[peer][sim->queue_length[peer]++];
    answer->due_ns = mono_add_ms(sim->stage.now, ms).ns;
    memcpy(answer->bytes, message, header->length);
}

/* --- the proxy --- */

static void proxy_say_armed(struct sim *sim, const struct call *call, uint64_t capture, bool is_resync,
                            bool is_refused)
{
    struct proxy_armed_msg armed = {.capture_id = capture, .is_resync = is_resync, .is_refused = is_refused};
    MSG_INIT(&armed, PROXY_ARMED, call->id);
    later(sim, DISPATCH_PROXY, &armed, draw(sim, 200));
}

static void proxy_hear(struct sim *sim, const union stage_message *m)
{
    struct call *call = find_call(sim, m->header.subject);
    if (!call)
        return;
    if (m->header.type == PROXY_ARM) {
        if (call->is_up && call->armed_for != m->arm.capture_id) {
            call->armed_for = sim->plant == PLANT_UNMASKED_LEG ? 0 : m->arm.capture_id;
            call->ordinal = 0;
        }
        proxy_say_armed(sim, call, m->arm.capture_id, false, !call->is_up);
    } else if (m->header.type == PROXY_DISARM && call->armed_for == m->disarm.capture_id) {
        call->armed_for = 0;
    }
}

/* Every armed leg is named on a new link; a proxy that was restarted counts from one again. */
static void proxy_greet(struct sim *sim)
{
    for (size_t i = 0; i < CALLS; i++) {
        struct call *call = &sim->calls[i];
        if (call->is_up && call->armed_for)
            proxy_say_armed(sim, call, call->armed_for, true, false);
    }
}

static void press_key(struct sim *sim, struct call *call)
{
    static const char card[] = "42424242424242421228123";
    struct pay *pay = find_pay(sim, call->armed_for);
    if (!call->is_up || !pay || sim->stage.far[DISPATCH_PROXY] < 0)
        return;
    const struct capture *capture = captures_find(dispatch_captures(sim->stage.dispatch), pay->id);
    size_t at = 0;
    if (capture && capture->fields) { /* a caller who keys what is asked for, mostly */
        struct capture_field_view views[CARD_FIELDS];
        card_fields_view(capture->fields, views);
        enum card_field field = card_fields_selected(capture->fields);
        at = field == CARD_EXPIRY ? 16 + views[1].key_count % 4
             : field == CARD_CVV  ? 20 + views[2].key_count % 3
                                  : views[0].key_count % 16;
    }
    struct proxy_digit_msg digit = {.capture_id = pay->id, .ordinal = ++call->ordinal};
    digit.key = fault(sim, 60) ? (dtmf_key)draw(sim, 12) : (dtmf_key)(card[at] - '0');
    MSG_INIT(&digit, PROXY_DIGIT, call->id);
    pay->pressed++;
    if (fault(sim, 200))
        return; /* lost */
    (void)!stage_say(&sim->stage, DISPATCH_PROXY, &digit);
    if (fault(sim, 50))
        (void)!stage_say(&sim->stage, DISPATCH_PROXY, &digit);
}

static void hang_up(struct sim *sim, struct call *call)
{
    struct proxy_call_gone_msg gone = {.capture_id = call->armed_for};
    if (call->is_up && call->armed_for && sim->stage.far[DISPATCH_PROXY] >= 0) {
        MSG_INIT(&gone, PROXY_CALL_GONE, call->id);
        later(sim, DISPATCH_PROXY, &gone, 0);
    }
    call->is_up = false;
    call->armed_for = 0;
}

/* --- the desk and its agent --- */

static void desk_say_cancel(struct sim *sim, const struct pay *pay)
{
    struct capture_cancel_msg cancel = {.call_id = sim->calls[pay->call].id};
    MSG_INIT(&cancel, CAPTURE_CANCEL, pay->id);
    later(sim, DISPATCH_DESK, &cancel, 0);
}

static void desk_store(struct sim *sim, const struct capture_store_msg *store)
{
    struct pay *pay = find_pay(sim, store->header.subject);
    struct capture_stored_msg stored = {.store_number = store->store_number, .is_durable = 1};
    MSG_INIT(&stored, CAPTURE_STORED, store->header.subject);
    if (!pay)
        return;
    if (fault(sim, 20)) {
        stored.is_durable = 0;
        later(sim, DISPATCH_DESK, &stored, draw(sim, 300));
        return;
    }
    if (store->kind == STORE_INTENT && !pay->has_result) {
        pay->has_intent = true;
        pay->attempt = store->attempt;
        pay->order_ref[0] = 0;
        pay->was_intent_durable[store->attempt % ATTEMPTS] = true;
    } else if (store->kind == STORE_ORDER && sim->plant != PLANT_FORGETFUL_DESK) {
        memcpy(pay->order_ref, store->order_ref, sizeof(pay->order_ref));
        pay->stored_gateway = store->gateway_index;
        pay->was_order_durable[store->attempt % ATTEMPTS] = true;
    } else if (store->kind == STORE_RESULT) {
        must(sim, !pay->has_result || pay->result == store->state, "a stored end is changed");
        pay->has_result = true;
        pay->has_intent = false;
        pay->result = store->state;
    }
    if (!fault(sim, 40))
        later(sim, DISPATCH_DESK, &stored, fault(sim, 30) ? 7000 : draw(sim, 300));
}

static void desk_watch(struct sim *sim, const struct capture_progress_msg *progress)
{
    struct pay *pay = find_pay(sim, progress->header.subject);
    if (!pay)
        return;
    unsigned shown = 0;
    for (int i = 0; i < CARD_FIELDS; i++)
        shown += progress->fields[i].key_count;
    must(sim, shown <= pay->pressed, "more keys shown than were pressed");
    pay->shown = progress->state;
    if (progress->state == CAPTURE_READY && draw(sim, 3) != 0) {
        struct capture_submit_msg submit;
        MSG_INIT(&submit, CAPTURE_SUBMIT, pay->id);
        later(sim, DISPATCH_DESK, &submit, draw(sim, 500));
    }
    if (progress->state == CAPTURE_LOST && !pay->has_intent)
        desk_say_cancel(sim, pay);
    if (progress->state == CAPTURE_CANCELLED && !pay->has_result && !pay->has_intent) {
        pay->has_result = true; /* of a lost one there is no STORE */
        pay->result = CAPTURE_CANCELLED;
    }
}

static void desk_hear(struct sim *sim, const union stage_message *m)
{
    if (m->header.type == CAPTURE_STORE)
        desk_store(sim, &m->store);
    else if (m->header.type == CAPTURE_PROGRESS)
        desk_watch(sim, &m->progress);
}

/* On a new link to the vault: open intents first, then what was never submitted and the vault may not know. */
static void desk_greet(struct sim *sim, bool is_new_vault)
{
    for (size_t i = 0; i < sim->pay_count; i++) {
        struct pay *pay = &sim->pays[i];
        if (!pay->has_intent || pay->has_result)
            continue;
        struct capture_reconcile_msg reconcile = {
            .kind = (uint8_t)pay->kind, .attempt = pay->attempt, .gateway_index = pay->stored_gateway};
        if (pay->kind != CAPTURE_KIND_TOKENISE) {
            reconcile.amount_minor = 4999;
            strcpy(reconcile.currency, "USD");
        }
        MSG_INIT(&reconcile, CAPTURE_RECONCILE, pay->id);
        memcpy(reconcile.order_ref, pay->order_ref, sizeof(reconcile.order_ref));
        later(sim, DISPATCH_DESK, &reconcile, 0);
    }
    struct capture_sync_msg sync;
    MSG_INIT(&sync, CAPTURE_SYNC, 0);
    later(sim, DISPATCH_DESK, &sync, 0);
    for (size_t i = 0; i < sim->pay_count && is_new_vault; i++) {
        struct pay *pay = &sim->pays[i];
        if (pay->is_opened && !pay->has_intent && !pay->has_result)
            desk_say_cancel(sim, pay);
    }
}

static void agent_open(struct sim *sim)
{
    unsigned at = draw(sim, CALLS);
    if (sim->pay_count == PAYS || !sim->calls[at].is_up || sim->stage.far[DISPATCH_DESK] < 0)
        return;
    for (size_t i = 0; i < sim->pay_count; i++) {
        if (sim->pays[i].call == at && !sim->pays[i].has_result)
            return;
    }
    struct pay *pay = &sim->pays[sim->pay_count++];
    pay->id = 100 + sim->pay_count;
    pay->call = at;
    pay->kind = (enum capture_kind)(draw(sim, 2) ? 0 : draw(sim, CAPTURE_KINDS));
    pay->is_opened = stage_say_open_kind(&sim->stage, pay->id, sim->calls[at].id, pay->kind) == OK;
    pay->has_result = !pay->is_opened;
    pay->result = CAPTURE_FAILED;
}

/* --- the gateway --- */

static void execute(struct sim *sim, const struct pay *pay, struct order *order)
{
    bool is_held = pay->kind == CAPTURE_KIND_AUTHORISE;
    if (order->state == ORDER_CANCELLED && sim->plant != PLANT_CANCEL_WITHOUT_EFFECT)
        return;
    if (order->state == ORDER_SUCCEEDED || order->state == ORDER_AUTHORISED || order->will_decline)
        return;
    order->state = is_held ? ORDER_AUTHORISED : ORDER_SUCCEEDED;
    order->charges++;
}

static void gateway_say_of(struct sim *sim, const union stage_message *m, uint8_t gateway_index,
                           enum gateway_outcome outcome, enum gateway_order_state order_state,
                           const char *token)
{
    struct gateway_reply_msg reply = {
        .request_type = m->header.type, .outcome = (uint8_t)outcome, .order_state = (uint8_t)order_state};
    MSG_INIT(&reply, GATEWAY_REPLY, m->header.subject);
    reply.gateway_index = gateway_index;
    reply.attempt = m->header.type == GATEWAY_TOKENISE ? m->tokenise.attempt
                    : m->header.type == GATEWAY_CREATE ? m->order.attempt
                                                       : m->step.attempt;
    snprintf(reply.token, sizeof(reply.token), "%s", token);
    if (m->header.type != GATEWAY_TOKENISE)
        snprintf(reply.order_ref, sizeof(reply.order_ref), "pi_%u_%u", (unsigned)m->header.subject,
                 reply.attempt);
    if (!fault(sim, 60)) /* else the reply is lost on the way */
        later(sim, DISPATCH_GATEWAY, &reply, fault(sim, 100) ? 70000 : draw(sim, 800));
}

static void gateway_say(struct sim *sim, const union stage_message *m, enum gateway_outcome outcome,
                        enum gateway_order_state order_state, const char *token)
{
    gateway_say_of(sim, m, 0, outcome, order_state, token); /* of TOKENISE only it is believed */
}

static void gateway_confirm(struct sim *sim, const struct pay *pay, struct order *order,
                            const union stage_message *m)
{
    must(sim, pay->was_intent_durable[m->step.attempt], "CONFIRM without a durable intent");
    must(sim, pay->was_order_durable[m->step.attempt], "CONFIRM without a durable order");
    must(sim, !order->is_confirm_unasked, "CONFIRM twice without STATUS between");
    must(sim, m->step.amount_minor == 4999, "another amount");
    must(sim, m->step.is_authorise_only == (pay->kind == CAPTURE_KIND_AUTHORISE), "held and taken mixed up");
    must(sim, pay->kind != CAPTURE_KIND_TOKENISE, "money for a token");
    order->is_confirm_unasked = true;
    switch (sim->has_faults ? draw(sim, 8) : 0) {
    case 0: /* given up before it arrives, and arrives all the same */
        if (sim->has_faults) {
            order->is_late = true;
            gateway_say(sim, m, GATEWAY_NO_ANSWER, ORDER_NONE, "");
            return;
        }
        break;
    case 1:
        gateway_say(sim, m, GATEWAY_UNAVAILABLE, ORDER_NONE, "");
        return;
    case 2:
        execute(sim, pay, order);
        gateway_say(sim, m, GATEWAY_NO_ANSWER, ORDER_NONE, "");
        return;
    default:
        break;
    }
    execute(sim, pay, order);
    bool is_paid = order->state == ORDER_SUCCEEDED || order->state == ORDER_AUTHORISED;
    gateway_say(sim, m, is_paid ? GATEWAY_DONE : GATEWAY_DECLINED, order->state, "");
}

static void gateway_abandon(struct sim *sim, struct order *order, const union stage_message *m)
{
    bool is_done = !fault(sim, 6);
    if (is_done && order->state == ORDER_OPEN)
        order->state = ORDER_CANCELLED;
    if (!is_done || fault(sim, 8))
        gateway_say(sim, m, GATEWAY_NO_ANSWER, ORDER_NONE, "");
    else
        gateway_say(sim, m, order->state == ORDER_CANCELLED ? GATEWAY_DONE : GATEWAY_FAILED, order->state,
                    "");
}

static unsigned gateway_of(const union stage_message *m)
{
    return m->header.type == GATEWAY_CREATE ? m->order.gateway_index : m->step.gateway_index;
}

static void gateway_hear(struct sim *sim, const union stage_message *m)
{
    struct pay *pay = find_pay(sim, m->header.subject);
    uint32_t attempt = m->header.type == GATEWAY_TOKENISE ? m->tokenise.attempt
                       : m->header.type == GATEWAY_CREATE ? m->order.attempt
                                                          : m->step.attempt;
    if (!pay || attempt >= ATTEMPTS)
        return;
    struct order *order = &pay->orders[attempt];
    if (m->header.type != GATEWAY_TOKENISE)
        must(sim, gateway_of(m) == pay->gateway[attempt], "a step went to the other gateway");
    switch (m->header.type) {
    case GATEWAY_TOKENISE:
        must(sim, pay->was_intent_durable[attempt], "the card left before the intent was durable");
        /* The second gateway takes over, and keeps what it has when the message comes again. */
        if (!pay->gateway[attempt] && fault(sim, 4))
            pay->gateway[attempt] = 1;
        gateway_say_of(sim, m,
                       sim->plant == PLANT_OTHER_GATEWAY ? 1 - pay->gateway[attempt] : pay->gateway[attempt],
                       fault(sim, 10) ? (enum gateway_outcome)draw(sim, GATEWAY_OUTCOMES) : GATEWAY_DONE,
                       ORDER_NONE, "pm_sim");
        break;
    case GATEWAY_CREATE:
        if (!order->exists)
            *order = (struct order){.exists = true, .will_decline = draw(sim, 4) == 0, .state = ORDER_OPEN};
        gateway_say(sim, m, fault(sim, 12) ? GATEWAY_NO_ANSWER : GATEWAY_DONE, ORDER_OPEN, "");
        break;
    case GATEWAY_CONFIRM:
        gateway_confirm(sim, pay, order, m);
        break;
    case GATEWAY_STATUS:
        order->is_confirm_unasked = false;
        gateway_say(sim, m, fault(sim, 5) ? GATEWAY_NO_ANSWER : GATEWAY_DONE,
                    fault(sim, 10) ? ORDER_PENDING : order->state, "");
        break;
    default:
        gateway_abandon(sim, order, m);
    }
}

/* --- the world --- */

static void drop_queue(struct sim *sim, enum dispatch_peer peer)
{
    sim->queue_length[peer] = 0;
}

static void peer_dies(struct sim *sim, enum dispatch_peer peer)
{
    stage_down(&sim->stage, peer);
    drop_queue(sim, peer);
}

static void peer_comes(struct sim *sim, enum dispatch_peer peer)
{
    if (sim->stage.far[peer] >= 0)
        return;
    stage_up(&sim->stage, peer);
    if (peer == DISPATCH_PROXY) {
        for (size_t i = 0; i < CALLS; i++)
            sim->calls[i].ordinal = 0;
        proxy_greet(sim);
    }
    if (peer == DISPATCH_DESK)
        desk_greet(sim, false);
}

static void vault_dies(struct sim *sim)
{
    struct mono_time now = sim->stage.now;
    struct wall_time wall = sim->stage.wall;
    stage_close(&sim->stage);
    stage_open(&sim->stage, ++sim->generation);
    sim->stage.now = now;
    sim->stage.wall = wall;
    dispatch_set_clock(sim->stage.dispatch, now, wall);
    for (int peer = 0; peer < DISPATCH_PEERS; peer++)
        drop_queue(sim, peer);
    if (draw(sim, 2) == 0)
        proxy_greet(sim);
    desk_greet(sim, true);
    proxy_greet(sim);
}

static void hear_all(struct sim *sim)
{
    static void (*const ears[DISPATCH_PEERS])(struct sim *, const union stage_message *) = {
        [DISPATCH_PROXY] = proxy_hear, [DISPATCH_DESK] = desk_hear, [DISPATCH_GATEWAY] = gateway_hear};
    union stage_message m;
    for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
        while (stage_read(&sim->stage, peer, &m) == OK)
            ears[peer](sim, &m);
    }
    wipe(&m, sizeof(m));
}

/* In the order they were said: a link does not overtake itself. */
static void deliver(struct sim *sim)
{
    for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
        while (sim->queue_length[peer] > 0 && sim->queue[peer][0].due_ns <= sim->stage.now.ns) {
            struct answer answer = sim->queue[peer][0];
            memmove(&sim->queue[peer][0], &sim->queue[peer][1],
                    --sim->queue_length[peer] * sizeof(struct answer));
            if (sim->stage.far[peer] >= 0)
                (void)!stage_say(&sim->stage, peer, answer.bytes);
        }
    }
}

static void check_vault(struct sim *sim)
{
    for (size_t i = 0; i < sim->pay_count; i++) {
        const struct capture *capture =
            captures_find(dispatch_captures(sim->stage.dispatch), sim->pays[i].id);
        if (!capture)
            continue;
        bool may_hold = payment_takes_keys(capture->state) || capture->state == PAYMENT_STORING_INTENT ||
                        capture->state == PAYMENT_TOKENISING;
        must(sim, !capture->fields || may_hold || card_fields_are_empty(capture->fields),
             "a card is held where it may not be");
        must(sim, !payment_is_end(capture->state) || !capture->fields, "a card outlives the end");
        const struct call *call = &sim->calls[sim->pays[i].call];
        must(sim, !payment_takes_keys(capture->state) || !call->is_up || call->armed_for == capture->id,
             "keys are taken from a leg that is not masked");
    }
}

static void check_books(struct sim *sim)
{
    for (size_t i = 0; i < sim->pay_count; i++) {
        const struct pay *pay = &sim->pays[i];
        unsigned charges = 0;
        for (size_t k = 0; k < ATTEMPTS; k++)
            charges += pay->orders[k].charges;
        must(sim, charges <= 1, "charged twice");
        if (!pay->has_result)
            continue;
        if (pay->result == CAPTURE_APPROVED && pay->kind != CAPTURE_KIND_TOKENISE)
            must(sim, charges == 1, "approved without a charge");
        else
            must(sim, charges == 0, "charged, and the store says that no money moved");
    }
}

static void late_confirms_arrive(struct sim *sim)
{
    for (size_t i = 0; i < sim->pay_count; i++) {
        for (size_t k = 0; k < ATTEMPTS; k++) {
            struct order *order = &sim->pays[i].orders[k];
            if (order->is_late && draw(sim, 6) == 0) {
                order->is_late = false;
                execute(sim, &sim->pays[i], order);
            }
        }
    }
}

static void something_happens(struct sim *sim)
{
    struct call *call = &sim->calls[draw(sim, CALLS)];
    if (draw(sim, 8) == 0)
        agent_open(sim);
    for (unsigned keys = draw(sim, 6); keys > 0; keys--)
        press_key(sim, call);
    if (fault(sim, 60))
        hang_up(sim, call);
    if (fault(sim, 80) && sim->pay_count > 0)
        desk_say_cancel(sim, &sim->pays[draw(sim, (unsigned)sim->pay_count)]);
    if (fault(sim, 120) && sim->pay_count > 0)
        (void)!stage_say_field(&sim->stage, sim->pays[draw(sim, (unsigned)sim->pay_count)].id,
                               (enum card_field)draw(sim, 3), draw(sim, 2));
    if (fault(sim, 25))
        peer_dies(sim, (enum dispatch_peer)draw(sim, DISPATCH_PEERS));
    if (fault(sim, 70))
        vault_dies(sim);
    for (int peer = 0; peer < DISPATCH_PEERS; peer++) {
        if (sim->stage.far[peer] < 0 && draw(sim, 4) == 0)
            peer_comes(sim, peer);
    }
}

static void turn(struct sim *sim, int64_t ms)
{
    hear_all(sim);
    late_confirms_arrive(sim);
    deliver(sim);
    hear_all(sim);
    stage_wait(&sim->stage, ms);
    check_vault(sim);
    check_books(sim);
}

static bool all_ended(const struct sim *sim)
{
    for (size_t i = 0; i < sim->pay_count; i++) {
        if (!sim->pays[i].has_result)
            return false;
    }
    return true;
}

static const char *sim_run(struct sim *sim, uint64_t seed, enum plant plant)
{
    memset(sim, 0, sizeof(*sim));
    sim->seed = seed;
    sim->random = seed * 0x9e3779b97f4a7c15ULL + 1;
    sim->plant = plant;
    sim->has_faults = seed % 10 != 0; /* every tenth is a good day */
    for (size_t i = 0; i < CALLS; i++)
        sim->calls[i] = (struct call){.id = 1000 + i, .is_up = true};
    stage_open(&sim->stage, 0);
    for (int step = 0; step < STEPS && !sim->broken; step++) {
        something_happens(sim);
        turn(sim, 100 + draw(sim, 4) * 100);
    }
    bool had_faults = sim->has_faults;
    sim->has_faults = false;
    for (int peer = 0; peer < DISPATCH_PEERS; peer++)
        peer_comes(sim, peer);
    for (int second = 0; second < SETTLE_S && !sim->broken && !all_ended(sim); second++)
        turn(sim, 1000);
    for (int i = 0; i < 40 && !sim->broken; i++)
        turn(sim, 100);
    must(sim, all_ended(sim), "a capture has no end");
    for (size_t i = 0; i < sim->pay_count; i++) {
        sim->approved +=
            sim->pays[i].result == CAPTURE_APPROVED && sim->pays[i].kind != CAPTURE_KIND_TOKENISE;
        sim->tokens += sim->pays[i].result == CAPTURE_APPROVED && sim->pays[i].kind == CAPTURE_KIND_TOKENISE;
        sim->ended += sim->pays[i].has_result;
        for (size_t k = 0; k < ATTEMPTS; k++)
            sim->charges += sim->pays[i].orders[k].charges;
    }
    must(sim, sim->charges == sim->approved, "the books do not agree");
    must(sim, had_faults || sim->plant || dispatch_counts(sim->stage.dispatch)->keys_missing == 0,
         "a key was missed on a good day");
    stage_close(&sim->stage);
    return sim->broken;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void nothing_is_lost_under_any_seed(void **unused)
{
    (void)unused;
    struct sim *sim = malloc(sizeof(*sim));
    assert_non_null(sim);
    uint64_t first = number_of("TONEGATE_SIM_FIRST", 1);
    uint64_t count = number_of("TONEGATE_SIM_SEEDS", DEFAULT_SEEDS);
    uint64_t results = 0, approved = 0, tokens = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *broken = sim_run(sim, seed, PLANT_NONE);
        if (broken)
            fail_msg("%s; again: TONEGATE_SIM_FIRST=%llu TONEGATE_SIM_SEEDS=1 tests/test_vault_sim", broken,
                     (unsigned long long)seed);
        results += sim->ended;
        approved += sim->approved;
        tokens += sim->tokens;
    }
    print_message("%llu seeds: %llu captures ended, %llu approved, %llu tokens kept, books agree\n",
                  (unsigned long long)count, (unsigned long long)results, (unsigned long long)approved,
                  (unsigned long long)tokens);
    assert_true(count < 100 || approved > count / 4); /* a world where nothing succeeds proves nothing */
    assert_true(count < 100 || tokens > count / 40);
    free(sim);
}

/* A world that breaks its word must be noticed, or the checks above are blind. */
static void a_broken_world_is_noticed(void **unused)
{
    (void)unused;
    struct sim *sim = malloc(sizeof(*sim));
    assert_non_null(sim);
    for (enum plant plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++) {
        const char *broken = NULL;
        for (uint64_t seed = 1; seed < 2000 && !broken; seed++)
            broken = sim_run(sim, seed, plant);
        if (!broken)
            fail_msg("plant %d was not noticed", plant);
        print_message("plant %d: \"%s\" at seed %llu\n", plant, broken, (unsigned long long)sim->seed);
    }
    free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_under_any_seed),
        cmocka_unit_test(a_broken_world_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
