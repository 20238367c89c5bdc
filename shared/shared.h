/* shared.h: what two processes map, for the C programs of the suite.
   The Go side of each layout is in the file named beside it; a test compares
   sizes and offsets. */
#ifndef IPCBOOK_SHARED_H
#define IPCBOOK_SHARED_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

/* queue.go: the queue in a mapped file. current is raised before use, so slot 0
   stays empty and the last message lies behind the 200 bytes that class Message
   of the textbook has: map QUEUE_MAP_SIZE bytes. */
enum { QUEUE_SLOTS = 5, SLOT_SIZE = 20, QUEUE_SIZE = 200, QUEUE_MAP_SIZE = 220 };

struct queue {
    sem_t lock;                            /* 1 when free */
    sem_t empty;                           /* messages in the queue */
    sem_t full;                            /* free slots */
    int32_t current;                       /* slot of the newest message */
    char slots[QUEUE_SLOTS + 1][SLOT_SIZE]; /* slot 0 is never used */
};

/* transfer.go: the writer's and the reader's buffer. */
enum { BUF_SIZE = 1024 };

struct shmbuf {
    sem_t wsem; /* the writer's turn */
    sem_t rsem; /* the reader's turn */
    int32_t cnt; /* bytes in buf, 0 at the end of the data */
    char buf[BUF_SIZE];
};

/* mutex.go: the futex mutex, and what futex_mutex maps. */
enum { UNLOCKED = 0, LOCKED = 1, CONTENDED = 2, PTHREAD_MUTEX_SIZE = 40 };

struct mutex {
    _Atomic uint32_t word;
    uint32_t rest[3]; /* pthread_mutex_t: count, owner, nusers */
    uint32_t kind;    /* pthread_mutex_t: MUTEX_KIND */
    uint32_t pad[5];
};

enum { MUTEX_KIND = 128 }; /* normal, shared between processes */

struct counter {
    struct mutex mutex;
    uint64_t total; /* what the mutex guards */
};

#endif
