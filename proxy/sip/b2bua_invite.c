/* INVITE, first and again: the offer goes through, the answer comes back, the ACK closes it. */
#include "proxy/sip/b2bua_priv.h"

#include "base/log.h"
#include "proxy/sip/sip_headers.h"
#include "proxy/sip/sip_message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SDP_TYPE "application/sdp"

enum err read_sdp(const osip_message_t *message, struct sdp *sdp, bool *has_sdp)
{
    char type[64];
    size_t length;
    const char *body = sip_body(message, &length, type, sizeof(type));
    *has_sdp = false;
    if (!body)
        return OK;
    if (strcmp(type, SDP_TYPE) != 0)
        return ERR_UNSUPPORTED;
    enum err err = sdp_read(sdp, body, length, NULL);
    *has_sdp = err == OK;
    return err == ERR_UNSUPPORTED ? ERR_SYNTAX : err;
}

int status_of(enum err err)
{
    return err == ERR_UNSUPPORTED ? 415 : err == ERR_LENGTH ? 413 : 400;
}

/* --- towards the other side --- */

/* The user of the Request-URI as it came, on the host of the other trunk. */
static enum err target_uri(const struct b2bua *b2bua, enum config_trunk_name trunk, const osip_uri_t *asked,
                           char *text, size_t capacity)
{
    const struct config_trunk *config = &b2bua->config->sip.trunks[trunk];
    char user[SIP_HEADERS_USER_BYTES];
    char host[INET_ADDRSTRLEN];
    char port[8];
    if (sip_headers_user(asked, user, sizeof(user)))
        return ERR_UNSUPPORTED;
    inet_ntop(AF_INET, &config->target.sin_addr, host, sizeof(host));
    snprintf(port, sizeof(port), "%u", ntohs(config->target.sin_port));
    osip_uri_t *uri = NULL;
    char *value = NULL;
    if (osip_uri_init(&uri) != 0)
        return ERR_MEMORY;
    osip_uri_set_scheme(uri, osip_strdup("sip"));
    if (*user)
        osip_uri_set_username(uri, osip_strdup(user));
    osip_uri_set_host(uri, osip_strdup(config->domain[0] ? config->domain : host));
    if (!config->domain[0])
        osip_uri_set_port(uri, osip_strdup(port));
    enum err err = osip_uri_to_str(uri, &value) == 0 ? OK : ERR_MEMORY;
    osip_uri_free(uri);
    if (!err)
        err = snprintf(text, capacity, "%s%s", value,
                       config->transport == CONFIG_TCP ? ";transport=tcp" : "") < (int)capacity
                  ? OK
                  : ERR_LENGTH;
    osip_free(value);
    return err;
}

/* Our own INVITE: new dialog, our addresses, users and allowed headers of the one that came. */
static osip_message_t *first_invite(struct b2bua_call *call, enum media_side to,
                                    const osip_message_t *request)
{
    const struct b2bua *b2bua = call->b2bua;
    enum config_trunk_name trunk = trunk_of(to);
    char uri[LIMIT_SIP_URI_BYTES];
    char host[INET_ADDRSTRLEN];
    char from[LIMIT_SIP_URI_BYTES];
    char remote[LIMIT_SIP_URI_BYTES + 8];
    char tag[LIMIT_SIP_TAG_BYTES];
    char call_id[LIMIT_SIP_CALL_ID_BYTES];
    char random[17];
    const struct sockaddr_in *local =
        sip_transport_local(b2bua->transport, b2bua->config->sip.trunks[trunk].transport);
    if (target_uri(b2bua, trunk, request->req_uri, uri, sizeof(uri)))
        return NULL;
    call_make_tag(call, to, tag);
    sip_random_text(random);
    inet_ntop(AF_INET, &local->sin_addr, host, sizeof(host));
    snprintf(call_id, sizeof(call_id), "%s@%s", random, host);
    snprintf(from, sizeof(from), "<sip:%s:%u>;tag=%s", host, ntohs(local->sin_port), tag);
    /* To without a user: the one of the caller's To is put in by the allow-list. */
    const char *at = strchr(uri, '@');
    const char *end = strchr(uri, ';');
    const char *begin = at ? at + 1 : uri + strlen("sip:");
    snprintf(remote, sizeof(remote), "<sip:%.*s>", (int)(end ? end - begin : (long)strlen(begin)), begin);
    osip_message_t *invite = sip_message_request("INVITE", uri, from, remote, call_id, 1);
    if (!invite)
        return NULL;
    if (sip_headers_cross(request, b2bua->config, invite) ||
        sip_dialog_from_invite(&call->sides[to].dialog, invite, trunk)) {
        osip_message_free(invite);
        return NULL;
    }
    return invite;
}

static enum err fill_invite(struct b2bua_call *call, enum media_side to, osip_message_t *invite,
                            struct sdp *offer)
{
    struct b2bua *b2bua = call->b2bua;
    enum err err = add_contact(b2bua, invite, b2bua->config->sip.trunks[trunk_of(to)].transport);
    if (!err && osip_message_set_header(invite, "User-Agent", "Tonegate") != 0)
        err = ERR_MEMORY;
    if (!err && !sip_header(invite, "Allow") && osip_list_size(&invite->allows) == 0 &&
        osip_message_set_allow(invite, SIP_HEADERS_ALLOW) != 0)
        err = ERR_MEMORY;
    if (!err && offer)
        err = side_describe(call, to, offer);
    if (!err && offer)
        err = add_sdp(invite, call->sides[to].sdp_text, call->sides[to].sdp_length);
    return err;
}

static enum err send_invite(struct b2bua_call *call, struct relay *relay, enum media_side to,
                            osip_message_t *invite)
{
    struct b2bua *b2bua = call->b2bua;
    relay->client_cseq = sip_cseq(invite);
    struct sip_peer peer = sip_dialog_peer(&call->sides[to].dialog, b2bua->config, b2bua->transport);
    if (relay->is_initial)
        peer = sip_transport_trunk(b2bua->transport, trunk_of(to));
    return sip_transaction_request(b2bua->transactions, &peer, invite, relay_cookie(call, relay),
                                   &relay->client);
}

/* The offer of a request, made ours for the other side. ERR_EMPTY: it has none. */
static enum err take_offer(struct b2bua_call *call, struct relay *relay, const osip_message_t *request,
                           struct sdp *ours, int *status)
{
    enum media_side to = other_side(relay->from);
    enum err err = read_sdp(request, &relay->offer, &relay->has_offer);
    if (err) {
        *status = status_of(err);
        return err;
    }
    if (!relay->has_offer)
        return ERR_EMPTY;
    err = sdp_relay_offer(&relay->offer, call->b2bua->config->media.address, call->ports.rtp[to], ours);
    *status = 488;
    return err;
}

/* --- the first INVITE --- */

static void copy_text(char *to, size_t capacity, const char *text)
{
    size_t length = 0;
    for (; *text && length + 1 < capacity; text++) {
        if (*text >= 0x20 && *text < 0x7f)
            to[length++] = *text;
    }
    to[length] = '\0';
}

static void note_names(struct b2bua_call *call, const osip_message_t *request)
{
    char user[SIP_HEADERS_USER_BYTES] = "";
    const char *reference = NULL;
    if (call->b2bua->config->sip.reference_header[0])
        reference = sip_header(request, call->b2bua->config->sip.reference_header);
    copy_text(call->reference, sizeof(call->reference), reference ? reference : "");
    if (sip_headers_user(request->to->url, user, sizeof(user)) == OK)
        copy_text(call->callee, sizeof(call->callee), user);
}

static void initial_key(const osip_message_t *request, char *key, size_t capacity)
{
    char call_id[LIMIT_SIP_CALL_ID_BYTES] = "";
    enum err ignored = sip_call_id(request, call_id, sizeof(call_id));
    (void)ignored;
    snprintf(key, capacity, "%s|%.*s|%u", call_id, LIMIT_SIP_TAG_BYTES - 1, sip_from_tag(request),
             sip_cseq(request));
}

/* The same INVITE by another way (RFC 3261 §8.2.2.2). */
static bool is_merged(const struct b2bua *b2bua, const char *key)
{
    for (size_t place = 0; place < b2bua->call_max; place++) {
        const struct b2bua_call *call = call_at(b2bua, place);
        if (call && call->state == CALL_CALLING && strcmp(call->initial_key, key) == 0)
            return true;
    }
    return false;
}

static struct b2bua_call *admit(struct b2bua *b2bua, sip_transaction_id server, osip_message_t *request)
{
    char key[sizeof(((struct b2bua_call *)0)->initial_key)];
    initial_key(request, key, sizeof(key));
    if (is_merged(b2bua, key)) {
        answer_plain(b2bua, server, request, 482);
        return NULL;
    }
    struct b2bua_call *call = b2bua->is_draining ? NULL : call_new(b2bua);
    if (call && media_call_open(b2bua->options.media, call->id, &call->ports) == OK) {
        memcpy(call->initial_key, key, sizeof(key));
        return call;
    }
    if (call)
        call_end(call);
    b2bua->counts.calls_refused_full++;
    answer_plain(b2bua, server, request, 503);
    return NULL;
}

static int begin(struct b2bua_call *call, struct relay *relay, const osip_message_t *request)
{
    struct b2bua_side *side = &call->sides[relay->from];
    enum media_side to = other_side(relay->from);
    char tag[LIMIT_SIP_TAG_BYTES];
    struct sdp ours;
    int status = 400;
    call_make_tag(call, relay->from, tag);
    side->is_uas = true;
    if (sip_dialog_from_request(&side->dialog, request, trunk_of(relay->from), tag))
        return 400;
    enum err err = take_offer(call, relay, request, &ours, &status);
    if (err && err != ERR_EMPTY)
        return status;
    relay->is_late = err == ERR_EMPTY;
    osip_message_t *invite = first_invite(call, to, request);
    if (!invite)
        return 416; /* a Request-URI that we have no use for */
    if (fill_invite(call, to, invite, relay->is_late ? NULL : &ours)) {
        osip_message_free(invite);
        return 500;
    }
    return send_invite(call, relay, to, invite) ? 503 : 0;
}

void invite_initial(struct b2bua *b2bua, enum media_side from, const struct sip_peer *peer,
                    sip_transaction_id server, osip_message_t *request)
{
    (void)peer;
    struct b2bua_call *call = admit(b2bua, server, request);
    if (!call)
        return;
    call->has_media = true;
    call->ends_at = mono_add_ms(mono_now(), LIMIT_RINGING_S * 1000LL);
    struct relay *relay = call_new_relay(call, from, server, request);
    relay->is_initial = true;
    note_names(call, request);
    osip_message_t *trying = sip_message_response(request, 100, NULL);
    enum err ignored = trying ? sip_transaction_respond(b2bua->transactions, server, trying) : ERR_MEMORY;
    (void)ignored; /* the request will come again */
    int status = begin(call, relay, request);
    if (status) {
        call->has_media = false;
        media_call_close(b2bua->options.media, call->id);
        relay_finish(call, relay, NULL, status, NULL, 0);
        call_end(call);
        return;
    }
    b2bua->counts.calls_started++;
    call_keep_early(call, relay);
    call_tell(call, PROXY_CALL_RINGING);
    call_set_timer(call);
}

/* --- INVITE again --- */

bool call_has_open_offer(const struct b2bua_call *call)
{
    for (size_t i = 0; i < LIMIT_CALL_RELAYS; i++) {
        const struct relay *relay = &call->relays[i];
        if (relay->is_used && relay->request && (relay->has_offer || sip_is(relay->request, "INVITE")))
            return true;
    }
    return call->sides[0].pending.is_used || call->sides[1].pending.is_used;
}

static int begin_again(struct b2bua_call *call, struct relay *relay, osip_message_t *request)
{
    enum media_side to = other_side(relay->from);
    struct sdp ours;
    int status = 400;
    enum err err = take_offer(call, relay, request, &ours, &status);
    if (err && err != ERR_EMPTY)
        return status;
    relay->is_late = err == ERR_EMPTY;
    sip_dialog_refresh(&call->sides[relay->from].dialog, request);
    osip_message_t *invite = sip_dialog_request(&call->sides[to].dialog, "INVITE");
    if (!invite || fill_invite(call, to, invite, relay->is_late ? NULL : &ours)) {
        osip_message_free(invite);
        return 500;
    }
    return send_invite(call, relay, to, invite) ? 503 : 0;
}

void invite_again(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                  osip_message_t *request)
{
    struct relay *relay = NULL;
    int status = 0;
    if (call->state != CALL_ANSWERED || call_has_open_offer(call))
        status = 491; /* glare (RFC 3261 §14.2) */
    else if (!(relay = call_new_relay(call, from, server, request)))
        status = 500;
    if (!relay) {
        enum err ignored = call_respond(call, from, server, request, NULL, status, NULL, 0);
        (void)ignored;
        osip_message_free(request);
        return;
    }
    osip_message_t *trying = sip_message_response(request, 100, NULL);
    enum err ignored =
        trying ? sip_transaction_respond(call->b2bua->transactions, server, trying) : ERR_MEMORY;
    (void)ignored;
    status = begin_again(call, relay, request);
    if (status)
        relay_finish(call, relay, NULL, status, NULL, 0);
    call_keep(call);
}

/* --- answers --- */

/* The answer to relay's offer, from the side that was asked. */
static enum err take_answer(struct b2bua_call *call, const struct relay *relay, const struct sdp *answer)
{
    struct b2bua *b2bua = call->b2bua;
    struct media_leg legs[MEDIA_SIDES];
    struct sdp ours;
    enum err err = sdp_relay_answer(&relay->offer, answer, b2bua->config->media.address,
                                    call->ports.rtp[relay->from], &ours, relay->from, legs);
    if (!err)
        err = side_describe(call, relay->from, &ours);
    return err ? err : media_call_update(b2bua->options.media, call->id, legs);
}

/* A late offer: the 2xx of the asked side brings it; it is for the side that asked. The answer comes with its ACK. */
static enum err take_late_offer(struct b2bua_call *call, struct relay *relay, const struct sdp *offer)
{
    struct sdp ours;
    relay->offer = *offer;
    relay->has_offer = true;
    enum err err =
        sdp_relay_offer(offer, call->b2bua->config->media.address, call->ports.rtp[relay->from], &ours);
    return err ? err : side_describe(call, relay->from, &ours);
}

static void send_dialog_ack(struct b2bua *b2bua, const struct sip_dialog *dialog, uint32_t cseq,
                            const char *sdp, size_t length)
{
    osip_message_t *ack = sip_dialog_ack(dialog, cseq);
    struct sip_peer peer = sip_dialog_peer(dialog, b2bua->config, b2bua->transport);
    if (ack && sdp && add_sdp(ack, sdp, length)) {
        osip_message_free(ack);
        return;
    }
    if (ack)
        sip_transaction_ack(b2bua->transactions, &peer, ack);
}

static void send_ack(struct b2bua_call *call, enum media_side side, uint32_t cseq, const char *sdp,
                     size_t length)
{
    send_dialog_ack(call->b2bua, &call->sides[side].dialog, cseq, sdp, length);
}

/* RFC 3261 §13.2.2.4: acknowledged and ended, unless it is only a late copy of the answer that a call lives by. */
void invite_stray_answer(struct b2bua *b2bua, enum media_side side, const osip_message_t *response)
{
    struct sip_dialog dialog;
    size_t place;
    if (!tag_place(sip_from_tag(response), &place) ||
        sip_dialog_from_answer(&dialog, response, trunk_of(side)))
        return;
    const struct b2bua_call *call = call_at(b2bua, place);
    send_dialog_ack(b2bua, &dialog, sip_cseq(response), NULL, 0);
    if (call && call->state == CALL_ANSWERED && sip_dialog_is_same(&call->sides[side].dialog, &dialog))
        return;
    osip_message_t *bye = sip_dialog_request(&dialog, "BYE");
    struct sip_peer peer = sip_dialog_peer(&dialog, b2bua->config, b2bua->transport);
    if (bye && sip_transaction_request(b2bua->transactions, &peer, bye, 0, NULL))
        log_event(LOG_WARN, "BYE of a second answer could not be sent");
}

static void provisional(struct b2bua_call *call, struct relay *relay, const osip_message_t *response)
{
    int status = response->status_code;
    struct b2bua_side *answerer = &call->sides[other_side(relay->from)];
    if (status == 100 || !relay->request || !relay->is_initial)
        return;
    if (*sip_to_tag(response)) {
        enum err ignored = sip_dialog_from_response(&answerer->dialog, response);
        (void)ignored; /* its 2xx will say it again, and then it counts */
    }
    struct sdp answer;
    bool has_sdp = false;
    const char *text = NULL;
    size_t length = 0;
    /* Early media. A provisional answer that cannot be used is passed on without it; the 2xx decides. */
    if (relay->has_offer && !relay->is_late && read_sdp(response, &answer, &has_sdp) == OK && has_sdp &&
        take_answer(call, relay, &answer) == OK) {
        text = call->sides[relay->from].sdp_text;
        length = call->sides[relay->from].sdp_length;
    }
    enum err ignored =
        call_respond(call, relay->from, relay->server, relay->request, response, status, text, length);
    (void)ignored;
}

/* The 2xx is kept before it is sent, so that the process after this one repeats it until its ACK comes. */
static void keep_answer(struct b2bua_call *call, const struct relay *relay, osip_message_t *response)
{
    struct b2bua *b2bua = call->b2bua;
    struct call_farewell farewell;
    memset(&farewell, 0, sizeof(farewell));
    enum err ignored = sip_transaction_keep_response(b2bua->transactions, relay->server, response,
                                                     &farewell.sides[relay->from]);
    (void)ignored; /* then it is not repeated after a restart */
    call_table_write_farewell(b2bua->table, call_place(call), &farewell);
    call_keep(call);
}

static void note_answered(struct b2bua_call *call)
{
    struct b2bua *b2bua = call->b2bua;
    b2bua->counts.calls_answered++;
    enum err kept =
        media_call_keep(b2bua->options.media, call->id, call_table_media(b2bua->table, call_place(call)));
    if (kept)
        log_event(LOG_WARN, "call would not outlive a restart", LOG_ID("call", call->id),
                  LOG_ERR("error", kept));
    call_tell(call, PROXY_CALL_ANSWERED);
}

/* ERR_*: the asker is gone, it gave up while the answer was on its way. */
static enum err pass_answer(struct b2bua_call *call, struct relay *relay, const osip_message_t *response)
{
    struct b2bua *b2bua = call->b2bua;
    struct b2bua_side *asker = &call->sides[relay->from];
    struct mono_time now = mono_now();
    bool is_first = relay->is_initial;
    osip_message_t *answer =
        call_response(call, relay->from, relay->request, response, 200, asker->sdp_text, asker->sdp_length);
    asker->pending = (struct unacknowledged){.is_used = true,
                                             .server = relay->server,
                                             .cseq = sip_cseq(relay->request),
                                             .interval_ms = b2bua->options.t1_ms,
                                             .again_at = mono_add_ms(now, b2bua->options.t1_ms),
                                             .deadline = mono_add_ms(now, 64 * b2bua->options.t1_ms),
                                             .relay = relay->is_late ? relay : NULL};
    if (is_first) {
        call->state = CALL_ANSWERED;
        call->answered_at = wall_now();
        call->ends_at = mono_add_ms(now, LIMIT_CALL_S * 1000LL);
    }
    if (answer)
        keep_answer(call, relay, answer);
    enum err err = answer ? sip_transaction_respond(b2bua->transactions, relay->server, answer) : ERR_MEMORY;
    osip_message_free(relay->request);
    relay->request = NULL;
    relay->is_accepted = true;
    relay->is_initial = false;
    if (err)
        return err;
    if (is_first)
        note_answered(call);
    call_set_timer(call);
    return OK;
}

/* A 2xx that is nobody's any more: it is acknowledged and ended (RFC 3261 §13.2.2.4). */
static void refuse_answer(struct b2bua_call *call, struct relay *relay, const osip_message_t *response,
                          int status)
{
    enum media_side to = other_side(relay->from);
    bool is_initial = relay->is_initial || call->state == CALL_CANCELLING;
    struct sip_dialog *dialog = &call->sides[to].dialog;
    if (is_initial) {
        enum err ignored = sip_dialog_from_response(dialog, response);
        (void)ignored;
    }
    send_ack(call, to, relay->client_cseq, NULL, 0);
    if (is_initial) {
        call_send_bye(call, to);
        relay_finish(call, relay, NULL, status, NULL, 0);
        call_end(call);
    } else {
        /* The other side now believes in a description that we cannot relay: the call cannot go on. */
        relay_finish(call, relay, NULL, status, NULL, 0);
        call_hang_up(call, status);
    }
}

static void success(struct b2bua_call *call, struct relay *relay, const osip_message_t *response)
{
    enum media_side to = other_side(relay->from);
    if (relay->is_accepted && strcmp(sip_to_tag(response), call->sides[to].dialog.remote_tag) != 0) {
        invite_stray_answer(call->b2bua, to, response); /* another fork's */
        return;
    }
    if (relay->is_accepted) { /* our ACK was lost; a late answer's ACK waits for the asker's */
        if (!relay->is_late)
            send_ack(call, to, relay->client_cseq, NULL, 0);
        else if (!call->sides[relay->from].pending.is_used)
            send_ack(call, to, relay->client_cseq, call->sides[to].sdp_text, call->sides[to].sdp_length);
        return;
    }
    if (call->state == CALL_CANCELLING || !relay->request) {
        refuse_answer(call, relay, response, 487);
        return;
    }
    struct sdp sdp;
    bool has_sdp = false;
    enum err err = read_sdp(response, &sdp, &has_sdp);
    if (!err && relay->is_initial)
        err = sip_dialog_from_response(&call->sides[to].dialog, response);
    else if (!err)
        sip_dialog_refresh(&call->sides[to].dialog, response);
    if (!err && !has_sdp) /* an answer given early may be left out of the 2xx */
        err = relay->is_late || call->sides[relay->from].sdp_length == 0 ? ERR_SYNTAX : OK;
    else if (!err)
        err = relay->is_late ? take_late_offer(call, relay, &sdp) : take_answer(call, relay, &sdp);
    if (err) {
        refuse_answer(call, relay, response, 488);
        return;
    }
    /* The ACK comes last: until then the answerer repeats its 2xx, to whatever process there is. */
    err = pass_answer(call, relay, response);
    if (err || !relay->is_late)
        send_ack(call, to, relay->client_cseq, NULL, 0);
    if (err)
        call_hang_up(call, 500);
}

static void failure(struct b2bua_call *call, struct relay *relay, const osip_message_t *response)
{
    int status = response ? status_across(response->status_code) : 408;
    bool is_dead = !response || response->status_code == 481 || response->status_code == 408;
    if (call->state == CALL_CANCELLING) {
        call_end(call);
    } else if (relay->is_initial) {
        relay_finish(call, relay, response, status, NULL, 0);
        call_end(call);
    } else {
        relay_finish(call, relay, response, status, NULL, 0);
        if (is_dead) /* that dialog is gone (RFC 3261 §12.2.1.2) */
            call_hang_up(call, status);
    }
}

void invite_response(struct b2bua_call *call, struct relay *relay, osip_message_t *response)
{
    if (!response && relay->is_accepted)
        return;
    if (!response || response->status_code >= 300)
        failure(call, relay, response);
    else if (response->status_code < 200)
        provisional(call, relay, response);
    else
        success(call, relay, response);
    osip_message_free(response);
}

/* --- the ACK --- */

static void late_answer(struct b2bua_call *call, struct relay *relay, const osip_message_t *ack)
{
    /* The offer was the asked side's, so the roles are the other way round. */
    enum media_side offerer = other_side(relay->from);
    struct media_leg legs[MEDIA_SIDES];
    struct sdp answer;
    struct sdp ours;
    bool has_sdp = false;
    struct b2bua *b2bua = call->b2bua;
    enum err err = read_sdp(ack, &answer, &has_sdp);
    if (!err && !has_sdp)
        err = ERR_SYNTAX;
    if (!err)
        err = sdp_relay_answer(&relay->offer, &answer, b2bua->config->media.address, call->ports.rtp[offerer],
                               &ours, offerer, legs);
    if (!err)
        err = side_describe(call, offerer, &ours);
    if (!err)
        err = media_call_update(b2bua->options.media, call->id, legs);
    if (err) {
        send_ack(call, offerer, relay->client_cseq, NULL, 0);
        call_hang_up(call, 488);
        return;
    }
    send_ack(call, offerer, relay->client_cseq, call->sides[offerer].sdp_text,
             call->sides[offerer].sdp_length);
}

void invite_ack(struct b2bua_call *call, enum media_side side, osip_message_t *ack)
{
    struct unacknowledged *pending = &call->sides[side].pending;
    if (!pending->is_used || pending->cseq != sip_cseq(ack))
        return;
    struct relay *relay = pending->relay;
    *pending = (struct unacknowledged){.is_used = false};
    if (relay)
        late_answer(call, relay, ack);
    if (call->state == CALL_FREE)
        return;
    call_keep(call);
    call_set_timer(call);
}

void invite_cancelled(struct b2bua_call *call, struct relay *relay)
{
    if (relay->is_initial) {
        call_hang_up(call, 487);
        return;
    }
    /* A re-INVITE: its own answer decides, which now is 487 or comes all the same. */
    sip_transaction_cancel(call->b2bua->transactions, relay->client);
}
