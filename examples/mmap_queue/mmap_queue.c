//go:build ignore

/* mmap_queue producer | consumer: pass messages through a queue in a mapped file.
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

enum { MESSAGES = 100 };

static const char shared_file[] = "shared.dat";

static _Noreturn void fail(const char *call)
{
    fprintf(stderr, "mmap_queue: %s %s: %s\n", call, shared_file, strerror(errno));
    exit(255);
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "mmap_queue: want the command producer or consumer\n"
                    "usage: mmap_queue producer | consumer\n");
    exit(255);
}

/* A line is out before the next step. */
static void out(void)
{
    if (fflush(stdout) == EOF || ferror(stdout)) {
        fprintf(stderr, "mmap_queue: write standard output: %s\n", strerror(errno));
        exit(255);
    }
}

static struct queue *map_queue(int fd)
{
    struct queue *q = mmap(NULL, QUEUE_MAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (q == MAP_FAILED)
        fail("mmap");
    return q;
}

static void enqueue(struct queue *q, const char *msg)
{
    sem_wait(&q->full);
    sem_wait(&q->lock);
    q->current++;
    memset(q->slots[q->current], 0, SLOT_SIZE);
    memcpy(q->slots[q->current], msg, strnlen(msg, SLOT_SIZE - 1));
    sem_post(&q->lock);
    sem_post(&q->empty);
}

static void dequeue(struct queue *q, char msg[SLOT_SIZE])
{
    sem_wait(&q->empty);
    sem_wait(&q->lock);
    memcpy(msg, q->slots[q->current], SLOT_SIZE);
    q->current--;
    sem_post(&q->lock);
    sem_post(&q->full);
}

static int producer(void)
{
    struct queue *q;
    int fd, i;

    /* [1] create the file, or empty the one that is there */
    fd = open(shared_file, O_CREAT | O_TRUNC | O_RDWR, 0666);
    if (fd == -1)
        fail("open");
    /* [2] make it long enough for the object, and for the slot behind it */
    printf("message size = %d\n", QUEUE_SIZE);
    out();
    if (lseek(fd, QUEUE_SIZE, SEEK_SET) == -1)
        fail("lseek");
    if (write(fd, "", 1) != 1)
        fail("write");
    if ((errno = posix_fallocate(fd, 0, QUEUE_MAP_SIZE)) != 0)
        fail("fallocate");
    /* [3] map it, shared */
    q = map_queue(fd);
    /* [4] make the queue: semaphores, index, slots */
    q->current = 0;
    sem_init(&q->lock, 1, 1);
    sem_init(&q->full, 1, QUEUE_SLOTS);
    sem_init(&q->empty, 1, 0);
    /* [5] store the messages; a full queue makes us wait */
    for (i = 0; i < MESSAGES; i++) {
        char msg[SLOT_SIZE];

        snprintf(msg, sizeof msg, "%d\n", i);
        enqueue(q, msg);
        printf("enqueued %d\n", i);
        out();
    }
    /* [6] keep the mapping until a key is pressed */
    printf("message queue written\n");
    out();
    getchar();
    /* [7] unmap */
    if (munmap(q, QUEUE_MAP_SIZE) == -1)
        fail("munmap");
    close(fd);
    return 0;
}

static _Noreturn void consumer(void)
{
    struct queue *q;
    int fd, count;

    /* [8] open the producer's file */
    fd = open(shared_file, O_RDWR);
    if (fd == -1)
        fail("open");
    /* [9] map it, shared */
    q = map_queue(fd);
    /* [10] take messages, each printed before the next; an empty queue makes us wait */
    for (count = 1;; count++) {
        char msg[SLOT_SIZE];

        dequeue(q, msg);
        printf("%d: %.*s", count, SLOT_SIZE, msg);
        out();
    }
}

int main(int argc, char *argv[])
{
    if (argc != 2)
        usage();
    if (strcmp(argv[1], "producer") == 0)
        return producer();
    if (strcmp(argv[1], "consumer") == 0)
        consumer();
    usage();
}
