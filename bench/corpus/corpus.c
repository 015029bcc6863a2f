#include "bench/corpus/bench.h"

#include "base/clock.h"
#include "bench/corpus/corpus_labels.h"
#include "bench/corpus/corpus_listen.h"
#include "bench/corpus/corpus_page.h"
#include "bench/corpus/corpus_report.h"
#include "bench/corpus/corpus_state.h"
#include "bench/page/page.h"
#include "bench/recordings/folder_list.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_INPUT    2
#define EXIT_STOPPED  130
#define REASON_BYTES  512
#define SAY_EVERY_MS  10000 /* where there is no terminal */
#define DRAW_EVERY_MS 100
#define USUAL_STATE   "tonegate-corpus.state"

static volatile sig_atomic_t is_stopped;

struct group { /* what one word of the command line stands for */
    const char *name;
    char *folder;
    struct folder_list list;
    struct label_table table;
    int64_t table_changed_ns;
    size_t first; /* of its results */
    size_t count;
    size_t failed;
};

struct run {
    const struct bench_options *options;
    struct group *groups;
    struct corpus_state *state; /* NULL: none is kept */
    struct corpus_result *results;
    size_t result_count;
    size_t failed;
    size_t kept; /* from the state */
    size_t number;
    size_t total;
    bool is_terminal;
    struct mono_time said;
};

static void stop(int signal)
{
    (void)signal;
    is_stopped = 1;
}

static void complain(const char *reason)
{
    fprintf(stderr, "tonegate-bench corpus: %s\n", reason);
}

/* ------------------------------------------------------------------ what is to be heard */

static enum err list_group(struct group *group, const char *path, char *reason)
{
    struct stat status;
    group->name = path;
    if (stat(path, &status) != 0) {
        snprintf(reason, REASON_BYTES, "%.400s: %m", path);
        return ERR_SYSTEM;
    }
    char *copy = strdup(path);
    if (copy == NULL)
        return ERR_MEMORY;
    if (S_ISDIR(status.st_mode)) {
        group->folder = copy;
        enum err err = folder_list_read(&group->list, path);
        if (err || group->list.count == 0) {
            snprintf(reason, REASON_BYTES, "%.400s: %s", path,
                     !err                ? "holds no recordings"
                     : err == ERR_SYSTEM ? strerror(errno)
                                         : err_str(err));
            return err ? err : ERR_NOT_FOUND;
        }
        return corpus_labels_read_folder(&group->table, path, &group->table_changed_ns, reason);
    }
    group->folder = strdup(dirname(copy));
    free(copy);
    group->list.names = calloc(1, sizeof *group->list.names);
    if (group->folder == NULL || group->list.names == NULL)
        return ERR_MEMORY;
    const char *slash = strrchr(path, '/');
    group->list.names[0] = strdup(slash == NULL ? path : slash + 1);
    group->list.count = group->list.names[0] == NULL ? 0 : 1;
    return group->list.count ? OK : ERR_MEMORY;
}

/* Every row must have its recording, or labels would be lost by a slip of the pen. */
static size_t count_lost_rows(const struct group *group)
{
    size_t lost = 0;
    for (size_t i = 0; i < group->table.count; i++) {
        const struct label_row *row = &group->table.rows[i];
        bool is_there = false;
        for (size_t n = 0; n < group->list.count && !is_there; n++)
            is_there = strcmp(group->list.names[n], row->file) == 0;
        if (is_there)
            continue;
        if (lost++ == 0)
            fprintf(stderr, "tonegate-bench corpus: %s/labels.tsv:%zu: there is no such recording\n",
                    group->folder, row->line);
    }
    return lost;
}

/* ------------------------------------------------------------------ one recording */

static void show(struct run *run, const char *path)
{
    int64_t every = run->is_terminal ? DRAW_EVERY_MS : SAY_EVERY_MS;
    if (mono_elapsed_ms(run->said, mono_now()) < every)
        return;
    run->said = mono_now();
    fprintf(stderr, run->is_terminal ? "\r\033[K[%zu/%zu] %s" : "[%zu/%zu] %s\n", run->number, run->total,
            path);
}

static enum err judge(struct run *run, struct corpus_result *result, const struct corpus_labels *labels,
                      char *reason)
{
    struct corpus_audio audio;
    enum err err = corpus_audio_read(&audio, result->path, run->options->channel, reason);
    if (err)
        return err;
    if (labels->keys.count > 0 && labels->keys.labels[labels->keys.count - 1].end > audio.count) {
        snprintf(reason, REASON_BYTES, "%.240s: a key lies past the end of %.240s", labels->path,
                 result->path);
        err = ERR_RANGE;
    } else {
        err = corpus_listen(result, &audio, labels->is_labelled ? &labels->keys : NULL, &is_stopped);
        if (err && err != ERR_ORDER)
            snprintf(reason, REASON_BYTES, "%.400s: %s", result->path, err_str(err));
    }
    corpus_audio_free(&audio);
    return err;
}

static enum err judge_or_recall(struct run *run, struct corpus_result *result,
                                const struct corpus_labels *labels, char *reason)
{
    struct stat status;
    if (stat(result->path, &status) != 0) {
        snprintf(reason, REASON_BYTES, "%.400s: %m", result->path);
        return ERR_SYSTEM;
    }
    result->size_bytes = (uint64_t)status.st_size;
    result->changed_ns = status.st_mtim.tv_sec * NS_PER_S + status.st_mtim.tv_nsec;
    result->labels_changed_ns = labels->changed_ns;
    struct corpus_result *known = run->state == NULL
                                      ? NULL
                                      : corpus_state_find(run->state, result->path, result->size_bytes,
                                                          result->changed_ns, result->labels_changed_ns);
    if (known != NULL) {
        corpus_result_release(result);
        *result = *known;
        memset(known, 0, sizeof *known);
        run->kept++;
        return OK;
    }
    return judge(run, result, labels, reason);
}

/* ERR_ORDER: stopped. ERR_STORE: the state cannot be written. Otherwise the run goes on. */
static enum err take_recording(struct run *run, struct group *group, const char *name)
{
    char path[2 * PATH_MAX];
    char reason[REASON_BYTES] = "not enough memory";
    struct corpus_labels labels;
    struct corpus_result *result = &run->results[run->result_count];
    size_t kept = run->kept;
    snprintf(path, sizeof path, "%s/%s", group->folder, name);
    show(run, path);
    enum err err =
        corpus_labels_read(&labels, &group->table, group->table_changed_ns, group->folder, name, reason);
    if (err == OK) {
        result->path = strdup(path);
        err = result->path == NULL ? ERR_MEMORY : judge_or_recall(run, result, &labels, reason);
    }
    corpus_labels_release(&labels);
    if (err == OK) {
        run->result_count++;
        group->count++;
        if (run->state == NULL || run->kept > kept || corpus_state_append(run->state, result, reason) == OK)
            return OK;
        complain(reason);
        return ERR_STORE;
    }
    corpus_result_release(result);
    if (err == ERR_ORDER)
        return err;
    if (run->is_terminal)
        fputs("\r\033[K", stderr);
    complain(reason);
    group->failed++;
    run->failed++;
    return OK;
}

static enum err take_all(struct run *run)
{
    enum err err = OK;
    for (size_t g = 0; g < run->options->path_count; g++) {
        struct group *group = &run->groups[g];
        group->first = run->result_count;
        for (size_t i = 0; i < group->list.count && err == OK; i++) {
            run->number++;
            err = is_stopped ? ERR_ORDER : take_recording(run, group, group->list.names[i]);
        }
    }
    if (run->is_terminal)
        fputs("\r\033[K", stderr);
    return err;
}

/* ------------------------------------------------------------------ reports */

static enum err sum_groups(struct run *run, struct corpus_sum *sums, size_t *count)
{
    size_t groups = run->options->path_count;
    enum err err = OK;
    for (size_t g = 0; g < groups && err == OK; g++) {
        const struct group *group = &run->groups[g];
        err = corpus_sum_up(&sums[(*count)++], group->name, run->results + group->first, group->count,
                            group->failed);
    }
    if (groups > 1 && err == OK) {
        err = corpus_sum_up(&sums[*count], "all of them", run->results, run->result_count, run->failed);
        sums[(*count)++].is_total = true;
    }
    return err;
}

static enum err print_page(const char *path, const struct corpus_sum *sums, size_t count)
{
    struct page_file page;
    char reason[PAGE_REASON_BYTES];
    enum err err = page_open(&page, path, reason);
    if (err == OK) {
        enum err drawn = corpus_page_print(page.stream, sums, count);
        snprintf(reason, sizeof reason, "%s: %s", path, err_str(drawn));
        err = page_close(&page, drawn == OK, reason);
        err = drawn != OK ? drawn : err;
    }
    if (err)
        complain(reason);
    return err;
}

static enum err print_reports(struct run *run)
{
    size_t count = 0;
    struct corpus_sum *sums = calloc(run->options->path_count + 1, sizeof *sums);
    enum err err = sums == NULL ? ERR_MEMORY : sum_groups(run, sums, &count);
    for (size_t i = 0; i < count && err == OK; i++) {
        if (run->options->is_json)
            err = corpus_report_print_json(stdout, &sums[i]);
        else
            corpus_report_print_text(stdout, &sums[i]);
    }
    if (err == OK && (fflush(stdout) != 0 || ferror(stdout)))
        err = ERR_SYSTEM;
    if (err)
        complain(err_str(err));
    if (err == OK && run->options->html != NULL)
        err = print_page(run->options->html, sums, count);
    for (size_t i = 0; i < count; i++)
        corpus_sum_release(&sums[i]);
    free(sums);
    return err;
}

/* ------------------------------------------------------------------ the run */

/* Lines of another program must not be mixed with ours: it is known by its size and time. */
static void make_key(char *key, unsigned channel)
{
    struct stat status = {0};
    (void)stat("/proc/self/exe", &status);
    snprintf(key, CORPUS_STATE_KEY_BYTES, "program %lld %lld.%09ld channel %u", (long long)status.st_size,
             (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec, channel);
}

static enum err open_state(struct run *run)
{
    char key[CORPUS_STATE_KEY_BYTES];
    char reason[CORPUS_STATE_REASON_BYTES];
    bool is_usual = run->options->state == NULL;
    if (run->options->is_stateless)
        return OK;
    make_key(key, run->options->channel);
    enum err err = corpus_state_open(&run->state, is_usual ? USUAL_STATE : run->options->state, key, reason);
    if (err == OK)
        return OK;
    complain(reason);
    /* A folder that cannot be written to is no reason not to listen. */
    if (is_usual && err == ERR_SYSTEM)
        return OK;
    return err;
}

static enum err list_all(struct run *run)
{
    size_t bad = 0;
    for (size_t g = 0; g < run->options->path_count; g++) {
        char reason[REASON_BYTES] = "not enough memory";
        struct group *group = &run->groups[g];
        enum err err = list_group(group, run->options->paths[g], reason);
        if (err == OK && count_lost_rows(group) == 0) {
            run->total += group->list.count;
            continue;
        }
        if (err)
            complain(reason);
        bad++;
    }
    return bad ? ERR_SYNTAX : OK;
}

static void release(struct run *run, bool is_complete)
{
    corpus_state_close(run->state, is_complete && run->options->state == NULL);
    for (size_t g = 0; g < run->options->path_count && run->groups != NULL; g++) {
        folder_list_release(&run->groups[g].list);
        label_table_release(&run->groups[g].table);
        free(run->groups[g].folder);
    }
    for (size_t i = 0; i < run->result_count; i++)
        corpus_result_release(&run->results[i]);
    free(run->results);
    free(run->groups);
}

static enum err prepare(struct run *run)
{
    run->groups = calloc(run->options->path_count, sizeof *run->groups);
    if (run->groups == NULL)
        return ERR_MEMORY;
    enum err err = list_all(run);
    if (err)
        return err;
    run->results = calloc(run->total + 1, sizeof *run->results);
    return run->results == NULL ? ERR_MEMORY : open_state(run);
}

int bench_corpus(const struct bench_options *options)
{
    struct run run = {.options = options, .is_terminal = isatty(STDERR_FILENO), .said = mono_now()};
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESETHAND}; /* a second one ends at once */
    if (options->path_count == 0) {
        complain("name at least one folder of recordings");
        return EXIT_INPUT;
    }
    enum err err = prepare(&run);
    if (err) {
        release(&run, false);
        return EXIT_INPUT;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    err = take_all(&run);
    if (err == OK && run.kept > 0)
        fprintf(stderr, "%zu of %zu recordings were judged by an earlier run\n", run.kept, run.total);
    if (err == OK)
        err = print_reports(&run);
    int code = err == ERR_ORDER ? EXIT_STOPPED : err || run.failed ? EXIT_INPUT : 0;
    if (err == ERR_ORDER)
        fprintf(stderr, "stopped after %zu of %zu recordings; %s\n", run.number - 1, run.total,
                run.state ? "the same command goes on from there" : "nothing was kept");
    release(&run, err == OK);
    return code;
}
