// Package e2e holds the tests that run the programs as real processes. It has no
// code of its own.
//
// TestMain builds every program, compiles the C twins where there is a C
// compiler, and the originals where ORIGINALS names a folder with them. After the
// tests it looks for what they left behind; anything found fails the run.
//
//	go test ./e2e                        # all of it
//	go test -short ./e2e                 # without the long transfers and cross builds
//	go test -run Script/simple_pipe ./e2e # one transcript
//	ORIGINALS=DIR go test ./e2e          # with the originals
//	CI=true ORIGINALS=DIR go test ./e2e  # nothing may be skipped
//
// testdata has a transcript of each program: what a person types, and what they
// see. The commands are those of testscript, the programs themselves, and
//
//	status N COMMAND     the exit status must be N; or a signal, such as SIGINT
//	sh 'LINE'            a line for the shell
//	start ID COMMAND     run in the background, standard input stays open
//	line ID REGEXP       wait for a line of its output
//	errline ID REGEXP    wait for a line of its diagnostics
//	blocked ID           wait until it stands still in a wait
//	type ID TEXT         write to its standard input
//	eof ID               close its standard input
//	signal ID SIGNAL     send it a signal
//	end ID [N]           wait for its end; its output is then that of the last command
//	need PROGRAM         skip the transcript if the machine has no such program
//	bytes FILE 'TEXT'    write a file, with the escapes of a Go string
//
// A word <FILE is the standard input of a command, >FILE the standard output.
// NAME is the name of a kernel object that no other run uses.
package e2e
