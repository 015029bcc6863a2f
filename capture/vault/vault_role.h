/* The vault's process. vault_role_run() is declared in base/role.h; here is its wall, for the tests of the wall. */
#ifndef TONEGATE_CAPTURE_VAULT_VAULT_ROLE_H
#define TONEGATE_CAPTURE_VAULT_VAULT_ROLE_H

#include "base/wall.h"

/* Nothing beyond the calls of every role: no socket, no connect, no open, no thread, no path. user may be NULL. */
struct wall_plan vault_wall_plan(const char *user);

#endif
