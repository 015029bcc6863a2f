/* A file system for SQLite that fails the n-th write, sync or truncation, and every one after it until it is mended:
 * a disk that fills up or breaks at any point of any statement. */
#ifndef TONEGATE_CAPTURE_TESTS_STORE_FAULTS_H
#define TONEGATE_CAPTURE_TESTS_STORE_FAULTS_H

#define STORE_FAULTS_VFS "store-faults"

void store_faults_register(void);
/* The next `point` operations succeed, then all fail. Negative: none fails. */
void store_faults_after(int point);
/* Syncs that reached the disk since then. */
int store_faults_syncs(void);

#endif
