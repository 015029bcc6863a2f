/* The payment machine's table, walked whole: every state that can be reached, with every event, together with a ghost
 * that remembers what the world outside knows (is the intent durable, may money have moved, is a card held). The state
 * space is finite and small, so this is exhaustive, not a sample.
 *
 * The same walk over copies of the table with one wrong row must find each of them: see planted[]. */
#include "capture/vault/payment_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What is true outside the machine. */
enum ghost {
    GHOST_CARD = 1 << 0,           /* digits are held */
    GHOST_INTENT = 1 << 1,         /* the intent of this attempt is durable */
    GHOST_ORDER_DURABLE = 1 << 2,  /* and the order's name */
    GHOST_ORDER_OPEN = 1 << 3,     /* the gateway has an order that nobody cancelled or paid */
    GHOST_CONFIRM_SENT = 1 << 4,   /* without a STATUS since */
    GHOST_CONFIRM_TRIED = 1 << 5,  /* in this attempt */
    GHOST_MONEY_POSSIBLE = 1 << 6, /* CONFIRM was sent and nothing certain was said since */
    GHOST_MASK = 1 << 7,           /* ordered and not lifted */
    GHOST_PAID = 1 << 8,           /* STATUS said succeeded */
    GHOST_OPENED = 1 << 9,         /* by OPEN (not a lost or reconciled one) */
    GHOST_BITS = 10
};

struct walk {
    const struct payment_table *table;
    uint8_t seen[PAYMENT_STATES][1 << GHOST_BITS];
    struct {
        uint8_t state;
        uint16_t ghost;
    } queue[PAYMENT_STATES << GHOST_BITS];
    size_t queue_length;
    const char *broken; /* the first property that did not hold */
    unsigned state, event;
    size_t edge_count;
};

static bool is_known_end(enum payment_state state)
{
    return payment_is_end(state);
}

static bool says_no_money(enum payment_state state)
{
    switch (state) {
    case PAYMENT_COLLECTING:
    case PAYMENT_READY:
    case PAYMENT_STORING_DECLINED:
    case PAYMENT_STORING_CANCELLED:
    case PAYMENT_STORING_FAILED:
    case PAYMENT_DECLINED:
    case PAYMENT_CANCELLED:
    case PAYMENT_FAILED:
        return true;
    default:
        return false;
    }
}

static bool may_hold_card(enum payment_state state)
{
    return payment_takes_keys(state) || state == PAYMENT_STORING_INTENT || state == PAYMENT_TOKENISING;
}

static bool is_storing_result(enum payment_state state)
{
    return payment_is_storing(state) && state != PAYMENT_STORING_INTENT && state != PAYMENT_STORING_ORDER;
}

static bool is_confirm_state(enum payment_state state)
{
    return state == PAYMENT_CONFIRMING || state == PAYMENT_CONFIRMING_GONE;
}

/* What the event itself says about the world. */
static unsigned ghost_hear(unsigned ghost, enum payment_state state, enum payment_event event)
{
    switch (event) {
    case EVENT_OPEN:
        return ghost | GHOST_OPENED;
    case EVENT_FIELDS_PARTIAL:
    case EVENT_FIELDS_FULL:
        return payment_takes_keys(state) ? ghost | GHOST_CARD : ghost;
    case EVENT_STORED:
        if (state == PAYMENT_STORING_INTENT)
            ghost |= GHOST_INTENT;
        if (state == PAYMENT_STORING_ORDER)
            ghost |= GHOST_ORDER_DURABLE;
        return ghost;
    case EVENT_ORDER:
        return ghost | GHOST_ORDER_OPEN;
    case EVENT_DECLINED:
    case EVENT_DECLINED_LAST:
    case EVENT_STEP_FAILED:
        return is_confirm_state(state) ? ghost & ~(unsigned)(GHOST_MONEY_POSSIBLE | GHOST_CONFIRM_SENT)
                                       : ghost;
    case EVENT_TOKEN_KEPT: /* what was asked for is there, and no money was */
        return ghost | GHOST_PAID;
    case EVENT_STATUS_SUCCEEDED:
        return (ghost | GHOST_PAID) & ~(unsigned)(GHOST_MONEY_POSSIBLE | GHOST_ORDER_OPEN);
    case EVENT_STATUS_CANCELLED:
    case EVENT_ABANDONED:
        return ghost & ~(unsigned)(GHOST_MONEY_POSSIBLE | GHOST_ORDER_OPEN);
    case EVENT_ABANDON_PAID:
        return ghost | GHOST_MONEY_POSSIBLE;
    case EVENT_RECONCILE_ORDER: /* the earlier vault may have confirmed it */
        return ghost | GHOST_MONEY_POSSIBLE | GHOST_INTENT | GHOST_ORDER_DURABLE | GHOST_CONFIRM_TRIED |
               GHOST_ORDER_OPEN;
    default:
        return ghost;
    }
}

static const char *check_actions(unsigned ghost, const struct payment_step *step)
{
    if ((step->actions & ACTION_TOKENISE) && !(ghost & GHOST_INTENT))
        return "TOKENISE before the intent is durable";
    if ((step->actions & ACTION_TOKENISE) && !(ghost & GHOST_CARD))
        return "TOKENISE without a card";
    if ((step->actions & ACTION_CREATE) && !(ghost & GHOST_INTENT))
        return "CREATE before the intent is durable";
    if (step->actions & ACTION_CONFIRM) {
        if (!(ghost & GHOST_INTENT) || !(ghost & GHOST_ORDER_DURABLE))
            return "CONFIRM before intent and order are durable";
        if (ghost & GHOST_CONFIRM_SENT)
            return "CONFIRM twice without STATUS between";
        if (ghost & GHOST_CONFIRM_TRIED)
            return "CONFIRM twice in one attempt";
    }
    return NULL;
}

/* What carrying out the actions changes. */
static unsigned ghost_act(unsigned ghost, const struct payment_step *step)
{
    if (step->actions & ACTION_ARM)
        ghost |= GHOST_MASK;
    if (step->actions & ACTION_DISARM)
        ghost &= ~(unsigned)GHOST_MASK;
    if (step->actions & (ACTION_WIPE_CARD | ACTION_NEXT_ATTEMPT))
        ghost &= ~(unsigned)GHOST_CARD;
    if (step->actions & ACTION_CONFIRM)
        ghost |= GHOST_CONFIRM_SENT | GHOST_CONFIRM_TRIED | GHOST_MONEY_POSSIBLE;
    if (step->actions & ACTION_STATUS)
        ghost &= ~(unsigned)GHOST_CONFIRM_SENT;
    if ((step->actions & ACTION_ABANDON) && !(ghost & GHOST_MONEY_POSSIBLE))
        ghost &= ~(unsigned)GHOST_ORDER_OPEN;
    if (step->actions & ACTION_NEXT_ATTEMPT)
        ghost &= ~(unsigned)(GHOST_INTENT | GHOST_ORDER_DURABLE | GHOST_CONFIRM_TRIED | GHOST_CONFIRM_SENT);
    return ghost;
}

static const char *check_arrival(unsigned ghost, enum payment_state from, const struct payment_step *step)
{
    enum payment_state to = step->next;
    bool is_unknown = payment_public(to) == CAPTURE_UNKNOWN;
    if ((ghost & GHOST_CARD) && !may_hold_card(to))
        return "the card is held where it may not be";
    if ((ghost & GHOST_CARD) && from == PAYMENT_TOKENISING && payment_takes_keys(to))
        return "the card is held after TOKENISE was answered";
    if (says_no_money(to) && (ghost & (GHOST_MONEY_POSSIBLE | GHOST_PAID)))
        return "says that no money moved, on a guess";
    if ((to == PAYMENT_STORING_APPROVED || to == PAYMENT_APPROVED) && !(ghost & GHOST_PAID))
        return "APPROVED without STATUS saying so";
    if ((is_storing_result(to) || is_known_end(to)) && (ghost & GHOST_ORDER_OPEN))
        return "an order is left open";
    if ((step->actions & ACTION_DISARM) && !is_known_end(to) && !is_unknown)
        return "DISARM before the end";
    if ((ghost & GHOST_OPENED) && !(ghost & GHOST_MASK) && !is_known_end(to) && !is_unknown &&
        !is_storing_result(to))
        return "the leg is not masked";
    if (payment_takes_keys(to) && !(ghost & GHOST_MASK))
        return "keys are taken from a leg that is not masked";
    if (is_storing_result(to) && from != to && !(step->actions & ACTION_STORE_RESULT))
        return "an end without STORE_RESULT";
    if (to == PAYMENT_LOST_CANCELLED) /* no result: the vault does not know it */
        return step->actions & ACTION_STORE_RESULT ? "a result of what nobody here knows" : NULL;
    if (is_known_end(to) && from != to && !is_storing_result(from))
        return "an end that was not stored";
    if (is_known_end(to) && from != to && !(step->actions & ACTION_DISARM))
        return "an end that leaves the leg masked";
    if (from == PAYMENT_CONFIRMING_GONE && payment_takes_keys(to))
        return "asks a caller who hung up for another card";
    return NULL;
}

/* A peer's word that the world outside makes impossible in this state is not walked (the gateway cannot say that an
 * order of a durable decline was paid). */
static void walk_edge(struct walk *walk, enum payment_state state, unsigned ghost, enum payment_event event)
{
    struct payment_step step;
    if (!payment_step(walk->table, state, event, &step))
        return;
    walk->edge_count++;
    walk->state = state;
    walk->event = event;
    unsigned heard = ghost_hear(ghost, state, event);
    walk->broken = check_actions(heard, &step);
    if (walk->broken)
        return;
    unsigned after = ghost_act(heard, &step);
    if (step.next == PAYMENT_NONE)
        return;
    walk->broken = check_arrival(after, state, &step);
    if (walk->broken || walk->seen[step.next][after])
        return;
    walk->seen[step.next][after] = 1;
    walk->queue[walk->queue_length].state = (uint8_t)step.next;
    walk->queue[walk->queue_length++].ghost = (uint16_t)after;
}

static struct walk *walk_new(const struct payment_table *table)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    assert_non_null(walk);
    walk->table = table;
    walk->seen[PAYMENT_NONE][0] = 1;
    walk->queue_length = 1;
    for (size_t i = 0; i < walk->queue_length && !walk->broken; i++) {
        for (unsigned event = 0; event < PAYMENT_EVENTS && !walk->broken; event++)
            walk_edge(walk, walk->queue[i].state, walk->queue[i].ghost, event);
    }
    return walk;
}

static void every_property_holds_in_every_reachable_state(void **unused)
{
    (void)unused;
    struct walk *walk = walk_new(&payment_table);
    if (walk->broken)
        fail_msg("%s: state %s, event %s", walk->broken, payment_state_name(walk->state),
                 payment_event_name(walk->event));
    print_message("%zu situations, %zu transitions\n", walk->queue_length, walk->edge_count);
    for (unsigned state = 0; state < PAYMENT_STATES; state++) {
        bool is_reached = false;
        for (unsigned ghost = 0; ghost < 1 << GHOST_BITS; ghost++)
            is_reached |= walk->seen[state][ghost];
        if (!is_reached)
            fail_msg("state %s cannot be reached", payment_state_name(state));
    }
    free(walk);
}

static void an_event_has_at_most_one_rule(void **unused)
{
    (void)unused;
    size_t accepted = 0;
    size_t refused = 0;
    for (unsigned state = 0; state < PAYMENT_STATES; state++) {
        for (unsigned event = 0; event < PAYMENT_EVENTS; event++) {
            size_t matches = 0;
            for (size_t i = 0; i < payment_table.rule_count; i++) {
                const struct payment_rule *rule = &payment_table.rules[i];
                matches += rule->event == event && (rule->from >> state & 1);
            }
            if (matches > 1)
                fail_msg("%zu rules for state %s, event %s", matches, payment_state_name(state),
                         payment_event_name(event));
            struct payment_step step;
            assert_int_equal(payment_step(&payment_table, state, event, &step), matches == 1);
            accepted += matches;
            refused += matches == 0;
        }
    }
    print_message("%d states x %d events: %zu accepted, %zu refused\n", PAYMENT_STATES, PAYMENT_EVENTS,
                  accepted, refused);
}

/* What crosses on the wire must never be refused: a peer cannot help it. */
static void links_and_hang_ups_are_answered_in_every_state(void **unused)
{
    (void)unused;
    static const enum payment_event always[] = {EVENT_PROXY_DOWN, EVENT_PROXY_UP,     EVENT_DESK_DOWN,
                                                EVENT_DESK_UP,    EVENT_GATEWAY_DOWN, EVENT_GATEWAY_UP,
                                                EVENT_CALL_GONE,  EVENT_ARMED,        EVENT_RESYNC};
    for (unsigned state = PAYMENT_NONE + 1; state < PAYMENT_STATES; state++) {
        for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
            struct payment_step step;
            if (!payment_step(&payment_table, state, always[i], &step))
                fail_msg("state %s refuses %s", payment_state_name(state), payment_event_name(always[i]));
        }
    }
}

/* With peers that answer, every state leads to an end: nothing hangs. */
static void every_state_leads_to_an_end_when_peers_answer(void **unused)
{
    (void)unused;
    static const enum payment_event kind[] = {EVENT_ARMED,     EVENT_FIELDS_FULL,    EVENT_SUBMIT,
                                              EVENT_STORED,    EVENT_TOKEN,          EVENT_ORDER,
                                              EVENT_CONFIRMED, EVENT_WAIT_OVER,      EVENT_STATUS_SUCCEEDED,
                                              EVENT_ABANDONED, EVENT_RECONCILE_ORDER};
    for (unsigned start = PAYMENT_ARMING; start < PAYMENT_STATES; start++) {
        enum payment_state state = start;
        for (int hop = 0; hop < 20 && !payment_is_end(state); hop++) {
            for (size_t i = 0; i < sizeof(kind) / sizeof(kind[0]); i++) {
                struct payment_step step;
                if (payment_step(&payment_table, state, kind[i], &step) && step.next != state) {
                    state = step.next;
                    break;
                }
            }
        }
        if (!payment_is_end(state))
            fail_msg("state %s does not end", payment_state_name(start));
    }
}

/* Waiting states have a time-out, so that a dead peer holds nobody for ever. */
static void every_waiting_state_has_a_time_out(void **unused)
{
    (void)unused;
    for (unsigned state = PAYMENT_ARMING; state < PAYMENT_STATES; state++) {
        struct payment_step step;
        bool waits = payment_is_storing(state) || payment_asks_gateway(state) || state == PAYMENT_ARMING;
        if (waits && !payment_step(&payment_table, state, EVENT_STEP_LATE, &step))
            fail_msg("state %s waits for ever", payment_state_name(state));
        if (payment_takes_keys(state)) {
            assert_true(payment_step(&payment_table, state, EVENT_IDLE_OVER, &step));
            assert_true(payment_step(&payment_table, state, EVENT_SESSION_OVER, &step));
        }
    }
}

static void hang_up_before_submit_cancels_and_after_confirm_goes_on(void **unused)
{
    (void)unused;
    struct payment_step step;
    static const enum payment_state before[] = {PAYMENT_ARMING, PAYMENT_COLLECTING, PAYMENT_READY,
                                                PAYMENT_STORING_INTENT, PAYMENT_TOKENISING};
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        assert_true(payment_step(&payment_table, before[i], EVENT_CALL_GONE, &step));
        assert_int_equal(step.next, PAYMENT_STORING_CANCELLED);
        assert_int_equal(step.problem, PROBLEM_HANG_UP);
        assert_true(step.actions & ACTION_WIPE_CARD);
    }
    assert_true(payment_step(&payment_table, PAYMENT_CONFIRMING, EVENT_CALL_GONE, &step));
    assert_int_equal(step.next, PAYMENT_CONFIRMING_GONE);
    assert_false(payment_step(&payment_table, PAYMENT_CONFIRMING, EVENT_CANCEL, &step));
    assert_false(payment_step(&payment_table, PAYMENT_VERIFYING, EVENT_CANCEL, &step));
    assert_true(payment_step(&payment_table, PAYMENT_VERIFYING, EVENT_CALL_GONE, &step));
    assert_int_equal(step.next, PAYMENT_VERIFYING);
}

/* One wrong row each, as a slip of the hand would make it. */
static const struct {
    const char *slip;
    struct payment_rule row; /* put before the right ones */
} planted[] = {
    {"success by the CONFIRM's answer alone",
     {1ULL << PAYMENT_CONFIRMING, EVENT_CONFIRMED, PAYMENT_STORING_APPROVED, 0, ACTION_STORE_RESULT}},
    {"a time-out of CONFIRM taken for a refusal",
     {1ULL << PAYMENT_CONFIRMING, EVENT_NO_ANSWER, PAYMENT_STORING_FAILED, 0, ACTION_STORE_RESULT}},
    {"CONFIRM sent again when the gateway comes back",
     {1ULL << PAYMENT_CONFIRMING, EVENT_GATEWAY_UP, PAYMENT_SAME, 0, ACTION_CONFIRM}},
    {"CONFIRM sent again after the wait",
     {1ULL << PAYMENT_VERIFY_WAIT, EVENT_WAIT_OVER, PAYMENT_CONFIRMING, 0, ACTION_CONFIRM}},
    {"CONFIRM as soon as the order is known",
     {1ULL << PAYMENT_CREATING, EVENT_ORDER, PAYMENT_CONFIRMING, 0, ACTION_CONFIRM}},
    {"TOKENISE at submit, before the intent is durable",
     {1ULL << PAYMENT_READY, EVENT_SUBMIT, PAYMENT_TOKENISING, 0, ACTION_TOKENISE}},
    {"the card kept for the order",
     {1ULL << PAYMENT_TOKENISING, EVENT_TOKEN, PAYMENT_CREATING, 0, ACTION_CREATE}},
    {"the card kept for the next try after a decline",
     {1ULL << PAYMENT_TOKENISING, EVENT_DECLINED, PAYMENT_COLLECTING, 0, 0}},
    {"the card kept when the caller hangs up",
     {1ULL << PAYMENT_COLLECTING, EVENT_CALL_GONE, PAYMENT_STORING_CANCELLED, 0, ACTION_STORE_RESULT}},
    {"unmasked when all fields are full",
     {1ULL << PAYMENT_COLLECTING, EVENT_FIELDS_FULL, PAYMENT_READY, 0, ACTION_DISARM}},
    {"unmasked once the card is wiped, though a decline leads back to keying",
     {1ULL << PAYMENT_TOKENISING, EVENT_TOKEN, PAYMENT_CREATING, 0,
      ACTION_WIPE_CARD | ACTION_CREATE | ACTION_DISARM}},
    {"keys taken before the mask is confirmed... and never ordered",
     {1ULL << PAYMENT_NONE, EVENT_OPEN, PAYMENT_COLLECTING, 0, 0}},
    {"a cancel that forgets the order",
     {1ULL << PAYMENT_STORING_ORDER, EVENT_CANCEL, PAYMENT_STORING_CANCELLED, 0, ACTION_STORE_RESULT}},
    {"a cancel after CONFIRM",
     {1ULL << PAYMENT_CONFIRMING, EVENT_CANCEL, PAYMENT_ABANDONING_CANCELLED, 0, ACTION_ABANDON}},
    {"an open order taken for unpaid without making sure",
     {1ULL << PAYMENT_VERIFYING, EVENT_STATUS_OPEN, PAYMENT_STORING_FAILED, 0, ACTION_STORE_RESULT}},
    {"an end without a stored result",
     {1ULL << PAYMENT_VERIFYING, EVENT_STATUS_SUCCEEDED, PAYMENT_APPROVED, 0, ACTION_DISARM}},
    {"a lost capture called cancelled, though it may have been paid",
     {1ULL << PAYMENT_LOST, EVENT_CANCEL, PAYMENT_LOST_CANCELLED, 0, ACTION_STORE_RESULT | ACTION_DISARM}},
    {"an end that leaves the leg masked",
     {1ULL << PAYMENT_STORING_FAILED, EVENT_STORED, PAYMENT_FAILED, 0, 0}},
    {"the card kept beside the token that was all that was wanted",
     {1ULL << PAYMENT_TOKENISING, EVENT_TOKEN_KEPT, PAYMENT_STORING_APPROVED, 0, ACTION_STORE_RESULT}},
    {"a token taken for a payment",
     {1ULL << PAYMENT_TOKENISING, EVENT_TOKEN, PAYMENT_STORING_APPROVED, 0,
      ACTION_WIPE_CARD | ACTION_STORE_RESULT}},
    {"another card asked of a caller who hung up",
     {1ULL << PAYMENT_CONFIRMING_GONE, EVENT_DECLINED, PAYMENT_COLLECTING, 0,
      ACTION_ABANDON | ACTION_NEXT_ATTEMPT}},
};

static void every_planted_wrong_row_is_found(void **unused)
{
    (void)unused;
    struct walk *clean = walk_new(&payment_table);
    assert_null(clean->broken); /* or everything below would be "found" */
    free(clean);
    size_t count = payment_table.rule_count + 1;
    struct payment_rule *rules = malloc(count * sizeof(*rules));
    assert_non_null(rules);
    memcpy(rules + 1, payment_table.rules, payment_table.rule_count * sizeof(*rules));
    for (size_t i = 0; i < sizeof(planted) / sizeof(planted[0]); i++) {
        rules[0] = planted[i].row;
        struct payment_table wrong = {rules, count};
        struct walk *walk = walk_new(&wrong);
        if (!walk->broken)
            fail_msg("not found: %s", planted[i].slip);
        free(walk);
    }
    free(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_has_at_most_one_rule),
        cmocka_unit_test(every_property_holds_in_every_reachable_state),
        cmocka_unit_test(links_and_hang_ups_are_answered_in_every_state),
        cmocka_unit_test(every_state_leads_to_an_end_when_peers_answer),
        cmocka_unit_test(every_waiting_state_has_a_time_out),
        cmocka_unit_test(hang_up_before_submit_cancels_and_after_confirm_goes_on),
        cmocka_unit_test(every_planted_wrong_row_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
