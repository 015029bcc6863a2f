/* Keys that come by SIP INFO (RFC 6086), in the two forms seen in the field. */
#ifndef TONEGATE_PROXY_SIP_DTMF_INFO_H
#define TONEGATE_PROXY_SIP_DTMF_INFO_H

#include "base/err.h"
#include "proxy/proxy_msg.h"

#include <stddef.h>

/* type is the body's "type/subtype" in lower case: application/dtmf-relay ("Signal=5", "Duration=160" lines) or
 * application/dtmf (the key alone, as character or as number 10..15 of RFC 4733). *duration_ms is 0 when it is not said.
 * ERR_UNSUPPORTED (another type: answer 415), ERR_SYNTAX (answer 400). Never keeps or logs what it read. */
MUST_USE enum err dtmf_info_read(const char *type, const char *body, size_t length, dtmf_key *key,
                                 unsigned *duration_ms);

#endif
