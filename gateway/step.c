#include "gateway/step_priv.h"

#include "base/log.h"
#include "gateway/http.h"
#include "gateway/intake.h"
#include "gateway/wipe_heap.h"

#include <stdio.h>
#include <string.h>

#define CONNECTOR_LOGIN_BYTES 512
#define ROLLS_MAX             3

static void step_try(struct step *step);
static bool step_next_round(struct step *step, const struct connector_verdict *verdict);
static bool step_fall_back(struct step *step, const struct connector_verdict *verdict);
static enum err step_build(struct step *step, struct connector_verdict *verdict);

/* --- one step's life --- */

struct step *step_new(struct steps *steps, struct gateway *gateway, const struct connector_step *what)
{
    struct step *step = wipe_heap_calloc(1, sizeof(*step));
    if (!step)
        return NULL;
    step->steps = steps;
    step->gateway = gateway;
    step->what = *what;
    step->came_at = mono_now();
    step->report.operation = what->operation;
    step->report.transport = "none";
    step->next = steps->first;
    if (steps->first)
        steps->first->previous = step;
    steps->first = step;
    steps->count++;
    steps->order_count += intake_is_order(what->operation);
    return step;
}

void step_unlink(struct step *step)
{
    struct steps *steps = step->steps;
    if (step->previous)
        step->previous->next = step->next;
    else
        steps->first = step->next;
    if (step->next)
        step->next->previous = step->previous;
    steps->count--;
    steps->order_count -= intake_is_order(step->what.operation);
}

void step_free(struct step *step)
{
    http_cancel(step->exchange);
    if (step->is_guarded)
        breaker_probe_lost(&step->gateway->breaker);
    if (step->wait)
        event_free(step->wait);
    if (step->slow)
        event_free(step->slow);
    secret_free(step->request.body);
    secret_free(step->login.body);
    secret_free(step->request.held);
    secret_free(step->card);
    wipe_heap_free(step);
}

/* The card is kept until the first gateway has answered, or the fallback's request is built. */
static enum err keep_card(struct step *step, const struct gateway_tokenise_msg *card)
{
    size_t capacity;
    enum err err = secret_new(&step->card, sizeof(*card));
    if (err)
        return err;
    memcpy(secret_buffer(step->card, &capacity), card, sizeof(*card));
    secret_set_length(step->card, sizeof(*card));
    return OK;
}

static void forget_card(struct step *step)
{
    secret_free(step->card);
    step->card = NULL;
    step->what.card = NULL;
}

/* As the vault asked for it. */
static const uint16_t request_types[CONNECTOR_OPERATIONS] = {
    [CONNECTOR_TOKENISE] = GATEWAY_TOKENISE, [CONNECTOR_CREATE] = GATEWAY_CREATE,
    [CONNECTOR_CONFIRM] = GATEWAY_CONFIRM,   [CONNECTOR_STATUS] = GATEWAY_STATUS,
    [CONNECTOR_ABANDON] = GATEWAY_ABANDON,
};

void step_fill_reply(const struct connector_step *what, const struct connector_verdict *verdict,
                     struct gateway_reply_msg *reply)
{
    memset(reply, 0, sizeof(*reply));
    MSG_INIT(reply, GATEWAY_REPLY, what->capture_id);
    reply->request_type = request_types[what->operation];
    reply->outcome = (uint8_t)verdict->outcome;
    reply->order_state = (uint8_t)verdict->order_state;
    reply->reason = (uint8_t)verdict->reason;
    reply->attempt = what->attempt;
    memcpy(reply->token, verdict->token, sizeof(reply->token));
    memcpy(reply->order_ref, verdict->order_ref[0] ? verdict->order_ref : what->order_ref,
           sizeof(reply->order_ref));
}

void step_fill_order_reply(uint64_t id, unsigned kind, const struct connector_verdict *verdict,
                           struct order_reply_msg *reply)
{
    memset(reply, 0, sizeof(*reply));
    MSG_INIT(reply, ORDER_REPLY, id);
    reply->kind = (uint8_t)kind;
    reply->outcome = (uint8_t)verdict->outcome;
    reply->reason = (uint8_t)verdict->reason;
    memcpy(reply->order_ref, verdict->order_ref, sizeof(reply->order_ref));
    memcpy(reply->url, verdict->url, sizeof(reply->url));
}

static void reply_to_desk(const struct step *step, const struct connector_verdict *verdict)
{
    struct order_reply_msg reply;
    step_fill_order_reply(step->what.capture_id, step->what.operation - CONNECTOR_CAPTURE, verdict, &reply);
    reply.gateway_index = step->gateway->index;
    step->order_reply_h(step->order_owner, &reply, &step->report);
}

static void reply_to_vault(const struct step *step, const struct connector_verdict *verdict)
{
    struct gateway_reply_msg reply;
    step_fill_reply(&step->what, verdict, &reply);
    reply.gateway_index = step->gateway->index;
    step->steps->reply_h(step->steps->owner, &reply, &step->report);
}

static void step_finish(struct step *step, const struct connector_verdict *said)
{
    struct steps *steps = step->steps;
    struct connector_verdict verdict = *said;
    bool is_certain = verdict.outcome == GATEWAY_DONE || verdict.outcome == GATEWAY_DECLINED;
    if (intake_moves_money(step->what.operation) && step->is_doubtful && !is_certain)
        verdict.outcome = GATEWAY_NO_ANSWER;
    step->exchange = NULL; /* ended, or about to be by its owner */
    step->gateway->steps[verdict.outcome]++;
    if (step_fall_back(step, &verdict))
        return;
    step->report.ms = (double)(mono_now().ns - step->came_at.ns) / (double)NS_PER_MS;
    step_unlink(step);
    if (step->order_reply_h)
        reply_to_desk(step, &verdict);
    else if (!step->is_orphan)
        reply_to_vault(step, &verdict);
    if (step->has_follower && steps_take(steps, &step->follower.header) != OK)
        ASSERT(!"a follower was checked when it came");
    step_free(step);
}

/* --- tries --- */

static const struct {
    enum gateway_reason reason;
    bool may_repeat; /* as far as the transport is concerned */
} transport_rows[HTTP_RESULTS] = {
    [HTTP_ANSWERED] = {REASON_NONE, false},           [HTTP_UNREACHABLE] = {REASON_UNAVAILABLE, true},
    [HTTP_UNTRUSTED] = {REASON_CONFIGURATION, false}, [HTTP_TIMED_OUT] = {REASON_UNAVAILABLE, true},
    [HTTP_BROKEN] = {REASON_UNAVAILABLE, true},       [HTTP_TOO_LARGE] = {REASON_BAD_ANSWER, false},
    [HTTP_MALFORMED] = {REASON_BAD_ANSWER, false},
};

/* The verdict on a try that brought no answer, as it stands if no other try follows. */
static void judge_transport(const struct step *step, const struct http_answer *answer,
                            struct connector_verdict *verdict)
{
    enum connector_operation operation = step->what.operation;
    bool is_harmless = operation == CONNECTOR_TOKENISE || operation == CONNECTOR_CREATE;
    enum gateway_reason reason = transport_rows[answer->result].reason;
    bool is_safe = step->gateway->settings.connector->is_replay_safe || operation == CONNECTOR_STATUS ||
                   operation == CONNECTOR_TOKENISE; /* a second token costs nothing */
    bool may_repeat = transport_rows[answer->result].may_repeat;
    if (answer->is_sent && (!is_safe || (intake_moves_money(operation) && answer->result == HTTP_TIMED_OUT)))
        may_repeat = false;
    enum gateway_outcome outcome = answer->is_sent && !is_harmless ? GATEWAY_NO_ANSWER : GATEWAY_UNAVAILABLE;
    if (is_harmless && reason == REASON_BAD_ANSWER)
        outcome = GATEWAY_FAILED;
    connector_verdict_set(verdict, outcome, ORDER_NONE, reason);
    verdict->again = may_repeat ? CONNECTOR_AGAIN : CONNECTOR_FINAL;
}

/* Whatever connector let it through: the card's own number is no reference. */
static void refuse_echo(const struct step *step, struct connector_verdict *verdict)
{
    struct echo_guard *guard = step->steps->guard;
    struct mono_time now = mono_now();
    bool is_echo = echo_guard_finds(guard, now, verdict->token) ||
                   echo_guard_finds(guard, now, verdict->order_ref) ||
                   echo_guard_finds(guard, now, verdict->url) || echo_guard_finds(guard, now, verdict->carry);
    if (!is_echo)
        return;
    log_event(LOG_ERROR, "the gateway sent a card number back: its answer is not used",
              LOG_CONSTANT("step", connector_operation_name(step->what.operation)));
    wipe(verdict, sizeof(*verdict));
    connector_bad_answer(&step->what, verdict);
}

static void judge(struct step *step, const struct http_answer *answer, struct connector_verdict *verdict)
{
    if (answer->result != HTTP_ANSWERED) {
        judge_transport(step, answer, verdict);
    } else {
        struct connector_answer heard = {answer->status, answer->body, answer->body_length, answer->headers};
        step->gateway->settings.connector->read(&step->gateway->settings.account, &step->what, &heard,
                                                verdict);
        trace_answer(step->gateway->trace, step->gateway->settings.connector, &step->what, &heard);
        refuse_echo(step, verdict);
    }
    if (verdict->outcome == GATEWAY_NO_ANSWER)
        step->is_doubtful = true;
}

static void wait_over(evutil_socket_t fd, short what, void *owner)
{
    (void)fd;
    (void)what;
    step_try(owner);
}

static bool step_wait(struct step *step, unsigned wait_ms)
{
    struct timeval after = {wait_ms / 1000, wait_ms % 1000 * 1000};
    if (!step->wait)
        step->wait = evtimer_new(step->steps->base, wait_over, step);
    return step->wait && event_add(step->wait, &after) == 0;
}

static int64_t elapsed_ms(const struct step *step)
{
    return mono_elapsed_ms(step->came_at, mono_now());
}

static void note_exchange(struct step *step, const struct http_answer *answer)
{
    bool is_answered = answer->result == HTTP_ANSWERED && answer->status < 500;
    step->is_guarded = false;
    gateway_note_exchange(step->gateway, answer->ms, is_answered);
    step->report.status = answer->result == HTTP_ANSWERED ? answer->status : 0;
    step->report.transport = http_result_name(answer->result);
}

/* --- a key that is not known (any more, or yet) --- */

/* A request that was refused for its key was certainly not carried out; the step goes on under another. False: there is
 * none, or something before this may have been carried out. */
static bool step_roll_key(struct step *step, const struct connector_verdict *verdict)
{
    struct key_ring *keys = step->gateway->keys;
    if (step->is_doubtful || step->is_orphan || step->rolls >= ROLLS_MAX || !key_ring_may_roll(keys))
        return false;
    bool is_rolled = step->key_number != key_ring_number(keys); /* while the request was out */
    bool may_go_back = !is_rolled && !step->wants_previous && key_ring_previous(keys);
    bool is_reading = !is_rolled && key_ring_refresh(keys);
    if (!is_rolled && !may_go_back && !is_reading)
        return false;
    step->rolls++;
    step->report.tries--; /* the gateway was not asked for anything but who we are */
    step->wants_previous = may_go_back;
    if (is_rolled || may_go_back) {
        step_try(step);
        return true;
    }
    step->awaits_key = true;
    step->refused = *verdict;
    return true;
}

void step_key_read(struct step *step, bool is_another)
{
    if (!step->awaits_key)
        return;
    step->awaits_key = false;
    if (is_another)
        step_try(step);
    else
        step_finish(step, &step->refused);
}

/* The verdict is in. Another try, another round, or the end. */
static void step_go_on(struct step *step, const struct connector_verdict *verdict)
{
    unsigned wait_ms;
    if (verdict->again == CONNECTOR_NEXT && step_next_round(step, verdict))
        return;
    if (verdict->again == CONNECTOR_LOGIN && !step->is_logged_in_again && !step->is_orphan) {
        step->is_logged_in_again = true;
        secret_wipe(step->gateway->access);
        step_try(step);
        return;
    }
    bool may_be_done = verdict->outcome == GATEWAY_NO_ANSWER && intake_moves_money(step->what.operation);
    if (may_be_done && !step->gateway->settings.connector->is_replay_safe) {
        step_finish(step, verdict); /* whatever the connector thinks of it */
        return;
    }
    if (verdict->again == CONNECTOR_AGAIN && !step->is_orphan &&
        retry_next(&step->policy, step->report.tries, elapsed_ms(step), verdict->wait_ms, &wait_ms) &&
        step_wait(step, wait_ms))
        return;
    step_finish(step, verdict);
}

static void answered(void *owner, const struct http_answer *answer)
{
    struct step *step = owner;
    struct connector_verdict verdict;
    step->exchange = NULL;
    note_exchange(step, answer);
    judge(step, answer, &verdict);
    if (verdict.outcome != GATEWAY_UNAVAILABLE)
        forget_card(step);
    bool has_login = step->gateway->settings.connector->build_login != NULL;
    bool is_refused = answer->result == HTTP_ANSWERED && answer->status == 401;
    if (verdict.again == CONNECTOR_LOGIN) {
        is_refused = !has_login;
        verdict.again = has_login ? CONNECTOR_LOGIN : CONNECTOR_FINAL;
    }
    if (!is_refused || !step_roll_key(step, &verdict))
        step_go_on(step, &verdict);
    wipe(&verdict, sizeof(verdict));
}

static unsigned own_timeout_ms(const struct step *step)
{
    const struct step_settings *settings = &step->gateway->settings;
    bool is_charge = step->what.operation == CONNECTOR_TOKENISE || intake_moves_money(step->what.operation);
    return is_charge ? settings->charge_timeout_ms : settings->create_timeout_ms;
}

/* False: nothing was sent. */
static bool step_send(struct step *step, struct connector_request *request, unsigned timeout_ms, bool is_last,
                      http_answer_h *answer_h)
{
    char url[HTTP_URL_BYTES];
    unsigned connect_ms = step->gateway->settings.create_timeout_ms;
    snprintf(url, sizeof(url), "%s%s", step->gateway->settings.url, request->path);
    const struct http_request sent = {
        .method = request->method,
        .url = url,
        .headers = request->headers,
        .body = request->body,
        .wipe_body_when_sent = is_last,
        .connect_timeout_ms = connect_ms > 0 && connect_ms < timeout_ms ? connect_ms : timeout_ms,
        .timeout_ms = timeout_ms,
    };
    return timeout_ms > 0 && http_start(&step->exchange, step->gateway->client, &sent, answer_h, step) == OK;
}

/* --- logging in, where the gateway wants it --- */

static void logged_in(void *owner, const struct http_answer *answer)
{
    struct step *step = owner;
    const struct connector *connector = step->gateway->settings.connector;
    struct connector_answer heard = {answer->status, answer->body, answer->body_length, answer->headers};
    struct connector_access access = {.valid_s = 0};
    struct connector_verdict verdict;
    bool is_answered = answer->result == HTTP_ANSWERED;
    bool is_down = !is_answered || answer->status >= 500 || answer->status == 429;
    step->exchange = NULL;
    note_exchange(step, answer);
    bool has_access =
        is_answered && connector->read_login(&heard, &access) && gateway_keep_access(step->gateway, &access);
    wipe(&access, sizeof(access));
    if (has_access) {
        step->report.tries--; /* the login was not a try of the step */
        step_try(step);
        return;
    }
    connector_verdict_set(&verdict, is_down ? GATEWAY_UNAVAILABLE : GATEWAY_FAILED, ORDER_NONE,
                          is_down ? REASON_UNAVAILABLE : REASON_CONFIGURATION);
    if (is_answered && answer->status == 401 && step_roll_key(step, &verdict))
        return;
    if (!is_answered)
        verdict.reason = transport_rows[answer->result].reason;
    if (is_answered ? is_down : transport_rows[answer->result].may_repeat)
        verdict.again = CONNECTOR_AGAIN;
    step_go_on(step, &verdict);
}

static bool step_login(struct step *step, unsigned timeout_ms)
{
    if (!step->login.body && secret_new(&step->login.body, CONNECTOR_LOGIN_BYTES) != OK)
        return false;
    struct secret *body = step->login.body;
    secret_wipe(body);
    wipe(&step->login, sizeof(step->login));
    step->login.body = body;
    step->login.account = &step->gateway->settings.account;
    const struct connector *connector = step->gateway->settings.connector;
    const struct secret *key = gateway_key(step->gateway, step->wants_previous);
    if (!connector->build_login ||
        connector->build_login(secret_bytes(key), secret_length(key), &step->login) != OK)
        return false;
    return step_send(step, &step->login, timeout_ms, false, logged_in);
}

/* --- the step itself --- */

static enum err authorise(struct step *step)
{
    const struct step_settings *settings = &step->gateway->settings;
    const struct secret *key = gateway_proof(step->gateway, step->wants_previous);
    struct connector_request *request = &step->request;
    wipe(request->headers + step->plain_header_length, sizeof(request->headers) - step->plain_header_length);
    request->header_length = step->plain_header_length;
    memcpy(request->host, step->gateway->host, sizeof(request->host));
    request->now_s = wall_now().ns / NS_PER_S;
    return settings->connector->authorise(&settings->account, secret_bytes(key), secret_length(key), request);
}

static void step_try(struct step *step)
{
    struct connector_verdict verdict;
    unsigned timeout_ms = retry_timeout_ms(&step->policy, own_timeout_ms(step), elapsed_ms(step));
    bool is_last = step->report.tries >= step->policy.retries &&
                   !step->gateway->settings.connector->build_login && !key_ring_may_roll(step->gateway->keys);
    step->report.tries++;
    step->key_number = key_ring_number(step->gateway->keys);
    connector_verdict_set(&verdict, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    if (gateway_needs_login(step->gateway)) {
        if (!step_login(step, timeout_ms))
            step_finish(step, &verdict);
        return;
    }
    if (authorise(step) != OK)
        connector_verdict_set(&verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    else if (step_send(step, &step->request, timeout_ms, is_last, answered))
        return;
    step_finish(step, &verdict);
}

/* False: it cannot be built; the verdict stands. */
static bool step_next_round(struct step *step, const struct connector_verdict *verdict)
{
    struct connector_verdict next;
    step->what.round++;
    snprintf(step->what.carry, sizeof(step->what.carry), "%s",
             verdict->carry[0] ? verdict->carry : verdict->token);
    step->report.tries = 0;
    step->is_doubtful = false;
    if (step_build(step, &next) != OK)
        return false;
    step_try(step);
    return true;
}

/* --- up to the first byte --- */

static void take_policy(struct step *step)
{
    const struct step_settings *settings = &step->gateway->settings;
    bool is_create = step->what.operation == CONNECTOR_CREATE || step->what.operation == CONNECTOR_LINK;
    step->policy =
        (struct retry_policy){is_create ? settings->create_retries : settings->retries,
                              settings->retry_wait_ms, settings->retry_factor, settings->ceiling_ms};
    if (step->card) /* leaves half of the time to the fallback */
        step->policy.ceiling_ms /= 2;
}

/* The request of the step's round, as it is before it is authorised. The verdict is filled when it is not OK. */
static enum err step_build(struct step *step, struct connector_verdict *verdict)
{
    const struct step_settings *settings = &step->gateway->settings;
    struct secret *body = step->request.body;
    struct secret *held = step->request.held;
    enum err err = OK;
    connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    secret_wipe(body);
    if (settings->connector->holds_card && step->what.card && !held)
        err = secret_new(&held, CONNECTOR_BODY_BYTES - 64);
    wipe(&step->request, sizeof(step->request));
    step->request.body = body;
    const struct gateway_tokenise_msg *card = step->what.card;
    step->request.held = held;
    if (!err && (settings->connector->operations & 1u << step->what.operation) == 0)
        err = ERR_UNSUPPORTED;
    if (card && !gateway_card_is_allowed(step->gateway, card->number, card->number_length))
        err = ERR_REFUSED;
    if (!err)
        err = settings->connector->build(&settings->account, &step->what, &step->request, verdict);
    if (!err)
        trace_request(step->gateway->trace, settings->connector, &settings->account, &step->what);
    if (err && err != ERR_EMPTY)
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    step->plain_header_length = step->request.header_length;
    return err;
}

/* --- the other gateway --- */

/* Where a card may go when this gateway turns out to be down. */
static struct gateway *fallback_of(const struct step *step)
{
    struct steps *steps = step->steps;
    bool is_first = step->gateway == &steps->gateways[0];
    bool may = step->what.operation == CONNECTOR_TOKENISE && is_first && steps->gateway_count > 1 &&
               steps->gateways[0].settings.on_open == ON_OPEN_FALLBACK;
    return may && !steps->gateways[1].settings.is_off ? &steps->gateways[1] : NULL;
}

/* A token costs nothing and moves nothing: a TOKENISE that one gateway certainly did not carry out begins anew at the
 * other. True: it is under way there, or was answered. */
static bool step_fall_back(struct step *step, const struct connector_verdict *verdict)
{
    struct gateway *fallback = fallback_of(step);
    struct connector_verdict next;
    bool may = fallback && step->card && verdict->outcome == GATEWAY_UNAVAILABLE && !step->is_orphan &&
               breaker_allow(&fallback->breaker, mono_now());
    if (!may)
        return false;
    if (step->is_guarded)
        breaker_probe_lost(&step->gateway->breaker);
    log_event(LOG_WARN, "the card goes to the fallback gateway", LOG_ID("capture", step->what.capture_id));
    step->gateway = fallback;
    step->is_guarded = true;
    step->is_logged_in_again = false;
    step->wants_previous = false;
    step->rolls = 0;
    step->is_doubtful = false;
    step->what.round = 0;
    wipe(step->what.carry, sizeof(step->what.carry));
    step->report.tries = 0;
    struct gateway_tokenise_msg card; /* the secret's bytes are not aligned for it */
    memcpy(&card, secret_bytes(step->card), sizeof(card));
    step->what.card = &card;
    enum err err = step_build(step, &next);
    wipe(&card, sizeof(card));
    forget_card(step);
    take_policy(step);
    if (err)
        step_finish(step, &next);
    else
        step_try(step);
    return true;
}

/* Everything up to the first byte. */
static enum err step_prepare(struct step *step, struct connector_verdict *verdict)
{
    enum err err = secret_new(&step->request.body, CONNECTOR_BODY_BYTES - 64);
    connector_verdict_set(verdict, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    if (!err && step->what.card)
        err = echo_guard_remember(step->steps->guard, mono_now(), step->what.card->number,
                                  step->what.card->number_length);
    if (!err && step->what.card && fallback_of(step))
        err = keep_card(step, step->what.card);
    if (!err) {
        take_policy(step);
        err = step_build(step, verdict);
    }
    step->what.card = NULL;
    return err;
}

static void slow_mark(evutil_socket_t fd, short what, void *owner)
{
    struct step *step = owner;
    struct gateway_slow_msg message;
    (void)fd;
    (void)what;
    step->gateway->slow_count++;
    if (!step->steps->slow_h || step->is_orphan || step->order_reply_h)
        return;
    memset(&message, 0, sizeof(message));
    MSG_INIT(&message, GATEWAY_SLOW, step->what.capture_id);
    message.request_type = request_types[step->what.operation];
    message.gateway_index = step->gateway->index;
    message.attempt = step->what.attempt;
    message.elapsed_ms = (uint32_t)elapsed_ms(step);
    step->steps->slow_h(step->steps->owner, &message);
}

/* A hint and no more: a step whose timer cannot be had goes on without. */
static void start_slow_mark(struct step *step)
{
    unsigned ms = step->gateway->settings.slow_mark_ms;
    struct timeval after = {ms / 1000, ms % 1000 * 1000};
    if (ms == 0)
        return;
    step->slow = evtimer_new(step->steps->base, slow_mark, step);
    if (step->slow)
        (void)event_add(step->slow, &after);
}

void step_begin(struct step *step)
{
    start_slow_mark(step);
    struct connector_verdict verdict;
    if (step_prepare(step, &verdict) != OK)
        step_finish(step, &verdict);
    else
        step_try(step);
}
