/* half.h: what every half of a benchmark has in common, in C. The protocol is
   that of package phase. */
#ifndef HALF_H
#define HALF_H

#include <stddef.h>
#include <stdint.h>

enum { WARM, TIMED, SAMPLED, PHASES };

struct half {
    const char *role;
    size_t ops[PHASES]; /* operations of each phase */
    size_t size;        /* bytes of a message */
    size_t peer;        /* processes on each side */
    const char *path;   /* a name, where the two sides meet by name */

    int phase;    /* the present one */
    uint64_t sum; /* of the numbers sent or received in the present phase */
};

/* An operation; i is its number in the phase. */
typedef void op_fn(struct half *h, void *state, size_t i);

/* run calls op for each operation of each phase; sample says that the third
   phase is to be sampled in this half. */
void run(struct half *h, int sample, op_fn *op, void *state);

/* serve is run for a half whose work is done by other threads. begin, if not
   NULL, is called when the timed phase begins. */
void serve(struct half *h, void (*begin)(void *), void *state);

/* fail reports an error and ends the process; fail_errno adds strerror(errno). */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail_errno(const char *call);

int file(int i);                /* the workload's i-th descriptor */
void *memory(size_t size);      /* the workload's shared memory */
void *buffer(size_t size);      /* malloc that does not fail, also of 0 bytes */

/* Messages, as in phase/stamp.go. */
void fill(unsigned char *b, size_t len);
void stamp(struct half *h, unsigned char *b, size_t len, size_t i);
uint64_t number(struct half *h, const unsigned char *b, size_t len, size_t i);
void check(struct half *h, const unsigned char *b, size_t len, size_t i);
void echo(struct half *h, const unsigned char *b, size_t len, size_t i);

/* The roles. */
typedef void role_fn(struct half *h);
role_fn sem_ping, sem_pong, spin_ping, spin_pong;
role_fn transfer_write, transfer_read, transfer_spin_write, transfer_spin_read;
role_fn queue_put, queue_take, queue_spin_put, queue_spin_take;
role_fn mutex_lock;
role_fn channel_ping, channel_pong, channel_send, channel_recv;
role_fn mq_ping, mq_pong, mq_send_role, mq_recv_role;
role_fn door_call, door_callfd, door_serve, door_mute;
role_fn fork_role, version;
role_fn idle_sem, idle_mutex, idle_queue, idle_mq, idle_door;

/* For idle.c. */
int door_open(const char *path);
void door_transact(int fd, const void *data, size_t len, int desc, void *result);

#endif
