#include "proxy/sip/b2bua.h"

#include "base/log.h"
#include "base/secret.h"
#include "proxy/sip/b2bua_priv.h"
#include "proxy/sip/sip_headers.h"
#include "proxy/sip/sip_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum media_side side_of(enum config_trunk_name trunk)
{
    return trunk == CONFIG_TRUNK_CARRIER ? MEDIA_CALLER : MEDIA_AGENT;
}

/* --- who gets a message --- */

void answer_plain(struct b2bua *b2bua, sip_transaction_id server, osip_message_t *request, int status)
{
    char tag[17];
    sip_random_text(tag);
    osip_message_t *response = sip_message_response(request, status, tag);
    enum err err = response ? OK : ERR_MEMORY;
    if (!err && (status == 405 || sip_is(request, "OPTIONS")) &&
        osip_message_set_allow(response, SIP_HEADERS_ALLOW) != 0)
        err = ERR_MEMORY;
    if (!err && sip_is(request, "OPTIONS") && osip_message_set_accept(response, "application/sdp") != 0)
        err = ERR_MEMORY;
    if (!err && status == 503 && osip_message_set_header(response, "Retry-After", "5") != 0)
        err = ERR_MEMORY;
    osip_message_free(request);
    if (err)
        osip_message_free(response);
    else
        err = sip_transaction_respond(b2bua->transactions, server, response);
    (void)err; /* the peer sends it again */
}

static void refuse_extension(struct b2bua *b2bua, sip_transaction_id server, osip_message_t *request,
                             const char *unsupported)
{
    char tag[17];
    sip_random_text(tag);
    osip_message_t *response = sip_message_response(request, 420, tag);
    osip_message_free(request);
    if (response && osip_message_set_header(response, "Unsupported", unsupported) == 0) {
        enum err ignored = sip_transaction_respond(b2bua->transactions, server, response);
        (void)ignored;
        return;
    }
    osip_message_free(response);
}

static bool is_relayed(const osip_message_t *request)
{
    return sip_is(request, "INVITE") || sip_is(request, "BYE") || sip_is(request, "UPDATE") ||
           sip_is(request, "INFO") || sip_is(request, "OPTIONS");
}

static bool is_out_of_hops(const osip_message_t *request)
{
    const char *hops = sip_header(request, "Max-Forwards");
    return hops && strtol(hops, NULL, 10) == 0;
}

static void take_request(void *owner, enum config_trunk_name trunk, const struct sip_peer *peer,
                         sip_transaction_id server, osip_message_t *request)
{
    struct b2bua *b2bua = owner;
    char unsupported[128];
    if (!is_relayed(request)) {
        answer_plain(b2bua, server, request, 405);
    } else if (sip_headers_require_unknown(request, unsupported, sizeof(unsupported))) {
        refuse_extension(b2bua, server, request, unsupported);
    } else if (*sip_to_tag(request)) {
        struct b2bua_call *call = call_find(b2bua, request, side_of(trunk));
        if (call)
            request_in_call(call, side_of(trunk), server, request);
        else
            answer_plain(b2bua, server, request, 481);
    } else if (sip_is(request, "OPTIONS")) {
        bool is_full = b2bua->is_draining || b2bua->call_count == b2bua->call_max;
        answer_plain(b2bua, server, request, is_full ? 503 : 200);
    } else if (!sip_is(request, "INVITE")) {
        answer_plain(b2bua, server, request, 481);
    } else if (is_out_of_hops(request)) {
        answer_plain(b2bua, server, request, 483);
    } else {
        invite_initial(b2bua, side_of(trunk), peer, server, request);
    }
}

static void take_ack(void *owner, enum config_trunk_name trunk, osip_message_t *ack)
{
    struct b2bua *b2bua = owner;
    struct b2bua_call *call = call_find(b2bua, ack, side_of(trunk));
    if (call)
        invite_ack(call, side_of(trunk), ack);
    osip_message_free(ack);
}

static void take_cancel(void *owner, sip_transaction_id server)
{
    struct b2bua *b2bua = owner;
    for (size_t place = 0; place < b2bua->call_max; place++) {
        struct b2bua_call *call = call_at(b2bua, place);
        for (size_t i = 0; call && i < LIMIT_CALL_RELAYS; i++) {
            struct relay *relay = &call->relays[i];
            if (relay->is_used && relay->request && relay->server == server) {
                invite_cancelled(call, relay);
                return;
            }
        }
    }
}

static void take_response(void *owner, uint64_t cookie, sip_transaction_id client, osip_message_t *response)
{
    struct b2bua *b2bua = owner;
    struct relay *relay = NULL;
    struct b2bua_call *call = call_of_cookie(b2bua, cookie, &relay);
    (void)client;
    if (!call) {
        if (cookie && response && MSG_IS_STATUS_2XX(response) && sip_is(response, "INVITE"))
            invite_stray_answer(b2bua, cookie_side(cookie), response);
        osip_message_free(response);
        return;
    }
    /* Only an INVITE's relay has one of these marks; the request itself may be answered and gone. */
    bool is_invite =
        relay->is_accepted || relay->is_initial || (relay->request && sip_is(relay->request, "INVITE"));
    if (is_invite)
        invite_response(call, relay, response);
    else
        request_response(call, relay, response);
}

static void take_stray(void *owner, enum config_trunk_name trunk, osip_message_t *response)
{
    invite_stray_answer(owner, side_of(trunk), response);
    osip_message_free(response);
}

static void transport_message(void *owner, enum config_trunk_name trunk, const struct sip_peer *peer,
                              osip_message_t *message)
{
    struct b2bua *b2bua = owner;
    sip_transactions_take(b2bua->transactions, trunk, peer, message);
}

/* --- after a restart --- */

static void restore_sides(struct b2bua_call *call, const struct call_record *record)
{
    for (int side = 0; side < MEDIA_SIDES; side++) {
        call->sides[side].dialog = record->dialogs[side];
        call->sides[side].sdp_session_id = record->sdp[side].session_id;
        call->sides[side].sdp_session_version = record->sdp[side].session_version;
        /* What was told is not known any more: the next description counts as changed. */
        call->sides[side].sdp_length = 1;
    }
}

/* The record's call at its place, without media. NULL: no memory. */
static struct b2bua_call *place_call(struct b2bua *b2bua, size_t place, const struct call_record *record)
{
    struct b2bua_call *call = call_new(b2bua);
    if (!call)
        return NULL;
    /* call_new() takes the first free place; the table is walked from the front, so places may have to be exchanged. */
    size_t taken = call_place(call);
    b2bua->calls[taken] = b2bua->calls[place];
    b2bua->calls[place] = call;
    call->id = record->call_id;
    call->generation = (uint16_t)(record->call_id >> 16);
    call->capture_id = record->capture_id;
    call->answered_at.ns = record->answered_ns;
    call->started_at = call->answered_at;
    call->ends_at.ns = record->ends_ns;
    memcpy(call->reference, record->reference, sizeof(call->reference));
    memcpy(call->callee, record->callee, sizeof(call->callee));
    call->state = CALL_ANSWERED;
    restore_sides(call, record);
    return call;
}

/* No process can go on with a call that rings: its transactions died. Both sides are told, and the desk. */
static void end_early(struct b2bua *b2bua, size_t place, struct b2bua_call *call)
{
    const struct call_farewell *farewell = call_table_farewell(b2bua->table, place);
    sip_transaction_id id;
    for (int side = 0; side < MEDIA_SIDES; side++) {
        if (sip_transaction_say_farewell(b2bua->transactions, &farewell->sides[side], &id))
            log_event(LOG_WARN, "a side of a ringing call could not be told", LOG_ID("call", call->id));
    }
    call->has_media = true; /* for the desk, which was told that it rings */
    call_end(call);
}

/* An answer that was not acknowledged when the process before died goes on being repeated. */
static void restore_pending(struct b2bua_call *call, const struct call_record *record)
{
    struct b2bua *b2bua = call->b2bua;
    const struct call_farewell *farewell = call_table_farewell(b2bua->table, call_place(call));
    struct mono_time now = mono_now();
    for (int side = 0; side < MEDIA_SIDES; side++) {
        struct unacknowledged *pending = &call->sides[side].pending;
        if (!record->is_pending[side] ||
            sip_transaction_say_farewell(b2bua->transactions, &farewell->sides[side], &pending->server))
            continue;
        pending->is_used = true;
        pending->cseq = record->pending_cseq[side];
        pending->interval_ms = b2bua->options.t1_ms;
        pending->again_at = mono_add_ms(now, b2bua->options.t1_ms);
        pending->deadline = mono_add_ms(now, 64 * b2bua->options.t1_ms);
    }
}

static enum err restore_call(struct b2bua *b2bua, size_t place, const struct call_record *record)
{
    struct media_snapshot snapshot;
    if ((record->call_id & 0xffff) != place)
        return ERR_SYNTAX;
    struct b2bua_call *call = place_call(b2bua, place, record);
    if (!call)
        return ERR_MEMORY;
    if (record->kind == CALL_RECORD_EARLY) {
        end_early(b2bua, place, call);
        return ERR_ORDER;
    }
    enum err err = call_table_read_media(b2bua->table, place, &snapshot);
    if (!err && memcmp(&snapshot.ports, &record->ports, sizeof(record->ports)) != 0)
        err = ERR_SYNTAX;
    if (!err) {
        call->ports = snapshot.ports;
        err = media_call_restore(b2bua->options.media, call->id, &snapshot);
    }
    if (err) {
        call_send_bye(call, MEDIA_CALLER);
        call_send_bye(call, MEDIA_AGENT);
        call->has_media = true; /* vault and desk learn that it is over */
        call_end(call);
        return err;
    }
    call->has_media = true;
    if (snapshot.capture_id != 0)
        call->capture_id = snapshot.capture_id; /* the worker knows best what is armed */
    err = media_call_keep(b2bua->options.media, call->id, call_table_media(b2bua->table, place));
    restore_pending(call, record);
    call_set_timer(call);
    return err;
}

void b2bua_restore(struct b2bua *b2bua)
{
    for (size_t place = 0; place < b2bua->call_max; place++) {
        struct call_record record;
        enum err err = call_table_read(b2bua->table, place, &record);
        if (err == ERR_EMPTY)
            continue;
        if (!err)
            err = restore_call(b2bua, place, &record);
        if (err == ERR_ORDER) {
            b2bua->counts.calls_ended_early++;
            continue;
        }
        if (err) {
            b2bua->counts.calls_torn++;
            call_table_clear(b2bua->table, place);
            log_event(LOG_WARN, "call could not be taken up again", LOG_ERR("error", err));
            continue;
        }
        b2bua->counts.calls_restored++;
    }
    if (b2bua->counts.calls_restored || b2bua->counts.calls_torn || b2bua->counts.calls_ended_early)
        log_event(LOG_INFO, "calls taken up again", LOG_COUNT("restored", b2bua->counts.calls_restored),
                  LOG_COUNT("lost", b2bua->counts.calls_torn),
                  LOG_COUNT("ringing_ended", b2bua->counts.calls_ended_early));
}

/* --- the role's side --- */

void b2bua_drain(struct b2bua *b2bua)
{
    b2bua->is_draining = true;
}

size_t b2bua_call_count(const struct b2bua *b2bua)
{
    return b2bua->call_count;
}

void b2bua_tell_all(struct b2bua *b2bua)
{
    for (size_t place = 0; place < b2bua->call_max; place++) {
        struct b2bua_call *call = call_at(b2bua, place);
        if (call && call->has_media)
            call_tell(call, call->state == CALL_ANSWERED ? PROXY_CALL_ANSWERED : PROXY_CALL_RINGING);
    }
}

enum err b2bua_has_call(const struct b2bua *b2bua, uint64_t call_id)
{
    const struct b2bua_call *call = call_find_id(b2bua, call_id);
    return call && call->state == CALL_ANSWERED && call->has_media ? OK : ERR_NOT_FOUND;
}

void b2bua_set_capture(struct b2bua *b2bua, uint64_t call_id, uint64_t capture_id)
{
    struct b2bua_call *call = call_find_id(b2bua, call_id);
    if (!call || call->capture_id == capture_id)
        return;
    call->capture_id = capture_id;
    call_keep(call);
    call_tell(call, PROXY_CALL_ANSWERED); /* the desk shows whether a leg is armed */
}

uint64_t b2bua_capture_of(const struct b2bua *b2bua, uint64_t call_id)
{
    const struct b2bua_call *call = call_find_id(b2bua, call_id);
    return call ? call->capture_id : 0;
}

void b2bua_each_armed(struct b2bua *b2bua, void (*each_h)(void *owner, uint64_t call_id, uint64_t capture_id),
                      void *owner)
{
    for (size_t place = 0; place < b2bua->call_max; place++) {
        const struct b2bua_call *call = call_at(b2bua, place);
        if (call && call->has_media && call->capture_id)
            each_h(owner, call->id, call->capture_id);
    }
}

void b2bua_media_silent(struct b2bua *b2bua, uint64_t call_id, enum media_side side)
{
    struct b2bua_call *call = call_find_id(b2bua, call_id);
    struct mono_time now = mono_now();
    if (!call || call->state != CALL_ANSWERED)
        return;
    call->sides[side].silent_at = now;
    const struct b2bua_side *far = &call->sides[other_side(side)];
    /* Silence is told anew each time it has lasted: an older word says nothing of now. A side on hold may be silent for
     * long; both are not, in a call that lives. */
    if (far->silent_at.ns && mono_elapsed_ms(far->silent_at, now) < (MEDIA_SILENCE_S + 5) * 1000) {
        log_event(LOG_INFO, "both sides are silent, call ended", LOG_ID("call", call_id));
        call_hang_up(call, 408);
    }
}

void b2bua_counts(const struct b2bua *b2bua, struct b2bua_counts *counts)
{
    *counts = b2bua->counts;
}

enum err b2bua_new(struct b2bua **out, const struct b2bua_options *options)
{
    static const struct sip_transaction_user user = {take_request, take_ack, take_cancel, take_response,
                                                     take_stray};
    *out = NULL;
    struct b2bua *b2bua = calloc(1, sizeof(*b2bua));
    if (!b2bua)
        return ERR_MEMORY;
    b2bua->options = *options;
    b2bua->config = options->config;
    b2bua->call_max = options->config->sip.calls_max;
    b2bua->calls = calloc(b2bua->call_max, sizeof(*b2bua->calls)); // NOLINT(bugprone-sizeof-expression)
    enum err err = b2bua->calls ? sip_message_init() : ERR_MEMORY;
    if (!err)
        err = call_table_open(&b2bua->table, options->call_table_fd, options->config);
    if (!err)
        err = sip_transport_new(&b2bua->transport, options->base, options->config, options->sip_fds,
                                options->sip_fd_count, transport_message, b2bua);
    if (!err)
        err = sip_transactions_new(&b2bua->transactions, options->base, b2bua->transport, options->t1_ms,
                                   &user, b2bua);
    if (err) {
        b2bua_free(b2bua);
        return err;
    }
    *out = b2bua;
    return OK;
}

void b2bua_free(struct b2bua *b2bua)
{
    if (!b2bua)
        return;
    for (size_t place = 0; b2bua->calls && place < b2bua->call_max; place++) {
        struct b2bua_call *call = b2bua->calls[place];
        if (!call)
            continue;
        for (size_t i = 0; i < LIMIT_CALL_RELAYS; i++)
            relay_free(&call->relays[i]);
        event_free(call->timer);
        wipe(call, sizeof(*call));
        free(call);
    }
    free(b2bua->calls);
    sip_transactions_free(b2bua->transactions);
    sip_transport_free(b2bua->transport);
    call_table_close(b2bua->table);
    free(b2bua);
}
