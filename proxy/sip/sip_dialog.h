/* A dialog (RFC 3261 §12): plain data with bounded texts, so that it can lie in the call table and outlive the process. */
#ifndef TONEGATE_PROXY_SIP_SIP_DIALOG_H
#define TONEGATE_PROXY_SIP_SIP_DIALOG_H

#include "base/config.h"
#include "base/err.h"
#include "base/limits.h"
#include "proxy/sip/sip_transport.h"

#include <osipparser2/osip_parser.h>
#include <stdbool.h>
#include <stdint.h>

struct sip_dialog {
    char call_id[LIMIT_SIP_CALL_ID_BYTES];
    char local_tag[LIMIT_SIP_TAG_BYTES];
    char remote_tag[LIMIT_SIP_TAG_BYTES];    /* "": early, nothing heard yet */
    char local_party[LIMIT_SIP_PARTY_BYTES]; /* From or To value without its tag */
    char remote_party[LIMIT_SIP_PARTY_BYTES];
    char remote_target[LIMIT_SIP_URI_BYTES];
    char routes[LIMIT_SIP_ROUTES][LIMIT_SIP_URI_BYTES]; /* in the order of our requests */
    uint32_t route_count;
    uint32_t local_cseq;
    uint32_t remote_cseq;
    uint32_t has_remote_cseq;
    uint32_t trunk; /* enum config_trunk_name */
};

/* The dialog that our response to this INVITE makes. ERR_LENGTH (a value longer than base/limits.h says: answer 400),
 * ERR_SYNTAX (no Contact). */
MUST_USE enum err sip_dialog_from_request(struct sip_dialog *dialog, const osip_message_t *invite,
                                          enum config_trunk_name trunk, const char *local_tag);

/* Before our INVITE leaves: its parties and Call-ID. The target is the Request-URI until a response says better. */
MUST_USE enum err sip_dialog_from_invite(struct sip_dialog *dialog, const osip_message_t *invite,
                                         enum config_trunk_name trunk);

/* A response to our INVITE with a To tag: remote tag, target, route set. Also used when a 2xx comes from another fork than
 * the early dialog. */
MUST_USE enum err sip_dialog_from_response(struct sip_dialog *dialog, const osip_message_t *response);

/* The dialog of a 2xx to an INVITE of ours that nothing else is known of. ERR_LENGTH, ERR_SYNTAX. */
MUST_USE enum err sip_dialog_from_answer(struct sip_dialog *dialog, const osip_message_t *response,
                                         enum config_trunk_name trunk);

/* Same Call-ID and tags. */
bool sip_dialog_is_same(const struct sip_dialog *dialog, const struct sip_dialog *other);

/* A request of the other side within the dialog, other than ACK: its CSeq must be new. ERR_ORDER: answer 500. */
MUST_USE enum err sip_dialog_receive(struct sip_dialog *dialog, const osip_message_t *request);

/* Contact of a target refresh (re-INVITE, UPDATE and their 2xx). Values that are too long leave the old target. */
void sip_dialog_refresh(struct sip_dialog *dialog, const osip_message_t *message);

/* Same Call-ID and both tags. */
bool sip_dialog_matches(const struct sip_dialog *dialog, const osip_message_t *request);

/* A request within the dialog with the next CSeq, or for ACK with the one given. NULL: out of memory. */
osip_message_t *sip_dialog_request(struct sip_dialog *dialog, const char *method);
osip_message_t *sip_dialog_ack(const struct sip_dialog *dialog, uint32_t cseq);

/* Where such a request goes: to the first route or the target where that is an address of its trunk, otherwise to the
 * trunk's own target, so that no header can send us to a stranger. */
struct sip_peer sip_dialog_peer(const struct sip_dialog *dialog, const struct config *config,
                                const struct sip_transport *transport);

#endif
