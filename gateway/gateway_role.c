#include "base/role.h"

int gateway_role_run(struct role_context *context)
{
    (void)context;
    return 1;
}
