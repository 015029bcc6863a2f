/* What both programs read from their command line and from lists of destinations. */
#ifndef TONEGATE_BENCH_LOAD_ENDPOINT_H
#define TONEGATE_BENCH_LOAD_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>

/* A decimal number and nothing else, 0..most. False: *number is untouched. */
bool number_read(const char *text, unsigned long most, unsigned long *number);

/* "IP" and "PORT", or "IP:PORT". */
bool endpoint_read_parts(const char *ip, const char *port, struct sockaddr_in *at);
bool endpoint_read(const char *text, struct sockaddr_in *at);

#endif
