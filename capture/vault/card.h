/* What a payment card's numbers say of themselves: brand, lengths, checks. Pure functions over digit bytes 0..9; nothing
 * is kept, nothing is printed. */
#ifndef TONEGATE_CAPTURE_VAULT_CARD_H
#define TONEGATE_CAPTURE_VAULT_CARD_H

#include "base/clock.h"
#include "capture/capture_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A range of issuer numbers, by their first eight digits (ISO/IEC 7812-1; ranges as the brands publish them). */
struct card_range {
    uint32_t first, last;
    uint8_t brand;        /* enum card_brand */
    uint8_t usual_length; /* at which keying ends by itself; 0: only '#' or the longest length ends it */
    bool is_patient;      /* at the usual length a wrong check digit means "longer", not "wrong" */
    uint32_t lengths;     /* bits 1 << length */
};

/* The range every completion of this prefix falls into, or NULL while there is more than one brand it may become (or
 * none). */
const struct card_range *card_range_find(const uint8_t *digits, size_t count);

/* BRAND_UNKNOWN until the prefix decides. */
enum card_brand card_brand_find(const uint8_t *digits, size_t count);

/* 12..19 for a number of no known brand. */
bool card_length_is_legal(const struct card_range *range, size_t count);
size_t card_length_longest(const struct card_range *range);

/* 0: not known yet (3 or 4). */
size_t card_cvv_length(enum card_brand brand);

/* digits: MMYY, four of them. A card is good to the end of its month, UTC-12 included: the caller may be anywhere.
 * PROBLEM_NONE, PROBLEM_EXPIRY_INVALID (month, or more than 20 years ahead), PROBLEM_CARD_EXPIRED. */
enum capture_problem card_expiry_check(const uint8_t *digits, struct wall_time now);

const char *card_brand_name(enum card_brand brand);

#endif
