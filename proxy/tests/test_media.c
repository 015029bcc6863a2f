/* Media through real sockets: what crosses, what does not, and who can reach whom. */
#include "proxy/tests/media_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void plain_payload_crosses_both_ways_untouched(void **state)
{
    struct rig rig;
    struct phone caller, agent;
    (void)state;
    rig_config(&rig, "127.0.0.1");
    rig_start(&rig, 1);
    phone_open(&caller, "127.0.0.1");
    phone_open(&agent, "127.0.0.1");
    rig_call(&rig, 7, &caller, &agent);
    uint32_t ssrc[2] = {0};
    for (int i = 0; i < 40; i++) {
        struct phone *from = i % 2 ? &agent : &caller, *to = i % 2 ? &caller : &agent;
        uint8_t sent[160], bytes[LIMIT_RTP_PACKET_BYTES];
        size_t length;
        struct rtp_packet packet;
        for (size_t n = 0; n < sizeof(sent); n++)
            sent[n] = (uint8_t)(n * 7 + (size_t)i);
        phone_say(from, sent, sizeof(sent));
        assert_true(phone_hear(to, 500, &packet, bytes, &length));
        assert_int_equal(packet.payload_bytes, sizeof(sent));
        assert_memory_equal(bytes + packet.payload_at, sent, sizeof(sent));
        assert_int_not_equal(packet.header.ssrc, from->next.ssrc);
        if (i >= 2)
            assert_int_equal(packet.header.ssrc, ssrc[i % 2]);
        ssrc[i % 2] = packet.header.ssrc;
    }
    assert_true(media_is_alive(rig.media));
    phone_close(&caller);
    phone_close(&agent);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_payload_crosses_both_ways_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
