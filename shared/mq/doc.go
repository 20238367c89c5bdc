// Package mq wraps the POSIX message queues of Linux, mq_overview(7), by
// their system calls.
//
// A queue is a kernel object with a name. It holds up to Attr.MaxMsg messages
// of up to Attr.MsgSize bytes each. Receive takes the oldest message of the
// highest priority. The queue and its messages outlive the processes that use
// them, until Unlink or the end of the machine; an unlinked queue lives on
// until its last descriptor is closed.
//
// # Calls that wait
//
// Each of Send and Receive comes in four forms. All of them first try without
// waiting, and make one system call when that succeeds. The first two then look
// again for at most a fraction of a millisecond (package spin) before they block.
//
//	Send, Receive                  the plain blocking call of C. It holds an OS thread while it waits.
//	SendUntil, ReceiveUntil        the same with a deadline on CLOCK_REALTIME. Holds a thread, too.
//	SendContext, ReceiveContext    waits in Go's poller: a goroutine and no thread. A context or Close ends it.
//	TrySend, TryReceive            does not wait: EAGAIN.
//
// On a queue opened with O_NONBLOCK, or after SetNonblock(true), no form
// waits: a full or empty queue is EAGAIN at once.
//
// The two kinds of waiting differ in what the kernel sees. A goroutine in
// Receive is a blocked receiver: a message is handed to it directly, and it
// keeps a registration made with one of the Notify methods from firing. A
// goroutine in ReceiveContext is a process that polls: it competes for the
// message when it wakes, and does not hold back a notification.
//
// # Descriptors
//
// A Queue owns exactly one descriptor of the queue. That matters because the
// kernel cancels a process's notification when the process closes any
// descriptor of that queue (ipc/mqueue.c, mqueue_flush_file). The tries use an
// expired deadline instead of a second, non-blocking descriptor, and the
// context forms watch the queue through an epoll descriptor, whose closing
// the queue does not notice.
//
// A Queue is safe for use by several goroutines.
//
// # Errors
//
// Errors are *fs.PathError with the name of the C function, the name of the
// queue and the errno, so errors.Is(err, unix.EAGAIN) and errors.Is(err,
// fs.ErrNotExist) work. Each method lists the errnos to expect.
package mq
