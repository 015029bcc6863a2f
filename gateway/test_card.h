/* The card numbers that gateways publish for testing. No account stands behind them: with a live key they are a mistake,
 * and a trace of payloads is made for them only (requirement S4-09). Pure, any thread.
 *
 * Sources: the vendors' pages on testing (Stripe, Braintree, Worldpay, PayPal, Adyen, Cybersource). */
#ifndef TONEGATE_GATEWAY_TEST_CARD_H
#define TONEGATE_GATEWAY_TEST_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* digits 0..9, as the vault keeps them. */
bool test_card_is(const uint8_t *digits, size_t count);

#endif
