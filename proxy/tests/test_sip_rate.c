/* Strangers get no more answers than the configuration says, and a source belongs to the trunk that names it best. */
#include "proxy/sip/sip_rate.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct mono_time at_ms(int64_t ms)
{
    return (struct mono_time){1000 * NS_PER_S + ms * NS_PER_MS};
}

static unsigned taken_of(struct sip_rate *rate, struct mono_time now, unsigned tries)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < tries; i++)
        taken += sip_rate_take(rate, now);
    return taken;
}

static void a_flood_gets_the_burst_and_then_the_rate(void **state)
{
    (void)state;
    struct sip_rate rate;
    sip_rate_init(&rate, 10, at_ms(0));
    assert_int_equal(taken_of(&rate, at_ms(0), 1000), 10);
    assert_int_equal(rate.refused, 990);
    assert_int_equal(taken_of(&rate, at_ms(99), 10), 0);
    assert_int_equal(taken_of(&rate, at_ms(100), 10), 1);
    unsigned taken = 0;
    for (int64_t ms = 101; ms <= 10100; ms++)
        taken += taken_of(&rate, at_ms(ms), 3);
    assert_int_equal(taken, 100);
}

static void a_long_pause_fills_one_burst_only(void **state)
{
    (void)state;
    struct sip_rate rate;
    sip_rate_init(&rate, 5, at_ms(0));
    assert_int_equal(taken_of(&rate, at_ms(0), 5), 5);
    assert_int_equal(taken_of(&rate, at_ms(86400000), 100), 5);
    assert_int_equal(taken_of(&rate, (struct mono_time){INT64_MAX}, 100), 5);
}

static void a_rate_of_none_answers_nobody(void **state)
{
    (void)state;
    struct sip_rate rate;
    sip_rate_init(&rate, 0, at_ms(0));
    assert_int_equal(taken_of(&rate, at_ms(5000), 10), 0);
}

static void a_clock_that_goes_back_gives_nothing(void **state)
{
    (void)state;
    struct sip_rate rate;
    sip_rate_init(&rate, 1, at_ms(1000));
    assert_true(sip_rate_take(&rate, at_ms(1000)));
    assert_false(sip_rate_take(&rate, at_ms(0)));
    assert_false(sip_rate_take(&rate, at_ms(1999)));
    assert_true(sip_rate_take(&rate, at_ms(2000)));
}

static void allow(struct config *config, enum config_trunk_name trunk, const char *network, unsigned bits)
{
    struct config_trunk *t = &config->sip.trunks[trunk];
    t->allow[t->allow_count++] = (struct config_source){
        .network = ntohl(inet_addr(network)),
        .mask = bits ? UINT32_MAX << (32 - bits) : 0,
    };
}

static void a_source_belongs_to_the_trunk_with_the_longest_mask(void **state)
{
    (void)state;
    static struct config config;
    memset(&config, 0, sizeof(config));
    allow(&config, CONFIG_TRUNK_CARRIER, "192.0.2.0", 24);
    allow(&config, CONFIG_TRUNK_CONTACT_CENTRE, "192.0.2.77", 32);
    allow(&config, CONFIG_TRUNK_CONTACT_CENTRE, "192.0.2.0", 24);
    static const struct {
        const char *source;
        bool is_trunk;
        enum config_trunk_name trunk;
    } cases[] = {
        {"192.0.2.0", true, CONFIG_TRUNK_CARRIER},
        {"192.0.2.255", true, CONFIG_TRUNK_CARRIER},
        {"192.0.2.77", true, CONFIG_TRUNK_CONTACT_CENTRE},
        {"192.0.3.0", false, 0},
        {"192.0.1.255", false, 0},
        {"0.0.0.0", false, 0},
        {"255.255.255.255", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum config_trunk_name trunk = CONFIG_TRUNKS;
        struct in_addr source = {inet_addr(cases[i].source)};
        assert_int_equal(sip_source_is_trunk(&config, source, &trunk), cases[i].is_trunk);
        assert_int_equal(trunk, cases[i].is_trunk ? cases[i].trunk : CONFIG_TRUNKS);
        assert_int_equal(sip_source_is_trunk(&config, source, NULL), cases[i].is_trunk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_gets_the_burst_and_then_the_rate),
        cmocka_unit_test(a_long_pause_fills_one_burst_only),
        cmocka_unit_test(a_rate_of_none_answers_nobody),
        cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
        cmocka_unit_test(a_source_belongs_to_the_trunk_with_the_longest_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
