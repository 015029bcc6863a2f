/* The two links. The vault decides what a capture is; here it is checked, kept, and shown. */
#include "base/card_shape.h"
#include "capture/desk/desk_priv.h"
#include "capture/desk/desk_view.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* No message to the desk can hold a card digit: its only texts are the gateway's token and reference, the call's
 * reference, callee and Call-ID. Whoever makes one of these structs larger must look here and say what was added. */
_Static_assert(sizeof(struct capture_progress_msg) == 64, "what was added to PROGRESS?");
_Static_assert(sizeof(struct capture_store_msg) == 56 + 2 * LIMIT_TOKEN_BYTES, "what was added to STORE?");
_Static_assert(sizeof(struct capture_reconcile_msg) == 40 + 2 * LIMIT_TOKEN_BYTES,
               "what was added to RECONCILE?");
_Static_assert(sizeof(struct proxy_call_msg) == 32 + 3 * LIMIT_CALL_REFERENCE_BYTES,
               "what was added to CALL?");
_Static_assert(sizeof(struct proxy_leg_report_msg) == 112, "what was added to LEG_REPORT?");
_Static_assert(sizeof(struct capture_field_view) == 4, "a field's view is counts and verdicts");

#define SUBJECT_OPEN  (1u << 0)
#define SUBJECT_ENDED (1u << 1)

#define MESSAGES_PER_TURN 64

bool desk_vault_is_up(const struct desk *desk)
{
    return desk->vault.fd >= 0;
}

bool desk_proxy_is_up(const struct desk *desk)
{
    return desk->proxy.fd >= 0;
}

enum err desk_disk_result(struct desk *desk, enum err err)
{
    bool was_failing = desk->is_store_failing;
    uint64_t held;
    desk->is_store_failing = err == ERR_STORE || err == ERR_SYSTEM;
    if (desk->is_store_failing && log_limit_pass(&desk->store_limit, &held))
        log_event(
            LOG_ERROR,
            "database or audit trail cannot be written: no payment is made until it can; check the disk's "
            "space and rights",
            LOG_ERR("error", err), LOG_COUNT("held_back", held));
    if (was_failing != desk->is_store_failing)
        desk_publish_service(desk);
    return err;
}

struct desk_capture *desk_capture_get(struct desk *desk, uint64_t id)
{
    struct store_capture record;
    struct desk_capture *capture = desk_model_capture(&desk->model, id);
    if (capture || id == 0 || store_capture_find(desk->store, id, &record) != OK)
        return capture;
    capture = desk_model_capture_put(&desk->model, id);
    if (!capture)
        return NULL;
    capture->record = record;
    capture->is_end_stored = capture_state_is_end(record.state);
    if (capture->is_end_stored)
        capture->stored_state = record.state;
    capture->attempts_max = (uint8_t)desk->config->capture.attempts_max;
    return capture;
}

static void audit_end(struct desk *desk, const struct desk_capture *capture)
{
    char id[DESK_ID_TEXT];
    desk_capture_id_text(capture->record.id, id);
    const struct audit_entry entry = {.who = "vault",
                                      .what = "capture.end",
                                      .where = "local",
                                      .outcome = desk_state_name(capture->record.state),
                                      .resource = id,
                                      .reason = desk_problem_name(capture->record.problem),
                                      .amount_minor = capture->record.amount_minor,
                                      .currency = capture->record.currency};
    enum err err = desk_disk_result(desk, audit_append(desk->audit, &entry));
    (void)err; /* no money hangs on it; the failure was told */
}

/* What the database says is the end, whatever was shown before it was read. */
static void show_stored_end(struct desk *desk, struct desk_capture *capture)
{
    struct store_capture *record = &capture->record;
    struct store_capture stored;
    record->state = capture->stored_state;
    capture->selected_field = CARD_FIELD_NONE;
    if (store_capture_find(desk->store, record->id, &stored) == OK && stored.state == record->state)
        *record = stored;
}

static void keep_end(struct desk *desk, struct desk_capture *capture)
{
    if (capture->is_end_stored)
        return;
    enum err err = desk_disk_result(desk, store_capture_end(desk->store, &capture->record));
    if (err)
        return;
    capture->is_end_stored = true;
    capture->stored_state = capture->record.state;
    audit_end(desk, capture);
    desk_figures_ended(desk, &capture->record);
    (void)!desk_hooks_ended(desk, &capture->record); /* the failure was told; no money hangs on it */
}

void desk_capture_end(struct desk *desk, struct desk_capture *capture, enum capture_state state,
                      enum capture_problem problem)
{
    capture->is_masked = capture->is_muted = false;
    capture->selected_field = CARD_FIELD_NONE;
    if (capture->is_end_stored) {
        show_stored_end(desk, capture);
    } else {
        capture->record.state = (uint8_t)state;
        capture->record.problem = (uint8_t)problem;
        capture->record.updated_at = wall_now();
        keep_end(desk, capture);
    }
    desk_publish_capture(desk, capture);
}

/* --- vault ------------------------------------------------------------------------------------------------------ */

static uint32_t vault_state_h(void *owner, const struct msg_header *header)
{
    const struct desk_capture *capture = desk_capture_get(owner, header->subject);
    if (!capture)
        return MSG_NO_SUBJECT;
    return capture_state_is_end(capture->record.state) ? SUBJECT_ENDED : SUBJECT_OPEN;
}

static bool progress_is_sane(const struct capture_progress_msg *message)
{
    bool is_sane = message->state < CAPTURE_STATES && message->selected_field <= CARD_FIELD_NONE &&
                   message->brand < BRAND_COUNT && message->problem < PROBLEM_COUNT &&
                   message->gateway_reason < REASON_COUNT && message->is_masked <= 1 &&
                   message->is_muted <= 1 && message->is_slow <= 1 && message->advice < ADVICES &&
                   memchr(message->currency, '\0', sizeof(message->currency));
    for (int i = 0; i < CARD_FIELDS && is_sane; i++) {
        const struct capture_field_view *field = &message->fields[i];
        is_sane = field->key_count <= LIMIT_PAN_DIGITS && field->key_max <= LIMIT_PAN_DIGITS &&
                  field->is_complete <= 1 && field->is_valid <= 1;
    }
    return is_sane;
}

/* Only what the vault can know of a capture that this desk does not: a leg that was found masked. */
static enum err progress_of_stranger(struct desk *desk, const struct capture_progress_msg *message,
                                     struct desk_capture **out)
{
    if (message->state != CAPTURE_LOST)
        return ERR_NOT_FOUND;
    struct desk_capture *capture = desk_model_capture_put(&desk->model, message->header.subject);
    if (!capture)
        return ERR_FULL;
    capture->record.call_id = message->call_id;
    capture->record.created_at = wall_now();
    memcpy(capture->record.currency, "XXX", 4); /* ISO 4217: no currency */
    *out = capture;
    return OK;
}

/* A vault that restarted knows no call and no amount of what it found or was asked to reconcile: it says 0. */
static bool is_same_order(const struct store_capture *record, uint64_t call_id, int64_t amount_minor,
                          const char *currency)
{
    if (call_id && call_id != record->call_id)
        return false;
    return amount_minor == 0 ||
           (amount_minor == record->amount_minor && strcmp(currency, record->currency) == 0);
}

static enum err progress_is_legal(const struct desk_capture *capture,
                                  const struct capture_progress_msg *message)
{
    const struct store_capture *record = &capture->record;
    /* What a vault that restarted says of a leg it found: masked, and given back. */
    bool is_of_leg = message->state == CAPTURE_LOST || message->state == CAPTURE_CANCELLED;
    if (!is_same_order(record, message->call_id, message->amount_minor, message->currency))
        return ERR_RANGE;
    /* Nothing is announced that is not on the disk. */
    if (message->state == CAPTURE_APPROVED && capture->stored_state != CAPTURE_APPROVED)
        return ERR_ORDER;
    bool has_ended = capture_state_is_end(record->state) || capture->is_end_stored;
    if (!has_ended || message->state == record->state || is_of_leg)
        return OK;
    bool is_storing = capture->is_end_stored && !capture_state_is_end(record->state);
    return is_storing && (message->state == CAPTURE_STORING_RESULT || message->state == capture->stored_state)
               ? OK
               : ERR_ORDER;
}

/* A stored end is final: the vault may only say again what it is, and how the leg is. */
static bool is_of_leg_only(const struct desk_capture *capture, const struct capture_progress_msg *message)
{
    bool is_shown = capture_state_is_end(capture->record.state);
    return capture->is_end_stored && (is_shown || (message->state != capture->stored_state &&
                                                   message->state != CAPTURE_STORING_RESULT));
}

static void progress_take(struct desk *desk, struct desk_capture *capture,
                          const struct capture_progress_msg *message)
{
    struct store_capture *record = &capture->record;
    if (message->is_muted && !capture->is_muted)
        desk_audit_alarm(desk, capture);
    capture->is_masked = message->is_masked;
    capture->is_muted = message->is_muted;
    capture->is_confirmed = true;
    if (is_of_leg_only(capture, message)) {
        show_stored_end(desk, capture);
        return;
    }
    record->state = message->state;
    record->problem = message->problem;
    record->gateway_reason = message->gateway_reason;
    record->brand = message->brand;
    record->attempt = message->attempt;
    record->updated_at = wall_now();
    capture->attempts_max = message->attempts_max;
    capture->is_slow = message->is_slow;
    capture->advice = message->advice;
    capture->selected_field = message->selected_field;
    memcpy(capture->fields, message->fields, sizeof(capture->fields));
}

static enum err reconcile(struct desk *desk, const struct store_intent *intent)
{
    struct capture_reconcile_msg message = {.amount_minor = intent->amount_minor,
                                            .attempt = intent->attempt,
                                            .kind = intent->kind,
                                            .gateway_index = intent->gateway_index};
    MSG_INIT(&message, CAPTURE_RECONCILE, intent->capture_id);
    memcpy(message.currency, intent->currency, sizeof(message.currency));
    memcpy(message.order_ref, intent->order_ref, sizeof(message.order_ref));
    memcpy(message.token, intent->token, sizeof(message.token));
    enum err err = msg_send(&desk->vault, &message);
    log_event(LOG_WARN, "an intent without an end: the vault is asked to find out", LOG_ERR("sent", err),
              LOG_ID("capture", intent->capture_id), LOG_COUNT("attempt", intent->attempt));
    return err;
}

enum err desk_reconcile(struct desk *desk, const struct desk_capture *capture)
{
    struct store_intent intent;
    unsigned state = capture->record.state;
    enum err err = store_intent_open_of(desk->store, capture->record.id, &intent);
    if (err)
        return err;
    return state == CAPTURE_UNKNOWN || state == CAPTURE_LOST ? reconcile(desk, &intent) : ERR_ORDER;
}

/* Only the desk knows whether an intent is open, so the vault leaves a lost capture's end to it. With an intent money
 * may have moved: it is looked into at once. Without one the agent decides, unless the caller has hung up: then nothing
 * is left to decide. */
static void settle_lost(struct desk *desk, const struct desk_capture *capture, unsigned problem)
{
    struct store_intent intent;
    enum err err = store_intent_open_of(desk->store, capture->record.id, &intent);
    if (err == OK) {
        (void)!reconcile(desk, &intent); /* told; the next link to the vault asks again */
    } else if (err == ERR_NOT_FOUND && problem == PROBLEM_HANG_UP) {
        struct capture_cancel_msg cancel = {.call_id = capture->record.call_id};
        MSG_INIT(&cancel, CAPTURE_CANCEL, capture->record.id);
        err = msg_send(&desk->vault, &cancel);
        log_event(LOG_INFO, "a lost capture's caller hung up: it is cancelled",
                  LOG_ID("capture", capture->record.id), LOG_ERR("sent", err));
    }
}

/* The leg of a lost capture was given back while its payment is in doubt: that is no end, it is still to be found out. */
static bool is_end_in_doubt(struct desk *desk, const struct desk_capture *capture,
                            const struct capture_progress_msg *message)
{
    struct store_intent intent;
    return message->state == CAPTURE_CANCELLED && !capture->is_end_stored &&
           store_intent_open_of(desk->store, capture->record.id, &intent) == OK;
}

static enum err progress_h(void *owner, const void *bytes)
{
    struct desk *desk = owner;
    struct capture_progress_msg copy = *(const struct capture_progress_msg *)bytes;
    struct capture_progress_msg *message = &copy;
    struct desk_capture *capture = desk_capture_get(desk, message->header.subject);
    if (!progress_is_sane(message))
        return ERR_RANGE;
    enum err err = capture ? OK : progress_of_stranger(desk, message, &capture);
    if (!err)
        err = progress_is_legal(capture, message);
    if (err)
        return err;
    if (is_end_in_doubt(desk, capture, message))
        message->state = CAPTURE_LOST;
    progress_take(desk, capture, message);
    if (capture_state_is_end(capture->record.state))
        keep_end(desk, capture);
    desk_publish_capture(desk, capture);
    if (message->state == CAPTURE_LOST)
        settle_lost(desk, capture, message->problem);
    return OK;
}

/* Visible ASCII, terminated, and nothing that could be a card number. */
static bool reference_is_clean(const char *text)
{
    size_t length = strnlen(text, LIMIT_TOKEN_BYTES);
    if (length == LIMIT_TOKEN_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= 0x20 || text[i] > 0x7e)
            return false;
    }
    return !card_shape_alone(text);
}

/* A result is kept even if the gateway's texts are not fit to be: they are left out then. */
static enum err store_is_sane(struct capture_store_msg *message)
{
    if (message->kind > STORE_RESULT || message->state >= CAPTURE_STATES ||
        message->problem >= PROBLEM_COUNT || message->gateway_reason >= REASON_COUNT ||
        message->brand >= BRAND_COUNT || message->capture_kind >= CAPTURE_KINDS ||
        message->gateway_index >= LIMIT_GATEWAYS || message->attempt == 0 || message->attempt > UINT8_MAX ||
        !memchr(message->currency, '\0', sizeof(message->currency)))
        return ERR_RANGE;
    char *texts[] = {message->token, message->order_ref};
    for (size_t i = 0; i < 2; i++) {
        if (reference_is_clean(texts[i]))
            continue;
        log_event(LOG_ERROR, "a reference of the gateway is not fit to be kept and was left out",
                  LOG_ID("capture", message->header.subject));
        if (message->kind != STORE_RESULT)
            return ERR_RANGE;
        memset(texts[i], 0, LIMIT_TOKEN_BYTES);
    }
    return OK;
}

static enum err store_fits(const struct desk_capture *capture, const struct capture_store_msg *message)
{
    if (!capture || message->kind == STORE_RESULT)
        return OK;
    bool is_for_money = message->capture_kind != CAPTURE_KIND_TOKENISE;
    if ((message->amount_minor == 0) == is_for_money || message->capture_kind != capture->record.kind ||
        !is_same_order(&capture->record, message->call_id, message->amount_minor, message->currency))
        return ERR_RANGE; /* not what the agent asked for */
    return OK;
}

static enum err audit_store(struct desk *desk, const struct desk_capture *capture,
                            const struct capture_store_msg *message)
{
    static const char *const names[] = {"payment.intent", "payment.order", "payment.result"};
    char id[DESK_ID_TEXT];
    desk_capture_id_text(message->header.subject, id);
    bool is_result = message->kind == STORE_RESULT;
    const struct audit_entry entry = {
        .who = "vault",
        .what = names[message->kind],
        .where = "local",
        .outcome = is_result ? desk_state_name(message->state) : "ok",
        .resource = id,
        .reason = is_result && message->gateway_reason ? desk_reason_name(message->gateway_reason) : NULL,
        .detail = message->order_ref[0] ? message->order_ref : NULL,
        .amount_minor = capture ? capture->record.amount_minor : message->amount_minor,
        .currency = capture ? capture->record.currency : message->currency};
    return audit_append(desk->audit, &entry);
}

static void store_take(struct desk_capture *capture, const struct capture_store_msg *message)
{
    if (message->order_ref[0])
        memcpy(capture->record.order_ref, message->order_ref, LIMIT_TOKEN_BYTES);
    capture->record.gateway_index = message->gateway_index;
    if (message->kind != STORE_RESULT)
        return;
    memcpy(capture->record.token, message->token, LIMIT_TOKEN_BYTES);
    if (capture_state_is_end(message->state)) {
        capture->is_end_stored = true;
        capture->stored_state = message->state;
    }
}

static enum err store_keep(struct desk *desk, struct desk_capture *capture, struct capture_store_msg *message)
{
    enum err err = store_is_sane(message);
    if (!err)
        err = store_fits(capture, message);
    if (!err)
        err = desk_disk_result(desk, store_record(desk->store, message, wall_now()));
    /* No audit line, no charge. */
    if (!err)
        err = desk_disk_result(desk, audit_store(desk, capture, message));
    return err;
}

/* The same message again: its answer was lost, the disk has it. Another one under the same number is not that. */
static bool is_answered(const struct desk_capture *capture, const struct capture_store_msg *message)
{
    return capture && capture->has_answered && memcmp(&capture->answered, message, sizeof(*message)) == 0;
}

static void answer_store(struct desk *desk, const struct capture_store_msg *message, bool is_durable)
{
    struct capture_stored_msg answer = {.store_number = message->store_number, .is_durable = is_durable};
    MSG_INIT(&answer, CAPTURE_STORED, message->header.subject);
    enum err sent = msg_send(&desk->vault, &answer);
    if (sent)
        log_event(LOG_WARN, "the vault did not take an answer: it will ask again",
                  LOG_ID("capture", message->header.subject), LOG_ERR("error", sent));
}

/* Who is to be told of this end is as durable as the end. */
static enum err tell_end(struct desk *desk, const struct desk_capture *capture,
                         const struct capture_store_msg *message)
{
    struct store_capture record = capture->record;
    if (message->kind != STORE_RESULT || !capture_state_is_end(message->state))
        return OK;
    record.state = message->state;
    record.problem = message->problem;
    enum err err = desk_hooks_ended(desk, &record);
    if (!err) /* else the vault says it again */
        desk_figures_ended(desk, &record);
    return err;
}

static enum err store_h(void *owner, const void *bytes)
{
    struct desk *desk = owner;
    const struct capture_store_msg *asked = bytes;
    struct capture_store_msg message = *asked;
    struct desk_capture *capture = desk_capture_get(desk, message.header.subject);
    enum err err = OK;
    if (!is_answered(capture, asked)) {
        err = store_keep(desk, capture, &message);
        if (!err && !capture)
            capture = desk_capture_get(desk, message.header.subject);
        if (!err && capture) {
            store_take(capture, &message);
            if (message.kind == STORE_INTENT)
                desk_figures_attempted(desk);
            err = tell_end(desk, capture, &message);
        }
        if (!err && capture) {
            capture->has_answered = true;
            capture->answered = *asked;
        }
    }
    answer_store(desk, asked, err == OK);
    return err;
}

const struct msg_permit desk_vault_permits[] = {
    {CAPTURE_PROGRESS, sizeof(struct capture_progress_msg), SUBJECT_OPEN | SUBJECT_ENDED | MSG_NO_SUBJECT,
     progress_h, "PROGRESS"},
    {CAPTURE_STORE, sizeof(struct capture_store_msg), SUBJECT_OPEN | SUBJECT_ENDED | MSG_NO_SUBJECT, store_h,
     "STORE"},
};
const size_t desk_vault_permit_count = sizeof(desk_vault_permits) / sizeof(desk_vault_permits[0]);

/* --- proxy ------------------------------------------------------------------------------------------------------ */

static void take_text(char *out, const char *text)
{
    size_t length = strnlen(text, LIMIT_CALL_REFERENCE_BYTES - 1);
    for (size_t i = 0; i < length; i++)
        out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    out[length] = '\0';
}

static enum err call_h(void *owner, const void *bytes)
{
    struct desk *desk = owner;
    const struct proxy_call_msg *message = bytes;
    if (message->state > PROXY_CALL_ENDED || message->is_armed > 1 || message->header.subject == 0)
        return ERR_RANGE;
    struct desk_call *call = desk_model_call(&desk->model, message->header.subject);
    if (!call && message->state == PROXY_CALL_ENDED)
        return OK;
    if (!call)
        call = desk_model_call_put(&desk->model, message->header.subject);
    if (!call)
        return ERR_FULL;
    if (call->began_at.ns == 0)
        call->began_at.ns = message->at_ns;
    call->at.ns = message->at_ns;
    call->state = message->state;
    call->is_armed = message->is_armed;
    call->is_confirmed = true;
    take_text(call->reference, message->reference);
    take_text(call->callee, message->callee);
    take_text(call->sip_call_id, message->sip_call_id);
    desk_publish_call(desk, call);
    if (call->state == PROXY_CALL_ENDED)
        desk_model_call_remove(&desk->model, call->id);
    return OK;
}

static enum err leg_report_h(void *owner, const void *bytes)
{
    struct desk *desk = owner;
    const struct proxy_leg_report_msg *message = bytes;
    if (!desk_mask_record_is_sane(message))
        return ERR_RANGE;
    struct desk_call *call = desk_model_call(&desk->model, message->header.subject);
    if (call) {
        call->frames = message->frames & INT64_MAX;
        call->masked_samples = message->masked_samples & INT64_MAX;
        call->keys = message->keys;
        call->is_watched = message->watched_8k != 0;
        call->is_alarmed = message->is_alarmed;
        call->residual_cdbm0 = message->residual_cdbm0;
    }
    if (message->is_last) /* of a call that has ended, too */
        return desk_mask_record_take(desk, message);
    return call ? OK : ERR_NOT_FOUND;
}

const struct msg_permit desk_proxy_permits[] = {
    {PROXY_CALL, sizeof(struct proxy_call_msg), MSG_ANY_STATE, call_h, "CALL"},
    {PROXY_LEG_REPORT, sizeof(struct proxy_leg_report_msg), MSG_ANY_STATE, leg_report_h, "LEG_REPORT"},
};
const size_t desk_proxy_permit_count = sizeof(desk_proxy_permits) / sizeof(desk_proxy_permits[0]);

/* --- links that come and go -------------------------------------------------------------------------------------- */

static void link_close(struct msg_port *port, struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
    if (port->fd >= 0)
        close(port->fd);
    port->fd = -1;
}

static void link_down(struct desk *desk, struct msg_port *port, struct event **event, const char *peer)
{
    link_close(port, event);
    log_event(LOG_WARN, "a peer is gone: waiting for the supervisor's new link", LOG_CONSTANT("peer", peer));
    desk_publish_service(desk);
}

static void vault_read_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct desk *desk = argument;
    if (msg_receive(&desk->vault, MESSAGES_PER_TURN) != OK)
        link_down(desk, &desk->vault, &desk->vault_event, "vault");
}

static void proxy_read_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct desk *desk = argument;
    if (msg_receive(&desk->proxy, MESSAGES_PER_TURN) != OK)
        link_down(desk, &desk->proxy, &desk->proxy_event, "proxy");
}

/* Calls the proxy did not speak of after its restart are over. */
static void proxy_grace_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct desk *desk = argument;
    for (size_t i = 0; i < desk->model.call_capacity; i++) {
        struct desk_call *call = &desk->model.calls[i];
        if (!desk->model.call_ids[i] || call->is_confirmed || !desk_proxy_is_up(desk))
            continue;
        call->state = PROXY_CALL_ENDED;
        call->at = wall_now();
        desk_publish_call(desk, call);
        desk_model_call_remove(&desk->model, call->id);
    }
}

static const struct store_intent *intent_of(const struct store_intent *intents, size_t count,
                                            uint64_t capture_id)
{
    for (size_t i = 0; i < count; i++) {
        if (intents[i].capture_id == capture_id)
            return &intents[i];
    }
    return NULL;
}

/* What the vault did not speak of after its start (or ours) it does not know any more. Where money may have moved it
 * is asked to find out; elsewhere the capture is over and nothing was charged. */
static void vault_grace_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    static struct store_intent intents[LIMIT_CAPTURES];
    size_t count = 0;
    struct desk *desk = argument;
    if (!desk_vault_is_up(desk))
        return;
    if (desk_disk_result(desk, store_intents_open(desk->store, intents, LIMIT_CAPTURES, &count)) != OK)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct desk_capture *capture = desk_capture_get(desk, intents[i].capture_id);
        if (!capture || !capture->is_confirmed)
            (void)!reconcile(desk, &intents[i]);
    }
    for (size_t i = 0; i < desk->model.capture_capacity; i++) {
        struct desk_capture *capture = &desk->model.captures[i];
        bool is_over = capture_state_is_end(capture->record.state) && !capture->is_masked;
        if (desk->model.capture_ids[i] && !capture->is_confirmed && !is_over &&
            !intent_of(intents, count, capture->record.id))
            desk_capture_end(desk, capture, CAPTURE_FAILED, PROBLEM_VAULT_RESTARTED);
    }
}

static void grace_begin(struct desk *desk, struct event *timer)
{
    unsigned ms = desk->setup.grace_ms ? desk->setup.grace_ms : 1500;
    const struct timeval wait = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};
    event_add(timer, &wait);
}

static void vault_up(struct desk *desk)
{
    for (size_t i = 0; i < desk->model.capture_capacity; i++)
        desk->model.captures[i].is_confirmed = false;
    struct capture_sync_msg sync = {0};
    MSG_INIT(&sync, CAPTURE_SYNC, 0);
    enum err err = msg_send(&desk->vault, &sync);
    log_event(LOG_INFO, "linked", LOG_NAME("peer", "vault"), LOG_ERR("sync", err));
    grace_begin(desk, desk->vault_grace);
}

static void proxy_up(struct desk *desk)
{
    for (size_t i = 0; i < desk->model.call_capacity; i++)
        desk->model.calls[i].is_confirmed = false;
    struct proxy_calls_wanted_msg wanted = {0};
    MSG_INIT(&wanted, PROXY_CALLS_WANTED, 0);
    enum err err = msg_send(&desk->proxy, &wanted);
    log_event(LOG_INFO, "linked", LOG_NAME("peer", "proxy"), LOG_ERR("sync", err));
    grace_begin(desk, desk->proxy_grace);
}

void desk_set_link(struct desk *desk, enum role peer, int fd)
{
    bool is_vault = peer == ROLE_VAULT;
    struct msg_port *port = is_vault ? &desk->vault : &desk->proxy;
    struct event **event = is_vault ? &desk->vault_event : &desk->proxy_event;
    if (peer == ROLE_GATEWAY) {
        desk_gateway_set_link(desk, fd);
        return;
    }
    if (peer != ROLE_VAULT && peer != ROLE_PROXY) {
        close(fd);
        return;
    }
    link_close(port, event);
    *event =
        event_new(desk->setup.base, fd, EV_READ | EV_PERSIST, is_vault ? vault_read_h : proxy_read_h, desk);
    if (!*event || event_add(*event, NULL) != 0) {
        log_event(LOG_ERROR, "no memory for a link", LOG_CONSTANT("peer", role_name(peer)));
        close(fd);
        return;
    }
    port->fd = fd;
    if (is_vault)
        vault_up(desk);
    else
        proxy_up(desk);
    desk_publish_service(desk);
}

void desk_links_new(struct desk *desk)
{
    desk->vault = (struct msg_port){.fd = -1,
                                    .permits = desk_vault_permits,
                                    .permit_count = desk_vault_permit_count,
                                    .state_h = vault_state_h,
                                    .owner = desk};
    desk->proxy = (struct msg_port){
        .fd = -1, .permits = desk_proxy_permits, .permit_count = desk_proxy_permit_count, .owner = desk};
    desk->vault_grace = evtimer_new(desk->setup.base, vault_grace_h, desk);
    desk->proxy_grace = evtimer_new(desk->setup.base, proxy_grace_h, desk);
}

void desk_links_free(struct desk *desk)
{
    link_close(&desk->vault, &desk->vault_event);
    link_close(&desk->proxy, &desk->proxy_event);
    if (desk->vault_grace)
        event_free(desk->vault_grace);
    if (desk->proxy_grace)
        event_free(desk->proxy_grace);
}
