/* Preloaded into every process of a house: records what happens to the files below a folder, lets it fail by order, and
 * moves the wall clock.
 *
 *   cc -shared -fPIC -O1 -o disk.so disk.c
 *   DISK_CONTROL=<file of struct control> DISK_ROOT=<folder> DISK_LOG=<file> LD_PRELOAD=disk.so program
 *
 * Programs that are started with another environment get these variables again. Operations on -shm files (shared
 * memory, worth nothing after a crash of the machine), on sockets and on logs are let through unseen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

enum fault { NONE, KILL, ONCE, FROM_THEN_ON };
enum op { CREATE = 1, WRITE, TRUNCATE, SYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR };

struct control {               /* campaigns/disk.py has the same */
    uint64_t recording;        /* every operation goes into the log */
    uint64_t fault;            /* enum fault */
    uint64_t at;               /* which operation is hit, from 1 */
    _Atomic uint64_t count;    /* operations so far */
    uint64_t error;            /* errno of the failing operation */
    _Atomic uint64_t hits;     /* operations that were hit */
    int64_t clock;             /* seconds that the wall clock is ahead */
    uint64_t no_processes;     /* nothing can be forked, and no thread be made */
    uint64_t writes_only;      /* FROM_THEN_ON hits only what needs space */
};

struct record {                /* in the log, before both paths and the data */
    uint32_t op, first, second, pid;
    uint64_t inode, offset, length;
};

static struct control *control;
static char root[PATH_MAX], log_path[PATH_MAX];
static size_t root_length;
static char kept[4][PATH_MAX + 64]; /* our variables, for programs that are started without them */

__attribute__((constructor)) static void begin(void) {
    const char *names[4] = {"DISK_CONTROL", "DISK_ROOT", "DISK_LOG", "LD_PRELOAD"};
    for (int i = 0; i < 4; i++) {
        const char *value = getenv(names[i]);
        if (!value) return;
        snprintf(kept[i], sizeof kept[i], "%s=%s", names[i], value);
    }
    snprintf(root, sizeof root, "%s/", getenv("DISK_ROOT"));
    root_length = strlen(root);
    snprintf(log_path, sizeof log_path, "%s", getenv("DISK_LOG"));
    REAL(int, open64, const char *, int, ...);
    int fd = real(getenv("DISK_CONTROL"), O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) control = page;
}

/* -- what is looked at */

static int ends_with(const char *path, const char *end) {
    size_t a = strlen(path), b = strlen(end);
    return a >= b && !strcmp(path + a - b, end);
}

static int is_ours(const char *path) {
    if (!control || strncmp(path, root, root_length)) return 0;
    return !(ends_with(path, "-shm") || ends_with(path, ".log") || ends_with(path, ".sock") || ends_with(path, ".ctl")
             || ends_with(path, "/engine.lock"));
}

static int path_of(int fd, char *path) {
    char name[64];
    struct stat found;
    if (!control || fstat(fd, &found) || !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (S_ISDIR(found.st_mode) && (size_t)length == root_length - 1 && !strncmp(path, root, length)) return 1;
    return is_ours(path);
}

static int path_at(int folder, const char *name, char *path) {
    if (!control) return 0;
    if (name[0] == '/' || folder == AT_FDCWD) {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char link[64], base[PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        if ((size_t)snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    }
    return is_ours(path);
}

/* -- the order to fail */

static int is_hit(enum op op) {
    if (control->fault == NONE) return 0;
    uint64_t number = atomic_fetch_add(&control->count, 1) + 1;
    int needs_space = op == CREATE || op == WRITE || op == MKDIR || op == LINK;
    int hit = number == control->at;
    if (control->fault == FROM_THEN_ON) hit = number >= control->at && (needs_space || !control->writes_only);
    if (!hit) return 0;
    atomic_fetch_add(&control->hits, 1);
    if (control->fault == KILL) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = (int)control->error;
    return 1;
}

/* -- the log: the lock is held from before an operation until it is written down, so that the order is the true one */

static int lock_log(void) {
    if (!control->recording) return -1;
    REAL(int, open64, const char *, int, ...);
    int fd = real(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fd >= 0)
        while (fcntl(fd, F_OFD_SETLKW, &whole) && errno == EINTR) {}
    return fd;
}

static void tell(int log, enum op op, const char *first, const char *second, uint64_t inode, uint64_t offset,
                 const void *data, uint64_t length) {
    if (log < 0) return;
    int before = errno;
    struct record head = {op, (uint32_t)strlen(first), (uint32_t)strlen(second), (uint32_t)getpid(), inode, offset,
                          length};
    struct iovec parts[4] = {{&head, sizeof head}, {(void *)first, head.first}, {(void *)second, head.second},
                             {(void *)data, data ? length : 0}};
    if (writev(log, parts, 4) < 0) abort();
    errno = before;
}

static void unlock_log(int log) {
    int before = errno;
    if (log >= 0) close(log);
    errno = before;
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

/* -- opening */

static int opened(int (*really)(int, const char *, int, mode_t), int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(folder, name, path)) return really(folder, name, flags, mode);
    if (is_hit(CREATE)) return -1;
    int log = lock_log();
    int is_new = log >= 0 && access(path, F_OK) != 0;
    int fd = really(folder, name, flags, mode);
    if (fd >= 0 && is_new) tell(log, CREATE, path, "", inode_of(fd), 0, NULL, 0);
    else if (fd >= 0 && flags & O_TRUNC) tell(log, TRUNCATE, path, "", inode_of(fd), 0, NULL, 0);
    unlock_log(log);
    return fd;
}

static int really_open(int folder, const char *name, int flags, mode_t mode) {
    REAL(int, openat64, int, const char *, int, ...);
    return real(folder, name, flags, mode);
}

static mode_t mode_from(int flags, va_list rest) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? (mode_t)va_arg(rest, int) : 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = mode_from(flags, rest); \
        va_end(rest); \
        return opened(really_open, AT_FDCWD, path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = mode_from(flags, rest); \
        va_end(rest); \
        return opened(really_open, folder, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* -- content */

static ssize_t wrote(int fd, const void *data, size_t length, off64_t offset, int is_at) {
    REAL(ssize_t, write, int, const void *, size_t);
    static ssize_t (*real_at)(int, const void *, size_t, off64_t);
    if (!real_at) real_at = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    char path[PATH_MAX];
    if (!path_of(fd, path)) return is_at ? real_at(fd, data, length, offset) : real(fd, data, length);
    if (is_hit(WRITE)) return -1;
    int log = lock_log();
    ssize_t done = is_at ? real_at(fd, data, length, offset) : real(fd, data, length);
    if (done > 0 && log >= 0) {
        if (!is_at) offset = lseek64(fd, 0, SEEK_CUR) - done;
        tell(log, WRITE, path, "", inode_of(fd), (uint64_t)offset, data, (uint64_t)done);
    }
    unlock_log(log);
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return wrote(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return wrote(fd, data, length, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return wrote(fd, data, length, offset, 1); }

static int truncated(int fd, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, length);
    if (is_hit(TRUNCATE)) return -1;
    int log = lock_log();
    int failed = real(fd, length);
    if (!failed) tell(log, TRUNCATE, path, "", inode_of(fd), (uint64_t)length, NULL, 0);
    unlock_log(log);
    return failed;
}

int ftruncate(int fd, off_t length) { return truncated(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }

static int synced(int (*really)(int), int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return really(fd);
    if (is_hit(SYNC)) return -1;
    int log = lock_log();
    int failed = really(fd);
    if (!failed) tell(log, SYNC, path, "", inode_of(fd), 0, NULL, 0);
    unlock_log(log);
    return failed;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return synced(real, fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return synced(real, fd);
}

/* -- names */

int renameat(int from, const char *old, int to, const char *new) {
    REAL(int, renameat, int, const char *, int, const char *);
    char first[PATH_MAX], second[PATH_MAX];
    if (!path_at(from, old, first) || !path_at(to, new, second)) return real(from, old, to, new);
    if (is_hit(RENAME)) return -1;
    int log = lock_log();
    int failed = real(from, old, to, new);
    if (!failed) tell(log, RENAME, first, second, 0, 0, NULL, 0);
    unlock_log(log);
    return failed;
}

int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }

int linkat(int from, const char *old, int to, const char *new, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    char first[PATH_MAX], second[PATH_MAX];
    if (!path_at(from, old, first) || !path_at(to, new, second)) return real(from, old, to, new, flags);
    if (is_hit(LINK)) return -1;
    int log = lock_log();
    int failed = real(from, old, to, new, flags);
    if (!failed) tell(log, LINK, first, second, 0, 0, NULL, 0);
    unlock_log(log);
    return failed;
}

int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int folder, const char *name, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    enum op op = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    char path[PATH_MAX];
    if (!path_at(folder, name, path)) return real(folder, name, flags);
    if (is_hit(op)) return -1;
    int log = lock_log();
    int failed = real(folder, name, flags);
    if (!failed) tell(log, op, path, "", 0, 0, NULL, 0);
    unlock_log(log);
    return failed;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *name, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    char path[PATH_MAX];
    if (!path_at(folder, name, path)) return real(folder, name, mode);
    if (is_hit(MKDIR)) return -1;
    int log = lock_log();
    int failed = real(folder, name, mode);
    if (!failed) tell(log, MKDIR, path, "", 0, 0, NULL, 0);
    unlock_log(log);
    return failed;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* -- the wall clock */

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int failed = real(clock, now);
    if (!failed && control && clock == CLOCK_REALTIME) now->tv_sec += control->clock;
    return failed;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

/* -- programs, processes, threads */

pid_t fork(void) {
    REAL(pid_t, fork, void);
    if (control && control->no_processes) {
        errno = EAGAIN;
        return -1;
    }
    return real();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *given) {
    REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    return control && control->no_processes ? EAGAIN : real(thread, attr, run, given);
}

#define WITH_OURS(environment, longer) /* on the stack: this may run in the child of a vfork */ \
    size_t given_count = 0, known = 0; \
    while (environment[given_count]) known |= !strncmp(environment[given_count++], "DISK_CONTROL=", 13); \
    char *longer[given_count + 5]; \
    memcpy(longer, environment, given_count * sizeof *longer); \
    for (int i = 0; i < 4 && control && !known; i++) longer[given_count++] = kept[i]; \
    longer[given_count] = NULL

int execve(const char *path, char *const argv[], char *const environment[]) {
    REAL(int, execve, const char *, char *const[], char *const[]);
    WITH_OURS(environment, longer);
    return real(path, argv, longer);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                char *const argv[], char *const environment[]) {
    REAL(int, posix_spawn, pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
         char *const[], char *const[]);
    if (control && control->no_processes) return EAGAIN;
    WITH_OURS(environment, longer);
    return real(pid, path, actions, attr, argv, longer);
}
