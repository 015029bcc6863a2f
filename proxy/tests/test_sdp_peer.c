/* Our SDP reader and libosip2's understand valid descriptions alike. Ours reads from the end of a page behind which there
 * is nothing, so that one byte too far ends the test. */
#include "proxy/sip/sdp.h"

/* The library has a struct of this name too. */
#define sdp_media osip_sdp_media
#include <osipparser2/sdp_message.h>
#undef sdp_media

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 20000

static uint32_t random_state = 8866;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

static char *page_end; /* the first byte that cannot be read */

static int map_pages(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = (LIMIT_SDP_BYTES / page + 1) * page;
    char *at = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mprotect(at + size, page, PROT_NONE))
        return -1;
    page_end = at + size;
    return 0;
}

static enum err read_at_page_end(struct sdp *sdp, const char *text, size_t length)
{
    memcpy(page_end - length, text, length);
    return sdp_read(sdp, page_end - length, length, NULL);
}

static char *add_connection(char *end)
{
    return end + sprintf(end, "c=IN IP4 %u.%u.%u.%u\r\n", draw(224), draw(256), draw(256), draw(256));
}

static char *add_attributes(char *end, const unsigned *types, unsigned count)
{
    static const char *const NAMES[] = {"PCMU/8000", "PCMA/8000/1", "telephone-event/8000", "G729/8000"};
    for (unsigned i = 0; i < count; i++)
        if (types[i] >= 96)
            end += sprintf(end, "a=rtpmap:%u %s\r\n", types[i], NAMES[draw(4)]);
    if (draw(2))
        end += sprintf(end, "a=ptime:%u\r\n", 10 + draw(51));
    if (draw(2))
        end += sprintf(end, "a=%s\r\n",
                       (const char *const[]){"sendrecv", "sendonly", "recvonly", "inactive"}[draw(4)]);
    return end;
}

static char *add_media(char *end, bool needs_connection)
{
    unsigned types[8];
    unsigned count = 1 + draw(8);
    end += sprintf(end, "m=%s %u RTP/AVP", draw(4) ? "audio" : "video", 1 + draw(65535));
    for (unsigned i = 0; i < count; i++) {
        types[i] = i * 16 + draw(16);
        end += sprintf(end, " %u", types[i]);
    }
    end += sprintf(end, "\r\n");
    if (needs_connection || draw(3) == 0)
        end = add_connection(end);
    return add_attributes(end, types, count);
}

/* A valid description of the kind that SIP carries; its length. */
static size_t describe(char *text)
{
    char *end = text;
    bool has_connection = draw(2);
    end += sprintf(end, "v=0\r\no=u%u %u %u IN IP4 192.0.2.%u\r\ns=%s\r\n", draw(9), draw(1U << 24),
                   draw(1U << 24), draw(256), draw(2) ? "-" : "a session");
    if (has_connection)
        end = add_connection(end);
    if (draw(3) == 0)
        end += sprintf(end, "b=AS:%u\r\n", draw(1000));
    end += sprintf(end, "t=%u 0\r\n", draw(1U << 24));
    for (unsigned count = 1 + draw(LIMIT_SDP_MEDIA); count; count--)
        end = add_media(end, !has_connection);
    return (size_t)(end - text);
}

static const char *peer_address(sdp_message_t *peer, int i)
{
    const char *of_media = sdp_message_c_addr_get(peer, i, 0);
    return of_media ? of_media : sdp_message_c_addr_get(peer, -1, 0);
}

/* The value of an attribute of medium i that starts with `start`; NULL: none. */
static const char *peer_attribute(sdp_message_t *peer, int i, const char *field, const char *start)
{
    for (int k = 0; sdp_message_a_att_field_get(peer, i, k); k++) {
        const char *value = sdp_message_a_att_value_get(peer, i, k);
        if (strcmp(sdp_message_a_att_field_get(peer, i, k), field) == 0 &&
            (!start || (value && strncmp(value, start, strlen(start)) == 0)))
            return value ? value : "";
    }
    return NULL;
}

static bool format_is_same(const struct sdp_format *ours, sdp_message_t *peer, int i)
{
    static const char *const NAMES[] = {"PCMU/", "PCMA/", "telephone-event/"};
    char start[16];
    snprintf(start, sizeof(start), "%u ", ours->payload_type);
    const char *map = peer_attribute(peer, i, "rtpmap", start);
    if (!map)
        return ours->encoding == (ours->payload_type == 0   ? SDP_PCMU
                                  : ours->payload_type == 8 ? SDP_PCMA
                                                            : SDP_OTHER);
    const char *name = map + strlen(start);
    for (int k = 0; k < 3; k++)
        if (strncmp(name, NAMES[k], strlen(NAMES[k])) == 0)
            return (int)ours->encoding == k;
    return ours->encoding == SDP_OTHER;
}

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static bool media_is_same(const struct sdp_media *ours, sdp_message_t *peer, int i)
{
    char address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &ours->address, address, sizeof(address));
    const char *ptime = peer_attribute(peer, i, "ptime", NULL);
    static const char *const DIRECTIONS[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
    if (strcmp(ours->kind, sdp_message_m_media_get(peer, i)) != 0 ||
        ours->port != number(sdp_message_m_port_get(peer, i)) || strcmp(address, peer_address(peer, i)) != 0)
        return false;
    if (!ours->is_audio)
        return strcmp(ours->kind, "video") == 0;
    for (size_t k = 0; k < ours->format_count; k++) {
        const char *type = sdp_message_m_payload_get(peer, i, (int)k);
        if (!type || number(type) != ours->formats[k].payload_type ||
            !format_is_same(&ours->formats[k], peer, i))
            return false;
    }
    bool is_said = peer_attribute(peer, i, DIRECTIONS[ours->direction], NULL) != NULL;
    return ours->ptime_ms == (ptime ? number(ptime) : 0) && (is_said || ours->direction == SDP_SENDRECV) &&
           !sdp_message_m_payload_get(peer, i, (int)ours->format_count);
}

static bool is_same(const struct sdp *ours, sdp_message_t *peer)
{
    if (ours->session_id != strtoull(sdp_message_o_sess_id_get(peer), NULL, 10) ||
        ours->session_version != strtoull(sdp_message_o_sess_version_get(peer), NULL, 10))
        return false;
    for (size_t i = 0; i < ours->media_count; i++)
        if (!media_is_same(&ours->media[i], peer, (int)i))
            return false;
    return !sdp_message_m_media_get(peer, (int)ours->media_count);
}

static sdp_message_t *peer_read(const char *text)
{
    sdp_message_t *peer = NULL;
    assert_int_equal(sdp_message_init(&peer), 0);
    assert_int_equal(sdp_message_parse(peer, text), 0);
    return peer;
}

static void valid_descriptions_mean_the_same_to_both(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        char text[LIMIT_SDP_BYTES + 64] = "";
        struct sdp ours;
        size_t length = describe(text);
        sdp_message_t *peer = peer_read(text);
        assert_int_equal(read_at_page_end(&ours, text, length), OK);
        if (!is_same(&ours, peer))
            print_error("%s", text);
        assert_true(is_same(&ours, peer));
        sdp_message_free(peer);
    }
}

/* What we write is understood by the other as we mean it. */
static void what_we_write_means_the_same_to_both(void **state)
{
    (void)state;
    unsigned count = 0;
    struct in_addr address = {htonl(INADDR_LOOPBACK)};
    for (unsigned round = 0; round < ROUNDS; round++) {
        char text[LIMIT_SDP_BYTES + 64] = "";
        struct sdp ours;
        struct sdp relayed;
        size_t length = describe(text);
        assert_int_equal(read_at_page_end(&ours, text, length), OK);
        if (sdp_relay_offer(&ours, address, 40000, &relayed))
            continue;
        assert_int_equal(sdp_write(&relayed, address, text, sizeof(text), &length), OK);
        assert_int_equal(read_at_page_end(&ours, text, length), OK);
        sdp_message_t *peer = peer_read(text);
        for (size_t i = 0; i < ours.media_count; i++)
            assert_true(!ours.media[i].port || media_is_same(&ours.media[i], peer, (int)i));
        sdp_message_free(peer);
        count++;
    }
    assert_true(count > ROUNDS / 20);
}

static void nothing_is_read_behind_the_end(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        char text[LIMIT_SDP_BYTES + 64] = "";
        struct sdp ours;
        size_t length = describe(text);
        for (unsigned count = draw(4); count; count--)
            text[draw((uint32_t)length)] = "\r\n =:/09am\x00\xff"[draw(12)];
        (void)!read_at_page_end(&ours, text, draw((uint32_t)length + 1));
    }
}

static void a_difference_would_be_noticed(void **state)
{
    (void)state;
    static const char TEXT[] = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
                               "m=audio 4000 RTP/AVP 8 0\r\n";
    struct sdp ours;
    sdp_message_t *peer = peer_read(TEXT);
    assert_int_equal(read_at_page_end(&ours, TEXT, sizeof(TEXT) - 1), OK);
    assert_true(is_same(&ours, peer));
    ours.media[0].formats[1].payload_type = 3;
    assert_false(is_same(&ours, peer));
    sdp_message_free(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_descriptions_mean_the_same_to_both),
        cmocka_unit_test(what_we_write_means_the_same_to_both),
        cmocka_unit_test(nothing_is_read_behind_the_end),
        cmocka_unit_test(a_difference_would_be_noticed),
    };
    return cmocka_run_group_tests(tests, map_pages, NULL);
}
