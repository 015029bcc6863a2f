/* The vault's three links and what goes over them: messages become events of the payment machine, its actions become
 * messages. No clock and no descriptor of its own: the loop (vault_role.c) and the simulator of the tests give both.
 *
 * Thread: one. Every message that held a digit is wiped after use: by the port on the way in, here on the way out. */
#ifndef TONEGATE_CAPTURE_VAULT_DISPATCH_H
#define TONEGATE_CAPTURE_VAULT_DISPATCH_H

#include "base/clock.h"
#include "base/msg.h"
#include "capture/vault/captures.h"

#include <stdbool.h>
#include <stdint.h>

enum dispatch_peer { DISPATCH_PROXY, DISPATCH_DESK, DISPATCH_GATEWAY, DISPATCH_PEERS };

/* How long a peer may take over one step. The gateway answers within its own ceiling (requirement C1). */
#define DISPATCH_ARM_MS     5000
#define DISPATCH_STORE_MS   5000
#define DISPATCH_GATEWAY_MS (LIMIT_GATEWAY_CEILING_MS + 5000)

/* Asking again: 0.5, 1, 2, 4, 8, 8, 8, 8 s, then UNKNOWN is shown and it is 10 s growing to 5 minutes. */
#define DISPATCH_VERIFY_WAITS 8

/* An ended capture is remembered so long, for messages that cross. */
#define DISPATCH_REMEMBER_MS 600000

struct dispatch_options {
    unsigned idle_s;
    unsigned session_s;
    unsigned attempts_max;
    uint32_t brands;
    unsigned generation; /* of the vault: store numbers of one life do not repeat those of an earlier one */
};

struct dispatch_counts {
    uint64_t keys;            /* taken into a field */
    uint64_t keys_duplicate;  /* ordinal seen before */
    uint64_t keys_missing;    /* an ordinal was skipped: the field was cleared */
    uint64_t keys_dropped;    /* came when no field takes keys */
    uint64_t events_refused;  /* the machine's table has no rule */
    uint64_t replies_unasked; /* REPLY or STORED that nobody waits for */
    uint64_t answers_bad;     /* the gateway's words did not pass */
};

struct dispatch;

/* ERR_RANGE (options), ERR_MEMORY. */
MUST_USE enum err dispatch_new(struct dispatch **out, const struct dispatch_options *options);

/* Wipes every card. Links are the caller's to close. NULL is accepted. */
void dispatch_free(struct dispatch *dispatch);

/* Before anything else is called, and at each turn of the loop. */
void dispatch_set_clock(struct dispatch *dispatch, struct mono_time mono, struct wall_time wall);

/* To receive from; fd is -1 while the peer is down. */
struct msg_port *dispatch_port(struct dispatch *dispatch, enum dispatch_peer peer);

/* The peer is there (again). fd stays the caller's. */
void dispatch_link_up(struct dispatch *dispatch, enum dispatch_peer peer, int fd);
void dispatch_link_down(struct dispatch *dispatch, enum dispatch_peer peer);

/* Time-outs, and what could not be sent before. Every 100 ms or so. */
void dispatch_tick(struct dispatch *dispatch);

/* Takes no new capture. */
void dispatch_drain(struct dispatch *dispatch);

/* No capture is between its opening and its end. */
bool dispatch_is_idle(struct dispatch *dispatch);

const struct dispatch_counts *dispatch_counts(const struct dispatch *dispatch);

/* For tests: the entries themselves. */
struct captures *dispatch_captures(struct dispatch *dispatch);

#endif
