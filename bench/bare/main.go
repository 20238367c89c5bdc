// Bare does nothing but what the C twins do when their arguments are wrong: it prints
// a line and ends. Its start is that of the Go runtime, below which no Go program gets.
package main

import "os"

func main() {
	os.Stderr.WriteString("usage: bare\n")
	os.Exit(1)
}
