#include "bench/phones/phone_sdp.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 256

/* Steps over prefix. */
static bool take_word(const char **text, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(*text, prefix, length) != 0)
        return false;
    *text += length;
    return true;
}

/* Steps over a number of at most `most`. */
static bool take_number(const char **text, unsigned long most, unsigned *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    unsigned long value = strtoul(*text, &end, 10);
    *text = end;
    *out = (unsigned)value;
    return value <= most;
}

static void take_address(struct phone_sdp *sdp, const char *line)
{
    struct in_addr address;
    if (take_word(&line, "c=IN IP4 ") && inet_pton(AF_INET, line, &address) == 1)
        sdp->rtp.sin_addr = address;
}

/* Leaves the port 0 when the line is not an audio stream over plain RTP. */
static void take_media(struct phone_sdp *sdp, const char *line)
{
    unsigned port;
    unsigned type;
    if (!take_word(&line, "m=audio ") || !take_number(&line, 65535, &port) || !take_word(&line, " RTP/AVP"))
        return;
    sdp->rtp.sin_port = htons((unsigned short)port);
    while (take_word(&line, " ") && take_number(&line, 127, &type)) {
        if (type != PHONE_PCMU && type != PHONE_PCMA)
            continue;
        if (!sdp->has_pcmu && !sdp->has_pcma)
            sdp->first = (enum phone_law)type;
        sdp->has_pcmu |= type == PHONE_PCMU;
        sdp->has_pcma |= type == PHONE_PCMA;
    }
}

static void take_attribute(struct phone_sdp *sdp, const char *line)
{
    unsigned number;
    if (strcmp(line, "a=sendonly") == 0)
        sdp->is_receiving = false;
    else if (strcmp(line, "a=recvonly") == 0)
        sdp->is_sending = false;
    else if (strcmp(line, "a=inactive") == 0)
        sdp->is_sending = sdp->is_receiving = false;
    else if (take_word(&line, "a=ptime:") && take_number(&line, 200, &number))
        sdp->ptime_ms = number;
    else if (take_word(&line, "a=rtpmap:") && take_number(&line, 127, &number) &&
             take_word(&line, " telephone-event/8000"))
        sdp->event_type = (int)number;
}

enum err phone_sdp_parse(struct phone_sdp *out, const char *text, size_t length)
{
    *out = (struct phone_sdp){
        .rtp.sin_family = AF_INET, .event_type = -1, .is_sending = true, .is_receiving = true};
    unsigned streams = 0;
    while (length > 0) {
        const char *newline = memchr(text, '\n', length);
        size_t taken = newline == NULL ? length : (size_t)(newline - text) + 1;
        char line[LINE_BYTES];
        size_t kept = taken < sizeof line ? taken : sizeof line - 1;
        memcpy(line, text, kept);
        line[kept] = '\0';
        line[strcspn(line, "\r\n")] = '\0';
        streams += strncmp(line, "m=", 2) == 0;
        if (streams <= 1) {
            take_address(out, line);
            take_media(out, line);
            take_attribute(out, line);
        }
        text += taken;
        length -= taken;
    }
    return streams > 0 && (out->has_pcmu || out->has_pcma) ? OK : ERR_SYNTAX;
}

void phone_sdp_write(char *out, const struct sockaddr_in *rtp, const enum phone_law *laws, size_t law_count,
                     int event_type, unsigned ptime_ms, unsigned version)
{
    char address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &rtp->sin_addr, address, sizeof address);
    FILE *text = fmemopen(out, PHONE_SDP_BYTES, "w");
    if (text == NULL) {
        out[0] = '\0';
        return;
    }
    fprintf(text, "v=0\r\no=- 1 %u IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %u RTP/AVP", version,
            address, address, ntohs(rtp->sin_port));
    for (size_t l = 0; l < law_count; l++)
        fprintf(text, " %d", (int)laws[l]);
    if (event_type >= 0)
        fprintf(text, " %d", event_type);
    fprintf(text, "\r\n");
    for (size_t l = 0; l < law_count; l++)
        fprintf(text, "a=rtpmap:%d %s/8000\r\n", (int)laws[l], laws[l] == PHONE_PCMU ? "PCMU" : "PCMA");
    if (event_type >= 0)
        fprintf(text, "a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-15\r\n", event_type, event_type);
    fprintf(text, "a=ptime:%u\r\na=sendrecv\r\n", ptime_ms);
    fclose(text);
}
