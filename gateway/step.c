#include "gateway/step.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway/http.h"
#include "gateway/retry.h"
#include "gateway/wipe_heap.h"

#include <stdio.h>
#include <string.h>

#define RETRY_FACTOR   2
#define CREATE_RETRIES 1 /* requirement C2 */

struct step {
    struct step *next, *previous;
    struct steps *steps;
    struct connector_step what;
    struct connector_request request;
    struct http_exchange *exchange;
    struct event *wait;
    struct mono_time came_at;
    struct retry_policy policy;
    struct step_report report;
    bool is_guarded;  /* the breaker let it in, perhaps as its probe */
    bool is_doubtful; /* a try may have been carried out, and its answer is not known */
    bool is_orphan;
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
};

static void step_try(struct step *step);

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
    bool is_safe = step->steps->settings.connector->is_replay_safe || operation == CONNECTOR_STATUS;
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
        step->steps->settings.connector->read(&step->what, &heard, verdict);
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

static void answered(void *owner, const struct http_answer *answer)
{
    struct step *step = owner;
    struct connector_verdict verdict;
    unsigned wait_ms;
    step->exchange = NULL;
    note_exchange(step, answer);
    step->report.status = answer->result == HTTP_ANSWERED ? answer->status : 0;
    step->report.transport = http_result_name(answer->result);
    judge(step, answer, &verdict);
    if (verdict.again == CONNECTOR_AGAIN && !step->is_orphan &&
        retry_next(&step->policy, step->report.tries, elapsed_ms(step), verdict.wait_ms, &wait_ms) &&
        step_wait(step, wait_ms))
        return;
    step_finish(step, &verdict);
    wipe(&verdict, sizeof(verdict));
}

static unsigned own_timeout_ms(const struct step *step)
{
    const struct step_settings *settings = &step->steps->settings;
    bool is_charge = step->what.operation == CONNECTOR_TOKENISE || step->what.operation == CONNECTOR_CONFIRM;
    return is_charge ? settings->charge_timeout_ms : settings->create_timeout_ms;
}

static void step_try(struct step *step)
{
    struct steps *steps = step->steps;
    char url[HTTP_URL_BYTES];
    struct connector_verdict verdict;
    unsigned timeout_ms = retry_timeout_ms(&step->policy, own_timeout_ms(step), elapsed_ms(step));
    snprintf(url, sizeof(url), "%s%s", steps->settings.url, step->request.path);
    struct http_request request = {
        .method = step->request.method,
        .url = url,
        .headers = step->request.headers,
        .body = step->request.body,
        .wipe_body_when_sent = step->report.tries >= step->policy.retries,
        .connect_timeout_ms = timeout_ms,
        .timeout_ms = timeout_ms,
    };
    step->report.tries++;
    if (timeout_ms == 0 || http_start(&step->exchange, steps->client, &request, answered, step) != OK) {
        connector_verdict_set(&verdict, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
        step_finish(step, &verdict);
    }
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

/* Everything up to the first byte. The verdict is filled when it is not OK. */
static enum err step_prepare(struct step *step, struct connector_verdict *verdict)
{
    const struct step_settings *settings = &step->steps->settings;
    connector_verdict_set(verdict, GATEWAY_UNAVAILABLE, ORDER_NONE, REASON_UNAVAILABLE);
    enum err err = secret_new(&step->request.body, CONNECTOR_BODY_BYTES - 64);
    if (err)
        return err;
    if ((settings->connector->operations & 1u << step->what.operation) == 0)
        err = ERR_UNSUPPORTED;
    if (!err)
        err = settings->connector->build(&settings->account, &step->what, &step->request, verdict);
    step->what.card = NULL;
    if (!err)
        err = settings->connector->authorise(secret_bytes(settings->key), secret_length(settings->key),
                                             &step->request);
    if (err && err != ERR_EMPTY)
        connector_verdict_set(verdict, GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION);
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
    wipe_heap_free(steps);
}
