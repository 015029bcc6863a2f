/* Keys by SIP INFO: every key in both forms, and nothing that is not one. */
#include "proxy/sip/dtmf_info.h"

#include "base/tests/cmocka_all.h"

#include <stdio.h>
#include <string.h>

static enum err read_text(const char *type, const char *text, dtmf_key *key, unsigned *ms)
{
    return dtmf_info_read(type, text, strlen(text), key, ms);
}

static void every_key_is_read_in_both_forms(void **state)
{
    (void)state;
    static const char names[] = "0123456789*#ABCD";
    for (unsigned i = 0; i < DTMF_KEY_COUNT; i++) {
        char text[64];
        dtmf_key key = 99;
        unsigned ms;
        snprintf(text, sizeof(text), "Signal=%c\r\nDuration=160\r\n", names[i]);
        assert_int_equal(read_text("application/dtmf-relay", text, &key, &ms), OK);
        assert_int_equal(key, i);
        assert_int_equal(ms, 160);
        snprintf(text, sizeof(text), "%c", names[i]);
        assert_int_equal(read_text("application/dtmf", text, &key, &ms), OK);
        assert_int_equal(key, i);
        assert_int_equal(ms, 0);
        snprintf(text, sizeof(text), "%u\r\n", i);
        assert_int_equal(read_text("application/dtmf", text, &key, &ms), OK);
        assert_int_equal(key, i);
    }
}

static void the_forms_seen_in_the_field_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"Signal=5", "Signal= 5\r\nDuration= 160", "duration=100\nsignal=5\n",
                                        "Signal = 5 \r\nDuration = 250 \r\n\r\n",
                                        "Signal=5\r\nVolume=10\r\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        dtmf_key key = 99;
        unsigned ms;
        assert_int_equal(read_text("application/dtmf-relay", texts[i], &key, &ms), OK);
        assert_int_equal(key, 5);
    }
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "Signal=",
                                        "Signal=55",
                                        "Signal=16",
                                        "Signal=E",
                                        "Signal=5\r\nSignal=6",
                                        "Signal=5\r\nDuration=99999999",
                                        "Signal=5\r\nDuration=-1",
                                        "Duration=100",
                                        "Signal5"};
    dtmf_key key;
    unsigned ms;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(read_text("application/dtmf-relay", texts[i], &key, &ms), ERR_SYNTAX);
    assert_int_equal(read_text("application/dtmf", "12345", &key, &ms), ERR_SYNTAX);
    assert_int_equal(read_text("application/dtmf", "", &key, &ms), ERR_SYNTAX);
    assert_int_equal(read_text("text/plain", "5", &key, &ms), ERR_UNSUPPORTED);
    assert_int_equal(dtmf_info_read("application/dtmf", NULL, 0, &key, &ms), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read_in_both_forms),
        cmocka_unit_test(the_forms_seen_in_the_field_are_read),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
