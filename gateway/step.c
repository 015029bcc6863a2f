#include "gateway/step.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway/echo_guard.h"
#include "gateway/http.h"
#include "gateway/intake.h"
#include "gateway/retry.h"
#include "gateway/wipe_heap.h"

#include <stdio.h>
#include <string.h>

#define RETRY_FACTOR          2
#define CREATE_RETRIES        1  /* requirement C2 */
#define ACCESS_SPARE_S        60 /* an access token is renewed so long before its end */
#define CONNECTOR_LOGIN_BYTES 512

struct step {
    struct step *next, *previous;
    struct steps *steps;
    struct connector_step what;
    struct connector_request request;
    struct connector_request login; /* only where the connector has one */
    size_t plain_header_length;     /* of request, before it is authorised */
    struct http_exchange *exchange;
    struct event *wait;
    struct mono_time came_at;
    struct retry_policy policy;
    struct step_report report;
    bool is_guarded;  /* the breaker let it in, perhaps as its probe */
    bool is_doubtful; /* a try may have been carried out, and its answer is not known */
    bool is_orphan;
    bool is_logged_in_again;
    bool has_follower;
    struct gateway_step_msg follower; /* what the new vault asked while this was an orphan */
    order_reply_h *order_reply_h;     /* an order of the desk's */
    void *order_owner;
};

struct steps {
    struct event_base *base;
    struct http_client *client;
    struct step_settings settings;
    step_reply_h *reply_h;
    void *owner;
    struct step *first;
    size_t count;
    size_t order_count; /* of them */
    char host[CONNECTOR_HOST_BYTES];
    struct breaker breaker;
    struct echo_guard *guard;
    struct secret *access; /* the token a login brought; empty: none */
    struct mono_time access_until;
};

static void step_try(struct step *step);
static bool step_next_round(struct step *step, const struct connector_verdict *verdict);
static enum err step_build(struct step *step, struct connector_verdict *verdict);

/* --- one step's life --- */

static void step_unlink(struct step *step)
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

/* The step is not on the list any more. */
static void step_free(struct step *step)
{
    http_cancel(step->exchange);
    if (step->is_guarded)
        breaker_probe_lost(&step->steps->breaker);
    if (step->wait)
        event_free(step->wait);
    secret_free(step->request.body);
    secret_free(step->login.body);
    wipe_heap_free(step);
}

static void fill_reply(const struct connector_step *what, const struct connector_verdict *verdict,
                       struct gateway_reply_msg *reply)
{
    static const uint16_t types[CONNECTOR_OPERATIONS] = {
        [CONNECTOR_TOKENISE] = GATEWAY_TOKENISE, [CONNECTOR_CREATE] = GATEWAY_CREATE,
        [CONNECTOR_CONFIRM] = GATEWAY_CONFIRM,   [CONNECTOR_STATUS] = GATEWAY_STATUS,
        [CONNECTOR_ABANDON] = GATEWAY_ABANDON,
    };
    memset(reply, 0, sizeof(*reply));
    MSG_INIT(reply, GATEWAY_REPLY, what->capture_id);
    reply->request_type = types[what->operation];
    reply->outcome = (uint8_t)verdict->outcome;
    reply->order_state = (uint8_t)verdict->order_state;
    reply->reason = (uint8_t)verdict->reason;
    reply->attempt = what->attempt;
    memcpy(reply->token, verdict->token, sizeof(reply->token));
    memcpy(reply->order_ref, verdict->order_ref[0] ? verdict->order_ref : what->order_ref,
           sizeof(reply->order_ref));
}

static void fill_order_reply(uint64_t id, unsigned kind, const struct connector_verdict *verdict,
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
    fill_order_reply(step->what.capture_id, step->what.operation - CONNECTOR_CAPTURE, verdict, &reply);
    step->order_reply_h(step->order_owner, &reply, &step->report);
}

static void reply_to_vault(const struct step *step, const struct connector_verdict *verdict)
{
    struct gateway_reply_msg reply;
    fill_reply(&step->what, verdict, &reply);
    step->steps->reply_h(step->steps->owner, &reply, &step->report);
}

static void step_finish(struct step *step, const struct connector_verdict *said)
{
    struct steps *steps = step->steps;
    struct connector_verdict verdict = *said;
    bool is_certain = verdict.outcome == GATEWAY_DONE || verdict.outcome == GATEWAY_DECLINED;
    if (intake_moves_money(step->what.operation) && step->is_doubtful && !is_certain)
        verdict.outcome = GATEWAY_NO_ANSWER;
    step->report.ms = (double)(mono_now().ns - step->came_at.ns) / (double)NS_PER_MS;
    step->exchange = NULL; /* ended, or about to be by its owner */
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
    bool is_safe = step->steps->settings.connector->is_replay_safe || operation == CONNECTOR_STATUS ||
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
                   echo_guard_finds(guard, now, verdict->url);
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
        step->steps->settings.connector->read(&step->steps->settings.account, &step->what, &heard, verdict);
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
    struct breaker *breaker = &step->steps->breaker;
    bool is_answered = answer->result == HTTP_ANSWERED && answer->status < 500;
    step->is_guarded = false;
    if (breaker_record(breaker, mono_now(), answer->ms, is_answered))
        log_event(LOG_WARN, "circuit breaker of the gateway",
                  LOG_CONSTANT("state", breaker_state_name(breaker->state)),
                  LOG_COUNT("opened", breaker->opened));
}

/* The verdict is in. Another try, another round, or the end. */
static void step_go_on(struct step *step, const struct connector_verdict *verdict)
{
    unsigned wait_ms;
    if (verdict->again == CONNECTOR_NEXT && step_next_round(step, verdict))
        return;
    if (verdict->again == CONNECTOR_LOGIN && !step->is_logged_in_again && !step->is_orphan) {
        step->is_logged_in_again = true;
        secret_wipe(step->steps->access);
        step_try(step);
        return;
    }
    bool may_be_done = verdict->outcome == GATEWAY_NO_ANSWER && intake_moves_money(step->what.operation);
    if (may_be_done && !step->steps->settings.connector->is_replay_safe) {
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
    step->report.status = answer->result == HTTP_ANSWERED ? answer->status : 0;
    step->report.transport = http_result_name(answer->result);
    judge(step, answer, &verdict);
    step_go_on(step, &verdict);
    wipe(&verdict, sizeof(verdict));
}

static unsigned own_timeout_ms(const struct step *step)
{
    const struct step_settings *settings = &step->steps->settings;
    bool is_charge = step->what.operation == CONNECTOR_TOKENISE || intake_moves_money(step->what.operation);
    return is_charge ? settings->charge_timeout_ms : settings->create_timeout_ms;
}

/* False: nothing was sent. */
static bool step_send(struct step *step, struct connector_request *request, unsigned timeout_ms, bool is_last,
                      http_answer_h *answer_h)
{
    char url[HTTP_URL_BYTES];
    snprintf(url, sizeof(url), "%s%s", step->steps->settings.url, request->path);
    const struct http_request sent = {
        .method = request->method,
        .url = url,
        .headers = request->headers,
        .body = request->body,
        .wipe_body_when_sent = is_last,
        .connect_timeout_ms = timeout_ms,
        .timeout_ms = timeout_ms,
    };
    return timeout_ms > 0 && http_start(&step->exchange, step->steps->client, &sent, answer_h, step) == OK;
}

/* --- logging in, where the gateway wants it --- */

static bool needs_login(const struct step *step)
{
    const struct steps *steps = step->steps;
    return steps->settings.connector->build_login &&
           (secret_length(steps->access) == 0 || mono_reached(mono_now(), steps->access_until));
}

static bool keep_access(struct steps *steps, const struct connector_access *access)
{
    size_t capacity;
    size_t length = strnlen(access->text, sizeof(access->text));
    uint8_t *bytes = secret_buffer(steps->access, &capacity);
    if (length == 0 || length > capacity || access->valid_s <= ACCESS_SPARE_S)
        return false;
    memcpy(bytes, access->text, length);
    secret_set_length(steps->access, length);
    steps->access_until = mono_add_ms(mono_now(), (int64_t)(access->valid_s - ACCESS_SPARE_S) * 1000);
    return true;
}

static void logged_in(void *owner, const struct http_answer *answer)
{
    struct step *step = owner;
    const struct connector *connector = step->steps->settings.connector;
    struct connector_answer heard = {answer->status, answer->body, answer->body_length, answer->headers};
    struct connector_access access = {.valid_s = 0};
    struct connector_verdict verdict;
    bool is_answered = answer->result == HTTP_ANSWERED;
    bool is_down = !is_answered || answer->status >= 500 || answer->status == 429;
    step->exchange = NULL;
    note_exchange(step, answer);
    step->report.status = is_answered ? answer->status : 0;
    step->report.transport = http_result_name(answer->result);
    bool has_access =
        is_answered && connector->read_login(&heard, &access) && keep_access(step->steps, &access);
    wipe(&access, sizeof(access));
    if (has_access) {
        step->report.tries--; /* the login was not a try of the step */
        step_try(step);
        return;
    }
    connector_verdict_set(&verdict, is_down ? GATEWAY_UNAVAILABLE : GATEWAY_FAILED, ORDER_NONE,
                          is_down ? REASON_UNAVAILABLE : REASON_CONFIGURATION);
    if (!is_answered)
        verdict.reason = transport_rows[answer->result].reason;
    if (is_answered ? is_down : transport_rows[answer->result].may_repeat)
        verdict.again = CONNECTOR_AGAIN;
    step_go_on(step, &verdict);
}

static bool step_login(struct step *step, unsigned timeout_ms)
{
    const struct step_settings *settings = &step->steps->settings;
    if (!step->login.body && secret_new(&step->login.body, CONNECTOR_LOGIN_BYTES) != OK)
        return false;
    struct secret *body = step->login.body;
    secret_wipe(body);
    wipe(&step->login, sizeof(step->login));
    step->login.body = body;
    if (settings->connector->build_login(secret_bytes(settings->key), secret_length(settings->key),
                                         &step->login) != OK)
        return false;
    return step_send(step, &step->login, timeout_ms, false, logged_in);
}

/* --- the step itself --- */

static enum err authorise(struct step *step)
{
    const struct step_settings *settings = &step->steps->settings;
    const struct secret *key = settings->connector->build_login ? step->steps->access : settings->key;
    struct connector_request *request = &step->request;
    wipe(request->headers + step->plain_header_length, sizeof(request->headers) - step->plain_header_length);
    request->header_length = step->plain_header_length;
    memcpy(request->host, step->steps->host, sizeof(request->host));
    request->now_s = wall_now().ns / NS_PER_S;
    return settings->connector->authorise(&settings->account, secret_bytes(key), secret_length(key), request);
}

static void step_try(struct step *step)
{
    struct connector_verdict verdict;
    unsigned timeout_ms = retry_timeout_ms(&step->policy, own_timeout_ms(step), elapsed_ms(step));
    bool is_last =
        step->report.tries >= step->policy.retries && !step->steps->settings.connector->build_login;
    step->report.tries++;
    connector_verdict_set(&verdict, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    if (needs_login(step)) {
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

/* --- messages in --- */

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

static struct step *step_new(struct steps *steps, const struct connector_step *what)
{
    struct step *step = wipe_heap_calloc(1, sizeof(*step));
    if (!step)
        return NULL;
    step->steps = steps;
    step->what = *what;
    step->came_at = mono_now();
    step->report.operation = what->operation;
    step->report.transport = "none";
    step->policy = (struct retry_policy){steps->settings.retries, steps->settings.retry_wait_ms, RETRY_FACTOR,
                                         steps->settings.ceiling_ms};
    bool is_create = what->operation == CONNECTOR_CREATE || what->operation == CONNECTOR_LINK;
    if (is_create && step->policy.retries > CREATE_RETRIES)
        step->policy.retries = CREATE_RETRIES;
    step->next = steps->first;
    if (steps->first)
        steps->first->previous = step;
    steps->first = step;
    steps->count++;
    steps->order_count += intake_is_order(what->operation);
    return step;
}

/* The request of the step's round, as it is before it is authorised. The verdict is filled when it is not OK. */
static enum err step_build(struct step *step, struct connector_verdict *verdict)
{
    const struct step_settings *settings = &step->steps->settings;
    struct secret *body = step->request.body;
    enum err err = OK;
    connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    secret_wipe(body);
    wipe(&step->request, sizeof(step->request));
    step->request.body = body;
    if ((settings->connector->operations & 1u << step->what.operation) == 0)
        err = ERR_UNSUPPORTED;
    if (!err)
        err = settings->connector->build(&settings->account, &step->what, &step->request, verdict);
    if (err && err != ERR_EMPTY)
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
    step->plain_header_length = step->request.header_length;
    return err;
}

/* Everything up to the first byte. */
static enum err step_prepare(struct step *step, struct connector_verdict *verdict)
{
    enum err err = secret_new(&step->request.body, CONNECTOR_BODY_BYTES - 64);
    connector_verdict_set(verdict, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    if (!err && step->what.card)
        err = echo_guard_remember(step->steps->guard, mono_now(), step->what.card->number,
                                  step->what.card->number_length);
    if (!err)
        err = step_build(step, verdict);
    step->what.card = NULL;
    return err;
}

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
static void refuse(struct steps *steps, const struct connector_step *what, const char *why)
{
    struct connector_verdict verdict;
    struct gateway_reply_msg reply;
    struct step_report report = {.operation = what->operation, .transport = why};
    connector_verdict_set(&verdict, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    fill_reply(what, &verdict, &reply);
    steps->reply_h(steps->owner, &reply, &report);
}

static void step_begin(struct step *step)
{
    struct connector_verdict verdict;
    if (step_prepare(step, &verdict) != OK)
        step_finish(step, &verdict);
    else
        step_try(step);
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
    /* The breaker holds payments back where they begin; one that has begun is led to its end. */
    bool is_guarded = intake.what.operation == CONNECTOR_TOKENISE;
    if (is_guarded && !breaker_allow(&steps->breaker, mono_now())) {
        refuse(steps, &intake.what, "breaker_open");
        return OK;
    }
    struct step *step = steps->count < LIMIT_GATEWAY_IN_FLIGHT ? step_new(steps, &intake.what) : NULL;
    if (step)
        step->is_guarded = is_guarded;
    else if (is_guarded)
        breaker_probe_lost(&steps->breaker);
    if (!step)
        refuse(steps, &intake.what, "no_room");
    else
        step_begin(step);
    return OK;
}

/* --- orders in --- */

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
    fill_order_reply(order->header.subject, order->kind, &verdict, &reply);
    reply_h(owner, &reply, &report);
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
    if (err || order->gateway_index != 0) {
        refuse_order(order, GATEWAY_FAILED, REASON_CONFIGURATION, err ? "not_an_order" : "no_such_gateway",
                     reply_h, owner);
        return OK;
    }
    bool has_room = steps->count < LIMIT_GATEWAY_IN_FLIGHT && steps->order_count < LIMIT_GATEWAY_ORDERS;
    struct step *step = has_room ? step_new(steps, &intake.what) : NULL;
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

enum breaker_state steps_breaker_state(const struct steps *steps)
{
    return steps->breaker.state;
}

size_t steps_count(const struct steps *steps)
{
    return steps->count;
}

/* Host, and port if it is not 443, as the request's Host header will say it. */
static bool take_host(struct steps *steps)
{
    static const char scheme[] = "https://";
    const char *url = steps->settings.url;
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *host = url + sizeof(scheme) - 1;
    size_t length = strcspn(host, "/?#");
    if (length > 4 && memcmp(host + length - 4, ":443", 4) == 0)
        length -= 4;
    if (length == 0 || length >= sizeof(steps->host))
        return false;
    memcpy(steps->host, host, length);
    return true;
}

enum err steps_new(struct steps **out, struct event_base *base, const struct step_settings *settings,
                   step_reply_h *reply_h, void *owner)
{
    *out = NULL;
    struct steps *steps = wipe_heap_calloc(1, sizeof(*steps));
    if (!steps) {
        secret_free(settings->key);
        return ERR_MEMORY;
    }
    steps->base = base;
    steps->settings = *settings;
    steps->reply_h = reply_h;
    steps->owner = owner;
    breaker_init(&steps->breaker, &settings->breaker);
    if (steps->settings.ceiling_ms == 0 || steps->settings.ceiling_ms > LIMIT_GATEWAY_CEILING_MS)
        steps->settings.ceiling_ms = LIMIT_GATEWAY_CEILING_MS;
    enum err err = http_client_new(&steps->client, base, settings->ca_path);
    if (!err)
        err = secret_new(&steps->access, CONNECTOR_KEY_BYTES);
    if (!err)
        err = echo_guard_new(&steps->guard, mono_now());
    if (!err && (!settings->connector || !take_host(steps)))
        err = ERR_RANGE;
    if (err) {
        steps_free(steps);
        return err;
    }
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
    http_client_free(steps->client);
    secret_free(steps->settings.key);
    secret_free(steps->access);
    echo_guard_free(steps->guard);
    wipe_heap_free(steps);
}
