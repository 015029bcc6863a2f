#include "bench/load/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool number_read(const char *text, unsigned long most, unsigned long *number)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value > most)
        return false;
    *number = value;
    return true;
}

bool endpoint_read_parts(const char *ip, const char *port, struct sockaddr_in *at)
{
    unsigned long number;
    if (!number_read(port, 65535, &number) || inet_pton(AF_INET, ip, &at->sin_addr) != 1)
        return false;
    at->sin_family = AF_INET;
    at->sin_port = htons((uint16_t)number);
    return true;
}

bool endpoint_read(const char *text, struct sockaddr_in *at)
{
    char ip[INET_ADDRSTRLEN];
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(ip))
        return false;
    memcpy(ip, text, (size_t)(colon - text));
    ip[colon - text] = '\0';
    return endpoint_read_parts(ip, colon + 1, at);
}
