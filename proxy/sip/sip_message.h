/* What the B2BUA does with messages of libosip2: begin a response or request, read a field, put one on the wire.
 * Strings handed out belong to the message. Thread: the control thread. */
#ifndef TONEGATE_PROXY_SIP_SIP_MESSAGE_H
#define TONEGATE_PROXY_SIP_SIP_MESSAGE_H

#include "base/err.h"

#include <osipparser2/osip_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Once per process: the library's tables, and an allocator that overwrites what is freed (INFO bodies hold digits). */
MUST_USE enum err sip_message_init(void);

/* Before the first event base of the process: what libevent frees is overwritten too (streams hold INFO bodies). */
void sip_message_wipe_events(void);

/* A response to the request (RFC 3261 §8.2.6): Via list, From, To, Call-ID and CSeq as they stand, to_tag where To has
 * none and the status is above 100, Record-Route where it makes a dialog. NULL: out of memory. */
osip_message_t *sip_message_response(const osip_message_t *request, int status, const char *to_tag);

/* A request line and the fields every request has. from, to: whole header values. NULL: out of memory or a value that
 * the library does not take. */
osip_message_t *sip_message_request(const char *method, const char *uri, const char *from, const char *to,
                                    const char *call_id, uint32_t cseq);

/* Serialised, terminated; the caller frees with sip_text_free(). ERR_MEMORY, ERR_LENGTH (longer than a UDP message of
 * ours may be). */
MUST_USE enum err sip_message_text(osip_message_t *message, char **text, size_t *length);
void sip_text_free(char *text, size_t length);

const char *sip_reason(int status); /* RFC 3261 §21; never NULL */

bool sip_is(const osip_message_t *message,
            const char *method); /* of the request, or of the response's CSeq */
uint32_t sip_cseq(const osip_message_t *message);
const char *sip_from_tag(const osip_message_t *message); /* "" when there is none */
const char *sip_to_tag(const osip_message_t *message);
/* Value of a header that the library keeps in its list of others; NULL. */
const char *sip_header(const osip_message_t *message, const char *name);
/* A parameter of a Via, From, To or URI list by name, NULL when it is not there. */
osip_generic_param_t *sip_parameter(const osip_list_t *parameters, const char *name);

/* Call-ID as one string. ERR_LENGTH. */
MUST_USE enum err sip_call_id(const osip_message_t *message, char *out, size_t capacity);
/* The first body; NULL and 0 when there is none. type receives "type/subtype" in lower case. */
const char *sip_body(const osip_message_t *message, size_t *length, char *type, size_t type_capacity);

/* Random text of 16 letters for tags, branches, Call-IDs. out has room for 17 bytes. */
void sip_random_text(char *out);

#endif
