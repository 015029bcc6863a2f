/* Each allocation of parsing and crossing fails in turn: nothing crashes, and no half-parsed message is handed out. What the
 * library forgets to free on its own error paths is freed here and counted. */
#include "proxy/sip/sip_headers.h"
#include "proxy/tests/sip_vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define BLOCKS_MAX 4096

static void *blocks[BLOCKS_MAX];
static size_t block_count;
static long allowed = -1; /* allocations until all fail; -1: none fails */

static bool is_refused(void)
{
    if (allowed > 0)
        allowed--;
    return allowed == 0;
}

static void *keep(void *block)
{
    assert_true(block_count < BLOCKS_MAX);
    if (block)
        blocks[block_count++] = block;
    return block;
}

static void drop(void *block)
{
    for (size_t i = block_count; block && i-- > 0;) {
        if (blocks[i] != block)
            continue;
        blocks[i] = blocks[--block_count];
        free(block);
        return;
    }
    assert_null(block); /* freed twice, or never allocated */
}

static void *counted_malloc(size_t size)
{
    return is_refused() ? NULL : keep(malloc(size));
}

static void *counted_realloc(void *block, size_t size)
{
    if (is_refused())
        return NULL;
    for (size_t i = 0; block && i < block_count; i++)
        if (blocks[i] == block)
            return blocks[i] = realloc(block, size);
    return keep(realloc(block, size));
}

static size_t drop_all(void)
{
    size_t count = block_count;
    while (block_count)
        free(blocks[--block_count]);
    return count;
}

static osip_message_t *begin(void)
{
    osip_message_t *out = NULL;
    assert_int_equal(osip_message_init(&out), 0);
    assert_int_equal(osip_from_init(&out->from), 0);
    assert_int_equal(osip_from_parse(out->from, "<sip:ours.example>"), 0);
    return out;
}

/* true when `count` allocations were enough. */
static bool run_with(const char *message, const struct sip_guard_verdict *verdict, long count)
{
    static struct config config;
    osip_message_t *in = NULL;
    osip_message_t *out = begin();
    snprintf(config.sip.crossing_headers[0], LIMIT_NAME_BYTES, "X-Order");
    config.sip.crossing_header_count = 1;
    allowed = count;
    enum err parsed = sip_headers_parse(message, verdict, &in);
    assert_int_equal(parsed == OK, in != NULL);
    enum err crossed = parsed ? OK : sip_headers_cross(in, &config, out);
    assert_true(crossed == OK || crossed == ERR_MEMORY);
    bool was_enough = allowed > 0;
    assert_true(!was_enough || (parsed == OK && crossed == OK));
    allowed = -1;
    osip_message_free(in);
    osip_message_free(out);
    return was_enough;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    size_t length = 0;
    char *message = vector_read("proxy/fuzz/seeds_sip_headers/invite", &length);
    assert_non_null(message);
    struct sip_guard_verdict verdict;
    sip_guard_check(message, length, false, &verdict);
    assert_int_equal(verdict.action, SIP_GUARD_PASS);
    size_t forgotten = 0;
    long count = 1;
    while (!run_with(message, &verdict, count)) {
        forgotten += drop_all();
        count++;
    }
    print_message("%ld allocations; the library forgot %zu blocks when they failed\n", count, forgotten);
    assert_int_equal(drop_all(), 0);
    assert_true(count > 100);
    free(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
    };
    sip_headers_start();
    osip_set_allocators(counted_malloc, counted_realloc, drop);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
