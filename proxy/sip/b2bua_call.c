#include "proxy/sip/b2bua_priv.h"

#include "base/log.h"
#include "base/secret.h"
#include "proxy/sip/sip_headers.h"
#include "proxy/sip/sip_message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SERVER_NAME   "Tonegate"
#define TAG_PLACE     4 /* letters of a local tag that name the call's place */
#define RETRY_AFTER_S "5"

/* --- places --- */

struct b2bua_call *call_at(const struct b2bua *b2bua, size_t place)
{
    struct b2bua_call *call = place < b2bua->call_max ? b2bua->calls[place] : NULL;
    return call && call->state != CALL_FREE ? call : NULL;
}

size_t call_place(const struct b2bua_call *call)
{
    return call->id & 0xffff;
}

static void timer_fired(evutil_socket_t fd, short what, void *argument);

static struct b2bua_call *call_make(struct b2bua *b2bua)
{
    struct b2bua_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->timer = evtimer_new(b2bua->options.base, timer_fired, call);
    if (!call->timer) {
        free(call);
        return NULL;
    }
    call->b2bua = b2bua;
    return call;
}

static void call_reset(struct b2bua_call *call)
{
    struct b2bua *b2bua = call->b2bua;
    struct event *timer = call->timer;
    uint16_t generation = (uint16_t)(call->generation + 1);
    uint16_t serial = call->next_serial;
    memset(call, 0, sizeof(*call));
    call->b2bua = b2bua;
    call->timer = timer;
    call->generation = generation;
    call->next_serial = serial;
}

struct b2bua_call *call_new(struct b2bua *b2bua)
{
    size_t place = 0;
    while (place < b2bua->call_max && call_at(b2bua, place))
        place++;
    if (place == b2bua->call_max)
        return NULL;
    if (!b2bua->calls[place])
        b2bua->calls[place] = call_make(b2bua);
    struct b2bua_call *call = b2bua->calls[place];
    if (!call)
        return NULL;
    call_reset(call);
    uint32_t random;
    ASSERT(getrandom(&random, sizeof(random), 0) == sizeof(random));
    call->id = (uint64_t)(random | 1u << 31) << 32 | (uint64_t)call->generation << 16 | place;
    call->state = CALL_CALLING;
    call->started_at = wall_now();
    b2bua->call_count++;
    return call;
}

/* The place in four letters, then sixteen random ones: found without a search, and not guessed. */
void call_make_tag(const struct b2bua_call *call, enum media_side side, char *tag)
{
    char random[17];
    size_t place = call_place(call);
    (void)side;
    sip_random_text(random);
    for (int i = 0; i < TAG_PLACE; i++)
        *tag++ = (char)('a' + ((place >> (4 * (TAG_PLACE - 1 - i))) & 15));
    memcpy(tag, random, sizeof(random));
}

bool tag_place(const char *tag, size_t *place)
{
    *place = 0;
    if (strlen(tag) != TAG_PLACE + 16 || strspn(tag, "abcdefghijklmnop") != TAG_PLACE + 16)
        return false;
    for (int i = 0; i < TAG_PLACE; i++)
        *place = *place << 4 | (size_t)(tag[i] - 'a');
    return true;
}

struct b2bua_call *call_find(const struct b2bua *b2bua, const osip_message_t *request, enum media_side side)
{
    size_t place;
    if (!tag_place(sip_to_tag(request), &place))
        return NULL;
    struct b2bua_call *call = call_at(b2bua, place);
    return call && sip_dialog_matches(&call->sides[side].dialog, request) ? call : NULL;
}

struct b2bua_call *call_find_id(const struct b2bua *b2bua, uint64_t call_id)
{
    struct b2bua_call *call = call_at(b2bua, call_id & 0xffff);
    return call && call->id == call_id ? call : NULL;
}

/* --- relays --- */

/* An accepted INVITE's relay only serves to acknowledge a 2xx that comes again: it gives way when places are short. */
static struct relay *free_place(struct b2bua_call *call)
{
    struct relay *spent = NULL;
    for (size_t i = 0; i < LIMIT_CALL_RELAYS; i++) {
        struct relay *relay = &call->relays[i];
        if (!relay->is_used)
            return relay;
        if (relay->is_accepted && call->sides[relay->from].pending.relay != relay)
            spent = relay;
    }
    return spent;
}

struct relay *call_new_relay(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                             osip_message_t *request)
{
    struct relay *relay = free_place(call);
    if (!relay)
        return NULL;
    *relay = (struct relay){
        .is_used = true, .serial = ++call->next_serial, .from = from, .server = server, .request = request};
    return relay;
}

void relay_free(struct relay *relay)
{
    osip_message_free(relay->request);
    *relay = (struct relay){.is_used = false};
}

/* 0 is nobody's: serials may wrap, generations may not stand at 0 together with place 0 and relay 0. */
uint64_t relay_cookie(const struct b2bua_call *call, const struct relay *relay)
{
    return 1ULL << 63 | (uint64_t)other_side(relay->from) << 62 | (uint64_t)call->generation << 40 |
           (uint64_t)call_place(call) << 24 | (uint64_t)(relay - call->relays) << 16 | relay->serial;
}

enum media_side cookie_side(uint64_t cookie)
{
    return cookie >> 62 & 1 ? MEDIA_AGENT : MEDIA_CALLER;
}

struct b2bua_call *call_of_cookie(const struct b2bua *b2bua, uint64_t cookie, struct relay **relay)
{
    struct b2bua_call *call = cookie >> 63 ? call_at(b2bua, (cookie >> 24) & 0xffff) : NULL;
    size_t index = (cookie >> 16) & 0xff;
    if (!call || index >= LIMIT_CALL_RELAYS)
        return NULL;
    *relay = &call->relays[index];
    return (*relay)->is_used && relay_cookie(call, *relay) == cookie ? call : NULL;
}

/* --- messages --- */

enum err add_contact(const struct b2bua *b2bua, osip_message_t *message, enum config_transport transport)
{
    char contact[96];
    char host[INET_ADDRSTRLEN];
    const struct sockaddr_in *local = sip_transport_local(b2bua->transport, transport);
    inet_ntop(AF_INET, &local->sin_addr, host, sizeof(host));
    snprintf(contact, sizeof(contact), "<sip:tonegate@%s:%u%s>", host, ntohs(local->sin_port),
             transport == CONFIG_TCP ? ";transport=tcp" : "");
    return osip_message_set_contact(message, contact) == 0 ? OK : ERR_MEMORY;
}

enum err add_sdp(osip_message_t *message, const char *text, size_t length)
{
    if (osip_message_set_content_type(message, "application/sdp") != 0 ||
        osip_message_set_body(message, text, length) != 0)
        return ERR_MEMORY;
    return OK;
}

enum err side_describe(struct b2bua_call *call, enum media_side side, struct sdp *sdp)
{
    struct b2bua_side *at = &call->sides[side];
    char text[LIMIT_SDP_BYTES];
    size_t length;
    if (at->sdp_session_id == 0)
        at->sdp_session_id = at->sdp_session_version = (call->id >> 33) + 1;
    sdp->session_id = at->sdp_session_id;
    sdp->session_version = at->sdp_session_version;
    enum err err = sdp_write(sdp, call->b2bua->config->media.address, text, sizeof(text), &length);
    if (err)
        return err;
    /* One more when anything changed (RFC 3264 §8). */
    if (at->sdp_length && (at->sdp_length != length || memcmp(at->sdp_text, text, length) != 0)) {
        sdp->session_version = ++at->sdp_session_version;
        err = sdp_write(sdp, call->b2bua->config->media.address, text, sizeof(text), &length);
        if (err)
            return err;
    }
    memcpy(at->sdp_text, text, length);
    at->sdp_length = length;
    return OK;
}

/* RFC 3261 §21.4.13: what would have been understood. */
static enum err add_accept(osip_message_t *response, bool is_info)
{
    if (!is_info)
        return osip_message_set_accept(response, "application/sdp") == 0 ? OK : ERR_MEMORY;
    return osip_message_set_accept(response, "application/dtmf-relay") == 0 &&
                   osip_message_set_accept(response, "application/dtmf") == 0
               ? OK
               : ERR_MEMORY;
}

static enum err fill_response(struct b2bua_call *call, enum media_side side, osip_message_t *response,
                              const osip_message_t *request, const char *sdp, size_t sdp_length)
{
    int status = response->status_code;
    bool has_contact =
        status > 100 && status < 300 && (sip_is(request, "INVITE") || sip_is(request, "UPDATE"));
    enum err err = OK;
    if (has_contact)
        err = add_contact(call->b2bua, response, call->b2bua->config->sip.trunks[trunk_of(side)].transport);
    if (!err && has_contact && osip_message_set_header(response, "Allow", SIP_HEADERS_ALLOW) != 0)
        err = ERR_MEMORY;
    if (!err && status == 503 && osip_message_set_header(response, "Retry-After", RETRY_AFTER_S) != 0)
        err = ERR_MEMORY;
    if (!err && status == 415)
        err = add_accept(response, sip_is(request, "INFO"));
    if (!err && osip_message_set_header(response, "Server", SERVER_NAME) != 0)
        err = ERR_MEMORY;
    return err || !sdp ? err : add_sdp(response, sdp, sdp_length);
}

osip_message_t *call_response(struct b2bua_call *call, enum media_side side, const osip_message_t *request,
                              const osip_message_t *crossing, int status, const char *sdp, size_t sdp_length)
{
    osip_message_t *response = sip_message_response(request, status, call->sides[side].dialog.local_tag);
    if (!response)
        return NULL;
    if (crossing) {
        enum err ignored = sip_headers_cross(crossing, call->b2bua->config, response); /* optional ones */
        (void)ignored;
    }
    if (fill_response(call, side, response, request, sdp, sdp_length)) {
        osip_message_free(response);
        return NULL;
    }
    return response;
}

enum err call_respond(struct b2bua_call *call, enum media_side side, sip_transaction_id server,
                      const osip_message_t *request, const osip_message_t *crossing, int status,
                      const char *sdp, size_t sdp_length)
{
    osip_message_t *response = call_response(call, side, request, crossing, status, sdp, sdp_length);
    return response ? sip_transaction_respond(call->b2bua->transactions, server, response) : ERR_MEMORY;
}

void relay_finish(struct b2bua_call *call, struct relay *relay, const osip_message_t *crossing, int status,
                  const char *sdp, size_t sdp_length)
{
    if (relay->request) {
        enum err ignored =
            call_respond(call, relay->from, relay->server, relay->request, crossing, status, sdp, sdp_length);
        (void)ignored; /* the transaction is over: its peer gave up */
    }
    relay_free(relay);
}

void call_send_bye(struct b2bua_call *call, enum media_side side)
{
    struct b2bua_side *at = &call->sides[side];
    if (!*at->dialog.remote_tag)
        return;
    osip_message_t *bye = sip_dialog_request(&at->dialog, "BYE");
    struct sip_peer peer = sip_dialog_peer(&at->dialog, call->b2bua->config, call->b2bua->transport);
    if (bye && sip_transaction_request(call->b2bua->transactions, &peer, bye, 0, NULL))
        log_event(LOG_WARN, "BYE could not be sent", LOG_ID("call", call->id));
}

/* --- a call's life --- */

void call_tell(struct b2bua_call *call, enum proxy_call_state state)
{
    struct b2bua *b2bua = call->b2bua;
    struct proxy_call_msg told = {.state = (uint8_t)state,
                                  .is_armed = call->capture_id != 0,
                                  .at_ns = state == PROXY_CALL_RINGING    ? call->started_at.ns
                                           : state == PROXY_CALL_ANSWERED ? call->answered_at.ns
                                                                          : wall_now().ns};
    MSG_INIT(&told, PROXY_CALL, call->id);
    memcpy(told.reference, call->reference, sizeof(told.reference));
    memcpy(told.callee, call->callee, sizeof(told.callee));
    snprintf(told.sip_call_id, sizeof(told.sip_call_id), "%.*s", (int)sizeof(told.sip_call_id) - 1,
             call->sides[MEDIA_AGENT].dialog.call_id);
    b2bua->options.call_h(b2bua->options.owner, &told, call->capture_id);
}

static void keep_as(struct b2bua_call *call, enum call_record_kind kind)
{
    struct call_record record;
    memset(&record, 0, sizeof(record)); /* padding too: it is summed */
    record.call_id = call->id;
    record.kind = kind;
    record.ports = call->ports;
    record.capture_id = call->capture_id;
    record.answered_ns = call->answered_at.ns;
    record.ends_ns = call->ends_at.ns;
    for (int side = 0; side < MEDIA_SIDES; side++) {
        record.dialogs[side] = call->sides[side].dialog;
        record.sdp[side].session_id = call->sides[side].sdp_session_id;
        record.sdp[side].session_version = call->sides[side].sdp_session_version;
        record.is_pending[side] = call->sides[side].pending.is_used;
        record.pending_cseq[side] = call->sides[side].pending.cseq;
    }
    memcpy(record.reference, call->reference, sizeof(record.reference));
    memcpy(record.callee, call->callee, sizeof(record.callee));
    call_table_write(call->b2bua->table, call_place(call), &record);
}

void call_keep(struct b2bua_call *call)
{
    if (call->state == CALL_ANSWERED)
        keep_as(call, CALL_RECORD_ANSWERED);
}

void call_keep_early(struct b2bua_call *call, const struct relay *relay)
{
    struct b2bua *b2bua = call->b2bua;
    enum media_side from = relay->from;
    struct call_farewell farewell;
    osip_message_t *response = sip_message_response(relay->request, 500, call->sides[from].dialog.local_tag);
    memset(&farewell, 0, sizeof(farewell));
    enum err err = response ? sip_transaction_keep_response(b2bua->transactions, relay->server, response,
                                                            &farewell.sides[from])
                            : ERR_MEMORY;
    osip_message_free(response);
    if (!err)
        err = sip_transaction_keep_cancel(b2bua->transactions, relay->client,
                                          &farewell.sides[other_side(from)]);
    if (err)
        return; /* after a restart this call would only run into the peers' own time-outs */
    call_table_write_farewell(b2bua->table, call_place(call), &farewell);
    keep_as(call, CALL_RECORD_EARLY);
}

void call_end_media(struct b2bua_call *call)
{
    if (!call->has_media)
        return;
    call->has_media = false;
    media_call_close(call->b2bua->options.media, call->id);
    call_table_clear(call->b2bua->table, call_place(call));
    call_tell(call, PROXY_CALL_ENDED);
    call->capture_id = 0;
}

void call_end(struct b2bua_call *call)
{
    call_end_media(call);
    for (size_t i = 0; i < LIMIT_CALL_RELAYS; i++)
        relay_free(&call->relays[i]);
    event_del(call->timer);
    call->state = CALL_FREE;
    call->b2bua->call_count--;
    wipe(call->sides, sizeof(call->sides));
}

/* The INVITE that makes the call is still open on one side or both. */
static bool hang_up_unanswered(struct b2bua_call *call, struct relay *relay, int status)
{
    if (relay->request) {
        enum err ignored =
            call_respond(call, relay->from, relay->server, relay->request, NULL, status, NULL, 0);
        (void)ignored;
        osip_message_free(relay->request);
        relay->request = NULL;
    }
    if (!relay->client)
        return false;
    sip_transaction_cancel(call->b2bua->transactions, relay->client);
    call->state = CALL_CANCELLING;
    call_end_media(call);
    call_set_timer(call);
    return true;
}

void call_hang_up(struct b2bua_call *call, int status_for_inviter)
{
    bool is_waiting = false;
    if (call->state == CALL_CANCELLING)
        return; /* on its way out; the other side's last answer is still to be acknowledged */
    for (size_t i = 0; i < LIMIT_CALL_RELAYS && call->state == CALL_CALLING; i++) {
        if (call->relays[i].is_used && call->relays[i].is_initial)
            is_waiting = hang_up_unanswered(call, &call->relays[i], status_for_inviter);
    }
    if (call->state == CALL_ANSWERED) {
        for (int side = 0; side < MEDIA_SIDES; side++)
            call_send_bye(call, (enum media_side)side);
    }
    if (!is_waiting)
        call_end(call);
}

/* --- time --- */

static void note_earlier(struct mono_time *at, struct mono_time candidate)
{
    if (candidate.ns && (!at->ns || candidate.ns < at->ns))
        *at = candidate;
}

void call_set_timer(struct b2bua_call *call)
{
    struct mono_time at = {0};
    if (call->state != CALL_CANCELLING)
        at = call->ends_at;
    for (int side = 0; side < MEDIA_SIDES; side++) {
        const struct unacknowledged *pending = &call->sides[side].pending;
        if (!pending->is_used)
            continue;
        note_earlier(&at, pending->again_at);
        note_earlier(&at, pending->deadline);
    }
    if (!at.ns) {
        event_del(call->timer);
        return;
    }
    int64_t wait = at.ns - mono_now().ns;
    wait = wait > 0 ? wait : 0;
    struct timeval after = {wait / NS_PER_S, wait % NS_PER_S / 1000};
    event_add(call->timer, &after);
}

/* False: nobody acknowledges, the call is over. */
static bool repeat_answer(struct b2bua_call *call, struct unacknowledged *pending, struct mono_time now)
{
    const unsigned t2_ms = call->b2bua->options.t1_ms * (SIP_T2_MS / SIP_T1_MS);
    if (!pending->is_used)
        return true;
    if (mono_reached(now, pending->deadline))
        return false;
    if (!mono_reached(now, pending->again_at))
        return true;
    pending->interval_ms = pending->interval_ms * 2 < t2_ms ? pending->interval_ms * 2 : t2_ms;
    pending->again_at = mono_add_ms(now, pending->interval_ms);
    return sip_transaction_repeat(call->b2bua->transactions, pending->server) == OK;
}

static void timer_fired(evutil_socket_t fd, short what, void *argument)
{
    struct b2bua_call *call = argument;
    struct mono_time now = mono_now();
    (void)fd;
    (void)what;
    if (call->state == CALL_FREE)
        return;
    for (int side = 0; side < MEDIA_SIDES; side++) {
        if (!repeat_answer(call, &call->sides[side].pending, now)) {
            log_event(LOG_WARN, "no ACK for an answer, call ended", LOG_ID("call", call->id));
            call_hang_up(call, 500);
            return;
        }
    }
    if (mono_reached(now, call->ends_at) && call->state != CALL_CANCELLING) {
        log_event(LOG_INFO, "call reached its longest time", LOG_ID("call", call->id));
        call_hang_up(call, 408);
        return;
    }
    call_set_timer(call);
}
