/* tonegate-sandbox --listen 127.0.0.1:PORT --certificate FILE --key FILE --api-key-file FILE [--ledger FILE]
 *                  [--refuse-moto] */
#include "gateway/sandbox/sandbox.h"
#include "gateway/wipe_heap.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define API_KEY_BYTES 256

static int usage(const char *what)
{
    fprintf(
        stderr,
        "tonegate-sandbox: %s\n"
        "usage: tonegate-sandbox --listen 127.0.0.1:PORT --certificate FILE --key FILE --api-key-file FILE\n"
        "                        [--ledger FILE] [--refuse-moto]\n",
        what);
    return 2;
}

static bool read_address(const char *text, struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    unsigned long port = strtoul(colon + 1, &end, 10);
    address->sin_family = AF_INET;
    address->sin_port = htons((in_port_t)port);
    return colon[1] && *end == '\0' && port <= 65535 && inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

static enum err read_key(const char *path, struct secret **key)
{
    size_t capacity;
    enum err err = secret_new(key, API_KEY_BYTES);
    int fd = err ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err ? err : ERR_SYSTEM;
    uint8_t *bytes = secret_buffer(*key, &capacity);
    ssize_t length = read(fd, bytes, capacity);
    close(fd);
    while (length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r'))
        length--;
    secret_set_length(*key, length > 0 ? (size_t)length : 0);
    return length > 0 ? OK : ERR_LENGTH;
}

static void stop(evutil_socket_t signal_number, short what, void *base)
{
    (void)signal_number;
    (void)what;
    event_base_loopbreak(base);
}

static int run(const struct sandbox_options *options)
{
    struct sandbox *sandbox = NULL;
    struct event_base *base = event_base_new();
    struct event *interrupt = base ? evsignal_new(base, SIGINT, stop, base) : NULL;
    struct event *terminate = base ? evsignal_new(base, SIGTERM, stop, base) : NULL;
    if (!interrupt || !terminate)
        return 1;
    event_add(interrupt, NULL);
    event_add(terminate, NULL);
    enum err err = sandbox_new(&sandbox, base, options);
    if (err) {
        fprintf(stderr, "tonegate-sandbox: cannot start: %s\n", err_str(err));
    } else {
        printf("listening on https://%s:%u\n", inet_ntoa(options->listen.sin_addr), sandbox_port(sandbox));
        fflush(stdout);
        event_base_dispatch(base);
    }
    sandbox_free(sandbox);
    event_free(interrupt);
    event_free(terminate);
    event_base_free(base);
    return err ? 1 : 0;
}

/* It holds cards for a moment, if only test cards: no core, not dumpable. */
static void leave_no_traces(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},
        {"certificate", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        {"api-key-file", required_argument, NULL, 'a'},
        {"ledger", required_argument, NULL, 'b'},
        {"refuse-moto", no_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    struct sandbox_options options = {0};
    const char *api_key_path = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'l':
            if (!read_address(optarg, &options.listen))
                return usage("--listen takes 127.x.y.z:PORT");
            break;
        case 'c':
            options.certificate_path = optarg;
            break;
        case 'k':
            options.key_path = optarg;
            break;
        case 'a':
            api_key_path = optarg;
            break;
        case 'b':
            options.ledger_path = optarg;
            break;
        case 'm':
            options.refuse_moto = true;
            break;
        default:
            return usage("unknown option");
        }
    }
    if (optind != argc || !options.listen.sin_family || !options.certificate_path || !options.key_path ||
        !api_key_path)
        return usage("something is missing");
    leave_no_traces();
    if (wipe_heap_install() != OK || read_key(api_key_path, &options.api_key) != OK) {
        fprintf(stderr, "tonegate-sandbox: cannot read the API key from %s\n", api_key_path);
        secret_free(options.api_key);
        return 1;
    }
    return run(&options);
}
