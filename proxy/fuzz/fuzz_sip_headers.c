/* Guard, library, the other leg's headers, and back to text: what we would send passes our own guard, and no name that is
 * not on the list is in it. */
#include "proxy/sip/sip_headers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct config config;
static osip_message_t *begun;

static void begin(void)
{
    static const char TEXT[] =
        "INVITE sip:192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKo\r\n"
        "From: <sip:192.0.2.1>;tag=o\r\nTo: <sip:192.0.2.2>\r\nCall-ID: o\r\n"
        "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    struct sip_guard_verdict verdict;
    sip_headers_start();
    snprintf(config.sip.crossing_headers[0], LIMIT_NAME_BYTES, "X-Order");
    config.sip.crossing_header_count = 1;
    sip_guard_check(TEXT, sizeof(TEXT) - 1, false, &verdict);
    if (verdict.action != SIP_GUARD_PASS || sip_headers_parse(TEXT, &verdict, &begun))
        abort();
}

static bool is_known(const char *name, size_t length)
{
    static const char *const KNOWN[] = {"Via",
                                        "From",
                                        "To",
                                        "Call-ID",
                                        "CSeq",
                                        "Contact",
                                        "Max-Forwards",
                                        "Content-Length",
                                        "Allow",
                                        "Privacy",
                                        "Diversion",
                                        "Reason",
                                        "P-Asserted-Identity",
                                        "X-Order"};
    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++)
        if (strlen(KNOWN[i]) == length && strncasecmp(name, KNOWN[i], length) == 0)
            return true;
    return false;
}

static void check_written(osip_message_t *out)
{
    char *text = NULL;
    size_t length = 0;
    struct sip_guard_verdict verdict;
    osip_message_force_update(out);
    if (osip_message_to_str(out, &text, &length))
        abort();
    sip_guard_check(text, length, false, &verdict);
    if (verdict.action != SIP_GUARD_PASS && length <= LIMIT_SIP_UDP_BYTES)
        abort();
    for (const char *line = strstr(text, "\r\n") + 2; strncmp(line, "\r\n", 2) != 0;
         line = strstr(line, "\r\n") + 2) {
        size_t name = strcspn(line, ":\r\n");
        if (!is_known(line, name))
            abort();
    }
    osip_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct sip_guard_verdict verdict;
    osip_message_t *in = NULL;
    osip_message_t *out = NULL;
    char unsupported[64];
    if (!begun)
        begin();
    sip_guard_check((const char *)bytes, length, false, &verdict);
    if (verdict.action != SIP_GUARD_PASS || sip_headers_parse((const char *)bytes, &verdict, &in))
        return 0;
    (void)sip_headers_require_unknown(in, unsupported, sizeof(unsupported));
    if (osip_message_clone(begun, &out))
        abort();
    if (sip_headers_cross(in, &config, out) == OK)
        check_written(out);
    osip_message_free(in);
    osip_message_free(out);
    return 0;
}
