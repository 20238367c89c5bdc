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
	JMP	_rt0_arm64_linux(SB)
