/* A disk that fails on demand, preloaded before the C library.
 *
 * FAILING_DISK names a folder. While one of these files exists in it, each call of its kind removes the file's last byte and
 * fails if that byte is an x. Calls without a file, or with an empty one, succeed:
 *
 *     write-full   write to a write-ahead log, ENOSPC
 *     write-error  write to a write-ahead log, EIO
 *     sync-error   sync of a write-ahead log, EIO
 *     lock-busy    exclusive lock on the index of a write-ahead log, EAGAIN, while this process holds the write lock
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Offset of SQLite's write lock in the index. */
#define WRITE_LOCK 120

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int is_write_locked;

static int is_file(int fd, const char *suffix) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path);
  size_t wanted = strlen(suffix);
  return length > (ssize_t)wanted && memcmp(path + length - wanted, suffix, wanted) == 0;
}

/* Whether the next call of this kind fails. */
static int fails(const char *name) {
  const char *folder = getenv("FAILING_DISK");
  if (folder == NULL) return 0;
  char path[PATH_MAX], last = 0;
  struct stat status;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  pthread_mutex_lock(&mutex);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    if (fstat(fd, &status) == 0 && status.st_size > 0 && pread(fd, &last, 1, status.st_size - 1) == 1 &&
        ftruncate(fd, status.st_size - 1) != 0)
      last = 0;
    close(fd);
  }
  pthread_mutex_unlock(&mutex);
  return last == 'x';
}

static int fails_with(int fd, const char *name, int number) {
  int before = errno;
  int is_failure = is_file(fd, "-wal") && fails(name);
  errno = is_failure ? number : before;
  return is_failure;
}

static int write_fails(int fd) {
  return fails_with(fd, "write-full", ENOSPC) || fails_with(fd, "write-error", EIO);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
  return write_fails(fd) ? -1 : next(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  ssize_t (*next)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
  return write_fails(fd) ? -1 : next(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  ssize_t (*next)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
  return write_fails(fd) ? -1 : next(fd, bytes, count, offset);
}

int fsync(int fd) {
  int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
  return fails_with(fd, "sync-error", EIO) ? -1 : next(fd);
}

int fdatasync(int fd) {
  int (*next)(int) = dlsym(RTLD_NEXT, "fdatasync");
  return fails_with(fd, "sync-error", EIO) ? -1 : next(fd);
}

static int lock(int fd, int command, void *argument, int (*next)(int, int, ...)) {
  struct flock *wanted = argument;
  if (command != F_SETLK || !is_file(fd, "-shm")) return next(fd, command, argument);
  int has_write_lock = wanted->l_start <= WRITE_LOCK && WRITE_LOCK < wanted->l_start + wanted->l_len;
  if (wanted->l_type == F_WRLCK && !has_write_lock && __atomic_load_n(&is_write_locked, __ATOMIC_SEQ_CST) &&
      fails("lock-busy")) {
    errno = EAGAIN;
    return -1;
  }
  int outcome = next(fd, command, argument);
  if (outcome == 0 && has_write_lock)
    __atomic_store_n(&is_write_locked, wanted->l_type == F_WRLCK, __ATOMIC_SEQ_CST);
  return outcome;
}

int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  return lock(fd, command, argument, (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl"));
}

int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  return lock(fd, command, argument, (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl64"));
}
