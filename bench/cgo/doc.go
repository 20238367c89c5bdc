//go:build !cgo

// Cgo needs CGO_ENABLED=1; see main.go.
package main

func main() { panic("built without cgo") }
