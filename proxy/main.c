/* The one program: it only chooses. Everything else is in the rooms' libraries, so that tests, fuzzers and benches link
 * the real code. */
#include "base/config.h"
#include "base/log.h"
#include "base/role.h"
#include "bench/leak/leak_command.h"
#include "bench/recordings/detect.h"
#include "bench/recordings/mask_command.h"
#include "gateway/connectors/generic.h"
#include "proxy/sip/call_table.h"
#include "proxy/supervisor/supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE      2
#define ROLE_CONTROL_FD 3

static const char usage_text[] =
    "usage: tonegate run --config FILE     start the service in the foreground\n"
    "       tonegate check --config FILE   check the configuration; exit 2 and name file and line if it is "
    "wrong\n"
    "       tonegate version\n"
    "       tonegate detect FILE...        the keys in recordings, as JSON lines; see tonegate detect "
    "--help\n"
    "       tonegate mask IN OUT           recordings with the keys taken out; see tonegate mask --help\n"
    "       tonegate leak [SENT] DELIVERED what of the keys is left in a recording\n"
    "signals to a running service: TERM stops it, USR1 lets calls end and then stops it\n";

static int usage(void)
{
    fputs(usage_text, stderr);
    return EXIT_USAGE;
}

static enum err load(int argc, char **argv, struct config *config, char **text, size_t *length)
{
    char message[CONFIG_ERROR_BYTES];
    if (argc != 4 || strcmp(argv[2], "--config") != 0) {
        usage();
        return ERR_SYNTAX;
    }
    enum err err = config_load(config, argv[3], text, length, message);
    if (err)
        fprintf(stderr, "tonegate: %s\n", message);
    return err;
}

static int run_check(int argc, char **argv)
{
    struct config config;
    if (load(argc, argv, &config, NULL, NULL))
        return EXIT_USAGE;
    char message[MAPPING_ERROR_BYTES];
    if (generic_check(&config, message) != OK) {
        fprintf(stderr, "tonegate: %s\n", message);
        return EXIT_USAGE;
    }
    printf("%s: good\n", argv[3]);
    return 0;
}

static int run_service(int argc, char **argv)
{
    struct config config;
    char *text = NULL;
    size_t length = 0;
    if (load(argc, argv, &config, &text, &length))
        return EXIT_USAGE;
    log_open(STDERR_FILENO, config.log_format, config.log_level, "supervisor");
    int code = supervisor_run(&config, text, length, call_table_bytes(&config));
    free(text);
    return code;
}

/* Only the supervisor starts this; it does nothing without a control socket. */
static int run_role(const char *name)
{
    static const struct {
        enum role role;
        int (*run)(struct role_context *context);
    } roles[] = {{ROLE_PROXY, proxy_role_run},
                 {ROLE_VAULT, vault_role_run},
                 {ROLE_GATEWAY, gateway_role_run},
                 {ROLE_DESK, desk_role_run}};
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (strcmp(role_name(roles[i].role), name) != 0)
            continue;
        struct role_context context;
        enum err err = role_receive(&context, roles[i].role, ROLE_CONTROL_FD);
        if (err) {
            fprintf(stderr, "tonegate: role %s is started by the supervisor only: %s\n", name, err_str(err));
            return EXIT_USAGE;
        }
        int code = roles[i].run(&context);
        role_release(&context);
        return code;
    }
    return usage();
}

static int run_leak(int argc, char **argv)
{
    return leak_command("tonegate leak", argc, argv);
}

/* Work on recordings; they get the words from their own name on. */
static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} tools[] = {{"detect", detect_command}, {"mask", mask_command}, {"leak", run_leak}};

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "run") == 0)
        return run_service(argc, argv);
    if (argc >= 2 && strcmp(argv[1], "check") == 0)
        return run_check(argc, argv);
    if (argc == 3 && strcmp(argv[1], "role") == 0)
        return run_role(argv[2]);
    for (size_t i = 0; argc >= 2 && i < sizeof(tools) / sizeof(tools[0]); i++)
        if (strcmp(argv[1], tools[i].name) == 0)
            return tools[i].run(argc - 1, argv + 1);
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("tonegate %s\n", TONEGATE_VERSION);
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(usage_text, stdout);
        return 0;
    }
    return usage();
}
