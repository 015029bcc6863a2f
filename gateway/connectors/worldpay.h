/* Access Worldpay. Account: merchant is the entity (required), region the currency that cards are verified in (GBP when
 * empty). Key: "user name:password".
 *
 * - TOKENISE makes a verified token (oneTime): the issuer checks number, expiry and CVC. The token is the last part of the
 *   token's address, with "t_" (Try) or "l_" (live) before it, because a payment must name the whole address.
 * - CREATE only names the order; CONFIRM pays with POST /api/payments, channel moto, settled automatically unless it is
 *   only to be authorised. The Payments API and not Card Payments v7: its actions are named one by one, and it says what
 *   became of each; of a payment that was found by query the links of either are followed.
 * - There is no idempotency key, and CONFIRM's answer does not repeat the amount. STATUS queries by our name of the order,
 *   which may take a minute to know it; until then it is unknown, and nothing is sent again. Every later change queries
 *   first and follows the link that the payment offers.
 * - An action is answered "sent for ...": accepted.
 *
 * Source  developer.worldpay.com: verified tokens, payments 2024-06-01, payment queries, hosted payment pages. */
#ifndef TONEGATE_GATEWAY_WORLDPAY_H
#define TONEGATE_GATEWAY_WORLDPAY_H

#include "gateway/connector.h"

extern const struct connector worldpay_connector;

#endif
