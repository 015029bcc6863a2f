#include "capture/tests/store_faults.h"

#include <sqlite3.h>
#include <stddef.h>
#include <string.h>

#define FACES 4 /* the system has a table of methods for each way of locking */

static sqlite3_vfs faulty;
static sqlite3_vfs *real;
static struct face {
    sqlite3_io_methods methods; /* the first member: a file's pMethods leads back to its face */
    const sqlite3_io_methods *real;
} faces[FACES];
static int point = -1;
static int count;
static int syncs;

static const sqlite3_io_methods *real_of(const sqlite3_file *file)
{
    return ((const struct face *)file->pMethods)->real;
}

static int is_failing(void)
{
    return point >= 0 && count++ >= point;
}

static int fail_write(sqlite3_file *file, const void *bytes, int length, sqlite3_int64 at)
{
    return is_failing() ? SQLITE_FULL : real_of(file)->xWrite(file, bytes, length, at);
}

static int fail_sync(sqlite3_file *file, int flags)
{
    if (is_failing())
        return SQLITE_IOERR_FSYNC;
    syncs++;
    return real_of(file)->xSync(file, flags);
}

static int fail_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return is_failing() ? SQLITE_IOERR_TRUNCATE : real_of(file)->xTruncate(file, size);
}

/* The file is the real system's, with three of its methods ours. */
static int faulty_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    int code = real->xOpen(real, name, file, flags, out_flags);
    if (code != SQLITE_OK || !file->pMethods)
        return code;
    for (int i = 0; i < FACES; i++) {
        if (faces[i].real && faces[i].real != file->pMethods)
            continue;
        faces[i].methods = *file->pMethods;
        faces[i].real = file->pMethods;
        faces[i].methods.xWrite = fail_write;
        faces[i].methods.xSync = fail_sync;
        faces[i].methods.xTruncate = fail_truncate;
        file->pMethods = &faces[i].methods;
        return code;
    }
    return code;
}

void store_faults_register(void)
{
    real = sqlite3_vfs_find(NULL);
    faulty = *real;
    faulty.zName = STORE_FAULTS_VFS;
    faulty.xOpen = faulty_open;
    sqlite3_vfs_register(&faulty, 0);
}

void store_faults_after(int operations)
{
    point = operations;
    count = 0;
    syncs = 0;
}

int store_faults_syncs(void)
{
    return syncs;
}
