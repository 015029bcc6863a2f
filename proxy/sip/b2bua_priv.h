/* What the files of the B2BUA share: b2bua.c (who gets a message), b2bua_call.c (a call's life), b2bua_invite.c (offers
 * and answers), b2bua_request.c (all other requests). */
#ifndef TONEGATE_PROXY_SIP_B2BUA_PRIV_H
#define TONEGATE_PROXY_SIP_B2BUA_PRIV_H

#include "base/clock.h"
#include "proxy/sip/b2bua.h"
#include "proxy/sip/call_table.h"
#include "proxy/sip/sdp.h"
#include "proxy/sip/sip_dialog.h"

/* One request on its way from one side to the other. */
struct relay {
    bool is_used;
    bool is_initial;  /* the INVITE that makes the call */
    bool is_accepted; /* INVITE: its 2xx was passed on */
    bool is_late;     /* INVITE without SDP: the 2xx brings the offer, the ACK the answer */
    bool has_offer;
    uint16_t serial; /* in the cookie, so that a response to an earlier use is not mistaken */
    enum media_side from;
    osip_message_t *request; /* to answer it; NULL once that is done */
    sip_transaction_id server;
    sip_transaction_id client;
    uint32_t client_cseq;
    struct sdp offer;
};

/* A 2xx to an INVITE, sent again until its ACK comes (RFC 3261 §13.3.1.4). */
struct unacknowledged {
    bool is_used;
    sip_transaction_id server;
    uint32_t cseq;
    unsigned interval_ms;
    struct mono_time again_at;
    struct mono_time deadline;
    struct relay *relay; /* whose other side waits for the ACK too (late offer); NULL */
};

struct b2bua_side {
    struct sip_dialog dialog;
    bool is_uas; /* it sent the INVITE that made the call */
    bool is_confirmed;
    uint64_t sdp_session_id, sdp_session_version;
    char sdp_text[LIMIT_SDP_BYTES]; /* what it was last told */
    size_t sdp_length;
    struct unacknowledged pending;
    struct mono_time silent_at; /* when media last said so; ns 0: never */
};

enum b2bua_call_state {
    CALL_FREE,
    CALL_CALLING,    /* INVITE sent on, no final answer */
    CALL_ANSWERED,   /* 2xx passed on */
    CALL_CANCELLING, /* the inviting side is done with; the other side's final answer is awaited */
};

struct b2bua_call {
    struct b2bua *b2bua;
    enum b2bua_call_state state;
    uint64_t id;
    uint16_t generation;
    uint64_t capture_id;
    bool has_media;
    struct media_ports ports;
    struct b2bua_side sides[MEDIA_SIDES];
    struct relay relays[LIMIT_CALL_RELAYS];
    uint16_t next_serial;
    struct event *timer;
    struct mono_time ends_at; /* ringing limit, then longest call */
    struct wall_time started_at, answered_at;
    char reference[LIMIT_CALL_REFERENCE_BYTES];
    char callee[LIMIT_CALL_REFERENCE_BYTES];
    char initial_key[LIMIT_SIP_CALL_ID_BYTES + LIMIT_SIP_TAG_BYTES + 16]; /* finds merged requests */
};

struct b2bua {
    struct b2bua_options options;
    const struct config *config;
    struct sip_transport *transport;
    struct sip_transactions *transactions;
    struct call_table *table;
    struct b2bua_call **calls; /* calls_max places, made at first use */
    size_t call_max;
    size_t call_count;
    bool is_draining;
    struct b2bua_counts counts;
};

static inline enum media_side other_side(enum media_side side)
{
    return side == MEDIA_CALLER ? MEDIA_AGENT : MEDIA_CALLER;
}

static inline enum config_trunk_name trunk_of(enum media_side side)
{
    return side == MEDIA_CALLER ? CONFIG_TRUNK_CARRIER : CONFIG_TRUNK_CONTACT_CENTRE;
}

/* --- b2bua_call.c --- */
/* NULL: no place is free, or no memory. */
struct b2bua_call *call_new(struct b2bua *b2bua);
struct b2bua_call *call_at(const struct b2bua *b2bua, size_t place);
size_t call_place(const struct b2bua_call *call);
/* By the local tag of one of its dialogs. NULL: none. */
struct b2bua_call *call_find(const struct b2bua *b2bua, const osip_message_t *request, enum media_side side);
struct b2bua_call *call_find_id(const struct b2bua *b2bua, uint64_t call_id);
/* The place that a tag of ours names. False: it is none of ours. */
bool tag_place(const char *tag, size_t *place);
void call_make_tag(const struct b2bua_call *call, enum media_side side, char *tag);
void call_set_timer(struct b2bua_call *call);
void call_keep(struct b2bua_call *call); /* writes its slot of the table */
/* The same for one that is not answered: how to end it. */
void call_keep_early(struct b2bua_call *call, const struct relay *relay);
void call_tell(struct b2bua_call *call, enum proxy_call_state state);
/* Media, desk and table learn that it is over; the place is freed. */
void call_end(struct b2bua_call *call);
/* Its media and its place in the table go now, itself stays until the last answer. */
void call_end_media(struct b2bua_call *call);
void call_send_bye(struct b2bua_call *call, enum media_side side);
/* BYE or CANCEL or a failure to each side as its state wants, then call_end(). */
void call_hang_up(struct b2bua_call *call, int status_for_inviter);
struct relay *call_new_relay(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                             osip_message_t *request);
void relay_free(struct relay *relay);
uint64_t relay_cookie(const struct b2bua_call *call, const struct relay *relay);
struct b2bua_call *call_of_cookie(const struct b2bua *b2bua, uint64_t cookie, struct relay **relay);
/* What a cookie says of a call that may be gone: the side that was asked. */
enum media_side cookie_side(uint64_t cookie);
/* The answer to a request of that side within the call: adds Contact, Allow and SDP where they belong. Frees nothing. */
enum err call_respond(struct b2bua_call *call, enum media_side side, sip_transaction_id server,
                      const osip_message_t *request, const osip_message_t *crossing, int status,
                      const char *sdp, size_t sdp_length);
/* The same without sending. NULL: no memory. */
osip_message_t *call_response(struct b2bua_call *call, enum media_side side, const osip_message_t *request,
                              const osip_message_t *crossing, int status, const char *sdp, size_t sdp_length);
/* Gives a relay its final answer and frees it. */
void relay_finish(struct b2bua_call *call, struct relay *relay, const osip_message_t *crossing, int status,
                  const char *sdp, size_t sdp_length);
enum err add_contact(const struct b2bua *b2bua, osip_message_t *message, enum config_transport transport);
enum err add_sdp(osip_message_t *message, const char *text, size_t length);
/* The description for a side as text, its version raised when it changed. ERR_FULL. */
enum err side_describe(struct b2bua_call *call, enum media_side side, struct sdp *sdp);

/* --- b2bua_invite.c --- */
void invite_initial(struct b2bua *b2bua, enum media_side from, const struct sip_peer *peer,
                    sip_transaction_id server, osip_message_t *request);
void invite_again(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                  osip_message_t *request);
void invite_response(struct b2bua_call *call, struct relay *relay, osip_message_t *response);
void invite_ack(struct b2bua_call *call, enum media_side side, osip_message_t *ack);
void invite_cancelled(struct b2bua_call *call, struct relay *relay);
/* Reads the SDP of a message. OK with *has_sdp false when there is no body. ERR_UNSUPPORTED: another type (415). */
enum err read_sdp(const osip_message_t *message, struct sdp *sdp, bool *has_sdp);
int status_of(enum err err); /* of an SDP that cannot be used */
/* An offer of either side waits for its answer, or an answer for its ACK. */
bool call_has_open_offer(const struct b2bua_call *call);
/* A 2xx that belongs to no INVITE of a call: another fork's, or one that came when all was over. */
void invite_stray_answer(struct b2bua *b2bua, enum media_side side, const osip_message_t *response);

/* --- b2bua_request.c --- */
void request_in_call(struct b2bua_call *call, enum media_side from, sip_transaction_id server,
                     osip_message_t *request);
void request_response(struct b2bua_call *call, struct relay *relay, osip_message_t *response);
/* What a failure of one leg is told as on the other. */
int status_across(int status);

/* --- b2bua.c --- */
/* Answers without a call; frees the request. */
void answer_plain(struct b2bua *b2bua, sip_transaction_id server, osip_message_t *request, int status);

#endif
