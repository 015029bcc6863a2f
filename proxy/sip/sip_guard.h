/* The guard before the SIP library: nothing reaches libosip2 that has not passed here.
 *
 * libosip2 is not a validator (it accepts 9 of the 19 invalid messages of RFC 4475 whole) and parses in quadratic time,
 * so sizes, counts and line forms are capped on the raw bytes first, and what RFC 3261 demands of the start line and
 * the headers we use is checked here. Pure: no state, no allocation. Any thread. */
#ifndef TONEGATE_PROXY_SIP_SIP_GUARD_H
#define TONEGATE_PROXY_SIP_SIP_GUARD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum sip_guard_action {
    SIP_GUARD_PASS,   /* hand it to the parser */
    SIP_GUARD_ANSWER, /* a request whose Via, From, To, Call-ID and CSeq can be read: answer with status */
    SIP_GUARD_DROP,   /* not worth or not fit for an answer (responses, ACK, unreadable) */
};

struct sip_guard_verdict {
    enum sip_guard_action action;
    int status;         /* SIP_GUARD_ANSWER: 400, 413, 414, 416, 420, 501, 505 … */
    const char *reason; /* a constant, e.g. "negative Content-Length (RFC 3261 §20.14)"; NULL on PASS */
    bool is_request;
    size_t header_bytes; /* start line and headers, with the empty line */
    size_t body_bytes;   /* by Content-Length; on UDP bytes after it are cut (RFC 3261 §18.3) */
};

/* is_stream: TCP, where Content-Length is compulsory and the message ends with it. */
void sip_guard_check(const char *message, size_t length, bool is_stream, struct sip_guard_verdict *verdict);

/* The whole answer to a message whose verdict is SIP_GUARD_ANSWER, built from its raw bytes: Via, From, To (with a tag),
 * Call-ID and CSeq as they stand, nothing else of it. The library is not asked: it never sees what was refused. Also for
 * messages that passed and that the B2BUA refuses without a transaction: set verdict->status first.
 * to_tag is used when To has none. source, source_port (host byte order): where the message came from, for received
 * and rport (RFC 3581 §4); NULL leaves the topmost Via as it is. allow: value of an Allow header, NULL for none.
 * ERR_FULL, ERR_ORDER (no status, or the message cannot be answered). */
MUST_USE enum err sip_guard_answer(const char *message, size_t length,
                                   const struct sip_guard_verdict *verdict, const char *to_tag,
                                   const char *source, unsigned source_port, const char *allow, char *out,
                                   size_t capacity, size_t *out_length);

/* Where the next message on a stream ends. *skip is always set: leading CRLF keep-alives (RFC 3261 §7.5), which may be
 * thrown away at once. OK: the message is *message_length bytes from bytes + *skip. ERR_EMPTY: more bytes are needed.
 * ERR_LENGTH (it can never fit), ERR_SYNTAX (its lines or its length are in doubt, so is where the next one would
 * begin): the connection must be closed. */
MUST_USE enum err sip_guard_frame(const char *bytes, size_t length, size_t *skip, size_t *message_length);

#endif
