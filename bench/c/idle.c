/* idle.c: halves that wait for a peer that never comes, in a thread. */
#include "half.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <stdio.h>

#include "../../shared/shared.h"

static void start(void *thread)
{
    pthread_t id;

    if (pthread_create(&id, NULL, ((struct { void *(*run)(void *); } *)thread)->run, NULL) != 0)
        fail("pthread_create");
}

static void idle(struct half *h, void *(*wait)(void *))
{
    struct {
        void *(*run)(void *);
    } thread = {wait};

    serve(h, start, &thread);
}

static sem_t *sem;

static void *wait_sem(void *arg)
{
    sem_wait(sem);
    return arg;
}

void idle_sem(struct half *h)
{
    sem = memory(2 * sizeof *sem);
    idle(h, wait_sem);
}

static pthread_mutex_t *mutex;

static void *wait_mutex(void *arg)
{
    pthread_mutex_lock(mutex);
    return arg;
}

void idle_mutex(struct half *h)
{
    mutex = memory(sizeof(struct counter));
    idle(h, wait_mutex);
}

void idle_queue(struct half *h)
{
    sem = &((struct queue *)memory(sizeof(struct queue)))->empty;
    idle(h, wait_sem);
}

static mqd_t queue;
static size_t queue_size;

static void *wait_mq(void *arg)
{
    mq_receive(queue, buffer(queue_size), queue_size, NULL);
    return arg;
}

void idle_mq(struct half *h)
{
    char name[256];

    snprintf(name, sizeof name, "%s.to", h->path);
    queue = mq_open(name, O_RDONLY);
    if (queue == (mqd_t)-1)
        fail_errno("mq_open");
    queue_size = h->size;
    idle(h, wait_mq);
}

static int door;

static void *wait_door(void *arg)
{
    door_transact(door, NULL, 0, -1, NULL);
    return arg;
}

void idle_door(struct half *h)
{
    door = door_open(h->path);
    idle(h, wait_door);
}
