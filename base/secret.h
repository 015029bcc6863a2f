/* Memory for what must not outlive its use: card number, security code, keys.
 *
 * A secret lives in a mapping of its own between two guard pages: locked, left out of core dumps, wiped in a child
 * after fork, and taken from memfd_secret(2) where the kernel has it, so that not even /proc/PID/mem reads it. It is
 * moved (by pointer), never copied; no printer for it exists. There is no global state. Thread: one owner at a time. */
#ifndef TONEGATE_BASE_SECRET_H
#define TONEGATE_BASE_SECRET_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct secret;

#define SECRET_CAPACITY_MAX 4096

/* *out owns the mapping until secret_free(). capacity 1..SECRET_CAPACITY_MAX bytes.
 * Errors ERR_RANGE, ERR_MEMORY (also when the locked-memory limit is reached). */
MUST_USE enum err secret_new(struct secret **out, size_t capacity);

/* Wipes, then unmaps. NULL is accepted. */
void secret_free(struct secret *secret);

/* Length becomes 0, every byte of the capacity is overwritten. NULL is accepted. */
void secret_wipe(struct secret *secret);

/* Errors ERR_FULL; then nothing is added. */
MUST_USE enum err secret_append(struct secret *secret, uint8_t byte);

/* Takes the last byte off and overwrites it. ERR_EMPTY. */
MUST_USE enum err secret_drop_last(struct secret *secret);

size_t secret_length(const struct secret *secret);

/* The bytes themselves, secret_length() of them, valid until the next call on the secret. Copy them only into memory
 * that is wiped. */
const uint8_t *secret_bytes(const struct secret *secret);

/* For reading into it (a key file): room for the whole capacity; then say how many bytes are in use. */
uint8_t *secret_buffer(struct secret *secret, size_t *capacity);
void secret_set_length(struct secret *secret, size_t length);

/* True when the mapping came from memfd_secret(2). */
bool secret_is_hidden(const struct secret *secret);

/* Overwrites memory that is not a secret but held part of one; never optimised away. */
void wipe(void *memory, size_t length);

/* Overwrites the WIPE_STACK bytes of the stack below the caller's frame: what functions that have returned left there. */
#define WIPE_STACK 32768
void wipe_stack(void);

#endif
