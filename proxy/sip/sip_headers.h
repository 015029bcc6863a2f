/* What of a message on one leg appears on the other. Headers are rebuilt from an allow-list, never copied: a header
 * that is not named here does not cross, however its name is spelled (a proxy that removed headers by name was passed
 * by "X-Header :", CVE-2020-28361).
 *
 *   From, To           display name and user, into the URIs that `out` has already; only where those have no user yet
 *   Max-Forwards       one less, at most 70 (requests)
 *   Allow              cut to SIP_HEADERS_ALLOW
 *   P-Asserted-Identity, Privacy  both trunks are one trust domain (RFC 3325 §2): display name and user cross, the host
 *                      becomes that of out's From; Privacy by known values, and without one of them no identity crosses
 *   Diversion          RFC 5806: user, reason, counter, privacy; contact centres route by it. History-Info does not
 *                      cross: its index tree and embedded headers show the topology, and Diversion says what is used
 *   Reason             RFC 3326: protocol SIP or Q.850 and the cause number, no text
 *   X-..., User-to-User (RFC 7433)  those that config names, values without control characters
 *
 * Contact, Via, Call-ID, CSeq, Route, User-Agent, Content-Type and the body are the B2BUA's own. Supported stays behind: none
 * of the extensions seen in it could be kept by a peer through us (timer: each leg has its own session timer or none;
 * 100rel: until PRACK is relayed; replaces: dialog identifiers differ on the legs). */
#ifndef TONEGATE_PROXY_SIP_SIP_HEADERS_H
#define TONEGATE_PROXY_SIP_SIP_HEADERS_H

#include "base/config.h"
#include "base/err.h"
#include "proxy/sip/sip_guard.h"

#include <osipparser2/osip_parser.h>
#include <stdbool.h>
#include <stddef.h>

/* The methods of our Allow header. */
#define SIP_HEADERS_ALLOW "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE"

#define SIP_HEADERS_MAX_FORWARDS 70
#define SIP_HEADERS_USER_BYTES   256

/* Starts the library, once and before any thread. Its own tracing is switched off: it prints pieces of messages. */
void sip_headers_start(void);

/* The one way into libosip2: parses a message that sip_guard_check() passed, from a copy with zeroed slack behind it,
 * and compares what the library understood with what the guard saw. `message` and `verdict` as of that check. *out is
 * freed with osip_message_free(). After sip_headers_start().
 * ERR_SYNTAX (the library refuses: answer 400 by sip_guard_answer), ERR_MEMORY. */
MUST_USE enum err sip_headers_parse(const char *message, const struct sip_guard_verdict *verdict,
                                    osip_message_t **out);

/* in   a message as received on one leg, request or response.
 * out  the message for the other leg, begun by the B2BUA: request line or status, From and To with the host they shall
 *      have. Headers are added to it, nothing it has is changed except the From and To users as said above.
 * ERR_REFUSED: Max-Forwards is used up, answer 483 (Too Many Hops). ERR_SYNTAX: a value on the list cannot be rebuilt
 * safely (such optional ones are left out, so this is about From and To). ERR_MEMORY. */
MUST_USE enum err sip_headers_cross(const osip_message_t *in, const struct config *config,
                                    osip_message_t *out);

/* The user part of a sip: or tel: URI, unescaped; "" when it has none.
 * ERR_LENGTH (capacity), ERR_SYNTAX (control characters behind the escapes), ERR_UNSUPPORTED (another scheme). */
MUST_USE enum err sip_headers_user(const osip_uri_t *uri, char *user, size_t capacity);

/* True when Require names an extension that we do not have (none so far): answer 420. *unsupported (capacity included
 * the terminating zero) receives the value of the Unsupported header. */
bool sip_headers_require_unknown(const osip_message_t *in, char *unsupported, size_t capacity);

#endif
