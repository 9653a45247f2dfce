/* A disk that fails: loaded before the C library into a process under test (LD_PRELOAD), it lets
 * the nth write to a store's files fail and hands every other call on.
 *
 *   FAULT_PATH   part of the names of the files meant, such as "selvedge.db"
 *   FAULT_FILE   a file whose one line is "KIND NTH", read when the process asks for it by opening
 *                a file of the name FAULT_FILE: from then on calls are counted
 *
 * KIND: eio, enospc (the call fails and does nothing), short (half is written, then ENOSPC).
 * Counted are pwrite64, write, fsync, fdatasync, ftruncate64 and fallocate on those files, from 1
 * on. The nth call fails, and a file FAULT_FILE.hit says that there was one; "sticky" after NTH lets all later ones fail too, as a full disk does.
 * Only one thread is expected to write. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { NONE, EIO_, ENOSPC_, SHORT };

static enum kind kind;
static long nth, calls;
static int sticky;

static int is_meant(int fd) {
    const char *wanted = getenv("FAULT_PATH");
    char link[64], name[4096];
    if (kind == NONE || !wanted)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    if (n < 0)
        return 0;
    name[n] = 0;
    return strstr(name, wanted) != NULL;
}

/* Whether this call is to fail. */
static int fails(int fd) {
    if (!is_meant(fd))
        return 0;
    calls++;
    if (calls == nth) {
        char hit[4096];
        snprintf(hit, sizeof hit, "%s.hit", getenv("FAULT_FILE"));
        close((int)syscall(SYS_openat, AT_FDCWD, hit, O_CREAT | O_WRONLY, 0600));
    }
    return calls == nth || (sticky && calls > nth);
}

static int refuse(void) {
    errno = kind == EIO_ ? EIO : ENOSPC;
    return -1;
}

static void arm(const char *path) {
    const char *file = getenv("FAULT_FILE");
    char word[16] = "", more[16] = "";
    if (!file || strcmp(path, file) != 0)
        return;
    FILE *said = fopen(file, "r");
    if (!said)
        return;
    kind = NONE;
    calls = 0;
    if (fscanf(said, "%15s %ld %15s", word, &nth, more) >= 2)
        kind = strcmp(word, "eio") == 0 ? EIO_ : strcmp(word, "short") == 0 ? SHORT
             : strcmp(word, "enospc") == 0 ? ENOSPC_ : NONE;
    sticky = strcmp(more, "sticky") == 0;
    fclose(said);
}

/* The function of this name that the C library has. */
#define REAL(function) \
    static __typeof__(function) *real; \
    if (!real) \
    real = (__typeof__(function) *)dlsym(RTLD_NEXT, #function)

int open64(const char *path, int flags, ...) {
    REAL(open64);
    va_list list;
    va_start(list, flags);
    mode_t mode = va_arg(list, mode_t);
    va_end(list);
    arm(path);
    return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    REAL(open);
    va_list list;
    va_start(list, flags);
    mode_t mode = va_arg(list, mode_t);
    va_end(list);
    arm(path);
    return real(path, flags, mode);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    REAL(pwrite64);
    if (!fails(fd))
        return real(fd, bytes, n, at);
    if (kind == SHORT && n > 1)
        return real(fd, bytes, n / 2, at);
    return refuse();
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    return pwrite64(fd, bytes, n, at);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    REAL(write);
    if (!fails(fd))
        return real(fd, bytes, n);
    if (kind == SHORT && n > 1)
        return real(fd, bytes, n / 2);
    return refuse();
}

int fsync(int fd) {
    REAL(fsync);
    return fails(fd) ? refuse() : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return fails(fd) ? refuse() : real(fd);
}

int ftruncate64(int fd, off64_t n) {
    REAL(ftruncate64);
    return fails(fd) ? refuse() : real(fd, n);
}

int ftruncate(int fd, off_t n) {
    return ftruncate64(fd, n);
}

int fallocate64(int fd, int mode, off64_t at, off64_t n) {
    REAL(fallocate64);
    return fails(fd) ? refuse() : real(fd, mode, at, n);
}
