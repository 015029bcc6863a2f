/* What vault and desk order, read out of their messages and checked: whatever passes here is a step that a connector
 * may be shown. Connectors check again what their own gateway wants. Pure. Thread: any. */
#ifndef TONEGATE_GATEWAY_INTAKE_H
#define TONEGATE_GATEWAY_INTAKE_H

#include "gateway/connector.h"

struct intake {
    struct connector_step what; /* card points into the message */
    uint8_t gateway_index;      /* as the message says; not checked: TOKENISE has none */
};

/* message is any of the five a vault sends, as long as its type says. ERR_RANGE: a value no vault sends.
 * ERR_UNSUPPORTED: another type. */
MUST_USE enum err intake_vault(struct intake *intake, const struct msg_header *message);

/* ERR_RANGE: kind, amount, currency, interval, or a text that does not end or holds a byte no reference has. */
MUST_USE enum err intake_order(struct intake *intake, const struct order_take_msg *order);

/* Of an order: money may move, so that one that may have been carried out is never sent again blindly. */
bool intake_moves_money(enum connector_operation operation);

/* Ordered by the desk, after the card. */
bool intake_is_order(enum connector_operation operation);

#endif
