//go:build !amd64 && !arm64

package spin

// Pause is not known how to do here.
func Pause() {}
