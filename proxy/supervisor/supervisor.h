/* The supervisor: starts the four roles, keeps what must outlive them, restarts what dies or hangs, stops cleanly.
 * It parses nothing from the network: its only input is the configuration and three kinds of fixed messages. */
#ifndef TONEGATE_PROXY_SUPERVISOR_SUPERVISOR_H
#define TONEGATE_PROXY_SUPERVISOR_SUPERVISOR_H

#include "base/config.h"

#include <stddef.h>

/* Runs until SIGTERM or SIGINT (stop: roles wipe and end within LIMIT_STOP_MS) or until a drain asked for by SIGUSR1 is
 * over. Returns the process's exit code: 0, or 1 when a role could not be started at all. */
int supervisor_run(const struct config *config, const char *config_text, size_t config_length,
                   size_t call_table_bytes);

#endif
