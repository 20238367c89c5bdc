package shared

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ipcbook/shared/sem"
)

// Sizes of the transfer buffer, in bytes.
const (
	TransferSize    = 1096 // sizeof(struct shmbuf)
	TransferBufSize = 1024 // BUF_SIZE
)

// Offsets of the fields.
const (
	transferWsem = 0
	transferRsem = 32
	transferCnt  = 64
	transferBuf  = 68
)

// gaveUp is the count by which a reader tells a writer of this suite that it
// takes no more. A writer in C does not look at the count and overwrites it.
const gaveUp = -1

// A Transfer is a process's handle of the buffer through which the writer and
// the reader of the slides hand over data, one after the other:
//
//	struct shmbuf {                /* offset */
//		sem_t wsem;            /*  0  the writer's turn */
//		sem_t rsem;            /* 32  the reader's turn */
//		int   cnt;             /* 64  bytes in buf, 0 at the end of the data */
//		char  buf[1024];       /* 68 */
//	};                             /* 1096 bytes, aligned to 8 */
//
// The writer's turn is Wsem.Wait, fill Buf, SetCnt, Rsem.Post; the reader's is
// Rsem.Wait, Cnt, use Buf, Wsem.Post. After the turn with count 0 the reader
// posts Wsem once more and the writer waits for it: then nobody uses the memory.
type Transfer struct {
	Wsem, Rsem *sem.Sem
	Buf        []byte // TransferBufSize bytes of the shared memory
	cnt        *atomic.Int32
}

// TransferAt returns a handle of the buffer in the first TransferSize bytes of
// mem, which must be aligned to 8. It touches no byte: Init makes the buffer,
// Check tells whether somebody has.
func TransferAt(mem []byte) (*Transfer, error) {
	if len(mem) < TransferSize {
		return nil, fmt.Errorf("transfer: %d bytes of memory, want %d: %w", len(mem), TransferSize, unix.EINVAL)
	}
	w, err := sem.At(mem[transferWsem:])
	if err != nil {
		return nil, err
	}
	r, err := sem.At(mem[transferRsem:])
	if err != nil {
		return nil, err
	}
	return &Transfer{
		Wsem: w,
		Rsem: r,
		Buf:  mem[transferBuf:][:TransferBufSize:TransferBufSize],
		cnt:  signed(mem, transferCnt),
	}, nil
}

// Init makes an empty buffer with the first turn for the writer.
func (t *Transfer) Init() error {
	if err := t.Rsem.Init(0); err != nil {
		return err
	}
	return t.Wsem.Init(1)
}

// Check tells whether both semaphores are initialised.
func (t *Transfer) Check() error {
	if err := t.Wsem.Check(); err != nil {
		return fmt.Errorf("semaphore wsem: %w", err)
	}
	if err := t.Rsem.Check(); err != nil {
		return fmt.Errorf("semaphore rsem: %w", err)
	}
	return nil
}

// Cnt returns the number of bytes in Buf, read once; 0 is the end of the data.
// ErrCorrupt: it is not from 0 to TransferBufSize.
func (t *Transfer) Cnt() (int, error) {
	n := int(t.cnt.Load())
	if n < 0 || n > TransferBufSize {
		return 0, corrupt("cnt", n, fmt.Sprintf("0 to %d", TransferBufSize))
	}
	return n, nil
}

// SetCnt stores the number of bytes in Buf.
func (t *Transfer) SetCnt(n int) { t.cnt.Store(int32(n)) }

// GiveUp is for a reader that cannot go on, in its turn: it tells the writer.
func (t *Transfer) GiveUp() { t.cnt.Store(gaveUp) }

// ReaderGaveUp tells the writer, in its turn, whether the reader called GiveUp.
func (t *Transfer) ReaderGaveUp() bool { return t.cnt.Load() == gaveUp }
