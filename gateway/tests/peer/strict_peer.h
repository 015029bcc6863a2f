/* strict_gateway.py as a child process of a test that uses the rig: it has the rig's certificate. */
#ifndef TONEGATE_GATEWAY_TESTS_STRICT_PEER_H
#define TONEGATE_GATEWAY_TESTS_STRICT_PEER_H

#include <stddef.h>
#include <sys/types.h>

struct strict_peer {
    pid_t pid;
    char url[64];
    char journal_path[256];
};

/* dialect: see strict_gateway.py. Fails the test when it does not come up. */
void strict_peer_start(struct strict_peer *peer, const char *dialect);
void strict_peer_stop(struct strict_peer *peer);

/* Lines of the journal with that text in them. */
unsigned strict_peer_count(const struct strict_peer *peer, const char *text);

/* The whole journal, terminated. */
void strict_peer_journal(const struct strict_peer *peer, char *out, size_t capacity);

#endif
