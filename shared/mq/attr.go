package mq

import (
	"io/fs"
	"os"
	"structs"

	"golang.org/x/sys/unix"
)

// Attr mirrors struct mq_attr. For Create only MaxMsg and MsgSize count.
//
//	struct mq_attr {               /* <bits/mqueue.h>; all fields long */
//		long mq_flags;         /* 0, or O_NONBLOCK */
//		long mq_maxmsg;        /* messages that the queue holds at most */
//		long mq_msgsize;       /* bytes of the largest message */
//		long mq_curmsgs;       /* messages that it holds now */
//		long __pad[4];
//	};
type Attr struct {
	_ structs.HostLayout

	Flags   int64 // 0 or unix.O_NONBLOCK, of this descriptor
	MaxMsg  int64 // messages that the queue holds at most
	MsgSize int64 // bytes of the largest message
	CurMsgs int64 // messages that it holds now

	_ [4]int64
}

// Attr wraps mq_getattr(3): the attributes of the queue and the flags of the
// descriptor. It does not block.
func (q *Queue) Attr() (Attr, error) {
	var a Attr
	if !q.acquire() {
		return a, q.fail("mq_getattr", os.ErrClosed)
	}
	defer q.release()
	if errno := mqGetsetattr(q.fd, nil, &a); errno != 0 {
		return Attr{}, q.fail("mq_getattr", errno)
	}
	return a, nil
}

// SetNonblock wraps mq_setattr(3), which can change nothing but O_NONBLOCK.
// The flag belongs to the open description: it holds for every process that
// inherited this descriptor. It does not block, and it does not end calls that
// wait already.
func (q *Queue) SetNonblock(on bool) error {
	if !q.acquire() {
		return q.fail("mq_setattr", os.ErrClosed)
	}
	defer q.release()
	var a Attr
	if on {
		a.Flags = unix.O_NONBLOCK
	}
	if errno := mqGetsetattr(q.fd, &a, nil); errno != 0 {
		return q.fail("mq_setattr", errno)
	}
	return nil
}

func (q *Queue) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: q.name, Err: err}
}
