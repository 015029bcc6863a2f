#include "gateway/step.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway/http.h"
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
};

struct steps {
    struct event_base *base;
    struct http_client *client;
    struct step_settings settings;
    step_reply_h *reply_h;
    void *owner;
    struct step *first;
    size_t count;
    struct breaker breaker;
    struct secret *access; /* the token a login brought; empty: none */
    struct mono_time access_until;
};

static void step_try(struct step *step);
static bool step_next_round(struct step *step, const struct connector_verdict *verdict);
static enum err step_build(struct step *step, struct connector_verdict *verdict);

/* --- one step's life --- */

static void step_free(struct step *step)
{
    struct steps *steps = step->steps;
    http_cancel(step->exchange);
    if (step->is_guarded)
        breaker_probe_lost(&steps->breaker);
    if (step->wait)
        event_free(step->wait);
    secret_free(step->request.body);
    secret_free(step->login.body);
    if (step->previous)
        step->previous->next = step->next;
    else
        steps->first = step->next;
    if (step->next)
        step->next->previous = step->previous;
    steps->count--;
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

static void step_finish(struct step *step, const struct connector_verdict *said)
{
    struct steps *steps = step->steps;
    struct connector_verdict verdict = *said;
    bool is_certain = verdict.outcome == GATEWAY_DONE || verdict.outcome == GATEWAY_DECLINED;
    if (step->what.operation == CONNECTOR_CONFIRM && step->is_doubtful && !is_certain)
        verdict.outcome = GATEWAY_NO_ANSWER;
    struct gateway_reply_msg reply;
    struct step_report report = step->report;
    struct gateway_step_msg follower = step->follower;
    bool has_follower = step->has_follower;
    bool is_orphan = step->is_orphan;
    report.ms = (double)(mono_now().ns - step->came_at.ns) / (double)NS_PER_MS;
    fill_reply(&step->what, &verdict, &reply);
    step->exchange = NULL; /* ended, or about to be by its owner */
    step_free(step);
    if (!is_orphan)
        steps->reply_h(steps->owner, &reply, &report);
    if (has_follower && steps_take(steps, &follower.header) != OK)
        ASSERT(!"a follower was checked when it came");
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
    if (answer->is_sent && (!is_safe || (operation == CONNECTOR_CONFIRM && answer->result == HTTP_TIMED_OUT)))
        may_repeat = false;
    enum gateway_outcome outcome = answer->is_sent && !is_harmless ? GATEWAY_NO_ANSWER : GATEWAY_UNAVAILABLE;
    if (is_harmless && reason == REASON_BAD_ANSWER)
        outcome = GATEWAY_FAILED;
    connector_verdict_set(verdict, outcome, ORDER_NONE, reason);
    verdict->again = may_repeat ? CONNECTOR_AGAIN : CONNECTOR_FINAL;
}

static void judge(struct step *step, const struct http_answer *answer, struct connector_verdict *verdict)
{
    if (answer->result != HTTP_ANSWERED) {
        judge_transport(step, answer, verdict);
    } else {
        struct connector_answer heard = {answer->status, answer->body, answer->body_length, answer->headers};
        step->steps->settings.connector->read(&step->steps->settings.account, &step->what, &heard, verdict);
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
    bool may_be_done = verdict->outcome == GATEWAY_NO_ANSWER && step->what.operation == CONNECTOR_CONFIRM;
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
    bool is_charge = step->what.operation == CONNECTOR_TOKENISE || step->what.operation == CONNECTOR_CONFIRM;
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

static enum err take_text(char *out, const char *text)
{
    if (strnlen(text, LIMIT_TOKEN_BYTES) == LIMIT_TOKEN_BYTES)
        return ERR_RANGE;
    memcpy(out, text, LIMIT_TOKEN_BYTES);
    return OK;
}

static enum err take_card(struct connector_step *what, const struct gateway_tokenise_msg *message)
{
    if (message->number_length == 0 || message->number_length > LIMIT_PAN_DIGITS ||
        message->cvv_length > LIMIT_CVV_DIGITS || message->expiry_month < 1 || message->expiry_month > 12 ||
        message->expiry_year > 99)
        return ERR_RANGE;
    for (size_t i = 0; i < message->number_length; i++) {
        if (message->number[i] > 9)
            return ERR_RANGE;
    }
    for (size_t i = 0; i < message->cvv_length; i++) {
        if (message->cvv[i] > 9)
            return ERR_RANGE;
    }
    what->attempt = message->attempt;
    what->card = message;
    return OK;
}

static enum err take_order(struct connector_step *what, const struct gateway_order_msg *message)
{
    what->attempt = message->attempt;
    what->call_id = message->call_id;
    what->amount_minor = message->amount_minor;
    memcpy(what->currency, message->currency, sizeof(what->currency));
    return take_text(what->token, message->token);
}

static enum err take_step(struct connector_step *what, const struct gateway_step_msg *message)
{
    what->attempt = message->attempt;
    what->amount_minor = message->amount_minor;
    memcpy(what->currency, message->currency, sizeof(what->currency));
    enum err err = take_text(what->token, message->token);
    return err ? err : take_text(what->order_ref, message->order_ref);
}

static enum err read_message(struct connector_step *what, const struct msg_header *message)
{
    memset(what, 0, sizeof(*what));
    what->capture_id = message->subject;
    switch (message->type) {
    case GATEWAY_TOKENISE:
        what->operation = CONNECTOR_TOKENISE;
        return take_card(what, (const void *)message);
    case GATEWAY_CREATE:
        what->operation = CONNECTOR_CREATE;
        return take_order(what, (const void *)message);
    case GATEWAY_CONFIRM:
        what->operation = CONNECTOR_CONFIRM;
        return take_step(what, (const void *)message);
    case GATEWAY_STATUS:
        what->operation = CONNECTOR_STATUS;
        return take_step(what, (const void *)message);
    case GATEWAY_ABANDON:
        what->operation = CONNECTOR_ABANDON;
        return take_step(what, (const void *)message);
    default:
        return ERR_UNSUPPORTED;
    }
}

static struct step *find(const struct steps *steps, uint64_t capture_id)
{
    for (struct step *step = steps->first; step; step = step->next) {
        if (step->what.capture_id == capture_id)
            return step;
    }
    return NULL;
}

enum step_state steps_state(const struct steps *steps, uint64_t capture_id)
{
    const struct step *step = find(steps, capture_id);
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
    if (what->operation == CONNECTOR_CREATE && step->policy.retries > CREATE_RETRIES)
        step->policy.retries = CREATE_RETRIES;
    step->next = steps->first;
    if (steps->first)
        steps->first->previous = step;
    steps->first = step;
    steps->count++;
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

enum err steps_take(struct steps *steps, const struct msg_header *message)
{
    struct connector_step what;
    struct connector_verdict verdict;
    enum err err = read_message(&what, message);
    if (err)
        return err;
    struct step *before = find(steps, message->subject);
    if (before)
        return follow(before, message);
    /* The breaker holds payments back where they begin; one that has begun is led to its end. */
    bool is_guarded = what.operation == CONNECTOR_TOKENISE;
    if (is_guarded && !breaker_allow(&steps->breaker, mono_now())) {
        refuse(steps, &what, "breaker_open");
        return OK;
    }
    struct step *step = steps->count < LIMIT_GATEWAY_IN_FLIGHT ? step_new(steps, &what) : NULL;
    if (step)
        step->is_guarded = is_guarded;
    else if (is_guarded)
        breaker_probe_lost(&steps->breaker);
    if (!step)
        refuse(steps, &what, "no_room");
    else if (step_prepare(step, &verdict) != OK)
        step_finish(step, &verdict);
    else
        step_try(step);
    return OK;
}

void steps_orphan(struct steps *steps)
{
    struct step *next;
    for (struct step *step = steps->first; step; step = next) {
        next = step->next;
        bool is_out = step->exchange && (step->what.operation == CONNECTOR_CONFIRM ||
                                         step->what.operation == CONNECTOR_ABANDON);
        step->is_orphan = true;
        step->has_follower = false;
        if (!is_out)
            step_free(step);
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
    if (!err && (!settings->connector || strncmp(settings->url, "https://", 8) != 0))
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
    while (steps->first)
        step_free(steps->first);
    http_client_free(steps->client);
    secret_free(steps->settings.key);
    secret_free(steps->access);
    wipe_heap_free(steps);
}
