#include "gateway/tests/peer/strict_peer.h"

#include "gateway/tests/rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

void strict_peer_start(struct strict_peer *peer, const char *dialect)
{
    static unsigned number;
    static const char greeting[] = "listening on ";
    int ends[2];
    char line[128] = "", name[32];
    snprintf(name, sizeof(name), "journal-%u", number++);
    snprintf(peer->journal_path, sizeof(peer->journal_path), "%s", rig_path(name));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    peer->pid = fork();
    if (peer->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        execlp("python3", "python3", STRICT_GATEWAY, dialect, rig_path("right/server.pem"),
               rig_path("right/server.key"), peer->journal_path, NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof(line), out));
    fclose(out);
    assert_memory_equal(line, greeting, sizeof(greeting) - 1);
    const char *url = line + sizeof(greeting) - 1;
    snprintf(peer->url, sizeof(peer->url), "%.*s", (int)strcspn(url, "\n"), url);
}

void strict_peer_stop(struct strict_peer *peer)
{
    kill(peer->pid, SIGTERM);
    waitpid(peer->pid, NULL, 0);
}

void strict_peer_journal(const struct strict_peer *peer, char *out, size_t capacity)
{
    FILE *journal = fopen(peer->journal_path, "r");
    assert_non_null(journal);
    out[fread(out, 1, capacity - 1, journal)] = '\0';
    fclose(journal);
}

unsigned strict_peer_count(const struct strict_peer *peer, const char *text)
{
    char line[256];
    unsigned count = 0;
    FILE *journal = fopen(peer->journal_path, "r");
    assert_non_null(journal);
    while (fgets(line, sizeof(line), journal))
        count += strstr(line, text) != NULL;
    fclose(journal);
    return count;
}
