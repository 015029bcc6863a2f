/* Figures of what is over and what is open, out of the store (requirement S2-26). Reads the captures' own tables. */
#ifndef TONEGATE_CAPTURE_DESK_STORE_REPORT_H
#define TONEGATE_CAPTURE_DESK_STORE_REPORT_H

#include "capture/desk/store/store.h"
#include "capture/desk/store/store_sql.h"

#define REPORT_ROWS_MAX 256

struct store_report {
    struct sql sql;
};

/* All captures of one agent (empty: of all) that stand in one state. */
struct report_row {
    char opened_by[LIMIT_NAME_BYTES];
    uint8_t state; /* enum capture_state; an end, or where it stands */
    uint64_t count;
    uint64_t attempted;  /* with a payment that was tried at the gateway at least once */
    uint64_t hung_up;    /* ended because the caller was gone */
    int64_t duration_ms; /* of all together, from opened to the last change */
};

MUST_USE enum err store_report_open(struct store_report *report, struct store *store);
void store_report_close(struct store_report *report);

/* Captures opened in [from, to). is_by_agent: a row per agent and state. Rows beyond capacity are left out, the largest
 * come first. ERR_STORE. */
MUST_USE enum err store_report_read(struct store_report *report, struct wall_time from, struct wall_time to,
                                    bool is_by_agent, struct report_row *rows, size_t capacity,
                                    size_t *count);

#endif
