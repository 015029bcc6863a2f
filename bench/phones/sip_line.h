/* One SIP dialogue of a test phone over UDP, on libosip2's transaction machines: call or be called, INFO, BYE,
 * retransmissions of 2xx and ACK. Strict where a peer could hide a fault: what is not understood is counted, not hidden.
 *
 * Thread: one. Nothing blocks: poll sip_line_fd() for reading, call sip_line_run() when it is readable and at least every
 * sip_line_wait_ms(). */
#ifndef TONEGATE_BENCH_PHONES_SIP_LINE_H
#define TONEGATE_BENCH_PHONES_SIP_LINE_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIP_LINE_BYTES 8192

struct sip_line; /* opaque */

struct sip_line_handlers {
    void *owner;
    /* Called: an INVITE without a dialogue. Answer with sip_line_answer() or sip_line_reject(), now or later. */
    void (*offered)(void *owner, const char *sdp, size_t length);
    void (*ringing)(void *owner, int status);
    /* Our INVITE was accepted (ACK is sent), or our answer was acknowledged (then sdp is NULL). */
    void (*established)(void *owner, const char *sdp, size_t length);
    /* The peer re-invites; the line answers with its own description. */
    void (*changed)(void *owner, const char *sdp, size_t length);
    void (*info)(void *owner, const char *content_type, const char *body, size_t length);
    /* Once. status: 200 after BYE, the final response's otherwise, 408 when nobody answered. */
    void (*ended)(void *owner, int status, bool is_by_peer);
};

struct sip_line_counts {
    unsigned infos_received;
    unsigned infos_answered; /* of ours, 200 */
    unsigned infos_refused;  /* of ours, other */
    unsigned reinvites;
    unsigned unparsable;
    unsigned strangers; /* messages outside the dialogue */
};

/* Binds to address (port 0: any). ERR_SYSTEM, ERR_MEMORY. */
MUST_USE enum err sip_line_new(struct sip_line **out, const struct sockaddr_in *address,
                               const struct sip_line_handlers *handlers);
void sip_line_free(struct sip_line *line);

int sip_line_fd(const struct sip_line *line);
struct sockaddr_in sip_line_address(const struct sip_line *line);
unsigned sip_line_wait_ms(const struct sip_line *line);
void sip_line_run(struct sip_line *line);

/* INVITE to sip:user@peer. headers: further header lines, each with CRLF, or "". ERR_ORDER, ERR_LENGTH. */
MUST_USE enum err sip_line_call(struct sip_line *line, const struct sockaddr_in *peer, const char *from_user,
                                const char *to_user, const char *headers, const char *sdp);
MUST_USE enum err sip_line_ring(struct sip_line *line);
MUST_USE enum err sip_line_answer(struct sip_line *line, const char *sdp);
MUST_USE enum err sip_line_reject(struct sip_line *line, int status);
MUST_USE enum err sip_line_info(struct sip_line *line, const char *content_type, const char *body);

/* BYE, or CANCEL while it rings. `ended` follows. */
MUST_USE enum err sip_line_hang_up(struct sip_line *line);

const struct sip_line_counts *sip_line_counts(const struct sip_line *line);

#endif
