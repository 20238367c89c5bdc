//go:build !linux || !(amd64 || arm64)

package mq

// The layouts of struct mq_attr and struct sigevent are known and tested on
// linux/amd64 and linux/arm64 only. Elsewhere the build stops here.
var _ = package_mq_knows_the_kernel_ABI_of_linux_amd64_and_linux_arm64_only
