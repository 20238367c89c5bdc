#include "textflag.h"

// func start()
//
// As in start_amd64.s.
TEXT ·start(SB),NOSPLIT|NOFRAME,$0
	MOVD	$0, R4 // the bits of the closed ones
	MOVD	$0, R5 // descriptor
	MOVD	$1, R6
next:
	MOVD	R5, R0
	MOVD	$1, R1  // F_GETFD
	MOVD	$0, R2
	MOVD	$25, R8 // fcntl
	SVC
	CMP	$0, R0
	BGE	open
	LSL	R5, R6, R7
	ORR	R7, R4
open:
	ADD	$1, R5
	CMP	$3, R5
	BLT	next
	MOVW	R4, ·closedAtStart(SB)

	MOVD	$0, R4 // the bits of the ignored ones
	MOVD	$1, R5 // signal
	SUB	$32, RSP
action:
	MOVD	R5, R0
	MOVD	$0, R1
	MOVD	RSP, R2  // struct sigaction
	MOVD	$8, R3
	MOVD	$134, R8 // rt_sigaction
	SVC
	MOVD	0(RSP), R7
	CMP	$1, R7 // SIG_IGN
	BNE	heeded
	LSL	R5, R6, R7
	ORR	R7, R4
heeded:
	ADD	$1, R5
	CMP	$16, R5
	BLT	action
	ADD	$32, RSP
	MOVW	R4, ·ignoredAtStart(SB)

	MOVD	$30, R0  // PR_GET_TIMERSLACK
	MOVD	$167, R8 // prctl
	SVC
	MOVD	R0, ·slackAtStart(SB)
	MOVD	$29, R0 // PR_SET_TIMERSLACK
	MOVD	·slackOfRuntime(SB), R1
	MOVD	$167, R8
	SVC
	JMP	_rt0_arm64_linux(SB)
