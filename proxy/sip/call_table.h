/* What a restarted proxy needs to go on with its calls: plain slots in memory that the supervisor keeps. No digit and no
 * audio is ever in it.
 *
 * Each slot has two copies of its record with a checksum each; the control thread writes the one that is not current and
 * then makes it so, so that a death in the middle leaves the record before. The media part has a sequence lock, since the
 * call's worker writes it: a torn one is recognised. */
#ifndef TONEGATE_PROXY_SIP_CALL_TABLE_H
#define TONEGATE_PROXY_SIP_CALL_TABLE_H

#include "base/config.h"
#include "base/err.h"
#include "proxy/media/media.h"
#include "proxy/sip/sip_dialog.h"
#include "proxy/sip/sip_transaction.h"

#include <stddef.h>
#include <stdint.h>

enum call_record_kind { CALL_RECORD_ANSWERED = 1, CALL_RECORD_EARLY };

/* A call. Of an early one, which no other process can go on with, only what is needed to end it. */
struct call_record {
    uint64_t call_id;
    uint64_t kind;            /* enum call_record_kind */
    uint64_t capture_id;      /* 0: not armed */
    int64_t answered_ns;      /* wall time */
    int64_t ends_ns;          /* monotonic: longest call. The clock goes on over a restart of the process */
    struct media_ports ports; /* a media part with others is of an earlier call at this place */
    struct sip_dialog dialogs[MEDIA_SIDES];
    struct {
        uint64_t session_id;
        uint64_t session_version;
    } sdp[MEDIA_SIDES];               /* what we told that side */
    uint32_t is_pending[MEDIA_SIDES]; /* that side's ACK is awaited; its 2xx lies in the farewell */
    uint32_t pending_cseq[MEDIA_SIDES];
    char reference[LIMIT_CALL_REFERENCE_BYTES];
    char callee[LIMIT_CALL_REFERENCE_BYTES];
};

/* What a side is sent by the next process: of an early call the inviting one a final answer, the other a CANCEL; of an
 * answered one its 2xx until the ACK comes. */
struct call_farewell {
    struct sip_farewell sides[MEDIA_SIDES];
};

struct call_table;

/* Bytes of the memory for config.sip.calls_max slots. */
size_t call_table_bytes(const struct config *config);

/* Maps the memory; fd is not owned. ERR_LENGTH (too small), ERR_MEMORY. */
MUST_USE enum err call_table_open(struct call_table **out, int fd, const struct config *config);
void call_table_close(struct call_table *table);

void call_table_write(struct call_table *table, size_t slot, const struct call_record *record);
/* Before the record that needs it. */
void call_table_write_farewell(struct call_table *table, size_t slot, const struct call_farewell *farewell);
const struct call_farewell *call_table_farewell(const struct call_table *table, size_t slot);
void call_table_clear(struct call_table *table, size_t slot);

/* ERR_EMPTY; ERR_SYNTAX: the slot is damaged or from another layout. */
MUST_USE enum err call_table_read(const struct call_table *table, size_t slot, struct call_record *record);

/* Where the call's worker keeps its part, and a whole copy of it: ERR_EMPTY (never written), ERR_SYNTAX (torn). */
struct media_snapshot_slot *call_table_media(struct call_table *table, size_t slot);
MUST_USE enum err call_table_read_media(const struct call_table *table, size_t slot,
                                        struct media_snapshot *snapshot);

#endif
