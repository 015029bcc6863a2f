#include "gateway/echo_guard.h"

#include "base/limits.h"
#include "base/secret.h"
#include "gateway/wipe_heap.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#define KEY_BYTES 32
#define BUCKETS   1024
#define WAYS      8

struct generation {
    struct secret *key;
    uint32_t counts; /* bit n: a card of n digits is among them */
    uint64_t cards[BUCKETS][WAYS];
    uint8_t next[BUCKETS]; /* the way that is written next */
};

struct echo_guard {
    struct generation generations[2];
    unsigned current;
    struct mono_time since; /* of the current one */
};

static enum err begin(struct generation *generation)
{
    size_t capacity;
    struct secret *key = generation->key;
    wipe(generation, sizeof(*generation));
    generation->key = key;
    if (RAND_bytes(secret_buffer(key, &capacity), KEY_BYTES) != 1)
        return ERR_SYSTEM;
    secret_set_length(key, KEY_BYTES);
    return OK;
}

static enum err turn(struct echo_guard *guard, struct mono_time now)
{
    int64_t age_ms = mono_elapsed_ms(guard->since, now);
    enum err err = OK;
    if (age_ms < ECHO_GENERATION_MS)
        return OK;
    guard->since = now;
    guard->current ^= 1;
    err = begin(&guard->generations[guard->current]);
    if (!err && age_ms >= 2LL * ECHO_GENERATION_MS)
        err = begin(&guard->generations[guard->current ^ 1]);
    return err;
}

/* Never 0, which is an empty place. */
static uint64_t card_of(const struct generation *generation, const uint8_t *digits, size_t count)
{
    uint8_t code[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    uint64_t card = 0;
    if (!HMAC(EVP_sha256(), secret_bytes(generation->key), KEY_BYTES, digits, count, code, &length))
        return 0;
    memcpy(&card, code, sizeof(card));
    wipe(code, sizeof(code));
    return card ? card : 1;
}

enum err echo_guard_remember(struct echo_guard *guard, struct mono_time now, const uint8_t *digits,
                             size_t count)
{
    if (count < ECHO_DIGITS_MIN || count > LIMIT_PAN_DIGITS)
        return ERR_RANGE;
    enum err err = turn(guard, now);
    if (err)
        return err;
    struct generation *generation = &guard->generations[guard->current];
    uint64_t card = card_of(generation, digits, count);
    if (card == 0)
        return ERR_SYSTEM;
    size_t bucket = card % BUCKETS;
    for (size_t i = 0; i < WAYS; i++) {
        if (generation->cards[bucket][i] == card)
            return OK;
    }
    generation->cards[bucket][generation->next[bucket]++ % WAYS] = card;
    generation->counts |= 1u << count;
    return OK;
}

static bool has_card(const struct generation *generation, const uint8_t *digits, size_t count)
{
    uint64_t card = card_of(generation, digits, count);
    for (size_t i = 0; i < WAYS; i++) {
        if (generation->cards[card % BUCKETS][i] == card)
            return true;
    }
    return false;
}

/* Every window of the run whose length some card has. */
static bool run_has_card(const struct generation *generation, const uint8_t *digits, size_t count)
{
    for (size_t length = ECHO_DIGITS_MIN; length <= count && length <= LIMIT_PAN_DIGITS; length++) {
        if ((generation->counts & 1u << length) == 0)
            continue;
        for (size_t at = 0; at + length <= count; at++) {
            if (has_card(generation, digits + at, length))
                return true;
        }
    }
    return false;
}

bool echo_guard_finds(struct echo_guard *guard, struct mono_time now, const char *text)
{
    uint8_t run[LIMIT_LINK_BYTES];
    size_t count = 0;
    bool is_found = turn(guard, now) != OK; /* without a key nothing can be told from a card */
    for (;; text++) {
        if (*text >= '0' && *text <= '9' && count < sizeof(run)) {
            run[count++] = (uint8_t)(*text - '0');
            continue;
        }
        if (*text == '-' || *text == '_')
            continue;
        for (size_t i = 0; i < 2 && count >= ECHO_DIGITS_MIN && !is_found; i++)
            is_found = run_has_card(&guard->generations[i], run, count);
        count = 0;
        if (*text == '\0' || is_found)
            break;
    }
    wipe(run, sizeof(run));
    return is_found;
}

enum err echo_guard_new(struct echo_guard **out, struct mono_time now)
{
    struct echo_guard *guard = wipe_heap_calloc(1, sizeof(*guard));
    enum err err = guard ? OK : ERR_MEMORY;
    *out = guard;
    for (size_t i = 0; i < 2 && !err; i++) {
        err = secret_new(&guard->generations[i].key, KEY_BYTES);
        if (!err)
            err = begin(&guard->generations[i]);
    }
    if (err) {
        echo_guard_free(guard);
        *out = NULL;
        return err;
    }
    guard->since = now;
    return OK;
}

void echo_guard_free(struct echo_guard *guard)
{
    if (!guard)
        return;
    for (size_t i = 0; i < 2; i++)
        secret_free(guard->generations[i].key);
    wipe_heap_free(guard);
}
