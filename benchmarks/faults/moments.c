/* Stops a process, or refuses room on the disk, at the k-th change of a file below a folder; for `moments.py`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { OFF, COUNT, KILLED, INTERRUPTED, FULL };
static int mode;
static long at, seen;
static char root[1024];
static __thread int inside;

/* Choose what happens at the k-th change below a folder. */
void arm(int what, long k, const char *folder) {
  strncpy(root, folder, sizeof root - 1);
  at = k;
  seen = 0;
  mode = what;
}

long changes(void) { return seen; }

static int below(const char *path) {
  char whole[4200], here[2048];
  if (path[0] != '/') {
    if (!getcwd(here, sizeof here)) return 0;
    snprintf(whole, sizeof whole, "%s/%s", here, path);
    path = whole;
  }
  return strncmp(path, root, strlen(root)) == 0;
}

static int opened_below(int fd) {
  char link[64], path[1024];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

/* Count a change; true where it is refused. */
static int refused(int takes_room) {
  if (inside) return 0;
  inside = 1;
  long now = ++seen;
  if (now == at && mode == KILLED) kill(getpid(), SIGKILL);
  if (now == at && mode == INTERRUPTED) kill(getpid(), SIGINT);
  inside = 0;
  if (mode != FULL || now < at || !takes_room) return 0;
  errno = ENOSPC;
  return 1;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define ON_FD(room) if (mode && opened_below(fd) && refused(room)) return -1
#define ON_PATH(path, room) if (mode && below(path) && refused(room)) return -1

ssize_t write(int fd, const void *b, size_t n) { REAL(write); ON_FD(1); return real(fd, b, n); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { REAL(pwrite64); ON_FD(1); return real(fd, b, n, o); }
int fsync(int fd) { REAL(fsync); ON_FD(1); return real(fd); }
int rename(const char *a, const char *b) { REAL(rename); ON_PATH(b, 0); return real(a, b); }
int renameat2(int x, const char *a, int y, const char *b, unsigned f) { REAL(renameat2); ON_PATH(b, 0); return real(x, a, y, b, f); }
int mkdir(const char *a, mode_t m) { REAL(mkdir); ON_PATH(a, 1); return real(a, m); }
int unlink(const char *a) { REAL(unlink); ON_PATH(a, 0); return real(a); }
int rmdir(const char *a) { REAL(rmdir); ON_PATH(a, 0); return real(a); }

#define OPEN(name) int name(const char *path, int flags, ...) { \
  REAL(name); mode_t m = 0; \
  if (flags & O_CREAT) { va_list rest; va_start(rest, flags); m = va_arg(rest, mode_t); va_end(rest); } \
  if ((flags & O_ACCMODE) != O_RDONLY) ON_PATH(path, flags & O_CREAT); \
  return real(path, flags, m); }
OPEN(open)
OPEN(open64)
