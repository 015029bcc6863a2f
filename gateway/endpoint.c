#include "gateway/endpoint.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTPS_PORT 443

void endpoint_read(struct endpoint *endpoint, const char *url)
{
    memset(endpoint, 0, sizeof(*endpoint));
    const char *scheme = strstr(url, "://");
    const char *host = scheme ? scheme + 3 : url;
    size_t whole = strcspn(host, "/?#");
    const char *user = memchr(host, '@', whole);
    const char *end = host + whole;
    if (user)
        host = user + 1;
    size_t length = host[0] == '[' ? strcspn(host, "]/") + 1 : strcspn(host, ":/?#");
    if (length > (size_t)(end - host))
        length = (size_t)(end - host);
    snprintf(endpoint->host, sizeof(endpoint->host), "%.*s", (int)length, host);
    endpoint->port = HTTPS_PORT;
    if (host[length] == ':') {
        long port = strtol(host + length + 1, NULL, 10);
        endpoint->port = port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
    }
    endpoint->address.sin_family = AF_INET;
    endpoint->address.sin_port = htons(endpoint->port);
    endpoint->is_ipv4 = inet_pton(AF_INET, endpoint->host, &endpoint->address.sin_addr) == 1;
}

void endpoint_log(const struct endpoint *endpoint, const char *connector)
{
    if (endpoint->is_ipv4)
        log_event(LOG_INFO, "gateway ready", LOG_CONSTANT("connector", connector),
                  LOG_ADDRESS("address", &endpoint->address));
    else
        log_event(LOG_INFO, "gateway ready", LOG_CONSTANT("connector", connector),
                  LOG_TEXT("host", endpoint->host), LOG_COUNT("port", endpoint->port));
}
