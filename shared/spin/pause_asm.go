//go:build amd64 || arm64

package spin

// Pause is the processor's hint that this is a loop which waits for another one: some
// ten nanoseconds, in which the line of cache can go to the one who writes it.
func Pause()
