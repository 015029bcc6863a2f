#include "capture/desk/desk_view.h"

#include "base/log.h"

#include <string.h>

static const char *const state_names[CAPTURE_STATES] = {
    [CAPTURE_ARMING] = "arming",
    [CAPTURE_COLLECTING] = "collecting",
    [CAPTURE_READY] = "ready",
    [CAPTURE_STORING_INTENT] = "storing_intent",
    [CAPTURE_TOKENISING] = "tokenising",
    [CAPTURE_CREATING] = "creating",
    [CAPTURE_STORING_ORDER] = "storing_order",
    [CAPTURE_CONFIRMING] = "confirming",
    [CAPTURE_VERIFYING] = "verifying",
    [CAPTURE_STORING_RESULT] = "storing_result",
    [CAPTURE_APPROVED] = "approved",
    [CAPTURE_DECLINED] = "declined",
    [CAPTURE_CANCELLED] = "cancelled",
    [CAPTURE_FAILED] = "failed",
    [CAPTURE_UNKNOWN] = "unknown",
    [CAPTURE_LOST] = "lost",
};

static const char *const problem_names[PROBLEM_COUNT] = {
    [PROBLEM_NONE] = "none",
    [PROBLEM_NUMBER_INVALID] = "number_invalid",
    [PROBLEM_BRAND_REFUSED] = "brand_refused",
    [PROBLEM_EXPIRY_INVALID] = "expiry_invalid",
    [PROBLEM_CARD_EXPIRED] = "card_expired",
    [PROBLEM_CVV_INVALID] = "cvv_invalid",
    [PROBLEM_MEDIA_RESTARTED] = "media_restarted",
    [PROBLEM_DECLINED] = "declined",
    [PROBLEM_GATEWAY] = "gateway",
    [PROBLEM_STORE] = "store",
    [PROBLEM_HANG_UP] = "hang_up",
    [PROBLEM_TIMED_OUT] = "timed_out",
    [PROBLEM_CALL_UNKNOWN] = "call_unknown",
    [PROBLEM_VAULT_RESTARTED] = "vault_restarted",
};

static const char *const reason_names[REASON_COUNT] = {
    [REASON_NONE] = "none",
    [REASON_DECLINED] = "declined",
    [REASON_INSUFFICIENT_FUNDS] = "insufficient_funds",
    [REASON_LOST_OR_STOLEN] = "lost_or_stolen",
    [REASON_EXPIRED] = "expired",
    [REASON_WRONG_CVV] = "wrong_cvv",
    [REASON_WRONG_NUMBER] = "wrong_number",
    [REASON_NEEDS_AUTHENTICATION] = "needs_authentication",
    [REASON_LIMIT] = "limit",
    [REASON_PROCESSING_ERROR] = "processing_error",
    [REASON_CONFIGURATION] = "configuration",
    [REASON_UNAVAILABLE] = "unavailable",
    [REASON_BAD_ANSWER] = "bad_answer",
};

static const char *const brand_names[BRAND_COUNT] = {
    [BRAND_UNKNOWN] = "unknown", [BRAND_VISA] = "visa",         [BRAND_MASTERCARD] = "mastercard",
    [BRAND_AMEX] = "amex",       [BRAND_DISCOVER] = "discover", [BRAND_JCB] = "jcb",
    [BRAND_DINERS] = "diners",   [BRAND_UNIONPAY] = "unionpay", [BRAND_MAESTRO] = "maestro",
};

static const char *const field_names[CARD_FIELDS] = {"number", "expiry", "cvv"};
static const char *const call_state_names[] = {"ringing", "answered", "ended"};

static const char *const advice_names[ADVICES] = {"none", "later", "agent", "off"};

static const char *name_of(const char *const *names, size_t count, unsigned value)
{
    return value < count && names[value] ? names[value] : "unknown";
}

const char *desk_state_name(unsigned state)
{
    return name_of(state_names, CAPTURE_STATES, state);
}

const char *desk_problem_name(unsigned problem)
{
    return name_of(problem_names, PROBLEM_COUNT, problem);
}

const char *desk_reason_name(unsigned reason)
{
    return name_of(reason_names, REASON_COUNT, reason);
}

const char *desk_brand_name(unsigned brand)
{
    return name_of(brand_names, BRAND_COUNT, brand);
}

const char *desk_kind_name(unsigned kind)
{
    static const char *const names[CAPTURE_KINDS] = {"charge", "authorise", "tokenise"};
    return name_of(names, CAPTURE_KINDS, kind);
}

void desk_capture_id_text(uint64_t id, char *out)
{
    memcpy(out, "cap_", 4);
    log_id_text(id, out + 4);
}

void desk_call_id_text(uint64_t id, char *out)
{
    memcpy(out, "call_", 5);
    log_id_text(id, out + 5);
}

static json_t *time_json(struct wall_time at)
{
    char text[WALL_TEXT_MAX];
    wall_time_text(at, text);
    return json_string(text);
}

/* Empty text is null: "not there" has one form. */
static json_t *text_json(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *capture_id_json(uint64_t id)
{
    char text[DESK_ID_TEXT];
    desk_capture_id_text(id, text);
    return json_string(text);
}

static json_t *call_id_json(uint64_t id)
{
    char text[DESK_ID_TEXT];
    desk_call_id_text(id, text);
    return json_string(text);
}

json_t *desk_view_call(const struct desk_call *call, const struct desk_capture *capture)
{
    return json_pack(
        "{s:o,s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:I,s:I,s:I,s:b,s:b,s:o}}", "id", call_id_json(call->id),
        "state", name_of(call_state_names, 3, call->state), "armed", call->is_armed, "reference",
        text_json(call->reference), "callee", text_json(call->callee), "sip_call_id",
        text_json(call->sip_call_id), "capture", capture ? capture_id_json(capture->record.id) : json_null(),
        "began_at", time_json(call->began_at), "updated_at", time_json(call->at), "leg", "frames",
        (json_int_t)call->frames, "masked_ms", (json_int_t)(call->masked_samples / 8), "keys",
        (json_int_t)call->keys, "watched", call->is_watched, "alarmed", call->is_alarmed, "residual_dbm0",
        call->is_watched && call->residual_cdbm0 != PROXY_RESIDUAL_NONE
            ? json_integer(call->residual_cdbm0 / 100)
            : json_null());
}

static json_t *field_json(const struct capture_field_view *field)
{
    return json_pack("{s:i,s:i,s:b,s:b}", "keys", field->key_count, "max", field->key_max, "complete",
                     field->is_complete, "valid", field->is_valid);
}

json_t *desk_view_capture(const struct desk_capture *capture)
{
    const struct store_capture *record = &capture->record;
    const struct capture_field_view *fields = capture->fields;
    bool is_selected = capture->selected_field < CARD_FIELDS;
    return json_pack("{s:o,s:o,s:s,s:s,s:I,s:s,s:o,s:o,s:i,s:i,s:o,s:b,s:b,s:b,s:s,s:s,s:s,s:s,s:{s:o,s:o,s:"
                     "o},s:o,s:o,s:o,s:o,s:o}",
                     "id", capture_id_json(record->id), "call", call_id_json(record->call_id), "state",
                     desk_state_name(record->state), "kind", desk_kind_name(record->kind), "amount",
                     (json_int_t)record->amount_minor, "currency", record->currency, "reference",
                     text_json(record->reference), "callee", text_json(record->callee), "attempt",
                     record->attempt, "attempts_max", capture->attempts_max, "selected",
                     is_selected ? json_string(field_names[capture->selected_field]) : json_null(), "masked",
                     capture->is_masked, "muted", capture->is_muted, "slow", capture->is_slow, "advice",
                     name_of(advice_names, ADVICES, capture->advice), "brand", desk_brand_name(record->brand),
                     "problem", desk_problem_name(record->problem), "reason",
                     desk_reason_name(record->gateway_reason), "fields", "number",
                     field_json(&fields[CARD_NUMBER]), "expiry", field_json(&fields[CARD_EXPIRY]), "cvv",
                     field_json(&fields[CARD_CVV]), "token", text_json(record->token), "payment_ref",
                     text_json(record->order_ref), "opened_by", text_json(record->opened_by), "created_at",
                     time_json(record->created_at), "updated_at", time_json(record->updated_at));
}

json_t *desk_view_record(const struct store_capture *record)
{
    const struct desk_capture capture = {.record = *record, .selected_field = CARD_FIELD_NONE};
    return desk_view_capture(&capture);
}
