/* Looks for a card's digits in a block of memory, in every form in which software happens to keep them.
 *
 * A needle is a run of digits: the card number, and expiry and code together (either alone is too short to mean
 * anything). Nothing here prints or keeps what was found, only how often and as what. */
#ifndef TONEGATE_BENCH_MEMSCAN_LOOK_H
#define TONEGATE_BENCH_MEMSCAN_LOOK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOK_DIGITS_MAX 32
#define LOOK_DIGITS_MIN 6

enum look_class {
    LOOK_ASCII,     /* text, one byte a digit */
    LOOK_SEPARATED, /* text with blanks, dashes, dots, slashes, plus or %20 between */
    LOOK_WIDE,      /* text at a stride: UTF-16, UTF-32, or a field of a struct */
    LOOK_RAW,       /* bytes 0..9 in a row */
    LOOK_STRIDED,   /* bytes 0..9 at a stride: slots of a ring, keys with their source */
    LOOK_EVENTS,    /* the same, each several times: RFC 4733 event codes with their retransmissions */
    LOOK_BCD,       /* packed, either nibble first, at either half */
    LOOK_INTEGER,   /* 64-bit integer or double, either end first */
    LOOK_HEX,       /* of the text or of the bytes */
    LOOK_BASE64,    /* of the text or of the bytes, at any of three alignments */
    LOOK_URL,       /* %34%32… */
    LOOK_REVERSED,  /* text or bytes, last digit first */
    LOOK_PARTIAL,   /* text or bytes: some successive digits of it only */
    LOOK_CLASSES
};
const char *look_class_name(enum look_class class);

struct look;

/* partial: 0, or report runs of so many successive digits of the number too (6 and more), unless they are mostly zeros or a
 * ladder like 234567, which any memory holds. ERR_MEMORY. */
MUST_USE enum err look_new(struct look **out, unsigned partial);

/* Wipes. NULL is accepted. */
void look_free(struct look *look);

/* digits 0..9, LOOK_DIGITS_MIN..LOOK_DIGITS_MAX of them. At most LOOK_NEEDLES. is_number: forms that only make sense for
 * a number (integer, packed, events, any stride) are looked for too. ERR_RANGE, ERR_FULL. */
#define LOOK_NEEDLES 2
MUST_USE enum err look_add(struct look *look, const uint8_t *digits, size_t count, bool is_number);

/* How far beyond the block's own part a find may reach: give the bytes after it along, or lose finds at the seam. */
#define LOOK_REACH 65536

/* Adds to found[LOOK_CLASSES] what begins in the first own_length of the length bytes. */
void look_at(const struct look *look, const uint8_t *bytes, size_t length, size_t own_length,
             uint64_t found[LOOK_CLASSES]);

#endif
