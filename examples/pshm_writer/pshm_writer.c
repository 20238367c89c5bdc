//go:build ignore

/* pshm_writer [NAME]: copy standard input into shared memory, for pshm_reader.
   The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../shared/shared.h"

static const char *name = "/pshm_xfr";
static int created;

static _Noreturn void fail(const char *call)
{
    fprintf(stderr, "pshm_writer: %s %s: %s\n", call, name, strerror(errno));
    if (created)
        shm_unlink(name);
    exit(1);
}

int main(int argc, char *argv[])
{
    struct shmbuf *shmp;
    long long bytes, xfrs;
    int fd;

    if (argc > 2) {
        fprintf(stderr, "pshm_writer: want 0 to 1 arguments, got %d\nusage: pshm_writer [NAME]\n", argc - 1);
        return 1;
    }
    if (argc == 2)
        name = argv[1];
    /* [1] create the object; one that exists may be in use */
    fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0660);
    if (fd == -1)
        fail("shm_open");
    /* [2] remove it in the end (a signal leaves it behind) */
    created = 1;
    /* [3] give it its size, and memory */
    if ((errno = posix_fallocate(fd, 0, sizeof *shmp)) != 0)
        fail("fallocate");
    /* [4] map it */
    shmp = mmap(NULL, sizeof *shmp, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shmp == MAP_FAILED)
        fail("mmap");
    /* [5] initialise the semaphores: the writer has the first turn */
    if (sem_init(&shmp->rsem, 1, 0) == -1 || sem_init(&shmp->wsem, 1, 1) == -1)
        fail("sem_init");

    for (bytes = 0, xfrs = 0;; xfrs++) {
        ssize_t n;

        /* [6] wait for our turn */
        if (sem_wait(&shmp->wsem) == -1)
            fail("sem_wait");
        /* [7] fill the buffer */
        n = read(STDIN_FILENO, shmp->buf, BUF_SIZE);
        shmp->cnt = n > 0 ? n : 0;
        /* [8] give the reader a turn */
        if (sem_post(&shmp->rsem) == -1)
            fail("sem_post");
        if (n == -1)
            fail("read");
        /* [9] a turn of 0 bytes was the end of the data */
        if (n == 0)
            break;
        bytes += n;
    }
    /* [10] wait for the reader to finish */
    if (sem_wait(&shmp->wsem) == -1)
        fail("sem_wait");
    if (munmap(shmp, sizeof *shmp) == -1)
        fail("munmap");
    if (shm_unlink(name) == -1)
        fail("shm_unlink");
    fprintf(stderr, "Sent %lld bytes (%lld xfrs)\n", bytes, xfrs);
    return 0;
}
