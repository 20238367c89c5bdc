#include "textflag.h"

// func start()
//
// The process begins here (go build -ldflags=-E=ipcbook/shared/prog.start), with
// the arguments on the stack. It asks whether descriptors 0, 1 and 2 are open, and
// which signals are ignored, neither of which is to be found out a moment later:
// the Go runtime opens /dev/null in the place of a closed one and has handlers of
// its own for the signals. It gives the thread the timer slack that is meant for the
// runtime's own threads (slack.go). Then the runtime takes over.
TEXT ·start(SB),NOSPLIT|NOFRAME,$0
	XORL	BX, BX // the bits of the closed ones
	XORL	DI, DI // descriptor
next:
	MOVL	$72, AX // fcntl
	MOVL	$1, SI  // F_GETFD
	XORL	DX, DX
	SYSCALL
	TESTQ	AX, AX
	JNS	open
	BTSL	DI, BX
open:
	INCL	DI
	CMPL	DI, $3
	JLT	next
	MOVL	BX, ·closedAtStart(SB)

	XORL	BX, BX  // the bits of the ignored ones
	MOVL	$1, DI  // signal
	SUBQ	$32, SP // struct sigaction
action:
	MOVL	$13, AX // rt_sigaction
	XORL	SI, SI
	MOVQ	SP, DX
	MOVL	$8, R10
	SYSCALL
	CMPQ	0(SP), $1 // SIG_IGN
	JNE	heeded
	BTSL	DI, BX
heeded:
	INCL	DI
	CMPL	DI, $16
	JLT	action
	ADDQ	$32, SP
	MOVL	BX, ·ignoredAtStart(SB)

	MOVL	$157, AX // prctl
	MOVL	$30, DI  // PR_GET_TIMERSLACK
	SYSCALL
	MOVQ	AX, ·slackAtStart(SB)
	MOVL	$157, AX
	MOVL	$29, DI // PR_SET_TIMERSLACK
	MOVQ	·slackOfRuntime(SB), SI
	SYSCALL

	XORL	BX, BX
	JMP	_rt0_amd64_linux(SB)
