/* PayPal: Orders v2 with a card from Vault v3. The key is "client id:secret".
 *
 * TOKENISE takes two requests (setup token, payment token), CREATE makes an order without a payment source, so that no
 * money moves; CONFIRM captures it with the vaulted card.
 * Source  PayPal REST specifications: checkout_orders_v2, vault_payment_tokens_v3 (2024-02-03). */
#ifndef TONEGATE_GATEWAY_PAYPAL_H
#define TONEGATE_GATEWAY_PAYPAL_H

#include "gateway/connector.h"

extern const struct connector paypal_connector;

#endif
