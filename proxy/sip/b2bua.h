/* The back-to-back user agent: calls of two dialogs between the two trunks, with the media between them.
 *
 * The caller's side is always the carrier's, whoever called. Requests of one trunk go to the other; nobody else is
 * spoken to. Headers cross by allow-list (sip_headers.h), SDP is read and written anew (sdp.h). Thread: the control
 * thread. */
#ifndef TONEGATE_PROXY_SIP_B2BUA_H
#define TONEGATE_PROXY_SIP_B2BUA_H

#include "base/config.h"
#include "base/err.h"
#include "proxy/media/media.h"
#include "proxy/proxy_msg.h"
#include "proxy/sip/sip_transaction.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

struct b2bua;

struct b2bua_options {
    struct event_base *base;
    const struct config *config;
    const int *sip_fds; /* the bound sockets, in the configuration's order */
    size_t sip_fd_count;
    struct media *media;
    int call_table_fd;
    unsigned t1_ms; /* SIP_T1_MS */
    /* A call's life; ENDED comes once, last. capture_id: of an armed leg that ended with it, else 0. */
    void (*call_h)(void *owner, const struct proxy_call_msg *call, uint64_t capture_id);
    void *owner;
};

/* ERR_MEMORY, ERR_LENGTH (call table), ERR_SYSTEM. */
MUST_USE enum err b2bua_new(struct b2bua **out, const struct b2bua_options *options);
void b2bua_free(struct b2bua *b2bua);

/* Takes up the calls of the table after a restart. One whose media part is torn is ended with BYE on both sides, one that
 * was ringing with 500 and CANCEL; call_h is told of their end. */
void b2bua_restore(struct b2bua *b2bua);

/* No new calls from here on: 503. */
void b2bua_drain(struct b2bua *b2bua);
size_t b2bua_call_count(const struct b2bua *b2bua);

/* Calls call_h for every call that is not over. */
void b2bua_tell_all(struct b2bua *b2bua);

/* ERR_NOT_FOUND: no such answered call. */
MUST_USE enum err b2bua_has_call(const struct b2bua *b2bua, uint64_t call_id);

/* The capture that the caller's leg is armed for, 0 for none: kept with the call and told at its end. */
void b2bua_set_capture(struct b2bua *b2bua, uint64_t call_id, uint64_t capture_id);
uint64_t b2bua_capture_of(const struct b2bua *b2bua, uint64_t call_id);
/* Calls each for every armed call. */
void b2bua_each_armed(struct b2bua *b2bua, void (*each_h)(void *owner, uint64_t call_id, uint64_t capture_id),
                      void *owner);

/* No packet from that side for long: when both sides are silent the call is ended. */
void b2bua_media_silent(struct b2bua *b2bua, uint64_t call_id, enum media_side side);

struct b2bua_counts {
    uint64_t calls_started;
    uint64_t calls_answered;
    uint64_t calls_refused_full; /* 503 */
    uint64_t calls_restored;
    uint64_t calls_torn;
    uint64_t calls_ended_early; /* were ringing when the process before died */
    uint64_t infos_removed;
};
void b2bua_counts(const struct b2bua *b2bua, struct b2bua_counts *counts);

#endif
