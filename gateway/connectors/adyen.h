/* Adyen Checkout API v71. Account: merchant is the merchant account (required), region the currency that cards are
 * verified in (EUR when empty). Key: the API key. Live: gateway.url is the account's own host with /checkout behind it.
 *
 * Adyen has no call that asks what became of a payment, and its captures are carried out later. So:
 * - TOKENISE is an authorisation of nothing that stores the card; the issuer checks the number, expiry and CVC here.
 * - CREATE authorises the amount with manual capture: the money is held, none moves. A decline comes here.
 * - CONFIRM captures. STATUS sends the very request of CONFIRM again under its idempotency key: the first answer is
 *   what comes back. If CONFIRM never arrived, the question carries it out, once, and it stays at that for ever: no
 *   capture takes more than was authorised. "received" is Adyen's acceptance; that a capture fails afterwards is told
 *   by webhook only (CAPTURE_FAILED).
 * - ABANDON and VOID reverse: cancel what is held, refund what was captured.
 *
 * Source  Adyen's CheckoutService-v71 description (MIT); docs.adyen.com: api-idempotency, capture, refusal-reasons. */
#ifndef TONEGATE_GATEWAY_ADYEN_H
#define TONEGATE_GATEWAY_ADYEN_H

#include "gateway/connector.h"

extern const struct connector adyen_connector;

#endif
