/* Files that one process at a time may hold. What holds is the kernel's lock on the open file (flock), not that
 * the file exists: it ends with the process, however that ends, so that what a killed process left behind, or one
 * from before a reboot, is taken over by the next. Process numbers are told in messages, never trusted.
 *
 * On NFS, Linux makes flock a byte-range lock that the server keeps (since 2.6.12), so it holds between machines, unless
 * it is mounted with nolock or local_lock=flock: then it holds on each machine alone. The lock of a machine that went
 * away is the server's until it comes back. A file system that knows no locks (ENOLCK, ENOSYS, EOPNOTSUPP: Lustre
 * without -o flock, NFS without lockd) is written to without. */
#ifndef ATH_BASE_LOCK_H
#define ATH_BASE_LOCK_H
#include "base/status.h"

typedef struct ath_lock {
    char *path; /* owned; NULL: holds nothing */
    int file;
} ath_lock;

/* Makes the file `path`, which says "<process> <host>", and holds it. Fails with ATH_E_IO when another process does,
 * with "<path>: <what> by process <pid> on <host>", or when the file cannot be written. */
ath_status ath_lock_take(ath_lock *l, const char *path, const char *what, ath_err *err);
/* Fails with ATH_E_IO when the file is no longer at its path: it, or the folder it is in, was moved, removed or replaced. */
ath_status ath_lock_check(const ath_lock *l, ath_err *err);
/* Removes the file. Accepts a zeroed lock. */
void ath_lock_release(ath_lock *l);

/* What the above and the writers of file.h are made of. Opens `path` itself (no link) for reading and writing, made
 * when missing, and locks it: a descriptor, or -1 with errno, which is EWOULDBLOCK when another process holds it. What
 * the file holds is left as it is. */
int ath_lock_open(const char *path);
/* Unlinks `path` while it still names the file behind the descriptor, to be called before that is closed. */
void ath_lock_unlink(const char *path, int file);

#endif
