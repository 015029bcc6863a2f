/* The audit trail (PCI DSS 10.2, 10.3): one JSON object a line, appended, never rewritten. Every line carries the hash
 * of the line before it, so that a line taken out, changed or put in is found by audit_verify().
 *
 * Hashes are written as letters a..p (as ids are), because hexadecimal text can by chance hold what looks like a card
 * number. All texts pass the filter of the log. Thread: one owner. */
#ifndef TONEGATE_CAPTURE_DESK_AUDIT_H
#define TONEGATE_CAPTURE_DESK_AUDIT_H

#include "base/clock.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_LINE_BYTES 1024
#define AUDIT_NUMBER_MAX                                                                                     \
    999999999999LL         /* no value that could be a card number: larger ones are written as this */
#define AUDIT_HASH_TEXT 65 /* 64 letters and the end */

struct audit;

struct audit_entry {
    const char *who;                    /* name of the token, or of the part of the product that acted */
    const char *what;                   /* "capture.open", … : a constant */
    const char *where;                  /* the peer's address, or "local" */
    const char *outcome;                /* "ok", "refused", "approved", … : a constant */
    const char *resource;               /* public id of the capture or call; empty: none */
    const char *reason;                 /* a constant; NULL: none */
    const char *detail;                 /* reference of the payment at the gateway; NULL: none */
    int64_t amount_minor;               /* with currency */
    const char *currency;               /* NULL: no amount */
    struct wall_time from, to;          /* the time the line is about; 0: the moment it is written */
    const struct audit_number *numbers; /* in this order; NULL with 0 */
    size_t number_count;
};

/* value is written with its decimals, so that a level can be one: 0 for a count, 2 for -5731 as -57.31. */
struct audit_number {
    const char *name; /* a constant */
    int64_t value;
    unsigned decimals; /* 0..3 */
};

/* Opens or creates the file (mode 0600), takes the lock that keeps a second writer out, and finds the end of the
 * chain. A last line that was cut by a crash is closed and named by an "audit.torn" line.
 * Errors ERR_SYSTEM (open, lock, read), ERR_SYNTAX (the last line is not one of ours), ERR_MEMORY. */
MUST_USE enum err audit_open(struct audit **out, const char *path);
void audit_close(struct audit *audit);

/* One line, on the disk when this returns OK. On ERR_SYSTEM nothing of it is left in the file and the chain stands
 * where it stood. */
MUST_USE enum err audit_append(struct audit *audit, const struct audit_entry *entry);

/* Lines written since audit_open(). */
uint64_t audit_written(const struct audit *audit);

struct audit_verdict {
    uint64_t line_count;
    uint64_t bad_line; /* counted from 1; 0: the chain is whole */
    uint64_t torn_count;
    const char *reason; /* a constant; NULL when whole */
    char head
        [AUDIT_HASH_TEXT]; /* hash of the last line: note it elsewhere, and a cut at the end is found too */
};

/* Reads the whole file. OK also when the chain is broken: the verdict says so. ERR_SYSTEM when it cannot be read. */
MUST_USE enum err audit_verify(const char *path, struct audit_verdict *verdict);

#endif
