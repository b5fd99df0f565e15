/* Preloaded into a process, this library lets the Nth call that changes files below a folder go wrong.

   fault_arm(folder, mode, nth, number) chooses what happens at the Nth call (counted from 1):
     0 nothing, calls are only counted      1 the process is killed before the call
     2 a write is cut in half, then the process is killed
     3 the call fails with errno = number   4 this call and all later ones fail
   Removals (unlink, rmdir) fail in mode 3 only, since a full disk does not stop them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, TEAR, FAIL, FULL };
enum { PASS, HALF, ERROR };
static char folder[PATH_MAX];
static int mode = COUNT, error_number = 0;
static long at = 0, calls = 0;

void fault_arm(const char *path, int mode_, long nth, int number) {
    mode = mode_; at = nth; error_number = number; calls = 0;
    snprintf(folder, sizeof folder, "%s/", path);
}

long fault_calls(void) { return calls; }

static int below(const char *path) { return folder[0] && strncmp(path, folder, strlen(folder)) == 0; }

static int of_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

static int of_path(int at_fd, const char *path) {
    char link[64], whole[PATH_MAX], start[PATH_MAX];
    if (!folder[0] || !path) return 0;
    if (path[0] == '/') return below(path);
    if (at_fd == AT_FDCWD) strcpy(link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", at_fd);
    ssize_t n = readlink(link, start, sizeof start - 1);
    if (n < 0) return 0;
    start[n] = 0;
    if (snprintf(whole, sizeof whole, "%s/%s", start, path) >= (int)sizeof whole) return 0;
    return below(whole);
}

static int now(int is_removal) {
    long n = __sync_add_and_fetch(&calls, 1);
    if (mode == COUNT || n < at || (n > at && mode != FULL)) return PASS;
    if (mode == KILL) { kill(getpid(), SIGKILL); for (;;) pause(); }
    if (mode == TEAR) return HALF;
    if (mode == FULL && is_removal) return PASS;
    errno = error_number;
    return ERROR;
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* A call without data: torn is the same as killed before it. */
#define SIMPLE(name, types, values, where, removal) \
    int name types { \
        REAL(name); \
        if (where) { int what = now(removal); if (what == ERROR) return -1; if (what == HALF) die(); } \
        return real values; \
    }
SIMPLE(fsync, (int fd), (fd), of_fd(fd), 0)
SIMPLE(fdatasync, (int fd), (fd), of_fd(fd), 0)
SIMPLE(ftruncate, (int fd, off_t n), (fd, n), of_fd(fd), 0)
SIMPLE(ftruncate64, (int fd, off64_t n), (fd, n), of_fd(fd), 0)
SIMPLE(rename, (const char *a, const char *b), (a, b), of_path(AT_FDCWD, a) || of_path(AT_FDCWD, b), 0)
SIMPLE(renameat, (int x, const char *a, int y, const char *b), (x, a, y, b), of_path(x, a) || of_path(y, b), 0)
SIMPLE(link, (const char *a, const char *b), (a, b), of_path(AT_FDCWD, b), 0)
SIMPLE(mkdir, (const char *a, mode_t m), (a, m), of_path(AT_FDCWD, a), 0)
SIMPLE(mkdirat, (int x, const char *a, mode_t m), (x, a, m), of_path(x, a), 0)
SIMPLE(unlink, (const char *a), (a), of_path(AT_FDCWD, a), 1)
SIMPLE(unlinkat, (int x, const char *a, int f), (x, a, f), of_path(x, a), 1)
SIMPLE(rmdir, (const char *a), (a), of_path(AT_FDCWD, a), 1)

/* A call with data: torn is half of it, then the end. */
#define DATA(name, types, values, half, where) \
    ssize_t name types { \
        REAL(name); \
        if (where) { \
            int what = now(0); \
            if (what == ERROR) return -1; \
            if (what == HALF) { n /= 2; if (real half < 0) {} die(); } \
        } \
        return real values; \
    }
DATA(write, (int fd, const void *p, size_t n), (fd, p, n), (fd, p, n), of_fd(fd))
DATA(pwrite, (int fd, const void *p, size_t n, off_t o), (fd, p, n, o), (fd, p, n, o), of_fd(fd))
DATA(pwrite64, (int fd, const void *p, size_t n, off64_t o), (fd, p, n, o), (fd, p, n, o), of_fd(fd))
DATA(writev, (int fd, const struct iovec *p, int n), (fd, p, n), (fd, p, n), of_fd(fd))
extern ssize_t sendfile(int, int, off_t *, size_t);
extern ssize_t sendfile64(int, int, off64_t *, size_t);
DATA(sendfile, (int fd, int in, off_t *o, size_t n), (fd, in, o, n), (fd, in, o, n), of_fd(fd))
DATA(sendfile64, (int fd, int in, off64_t *o, size_t n), (fd, in, o, n), (fd, in, o, n), of_fd(fd))
DATA(copy_file_range, (int in, off64_t *i, int fd, off64_t *o, size_t n, unsigned f), (in, i, fd, o, n, f),
     (in, i, fd, o, n, f), of_fd(fd))

/* Opening for writing. */
#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))
#define OPEN(name, types, values, where) \
    int name types { \
        REAL(name); \
        mode_t m = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); m = va_arg(list, mode_t); va_end(list); } \
        if (WRITES(flags) && where) { int what = now(0); if (what == ERROR) return -1; if (what == HALF) die(); } \
        return real values; \
    }
OPEN(open, (const char *a, int flags, ...), (a, flags, m), of_path(AT_FDCWD, a))
OPEN(open64, (const char *a, int flags, ...), (a, flags, m), of_path(AT_FDCWD, a))
OPEN(openat, (int x, const char *a, int flags, ...), (x, a, flags, m), of_path(x, a))
OPEN(openat64, (int x, const char *a, int flags, ...), (x, a, flags, m), of_path(x, a))
