/* Any bytes as a capture: every packet's bytes lie inside of what was read, and listening ends with a result or a reason. */
#include "bench/recordings/pcap_file.h"
#include "bench/recordings/rtp_capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static FILE *stream_of(const uint8_t *bytes, size_t length)
{
    /* fmemopen takes a void *, and only reads it with "r". */
    union {
        const uint8_t *constant;
        void *plain;
    } memory = {bytes};
    return fmemopen(memory.plain, length, "r");
}

/* Touches every byte that a packet is said to have. */
static void touch(const struct pcap_packet *packet)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < packet->captured; i++)
        sum += packet->bytes[i];
    ASSERT(sum <= 255 * (uint64_t)packet->captured);
}

static void read_packets(FILE *stream)
{
    struct pcap_file *pcap;
    struct pcap_packet packet;
    char reason[PCAP_REASON_BYTES] = "";
    if (pcap_open(&pcap, stream, "bytes", reason) != OK) {
        ASSERT(reason[0] != '\0');
        return;
    }
    enum err err;
    while ((err = pcap_next(pcap, &packet, reason)) == OK)
        touch(&packet);
    ASSERT(err == ERR_EMPTY || reason[0] != '\0');
    pcap_close(pcap);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static FILE *nowhere;
    char reason[PCAP_REASON_BYTES] = "";
    FILE *stream = length > 0 ? stream_of(bytes, length) : NULL;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    if (stream == NULL || nowhere == NULL)
        return 0;
    read_packets(stream);
    stream = stream_of(bytes, length);
    struct listener_options listener = {.is_at_once = bytes[0] & 1, .is_text = length & 1, .out = nowhere};
    struct rtp_capture_options options = {&listener, -1, false};
    if (stream != NULL && rtp_capture_listen_stream(stream, "bytes", &options, reason) != OK)
        ASSERT(reason[0] != '\0');
    return 0;
}
