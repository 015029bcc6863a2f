/* All requests within a call but INVITE: BYE, UPDATE, INFO, OPTIONS. */
#include "proxy/sip/b2bua_priv.h"

#include "base/log.h"
#include "base/secret.h"
#include "proxy/sip/dtmf_info.h"
#include "proxy/sip/sip_headers.h"
#include "proxy/sip/sip_message.h"

#include <string.h>

/* A leg's challenge is its own business: no credentials of ours ever answer it, and the other leg does not learn of it
 * (CVE-2021-41158). A redirection would lead past the trunks. */
int status_across(int status)
{
    if (status == 401 || status == 407)
        return 403;
    if (status >= 300 && status < 400)
        return 480;
    if (status < 200 || status > 699)
        return 500;
    return status;
}

static void answer(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                   osip_message_t *request, int status)
{
    enum err ignored = call_respond(call, from, server, request, NULL, status, NULL, 0);
    (void)ignored; /* the peer sends it again */
    osip_message_free(request);
}

static void take_bye(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                     osip_message_t *request)
{
    if (call->state != CALL_ANSWERED) {
        answer(call, from, server, request, 200);
        call_hang_up(call, 487);
        return;
    }
    /* In this order: were we to die on the way, an unanswered BYE would come again to the process after us. */
    call_send_bye(call, other_side(from));
    answer(call, from, server, request, 200);
    call_end(call);
}

/* Passes a request on with the body given. 0, or the status it is to be refused with. */
static int pass_on(struct b2bua_call *call, struct relay *relay, const char *method, const char *type,
                   const char *body, size_t length)
{
    struct b2bua *b2bua = call->b2bua;
    enum media_side to = other_side(relay->from);
    struct sip_dialog *dialog = &call->sides[to].dialog;
    osip_message_t *request = sip_dialog_request(dialog, method);
    if (!request)
        return 500;
    if ((body && (osip_message_set_content_type(request, type) != 0 ||
                  osip_message_set_body(request, body, length) != 0)) ||
        (strcmp(method, "UPDATE") == 0 &&
         add_contact(b2bua, request, b2bua->config->sip.trunks[trunk_of(to)].transport))) {
        osip_message_free(request);
        return 500;
    }
    struct sip_peer peer = sip_dialog_peer(dialog, b2bua->config, b2bua->transport);
    if (sip_transaction_request(b2bua->transactions, &peer, request, relay_cookie(call, relay),
                                &relay->client))
        return 503;
    call_keep(call);
    return 0;
}

static struct relay *relay_or_refuse(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                                     osip_message_t *request)
{
    struct relay *relay = call->state == CALL_ANSWERED ? call_new_relay(call, from, server, request) : NULL;
    if (!relay)
        answer(call, from, server, request, 500);
    return relay;
}

/* UPDATE (RFC 3311): with an offer it is passed on, without one it only refreshes the target. */
static void take_update(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                        osip_message_t *request)
{
    bool is_glare = call_has_open_offer(call);
    struct relay *relay = relay_or_refuse(call, from, server, request);
    struct sdp ours;
    int status = 0;
    if (!relay)
        return;
    enum err err = read_sdp(request, &relay->offer, &relay->has_offer);
    sip_dialog_refresh(&call->sides[from].dialog, request);
    if (err) {
        status = status_of(err);
    } else if (!relay->has_offer) {
        status = 200;
    } else if (is_glare) {
        status = 491; /* RFC 3311 §5.2 */
    } else if (sdp_relay_offer(&relay->offer, call->b2bua->config->media.address,
                               call->ports.rtp[other_side(from)], &ours)) {
        status = 488;
    } else {
        struct b2bua_side *to = &call->sides[other_side(from)];
        status = side_describe(call, other_side(from), &ours)
                     ? 500
                     : pass_on(call, relay, "UPDATE", "application/sdp", to->sdp_text, to->sdp_length);
    }
    if (status)
        relay_finish(call, relay, NULL, status, NULL, 0);
    call_keep(call);
}

/* True: the key must not be relayed. Only a leg that is surely not armed lets one pass; a key that an armed leg could not
 * take is lost and said to be (the caller may press again), never relayed. */
static bool keep_key(struct b2bua_call *call, dtmf_key key, unsigned duration_ms, int *status)
{
    enum err err = media_call_info_key(call->b2bua->options.media, call->id, key, duration_ms);
    if (err == ERR_ORDER && call->capture_id == 0)
        return false;
    call->b2bua->counts.infos_removed++;
    *status = err == OK || err == ERR_ORDER ? 200 : 500;
    return true;
}

/* A key of the caller on an armed leg ends here; elsewhere it is passed on. Only the two forms of keys are known: any
 * other body could carry what we do not look for. */
static void take_info(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                      osip_message_t *request)
{
    char type[64];
    size_t length;
    dtmf_key key = 0;
    unsigned duration_ms = 0;
    int status = 200;
    const char *body = sip_body(request, &length, type, sizeof(type));
    if (!body) {
        answer(call, from, server, request,
               200); /* RFC 6086 §4.2.2: without a body it asks only whether we live */
        return;
    }
    enum err err = dtmf_info_read(type, body, length, &key, &duration_ms);
    if (!err && from == MEDIA_CALLER && keep_key(call, key, duration_ms, &status)) {
        wipe(&key, sizeof(key));
        answer(call, from, server, request, status);
        return;
    }
    wipe(&key, sizeof(key));
    if (err) {
        answer(call, from, server, request, err == ERR_UNSUPPORTED ? 415 : 400);
        return;
    }
    struct relay *relay = relay_or_refuse(call, from, server, request);
    status = relay ? pass_on(call, relay, "INFO", type, body, length) : 0;
    if (status)
        relay_finish(call, relay, NULL, status, NULL, 0);
}

void request_in_call(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                     osip_message_t *request)
{
    if (sip_dialog_receive(&call->sides[from].dialog, request))
        answer(call, from, server, request, 500);
    else if (sip_is(request, "BYE"))
        take_bye(call, from, server, request);
    else if (sip_is(request, "INVITE"))
        invite_again(call, from, server, request);
    else if (sip_is(request, "UPDATE"))
        take_update(call, from, server, request);
    else if (sip_is(request, "INFO"))
        take_info(call, from, server, request);
    else
        answer_plain(call->b2bua, server, request, sip_is(request, "OPTIONS") ? 200 : 405);
}

static void update_answered(struct b2bua_call *call, struct relay *relay, const osip_message_t *response)
{
    struct b2bua *b2bua = call->b2bua;
    struct b2bua_side *asker = &call->sides[relay->from];
    struct media_leg legs[MEDIA_SIDES];
    struct sdp answer_sdp;
    struct sdp ours;
    bool has_sdp = false;
    enum err err = read_sdp(response, &answer_sdp, &has_sdp);
    sip_dialog_refresh(&call->sides[other_side(relay->from)].dialog, response);
    if (!err && !has_sdp)
        err = ERR_SYNTAX;
    if (!err)
        err = sdp_relay_answer(&relay->offer, &answer_sdp, b2bua->config->media.address,
                               call->ports.rtp[relay->from], &ours, relay->from, legs);
    if (!err)
        err = side_describe(call, relay->from, &ours);
    if (!err)
        err = media_call_update(b2bua->options.media, call->id, legs);
    if (err) {
        relay_finish(call, relay, NULL, 488, NULL, 0);
        call_hang_up(call, 488);
        return;
    }
    relay_finish(call, relay, NULL, 200, asker->sdp_text, asker->sdp_length);
    call_keep(call);
}

void request_response(struct b2bua_call *call, struct relay *relay, osip_message_t *response)
{
    int status = response ? response->status_code : 408;
    if (status < 200) {
        osip_message_free(response);
        return;
    }
    if (status < 300 && relay->has_offer)
        update_answered(call, relay, response);
    else
        relay_finish(call, relay, NULL, status < 300 ? 200 : status_across(status), NULL, 0);
    /* The far dialog is gone. A time-out of an INFO alone is not taken for that. */
    if (status == 481 && call->state == CALL_ANSWERED)
        call_hang_up(call, 481);
    osip_message_free(response);
}
