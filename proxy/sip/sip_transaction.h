/* The transaction layer (RFC 3261 §17 with RFC 6026): retransmissions, time-outs, matching by an own hash.
 *
 * libosip2's look-up walks a list and grows from 24 to 300 us with live transactions; its machines keep pointers to
 * messages that outlive their calls. Here the machines are small, a transaction holds only text, and the user of the layer holds only
 * ids: a call may be freed while its transactions live, and an id of one that is over is simply not found.
 * Thread: the control thread. */
#ifndef TONEGATE_PROXY_SIP_SIP_TRANSACTION_H
#define TONEGATE_PROXY_SIP_SIP_TRANSACTION_H

#include "base/config.h"
#include "base/err.h"
#include "proxy/sip/sip_transport.h"

#include <event2/event.h>
#include <osipparser2/osip_parser.h>
#include <stdint.h>

struct sip_transactions;

/* Never 0, never used twice. */
typedef uint64_t sip_transaction_id;

/* What the user of the layer is told. Messages belong to the handler. */
struct sip_transaction_user {
    /* A new request that is not ACK or CANCEL. Answer with sip_transaction_respond(server, …). */
    void (*request_h)(void *owner, enum config_trunk_name trunk, const struct sip_peer *peer,
                      sip_transaction_id server, osip_message_t *request);
    /* An ACK that belongs to a 2xx. */
    void (*ack_h)(void *owner, enum config_trunk_name trunk, osip_message_t *ack);
    /* The INVITE was cancelled; the CANCEL has its 200 already. */
    void (*cancel_h)(void *owner, sip_transaction_id server);
    /* A response, 2xx to an INVITE each time it comes; NULL: none came in time, or it could not be sent. */
    void (*response_h)(void *owner, uint64_t cookie, sip_transaction_id client, osip_message_t *response);
    /* A 2xx to an INVITE that no transaction knows: sent by the process before this one, say. */
    void (*stray_h)(void *owner, enum config_trunk_name trunk, osip_message_t *response);
};

struct sip_transaction_counts {
    uint64_t servers;
    uint64_t clients;
    uint64_t retransmissions; /* sent by us */
    uint64_t absorbed;        /* requests that came again */
    uint64_t strays;          /* responses to nothing */
    uint64_t timeouts;
    uint64_t refused_full; /* requests dropped above LIMIT_SIP_TRANSACTIONS */
    uint32_t live;
};

#define SIP_T1_MS 500
#define SIP_T2_MS 4000
#define SIP_T4_MS 5000

/* t1_ms: SIP_T1_MS; tests shorten it, and T2 and T4 with it. ERR_MEMORY. */
MUST_USE enum err sip_transactions_new(struct sip_transactions **out, struct event_base *base,
                                       struct sip_transport *transport, unsigned t1_ms,
                                       const struct sip_transaction_user *user, void *owner);
void sip_transactions_free(struct sip_transactions *layer);

/* A message from the transport; it belongs to the layer from here on. */
void sip_transactions_take(struct sip_transactions *layer, enum config_trunk_name trunk,
                           const struct sip_peer *peer, osip_message_t *message);

/* Sends a response and frees it. ERR_NOT_FOUND (the transaction is over), ERR_ORDER (it has its final response). */
MUST_USE enum err sip_transaction_respond(struct sip_transactions *layer, sip_transaction_id server,
                                          osip_message_t *response);

/* Sends the last response again: a 2xx to an INVITE until its ACK comes (RFC 3261 §13.3.1.4), which is the call's to time.
 * ERR_NOT_FOUND. */
MUST_USE enum err sip_transaction_repeat(struct sip_transactions *layer, sip_transaction_id server);

/* Puts a Via on the request, sends and retransmits it; frees it. response_h is called with the cookie. *client may be NULL.
 * ERR_MEMORY, ERR_LENGTH, ERR_FULL. A transport that fails is told by response_h later. */
MUST_USE enum err sip_transaction_request(struct sip_transactions *layer, const struct sip_peer *peer,
                                          osip_message_t *request, uint64_t cookie,
                                          sip_transaction_id *client);

/* Cancels an INVITE, once a provisional response allows it (RFC 3261 §9.1). Unknown ids are ignored. */
void sip_transaction_cancel(struct sip_transactions *layer, sip_transaction_id client);

/* Sends an ACK for a 2xx, which is a transaction of its own without a response; frees it. */
void sip_transaction_ack(struct sip_transactions *layer, const struct sip_peer *peer, osip_message_t *ack);

/* A message as plain data with what its transaction needs, for the process after this one. length 0: none. */
struct sip_farewell {
    struct sip_peer peer;
    uint32_t status; /* of a response; 0: a request */
    uint32_t length;
    char key[LIMIT_SIP_KEY_BYTES];
    char text[LIMIT_SIP_FAREWELL_BYTES];
};

/* A final response to an open INVITE, and the CANCEL of one of ours. ERR_NOT_FOUND, ERR_LENGTH, ERR_MEMORY. */
MUST_USE enum err sip_transaction_keep_response(struct sip_transactions *layer, sip_transaction_id server,
                                                osip_message_t *response, struct sip_farewell *farewell);
MUST_USE enum err sip_transaction_keep_cancel(struct sip_transactions *layer, sip_transaction_id client,
                                              struct sip_farewell *farewell);
/* In that process: sends it, again and again as its kind wants; a 2xx by sip_transaction_repeat(*id). ERR_SYNTAX (not
 * whole), ERR_FULL. */
MUST_USE enum err sip_transaction_say_farewell(struct sip_transactions *layer,
                                               const struct sip_farewell *farewell, sip_transaction_id *id);

/* True while responses can still be sent to it. */
bool sip_transaction_is_open(const struct sip_transactions *layer, sip_transaction_id server);

void sip_transaction_counts(const struct sip_transactions *layer, struct sip_transaction_counts *counts);

#endif
