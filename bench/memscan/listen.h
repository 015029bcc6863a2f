/* Listens to memory: takes it for audio, in each of four encodings, and hears whether somebody's keys are in it.
 *
 * A process may wipe the digits and keep the sound of them in its packet slots: PCM of a keyed number is the number. Blocks
 * of 128 samples are correlated with the eight DTMF frequencies (ITU-T Q.23); a block in which one low and one high
 * tone hold most of the energy is a symbol. Runs of one symbol are one key; a sequence of keys that also stands in what
 * was keyed is a find. */
#ifndef TONEGATE_BENCH_MEMSCAN_LISTEN_H
#define TONEGATE_BENCH_MEMSCAN_LISTEN_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum listen_encoding { LISTEN_ULAW, LISTEN_ALAW, LISTEN_S16, LISTEN_F32, LISTEN_ENCODINGS };
const char *listen_encoding_name(enum listen_encoding encoding);

/* So many successive keys (repeats taken as one) in the order keyed are a find; of less, all there are. */
#define LISTEN_KEYS_MIN 6

struct listen;

/* digits: everything that was keyed, in order, 0..9. ERR_RANGE (fewer than LISTEN_KEYS_MIN different in a row: 4000…0002
 * is heard as "402"; such a number is listened for with its pauses), ERR_MEMORY. */
MUST_USE enum err listen_new(struct listen **out, const uint8_t *digits, size_t count);
void listen_free(struct listen *listen);

/* Memory that does not hang together with what came before (another mapping). */
void listen_begin(struct listen *listen);

/* The next bytes; length a multiple of 4096 except at the end of a mapping. */
void listen_to(struct listen *listen, const uint8_t *bytes, size_t length);

/* Finds so far, by encoding; keys heard, right or not. */
void listen_found(const struct listen *listen, uint64_t finds[LISTEN_ENCODINGS],
                  uint64_t keys[LISTEN_ENCODINGS]);

#endif
