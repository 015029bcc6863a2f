/* How it goes: counters of this life of the desk for GET /metrics, figures out of the store for GET /v1/report
 * (requirement S2-26). Part of the desk. */
#ifndef TONEGATE_CAPTURE_DESK_DESK_FIGURES_H
#define TONEGATE_CAPTURE_DESK_DESK_FIGURES_H

#include "base/clock.h"
#include "capture/desk/store/store_report.h"
#include "gateway/order_msg.h"

#include <jansson.h>

struct desk;

struct desk_figures {
    struct store_report store;
    uint64_t entered;   /* captures opened */
    uint64_t attempted; /* payments tried at the gateway, each attempt */
    uint64_t hung_up;
    struct {
        uint64_t count;
        int64_t duration_ms;
    } ended[CAPTURE_STATES];
};

void desk_figures_entered(struct desk *desk);
void desk_figures_attempted(struct desk *desk);
void desk_figures_ended(struct desk *desk, const struct store_capture *record);
#endif
