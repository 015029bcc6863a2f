/* Where the payment gateway is, taken out of gateway.url in a form that a log may show: as text, an address with its
 * port is a run of digits for the filter. */
#ifndef TONEGATE_GATEWAY_ENDPOINT_H
#define TONEGATE_GATEWAY_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define ENDPOINT_HOST_BYTES 256

struct endpoint {
    char host[ENDPOINT_HOST_BYTES];
    uint16_t port;              /* 443 when the url names none; 0: it names none that can be */
    bool is_ipv4;               /* host is one: */
    struct sockaddr_in address; /* with its port */
};

/* url as in the configuration. Whatever stands before an '@' is not taken. */
void endpoint_read(struct endpoint *endpoint, const char *url);

/* The line "gateway ready". connector is a constant. */
void endpoint_log(const struct endpoint *endpoint, const char *connector);

#endif
