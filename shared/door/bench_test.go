package door_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"ipcbook/shared/door"
)

func BenchmarkCall(b *testing.B) {
	path := filepath.Join(b.TempDir(), "door")
	start(b, "echo", path)
	for _, size := range []int{0, 64, 1 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c, err := door.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			data, buf := make([]byte, size), make([]byte, size)
			b.ReportAllocs()
			b.SetBytes(int64(2 * size))
			for b.Loop() {
				arg := door.Arg{Data: data, RBuf: buf}
				if err := c.Call(context.Background(), &arg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
