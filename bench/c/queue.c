/* queue.c: the queue of five slots of twenty bytes, as in the mmap_queue
   example. */
#include "half.h"
#include "spin.h"

#include <string.h>

#include "../../shared/shared.h"

enum { MSG = SLOT_SIZE - 1 };

#define PUT(name, wait, post)                                          \
    static void name(struct half *h, void *state, size_t i)            \
    {                                                                  \
        struct queue *q = state;                                       \
        uint64_t n = i + 1;                                            \
        char msg[SLOT_SIZE];                                           \
                                                                       \
        h->sum += n;                                                   \
        memset(msg, 'x', MSG);                                         \
        msg[MSG] = '\0';                                               \
        for (int j = 0; j < 5; j++)                                    \
            msg[j] = (char)(0x80 | (n >> (7 * j) & 0x7f));             \
        if (wait(&q->full) == -1 || wait(&q->lock) == -1)              \
            fail_errno("sem_wait");                                    \
        q->current++;                                                  \
        memset(q->slots[q->current], 0, SLOT_SIZE);                    \
        memcpy(q->slots[q->current], msg, strnlen(msg, SLOT_SIZE - 1)); \
        if (post(&q->lock) == -1 || post(&q->empty) == -1)             \
            fail_errno("sem_post");                                    \
    }

#define TAKE(name, wait, post)                                         \
    static void name(struct half *h, void *state, size_t i)            \
    {                                                                  \
        struct queue *q = state;                                       \
        uint64_t n = 0;                                                \
        char msg[SLOT_SIZE];                                           \
                                                                       \
        (void)i;                                                       \
        if (wait(&q->empty) == -1 || wait(&q->lock) == -1)             \
            fail_errno("sem_wait");                                    \
        memcpy(msg, q->slots[q->current], SLOT_SIZE);                  \
        q->current--;                                                  \
        if (post(&q->lock) == -1 || post(&q->full) == -1)              \
            fail_errno("sem_post");                                    \
        if (strnlen(msg, SLOT_SIZE) != MSG || msg[MSG - 1] != 'x')     \
            fail("message of %zu bytes", strnlen(msg, SLOT_SIZE));     \
        for (int j = 0; j < 5; j++)                                    \
            n |= (uint64_t)((unsigned char)msg[j] & 0x7f) << (7 * j);  \
        h->sum += n;                                                   \
    }

PUT(put_op, sem_wait, sem_post)
TAKE(take_op, sem_wait, sem_post)
PUT(spin_put_op, spin_wait, spin_post)
TAKE(spin_take_op, spin_wait, spin_post)

static void start(struct half *h, int sample, op_fn *op) { run(h, sample, op, memory(sizeof(struct queue))); }

void queue_put(struct half *h) { start(h, 1, put_op); }
void queue_take(struct half *h) { start(h, 0, take_op); }
void queue_spin_put(struct half *h) { start(h, 1, spin_put_op); }
void queue_spin_take(struct half *h) { start(h, 0, spin_take_op); }
