/* robust FILE [spoil]: take the robust mutex in FILE, say so, and let it go at the
   end of standard input. After EOWNERDEAD it is made consistent before, unless it
   is to be spoilt. An empty FILE gets a mutex first. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void fail(const char *call, int error)
{
    printf("%s: %s\n", call, strerror(error));
    exit(1);
}

int main(int argc, char *argv[])
{
    pthread_mutex_t *m;
    struct stat st;
    int fd, error, dead;

    if (argc < 2 || (fd = open(argv[1], O_RDWR | O_CREAT, 0666)) == -1 || fstat(fd, &st) == -1)
        fail("open", errno);
    if (st.st_size == 0 && ftruncate(fd, sizeof *m) == -1)
        fail("ftruncate", errno);
    m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED)
        fail("mmap", errno);
    if (st.st_size == 0) {
        pthread_mutexattr_t a;

        pthread_mutexattr_init(&a);
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(m, &a);
    }
    error = pthread_mutex_lock(m);
    dead = error == EOWNERDEAD;
    if (error != 0 && !dead)
        fail("pthread_mutex_lock", error);
    printf(dead ? "locked, the owner died\n" : "locked\n");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    if (dead && argc == 2 && (error = pthread_mutex_consistent(m)) != 0)
        fail("pthread_mutex_consistent", error);
    if ((error = pthread_mutex_unlock(m)) != 0)
        fail("pthread_mutex_unlock", error);
    return 0;
}
